"""A person who corrects a mask click by click, simulated.

Each click lies in the middle of the largest connected error: foreground where the mask misses the
structure, background where it spills over (as Sofiiuk 2021 and SAM, section 7.1, evaluate).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from echo_node.codes import Structure
from echo_node.evaluation.scores import dice
from echo_node.inference.engine import Engine
from echo_node.inference.prompts import Point, PointKind, Prompts
from echo_node.records import Clip

CLICKS = 6  # at most; the decoder takes eight points

Mask = npt.NDArray[np.bool_]


def dice_by_clicks(
    engine: Engine, clip: Clip, structure: Structure, truth: Mask, *, frame_number: int
) -> tuple[float, ...]:
    """Dice after 0, 1, ... 6 clicks on one frame of a clip.

    Parameters
    ----------
    engine : Engine
        Its segmentation head.
    clip : Clip
        The frame, and some beside it, for an engine that sees what moves.
    structure : Structure
        The prompt that stands from the start.
    truth : bool [H,W]
        The structure on that frame.
    frame_number : int
        Which, counted from 1.
    """
    place = clip.frame_numbers.index(frame_number)
    points: tuple[Point, ...] = ()
    reached = []
    for _ in range(CLICKS + 1):
        (found,) = engine.segment(clip, [structure], Prompts(points=points))
        mask = found.masks[place]
        reached.append(dice(mask, truth))
        point = next_click(mask, truth & clip.sector)
        if point is None:
            return (*reached, *[reached[-1]] * (CLICKS + 1 - len(reached)))
        points = (*points, point)
    return tuple(reached)


def next_click(mask: Mask, truth: Mask) -> Point | None:
    """Where the larger error is clicked; None where the mask is the truth."""
    wrong = mask ^ truth
    if not wrong.any():
        return None
    rows, cols = np.flatnonzero(wrong.any(axis=1)), np.flatnonzero(wrong.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)  # the rest of the picture costs time
    missed, spilled = _largest_error((truth & wrong)[box]), _largest_error((mask & wrong)[box])
    is_missed = missed.sum() >= spilled.sum()
    row, col = _middle(missed if is_missed else spilled)
    kind = PointKind.FOREGROUND if is_missed else PointKind.BACKGROUND
    return Point(float(rows[0] + row), float(cols[0] + col), kind)


def _largest_error(wrong: Mask) -> Mask:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return wrong if not areas.size else np.asarray(labels == 1 + int(np.argmax(areas)), np.bool_)


def _middle(region: Mask) -> tuple[int, int]:
    """The pixel of a region that is farthest from its border."""
    padded = np.pad(region.astype(np.uint8), 1)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    row, col = np.unravel_index(int(np.argmax(inside)), region.shape)
    return int(row), int(col)
