"""Pictures that show no heart: what a node meets between the clips that it can use."""

from __future__ import annotations

import enum

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]


class Kind(enum.Enum):
    """What is shown instead of a heart."""

    TISSUE = "sector of tissue with blobs and cysts"
    VESSEL = "linear probe: layers and a tube"
    AIR = "probe in air: reverberation lines"
    NOISE = "gain without contact"
    STATIC = "random texture"
    BLANK = "nearly black"


def render(
    rng: np.random.Generator, *, frames: int, size: int, kind: Kind | None = None
) -> tuple[Grey, npt.NDArray[np.bool_]]:
    """Frames u8 [T,H,W] of one kind, and their sector bool [H,W]."""
    kind = list(Kind)[rng.integers(len(Kind))] if kind is None else kind
    rows, cols = size, round(size * rng.uniform(0.75, 1.3))
    is_linear = kind is Kind.VESSEL or (kind is Kind.STATIC and rng.uniform() < 0.3)
    sector = np.ones((rows, cols), bool) if is_linear else _fan(rows, cols, rng)
    drift = rng.normal(0, 0.6, 2)
    level = _LEVELS[kind](rng, rows, cols)
    gain, contrast = rng.uniform(-0.15, 0.15), rng.uniform(0.7, 1.3)
    speckle = _speckle(rng, rows, cols)
    out = np.zeros((frames, rows, cols), np.uint8)
    for t in range(frames):
        shift = np.array([[1, 0, drift[0] * t], [0, 1, drift[1] * t]], np.float32)
        moved = cv2.warpAffine(level * speckle, shift, (cols, rows), borderMode=cv2.BORDER_REFLECT)
        fresh = _speckle(rng, rows, cols) * 0.06
        out[t] = np.where(sector, np.clip((moved + fresh) * contrast + gain, 0, 1) * 255, 0)
    return out, sector


def _fan(rows: int, cols: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """A sector, from a point or from a curved face."""
    half = rng.uniform(0.5, 0.85)
    apex = -rng.uniform(0, 0.5) * rows if rng.uniform() < 0.4 else 0.0
    r, c = np.mgrid[0:rows, 0:cols]
    far, angle = np.hypot(r - apex, c - cols / 2), np.arctan2(c - cols / 2, r - apex)
    return np.asarray((np.abs(angle) < half) & (far < rows - apex) & (far > -apex * 1.1), np.bool_)


def _speckle(rng: np.random.Generator, rows: int, cols: int) -> Field:
    """Rayleigh speckle, wider than high, log-compressed to about 0 to 1."""
    parts = [
        cv2.GaussianBlur(rng.standard_normal((rows, cols)).astype(np.float32), (0, 0), 1.8, sigmaY=0.8)
        for _ in range(2)
    ]
    envelope = np.hypot(*parts) / np.std(parts[0])
    return np.clip(0.75 + 0.35 * np.log10(envelope + 1e-3), 0, 1.2).astype(np.float32)


def _smooth(rng: np.random.Generator, rows: int, cols: int, scale: float) -> Field:
    """A random field of mean 0 and deviation 1 with structures of ``scale`` of the picture."""
    field = rng.standard_normal((rows, cols)).astype(np.float32)
    field = cv2.GaussianBlur(field, (0, 0), max(1.0, scale * rows))
    return np.asarray((field - field.mean()) / (field.std() + 1e-6), np.float32)


def _tissue(rng: np.random.Generator, rows: int, cols: int) -> Field:
    level = 0.5 + 0.12 * _smooth(rng, rows, cols, rng.uniform(0.02, 0.12))
    r, c = np.mgrid[0:rows, 0:cols]
    for _ in range(rng.integers(0, 5)):
        y, x = rng.uniform(0.2, 0.9) * rows, rng.uniform(0.1, 0.9) * cols
        a, b, turn = *(rng.uniform(0.03, 0.22, 2) * rows), rng.uniform(0, np.pi)
        u = (c - x) * np.cos(turn) + (r - y) * np.sin(turn)
        v = -(c - x) * np.sin(turn) + (r - y) * np.cos(turn)
        level[(u / a) ** 2 + (v / b) ** 2 < 1] *= rng.choice([0.1, 0.2, 0.6, 1.5])
    for _ in range(rng.integers(0, 4)):
        line = rng.uniform(0.1, 0.95) * rows + rng.normal(0, 0.25) * (c - cols / 2)
        level = level + rng.uniform(0.2, 0.5) * np.exp(-(((r - line) / rng.uniform(1, 4)) ** 2))
    return np.asarray(level, np.float32)


def _vessel(rng: np.random.Generator, rows: int, cols: int) -> Field:
    r, c = np.mgrid[0:rows, 0:cols]
    layers = np.interp(np.arange(rows), np.linspace(0, rows, 9), rng.uniform(0.25, 0.85, 9))
    level = np.repeat(layers[:, None], cols, axis=1) + 0.08 * _smooth(rng, rows, cols, 0.05)
    middle = rng.uniform(0.3, 0.7) * rows + rng.normal(0, 0.15) * (c - cols / 2)
    radius = rng.uniform(0.06, 0.2) * rows
    off = (
        np.abs(r - middle) if rng.uniform() < 0.6 else np.hypot(r - middle, c - cols * rng.uniform(0.3, 0.7))
    )
    level[off < radius] *= 0.15
    return np.asarray(level + 0.5 * np.exp(-(((off - radius) / 2) ** 2)), np.float32)


def _air(rng: np.random.Generator, rows: int, cols: int) -> Field:
    r = np.arange(rows, dtype=np.float32)[:, None] / rows
    lines = np.abs(np.sin(np.pi * r * rng.uniform(6, 25))) ** rng.uniform(2, 10)
    fade = np.exp(-r * rng.uniform(2, 8)) * rng.uniform(0.5, 1.3)
    return np.asarray(np.repeat(lines * fade, cols, axis=1) + 0.02, np.float32)


def _noise(rng: np.random.Generator, rows: int, cols: int) -> Field:
    r = np.arange(rows, dtype=np.float32)[:, None] / rows
    return np.asarray(np.repeat(rng.uniform(0, 0.4) + rng.uniform(0, 0.6) * r, cols, axis=1), np.float32)


def _static(rng: np.random.Generator, rows: int, cols: int) -> Field:
    scales = rng.uniform(0.01, 0.15, 2)
    field = sum((_smooth(rng, rows, cols, float(s)) for s in scales), np.zeros((rows, cols), np.float32))
    return np.asarray(np.clip(0.5 + rng.uniform(0.1, 0.35) * field, 0, 1.2), np.float32)


def _blank(rng: np.random.Generator, rows: int, cols: int) -> Field:
    return np.full((rows, cols), rng.uniform(0, 0.08), np.float32)


_LEVELS = {
    Kind.TISSUE: _tissue,
    Kind.VESSEL: _vessel,
    Kind.AIR: _air,
    Kind.NOISE: _noise,
    Kind.STATIC: _static,
    Kind.BLANK: _blank,
}
