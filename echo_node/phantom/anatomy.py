"""The solids of the heart as distance fields over points.

A field is about the signed distance to a solid's surface in mm, negative inside. Borders are where it
is zero, so masks are exact there; away from them it is only a bound, which is all that walls, specular
echoes and speckle need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from echo_node.codes import Structure
from echo_node.phantom.heart import BARREL, Moment
from echo_node.phantom.shapes import FAR, Array, ellipsoid
from echo_node.phantom.valves import PAPILLARY_ANGLES, chords, mitral, tricuspid
from echo_node.phantom.vessels import TO_AORTA, TO_RV, vessels

_LA_SLIMNESS, _RA_SLIMNESS = 1.2, 1.15
_SUNK = 0.66  # how far an atrium's middle lies behind the annulus, against its half length
_ATRIAL_SWELL = 0.45  # gain of an atrium's volume while the ventricle is empty


@dataclass(frozen=True, slots=True)
class Fields:
    """Distance fields [...] of the solids, and of the valves' leaflets (unsigned)."""

    endocardium: Array
    epicardium: Array
    la: Array
    rv: Array  # with its outflow tract
    ra: Array
    cava: Array  # inferior vena cava and a hepatic vein
    aorta: Array  # root and ascending part
    arch: Array  # with its branches and the descending aorta
    trunk: Array  # of the pulmonary artery
    leaflets: Array
    chords: Array
    annulus: Array
    papillary: Array

    def blood(self, xp: Any, margin: Array) -> Array:
        """Where blood is, bool [...]; trabeculae reach ``margin`` mm into the ventricles."""
        inside = (self.endocardium + margin < 0) | (self.rv + margin < 0)
        for field in (self.la, self.ra, self.cava, self.aorta, self.arch, self.trunk):
            inside = xp.logical_or(inside, field < 0)
        return inside


def cut(solids: Fields, inside: Callable[[Array], Any]) -> dict[Structure, Any]:
    """Where each structure is cut, bool arrays; ``inside`` tells where a field is negative."""
    cavity = inside(solids.endocardium)
    muscle = inside(solids.epicardium) & ~cavity
    return {
        Structure.LV_CAVITY: cavity,
        Structure.LV_MYOCARDIUM: muscle,
        Structure.LA: inside(solids.la),
        Structure.RV: inside(solids.rv),
        Structure.RA: inside(solids.ra),
        Structure.AORTIC_ROOT: inside(solids.aorta) & ~cavity & ~muscle,
    }


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
    great = vessels(xp, x, y, z, now)
    la, ra = _atria(xp, x, y, z, now, great.aorta)
    rv, rv_middle, rv_half = _right_ventricle(xp, x, y, z, now, outer, great.aorta)
    leaflets = xp.minimum(mitral(xp, x, y, z, now), great.cusps)
    ring = xp.sqrt(x * x + y * y) - now.radius - 0.4 * now.wall
    # The arch is seen from above; where it comes near to the heart it gives way to the chambers.
    apart = 2.5 - xp.minimum(la, outer)
    return Fields(
        endocardium=inner,
        epicardium=outer,
        la=la,
        rv=xp.minimum(rv, xp.maximum(great.outflow, 1.0 - outer)),
        ra=ra,
        cava=xp.maximum(great.cava, 2.0 - outer),
        aorta=great.aorta,
        arch=xp.maximum(great.arch, apart),
        trunk=xp.maximum(great.trunk, apart),
        leaflets=xp.minimum(leaflets, tricuspid(xp, x, y, z, now, middle=rv_middle, half=rv_half)),
        chords=chords(xp, x, y, z, now),
        annulus=xp.sqrt(ring * ring + (below + 1) ** 2),
        papillary=_papillary(xp, x - ex, y - ey, z, now),
    )


def _bullet(xp: Any, x: Array, y: Array, z: Array, now: Moment, *, radius: float, length: float) -> Array:
    middle, above = now.base + BARREL * length, (1 - BARREL) * length
    q = xp.sqrt((x * x + y * y) / radius**2 + ((z - middle) / above) ** 2 + 1e-9)
    return (q - 1) * radius


def _atria(xp: Any, x: Array, y: Array, z: Array, now: Moment, aorta: Array) -> tuple[Array, Array]:
    swell = 1 + _ATRIAL_SWELL * (1 - now.filling)
    above = z - now.base
    a = (3 * now.patient.la_ml * swell * 1000 / (4 * np.pi * _LA_SLIMNESS)) ** (1 / 3)
    centre = (
        2 - 0.25 * a * float(TO_AORTA[0]),
        -0.25 * a * float(TO_AORTA[1]),
        now.base - _SUNK * a * _LA_SLIMNESS,
    )
    la = xp.maximum(ellipsoid(xp, x, y, z, centre, (1.06 * a, a, a * _LA_SLIMNESS)), above)
    la = xp.maximum(la, 2.0 - aorta)
    b = (3 * now.patient.ra_ml * swell * 1000 / (4 * np.pi * _RA_SLIMNESS)) ** (1 / 3)
    centre = (-(now.radius + now.wall) - 0.32 * b, 2.0, now.base - _SUNK * b * _RA_SLIMNESS)
    ra = xp.maximum(ellipsoid(xp, x, y, z, centre, (1.06 * b, b, b * _RA_SLIMNESS)), above)
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


def _papillary(xp: Any, x: Array, y: Array, z: Array, now: Moment) -> Array:
    thick = 0.18 * now.radius + 1.5
    nearest = 0 * x + FAR
    for angle in PAPILLARY_ANGLES:
        centre = (
            0.72 * now.radius * float(np.cos(angle)),
            0.72 * now.radius * float(np.sin(angle)),
            now.base + 0.52 * now.length,
        )
        nearest = xp.minimum(nearest, ellipsoid(xp, x, y, z, centre, (thick, thick, 0.2 * now.length)))
    return nearest
