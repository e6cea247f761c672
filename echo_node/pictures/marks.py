"""What is drawn on a frame or beside it: outlines, wall lines, a curve over time, words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from echo_node.codes import Method, Quantity, Structure, WallPoint
from echo_node.edits import DrawnLine
from echo_node.pictures.cine import Picture
from echo_node.records import ClipAnalysis, Landmarks, Measurement, Segmentation

Colour = tuple[int, int, int]
Curve = npt.NDArray[np.float64]  # [T]

BACKGROUND: Colour = (18, 20, 24)
TEXT: Colour = (232, 232, 232)
DIM: Colour = (150, 154, 160)
COLOURS: Mapping[Structure, Colour] = {
    Structure.LV_CAVITY: (255, 196, 0),
    Structure.LV_MYOCARDIUM: (0, 200, 120),
    Structure.LA: (80, 170, 255),
    Structure.RV: (255, 110, 90),
    Structure.RA: (190, 130, 255),
    Structure.AORTIC_ROOT: (255, 120, 200),
}
_POINT = (255, 70, 70)
_PERSONS = TEXT
_WALL = COLOURS[Structure.LV_MYOCARDIUM]
_LINES = (  # between neighbouring points, from the probe down: colour, and what is measured at ED and at ES
    (_WALL, Quantity.IVSD, None),
    (COLOURS[Structure.LV_CAVITY], Quantity.LVIDD, Quantity.LVIDS),
    (_WALL, Quantity.LVPWD, None),
)
SHORT_NAMES: Mapping[Quantity, str] = {
    Quantity.LVEF: "EF",
    Quantity.LV_EDV: "EDV",
    Quantity.LV_ESV: "ESV",
    Quantity.IVSD: "IVSd",
    Quantity.LVIDD: "LVIDd",
    Quantity.LVPWD: "LVPWd",
    Quantity.LVIDS: "LVIDs",
}


def headline(analysis: ClipAnalysis) -> str:
    """The view and its probability; of a picture without a view its mode."""
    if analysis.prediction is None:
        return "no view" if analysis.mode is None else analysis.mode.code.meaning
    return f"{analysis.prediction.view.name}  {analysis.prediction.probability:.2f}"


def said(measurement: Measurement) -> str:
    """A number of one clip in a few words."""
    by = " learned" if measurement.method is Method.LEARNED else ""
    edited = " edited" if measurement.edits else ""
    return f"{SHORT_NAMES[measurement.quantity]}{by} {measurement.value:.0f} {measurement.unit.code.value}{edited}"


def edited_line(analysis: ClipAnalysis) -> str:
    """The outlines that a person corrected and the lengths that came to no number by it; empty without any."""
    outlines = [s.structure.code.meaning for s in analysis.segmentations if s.edits]
    missing = [SHORT_NAMES[n.quantity] for n in analysis.not_measured if n.edits and n.quantity in SHORT_NAMES]
    named = dict.fromkeys((*outlines, *missing))
    return f"edited: {', '.join(named)}" if named else ""


def curve_of(analysis: ClipAnalysis) -> tuple[str, Curve, Curve] | None:
    """What a clip's size over time is called, its values and their times in ms; None where none was found."""
    if analysis.curve is not None:
        name = "LV volume ml" if analysis.spacing_mm is not None else "LV volume"
        return name, analysis.curve.volumes_ml, analysis.curve.times_ms
    if analysis.diameters is not None:
        return "LV internal diameter mm", analysis.diameters.diameters_mm, analysis.diameters.times_ms
    return None


def draw_findings(picture: Picture, analysis: ClipAnalysis, number: int, *, scale: float) -> None:
    """Outlines and wall lines of a frame, a person's where there are such, in place.

    ``scale`` is how much smaller the picture will be shown: lines and words are drawn so much larger.
    """
    _draw_outlines(picture, analysis.segmentations, number)
    for landmarks in analysis.landmarks:
        if landmarks.frame_number == number:
            _draw_walls(picture, landmarks, analysis, scale=scale)
    for line in analysis.lines:
        if line.frame_number == number:
            _draw_line(picture, line, analysis, scale=scale)


def _draw_walls(picture: Picture, landmarks: Landmarks, analysis: ClipAnalysis, *, scale: float) -> None:
    """The line across the ventricle, its four points, and what was measured beside it."""
    places = {point: (round(col), round(row)) for point, row, col in landmarks.points}
    is_systolic = analysis.cycle is not None and landmarks.frame_number == analysis.cycle[1]
    thickness = max(1, round(scale))
    drawn = {line.quantity for line in analysis.lines}
    for (first, second), (colour, at_ed, at_es) in zip(pairwise(WallPoint), _LINES, strict=True):
        wanted = at_es if is_systolic else at_ed
        if wanted not in drawn:
            cv2.line(picture, places[first], places[second], colour, thickness, cv2.LINE_AA)
            _write_length(picture, (places[first], places[second]), wanted, analysis, scale=scale)
    for place in places.values():
        cv2.circle(picture, place, max(1, round(1.5 * scale)), _POINT, -1, cv2.LINE_AA)


def _draw_line(picture: Picture, line: DrawnLine, analysis: ClipAnalysis, *, scale: float) -> None:
    """A person's line, and what was measured along it."""
    (row, col), (to_row, to_col) = line.ends
    first, second = (round(col), round(row)), (round(to_col), round(to_row))
    cv2.line(picture, first, second, _PERSONS, max(1, round(scale)), cv2.LINE_AA)
    _write_length(picture, (first, second), line.quantity, analysis, scale=scale)


def _write_length(
    picture: Picture,
    ends: tuple[tuple[int, int], tuple[int, int]],
    quantity: Quantity | None,
    analysis: ClipAnalysis,
    *,
    scale: float,
) -> None:
    """A length beside its line, where it was measured."""
    found = next((m for m in analysis.measurements if m.quantity is quantity), None)
    if found is not None:
        col, row = ((a + b) / 2 for a, b in zip(*ends, strict=True))
        write(picture, said(found), at=(round(col + 8 * scale), round(row + 4 * scale)), size=0.42 * scale)


def _draw_outlines(picture: Picture, segmentations: Sequence[Segmentation], number: int) -> None:
    """The outline of every structure that has a mask on a frame."""
    thickness = max(1, picture.shape[0] // 300)
    for segmentation in segmentations:
        if number not in segmentation.frame_numbers:
            continue
        mask = segmentation.masks[segmentation.frame_numbers.index(number)].astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, COLOURS[segmentation.structure], thickness, cv2.LINE_AA)


def draw_curve(
    panel: Picture,
    values: Curve,
    times_ms: Curve,
    *,
    name: str,
    scale: float = 1.0,
    now_ms: float | None = None,
    marked_ms: Mapping[str, float] | None = None,
) -> None:
    """A curve [T] from 0 up into a panel, in place: its largest and smallest value, moments, and where it is now.

    ``scale`` is of words and lines; ``marked_ms`` names moments, ED say.
    """
    height, width = panel.shape[:2]
    left, right, top, bottom = (
        round(60 * scale),
        width - round(16 * scale),
        round(14 * scale),
        height - round(20 * scale),
    )
    span = float(times_ms[-1] - times_ms[0]) or 1.0
    x = left + (times_ms - times_ms[0]) / span * (right - left)
    y = bottom - values / (1.05 * float(values.max()) or 1.0) * (bottom - top)
    thick = max(1, round(scale))
    cv2.line(panel, (left, bottom), (right, bottom), DIM, thick)
    line = np.stack([x, y], axis=1).round().astype(np.int32)
    if now_ms is not None and times_ms[0] <= now_ms <= times_ms[-1]:
        now = int(line[int(np.abs(times_ms - now_ms).argmin()), 0])
        cv2.line(panel, (now, top), (now, bottom), TEXT, thick)
    cv2.polylines(panel, [line], False, COLOURS[Structure.LV_CAVITY], thick, cv2.LINE_AA)
    for index in (int(np.argmax(values)), int(np.argmin(values))):
        at = (round(6 * scale), int(line[index, 1]) + round(4 * scale))
        write(panel, f"{values[index]:.0f}", at=at, size=0.4 * scale, colour=DIM)
    moments = {moment: int(np.abs(times_ms - at_ms).argmin()) for moment, at_ms in (marked_ms or {}).items()}
    for index in moments.values() if marked_ms else (int(np.argmax(values)), int(np.argmin(values))):
        cv2.circle(panel, (int(line[index, 0]), int(line[index, 1])), round(3 * scale), TEXT, -1, cv2.LINE_AA)
    for moment, index in moments.items():
        beyond = -5 if values[index] > values.mean() else 14  # above a peak, below a trough
        at = (int(line[index, 0]) + round(5 * scale), int(line[index, 1]) + round(beyond * scale))
        write(panel, moment, at=at, size=0.38 * scale)
    foot = height - round(6 * scale)
    write(panel, name, at=(left, foot), size=0.38 * scale, colour=DIM)
    write(panel, f"{span / 1000:.1f} s", at=(right - round(36 * scale), foot), size=0.38 * scale, colour=DIM)


def write(
    picture: Picture,
    text: str,
    *,
    at: tuple[int, int],
    size: float,
    colour: Colour = TEXT,
) -> None:
    """A line of ASCII text from its lower left corner, with a shadow: tissue is as bright as text."""
    thick = max(1, round(size))
    shadow = (at[0] + thick, at[1] + thick)
    for place, shade in ((shadow, BACKGROUND), (at, colour)):
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, shade, thick, cv2.LINE_AA)


def text_size(text: str, size: float) -> tuple[int, int]:
    """Width and height in pixels of a line that :func:`write` writes."""
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, max(1, round(size)))
    return int(width), int(height + below)
