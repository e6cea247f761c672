"""Clips coded as video: H.264, HEVC and MPEG-2, through PyAV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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

# What PS3.5 8.2 puts a stream in. Left to guess, FFmpeg would also follow playlists to other files and hosts.
_CONTAINERS = {"format_whitelist": "mpegts,mpeg,mpegvideo,h264,hevc,mov"}


Picture = npt.NDArray[np.uint8]


def frames(
    stream: bytes, indices: Sequence[int], *, rows: int, cols: int, keep: Callable[[Picture], Picture]
) -> dict[int, Picture]:
    """Decode a stream up to the last frame that is wanted.

    Parameters
    ----------
    stream, indices, rows, cols
        As of :func:`each`.
    keep : callable
        From RGB u8 [H,W,3] to what is kept of a frame: in colour a long clip fills the memory.

    Returns
    -------
    dict
        Index to what was kept.
    """
    return {number: keep(picture) for number, picture in each(stream, indices, rows=rows, cols=cols)}


def each(stream: bytes, indices: Sequence[int], *, rows: int, cols: int) -> Iterator[tuple[int, Picture]]:
    """Decode the wanted frames one after the other.

    Parameters
    ----------
    stream : bytes
        An elementary stream, or one in a container.
    indices : sequence of int
        The frames that are wanted, counted from 0.
    rows, cols : int
        Their size; no other is decoded.

    Yields
    ------
    (int, u8 [H,W,3])
        Index and RGB picture, in the order of the stream.

    Raises
    ------
    ClipError
        UNREADABLE, TRUNCATED or IMPOSSIBLE_SIZE.
    """
    left = set(indices)
    try:
        with av.open(BytesIO(stream), mode="r", options=_CONTAINERS) as container:
            _check_size(container.streams.video[0], rows, cols)
            for number, frame in enumerate(container.decode(video=0)):
                _check_size(frame, rows, cols)
                if number in left:
                    left.remove(number)
                    yield number, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                if not left:
                    break
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise ClipError(Reason.UNREADABLE, f"{type(error).__name__} of the video decoder") from error
    if left:
        raise ClipError(Reason.TRUNCATED, f"the video ends before frame {max(left) + 1}")


def _check_size(picture: av.VideoStream | av.VideoFrame, rows: int, cols: int) -> None:
    """Refuse a stream, or a frame in its midst, of another size than the header says."""
    if (picture.height, picture.width) != (rows, cols):
        raise ClipError(Reason.IMPOSSIBLE_SIZE, f"video of {picture.height} x {picture.width}, not {rows} x {cols}")
