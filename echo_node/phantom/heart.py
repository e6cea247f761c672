"""A patient's heart in numbers, and its shape at a moment of the beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from echo_node.phantom.weighted import Weighted, draw

# A bullet: half an ellipsoid on a short barrel. The barrel is this share of the length.
BARREL = 0.2
APICAL_WALL = 0.7  # wall at the apex over wall at the base
TWIST_DEG = 8.0  # of the apex against the base at end systole
_ISOVOLUMIC = 0.05  # of the beat, before ejection
_MOST_LEAN = 0.2  # of the wall
_LEAN_SEED = 43
OFF_SEPTUM = np.array([0.76, -0.65])  # from the septum to the middle of the free wall, in x and y
_AKINETIC_WALL = 0.85  # of its thickness at end diastole, that a wall keeps at least where nothing contracts
_THINNEST_MM = 3.0
_FARTHEST = 0.35  # of the radius: farther off, two planes through the axis would miss the cavity's width
_SHORTENING = 0.39  # of the length, per relative loss of mean diameter


class Rhythm(Weighted):
    """How beats follow each other; the value is how often it is drawn, against the others."""

    REGULAR = 10.0, "each as long as the last"
    ECTOPIC = 1.0, "one comes early, and a pause follows"
    FIBRILLATION = 1.0, "no two are alike"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What stays the same over an exam."""

    ef: float  # percent
    edv_ml: float
    wall_mm: float  # LV wall at end diastole, on average
    asymmetry: float  # by which the septum is thicker than the average, as a share
    akinesia: float  # how little one wall moves, 0 to 1; the others then move more
    akinetic_deg: float  # where around the axis that wall is, from lateral
    heart_rate: float  # per minute
    rhythm: Rhythm
    slimness: float  # LV length over width at end diastole
    rv_scale: float
    tenting_mm: float  # how far into the ventricle the shut mitral leaflets meet; less than 0 billows
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


class Condition(Weighted):
    """What a heart is like; the value is how often it is drawn, against the others."""

    NORMAL = 6.0, "volumes, walls and EF as in health"
    DILATED = 3.0, "large, weak, thin-walled"
    CONCENTRIC = 2.5, "walls thick all round"
    SEPTAL = 1.5, "septum thicker than the rest"
    REGIONAL = 2.0, "one wall hardly moves"
    SMALL = 1.0, "small and vigorous"
    ANY = 4.0, "each number by itself"


# Of each condition: EDV in ml, EF in percent, wall in mm, asymmetry and akinesia as shares (from, to).
# Normal ranges: Lang RM et al., J Am Soc Echocardiogr 2015;28:1.
_RANGES: Mapping[Condition, tuple[tuple[float, float], ...]] = {
    Condition.NORMAL: ((62, 150), (52, 74), (6, 11), (0, 0.1), (0, 0)),
    Condition.DILATED: ((150, 300), (10, 45), (6, 12), (0, 0.1), (0, 0.4)),
    Condition.CONCENTRIC: ((55, 150), (40, 75), (12, 22), (0, 0.15), (0, 0)),
    Condition.SEPTAL: ((50, 130), (50, 75), (10, 17), (0.25, 0.45), (0, 0)),
    Condition.REGIONAL: ((80, 220), (25, 55), (7, 12), (0, 0.15), (0.5, 1)),
    Condition.SMALL: ((46, 75), (55, 75), (6, 12), (0, 0.1), (0, 0)),
    Condition.ANY: ((46, 260), (10, 75), (6, 20), (0, 0.3), (0, 0.5)),
}


def sample_patient(
    rng: np.random.Generator, condition: Condition | None = None, **fixed: float | Rhythm
) -> Patient:
    """A patient from healthy to ill.

    Volume, EF and wall go together as they do in patients: each condition has ranges of its own. In all,
    EF spans 10 to 75 %, EDV 46 to 300 ml, the wall 6 to 22 mm (the septum more), the heart rate 45 to 140.

    Parameters
    ----------
    rng : numpy Generator
        The same state gives the same patient.
    condition : Condition, optional
        Drawn by weight where it is left out.
    **fixed
        Fields of :class:`Patient` that are given, not drawn.
    """
    if condition is None:
        condition = draw(Condition, rng)
    edv, ef, wall, asymmetry, akinesia = (float(rng.uniform(*span)) for span in _RANGES[condition])
    atria = 1.4 if condition in (Condition.DILATED, Condition.CONCENTRIC) else 1.0
    drawn: dict[str, Any] = {
        "edv_ml": edv,
        "ef": ef,
        "wall_mm": wall,
        "asymmetry": asymmetry,
        "akinesia": akinesia,
        "akinetic_deg": float(rng.uniform(0, 360)),
        "heart_rate": float(np.clip(rng.gamma(22, 3.4), 45, 140)),
        "rhythm": draw(Rhythm, rng),
        "slimness": float(rng.uniform(1.3, 2.0)),
        "rv_scale": float(rng.uniform(0.9, 1.75)),
        "tenting_mm": float(rng.uniform(-3, 7)),
        "la_ml": float(rng.uniform(22, 90) * atria),
        "ra_ml": float(rng.uniform(22, 90) * atria),
        "aortic_root_mm": float(rng.uniform(25, 40)),
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


def moment(patient: Patient, phase: float, *, level: float = 1.0) -> Moment:
    """The heart's shape at a phase (0 to 1 from end diastole to the next) of a beat that began at a level."""
    fill = filling(phase, patient.heart_rate)
    if phase % 1.0 < systole_share(patient.heart_rate):
        fill = level * fill
    length_ed = (patient.edv_ml / bullet_volume_ml(0.5 / patient.slimness, 1.0)) ** (1 / 3)
    radius_ed = 0.5 * length_ed / patient.slimness
    shortening = _SHORTENING * (1 - (patient.esv_ml / patient.edv_ml) ** (1 / 3))
    length = length_ed * (1 - shortening * (1 - fill))
    volume = patient.esv_ml + (patient.edv_ml - patient.esv_ml) * fill
    radius = float(np.sqrt(volume / bullet_volume_ml(1.0, length)))
    wall = _wall(patient, radius, length, cavity_ml=volume, radius_ed=radius_ed, length_ed=length_ed)
    end = systole_share(patient.heart_rate)
    late = (phase % 1.0 - end) / (1 - end)
    return Moment(
        patient=patient,
        length_ed=length_ed,
        radius_ed=radius_ed,
        length=length,
        base=length_ed - length,
        radius=radius,
        wall=wall,
        twist=float(np.deg2rad(TWIST_DEG) * (1 - fill)),
        filling=fill,
        in_systole=phase % 1.0 < end,
        opening=float(np.clip(np.interp(late, [0.08, 0.2, 0.5, 0.7, 0.85, 1.0], [0, 1, 0.5, 0.5, 0.9, 0]), 0, 1)),
        lean=_lean(patient, fill, wall, radius),
    )


def _lean(patient: Patient, fill: float, wall: float, radius: float) -> tuple[float, float]:
    """The cavity lies off the wall's middle, at rest and more or less so in systole: volumes stay.

    A septum is thick where the cavity lies away from it; a wall stands still where the cavity moves
    towards it as it shrinks.
    """
    rng = np.random.default_rng([_LEAN_SEED, patient.speckle])
    most = _MOST_LEAN * max(0.0, 1 - 2 * patient.asymmetry)  # a thick septum outweighs what else varies
    angles, shares = rng.uniform(0, 2 * np.pi, 2), rng.uniform(0, most, 2)
    still = np.deg2rad(patient.akinetic_deg)
    drift = patient.akinesia * max(0.0, wall - _AKINETIC_WALL * patient.wall_mm) * (1 - fill)
    off = patient.wall_mm * (
        shares[0] * _unit(angles[0]) + (1 - fill) * shares[1] * _unit(angles[1]) + patient.asymmetry * OFF_SEPTUM
    )
    off = off + drift * _unit(still)
    limit = max(0.0, min(wall - _THINNEST_MM, _FARTHEST * radius))
    off = off * min(1.0, limit / (float(np.hypot(*off)) + 1e-9))
    return float(off[0]), float(off[1])


def _unit(angle: float) -> npt.NDArray[np.float64]:
    return np.array([np.cos(angle), np.sin(angle)])


def _wall(
    patient: Patient, radius: float, length: float, *, cavity_ml: float, radius_ed: float, length_ed: float
) -> float:
    """Wall thickness at which the myocardium has its volume of end diastole: it is incompressible."""
    apical = APICAL_WALL * patient.wall_mm
    muscle = bullet_volume_ml(radius_ed + patient.wall_mm, length_ed + apical) - patient.edv_ml
    outer = float(np.sqrt((muscle + cavity_ml) / bullet_volume_ml(1.0, length + apical)))
    return outer - radius
