"""The leaflets of the atrioventricular valves and the chords that hold them, as distance fields."""

from __future__ import annotations

from typing import Any

import numpy as np

from echo_node.phantom.heart import Moment
from echo_node.phantom.shapes import FAR, Array, tube
from echo_node.phantom.vessels import TO_AORTA

PAPILLARY_ANGLES = (-0.6, -2.3)  # around the axis; 8 and 4 o'clock in a short axis


def mitral(xp: Any, x: Array, y: Array, z: Array, now: Moment) -> Array:
    """Two leaflets from a round annulus: shut, they meet behind the middle; open, they swing apart."""
    ring = 0.9 * now.radius_ed
    along = x * float(TO_AORTA[0]) + y * float(TO_AORTA[1])
    across = x * float(TO_AORTA[1]) - y * float(TO_AORTA[0])
    chord = xp.sqrt(xp.clip(ring * ring - across * across, 1.0, FAR * FAR))
    up, opening = z - now.base, now.opening
    tent = now.patient.tenting_mm + 0.12 * ring * opening
    front = _leaflet(xp, along, up, chord, (-0.3 + 1.0 * opening) * chord, tent + 0.85 * ring * opening)
    back = _leaflet(xp, along, up, -chord, (-0.3 - 0.5 * opening) * chord, tent + 0.35 * ring * opening)
    return xp.where(xp.abs(across) < ring, xp.minimum(front, back), FAR)


def tricuspid(xp: Any, x: Array, y: Array, z: Array, now: Moment, *, middle: float, half: float) -> Array:
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


def chords(xp: Any, x: Array, y: Array, z: Array, now: Moment) -> Array:
    """From the heads of the papillary muscles to the leaflets' edges: two strands each."""
    nearest = 0 * x + FAR
    for angle in PAPILLARY_ANGLES:
        head = np.array([0.62 * np.cos(angle), 0.62 * np.sin(angle), 0.0]) * now.radius
        head[2] = now.base + 0.36 * now.length
        for spread in (-0.7, 0.7):
            edge = np.array([np.cos(angle + spread), np.sin(angle + spread), 0.0])
            edge = edge * (0.25 + 0.3 * now.opening) * now.radius
            edge[2] = now.base + 5 + 0.12 * now.length * now.opening
            nearest = xp.minimum(nearest, tube(xp, x, y, z, (head, edge), 0.0))
    return nearest
