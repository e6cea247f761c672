"""Imaging planes: where the probe is, where it looks, and how far a sonographer may stray."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from echo_node.codes import View
from echo_node.phantom.anatomy import TO_AORTA
from echo_node.phantom.heart import Moment

Vector = npt.NDArray[np.float64]

VIEWS = (View.PLAX, View.PSAX_PM, View.A4C, View.A2C, View.A3C, View.SUBCOSTAL_4C)

# Rotation of the apical planes about the long axis, from +x; the aortic root lies at 120 degrees.
_ROTATION_DEG = {View.A4C: 8.0, View.A2C: 67.0, View.A3C: 120.0}
APICAL = tuple(_ROTATION_DEG)
_ROTATION_SPREAD_DEG = 6.0
_OFF_APEX_MM = 2.0
_DEPTHS_MM = (90.0, 240.0)
_TILT_SPREAD_DEG = (5.0, 2.5, 5.0)  # in the plane, out of it, and about the beam
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

    def behind(self, near_mm: float) -> Plane:
        """The plane of a curved face that lies where this one starts: its tip is behind the skin."""
        return replace(self, origin=self.origin - near_mm * self.beam, depth=self.depth + near_mm)


def sample_plane(view: View, heart: Moment, rng: np.random.Generator, *, straying: float = 1.0) -> Plane:
    """A plane that a reader would name as this view, jittered as hands are.

    Parameters
    ----------
    view : View
        One of :data:`VIEWS`.
    heart : Moment
        The heart at end diastole.
    rng : numpy Generator
        Source of the jitter.
    straying : float
        Scale of what goes wrong by hand: 0 is a perfect plane, 1 a usual one.
    """
    if view in _ROTATION_DEG:
        plane = _apical(view, heart, rng, straying)
    elif view is View.PLAX:
        plane = _long_axis(heart, rng)
    elif view is View.PSAX_PM:
        plane = _short_axis(heart, rng)
    else:
        assert view is View.SUBCOSTAL_4C, f"{view.name} has no plane"
        plane = _subcostal(heart, rng)
    return _jittered(plane, straying * rng.normal(0, _TILT_SPREAD_DEG))


def _apical(view: View, heart: Moment, rng: np.random.Generator, straying: float) -> Plane:
    angle = np.deg2rad(_ROTATION_DEG[view] + straying * rng.normal(0, _ROTATION_SPREAD_DEG))
    right = np.array([np.cos(angle), np.sin(angle), 0.0])
    out = np.array([-np.sin(angle), np.cos(angle), 0.0])
    tip = heart.length_ed + heart.apical_wall + rng.uniform(8, 22)
    origin = _UP * tip + right * rng.uniform(-8, 10) + out * straying * rng.normal(0, _OFF_APEX_MM)
    target = np.array([-0.35 * heart.epicardial_radius_ed if view is View.A4C else 0.0, 0.0, 0.0])
    depth = (tip + rng.uniform(42, 78)) * rng.uniform(0.95, 1.15)
    return _plane(origin, target - origin, right, depth)


def _long_axis(heart: Moment, rng: np.random.Generator) -> Plane:
    origin = _parasternal(heart, rng) + _UP * heart.length_ed * rng.uniform(0.12, 0.4)
    depth = 2 * heart.epicardial_radius_ed + rng.uniform(65, 105)
    return _plane(origin, -TO_AORTA + _UP * rng.normal(-0.08, 0.1), -_UP, depth)


def _short_axis(heart: Moment, rng: np.random.Generator) -> Plane:
    origin = _parasternal(heart, rng) + _UP * heart.length_ed * rng.uniform(0.38, 0.6)
    depth = 2 * heart.epicardial_radius_ed + rng.uniform(50, 90)
    return _plane(origin, -TO_AORTA, np.cross(_UP, -TO_AORTA), depth)


def _subcostal(heart: Moment, rng: np.random.Generator) -> Plane:
    far = -(heart.epicardial_radius_ed + rng.uniform(55, 80))
    origin = np.array([far, -30.0, heart.length_ed * rng.uniform(0.25, 0.6)])
    target = np.array([0.2 * heart.radius_ed, 0.0, 0.35 * heart.length_ed])
    return _plane(origin, target - origin, _UP, rng.uniform(150, 190))


def _parasternal(heart: Moment, rng: np.random.Generator) -> Vector:
    """In front of the right ventricle, at the height of the annulus."""
    return TO_AORTA * (heart.epicardial_radius_ed + rng.uniform(28, 45))


def _plane(origin: Vector, beam: Vector, right: Vector, depth: float) -> Plane:
    """A plane whose vectors are orthonormal and whose depth a machine can be set to."""
    beam = beam / np.linalg.norm(beam)
    depth = float(np.clip(depth, *_DEPTHS_MM))
    return Plane(origin=origin, beam=beam, right=_perpendicular(right, beam), depth=depth)


def _jittered(plane: Plane, turns_deg: Vector) -> Plane:
    """The plane after three small rotations: in it, out of it, about the beam."""
    inside, outside, about = np.deg2rad(turns_deg)
    out = np.cross(plane.beam, plane.right)
    beam = plane.beam + inside * plane.right + outside * out
    beam = beam / np.linalg.norm(beam)
    return replace(plane, beam=beam, right=_perpendicular(plane.right + about * out, beam))


def _perpendicular(vector: Vector, axis: Vector) -> Vector:
    rest = vector - axis * (vector @ axis)
    unit: Vector = rest / np.linalg.norm(rest)
    return unit
