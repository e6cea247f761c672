"""What a person drew, as masks and lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from echo_node.codes import Method, Quantity, Reason, WallPoint
from echo_node.edits import Correction, DrawnLine, Shape
from echo_node.measure.plausibility import Fault, check_length
from echo_node.measure.results import Recipe, refused
from echo_node.measure.walls import LINES
from echo_node.records import ClipAnalysis, Measurement, NotMeasured, Source

_SAME_OUTLINE = 0.015  # share of both: what an outline in few points and a mask may differ by
_SAME_END = 0.25  # pixels: what a line may move by on its way through a viewer
_ON_THE_LINE = 0.01  # pixels: an outline through the centres of pixels holds them, on every side of it


def fill(points: Sequence[tuple[float, float]], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """The pixels whose centres a closed line holds.

    Parameters
    ----------
    points : sequence of (row, column)
        In pixels, a pixel's centre at whole numbers; the line returns from the last to the first.
    shape : (int, int)
        Of the picture.

    Returns
    -------
    bool [H,W]
    """
    corners = np.array(points, np.float64)  # [N,2]
    nudges = (-_ON_THE_LINE, _ON_THE_LINE)
    held = [_held(corners, shape, down, right) for down in nudges for right in nudges]
    return np.asarray(np.any(held, axis=0), np.bool_)


def _held(
    corners: npt.NDArray[np.float64], shape: tuple[int, ...], down: float, right: float
) -> npt.NDArray[np.bool_]:
    """By counting, per pixel, the sides that lie to its right: an odd number means inside."""
    rows, cols = np.arange(shape[0])[:, None] + down, np.arange(shape[1]) + right
    inside = np.zeros(shape, np.bool_)
    for (row, col), (next_row, next_col) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if row == next_row:
            continue
        crosses = (row > rows) != (next_row > rows)  # [H,1]
        inside ^= crosses & (cols < col + (rows - row) * (next_col - col) / (next_row - row))
    return inside


def measure_lines(
    analysis: ClipAnalysis, quantity: Quantity, drawn: Sequence[Correction]
) -> tuple[tuple[DrawnLine, ...], Measurement | NotMeasured]:
    """A quantity along a person's lines: the mean of them, several beats say.

    Parameters
    ----------
    analysis : ClipAnalysis
        Its spacing is the calibration.
    quantity : Quantity
        IVSd, LVIDd, LVPWd or LVIDs.
    drawn : sequence of Correction
        Lines of this quantity.

    Returns
    -------
    tuple of DrawnLine, and Measurement or NotMeasured
        Without calibration, or with a length that no heart has, the reason in place of a number.
    """
    lines = tuple(_line(c, quantity) for c in drawn)
    edits = tuple(dict.fromkeys(c.edit for c in drawn))
    view = None if analysis.prediction is None else analysis.prediction.view
    if analysis.spacing_mm is None:
        fault = Fault(Reason.NO_CALIBRATION, "a line's length needs a pixel spacing")
        return lines, refused((quantity,), fault, view=view, method=Method.DIRECT, edits=edits)[0]
    ends = np.array([line.ends for line in lines]) * analysis.spacing_mm  # [N,2,2], mm
    lengths = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    implausible = check_length(quantity, float(lengths.mean()))
    if implausible is not None:
        return lines, refused((quantity,), implausible, view=view, method=Method.DIRECT, edits=edits)[0]
    frames = tuple(sorted({line.frame_number for line in lines}))
    recipe = Recipe(
        method=Method.DIRECT,
        view=view,
        sources=(Source(SOPInstanceUID=analysis.SOPInstanceUID, frame_numbers=frames),),
        edits=edits,
    )
    spread = float(lengths.std()) if len(lengths) > 1 else None
    return lines, recipe.measurement(quantity, float(lengths.mean()), uncertainty=spread)


def is_there(analysis: ClipAnalysis, correction: Correction) -> bool:
    """Is an outline the mask that its frame has, or a line one of the node's own?

    A viewer that shows the node's results saves them again beside what a person draws.
    """
    if correction.shape is Shape.CONTOUR:
        former = next((s for s in analysis.segmentations if s.structure is correction.subject), None)
        if former is None or correction.frame_number not in former.frame_numbers:
            return False
        mask = former.masks[former.frame_numbers.index(correction.frame_number)]
        filled = fill(correction.points, mask.shape)
        return bool((mask ^ filled).sum() <= _SAME_OUTLINE * (mask | filled).sum())
    if correction.shape is not Shape.LINE:
        return False  # a prompt is not what it leads to
    assert isinstance(correction.subject, Quantity)
    own = _own_lines(analysis, correction.subject)
    return any(is_same(_line(correction, correction.subject), line) for line in own)


def is_same(first: DrawnLine, second: DrawnLine) -> bool:
    """Do two lines of one quantity lie on each other, whichever way they were drawn?"""
    ends, others = np.array(first.ends), np.array(second.ends)
    apart = min(np.abs(ends - others).max(), np.abs(ends[::-1] - others).max())
    return first.frame_number == second.frame_number and bool(apart <= _SAME_END)


def _line(correction: Correction, quantity: Quantity) -> DrawnLine:
    ends = correction.points[0], correction.points[1]
    return DrawnLine(quantity=quantity, frame_number=correction.frame_number, ends=ends)


def _own_lines(analysis: ClipAnalysis, quantity: Quantity) -> Iterator[DrawnLine]:
    """The node's own, on every frame that it measured on."""
    for found in analysis.landmarks:
        places = {point: (row, col) for point, row, col in found.points}
        first, second = tuple(WallPoint)[LINES[quantity] : LINES[quantity] + 2]
        yield DrawnLine(quantity=quantity, frame_number=found.frame_number, ends=(places[first], places[second]))
