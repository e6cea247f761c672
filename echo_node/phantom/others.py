"""Pictures that show no heart: what a node meets between the clips that it can use."""

from __future__ import annotations

from dataclasses import replace

import array_api_compat.numpy as xp
import cv2
import numpy as np
import numpy.typing as npt

from echo_node.phantom.acoustics import Beams, beams, compressed, hashed
from echo_node.phantom.look import Look, sample_look
from echo_node.phantom.planes import Plane
from echo_node.phantom.scan import raster
from echo_node.phantom.weighted import Weighted, draw

Grey = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_POLAR_SHAPE = (200, 104)
_CONVEX = 0.4  # share of abdominal probes, with a wide curved face


class Kind(Weighted):
    """What is shown instead of a heart; the value is how often, against the others."""

    TISSUE = 6.0, "sector of tissue with cysts, vessels and layers"
    VESSEL = 2.0, "linear probe: layers and a tube"
    AIR = 1.5, "probe in air: reverberation lines"
    NOISE = 1.0, "gain without contact"
    STATIC = 1.0, "random texture"
    BLANK = 0.7, "nearly black"
    TEXT = 0.7, "a page of text"
    SPECTRUM = 0.7, "spectral Doppler"


def render(rng: np.random.Generator, *, frames: int, size: int, kind: Kind | None = None) -> tuple[Grey, Mask]:
    """Frames u8 [T,H,W] of one kind, and their sector bool [H,W].

    Parameters
    ----------
    rng : numpy Generator
        The same state gives the same bytes.
    frames : int
        How many.
    size : int
        Pixels of the longer side.
    kind : Kind, optional
        Drawn by weight where it is left out.
    """
    if kind is None:
        kind = draw(Kind, rng)
    if kind in _ECHOES:
        return _sector(rng, kind, frames, size)
    return _flat(rng, kind, frames, size)


def _sector(rng: np.random.Generator, kind: Kind, frames: int, size: int) -> tuple[Grey, Mask]:
    """A sector through the same acoustics as the heart's, so that only what it shows tells them apart."""
    look, depth = sample_look(rng), float(rng.uniform(60, 220))
    if rng.uniform() < _CONVEX:
        look = replace(look, near_mm=float(rng.uniform(20, 60)))
    if kind is Kind.NOISE:
        look = replace(look, noise_db=look.white_db - look.range_db * float(rng.uniform(0.3, 0.9)))
    plane = Plane(np.zeros(3), np.array([0.0, 0, 1]), np.array([1.0, 0, 0]), depth + look.near_mm)
    salt = int(rng.integers(1 << 20))
    grid = beams(xp, plane, look, shape=_POLAR_SHAPE, rng=rng, salt=salt)
    level = (_ECHOES[kind](rng, grid, look) * grid.texture).astype(np.float32)
    target = raster(
        xp, depth_mm=plane.depth, near_mm=look.near_mm, half_angle=look.half_angle,
        grid=_POLAR_SHAPE, size=size,
    )  # fmt: skip
    drift = rng.normal(0, 0.5, (3, 1, 1)).astype(np.float32)
    pictures = []
    for frame in range(frames):
        echo = level * hashed(xp, grid.table, grid.points + frame * drift, salt=salt)
        grey = compressed(xp, grid, echo, look, frame=frame)
        pictures.append(np.where(target.sector, np.clip(target.picture(xp, grey), 0, 1) * 255, 0))
    return np.stack(pictures).astype(np.uint8), target.sector


def _tissue(rng: np.random.Generator, grid: Beams, look: Look) -> Field:
    """Parenchyma with patches, cysts, vessels, lesions and bright interfaces, amplitude [A,L]."""
    right, down = grid.points[0], grid.points[2] - look.near_mm
    reach = float(down.max())
    level = grid.ground + 10 ** (float(rng.uniform(-14, 2)) / 20)
    for _ in range(rng.integers(0, 6)):
        y, x = rng.uniform(0.15, 0.9) * reach, rng.uniform(-0.5, 0.5) * reach
        a, b, turn = *(rng.uniform(0.03, 0.18, 2) * reach), rng.uniform(0, np.pi)
        a = a * rng.choice([1.0, 4.0])  # a vessel is long
        u = (right - x) * np.cos(turn) + (down - y) * np.sin(turn)
        v = -(right - x) * np.sin(turn) + (down - y) * np.cos(turn)
        off = np.sqrt((u / a) ** 2 + (v / b) ** 2)
        level = np.where(off < 1, level * 10 ** (rng.choice([-25, -18, -6, 5]) / 20), level)
        rim = np.exp(-(((off - 1) * min(a, b) / 1.2) ** 2))
        level = level + rng.uniform(0, 1.2) * rim
    for _ in range(rng.integers(0, 4)):
        bend = rng.normal(0, 0.004) * (right - rng.normal(0, 20)) ** 2
        line = rng.uniform(0.05, 0.95) * reach + rng.normal(0, 0.25) * right + bend
        level = level + rng.uniform(0.5, 5) * np.exp(-(((down - line) / rng.uniform(0.6, 2.5)) ** 2))
    return np.asarray(level, np.float32)


def _air(rng: np.random.Generator, grid: Beams, look: Look) -> Field:
    """Echoes to and fro between the face and itself: lines at even depths that fade."""
    down = grid.depth - look.near_mm
    period = rng.uniform(4, 25)
    lines = np.abs(np.cos(np.pi * down / period)) ** (10 ** rng.uniform(0.5, 2))
    fade = 10 ** (-down / rng.uniform(20, 120))
    return np.asarray(rng.uniform(0.5, 4) * lines * fade + 0 * grid.gain, np.float32)


def _nothing(rng: np.random.Generator, grid: Beams, look: Look) -> Field:
    del look
    return np.asarray(0 * grid.gain + 10 ** (rng.uniform(-70, -45) / 20), np.float32)


def _flat(rng: np.random.Generator, kind: Kind, frames: int, size: int) -> tuple[Grey, Mask]:
    """A rectangle: a linear probe, a still page."""
    aspect = rng.uniform(0.6, 1.6)
    rows, cols = (size, round(size / aspect)) if aspect > 1 else (round(size * aspect), size)
    whole = np.ones((rows, cols), np.bool_)
    level = _PAGES[kind](rng, rows, cols)
    if kind in (Kind.TEXT, Kind.SPECTRUM):
        return np.repeat((np.clip(level, 0, 1) * 255).astype(np.uint8)[None], frames, axis=0), whole
    drift, speckle = rng.normal(0, 0.6, 2), _speckle(rng, rows, cols)
    gain, contrast = rng.uniform(-0.15, 0.15), rng.uniform(0.7, 1.3)
    out = np.zeros((frames, rows, cols), np.uint8)
    for t in range(frames):
        shift = np.array([[1, 0, drift[0] * t], [0, 1, drift[1] * t]], np.float32)
        moved = cv2.warpAffine(level * speckle, shift, (cols, rows), borderMode=cv2.BORDER_REFLECT)
        fresh = _speckle(rng, rows, cols) * 0.06
        out[t] = np.clip((moved + fresh) * contrast + gain, 0, 1) * 255
    return out, whole


def _speckle(rng: np.random.Generator, rows: int, cols: int) -> Field:
    """Rayleigh speckle, wider than high, log-compressed to about 0 to 1."""
    parts = [
        cv2.GaussianBlur(rng.standard_normal((rows, cols)).astype(np.float32), (0, 0), 1.8, sigmaY=0.8)
        for _ in range(2)
    ]
    envelope = np.hypot(*parts) / np.std(parts[0])
    return np.asarray(np.clip(0.75 + 0.35 * np.log10(envelope + 1e-3), 0, 1.2), np.float32)


def _smooth(rng: np.random.Generator, rows: int, cols: int, scale: float) -> Field:
    """A random field of mean 0 and deviation 1 with structures of ``scale`` of the picture."""
    noise = rng.standard_normal((rows, cols)).astype(np.float32)
    field = np.asarray(cv2.GaussianBlur(noise, (0, 0), max(1.0, scale * rows)), np.float32)
    return np.asarray((field - field.mean()) / (field.std() + 1e-6), np.float32)


def _vessel(rng: np.random.Generator, rows: int, cols: int) -> Field:
    r, c = np.mgrid[0:rows, 0:cols]
    layers = np.interp(np.arange(rows), np.linspace(0, rows, 9), rng.uniform(0.25, 0.85, 9))
    level = np.repeat(layers[:, None], cols, axis=1) + 0.08 * _smooth(rng, rows, cols, 0.05)
    middle = rng.uniform(0.3, 0.7) * rows + rng.normal(0, 0.15) * (c - cols / 2)
    radius = rng.uniform(0.06, 0.2) * rows
    off = np.abs(r - middle) if rng.uniform() < 0.6 else np.hypot(r - middle, c - cols * rng.uniform(0.3, 0.7))
    level[off < radius] *= 0.15
    return np.asarray(level + 0.5 * np.exp(-(((off - radius) / 2) ** 2)), np.float32)


def _static(rng: np.random.Generator, rows: int, cols: int) -> Field:
    scales = rng.uniform(0.01, 0.15, 2)
    field = sum((_smooth(rng, rows, cols, float(s)) for s in scales), np.zeros((rows, cols), np.float32))
    return np.asarray(np.clip(0.5 + rng.uniform(0.1, 0.35) * field, 0, 1.2), np.float32)


def _text(rng: np.random.Generator, rows: int, cols: int) -> Field:
    paper = int(rng.choice([0, 0, 40, 230]))
    page, ink = np.full((rows, cols), paper, np.uint8), 255 if paper < 128 else 0
    step = max(9, rows // int(rng.integers(8, 18)))
    for row in range(step, rows, step):
        line = "".join(rng.choice(list("ABDEILMSV 0123456789.:"), rng.integers(6, 40)))
        cv2.putText(page, line, (4, row), cv2.FONT_HERSHEY_SIMPLEX, step / 45, ink, 1, cv2.LINE_AA)
    return (page / 255).astype(np.float32)


def spectrum(rng: np.random.Generator, rows: int, cols: int) -> Field:
    """Velocities over time [rows,cols] in 0 to 1: a beat's jets around a baseline, speckled."""
    base, beat = rng.uniform(0.3, 0.7) * rows, cols / rng.uniform(2, 6)
    phase = (np.arange(cols) / beat + rng.uniform()) % 1.0
    jet = sum(
        h * np.exp(-(((phase - at) / w) ** 2))
        for h, at, w in zip(rng.uniform(-1, 1, 3), rng.uniform(0.1, 0.9, 3), rng.uniform(0.04, 0.12, 3),
                            strict=True)
    )  # fmt: skip
    edge = base - jet / (np.abs(jet).max() + 1e-6) * 0.8 * np.where(jet > 0, base, rows - base)
    r = np.arange(rows)[:, None]
    inside = (r - base) * (r - edge[None]) < 0
    bright = np.where(inside, rng.uniform(0.3, 0.6) + 0.4 * np.exp(-(((r - edge) / (0.06 * rows)) ** 2)), 0.02)
    page = (bright * _speckle(rng, rows, cols)).astype(np.float32)
    page[int(base)] = 0.8
    return page


_ECHOES = {Kind.TISSUE: _tissue, Kind.AIR: _air, Kind.NOISE: _nothing, Kind.BLANK: _nothing}
_PAGES = {Kind.VESSEL: _vessel, Kind.STATIC: _static, Kind.TEXT: _text, Kind.SPECTRUM: spectrum}
