"""What pictures are made from: a clip's frames in colour, read when they are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]  # [H,W,3], RGB


class Cine(Protocol):
    """A clip as its maker shows it, text and traces included."""

    @property
    def NumberOfFrames(self) -> int: ...  # noqa: N802 (a DICOM keyword)

    @property
    def times_ms(self) -> npt.NDArray[np.float64] | None:
        """[NumberOfFrames], from the first frame; None without timing."""

    @property
    def sector(self) -> npt.NDArray[np.bool_]:
        """[H,W], True where there is ultrasound."""

    def colours(self, indices: Sequence[int]) -> Iterator[Picture]:
        """The frames at these indices, counted from 0, ascending; raises ClipError where there are none."""
