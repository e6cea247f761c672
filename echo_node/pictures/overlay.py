"""A clip's findings on its own frames: outlines or wall lines in the sector, words and the curve beside it.

Words and curve are laid out once per clip, where the least ultrasound and the least of what the cart
wrote would be covered.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

import echo_node.pictures.marks as marks
from echo_node.pictures.cine import Cine, Picture
from echo_node.records import ClipAnalysis

BANNER = "AI, not for diagnosis"
_BANNER_COLOUR = (255, 110, 90)
_ROWS_AT_SCALE_1 = 520  # of the picture: words of 0.42 are then easily read
_SCALES = (0.55, 2.5)
_WORDS, _LINE = 0.42, 17  # size, and pixels from line to line, at scale 1
_CHARACTERS = 26  # of a line
_CURVES = ((0.34, 0.17), (0.28, 0.15), (0.22, 0.13))  # shares of width and height; the largest that fits is taken
_LOOKED_AT = 4  # frames: text stands on all of them, a trace moves
_LIT = 24  # grey levels: what is brighter is something that the cart wrote
_SECTOR_COST = 1000.0  # of a pixel of ultrasound that is covered, against one of text

Box = tuple[int, int, int, int]  # top, left, height, width


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """How a clip's findings are drawn on its frames."""

    analysis: ClipAnalysis
    times_ms: npt.NDArray[np.float64] | None  # [T] of all frames
    scale: float  # of words and lines
    words: Box
    curve: Box | None  # None where no curve was found

    def draw(self, frame: Picture, number: int) -> Picture:
        """A copy of a frame u8 [H,W,3] with what was found; ``number`` counts from 1."""
        picture = np.ascontiguousarray(frame).copy()
        marks.draw_findings(picture, self.analysis, number, scale=self.scale)
        if self.curve is not None:
            self._draw_curve(_darkened(picture, self.curve), number)
        self._write(_darkened(picture, self.words), number)
        return picture

    def _draw_curve(self, panel: Picture, number: int) -> None:
        found, cycle, times = marks.curve_of(self.analysis), self.analysis.cycle, self.times_ms
        if found is None or cycle is None or times is None:
            return
        name, values, times_ms = found
        moments = {label: float(times[n - 1]) for label, n in zip(("ED", "ES"), cycle, strict=True)}
        marks.draw_curve(
            panel, values, times_ms, name=name, scale=0.9 * self.scale, now_ms=times[number - 1], marked_ms=moments
        )

    def _write(self, panel: Picture, number: int) -> None:
        for position, line in enumerate(_lines(self.analysis), start=1):
            colour = _BANNER_COLOUR if line == BANNER else marks.TEXT
            at = (round(3 * self.scale), round((position * _LINE - 4) * self.scale))
            marks.write(panel, line, at=at, size=_WORDS * self.scale, colour=colour)
        foot = panel.shape[0] - round(6 * self.scale)
        left = round(3 * self.scale)
        for label, frame in zip(("ED", "ES"), self.analysis.cycle or (), strict=False):
            is_now = frame == number
            words = f"{label} {frame}"
            marks.write(
                panel, words, at=(left, foot), size=_WORDS * self.scale, colour=marks.TEXT if is_now else marks.DIM
            )
            width, _ = marks.text_size(words, _WORDS * self.scale)
            if is_now:
                under = foot + max(2, round(3 * self.scale))
                cv2.line(panel, (left, under), (left + width, under), marks.TEXT, max(1, round(self.scale)))
            left += width + round(12 * self.scale)


def plan_overlay(analysis: ClipAnalysis, cine: Cine) -> Overlay:
    """Find room for words and curve.

    Parameters
    ----------
    analysis : ClipAnalysis
        With masks or wall points.
    cine : Cine
        The clip's frames; a few are looked at.
    """
    rows, cols = cine.sector.shape
    scale = float(np.clip(rows / _ROWS_AT_SCALE_1, *_SCALES))
    cost = _cost(cine)
    words = _find_room(cost, _words_size(analysis, scale))
    curve = None
    if marks.curve_of(analysis) is not None and cine.times_ms is not None:
        _take(cost, words)
        sizes = [(max(8, round(rows * high)), max(8, round(cols * wide))) for wide, high in _CURVES]
        boxes = [_find_room(cost, size) for size in sizes]
        curve = next((box for box in boxes if _covered(cost, box) < _SECTOR_COST), boxes[-1])
    return Overlay(analysis=analysis, times_ms=cine.times_ms, scale=scale, words=words, curve=curve)


def _lines(analysis: ClipAnalysis) -> list[str]:
    """Banner, view, and each number, or why there is none; what a person outlined."""
    numbers = [marks.said(m) for m in analysis.measurements]
    if analysis.outcome is not None:
        numbers = textwrap.wrap(f"not measured: {analysis.outcome.code.meaning}", _CHARACTERS)
    edited = textwrap.wrap(marks.edited_line(analysis), _CHARACTERS)
    return [BANNER, marks.headline(analysis), *numbers, *edited]


def _words_size(analysis: ClipAnalysis, scale: float) -> tuple[int, int]:
    lines = _lines(analysis)
    width = max(marks.text_size(line, _WORDS * scale)[0] for line in lines)
    count = len(lines) + (analysis.cycle is not None)
    return round((count * _LINE + 8) * scale), width + round(8 * scale)


def _cost(cine: Cine) -> npt.NDArray[np.float64]:
    """What it costs to cover each pixel [H,W]."""
    indices = sorted(set(np.linspace(0, cine.NumberOfFrames - 1, _LOOKED_AT).astype(int).tolist()))
    lit = np.zeros(cine.sector.shape, np.bool_)
    for frame in cine.colours(indices):
        lit |= frame.max(axis=-1) > _LIT
    return np.where(cine.sector, _SECTOR_COST, lit.astype(np.float64))


def _find_room(cost: npt.NDArray[np.float64], size: tuple[int, int]) -> Box:
    """The box of a size (height, width) that costs least; of equal ones the nearest to a corner."""
    rows, cols = cost.shape
    height, width = min(size[0], rows), min(size[1], cols)
    total = cv2.integral(cost)  # [H+1,W+1]
    covered = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    top, left = np.arange(covered.shape[0]), np.arange(covered.shape[1])
    from_corner = np.minimum(top, top[::-1])[:, None] + np.minimum(left, left[::-1])[None, :]
    best = np.argmin(np.rint(covered) + from_corner / (rows + cols))
    at = np.unravel_index(best, covered.shape)
    return int(at[0]), int(at[1]), height, width


def _covered(cost: npt.NDArray[np.float64], box: Box) -> float:
    top, left, height, width = box
    return float(cost[top : top + height, left : left + width].sum())


def _take(cost: npt.NDArray[np.float64], box: Box) -> None:
    """Nothing else shall be drawn there, in place."""
    top, left, height, width = box
    cost[top : top + height, left : left + width] += _SECTOR_COST


def _darkened(picture: Picture, box: Box) -> Picture:
    """A part of a picture, made darker in place, so that words on it are read."""
    top, left, height, width = box
    panel = picture[top : top + height, left : left + width]
    panel //= 3
    return panel
