"""The solids of the heart as distance fields over points.

A field is about the signed distance to a solid's surface in mm, negative inside. Borders are where it
is zero, so masks are exact there; away from them it is only a bound, which is all that walls, specular
echoes and speckle need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from echo_node.phantom.heart import BARREL, Moment

Array = Any  # of whichever array API namespace
Host = npt.NDArray[np.float64]

FAR = 99.0
# From the LV axis towards the aortic root: front and right, where the long-axis planes run.
TO_AORTA = np.array([-0.5, 0.866, 0.0])
TO_RV = np.array([-0.93, 0.37])  # from the LV axis, in x and y
_PAPILLARY_ANGLES = (-0.6, -2.3)  # around the axis; 8 and 4 o'clock in a short axis
_LA_SLIMNESS, _RA_SLIMNESS = 1.2, 1.15
_SUNK = 0.66  # how far an atrium's middle lies behind the annulus, against its half length
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
    vessel: Array  # descending aorta, behind the left atrium
    leaflets: Array
    annulus: Array
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
    ex, ey = now.lean
    inner = _bullet(xp, x - ex, y - ey, z, now, radius=now.radius, length=now.length)
    inner = xp.maximum(inner, below)
    outer = _bullet(xp, x, y, z, now, radius=now.radius + now.wall, length=now.length + now.apical_wall)
    outer = xp.maximum(outer, below)
    aorta, cusps = _aorta(xp, x, y, z, now)
    la, ra = _atria(xp, x, y, z, now, aorta)
    rv, rv_middle, rv_half = _right_ventricle(xp, x, y, z, now, outer, aorta)
    leaflets = xp.minimum(_mitral(xp, x, y, z, now), cusps)
    ring = xp.sqrt(x * x + y * y) - now.radius - 0.4 * now.wall
    return Fields(
        endocardium=inner,
        epicardium=outer,
        la=la,
        rv=rv,
        ra=ra,
        aorta=aorta,
        vessel=_vessel(xp, x, y, z, now),
        leaflets=xp.minimum(leaflets, _tricuspid(xp, x, y, z, now, middle=rv_middle, half=rv_half)),
        annulus=xp.sqrt(ring * ring + (below + 1) ** 2),
        papillary=_papillary(xp, x - ex, y - ey, z, now),
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


def _aorta(xp: Any, x: Array, y: Array, z: Array, now: Moment) -> tuple[Array, Array]:
    """Root and ascending aorta: a tube from the outflow tract, wider at its sinuses; and its cusps."""
    start = TO_AORTA * 0.88 * now.radius_ed + np.array([0.0, 0.0, now.base])
    way = TO_AORTA * 0.3 + np.array([0.0, 0.0, -1.0])
    along, across = _about(xp, x, y, z, start, way)
    radius = now.patient.aortic_root_mm / 2 * (0.9 + 0.15 * xp.exp(-(((along - 12) / 7) ** 2)))
    tube = xp.maximum(across - radius, -2 - along)
    shut = xp.abs(along - 5 - 0.25 * across)  # the cusps meet in the middle, nearer to the heart
    opened = xp.abs(across - 0.85 * radius) + xp.clip(xp.abs(along - 10) - 6, 0.0, FAR)
    cusps = opened if now.in_systole else shut
    return tube, xp.where(across < radius, cusps, FAR)


def _vessel(xp: Any, x: Array, y: Array, z: Array, now: Moment) -> Array:
    """The descending aorta, which crosses the long-axis plane behind the left atrium."""
    start = -TO_AORTA * (now.epicardial_radius_ed + 15) + np.array([0.0, 0.0, -22.0])
    way = np.array([0.8, 0.46, 0.35])  # across the long-axis plane
    _, across = _about(xp, x, y, z, start, way)
    return across - 0.36 * now.patient.aortic_root_mm


def _about(xp: Any, x: Array, y: Array, z: Array, start: Host, way: Host) -> tuple[Array, Array]:
    """Distance along a line from its start, and from the line."""
    way = way / np.linalg.norm(way)
    dx, dy, dz = x - float(start[0]), y - float(start[1]), z - float(start[2])
    along = dx * float(way[0]) + dy * float(way[1]) + dz * float(way[2])
    rest = dx * dx + dy * dy + dz * dz - along * along
    return along, xp.sqrt(xp.maximum(rest, 0 * rest) + 1e-9)


def _atria(xp: Any, x: Array, y: Array, z: Array, now: Moment, aorta: Array) -> tuple[Array, Array]:
    swell = 1 + _ATRIAL_SWELL * (1 - now.filling)
    above = z - now.base
    a = (3 * now.patient.la_ml * swell * 1000 / (4 * np.pi * _LA_SLIMNESS)) ** (1 / 3)
    centre = (
        2 - 0.25 * a * float(TO_AORTA[0]),
        -0.25 * a * float(TO_AORTA[1]),
        now.base - _SUNK * a * _LA_SLIMNESS,
    )
    la = xp.maximum(_ellipsoid(xp, x, y, z, centre, (1.06 * a, a, a * _LA_SLIMNESS)), above)
    la = xp.maximum(la, 2.0 - aorta)
    b = (3 * now.patient.ra_ml * swell * 1000 / (4 * np.pi * _RA_SLIMNESS)) ** (1 / 3)
    centre = (-(now.radius + now.wall) - 0.32 * b, 2.0, now.base - _SUNK * b * _RA_SLIMNESS)
    ra = xp.maximum(_ellipsoid(xp, x, y, z, centre, (1.06 * b, b, b * _RA_SLIMNESS)), above)
    return la, xp.maximum(xp.maximum(ra, 2.5 - la), 2.0 - aorta)


def _right_ventricle(
    xp: Any, x: Array, y: Array, z: Array, now: Moment, epicardium: Array, aorta: Array
) -> tuple[Array, float, float]:
    """A crescent on the septum: a body tapered to its apex less the left ventricle; middle, half width.

    It lies to the right and somewhat in front, so that the long-axis plane cuts it too.
    """
    half = 0.68 * now.epicardial_radius_ed * now.patient.rv_scale * (1 - 0.22 * (1 - now.filling))
    edge = -(now.radius + now.wall)
    cx, cy = TO_RV * (0.92 * now.epicardial_radius_ed + 0.1 * half)
    cz, long = now.base + 0.28 * now.length, 0.62 * now.length_ed
    taper = 1.12 - 0.3 * xp.clip((z - cz) / long, -1.0, 1.0)
    dx, dy = x - float(cx), y - float(cy)
    towards = (dx * float(TO_RV[0]) + dy * float(TO_RV[1])) / (half * taper)
    aside = (dy * float(TO_RV[0]) - dx * float(TO_RV[1])) / (1.08 * now.epicardial_radius_ed * taper)
    q = xp.sqrt(towards**2 + aside**2 + ((z - cz) / long) ** 2 + 1e-9)
    body = xp.maximum((q - 1) * half, now.base - z)
    return xp.maximum(xp.maximum(body, 1.0 - epicardium), 2.0 - aorta), edge - 0.35 * half, 0.6 * half


def _mitral(xp: Any, x: Array, y: Array, z: Array, now: Moment) -> Array:
    """Two leaflets from a round annulus: shut, they meet behind the middle; open, they swing apart."""
    ring = 0.9 * now.radius_ed
    along = x * float(TO_AORTA[0]) + y * float(TO_AORTA[1])
    across = x * float(TO_AORTA[1]) - y * float(TO_AORTA[0])
    chord = xp.sqrt(xp.clip(ring * ring - across * across, 1.0, FAR * FAR))
    up, opening = z - now.base, now.opening
    tent = 2.0 + 0.12 * ring
    front = _leaflet(xp, along, up, chord, (-0.3 + 1.0 * opening) * chord, tent + 0.85 * ring * opening)
    back = _leaflet(xp, along, up, -chord, (-0.3 - 0.5 * opening) * chord, tent + 0.35 * ring * opening)
    return xp.where(xp.abs(across) < ring, xp.minimum(front, back), FAR)


def _tricuspid(xp: Any, x: Array, y: Array, z: Array, now: Moment, *, middle: float, half: float) -> Array:
    """Two leaflets, hinged somewhat nearer to the apex than those of the mitral valve."""
    up, side, opening = z - now.base - 4, x - middle, now.opening
    chord = xp.sqrt(xp.clip(half * half - y * y, 1.0, FAR * FAR))
    tip = 3 + 0.8 * half * opening
    left = _leaflet(xp, side, up, -chord, (-0.1 - 0.6 * opening) * chord, tip)
    right = _leaflet(xp, side, up, chord, (-0.1 + 0.8 * opening) * chord, tip)
    return xp.where(xp.abs(y) < half, xp.minimum(left, right), FAR)


def _leaflet(xp: Any, side: Array, up: Array, hinge: Array, tip: Array, rise: float) -> Array:
    """Distance to the stretch from (hinge, 0) to (tip, rise) in the plane of (side, up)."""
    run = tip - hinge
    share = ((side - hinge) * run + up * rise) / (run * run + rise * rise)
    share = xp.clip(share, 0.0, 1.0)
    return xp.sqrt((side - hinge - share * run) ** 2 + (up - share * rise) ** 2 + 1e-9)


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
