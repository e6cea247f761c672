"""Frames of AVI, MP4 and PNG files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from echo_node.errors import LabelError

VIDEO_SUFFIXES = (".avi", ".mp4")


@dataclass(frozen=True, slots=True)
class Video:
    """All frames, and how many a second the container says."""

    frames: npt.NDArray[np.uint8]  # RGB [T,H,W,3]
    rate: float | None  # frames a second

    @property
    def times_ms(self) -> npt.NDArray[np.float64] | None:
        """From the first frame; None without a rate."""
        return None if self.rate is None else frame_times(len(self.frames), self.rate)


def frame_times(count: int, rate: float) -> npt.NDArray[np.float64]:
    """Even times in ms [T] at a rate in frames a second."""
    return np.arange(count, dtype=np.float64) * (1000.0 / rate)


def read_video(path: Path) -> Video:
    """Decode a whole video.

    Raises
    ------
    LabelError
        It cannot be decoded, or holds no frame.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            rate = None if stream.average_rate is None else float(stream.average_rate)
            frames = [np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in container.decode(stream)]
    except (av.FFmpegError, IndexError, OSError) as error:
        raise LabelError(f"{path}: cannot be decoded as a video: {type(error).__name__}") from error
    if not frames:
        raise LabelError(f"{path}: holds no frame")
    return Video(np.stack(frames), rate)


def read_still(path: Path) -> npt.NDArray[np.uint8]:
    """A PNG as RGB [H,W,3].

    Raises
    ------
    LabelError
        It cannot be decoded.
    """
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise LabelError(f"{path}: cannot be decoded as a PNG")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
