"""Distance fields of simple bodies, over points given as three arrays."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = Any  # of whichever array API namespace
Host = npt.NDArray[np.float64]

FAR = 99.0


def ellipsoid(
    xp: Any,
    x: Array,
    y: Array,
    z: Array,
    centre: tuple[float, float, float],
    axes: tuple[float, float, float],
) -> Array:
    """About the signed distance to an ellipsoid."""
    (cx, cy, cz), (ax, ay, az) = centre, axes
    q = xp.sqrt(((x - cx) / ax) ** 2 + ((y - cy) / ay) ** 2 + ((z - cz) / az) ** 2 + 1e-9)
    return (q - 1) * min(axes)


def about(xp: Any, x: Array, y: Array, z: Array, start: Host, way: Host) -> tuple[Array, Array]:
    """Distance along a line from its start, and from the line."""
    way = way / np.linalg.norm(way)
    dx, dy, dz = x - float(start[0]), y - float(start[1]), z - float(start[2])
    along = dx * float(way[0]) + dy * float(way[1]) + dz * float(way[2])
    rest = dx * dx + dy * dy + dz * dz - along * along
    return along, xp.sqrt(xp.maximum(rest, 0 * rest) + 1e-9)


def tube(xp: Any, x: Array, y: Array, z: Array, places: Sequence[Host], radius: float) -> Array:
    """Signed distance to a round tube along a chain of places, closed by half spheres."""
    nearest = 0 * x + FAR
    for start, end in itertools.pairwise(places):
        nearest = xp.minimum(nearest, _stretch(xp, x, y, z, start, end))
    return nearest - radius


def _stretch(xp: Any, x: Array, y: Array, z: Array, start: Host, end: Host) -> Array:
    """Distance to the straight piece between two places."""
    run = end - start
    dx, dy, dz = x - float(start[0]), y - float(start[1]), z - float(start[2])
    share = (dx * float(run[0]) + dy * float(run[1]) + dz * float(run[2])) / float(run @ run)
    share = xp.clip(share, 0.0, 1.0)
    dx, dy, dz = dx - share * float(run[0]), dy - share * float(run[1]), dz - share * float(run[2])
    return xp.sqrt(dx * dx + dy * dy + dz * dz + 1e-9)
