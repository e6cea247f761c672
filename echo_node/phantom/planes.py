"""Imaging planes: where the probe is, where it looks, and how far a sonographer may stray."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from echo_node.codes import View
from echo_node.phantom.heart import Moment
from echo_node.phantom.vessels import ROOT_WAY, TO_AORTA, TO_LEFT, VALVE_MM, paths

Vector = npt.NDArray[np.float64]

VIEWS = tuple(view for view in View if view is not View.OTHER)

# Rotation of the apical planes about the long axis, from +x; the aortic root lies at 120 degrees.
_ROTATION_DEG = {View.A4C: 8.0, View.A4C_RV: 2.0, View.A5C: 22.0, View.A2C: 67.0, View.A3C: 120.0}
APICAL = (View.A4C, View.A2C, View.A3C)  # whose planes hold the whole left ventricle
SUBCOSTAL = (View.SUBCOSTAL_4C, View.SUBCOSTAL_SAX, View.IVC)
# Height of the short-axis planes over the annulus, as a share of the LV's length.
_LEVELS = {
    View.PSAX_MV: (0.05, 0.16),
    View.PSAX_CHORDAE: (0.25, 0.33),
    View.PSAX_PM: (0.42, 0.62),
    View.PSAX_APEX: (0.78, 0.92),
}
_ROTATION_SPREAD_DEG = 6.0
_OFF_APEX_MM = 2.0
_FORESHORTENED = 0.15  # share of apical planes that miss the apex by more
_FAR_OFF_APEX_MM = (5.0, 15.0)
_ZOOMED = 0.1  # share of apical and long-axis planes that are set too shallow to show everything
_DEPTHS_MM = (60.0, 240.0)
_TILT_SPREAD_DEG = (5.0, 2.5, 5.0)  # in the plane, out of it, and about the beam
_UP = np.array([0.0, 0.0, 1.0])  # to the apex
_ZOOMABLE = (View.PLAX, View.A4C, View.A2C, View.A3C)


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
    """A plane that is meant to be this view, jittered as hands are; they may stray into another.

    Parameters
    ----------
    view : View
        One of :data:`VIEWS`; OTHER is a plane without a name.
    heart : Moment
        The heart at end diastole.
    rng : numpy Generator
        Source of the jitter.
    straying : float
        Scale of what goes wrong by hand: 0 is a perfect plane, 1 a usual one.
    """
    plane = _apical(view, heart, rng, straying) if view in _ROTATION_DEG else _PLACED[view](heart, rng)
    if view in _ZOOMABLE and rng.uniform() < straying * _ZOOMED:
        plane = replace(plane, depth=max(_DEPTHS_MM[0], plane.depth * float(rng.uniform(0.62, 0.88))))
    return _jittered(plane, straying * rng.normal(0, _TILT_SPREAD_DEG))


def _apical(view: View, heart: Moment, rng: np.random.Generator, straying: float) -> Plane:
    angle = np.deg2rad(_ROTATION_DEG[view] + straying * rng.normal(0, _ROTATION_SPREAD_DEG))
    right = np.array([np.cos(angle), np.sin(angle), 0.0])
    out = np.array([-np.sin(angle), np.cos(angle), 0.0])
    tip = heart.length_ed + heart.apical_wall + rng.uniform(3, 22)
    off = rng.normal(0, _OFF_APEX_MM)
    if rng.uniform() < _FORESHORTENED:
        off = rng.choice([-1, 1]) * rng.uniform(*_FAR_OFF_APEX_MM)
    origin = _UP * tip + right * rng.uniform(-8, 10) + out * straying * off
    width = heart.epicardial_radius_ed
    if view is View.A4C_RV:  # the probe slides to the side of the right ventricle, which comes to the middle
        origin = origin - right * 0.55 * width - _UP * 0.12 * heart.length_ed
    target = {
        View.A4C: np.array([-0.35 * width, 0.0, 0.0]),
        View.A4C_RV: np.array([-1.15 * width, 0.12 * width, 0.0]),
        View.A5C: TO_AORTA * 0.62 * heart.radius_ed,  # tilted up to the outflow tract
    }.get(view, np.zeros(3))
    depth = (tip + rng.uniform(30, 78)) * rng.uniform(0.95, 1.15)
    return _plane(origin, target - origin, right, depth)


def _long_axis(heart: Moment, rng: np.random.Generator) -> Plane:
    origin = _parasternal(heart, rng) + _UP * heart.length_ed * rng.uniform(0.12, 0.4)
    depth = 2 * heart.epicardial_radius_ed + rng.uniform(55, 105)
    return _plane(origin, -TO_AORTA + _UP * rng.normal(-0.08, 0.1), -_UP, depth)


def _short_axis(heart: Moment, rng: np.random.Generator, *, level: tuple[float, float]) -> Plane:
    origin = _parasternal(heart, rng) + _UP * heart.length_ed * rng.uniform(*level)
    depth = 2 * heart.epicardial_radius_ed + rng.uniform(45, 90)
    return _plane(origin, -TO_AORTA, np.cross(_UP, -TO_AORTA), depth)


def _aortic_short_axis(heart: Moment, rng: np.random.Generator) -> Plane:
    """Across the root where its cusps meet, from the front."""
    way = paths(heart)
    outward = _perpendicular(TO_AORTA, ROOT_WAY)
    valve = way.root + ROOT_WAY * (VALVE_MM + rng.normal(1, 2.0))
    origin = valve + outward * (way.root_radius + 2 * way.outflow_radius + rng.uniform(14, 30))
    depth = float(np.linalg.norm(origin - valve)) + rng.uniform(50, 95)
    return _plane(origin, valve - origin + TO_LEFT * rng.normal(0, 5), TO_LEFT, depth)


def _transoesophageal(heart: Moment, rng: np.random.Generator) -> Plane:
    """The same cut from behind, through the left atrium."""
    way = paths(heart)
    valve = way.root + ROOT_WAY * (VALVE_MM + rng.normal(1, 2.0))
    behind = -_perpendicular(TO_AORTA, ROOT_WAY)
    origin = valve + behind * (way.root_radius + rng.uniform(24, 42))
    depth = float(np.linalg.norm(origin - valve)) + rng.uniform(28, 60)
    return _plane(origin, valve - origin + TO_LEFT * rng.normal(0, 5), TO_LEFT, depth)


def _rv_inflow(heart: Moment, rng: np.random.Generator) -> Plane:
    """Tilted down to the right: right ventricle, tricuspid valve and right atrium alone."""
    middle = -(heart.radius_ed + heart.patient.wall_mm) - rng.uniform(14, 22)
    valve = np.array([middle, 4.0, 0.0])
    origin = valve + np.array([rng.uniform(2, 16), rng.uniform(48, 70), rng.uniform(14, 34)])
    depth = float(np.linalg.norm(origin - valve)) + rng.uniform(45, 75)
    return _plane(origin, valve - origin, -_UP, depth)


def _rv_outflow(heart: Moment, rng: np.random.Generator) -> Plane:
    """Tilted up to the left shoulder: outflow tract, pulmonary valve, trunk and its fork."""
    way = paths(heart)
    before, valve, fork = way.outflow[-2], way.pulmonary_valve, way.trunk[2]
    across = np.cross(valve - before, fork - valve)
    beam = _perpendicular(-_perpendicular(TO_AORTA, ROOT_WAY), across / np.linalg.norm(across))
    origin = valve + (fork - before) * rng.uniform(-0.05, 0.25) - beam * (way.outflow_radius + rng.uniform(22, 38))
    return _plane(origin, beam, fork - before, way.outflow_radius + rng.uniform(75, 115))


def _subcostal(heart: Moment, rng: np.random.Generator) -> Plane:
    origin = _under_ribs(heart, rng)
    target = np.array([0.2 * heart.radius_ed, 0.0, 0.35 * heart.length_ed])
    return _plane(origin, target - origin, _UP, rng.uniform(150, 190))


def _subcostal_short_axis(heart: Moment, rng: np.random.Generator) -> Plane:
    """Turned by a quarter: the left ventricle round behind the liver and the right one."""
    level = heart.length_ed * rng.uniform(0.3, 0.6)
    origin = _under_ribs(heart, rng)
    origin[2] = level + rng.normal(0, 6)
    target = np.array([0.1 * heart.radius_ed, 0.0, level])
    return _plane(origin, target - origin, np.array([0.5, 0.866, 0.0]), rng.uniform(130, 180))


def _vena_cava(heart: Moment, rng: np.random.Generator) -> Plane:
    """Along the inferior vena cava, through the liver, to the right atrium."""
    chain = paths(heart).cava
    course = chain[1] - chain[0]
    course = course / np.linalg.norm(course)
    middle = chain[0] + course * rng.uniform(22, 45)
    front = _perpendicular(np.array([-0.35, 0.45, 0.8]), course)
    origin = middle + front * rng.uniform(48, 85) + course * rng.uniform(0, 25)
    depth = float(np.linalg.norm(origin - middle)) + rng.uniform(40, 85)
    return _plane(origin, middle - origin, course * rng.choice([-1, 1]), depth)


def _suprasternal(heart: Moment, rng: np.random.Generator) -> Plane:
    """From the jugular notch down on the arch: ascending aorta on the left, descending on the right."""
    chain = paths(heart).arch
    start, crown, end = chain[1], chain[3], chain[5]
    down = (start + end) / 2 - crown
    origin = crown - down / np.linalg.norm(down) * (paths(heart).root_radius + rng.uniform(20, 38))
    return _plane(origin, down + (end - start) * rng.normal(0, 0.1), end - start, rng.uniform(95, 150))


def _nameless(heart: Moment, rng: np.random.Generator) -> Plane:
    """From where no window is, turned anyhow: a heart, but no standard view of it."""
    side = np.array([rng.uniform(0.4, 1), rng.uniform(-1, 0.1), rng.uniform(-0.9, 0.5)])
    middle = _UP * heart.length_ed * rng.uniform(0, 0.7) + rng.normal(0, 12, 3)
    beam = -side / np.linalg.norm(side)
    origin = middle - beam * (heart.epicardial_radius_ed + rng.uniform(18, 50))
    return _plane(origin, beam, rng.standard_normal(3), rng.uniform(90, 180))


def _parasternal(heart: Moment, rng: np.random.Generator) -> Vector:
    """In front of the right ventricle, at the height of the annulus."""
    return TO_AORTA * (heart.epicardial_radius_ed + rng.uniform(24, 45))


def _under_ribs(heart: Moment, rng: np.random.Generator) -> Vector:
    far = -(heart.epicardial_radius_ed + rng.uniform(55, 80))
    return np.array([far, -30.0, heart.length_ed * rng.uniform(0.25, 0.6)])


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


_PLACED: Mapping[View, Callable[[Moment, np.random.Generator], Plane]] = {
    View.PLAX: _long_axis,
    View.RV_INFLOW: _rv_inflow,
    View.RV_OUTFLOW: _rv_outflow,
    View.PSAX_AV: _aortic_short_axis,
    **{view: functools.partial(_short_axis, level=level) for view, level in _LEVELS.items()},
    View.SUBCOSTAL_4C: _subcostal,
    View.SUBCOSTAL_SAX: _subcostal_short_axis,
    View.IVC: _vena_cava,
    View.SUPRASTERNAL: _suprasternal,
    View.TEE_SAX: _transoesophageal,
    View.OTHER: _nameless,
}
