"""Imaging planes: where the probe is, where it looks, and how far a sonographer may stray."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from echo_node.codes import View
from echo_node.phantom.anatomy import TO_AORTA
from echo_node.phantom.heart import Moment

Vector = npt.NDArray[np.float64]

VIEWS = (View.PLAX, View.PSAX_PM, View.A4C, View.A2C, View.A3C, View.SUBCOSTAL_4C)

# Rotation of the apical planes about the long axis, from the four-chamber plane.
_ROTATION_DEG = {View.A4C: 0.0, View.A2C: 68.0, View.A3C: 120.0}
_ROTATION_SPREAD_DEG = 6.0
_TILT_SPREAD_DEG = (5.0, 3.5, 5.0)  # in the plane, out of it, and about the beam
_UP = np.array([0.0, 0.0, 1.0])  # to the apex


@dataclass(frozen=True, slots=True)
class Plane:
    """A probe: its place (mm), the central beam and the picture's right, as unit vectors."""

    origin: Vector
    beam: Vector
    right: Vector
    depth: float  # mm

    def project(self, point: Vector) -> tuple[float, float]:
        """Depth and distance to the right of a point, mm."""
        offset = point - self.origin
        return float(offset @ self.beam), float(offset @ self.right)


def sample_plane(view: View, heart: Moment, rng: np.random.Generator) -> Plane:
    """A plane that a reader would name as this view, jittered as hands are.

    Parameters
    ----------
    view : View
        One of :data:`VIEWS`.
    heart : Moment
        The heart at end diastole.
    rng : numpy Generator
        Source of the jitter.
    """
    if view in _ROTATION_DEG:
        return _apical(view, heart, rng)
    if view is View.PLAX:
        height = heart.length_ed * rng.uniform(0.12, 0.4)
        origin = _parasternal(heart, rng) + _UP * height
        beam = -TO_AORTA + _UP * rng.normal(-0.08, 0.1)
        depth = 2 * heart.epicardial_radius_ed + rng.uniform(65, 105)
        return _jittered(origin, beam, -_UP, depth, rng)
    if view is View.PSAX_PM:
        origin = _parasternal(heart, rng) + _UP * heart.length_ed * rng.uniform(0.38, 0.6)
        depth = 2 * heart.epicardial_radius_ed + rng.uniform(50, 90)
        return _jittered(origin, -TO_AORTA, np.cross(_UP, -TO_AORTA), depth, rng)
    assert view is View.SUBCOSTAL_4C, f"{view.name} has no plane"
    radius = heart.epicardial_radius_ed
    far = np.array([-(radius + rng.uniform(55, 80)), -30.0, heart.length_ed * rng.uniform(0.25, 0.6)])
    target = np.array([0.2 * heart.radius_ed, 0.0, 0.35 * heart.length_ed])
    return _jittered(far, target - far, _UP, rng.uniform(150, 190), rng)


def _apical(view: View, heart: Moment, rng: np.random.Generator) -> Plane:
    angle = np.deg2rad(_ROTATION_DEG[view] + rng.normal(0, _ROTATION_SPREAD_DEG))
    right = np.array([np.cos(angle), np.sin(angle), 0.0])
    tip = heart.length_ed + heart.apical_wall + rng.uniform(8, 22)
    origin = np.array([rng.normal(0, 2.5), rng.normal(0, 2.5), tip]) + right * rng.uniform(-8, 10)
    target = np.array([-0.35 * heart.epicardial_radius_ed if view is View.A4C else 0.0, 0.0, 0.0])
    depth = (tip + rng.uniform(55, 80)) * rng.uniform(0.95, 1.15)
    return _jittered(origin, target - origin, right, depth, rng)


def _parasternal(heart: Moment, rng: np.random.Generator) -> Vector:
    """In front of the right ventricle, at the height of the annulus."""
    return TO_AORTA * (heart.epicardial_radius_ed + rng.uniform(28, 45))


def _jittered(origin: Vector, beam: Vector, right: Vector, depth: float, rng: np.random.Generator) -> Plane:
    """The plane after three small rotations, with its vectors made orthonormal."""
    beam = beam / np.linalg.norm(beam)
    right = _perpendicular(right, beam)
    out = np.cross(beam, right)
    inside, outside, about = np.deg2rad(rng.normal(0, _TILT_SPREAD_DEG))
    beam = beam + inside * right + outside * out
    beam = beam / np.linalg.norm(beam)
    right = _perpendicular(right + about * out, beam)
    return Plane(origin=origin, beam=beam, right=right, depth=float(np.clip(depth, 90, 240)))


def _perpendicular(vector: Vector, axis: Vector) -> Vector:
    rest = vector - axis * (vector @ axis)
    unit: Vector = rest / np.linalg.norm(rest)
    return unit
