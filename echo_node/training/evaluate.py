"""The figures of an engine package on unseen phantoms, through the code that serves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from tqdm import trange

from echo_node.codes import ImageMode, Quantity, Structure, View
from echo_node.inference.engine import Engine
from echo_node.inference.sampling import pick, spread
from echo_node.measure.biplane import measure_biplane
from echo_node.measure.single_plane import measure_clip
from echo_node.phantom import Patient, SimulatedClip, sample_patient, simulate_clip
from echo_node.records import Clip, ClipAnalysis, Segmentation, ViewPrediction
from echo_node.training.metrics import balanced_accuracy, dice

_APICAL = (View.A4C, View.A2C)
_LEAST_AREA = 0.003  # of the picture: a sliver that a plane grazes is nobody's structure


@dataclass(slots=True)
class Scores:
    """What is collected over clips."""

    truth: list[int] = field(default_factory=list)
    found: list[int] = field(default_factory=list)
    routed: list[bool] = field(default_factory=list)  # certain enough
    overlap: dict[Structure, list[float]] = field(default_factory=lambda: defaultdict(list))
    ef_errors: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    ef_wanted: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def evaluate(engine: Engine, *, patients: int, seed: int = 1000) -> Mapping[str, float]:
    """Views, masks and EF on patients that no training saw.

    Every patient has one clip of each view of the engine. EF is measured on whole cines of the apical
    four- and two-chamber views, against the solid's own.

    Parameters
    ----------
    engine : Engine
        A loaded package.
    patients : int
        How many.
    seed : int
        Of the set.

    Returns
    -------
    mapping
        Names to figures, as the manifest's ``measured`` holds them.
    """
    scores = Scores()
    for number in trange(patients, desc="evaluate", unit="patient"):
        rng = np.random.default_rng([seed, number])
        patient = sample_patient(rng)
        apical = {}
        for view in engine.views:
            count = None if view in _APICAL else 12
            simulated = simulate_clip(patient, view, rng=rng, frames=count, size=200)
            clip = as_clip(simulated, uid=f"2.25.{number}.{engine.views.index(view)}")
            frames, masks = _score(engine, clip, simulated, scores)
            if view in _APICAL:
                apical[view] = _measured(engine, frames, masks, view)
        _score_ejection(apical, patient, scores)
    return _figures(scores, patients)


def as_clip(simulated: SimulatedClip, *, uid: str) -> Clip:
    """A simulated sector as the node's reader would hand it on."""
    count = len(simulated.frames)
    return Clip(
        SOPInstanceUID=uid,
        frames=simulated.frames,
        frame_numbers=tuple(range(1, count + 1)),
        times_ms=simulated.times_ms,
        spacing_mm=simulated.spacing_mm,
        sector=simulated.sector,
        mode=simulated.mode,
        NumberOfFrames=count,
    )


def _score(
    engine: Engine, clip: Clip, simulated: SimulatedClip, scores: Scores
) -> tuple[Clip, tuple[Segmentation, ...]]:
    few = pick(clip, spread(clip.NumberOfFrames))
    prediction = engine.classify(few)
    scores.truth.append(engine.views.index(simulated.view))
    scores.found.append(engine.views.index(prediction.view))
    scores.routed.append(prediction.probability >= engine.view_threshold)
    whole = simulated.view in _APICAL
    frames = clip if whole else few
    wanted = [s for s in engine.structures if s in simulated.masks and simulated.masks[s].mean() > _LEAST_AREA]
    masks = engine.segment(frames, wanted)
    for mask in masks:
        true = simulated.masks[mask.structure][np.array(frames.frame_numbers) - 1]
        scores.overlap[mask.structure].extend(dice(a, b) for a, b in zip(mask.masks, true, strict=True))
    return frames, masks


def _measured(engine: Engine, clip: Clip, masks: tuple[Segmentation, ...], view: View) -> ClipAnalysis:
    """An apical clip as the pipeline would analyse it, its view being known."""
    cavity = next(mask for mask in masks if mask.structure is Structure.LV_CAVITY)
    result = measure_clip(clip, cavity, view)
    return ClipAnalysis(
        SOPInstanceUID=clip.SOPInstanceUID,
        StudyInstanceUID="2.25.0",
        prediction=ViewPrediction(
            SOPInstanceUID=clip.SOPInstanceUID,
            view=view,
            probability=1.0,
            runner_up=View.OTHER,
            runner_up_probability=0.0,
            mode=ImageMode.TWO_D,
        ),
        outcome=None,
        detail="",
        spacing_mm=clip.spacing_mm,
        segmentations=masks,
        curve=result.curve,
        measurements=result.measurements,
        not_measured=result.not_measured,
        engine=engine.identity,
    )


def _score_ejection(apical: Mapping[View, ClipAnalysis], patient: Patient, scores: Scores) -> None:
    """EF of each plane and of both against the solid's."""
    results = {view.name: analysis.measurements for view, analysis in apical.items()}
    results["biplane"] = measure_biplane(list(apical.values())).measurements
    for name, measurements in results.items():
        scores.ef_wanted[name] += 1
        for m in measurements:
            if m.quantity is Quantity.LVEF:
                scores.ef_errors[name].append(m.value - patient.ef)


def _figures(scores: Scores, patients: int) -> dict[str, float]:
    truth, found = np.array(scores.truth), np.array(scores.found)
    routed = np.array(scores.routed)
    figures = {
        "patients": float(patients),
        "view_balanced_accuracy": balanced_accuracy(found, truth),
        "view_routed_share": float(routed.mean()),
        "view_accuracy_of_routed": float((found == truth)[routed].mean()),
    }
    for structure, values in scores.overlap.items():
        figures[f"dice_{structure.name.lower()}"] = float(np.mean(values))
    for name, errors in scores.ef_errors.items():
        figures[f"ef_mae_{name.lower()}"] = float(np.mean(np.abs(errors)))
        figures[f"ef_bias_{name.lower()}"] = float(np.mean(errors))
        figures[f"ef_measured_share_{name.lower()}"] = len(errors) / scores.ef_wanted[name]
    return {name: round(value, 4) for name, value in figures.items()}
