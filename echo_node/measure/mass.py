"""LV mass, relative wall thickness and geometry of a study (Lang 2015, section 4).

References
----------
Devereux RB et al. Echocardiographic assessment of left ventricular hypertrophy: comparison to necropsy
findings. Am J Cardiol 1986;57:450-8 (the cube formula).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from echo_node.codes import Geometry, Method, Quantity, Reason, View
from echo_node.edits import Edit
from echo_node.measure.plausibility import Fault, check_body, check_mass
from echo_node.measure.results import MASS, MassResult, Recipe, refused, surest, value_of
from echo_node.records import Body, ClipAnalysis, Finding, Measurement, NotMeasured, Sex

MASS_INDEX_LIMITS: Mapping[Sex, float] = {Sex.FEMALE: 95.0, Sex.MALE: 115.0}  # g/m2; over it: hypertrophy
RWT_LIMIT = 0.42  # over it: concentric
_DENSITY = 1.04  # g/ml, of myocardium
_NECROPSY = (0.8, 0.6)  # slope, and grams: what fits the cubes to weighed hearts
_LENGTHS = (Quantity.IVSD, Quantity.LVIDD, Quantity.LVPWD)


def measure_mass(clips: Sequence[ClipAnalysis]) -> MassResult:
    """LV mass, relative wall thickness, mass index and geometry from the study's walls.

    Of several parasternal long-axis clips the one whose view is most certain is taken.

    Parameters
    ----------
    clips : sequence of ClipAnalysis
        All clips of the study.
    """
    clip = surest(clips, View.PLAX, Quantity.LVIDD, Method.DIRECT)
    if clip is None:
        return MassResult(not_measured=_refused(MASS, Fault(Reason.VIEW_MISSING, "no measured PLAX clip")))
    lengths = [m for m in (value_of(clip, quantity, Method.DIRECT) for quantity in _LENGTHS) if m is not None]
    if len(lengths) < len(_LENGTHS):  # the node measures walls together; a person may have drawn one alone
        return MassResult(not_measured=_without_lengths(clip))
    sources = lengths[0].sources
    thickness = Recipe(
        method=Method.TWICE_POSTERIOR_WALL, view=View.PLAX, sources=sources, edits=_edits(lengths[1:])
    )
    rwt = _thickness(thickness, lengths)
    cube = Recipe(method=Method.CUBE, view=View.PLAX, sources=sources, edits=_edits(lengths))
    mass = _mass(cube, lengths)
    fault = check_mass(mass.value)
    if fault is not None:
        heavy = (Quantity.LV_MASS, Quantity.LV_MASS_INDEX, Quantity.LV_GEOMETRY)
        return MassResult(measurements=(rwt,), not_measured=_refused(heavy, fault, edits=cube.edits))
    indexed = _indexed(cube, mass, rwt, clip.body or Body())
    return replace(indexed, measurements=(mass, rwt, *indexed.measurements))


def _indexed(cube: Recipe, mass: Measurement, rwt: Measurement, body: Body) -> MassResult:
    """Mass index and geometry: what depends on whose heart it is."""
    fault = check_body(body)
    if fault is not None:
        return MassResult(not_measured=_refused((Quantity.LV_MASS_INDEX, Quantity.LV_GEOMETRY), fault))
    area = body.surface_m2
    assert area is not None, "the body was checked"
    spread = None if mass.uncertainty is None else mass.uncertainty / area
    index = cube.measurement(Quantity.LV_MASS_INDEX, mass.value / area, uncertainty=spread)
    if body.sex is None:
        fault = Fault(Reason.NO_SEX, "the limits of the mass index differ between the sexes")
        return MassResult(measurements=(index,), not_measured=_refused((Quantity.LV_GEOMETRY,), fault))
    shape = geometry(index.value, rwt.value, body.sex)
    finding = Finding(quantity=Quantity.LV_GEOMETRY, value=shape, sources=cube.sources)
    return MassResult(measurements=(index,), findings=(finding,))


def cube_mass_g(ivsd_mm: float, lvidd_mm: float, lvpwd_mm: float) -> float:
    """LV mass in grams by the cube formula: a shell between two spheres' cubes, fitted to necropsy."""
    inner = lvidd_mm / 10  # cm
    outer = inner + (ivsd_mm + lvpwd_mm) / 10
    slope, offset = _NECROPSY
    return slope * _DENSITY * (outer**3 - inner**3) + offset


def geometry(mass_index: float, rwt: float, sex: Sex) -> Geometry:
    """The class of a mass index (g/m2) and a relative wall thickness."""
    if mass_index > MASS_INDEX_LIMITS[sex]:
        return Geometry.CONCENTRIC_HYPERTROPHY if rwt > RWT_LIMIT else Geometry.ECCENTRIC_HYPERTROPHY
    return Geometry.CONCENTRIC_REMODELLING if rwt > RWT_LIMIT else Geometry.NORMAL


def _mass(recipe: Recipe, lengths: Sequence[Measurement]) -> Measurement:
    """Mass with the lengths' uncertainties carried through the formula."""
    ivsd, lvidd, lvpwd = (m.value for m in lengths)
    inner, outer = lvidd / 10, (ivsd + lvidd + lvpwd) / 10  # cm
    per_cm = 3 * _NECROPSY[0] * _DENSITY * np.array([outer**2, outer**2 - inner**2, outer**2])
    spread = float(np.linalg.norm(per_cm * _uncertainties(lengths) / 10))
    return recipe.measurement(Quantity.LV_MASS, cube_mass_g(ivsd, lvidd, lvpwd), uncertainty=spread)


def _thickness(recipe: Recipe, lengths: Sequence[Measurement]) -> Measurement:
    """Relative wall thickness with the lengths' uncertainties carried through the ratio."""
    _, lvidd, lvpwd = (m.value for m in lengths)
    rwt = 2 * lvpwd / lvidd
    spread = float(np.linalg.norm(np.array([0, rwt / lvidd, 2 / lvidd]) * _uncertainties(lengths)))
    return recipe.measurement(Quantity.LV_RWT, rwt, uncertainty=spread)


def _uncertainties(lengths: Sequence[Measurement]) -> npt.NDArray[np.float64]:
    return np.array([m.uncertainty or 0.0 for m in lengths])


def _edits(lengths: Sequence[Measurement]) -> tuple[Edit, ...]:
    return tuple(dict.fromkeys(edit for m in lengths for edit in m.edits))


def _without_lengths(clip: ClipAnalysis) -> tuple[NotMeasured, ...]:
    """Nothing, for the reason of the first length that is not there."""
    first = next((n for n in clip.not_measured if n.quantity in _LENGTHS), None)
    if first is None:
        return _refused(MASS, Fault(Reason.VIEW_MISSING, "not all three walls are measured"))
    return _refused(MASS, Fault(first.reason, first.detail), edits=first.edits)


def _refused(
    quantities: Sequence[Quantity], fault: Fault, *, edits: tuple[Edit, ...] = ()
) -> tuple[NotMeasured, ...]:
    return refused(quantities, fault, view=View.PLAX, method=None, edits=edits)
