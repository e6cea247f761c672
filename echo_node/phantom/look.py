"""What varies between machines, their settings and the window they look through: one draw of it all."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

_SPECKLE_DB = 3.0  # mean power of scatterers of unit amplitude: two parts of unit power each
_SHADOWS, _PATCHES = 3, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a machine, its settings and the window make the picture."""

    half_angle: float  # radians
    near_mm: float  # from the sector's tip to the probe's face: 2 phased, up to 14 with a curved face
    # tissue, in dB against a septum that the beam meets well
    muscle_db: float  # myocardium: often little brighter than the haze in the cavity
    blood_db: float
    surroundings_db: float
    rim_db: float  # pericardium and what lies on it, fading outwards
    rim_mm: float
    near_db: float  # chest wall, or liver under the ribs
    near_reach_mm: float
    texture_db: float  # patches of better and worse echo in tissue
    texture_scale: float  # share of the sector
    rough_mm: float  # trabeculae: how ragged the endocardium is
    pericardium_db: float
    specular: float  # of borders that lie across the beam, against speckle
    leaflet: float  # of valves
    annulus: float  # of the ring that the mitral leaflets hang on
    tissue_db: float  # 0; less where contrast agent makes the blood shine and tissue is suppressed
    fibre: float  # loss of myocardium's echo where the beam runs along the wall, 0 to 1
    atrial_db: float  # of the atria's walls against other thin walls
    septum_db: float  # and of what lies between the atria, that the beam runs along from the apex
    septum_mm: float  # from the valves on, as far as it keeps its echo
    back_db: float  # of the pericardium behind the atria
    vessels_db: float  # of the walls of arch, pulmonary trunk and cava
    # beam
    wavelength_mm: float
    apodisation: float  # lateral width over wavelength times depth over aperture
    pulse_mm: float  # axial standard deviation
    focus: float  # share of the depth
    defocus: float  # how much wider the beam is away from it
    shadows: tuple[tuple[float, float, float], ...]  # angle, width (share of the half angle), dB
    patches: tuple[tuple[float, float, float, float], ...]  # depth, side, width (shares), dB: dropout
    haze_db: float  # reverberation in the near field
    haze_mm: float
    noise_db: float  # of the electronics at the skin
    noise_growth_db: float  # by the end of the depth
    # compression
    white_db: float
    range_db: float  # from white to black
    gamma: float
    s_curve: float  # 0 straight, 1 steep in the middle
    tilt_db: float  # of time-gain compensation that does not fit, over the depth
    depth_db: tuple[float, ...]  # its wobble
    beam_db: tuple[float, ...]  # across the sector
    smoothing: float  # of speckle, samples
    persistence_ms: float  # in which what was shown fades to 1/e; 0 shows every frame by itself


def sample_look(rng: np.random.Generator) -> Look:
    """A machine and a window, from excellent to poor.

    Blood lies 20 to 30 dB under myocardium in a good window; reverberation and side lobes fill it up to 8 dB
    under it in a poor one. Dynamic ranges are 45 to 70 dB; the wavelength is that of 2 to 4 MHz. Gain is drawn
    by the grey level at which tissue shows.
    """
    u = rng.uniform
    span = float(u(45, 70))
    muscle = -12 * float(u()) ** 1.5
    white = _SPECKLE_DB + (1 - float(u(0.46, 0.95))) * span
    return Look(
        half_angle=float(np.deg2rad(u(30, 50))),
        near_mm=float(u(1.5, 4) if u() < 0.5 else u(4, 22)),
        muscle_db=muscle,
        blood_db=muscle - 8 - 22 * float(u()) ** 0.7,
        surroundings_db=-8 - 32 * float(u()) ** 0.6,
        rim_db=float(u(-20, 3)),
        rim_mm=float(u(3, 18)),
        near_db=float(u(-22, 0)),
        near_reach_mm=float(u(4, 22)),
        texture_db=float(u(1.5, 6.5)),
        texture_scale=float(u(0.02, 0.09)),
        rough_mm=float(u(0.2, 1.6)),
        pericardium_db=float(u(-2, 12)),
        specular=float(u(0.3, 2.4)),
        leaflet=float(u(0.05, 1.6)),
        annulus=float(u(0.0, 0.9)),
        tissue_db=0.0,
        fibre=float(u(0.2, 0.85)),
        atrial_db=-26 * float(u()) ** 2,
        septum_db=float(u(-40, -6) if u() < 0.6 else 0.0),
        septum_mm=float(u(1, 18)),
        back_db=float(u(-24, 8)),
        vessels_db=-20 * float(u()),
        wavelength_mm=float(u(0.4, 0.75)),
        apodisation=float(u(0.9, 1.9)),
        pulse_mm=float(u(0.4, 1.0)),
        focus=float(u(0.35, 0.75)),
        defocus=float(u(1.3, 2.4)),
        shadows=_shadows(rng),
        patches=_patches(rng),
        haze_db=float(u(-30, 3)),
        haze_mm=float(u(6, 32) if u() < 0.6 else u(30, 70)),
        noise_db=white - span + float(u(-30, -8)),
        noise_growth_db=float(u(6, 18)),
        white_db=white,
        range_db=span,
        gamma=float(u(0.8, 1.6)),
        s_curve=float(u(-0.2, 0.9)),
        tilt_db=float(u(-13, 7)),
        depth_db=tuple(float(v) for v in rng.normal(0, 3, 7)),
        beam_db=tuple(float(v) for v in rng.normal(0, 3, 6) - u(0, 22) * np.array([1, 0.25, 0, 0, 0.25, 1])),
        smoothing=float(u(0.0, 1.8)),
        persistence_ms=float(u(0, 30)),
    )


def with_contrast(look: Look, rng: np.random.Generator) -> Look:
    """The same machine with a contrast agent in the blood, and tissue suppressed."""
    return replace(look, blood_db=float(rng.uniform(-3, 4)), tissue_db=float(rng.uniform(-24, -12)), haze_db=-30.0)


def through_oesophagus(look: Look, rng: np.random.Generator) -> Look:
    """The same machine with a transoesophageal probe: 5 to 7 MHz, no ribs, no fat, little haze."""
    return replace(
        look,
        wavelength_mm=float(rng.uniform(0.22, 0.32)),
        pulse_mm=float(rng.uniform(0.3, 0.6)),
        near_reach_mm=float(rng.uniform(2, 5)),
        haze_db=float(rng.uniform(-30, -12)),
        shadows=(),
    )


def _shadows(rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    """Ribs and lung: mostly towards the sides of the sector."""
    return tuple(
        (float(rng.choice([-1, 1]) * rng.uniform(0.35, 1.0)), float(rng.uniform(0.04, 0.3)),
         float(rng.uniform(4, 28)))
        for _ in range(rng.integers(0, _SHADOWS + 1))
    )  # fmt: skip


def _patches(rng: np.random.Generator) -> tuple[tuple[float, float, float, float], ...]:
    """Places that lost their echo, or have it in excess."""
    return tuple(
        (float(rng.uniform(0.1, 1)), float(rng.uniform(-1, 1)), float(rng.uniform(0.08, 0.35)),
         float(rng.uniform(-22, 5)))
        for _ in range(rng.integers(0, _PATCHES + 1))
    )  # fmt: skip
