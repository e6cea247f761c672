"""Clips coded as video: H.264, HEVC and MPEG-2, through PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import av
import numpy as np
import numpy.typing as npt

from echo_node.codes import Reason
from echo_node.errors import ClipError

VIDEO = frozenset(
    (
        "1.2.840.10008.1.2.4.100",  # MPEG-2 main profile, main level
        "1.2.840.10008.1.2.4.101",
        "1.2.840.10008.1.2.4.102",  # H.264 high profile 4.1
        "1.2.840.10008.1.2.4.103",
        "1.2.840.10008.1.2.4.104",
        "1.2.840.10008.1.2.4.105",
        "1.2.840.10008.1.2.4.106",
        "1.2.840.10008.1.2.4.107",  # HEVC main profile 5.1
        "1.2.840.10008.1.2.4.108",
    )
)


def frames(stream: bytes, indices: Sequence[int], *, rows: int, cols: int) -> dict[int, npt.NDArray[np.uint8]]:
    """Decode a stream up to the last frame that is wanted.

    Returns
    -------
    dict
        Index to RGB u8 [H,W,3].

    Raises
    ------
    ClipError
        UNREADABLE, TRUNCATED or IMPOSSIBLE_SIZE.
    """
    wanted, found = set(indices), {}
    try:
        with av.open(BytesIO(stream), mode="r") as container:
            for number, frame in enumerate(container.decode(video=0)):
                if (frame.height, frame.width) != (rows, cols):
                    raise ClipError(
                        Reason.IMPOSSIBLE_SIZE,
                        f"video of {frame.height} x {frame.width}, not {rows} x {cols}",
                    )
                if number in wanted:
                    found[number] = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                if len(found) == len(wanted):
                    break
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise ClipError(Reason.UNREADABLE, f"{type(error).__name__} of the video decoder") from error
    if len(found) < len(wanted):
        raise ClipError(Reason.TRUNCATED, f"the video ends before frame {max(wanted) + 1}")
    return found
