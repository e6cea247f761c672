"""Pictures for people: a clip with its masks or walls, its view and its curve over time; a sheet of clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from echo_node.codes import Method, Quantity, Structure, WallPoint
from echo_node.records import Clip, ClipAnalysis, Landmarks, Measurement, Segmentation

Picture = npt.NDArray[np.uint8]  # [H,W,3], RGB
Curve = npt.NDArray[np.float64]  # [T]

TILE_WIDTH, TILE_HEIGHT = 640, 470
_HEADER, _FOOTER = 46, 96
_MARGIN = 6
_BACKGROUND = (18, 20, 24)
_TEXT = (232, 232, 232)
_DIM = (150, 154, 160)
COLOURS: Mapping[Structure, tuple[int, int, int]] = {
    Structure.LV_CAVITY: (255, 196, 0),
    Structure.LV_MYOCARDIUM: (0, 200, 120),
    Structure.LA: (80, 170, 255),
    Structure.RV: (255, 110, 90),
    Structure.RA: (190, 130, 255),
    Structure.AORTIC_ROOT: (255, 120, 200),
}
_SHOWN_WIDTH = 311  # of each of two frames in a tile
_POINT = (255, 70, 70)
_WALL = COLOURS[Structure.LV_MYOCARDIUM]
_LINES = (  # between neighbouring points, from the probe down: colour, and what is measured at ED and at ES
    (_WALL, Quantity.IVSD, None),
    (COLOURS[Structure.LV_CAVITY], Quantity.LVIDD, Quantity.LVIDS),
    (_WALL, Quantity.LVPWD, None),
)
_NAMES: Mapping[Quantity, str] = {
    Quantity.LVEF: "EF",
    Quantity.LV_EDV: "EDV",
    Quantity.LV_ESV: "ESV",
    Quantity.IVSD: "IVSd",
    Quantity.LVIDD: "LVIDd",
    Quantity.LVPWD: "LVPWd",
    Quantity.LVIDS: "LVIDs",
}


def clip_tile(clip: Clip, analysis: ClipAnalysis) -> Picture:
    """One clip: its view, end diastole and end systole with outlines or walls, and the curve over time.

    Parameters
    ----------
    clip : Clip
        Any frames of the clip, among them ED and ES where it was measured.
    analysis : ClipAnalysis
        What was found on it.

    Returns
    -------
    u8 [470,640,3]
        RGB.
    """
    tile = np.full((TILE_HEIGHT, TILE_WIDTH, 3), _BACKGROUND, np.uint8)
    _write(tile, _headline(analysis), at=(10, 19), size=0.52)
    _write(tile, _verdict(analysis), at=(10, 38), size=0.42, colour=_DIM)
    frames = _shown_frames(clip, analysis)
    width = (TILE_WIDTH - _MARGIN) // len(frames) - _MARGIN
    height = TILE_HEIGHT - _HEADER - _FOOTER
    for position, (label, number) in enumerate(frames):
        picture = _fit(_drawn_on(clip, analysis, number), width, height)
        left = _MARGIN + position * (width + _MARGIN)
        tile[_HEADER : _HEADER + height, left : left + width] = picture
        _write(tile, f"{label} {number}", at=(left + 6, _HEADER + 16), size=0.42, colour=_DIM)
    panel = tile[TILE_HEIGHT - _FOOTER :]
    if analysis.curve is not None:
        name = "LV volume ml" if analysis.spacing_mm is not None else "LV volume"
        _draw_curve(panel, analysis.curve.volumes_ml, analysis.curve.times_ms, name=name)
    elif analysis.diameters is not None:
        curve = analysis.diameters
        _draw_curve(panel, curve.diameters_mm, curve.times_ms, name="LV internal diameter mm")
    return tile


def contact_sheet(tiles: Sequence[Picture], *, title: str, columns: int = 3) -> Picture:
    """Tiles in rows under a title line."""
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * TILE_HEIGHT + 60, columns * TILE_WIDTH, 3), _BACKGROUND, np.uint8)
    _write(sheet, title, at=(12, 26), size=0.7)
    _write(sheet, "Research use, not for diagnosis", at=(12, 48), size=0.45, colour=_DIM)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        top, left = 60 + row * TILE_HEIGHT, column * TILE_WIDTH
        sheet[top : top + TILE_HEIGHT, left : left + TILE_WIDTH] = tile
    return sheet


def png(picture: Picture) -> bytes:
    """The picture as a PNG file."""
    done, content = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert done
    return content.tobytes()


def _headline(analysis: ClipAnalysis) -> str:
    if analysis.prediction is None:
        return "no view"
    return f"{analysis.prediction.view.name}  {analysis.prediction.probability:.2f}"


def _verdict(analysis: ClipAnalysis) -> str:
    if analysis.outcome is not None:
        return f"not measured: {analysis.outcome.code.meaning}"
    return "   ".join(_said(m) for m in analysis.measurements)


def _said(measurement: Measurement) -> str:
    by = " learned" if measurement.method is Method.LEARNED else ""
    return f"{_NAMES[measurement.quantity]}{by} {measurement.value:.0f} {measurement.unit.code.value}"


def _shown_frames(clip: Clip, analysis: ClipAnalysis) -> list[tuple[str, int]]:
    if analysis.cycle is None:
        return [("frame", clip.frame_numbers[len(clip.frame_numbers) // 2])]
    return list(zip(("ED frame", "ES frame"), analysis.cycle, strict=True))


def _drawn_on(clip: Clip, analysis: ClipAnalysis, number: int) -> Picture:
    """One frame with what was found on it, cut to the sector."""
    grey = clip.frames[clip.frame_numbers.index(number)]
    picture = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    rows, cols = (range(int(i.min()), int(i.max()) + 1) for i in np.nonzero(clip.sector))
    _draw_outlines(picture, analysis.segmentations, number)
    for landmarks in analysis.landmarks:
        if landmarks.frame_number == number:
            _draw_walls(picture, landmarks, analysis, scale=max(len(cols), len(rows)) / _SHOWN_WIDTH)
    return picture[rows.start : rows.stop, cols.start : cols.stop]


def _draw_walls(picture: Picture, landmarks: Landmarks, analysis: ClipAnalysis, *, scale: float) -> None:
    """The line across the ventricle, its four points, and what was measured beside it.

    ``scale`` is pixels of the picture over those of the tile that it will be fitted into.
    """
    places = {point: (round(col), round(row)) for point, row, col in landmarks.points}
    is_systolic = analysis.cycle is not None and landmarks.frame_number == analysis.cycle[1]
    thickness = max(1, round(scale))
    for (first, second), (colour, at_ed, at_es) in zip(pairwise(WallPoint), _LINES, strict=True):
        cv2.line(picture, places[first], places[second], colour, thickness, cv2.LINE_AA)
        wanted = at_es if is_systolic else at_ed
        found = next((m for m in analysis.measurements if m.quantity is wanted), None)
        if found is not None:
            col, row = ((a + b) / 2 for a, b in zip(places[first], places[second], strict=True))
            for off, shade in ((thickness, _BACKGROUND), (0, _TEXT)):  # a shadow: myocardium is as bright as text
                at = (round(col + 8 * scale) + off, round(row + 4 * scale) + off)
                _write(picture, _said(found), at=at, size=0.42 * scale, colour=shade)
    for place in places.values():
        cv2.circle(picture, place, max(1, round(1.5 * scale)), _POINT, -1, cv2.LINE_AA)


def _draw_outlines(picture: Picture, segmentations: Sequence[Segmentation], number: int) -> None:
    """The outline of every structure that has a mask on a frame."""
    thickness = max(1, picture.shape[0] // 300)
    for segmentation in segmentations:
        if number not in segmentation.frame_numbers:
            continue
        mask = segmentation.masks[segmentation.frame_numbers.index(number)].astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, COLOURS[segmentation.structure], thickness, cv2.LINE_AA)


def _fit(picture: Picture, width: int, height: int) -> Picture:
    """The picture scaled into a box, its aspect kept."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    box = np.full((height, width, 3), _BACKGROUND, np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    box[top : top + size[1], left : left + size[0]] = scaled
    return box


def _draw_curve(panel: Picture, values: Curve, times_ms: Curve, *, name: str) -> None:
    """A curve [T] from 0 up, its largest and smallest value marked, into the panel."""
    left, right, top, bottom = 60, panel.shape[1] - 16, 14, panel.shape[0] - 20
    span = float(times_ms[-1] - times_ms[0]) or 1.0
    x = left + (times_ms - times_ms[0]) / span * (right - left)
    y = bottom - values / (1.05 * values.max()) * (bottom - top)
    cv2.line(panel, (left, bottom), (right, bottom), _DIM, 1)
    line = np.stack([x, y], axis=1).round().astype(np.int32)
    cv2.polylines(panel, [line], False, COLOURS[Structure.LV_CAVITY], 1, cv2.LINE_AA)
    for index in (int(np.argmax(values)), int(np.argmin(values))):
        cv2.circle(panel, (int(line[index, 0]), int(line[index, 1])), 3, _TEXT, -1, cv2.LINE_AA)
        _write(panel, f"{values[index]:.0f}", at=(6, int(line[index, 1]) + 4), size=0.4, colour=_DIM)
    _write(panel, name, at=(left, panel.shape[0] - 6), size=0.38, colour=_DIM)
    _write(panel, f"{span / 1000:.1f} s", at=(right - 36, panel.shape[0] - 6), size=0.38, colour=_DIM)


def _write(
    picture: Picture,
    text: str,
    *,
    at: tuple[int, int],
    size: float,
    colour: tuple[int, int, int] = _TEXT,
) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
