"""From a clip's frames to the encoder's input and back: one code for training and serving."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Letterbox:
    """The sector's box, scaled with its aspect kept into the middle of a square."""

    rows: int  # of the source picture
    cols: int
    top: int  # the sector's box in it
    left: int
    height: int
    width: int
    size: int  # of the square
    inner_top: int  # the box in the square
    inner_left: int
    inner_height: int
    inner_width: int

    @classmethod
    def around(cls, sector: Mask, size: int) -> Letterbox:
        """The letterbox of a sector bool [H,W] that is not empty."""
        rows, cols = np.flatnonzero(sector.any(axis=1)), np.flatnonzero(sector.any(axis=0))
        height, width = int(rows[-1] - rows[0] + 1), int(cols[-1] - cols[0] + 1)
        scale = size / max(height, width)
        inner_height, inner_width = max(1, round(height * scale)), max(1, round(width * scale))
        return cls(
            rows=sector.shape[0],
            cols=sector.shape[1],
            top=int(rows[0]),
            left=int(cols[0]),
            height=height,
            width=width,
            size=size,
            inner_top=(size - inner_height) // 2,
            inner_left=(size - inner_width) // 2,
            inner_height=inner_height,
            inner_width=inner_width,
        )

    def apply(self, frames: Frames) -> Frames:
        """Frames u8 [T,H,W] as squares u8 [T,S,S]."""
        out = np.zeros((len(frames), self.size, self.size), np.uint8)
        inner = out[:, self._inner_rows, self._inner_cols]
        for target, frame in zip(inner, frames, strict=True):
            box = frame[self.top : self.top + self.height, self.left : self.left + self.width]
            target[:] = cv2.resize(box, (self.inner_width, self.inner_height), interpolation=cv2.INTER_AREA)
        return out

    def restore(self, logits: npt.NDArray[np.float32], sector: Mask) -> Mask:
        """Mask logits [T,S,S] as masks bool [T,H,W] of the source, inside its sector."""
        out = np.zeros((len(logits), self.rows, self.cols), np.bool_)
        for target, logit in zip(out, logits, strict=True):
            inner = np.ascontiguousarray(logit[self._inner_rows, self._inner_cols])
            box = cv2.resize(inner, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
            target[self.top : self.top + self.height, self.left : self.left + self.width] = largest_part(box > 0)
        return out & sector

    def to_square(self, row: float, col: float) -> tuple[float, float]:
        """A point of the source as (x, y) in 0 to 1 of the square."""
        x = self.inner_left + (col - self.left + 0.5) * self.inner_width / self.width
        y = self.inner_top + (row - self.top + 0.5) * self.inner_height / self.height
        return x / self.size, y / self.size

    @property
    def _inner_rows(self) -> slice:
        return slice(self.inner_top, self.inner_top + self.inner_height)

    @property
    def _inner_cols(self) -> slice:
        return slice(self.inner_left, self.inner_left + self.inner_width)


def largest_part(mask: Mask) -> Mask:
    """The largest connected part of a mask: a chamber is one piece, islands are noise."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return mask if areas.size < 2 else np.asarray(labels == 1 + int(np.argmax(areas)), np.bool_)


def normalise(squares: Frames, *, mean: float, std: float) -> npt.NDArray[np.float32]:
    """Squares u8 [N,S,S] as encoder input float32 [N,1,S,S]."""
    scaled = (squares[:, None].astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(scaled, np.float32)
