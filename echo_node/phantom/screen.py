"""Vendors' screens around the sector: what a node sees first and must look through."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from echo_node.phantom.heart import Patient

Colour = tuple[int, int, int]
Frames = npt.NDArray[np.uint8]

_SIZES = ((480, 640), (600, 800), (708, 1016), (768, 1024))
_TEXT_COLOURS: tuple[Colour, ...] = ((220, 220, 220), (255, 255, 160), (160, 220, 255))
_ECG_COLOURS: tuple[Colour, ...] = ((0, 255, 90), (0, 230, 230), (240, 240, 60))
_TINTS = ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 0.94, 0.82), (0.86, 0.95, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A layout."""

    rows: int
    cols: int
    sector_size: int  # pixels of the sector's longer side
    top: int
    left_share: float  # of the room beside the sector
    text: Colour
    ecg: Colour
    tint: tuple[float, float, float]
    mark_on_right: bool
    has_ecg: bool


def sample_screen(rng: np.random.Generator) -> Screen:
    """A vendor and its settings."""
    rows, cols = _SIZES[rng.integers(len(_SIZES))]
    return Screen(
        rows=rows,
        cols=cols,
        sector_size=int(rows * rng.uniform(0.6, 0.86)),
        top=int(rows * rng.uniform(0.04, 0.09)),
        left_share=float(rng.uniform(0.35, 0.65)),
        text=_TEXT_COLOURS[rng.integers(len(_TEXT_COLOURS))],
        ecg=_ECG_COLOURS[rng.integers(len(_ECG_COLOURS))],
        tint=_TINTS[rng.integers(len(_TINTS))],
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
    top, left = screen.top, int((screen.cols - width) * screen.left_share)
    frame = _furniture(screen, top=top, left=left, height=height, width=width, patient=patient, rng=rng)
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
    *,
    top: int,
    left: int,
    height: int,
    width: int,
    patient: Patient,
    rng: np.random.Generator,
) -> Frames:
    """Everything that stands still: text, grey bar, depth ticks, probe mark."""
    frame = np.zeros((screen.rows, screen.cols, 3), np.uint8)
    scale = screen.rows / 1200
    lines = [
        "PHANTOM 000001",
        f"{rng.uniform(1.7, 3.6):.1f} MHz",
        f"{rng.integers(30, 80)} Hz",
        f"{rng.uniform(10, 22):.0f} cm",
        f"MI {rng.uniform(0.7, 1.5):.1f}",
        f"C {rng.integers(40, 70)}",
    ]
    for number, line in enumerate(lines):
        _write(
            frame, line, (int(6 + 4 * scale), int((24 + 34 * number) * screen.rows / 768)), scale, screen.text
        )
    rate = f"{patient.heart_rate:.0f} bpm"
    _write(frame, rate, (screen.cols - int(150 * screen.rows / 768), screen.rows - 12), scale, screen.text)
    bar = np.linspace(255, 0, int(0.3 * screen.rows)).astype(np.uint8)
    frame[top : top + len(bar), screen.cols - 22 : screen.cols - 10] = bar[:, None, None]
    for tick in range(1, 16):
        row = top + int(height * tick / 15.5)
        column = min(left + width + 12, screen.cols - 30)
        frame[row : row + 2, column : column + (10 if tick % 5 == 0 else 5)] = screen.text
    side = 1 if screen.mark_on_right else -1
    mark = (left + width // 2 + side * int(0.07 * screen.rows), top + int(0.02 * screen.rows))
    cv2.circle(frame, mark, max(3, screen.rows // 130), screen.text, -1)
    return frame


def _draw_ecg(frame: Frames, screen: Screen, patient: Patient, *, now_ms: float, span_ms: float) -> None:
    """The trace up to now, along the bottom."""
    columns = np.arange(int(0.1 * screen.cols), int(0.8 * screen.cols))
    shown_ms = (columns - columns[0]) / len(columns) * span_ms
    phase = (shown_ms / patient.beat_ms) % 1.0
    wave = 0.15 * _bump(phase, 0.88, 0.025) - 0.2 * _bump(phase, 0.975, 0.008)
    wave += 1.0 * _bump(phase, 0.0, 0.012) + 1.0 * _bump(phase, 1.0, 0.012)
    wave += -0.3 * _bump(phase, 0.03, 0.01) + 0.3 * _bump(phase, 0.3, 0.04)
    rows = screen.rows - 0.035 * screen.rows - wave * 0.05 * screen.rows
    points = np.stack([columns, rows], axis=1).astype(np.int32)[shown_ms <= now_ms]
    if len(points) > 1:
        cv2.polylines(frame, [points], False, screen.ecg, 1 + screen.rows // 700)


def _bump(phase: npt.NDArray[np.float64], at: float, width: float) -> npt.NDArray[np.float64]:
    bump: npt.NDArray[np.float64] = np.exp(-(((phase - at) / width) ** 2))
    return bump


def _write(frame: Frames, text: str, at: tuple[int, int], scale: float, colour: Colour) -> None:
    cv2.putText(frame, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
