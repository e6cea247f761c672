"""The solids of the heart as distance fields over points.

A field is about the signed distance to a solid's surface in mm, negative inside. Borders are where it
is zero, so masks are exact there; away from them it is only a bound, which is all that walls, specular
echoes and speckle need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from echo_node.phantom.heart import BARREL, Moment

Array = Any  # of whichever array API namespace

FAR = 99.0
# From the LV axis towards the aortic root: front and right, where the long-axis planes run.
TO_AORTA = np.array([-0.5, 0.866, 0.0])
_PAPILLARY_ANGLES = (-0.6, -2.3)  # around the axis; 8 and 4 o'clock in a short axis
_LA_SLIMNESS, _RA_SLIMNESS = 1.2, 1.15
_ATRIAL_SWELL = 0.45  # gain of an atrium's volume while the ventricle is empty


@dataclass(frozen=True, slots=True)
class Fields:
    """Distance fields [...] of the solids, and of the valves' leaflets (unsigned)."""

    endocardium: Array
    epicardium: Array
    la: Array
    rv: Array
    ra: Array
    aorta: Array
    leaflets: Array
    papillary: Array


def fields(xp: Any, points: Array, now: Moment) -> Fields:
    """All solids at one moment.

    Parameters
    ----------
    xp : array namespace
        NumPy, or torch through array_api_compat.
    points : [3,...]
        Heart coordinates in mm.
    now : Moment
        The heart's shape.
    """
    x, y, z = points[0, ...], points[1, ...], points[2, ...]
    below = now.base - z
    inner = xp.maximum(_bullet(xp, x, y, z, now, radius=now.radius, length=now.length), below)
    outer = _bullet(xp, x, y, z, now, radius=now.radius + now.wall, length=now.length + now.apical_wall)
    outer = xp.maximum(outer, below)
    aorta = _aorta(xp, x, y, z, now)
    la, ra = _atria(xp, x, y, z, now, aorta)
    rv, rv_middle, rv_half = _right_ventricle(xp, x, y, z, now, outer, aorta)
    return Fields(
        endocardium=inner,
        epicardium=outer,
        la=la,
        rv=rv,
        ra=ra,
        aorta=aorta,
        leaflets=xp.minimum(
            _mitral(xp, x, y, z, now),
            _tricuspid(xp, x, y, z, now, middle=rv_middle, half=rv_half),
        ),
        papillary=_papillary(xp, x, y, z, now),
    )


def _bullet(xp: Any, x: Array, y: Array, z: Array, now: Moment, *, radius: float, length: float) -> Array:
    middle, above = now.base + BARREL * length, (1 - BARREL) * length
    q = xp.sqrt((x * x + y * y) / radius**2 + ((z - middle) / above) ** 2 + 1e-9)
    return (q - 1) * radius


def _ellipsoid(
    xp: Any,
    x: Array,
    y: Array,
    z: Array,
    centre: tuple[float, float, float],
    axes: tuple[float, float, float],
) -> Array:
    (cx, cy, cz), (ax, ay, az) = centre, axes
    q = xp.sqrt(((x - cx) / ax) ** 2 + ((y - cy) / ay) ** 2 + ((z - cz) / az) ** 2 + 1e-9)
    return (q - 1) * min(axes)


def _aorta(xp: Any, x: Array, y: Array, z: Array, now: Moment) -> Array:
    """Root and ascending aorta: a tube from the outflow tract, wider at its sinuses."""
    start = TO_AORTA * 0.8 * now.radius_ed + np.array([0.0, 0.0, now.base])
    way = TO_AORTA * 0.3 + np.array([0.0, 0.0, -1.0])
    way = way / np.linalg.norm(way)
    dx, dy, dz = x - float(start[0]), y - float(start[1]), z - float(start[2])
    along = dx * float(way[0]) + dy * float(way[1]) + dz * float(way[2])
    across = xp.sqrt(xp.maximum(dx * dx + dy * dy + dz * dz - along * along, 0 * along) + 1e-9)
    radius = now.patient.aortic_root_mm / 2 * (0.9 + 0.15 * xp.exp(-(((along - 12) / 7) ** 2)))
    return xp.maximum(across - radius, -2 - along)


def _atria(xp: Any, x: Array, y: Array, z: Array, now: Moment, aorta: Array) -> tuple[Array, Array]:
    swell = 1 + _ATRIAL_SWELL * (1 - now.filling)
    above = z - now.base
    a = (3 * now.patient.la_ml * swell * 1000 / (4 * np.pi * _LA_SLIMNESS)) ** (1 / 3)
    centre = (
        2 - 0.25 * a * float(TO_AORTA[0]),
        -0.25 * a * float(TO_AORTA[1]),
        now.base - 0.82 * a * _LA_SLIMNESS,
    )
    la = xp.maximum(_ellipsoid(xp, x, y, z, centre, (a, a, a * _LA_SLIMNESS)), above)
    la = xp.maximum(la, 2.0 - aorta)
    b = (3 * now.patient.ra_ml * swell * 1000 / (4 * np.pi * _RA_SLIMNESS)) ** (1 / 3)
    centre = (-(now.radius + now.wall) - 0.45 * b, -3.0, now.base - 0.82 * b * _RA_SLIMNESS)
    ra = xp.maximum(_ellipsoid(xp, x, y, z, centre, (b, b, b * _RA_SLIMNESS)), above + 1)
    return la, xp.maximum(xp.maximum(ra, 1.5 - la), 2.0 - aorta)


def _right_ventricle(
    xp: Any, x: Array, y: Array, z: Array, now: Moment, epicardium: Array, aorta: Array
) -> tuple[Array, float, float]:
    """A crescent on the septum: an ellipsoid less the left ventricle; its middle and half width."""
    half = 0.62 * now.epicardial_radius_ed * now.patient.rv_scale * (1 - 0.22 * (1 - now.filling))
    edge = -(now.radius + now.wall)
    body = _ellipsoid(
        xp, x, y, z,
        (edge - 0.28 * half, 2.0, now.base + 0.30 * now.length),
        (half, 1.1 * now.epicardial_radius_ed, 0.60 * now.length_ed),
    )  # fmt: skip
    body = xp.maximum(body, now.base + 1 - z)
    return xp.maximum(xp.maximum(body, 1.0 - epicardium), 2.0 - aorta), edge - 0.35 * half, 0.6 * half


def _mitral(xp: Any, x: Array, y: Array, z: Array, now: Moment) -> Array:
    """Leaflets: a shallow dome when closed, two sheets that swing into the ventricle when open."""
    ring = 0.85 * now.radius_ed
    up = z - now.base
    nowhere = 0 * x + FAR
    if now.opening < 0.1:
        q = (x * x + y * y) / ring**2
        return xp.where(q < 1.1, xp.abs(up - 5 * q + 1), nowhere)
    along = x * float(TO_AORTA[0]) + y * float(TO_AORTA[1])
    across = xp.abs(x * float(TO_AORTA[1]) - y * float(TO_AORTA[0]))
    swing = 1.1 - 0.9 * now.opening  # mm across per mm along the leaflet
    front = xp.where((up > 0) & (up < 21) & (across < ring), xp.abs(along - ring + swing * up), nowhere)
    back = xp.where((up > 0) & (up < 12) & (across < ring), xp.abs(along + ring - swing * up), nowhere)
    return xp.minimum(front, back)


def _tricuspid(xp: Any, x: Array, y: Array, z: Array, now: Moment, *, middle: float, half: float) -> Array:
    up = z - now.base - 4  # nearer to the apex than the mitral valve
    nowhere = 0 * x + FAR
    if now.opening < 0.1:
        q = ((x - middle) ** 2 + y * y) / half**2
        return xp.where(q < 1.2, xp.abs(up - 5 * q + 5), nowhere)
    swing = 1.0 - 0.85 * now.opening
    sheet = xp.abs(xp.abs(x - middle) - half + swing * up)
    return xp.where((up > 0) & (up < 14) & (xp.abs(y) < 2 * half), sheet, nowhere)


def _papillary(xp: Any, x: Array, y: Array, z: Array, now: Moment) -> Array:
    thick = 0.18 * now.radius + 1.5
    nearest = 0 * x + FAR
    for angle in _PAPILLARY_ANGLES:
        centre = (
            0.72 * now.radius * float(np.cos(angle)),
            0.72 * now.radius * float(np.sin(angle)),
            now.base + 0.52 * now.length,
        )
        nearest = xp.minimum(nearest, _ellipsoid(xp, x, y, z, centre, (thick, thick, 0.2 * now.length)))
    return nearest
