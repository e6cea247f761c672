"""Prompts of the segmentation head, as people and earlier frames give them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

MAX_POINTS = 8  # of all kinds together; a box takes two
LOW_RESOLUTION = 32  # of masks inside the decoder, pixels
PREVIOUS_LOGIT = 4.0  # of a mask given as prompt: plus inside, minus outside


class PointKind(enum.IntEnum):
    """What a point means; NONE fills the list up."""

    NONE = 0
    BACKGROUND = 1
    FOREGROUND = 2
    BOX_TOP_LEFT = 3
    BOX_BOTTOM_RIGHT = 4


CLICKS = (PointKind.FOREGROUND, PointKind.BACKGROUND)  # which correct an answer; a box says where to look


@dataclass(frozen=True, slots=True)
class Point:
    """A point in pixels of the source image."""

    row: float
    col: float
    kind: PointKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """What is said about one structure beside its name, on every frame alike."""

    points: tuple[Point, ...] = ()
    previous: npt.NDArray[np.bool_] | None = None  # [H,W], a mask to start from

    @classmethod
    def box(cls, *, top: float, left: float, bottom: float, right: float) -> Prompts:
        """A box around the structure."""
        corners = Point(top, left, PointKind.BOX_TOP_LEFT), Point(bottom, right, PointKind.BOX_BOTTOM_RIGHT)
        return cls(points=corners)

    def without_clicks(self) -> Prompts:
        """A box and a mask to start from alone."""
        return replace(self, points=tuple(point for point in self.points if point.kind not in CLICKS))


NO_PROMPTS = Prompts()


def as_previous(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """A mask u8 [S,S] of 0 and 1 as the decoder's previous logits [32,32]."""
    size = (LOW_RESOLUTION, LOW_RESOLUTION)
    share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray((2 * share - 1) * PREVIOUS_LOGIT, np.float32)
