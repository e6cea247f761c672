"""A clip as one tile: its view, end diastole and end systole, and its curve; tiles on a sheet."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

import echo_node.pictures.marks as marks
from echo_node.pictures.cine import Picture
from echo_node.records import Clip, ClipAnalysis

TILE_WIDTH, TILE_HEIGHT = 640, 470
_HEADER, _FOOTER = 46, 96
_MARGIN = 6
_SHOWN_WIDTH = 311  # of each of two frames in a tile


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
    tile = np.full((TILE_HEIGHT, TILE_WIDTH, 3), marks.BACKGROUND, np.uint8)
    marks.write(tile, marks.headline(analysis), at=(10, 19), size=0.52)
    marks.write(tile, _verdict(analysis), at=(10, 38), size=0.42, colour=marks.DIM)
    frames = _shown_frames(clip, analysis)
    width = (TILE_WIDTH - _MARGIN) // len(frames) - _MARGIN
    height = TILE_HEIGHT - _HEADER - _FOOTER
    for position, (label, number) in enumerate(frames):
        grey = clip.frames[clip.frame_numbers.index(number)]
        colour = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
        picture = _fit(drawn_frame(colour, clip.sector, analysis, number, shown_width=_SHOWN_WIDTH), width, height)
        left = _MARGIN + position * (width + _MARGIN)
        tile[_HEADER : _HEADER + height, left : left + width] = picture
        marks.write(tile, f"{label} {number}", at=(left + 6, _HEADER + 16), size=0.42, colour=marks.DIM)
    curve = marks.curve_of(analysis)
    if curve is not None:
        name, values, times_ms = curve
        moments = _moments(clip, analysis)
        marks.draw_curve(tile[TILE_HEIGHT - _FOOTER :], values, times_ms, name=name, marked_ms=moments)
    return tile


def _moments(clip: Clip, analysis: ClipAnalysis) -> dict[str, float]:
    """When end diastole and end systole are, in ms."""
    if analysis.cycle is None or clip.times_ms is None:
        return {}
    at = [clip.frame_numbers.index(number) for number in analysis.cycle]
    return {label: float(clip.times_ms[index]) for label, index in zip(("ED", "ES"), at, strict=True)}


def drawn_frame(
    colour: Picture, sector: npt.NDArray[np.bool_], analysis: ClipAnalysis, number: int, *, shown_width: int
) -> Picture:
    """A frame with what was found on it, cut to its sector [H,W]; what stood beside the sector is black.

    Lines and words are drawn for a picture that is shown ``shown_width`` pixels wide.
    """
    rows, cols = (slice(int(i.min()), int(i.max()) + 1) for i in np.nonzero(sector))
    picture = np.where(sector[..., None], colour, np.uint8(0))
    shown = max(rows.stop - rows.start, cols.stop - cols.start)
    marks.draw_findings(picture, analysis, number, scale=shown / shown_width)
    return picture[rows, cols]


def contact_sheet(tiles: Sequence[Picture], *, title: str, columns: int = 3) -> Picture:
    """Tiles in rows under a title line."""
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * TILE_HEIGHT + 60, columns * TILE_WIDTH, 3), marks.BACKGROUND, np.uint8)
    marks.write(sheet, title, at=(12, 26), size=0.7)
    marks.write(sheet, "Research use, not for diagnosis", at=(12, 48), size=0.45, colour=marks.DIM)
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


def _verdict(analysis: ClipAnalysis) -> str:
    if analysis.outcome is not None:
        return f"not measured: {analysis.outcome.code.meaning}"
    return "   ".join(marks.said(m) for m in analysis.measurements)


def _shown_frames(clip: Clip, analysis: ClipAnalysis) -> list[tuple[str, int]]:
    if analysis.cycle is None:
        return [("frame", clip.frame_numbers[len(clip.frame_numbers) // 2])]
    return list(zip(("ED frame", "ES frame"), analysis.cycle, strict=True))


def _fit(picture: Picture, width: int, height: int) -> Picture:
    """The picture scaled into a box, its aspect kept."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    box = np.full((height, width, 3), marks.BACKGROUND, np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    box[top : top + size[1], left : left + size[0]] = scaled
    return box
