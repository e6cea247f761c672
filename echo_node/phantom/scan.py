"""Scan conversion: from the polar grid to a picture with square pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from echo_node.phantom.acoustics import Array


@dataclass(frozen=True, slots=True)
class Raster:
    """Bilinear weights from a polar grid [A,L] to a picture [H,W]."""

    index: tuple[Array, Array, Array, Array]  # [H*W] each, into the flattened grid
    weight: tuple[Array, Array, Array, Array]  # [H*W]
    sector: npt.NDArray[np.bool_]  # [H,W]
    spacing_mm: float
    width_mm: float
    top_mm: float  # depth of the picture's upper edge

    def picture(self, xp: Any, polar: Array) -> Array:
        """The picture [H,W] of a polar field [A,L]; outside the sector it continues the edge."""
        flat = xp.reshape(polar, (-1,))
        parts = [w * xp.take(flat, i, axis=0) for i, w in zip(self.index, self.weight, strict=True)]
        return xp.reshape(parts[0] + parts[1] + parts[2] + parts[3], self.sector.shape)

    def pixel(self, depth_mm: float, right_mm: float) -> tuple[float, float]:
        """Row and column of a place in the plane, given from the sector's tip."""
        row = (depth_mm - self.top_mm) / self.spacing_mm - 0.5
        return row, (right_mm + self.width_mm / 2) / self.spacing_mm - 0.5


def raster(
    xp: Any, *, depth_mm: float, near_mm: float, half_angle: float, grid: tuple[int, int], size: int
) -> Raster:
    """A picture of the whole sector, no more, whose longer side has ``size`` pixels."""
    width, top = 2 * depth_mm * np.sin(half_angle), near_mm * np.cos(half_angle)
    spacing = max(width, depth_mm - top) / size
    rows, cols = round((depth_mm - top) / spacing), round(width / spacing)
    down = top + (np.arange(rows) + 0.5)[:, None] * spacing
    right = (np.arange(cols) + 0.5)[None] * spacing - width / 2
    far, angle = np.hypot(down, right), np.arctan2(right, down)
    sector = (np.abs(angle) <= half_angle) & (far <= depth_mm) & (far >= near_mm)
    samples, lines = grid
    a = np.clip((far - near_mm) / (depth_mm - near_mm) * (samples - 1), 0, samples - 1.001).ravel()
    b = np.clip((angle + half_angle) / (2 * half_angle) * (lines - 1), 0, lines - 1.001).ravel()
    i, j = a.astype(np.int64), b.astype(np.int64)
    u, v = (a - i).astype(np.float32), (b - j).astype(np.float32)
    first = i * lines + j
    return Raster(
        index=tuple(xp.asarray(k) for k in (first, first + 1, first + lines, first + lines + 1)),
        weight=tuple(xp.asarray(w) for w in ((1 - u) * (1 - v), (1 - u) * v, u * (1 - v), u * v)),
        sector=sector,
        spacing_mm=float(spacing),
        width_mm=float(width),
        top_mm=float(top),
    )
