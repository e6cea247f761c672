"""Vendors' screens around the sector: what a node sees first and must look through."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from echo_node.phantom.heart import Patient

Colour = tuple[int, int, int]
Frames = npt.NDArray[np.uint8]

_SIZES = ((480, 640), (600, 800), (708, 1016), (720, 960), (768, 1024))
_TEXT_COLOURS: tuple[Colour, ...] = ((220, 220, 220), (255, 255, 160), (160, 220, 255))
_ECG_COLOURS: tuple[Colour, ...] = ((0, 255, 90), (0, 230, 230), (240, 240, 60))
_BARS: tuple[Colour | None, ...] = (None, None, (38, 42, 58), (20, 45, 80))
_TINTS = ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 0.94, 0.82), (0.86, 0.95, 1.0))


class Ticks(enum.Enum):
    """Where a vendor marks the depth."""

    RIGHT = "a ruler beside the sector"
    EDGES = "dots along both edges of the sector"


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A layout."""

    rows: int
    cols: int
    sector_size: int  # pixels of the sector's longer side
    top: int
    left_share: float  # of the room beside the sector
    text: Colour
    text_share: float  # of the width: where the column of settings starts
    ecg: Colour
    ecg_row: float  # share of the height
    tint: tuple[float, float, float]
    banner: Colour | None  # a bar along the top
    menu: Colour | None  # a bar along the bottom
    ticks: Ticks
    bar_on_left: bool
    mark_on_right: bool
    has_ecg: bool


def sample_screen(rng: np.random.Generator) -> Screen:
    """A vendor and its settings; the sector takes 40 to 90 % of the height."""
    rows, cols = _SIZES[rng.integers(len(_SIZES))]
    banner = _BARS[rng.integers(len(_BARS))]
    return Screen(
        rows=rows,
        cols=cols,
        sector_size=int(min(rows * rng.uniform(0.6, 0.9), 0.9 * cols)),
        top=int(rows * (rng.uniform(0.03, 0.08) if banner is None else rng.uniform(0.08, 0.1))),
        left_share=float(rng.uniform(0.3, 0.7)),
        text=_TEXT_COLOURS[rng.integers(len(_TEXT_COLOURS))],
        text_share=float(rng.choice([0.012, 0.78])),
        ecg=_ECG_COLOURS[rng.integers(len(_ECG_COLOURS))],
        ecg_row=float(rng.uniform(0.92, 0.965)),
        tint=_TINTS[rng.integers(len(_TINTS))],
        banner=banner,
        menu=_BARS[rng.integers(len(_BARS))],
        ticks=list(Ticks)[rng.integers(len(Ticks))],
        bar_on_left=bool(rng.uniform() < 0.5),
        mark_on_right=bool(rng.uniform() < 0.8),
        has_ecg=bool(rng.uniform() < 0.8),
    )


def compose(
    frames: Frames,
    sector: npt.NDArray[np.bool_],
    screen: Screen,
    *,
    times_ms: npt.NDArray[np.float64],
    patient: Patient,
    rng: np.random.Generator,
) -> tuple[Frames, tuple[int, int]]:
    """Put a sector on a screen.

    Parameters
    ----------
    frames : u8 [T,h,w]
        The sector's box.
    sector : bool [h,w]
        Where the sector is in it.
    screen : Screen
        The layout.
    times_ms : float [T]
        Frame times, for the ECG.
    patient : Patient
        For the heart rate that is shown.
    rng : numpy Generator
        For the settings that are shown.

    Returns
    -------
    u8 [T,rows,cols,3], (top, left)
        RGB frames, and where the sector's box lies.
    """
    _, height, width = frames.shape
    top = min(screen.top, screen.rows - height)
    left = int((screen.cols - width) * screen.left_share)
    frame = _furniture(screen, sector, top=top, left=left, patient=patient, rng=rng)
    out = np.repeat(frame[None], len(frames), axis=0)
    tint = np.array(screen.tint)
    for t, grey in enumerate(frames):
        box = out[t, top : top + height, left : left + width]
        box[sector] = (grey[sector][:, None] * tint).astype(np.uint8)
        if screen.has_ecg:
            _draw_ecg(out[t], screen, patient, now_ms=float(times_ms[t]), span_ms=float(times_ms[-1]) + 1)
    return out, (top, left)


def _furniture(
    screen: Screen,
    sector: npt.NDArray[np.bool_],
    *,
    top: int,
    left: int,
    patient: Patient,
    rng: np.random.Generator,
) -> Frames:
    """Everything that stands still: bars, text, grey bar, depth ticks, probe mark."""
    frame = np.zeros((screen.rows, screen.cols, 3), np.uint8)
    unit = screen.rows / 768
    if screen.banner is not None:
        frame[: int(0.07 * screen.rows)] = screen.banner
    if screen.menu is not None:
        frame[int(0.972 * screen.rows) :] = screen.menu
    _settings(frame, screen, patient, rng)
    bar = np.linspace(255, 0, int(0.3 * screen.rows)).astype(np.uint8)
    first = 8 if screen.bar_on_left else screen.cols - 22
    frame[top : top + len(bar), first : first + 12] = bar[:, None, None]
    _ticks(frame, screen, sector, top=top, left=left)
    side = 1 if screen.mark_on_right else -1
    mark = (left + sector.shape[1] // 2 + side * int(0.07 * screen.rows), top + int(0.02 * screen.rows))
    cv2.circle(frame, mark, max(3, int(6 * unit)), screen.text, -1)
    return frame


def _settings(frame: Frames, screen: Screen, patient: Patient, rng: np.random.Generator) -> None:
    """The patient's banner, the column of settings and the heart rate."""
    unit = screen.rows / 768
    lines = [
        f"{rng.uniform(1.7, 3.6):.1f} MHz",
        f"{rng.integers(30, 80)} Hz",
        f"{rng.uniform(10, 22):.0f} cm",
        f"MI {rng.uniform(0.7, 1.5):.1f}",
        f"C {rng.integers(40, 70)}",
        "P Low",
        f"{rng.integers(45, 70)} dB",
    ]
    _write(frame, "PHANTOM 000001", (6, int(26 * unit)), 0.64 * unit, screen.text)
    left = int(screen.text_share * screen.cols) + 18
    for number, line in enumerate(lines[: rng.integers(3, 8)]):
        _write(frame, line, (left, int((100 + 30 * number) * unit)), 0.6 * unit, screen.text)
    rate = f"{patient.heart_rate:.0f} bpm"
    _write(frame, rate, (screen.cols - int(150 * unit), screen.rows - int(30 * unit)), 0.64 * unit, screen.text)


def _ticks(frame: Frames, screen: Screen, sector: npt.NDArray[np.bool_], *, top: int, left: int) -> None:
    """Marks of depth beside the sector, or along its edges."""
    height, width = sector.shape
    for tick in range(1, 16):
        row = int(height * tick / 15.5)
        if screen.ticks is Ticks.RIGHT:
            column = min(left + width + 12, screen.cols - 30)
            frame[top + row : top + row + 2, column : column + (10 if tick % 5 == 0 else 5)] = screen.text
        elif sector[row].any():
            across = np.flatnonzero(sector[row])[[0, -1]] + [left - 4, left + 4]
            for column in np.clip(across, 0, screen.cols - 2):
                frame[top + row : top + row + 2, column : column + 2] = screen.text


def _draw_ecg(frame: Frames, screen: Screen, patient: Patient, *, now_ms: float, span_ms: float) -> None:
    """The trace up to now, along the bottom."""
    columns = np.arange(int(0.1 * screen.cols), int(0.8 * screen.cols))
    shown_ms = (columns - columns[0]) / len(columns) * span_ms
    phase = (shown_ms / patient.beat_ms) % 1.0
    wave = 0.15 * _bump(phase, 0.88, 0.025) - 0.2 * _bump(phase, 0.975, 0.008)
    wave += 1.0 * _bump(phase, 0.0, 0.012) + 1.0 * _bump(phase, 1.0, 0.012)
    wave += -0.3 * _bump(phase, 0.03, 0.01) + 0.3 * _bump(phase, 0.3, 0.04)
    rows = (screen.ecg_row - wave * 0.05) * screen.rows
    points = np.stack([columns, rows], axis=1).astype(np.int32)[shown_ms <= now_ms]
    if len(points) > 1:
        cv2.polylines(frame, [points], False, screen.ecg, 1 + screen.rows // 700)


def _bump(phase: npt.NDArray[np.float64], at: float, width: float) -> npt.NDArray[np.float64]:
    bump: npt.NDArray[np.float64] = np.exp(-(((phase - at) / width) ** 2))
    return bump


def _write(frame: Frames, text: str, at: tuple[int, int], scale: float, colour: Colour) -> None:
    cv2.putText(frame, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
