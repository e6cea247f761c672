"""What a plane must cut for a reader to give it its view's name, and what a picture must show to be read.

A hand that strays far enough has left the view it aimed at: an apical four-chamber plane that tilts up to the
aortic root is a five-chamber one. What is cut decides, as in Mitchell C et al., "Guidelines for performing a
comprehensive transthoracic echocardiographic examination in adults", J Am Soc Echocardiogr 2019;32:1.
"""

from __future__ import annotations

from collections.abc import Mapping

import array_api_compat.numpy as numpy_namespace
import cv2
import numpy as np
import numpy.typing as npt

from echo_node.codes import Structure, View
from echo_node.phantom.anatomy import Fields, cut, fields
from echo_node.phantom.heart import Moment, Patient, moment, systole_share
from echo_node.phantom.planes import Plane, sample_plane
from echo_node.phantom.warp import Warp

LEAST_VISIBLE = 0.55  # share of the border of blood below which a reader could not say what is shown
_TRIES = 60  # planes
_GRID = (44, 36)  # depths, beams
_EYE_MM = 2.5  # the eye takes the mean of speckle over about this (standard deviation)
_LEAST_GREYS, _LEAST_SHARE = 8.0, 0.1  # by which the one is brighter than the other, where that can be seen

# Of each view, what its structures' cut areas are over the left ventricle's, at end diastole and end systole:
# the least that the larger one may be, and the most that it may.
_CUT: Mapping[View, Mapping[Structure, tuple[float, float]]] = {
    View.PLAX: {Structure.AORTIC_ROOT: (0.08, np.inf), Structure.LA: (0.15, np.inf), Structure.RA: (0.0, 0.03)},
    View.A4C: {Structure.RV: (0.25, 0.8), Structure.AORTIC_ROOT: (0.0, 0.04)},
    View.A4C_RV: {Structure.RV: (0.5, np.inf), Structure.RA: (0.2, np.inf), Structure.AORTIC_ROOT: (0.0, 0.12)},
    View.A5C: {Structure.RV: (0.2, np.inf), Structure.AORTIC_ROOT: (0.16, np.inf)},
    View.A2C: {Structure.RV: (0.0, 0.08), Structure.RA: (0.0, 0.02), Structure.AORTIC_ROOT: (0.0, 0.06)},
    View.A3C: {Structure.AORTIC_ROOT: (0.12, np.inf), Structure.RA: (0.0, 0.02)},
}
# Where the short-axis planes cross the long axis, as a share of its length above the annulus.
_LEVELS: Mapping[View, tuple[float, float]] = {
    View.PSAX_MV: (0.03, 0.18),
    View.PSAX_CHORDAE: (0.235, 0.35),
    View.PSAX_PM: (0.40, 0.65),
    View.PSAX_APEX: (0.74, 0.95),
}
_OBLIQUE_DEG = (25.0, 68.0)  # of a plane without a name: neither across the long axis nor along it


def named_plane(
    view: View,
    patient: Patient,
    warp: Warp,
    *,
    half_angle: float,
    near_mm: float,
    rng: np.random.Generator,
    straying: float,
) -> Plane:
    """A plane that strayed no farther than its name reaches, behind the skin.

    A perfect plane has its name by its place; where no other is found, it is taken.

    Parameters
    ----------
    view : View
        As :func:`~echo_node.phantom.planes.sample_plane` has it.
    patient, warp
        The heart, and how its body bends it.
    half_angle : float
        Of the sector, radians: what lies beside it is not shown.
    near_mm : float
        From the sector's tip to the probe's face.
    rng : numpy Generator
    straying : float
        How far hands stray, 0 to 1.
    """
    end_systole = systole_share(patient.heart_rate)
    moments = (moment(patient, 0.0), moment(patient, end_systole))
    for _ in range(_TRIES if straying else 0):
        plane = sample_plane(view, moments[0], rng, straying=straying).behind(near_mm)
        if _has_name(view, plane, moments, warp, half_angle=half_angle, near_mm=near_mm):
            return plane
    return sample_plane(view, moments[0], rng, straying=0.0).behind(near_mm)


def _has_name(
    view: View, plane: Plane, moments: tuple[Moment, Moment], warp: Warp, *, half_angle: float, near_mm: float
) -> bool:
    if view in _LEVELS:
        return _LEVELS[view][0] <= _level(plane, moments[0]) <= _LEVELS[view][1]
    if view is View.OTHER:
        across = abs(float(np.cross(plane.beam, plane.right)[2]))
        return bool(_OBLIQUE_DEG[0] <= np.rad2deg(np.arccos(min(1.0, across))) <= _OBLIQUE_DEG[1])
    if view not in _CUT:
        return True
    points, areas = _grid(plane, half_angle, near_mm)
    solid = warp.to_solid(numpy_namespace, points)
    shown = [_areas(fields(numpy_namespace, solid, now), areas) for now in moments]
    left = max(of[Structure.LV_CAVITY] for of in shown)
    if left == 0:
        return False
    shares = {structure: max(of[structure] for of in shown) / left for structure in _CUT[view]}
    return all(least <= shares[structure] <= most for structure, (least, most) in _CUT[view].items())


def _level(plane: Plane, heart: Moment) -> float:
    """Where the plane crosses the long axis, as a share of its length above the annulus."""
    out = np.cross(plane.beam, plane.right)
    return float(plane.origin @ out / out[2] / heart.length_ed) if abs(out[2]) > 0.5 else np.nan


def _grid(
    plane: Plane, half_angle: float, near_mm: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Places [3,A,L] all over the sector, and the area that each stands for [A,1]."""
    far = np.linspace(near_mm, plane.depth, _GRID[0])[:, None]
    angle = np.linspace(-half_angle, half_angle, _GRID[1])
    down, right = far * np.cos(angle), far * np.sin(angle)
    vectors = (plane.origin, plane.beam, plane.right)
    origin, beam, across = (np.reshape(vector, (3, 1, 1)) for vector in vectors)
    return (origin + beam * down + across * right).astype(np.float32), far


def _areas(solids: Fields, areas: npt.NDArray[np.float64]) -> dict[Structure, float]:
    """Cut areas, in any unit."""
    return {structure: float((where * areas).sum()) for structure, where in cut(solids, lambda f: f < 0).items()}


def visible_border(
    picture: npt.NDArray[np.uint8],
    blood: npt.NDArray[np.bool_],
    sector: npt.NDArray[np.bool_],
    *,
    spacing_mm: float,
) -> float:
    """Share of the border of blood, 0 to 1, along which it is seen to differ from the tissue beside it.

    Greys are means over a few millimetres of either side, as the eye has them of speckle.

    Parameters
    ----------
    picture : u8 [H,W]
    blood : bool [H,W]
    sector : bool [H,W]
    spacing_mm : float
        Of a pixel.
    """
    inside = cv2.erode(sector.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    border = inside & blood & (cv2.erode(blood.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    if not border.any():
        return 0.0
    grey = picture.astype(np.float32)

    def mean_of(side: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        weight = side.astype(np.float32)
        total = cv2.GaussianBlur(grey * weight, (0, 0), _EYE_MM / spacing_mm)
        return np.asarray(total / np.maximum(cv2.GaussianBlur(weight, (0, 0), _EYE_MM / spacing_mm), 1e-6))

    tissue, other = mean_of(sector & ~blood)[border], mean_of(sector & blood)[border]
    least = np.maximum(_LEAST_GREYS, _LEAST_SHARE * np.maximum(tissue, other))
    return float((np.abs(tissue - other) >= least).mean())
