"""Cases from simulated patients: every view on a vendor's screen, and pictures that show no heart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from echo_node.codes import ImageMode, View
from echo_node.evaluation.cases import Axis, Case, Figure, Labels, Source
from echo_node.evaluation.distances import diameter_at, walls_at
from echo_node.evaluation.frames import region_of, seen_clip, whole_clip
from echo_node.evaluation.phases import every_phase
from echo_node.evaluation.quality import quality
from echo_node.inference.sampling import spread
from echo_node.phantom import Patient, SimulatedClip, sample_patient, sample_screen, simulate_clip, simulate_still
from echo_node.phantom.others import Kind, render
from echo_node.phantom.planes import VIEWS
from echo_node.phantom.screen import Screen, Ticks, compose
from echo_node.phantom.stills import MODES
from echo_node.records import Clip, Landmarks, Segmentation

CAVEAT = "simulated hearts (phantoms), not patients: no clinical figures"
_CINES = (View.A4C, View.A2C, View.PLAX)  # measured over whole beats; of the others a few frames do
_FEW_FRAMES = 12
_MASK_FRAMES = 8  # spread over the clip; those of ED and ES come with them
_LEAST_AREA = 0.003  # of the sector: a sliver that a plane grazes is nobody's structure
_OTHERS = 3  # pictures without a heart of each patient, beside a Doppler still
_OTHER_FRAMES, _OTHER_MS = 12, 40.0
_OTHER_SPACING = (0.5, 0.5)  # mm: nothing but the picture keeps it from being measured


def phantoms(views: Sequence[View], *, patients: int, seed: int) -> Source:
    """Patients that no training saw, each with one clip of every view, on a screen of their own.

    Parameters
    ----------
    views : sequence of View
        The engine's; those that the phantom can show are used.
    patients : int
        How many.
    seed : int
        The same seed is the same set; training uses seeds below 1000.
    """
    return Source(name="phantoms", caveat=CAVEAT, patients=patients, cases=_cases(views, patients, seed))


def as_clip(simulated: SimulatedClip, *, uid: str) -> Clip:
    """A simulated sector without a screen as the node's reader would hand it on."""
    return whole_clip(
        simulated.frames,
        simulated.sector,
        uid=uid,
        times_ms=simulated.times_ms,
        spacing_mm=simulated.spacing_mm,
        mode=simulated.mode,
    )


def _cases(views: Sequence[View], patients: int, seed: int) -> Iterator[Case]:
    for number in range(patients):
        rng = np.random.default_rng([seed, number])
        patient, screen = sample_patient(rng), sample_screen(rng)
        for place, view in enumerate(v for v in VIEWS if v in views):
            count = None if view in _CINES else _FEW_FRAMES
            simulated = simulate_clip(patient, view, rng=rng, screen=screen, frames=count)
            yield _heart(simulated, screen, patient=f"phantom {number}", uid=f"2.25.{seed}.{number}.{place}")
        yield from _others(patient, screen, rng, number=number, uid=f"2.25.{seed}.{number}")


def _heart(simulated: SimulatedClip, screen: Screen, *, patient: str, uid: str) -> Case:
    clip = seen_clip(
        simulated.frames,
        uid=uid,
        times_ms=simulated.times_ms,
        spacing_mm=simulated.spacing_mm,
        mode=simulated.mode,
        region=region_of(simulated.sector, simulated.spacing_mm),
    )
    masks, landmarks = _masks(simulated, uid), _landmarks(simulated, uid)
    ed, es = simulated.ed_frame + 1, simulated.es_frame + 1
    eds, ess = every_phase(simulated.volumes_ml, simulated.times_ms)
    grade = None if clip is None else quality(clip, masks)
    labels = Labels(
        patient=patient,
        view=simulated.view,
        values=_volumes(simulated) | _walls(landmarks, simulated, ed=ed, es=es),
        ed_frame=ed,
        es_frame=es,
        ed_frames=tuple((eds + 1).tolist()),
        es_frames=tuple((ess + 1).tolist()),
        groups=look_of(screen) if grade is None else look_of(screen) | {Axis.QUALITY: grade},
    )
    return Case(labels=labels, clip=clip, masks=masks, landmarks=landmarks)


def look_of(screen: Screen) -> dict[Axis, str]:
    """A vendor's screen in words: its size, and how it marks the depth."""
    marks = "ruler" if screen.ticks is Ticks.RIGHT else "dots along the sector"
    return {Axis.SCREEN: f"{screen.cols} x {screen.rows}", Axis.MARKS: marks}


def _masks(simulated: SimulatedClip, uid: str) -> tuple[Segmentation, ...]:
    """The truth of the structures that are shown, on frames spread over the clip, ED and ES among them."""
    some = {*spread(len(simulated.frames), _MASK_FRAMES), simulated.ed_frame, simulated.es_frame}
    chosen, area = sorted(some), simulated.sector.sum()
    return tuple(
        Segmentation(
            SOPInstanceUID=uid,
            structure=structure,
            masks=masks[chosen],
            frame_numbers=tuple(index + 1 for index in chosen),
        )
        for structure, masks in simulated.masks.items()
        if masks.sum(axis=(1, 2)).mean() > _LEAST_AREA * area
    )


def _landmarks(simulated: SimulatedClip, uid: str) -> tuple[Landmarks, ...]:
    if not simulated.landmarks:
        return ()
    return tuple(
        Landmarks(
            SOPInstanceUID=uid,
            frame_number=index + 1,
            points=tuple((point, *_place(at[index])) for point, at in simulated.landmarks.items()),
            probability=1.0,
        )
        for index in range(len(simulated.frames))
    )


def _place(at: npt.NDArray[np.float64]) -> tuple[float, float]:
    return float(at[0]), float(at[1])


def _volumes(simulated: SimulatedClip) -> dict[Figure, float]:
    """Of the solid, whatever the plane cuts."""
    patient = simulated.patient
    assert patient is not None, "a heart has a patient"
    return {Figure.EF: patient.ef, Figure.EDV: patient.edv_ml, Figure.ESV: patient.esv_ml}


def _walls(landmarks: Sequence[Landmarks], simulated: SimulatedClip, *, ed: int, es: int) -> dict[Figure, float]:
    if not landmarks or simulated.spacing_mm is None:
        return {}
    systolic = diameter_at(landmarks, es, simulated.spacing_mm)
    found = dict(walls_at(landmarks, ed, simulated.spacing_mm))
    return found if systolic is None else found | {Figure.LVIDS: systolic}


def _others(patient: Patient, screen: Screen, rng: np.random.Generator, *, number: int, uid: str) -> Iterator[Case]:
    """Pictures without a heart, every kind in its turn, and a Doppler still."""
    kinds = list(Kind)
    for place in range(_OTHERS):
        kind = kinds[(number * _OTHERS + place) % len(kinds)]
        frames, sector = render(rng, frames=_OTHER_FRAMES, size=screen.sector_size, kind=kind)
        times = np.arange(_OTHER_FRAMES, dtype=np.float64) * np.float64(_OTHER_MS)
        fitting, sector = frames[:, : screen.rows], sector[: screen.rows]
        shown, (top, left) = compose(fitting, sector, screen, times_ms=times, patient=patient, rng=rng)
        box = np.zeros(shown.shape[1:3], np.bool_)
        box[top : top + sector.shape[0], left : left + sector.shape[1]] = sector
        region = region_of(box, _OTHER_SPACING)
        clip = seen_clip(shown, uid=f"{uid}.9{place}", times_ms=times, spacing_mm=_OTHER_SPACING, region=region)
        yield _not_a_heart(clip, kind.name.lower(), screen, number)
    mode = MODES[number % len(MODES)]
    still = simulate_still(patient, mode, rng=rng, screen=screen)
    stated = None if mode is ImageMode.COLOUR_FLOW else mode  # carts state spectra, colour is seen
    clip = seen_clip(
        still.frames,
        uid=f"{uid}.99",
        times_ms=None,
        spacing_mm=still.spacing_mm,
        mode=stated,
        region=region_of(still.sector, still.spacing_mm) if stated is None else None,
    )
    yield _not_a_heart(clip, f"{mode.code.meaning} still", screen, number)


def _not_a_heart(clip: Clip | None, kind: str, screen: Screen, number: int) -> Case:
    labels = Labels(patient=f"phantom {number}", view=View.OTHER, kind=kind, groups=look_of(screen))
    return Case(labels=labels, clip=clip)
