"""Doppler and M-mode stills: what carts send beside their clips, and nothing here may measure."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from echo_node.codes import ImageMode, Structure, View
from echo_node.phantom.clips import SimulatedClip, simulate_clip
from echo_node.phantom.heart import Patient, moment
from echo_node.phantom.others import Field, spectrum
from echo_node.phantom.screen import Screen

MODES = (
    ImageMode.COLOUR_FLOW,
    ImageMode.PW_DOPPLER,
    ImageMode.CW_DOPPLER,
    ImageMode.TISSUE_DOPPLER,
    ImageMode.M_MODE,
)

_CHAMBERS = (Structure.LV_CAVITY, Structure.LA, Structure.RV, Structure.RA)
_STRIP_FROM = 0.55  # of the height: a strip below a small picture
_SWEEP_BEATS = 3.0  # over a strip
_MOMENTS = 48  # per beat, of an M-mode
_FASTEST = 0.9  # of half the strip's height: the annulus at its fastest


def simulate_still(patient: Patient, mode: ImageMode, *, rng: np.random.Generator, screen: Screen) -> SimulatedClip:
    """A Doppler or M-mode still on a screen, frames u8 [1,H,W,3]; its view is OTHER.

    ``sector`` is where the echoes are: the sector for colour flow, the strip for what runs over time.

    Parameters
    ----------
    patient : Patient
        Whose apical four-chamber view it starts from, or the long axis for an M-mode.
    mode : ImageMode
        One of :data:`MODES`.
    rng : numpy Generator
        The same state gives the same bytes.
    screen : Screen
        The vendor's layout.
    """
    assert mode in MODES, f"no still of {mode.name}"
    view = View.PLAX if mode is ImageMode.M_MODE else View.A4C
    flat = simulate_clip(patient, view, rng=rng, screen=screen, frames=1)
    if mode is ImageMode.COLOUR_FLOW:
        frame, sector = _with_colour(flat, rng)
    else:
        frame, sector = _with_strip(flat, _STRIPS[mode](patient, rng))
    return replace(
        flat,
        frames=frame[None],
        sector=sector,
        view=View.OTHER,
        mode=mode,
        masks={},
        landmarks={},
        spacing_mm=flat.spacing_mm if mode is ImageMode.COLOUR_FLOW else None,
        foreshortening=None,
    )


def _with_colour(
    flat: SimulatedClip, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """A colour box over the chambers: red towards the probe, blue away, turning over where it aliases."""
    frame = flat.frames[0].copy()
    rows, cols = frame.shape[:2]
    blood = np.any([flat.masks[s][0] for s in _CHAMBERS if s in flat.masks], axis=0)
    r, c = np.mgrid[0:rows, 0:cols]
    places = np.argwhere(blood if blood.any() else flat.sector)
    middle, spread = places.mean(axis=0), 1.2 * places.std(axis=0)
    box = flat.sector & (np.abs(r - middle[0]) < spread[0]) & (np.abs(c - middle[1]) < spread[1])
    noise = rng.standard_normal((rows, cols)).astype(np.float32)
    flow = np.asarray(cv2.GaussianBlur(noise, (0, 0), rows / 40), np.float32)
    flow = flow / (flow.std() + 1e-6) * 0.7
    wrapped = (flow + 1) % 2 - 1
    shown = box & blood & (np.abs(wrapped) > 0.12)
    frame[shown] = _velocity_colour(wrapped[shown])
    bar = np.linspace(1, -1, int(0.2 * rows), dtype=np.float32)
    frame[int(0.1 * rows) : int(0.1 * rows) + len(bar), cols - 44 : cols - 30] = _velocity_colour(bar)[:, None]
    edges = cv2.findContours(box.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(frame, edges, -1, (220, 220, 220), 1)
    return frame, flat.sector


def _velocity_colour(velocity: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Velocities [...] in -1 to 1 as RGB [...,3]."""
    towards, strength = velocity > 0, np.abs(velocity)
    strong, weak = 110 + 145 * strength, 230 * strength**2
    rgb = np.stack([np.where(towards, strong, 0), weak, np.where(towards, 0, strong)], axis=-1)
    return np.asarray(rgb, np.uint8)


def _with_strip(flat: SimulatedClip, strip: Field) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """A strip over time, 0 to 1, under a small picture."""
    whole = flat.frames[0]
    rows, cols = whole.shape[:2]
    frame = np.zeros_like(whole)
    small = cv2.resize(whole, (cols // 2, rows // 2), interpolation=cv2.INTER_AREA)
    frame[: rows // 2, cols // 4 : cols // 4 + cols // 2] = small
    top, bottom = int(_STRIP_FROM * rows), int(0.95 * rows)
    left, right = int(0.06 * cols), int(0.92 * cols)
    shown = cv2.resize(strip, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    frame[top:bottom, left:right] = (np.clip(shown, 0, 1) * 255)[..., None].astype(np.uint8)
    for tick in range(1, 8):
        row = top + (bottom - top) * tick // 8
        frame[row, right : right + 8] = 220
    sector = np.zeros((rows, cols), np.bool_)
    sector[top:bottom, left:right] = True
    return frame, sector


def _of_blood(patient: Patient, rng: np.random.Generator) -> Field:
    """Velocities of blood: a beat's jets."""
    del patient
    return spectrum(rng, _STRIP_SIZE[0], _STRIP_SIZE[1])


def _of_annulus(patient: Patient, rng: np.random.Generator) -> Field:
    """Velocities of the mitral annulus: down in systole, back in early and in late diastole."""
    rows, cols = _STRIP_SIZE
    phases = rng.uniform() + np.arange(cols) / cols * _SWEEP_BEATS
    base = np.array([moment(patient, float(phase)).base for phase in phases])
    velocity = np.gradient(base)
    row = rows / 2 - velocity / (np.abs(velocity).max() + 1e-9) * _FASTEST * rows / 2
    off = (np.arange(rows)[:, None] - row[None]) / (rng.uniform(0.03, 0.07) * rows)
    grain = 0.75 + 0.25 * rng.standard_normal((rows, cols))
    return np.asarray(np.exp(-(off**2)) * grain, np.float32)


def _of_beam(patient: Patient, rng: np.random.Generator) -> Field:
    """One beam of the long axis over time."""
    clip = simulate_clip(patient, View.PLAX, rng=rng, frames=_MOMENTS, size=_STRIP_SIZE[0])
    rows = np.flatnonzero(clip.sector.any(axis=1))
    beam = clip.frames[:, rows[0] : rows[-1] + 1, clip.sector.shape[1] // 2]  # [T,rows]
    beats = np.tile(beam.T, int(_SWEEP_BEATS))
    return np.asarray(beats / 255.0, np.float32)


_STRIP_SIZE = (192, 512)
_STRIPS = {
    ImageMode.PW_DOPPLER: _of_blood,
    ImageMode.CW_DOPPLER: _of_blood,
    ImageMode.TISSUE_DOPPLER: _of_annulus,
    ImageMode.M_MODE: _of_beam,
}
