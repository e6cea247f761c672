"""Pictures for people: a clip with its masks, its view and its volume curve; a sheet of clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from echo_node.codes import Structure
from echo_node.records import Clip, ClipAnalysis, Segmentation, VolumeCurve

Picture = npt.NDArray[np.uint8]  # [H,W,3], RGB

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


def clip_tile(clip: Clip, analysis: ClipAnalysis) -> Picture:
    """One clip: its view, end diastole and end systole with outlines, and the volume curve.

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
    frames = _shown_frames(clip, analysis.curve)
    width = (TILE_WIDTH - _MARGIN) // len(frames) - _MARGIN
    height = TILE_HEIGHT - _HEADER - _FOOTER
    for position, (label, number) in enumerate(frames):
        picture = _fit(_outlined(clip, analysis.segmentations, number), width, height)
        left = _MARGIN + position * (width + _MARGIN)
        tile[_HEADER : _HEADER + height, left : left + width] = picture
        _write(tile, f"{label} {number}", at=(left + 6, _HEADER + 16), size=0.42, colour=_DIM)
    if analysis.curve is not None:
        calibrated = analysis.spacing_mm is not None
        _draw_curve(tile[TILE_HEIGHT - _FOOTER :], analysis.curve, unit="ml" if calibrated else "")
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
    return "   ".join(
        f"{m.quantity.name.removeprefix('LV_')} {m.value:.0f} {m.unit.code.value}" for m in analysis.measurements
    )


def _shown_frames(clip: Clip, curve: VolumeCurve | None) -> list[tuple[str, int]]:
    if curve is None:
        return [("frame", clip.frame_numbers[len(clip.frame_numbers) // 2])]
    return [("ED frame", curve.ed_frame), ("ES frame", curve.es_frame)]


def _outlined(clip: Clip, segmentations: Sequence[Segmentation], number: int) -> Picture:
    """One frame with the outline of every structure that has a mask there."""
    grey = clip.frames[clip.frame_numbers.index(number)]
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    thickness = max(1, grey.shape[0] // 300)
    for segmentation in segmentations:
        if number not in segmentation.frame_numbers:
            continue
        mask = segmentation.masks[segmentation.frame_numbers.index(number)].astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, COLOURS[segmentation.structure], thickness, cv2.LINE_AA)
    rows, cols = np.nonzero(clip.sector)
    return np.asarray(picture[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1], np.uint8)


def _fit(picture: Picture, width: int, height: int) -> Picture:
    """The picture scaled into a box, its aspect kept."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    box = np.full((height, width, 3), _BACKGROUND, np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    box[top : top + size[1], left : left + size[0]] = scaled
    return box


def _draw_curve(panel: Picture, curve: VolumeCurve, *, unit: str) -> None:
    """The volume curve with its end diastole and end systole, into the panel."""
    left, right, top, bottom = 60, panel.shape[1] - 16, 14, panel.shape[0] - 20
    low, high = 0.0, float(curve.volumes_ml.max()) * 1.05
    span = float(curve.times_ms[-1] - curve.times_ms[0]) or 1.0
    x = left + (curve.times_ms - curve.times_ms[0]) / span * (right - left)
    y = bottom - (curve.volumes_ml - low) / (high - low) * (bottom - top)
    cv2.line(panel, (left, bottom), (right, bottom), _DIM, 1)
    line = np.stack([x, y], axis=1).round().astype(np.int32)
    cv2.polylines(panel, [line], False, COLOURS[Structure.LV_CAVITY], 1, cv2.LINE_AA)
    for index in (int(np.argmax(curve.volumes_ml)), int(np.argmin(curve.volumes_ml))):
        cv2.circle(panel, (int(line[index, 0]), int(line[index, 1])), 3, _TEXT, -1, cv2.LINE_AA)
        text = f"{curve.volumes_ml[index]:.0f}"
        _write(panel, text, at=(6, int(line[index, 1]) + 4), size=0.4, colour=_DIM)
    _write(panel, f"LV volume {unit}".rstrip(), at=(left, panel.shape[0] - 6), size=0.38, colour=_DIM)
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
