"""Wall points from heat maps: where a map's probability lies, to a part of a cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from echo_node.codes import WallPoint
from echo_node.inference.preprocess import Letterbox, Mask
from echo_node.records import Clip, Landmarks

POINTS = tuple(WallPoint)  # in the order of the maps
_LEAST_EXTENT = 1 / 16  # of the picture's longer side: no ventricle is smaller
_REACH = 4  # cells from the peak: four times the spread that the maps are taught


@dataclass(frozen=True, slots=True)
class Places:
    """Points in the source picture."""

    places: npt.NDArray[np.float64]  # [T,4,2], row and column
    probability: npt.NDArray[np.float64]  # [T,4], mass of the map around its peak


def locate(maps: npt.NDArray[np.float32], box: Letterbox) -> Places:
    """Decode heat maps.

    Parameters
    ----------
    maps : [T,4,H,H]
        Logits.
    box : Letterbox
        The window that they were seen in.

    Returns
    -------
    Places
        The mean of each map's softmax within a few cells of its peak.
    """
    side = maps.shape[-1]
    share = np.exp(maps.astype(np.float64) - maps.max(axis=(2, 3), keepdims=True))
    share /= share.sum(axis=(2, 3), keepdims=True)
    peak = np.stack(np.divmod(share.reshape(*share.shape[:2], -1).argmax(axis=2), side), axis=-1)  # [T,4,2]
    steps = np.arange(side)
    is_near = np.abs(steps - peak[..., None]) <= _REACH  # [T,4,2,H]
    near = share * is_near[:, :, 0, :, None] * is_near[:, :, 1, None]  # [T,4,H,H]
    mass = near.sum(axis=(2, 3))  # [T,4]
    row = (near.sum(axis=3) @ steps) / mass
    col = (near.sum(axis=2) @ steps) / mass
    rows, cols = box.from_square((col + 0.5) / side, (row + 0.5) / side)
    return Places(np.stack([rows, cols], axis=-1), mass)


def region(found: Places, sector: Mask) -> Mask:
    """Where the points are bool [H,W]: a pixel each, at its median over the frames, so that one stray moves none.

    Nothing where they fall together: they were not found, and there is nothing to go closer to.
    """
    middle = np.median(found.places, axis=0).round().astype(int)  # [4,2]
    seen = np.zeros_like(sector)
    if np.ptp(middle, axis=0).max() >= _LEAST_EXTENT * max(sector.shape):
        rows, cols = np.clip(middle, 0, np.array(sector.shape) - 1).T
        seen[rows, cols] = True
    return seen


def as_landmarks(found: Places, clip: Clip) -> tuple[Landmarks, ...]:
    """One record per frame of the clip."""
    return tuple(
        Landmarks(
            SOPInstanceUID=clip.SOPInstanceUID,
            frame_number=number,
            points=tuple((point, float(row), float(col)) for point, (row, col) in zip(POINTS, rows, strict=True)),
            probability=float(certain.min()),
        )
        for number, rows, certain in zip(clip.frame_numbers, found.places, found.probability, strict=True)
    )
