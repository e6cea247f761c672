"""A patient's heart in numbers, and its shape at a moment of the beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

# A bullet: half an ellipsoid on a short barrel. The barrel is this share of the length.
BARREL = 0.2
APICAL_WALL = 0.7  # wall at the apex over wall at the base
TWIST_DEG = 8.0  # of the apex against the base at end systole
_ISOVOLUMIC = 0.05  # of the beat, before ejection
_MOST_LEAN = 0.2  # of the wall
_LEAN_SEED = 43
_SHORTENING = 0.39  # of the length, per relative loss of mean diameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What stays the same over an exam."""

    ef: float  # percent
    edv_ml: float
    wall_mm: float  # LV wall at end diastole
    heart_rate: float  # per minute
    slimness: float  # LV length over width at end diastole
    rv_scale: float
    la_ml: float  # smallest, at end diastole
    ra_ml: float
    aortic_root_mm: float
    speckle: int  # which scatterers this body has

    @property
    def esv_ml(self) -> float:
        """End-systolic volume."""
        return self.edv_ml * (1 - self.ef / 100)

    @property
    def beat_ms(self) -> float:
        """Duration of a beat."""
        return 60_000 / self.heart_rate


def sample_patient(rng: np.random.Generator, **fixed: float) -> Patient:
    """A patient from healthy to ill.

    Volume and EF go together as they do in patients: large ventricles are more often weak. EF spans 15
    to 75 %, EDV 60 to 250 ml, the wall 6 to 20 mm, the heart rate 45 to 120 a minute.

    Parameters
    ----------
    rng : numpy Generator
        The same state gives the same patient.
    **fixed
        Fields of :class:`Patient` that are given, not drawn.
    """
    edv = float(np.clip(rng.lognormal(np.log(120), 0.33), 60, 250))
    drawn: dict[str, Any] = {
        "edv_ml": edv,
        "ef": float(np.clip(rng.normal(55 - 0.10 * (edv - 120), 14), 15, 75)),
        "wall_mm": float(np.clip(rng.gamma(9, 1.15), 6, 20)),
        "heart_rate": float(rng.uniform(45, 120)),
        "slimness": float(rng.uniform(1.4, 2.0)),
        "rv_scale": float(rng.uniform(0.95, 1.5)),
        "la_ml": float(rng.uniform(26, 110)),
        "ra_ml": float(rng.uniform(26, 110)),
        "aortic_root_mm": float(rng.uniform(26, 38)),
        "speckle": int(rng.integers(1 << 20)),
    }
    return Patient(**(drawn | fixed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The heart's shape at one phase of the beat, in mm and ml."""

    patient: Patient
    length_ed: float  # LV cavity at end diastole: the apex stays there
    radius_ed: float
    length: float
    base: float  # z of the annulus plane: it descends towards the apex in systole
    radius: float
    wall: float
    twist: float  # radians at the apex
    filling: float  # 1 at end diastole, 0 at end systole
    in_systole: bool
    opening: float  # of the mitral valve, 0 to 1
    lean: tuple[float, float]  # mm, in x and y: the cavity lies off the wall's middle

    @property
    def apical_wall(self) -> float:
        """Wall at the apex."""
        return APICAL_WALL * self.patient.wall_mm

    @property
    def epicardial_radius_ed(self) -> float:
        """Outer radius at end diastole."""
        return self.radius_ed + self.patient.wall_mm


def systole_share(heart_rate: float) -> float:
    """Share of the beat from end diastole to end systole.

    Left ventricular ejection plus isovolumic contraction, falling with the rate (Weissler AM et al.,
    Circulation 1968;37:149: QS2 = 546 - 2.1 HR ms), less the delay of aortic closure.
    """
    return (546 - 2.1 * heart_rate) * 0.75 / (60_000 / heart_rate)


def filling(phase: float, heart_rate: float) -> float:
    """Volume above end systole, as a share of the stroke: 1 at phase 0, 0 at end systole.

    Isovolumic contraction, ejection, isovolumic relaxation, rapid filling, diastasis, atrial kick.
    """
    end = systole_share(heart_rate)
    phase = phase % 1.0
    if phase < end:
        ejected = np.clip((phase - _ISOVOLUMIC) / (end - _ISOVOLUMIC), 0, 1)
        return float(0.5 * (1 + np.cos(np.pi * ejected)))
    late = (phase - end) / (1 - end)
    times = np.array([0.0, 0.12, 0.45, 0.72, 0.96, 1.0])
    levels = np.array([0.0, 0.0, 0.72, 0.77, 1.0, 1.0])
    i = int(np.clip(np.searchsorted(times, late, side="right") - 1, 0, len(times) - 2))
    share = (late - times[i]) / (times[i + 1] - times[i])
    return float(levels[i] + (levels[i + 1] - levels[i]) * 0.5 * (1 - np.cos(np.pi * share)))


def bullet_volume_ml(radius: float, length: float) -> float:
    """Volume of a bullet: an ellipsoid of revolution cut off below its widest place."""
    below, above = BARREL * length, (1 - BARREL) * length
    return float(np.pi * radius**2 * (2 / 3 * above + below - below**3 / (3 * above**2)) / 1000)


def moment(patient: Patient, phase: float) -> Moment:
    """The heart's shape at a phase (0 to 1 from end diastole to the next)."""
    fill = filling(phase, patient.heart_rate)
    length_ed = (patient.edv_ml / bullet_volume_ml(0.5 / patient.slimness, 1.0)) ** (1 / 3)
    radius_ed = 0.5 * length_ed / patient.slimness
    shortening = _SHORTENING * (1 - (patient.esv_ml / patient.edv_ml) ** (1 / 3))
    length = length_ed * (1 - shortening * (1 - fill))
    volume = patient.esv_ml + (patient.edv_ml - patient.esv_ml) * fill
    radius = float(np.sqrt(volume / bullet_volume_ml(1.0, length)))
    end = systole_share(patient.heart_rate)
    late = (phase % 1.0 - end) / (1 - end)
    return Moment(
        patient=patient,
        length_ed=length_ed,
        radius_ed=radius_ed,
        length=length,
        base=length_ed - length,
        radius=radius,
        wall=_wall(patient, radius, length, cavity_ml=volume, radius_ed=radius_ed, length_ed=length_ed),
        twist=float(np.deg2rad(TWIST_DEG) * (1 - fill)),
        filling=fill,
        in_systole=phase % 1.0 < end,
        opening=float(np.clip(np.interp(late, [0.08, 0.2, 0.5, 0.7, 0.85, 1.0], [0, 1, 0.5, 0.5, 0.9, 0]), 0, 1)),
        lean=_lean(patient, fill),
    )


def _lean(patient: Patient, fill: float) -> tuple[float, float]:
    """One side of the wall is thicker than the other, and not as much so in systole: volumes stay."""
    rng = np.random.default_rng([_LEAN_SEED, patient.speckle])
    angles, shares = rng.uniform(0, 2 * np.pi, 2), rng.uniform(0, _MOST_LEAN, 2)
    x, y = (
        patient.wall_mm * float(shares[0] * turn(angles[0]) + (1 - fill) * shares[1] * turn(angles[1]))
        for turn in (np.cos, np.sin)
    )
    return x, y


def _wall(
    patient: Patient, radius: float, length: float, *, cavity_ml: float, radius_ed: float, length_ed: float
) -> float:
    """Wall thickness at which the myocardium has its volume of end diastole: it is incompressible."""
    apical = APICAL_WALL * patient.wall_mm
    muscle = bullet_volume_ml(radius_ed + patient.wall_mm, length_ed + apical) - patient.edv_ml
    outer = float(np.sqrt((muscle + cavity_ml) / bullet_volume_ml(1.0, length + apical)))
    return outer - radius
