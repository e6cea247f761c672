"""What an engine says of a case, reduced to numbers beside their truth.

Each task is judged by itself: masks, EF and walls are asked for on the clip's labelled view, whatever
view the engine names. Whether the node would measure a picture at all is judged through the pipeline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from echo_node.codes import ImageMode, Reason, Structure, View
from echo_node.config import Routing
from echo_node.evaluation.cases import Case, Figure, Labels
from echo_node.evaluation.clicks import dice_by_clicks
from echo_node.evaluation.distances import diameter_at, walls_at
from echo_node.evaluation.phases import from_curve, from_estimate
from echo_node.evaluation.readings import (
    VOLUMES,
    WALLS,
    Reading,
    Way,
    from_disks,
    from_measurements,
    from_values,
)
from echo_node.evaluation.scores import dice
from echo_node.inference.engine import Engine
from echo_node.inference.sampling import pick, spread
from echo_node.measure.biplane import measure_biplane
from echo_node.measure.plausibility import check_estimate
from echo_node.measure.results import PIXELS
from echo_node.measure.single_plane import measure_clip
from echo_node.measure.volumes import Disks, disks
from echo_node.measure.walls import measure_walls
from echo_node.pipeline import Rules, analyse_source, decide
from echo_node.records import Clip, ClipAnalysis, Segmentation, ViewPrediction

APICAL: Mapping[View, Way] = {View.A4C: Way.A4C, View.A2C: Way.A2C}
_CLICKED = (*APICAL, View.PLAX)
_BESIDE_CLICKED = 3  # labelled frames that are seen with the one that is clicked on
_RULES = Rules(routing=Routing(), max_frames=600)  # as config.yaml has them
_NO_STUDY = "2.25.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One case's labels and what came of it; no pixels."""

    labels: Labels
    prediction: ViewPrediction | None  # None: refused before the view head
    is_routed: bool = False  # a head would measure it
    overlaps: Mapping[Structure, float] = field(default_factory=dict)  # mean Dice over the labelled frames
    clicks: Mapping[Structure, tuple[float, ...]] = field(default_factory=dict)  # Dice after 0, 1, ... clicks
    readings: tuple[Reading, ...] = ()
    is_measured: bool = False  # of a picture without a heart: a number came out
    refusal: str = ""  # of a picture without a heart: why none did
    fault: str = ""  # why it could not be read; nothing is judged then

    @property
    def heart_certainty(self) -> float:
        """The largest probability of a view of the heart: what routing holds against its threshold."""
        if self.prediction is None:
            return 0.0
        is_other = self.prediction.view is View.OTHER
        return self.prediction.runner_up_probability if is_other else self.prediction.probability


@dataclass(frozen=True, slots=True)
class _Apical:
    """An apical clip that waits for its patient's other plane."""

    analysis: ClipAnalysis
    labelled: tuple[Disks, Disks] | None  # at the labelled ED and ES


@dataclass(frozen=True, slots=True)
class _HeldClip:
    """A clip in memory as the pipeline's source."""

    clip: Clip

    @property
    def NumberOfFrames(self) -> int:  # noqa: N802 (a DICOM keyword)
        return self.clip.NumberOfFrames

    def read(self, indices: Sequence[int]) -> Clip:
        return pick(self.clip, tuple(indices))


def answer_patient(engine: Engine, cases: Iterable[Case]) -> tuple[list[Answer], tuple[Reading, ...]]:
    """Every clip of one patient, and what both planes give together."""
    answers, apical, labels = [], list[_Apical](), None
    for case in cases:
        if case.fault:
            answers.append(Answer(labels=case.labels, prediction=None, fault=case.fault))
        elif case.clip is None:
            lost = {truth.structure: 0.0 for truth in case.masks if truth.structure in engine.structures}
            refusal = Reason.NO_SECTOR.code.meaning
            answers.append(Answer(labels=case.labels, prediction=None, overlaps=lost, refusal=refusal))
        elif not case.labels.shows_heart:
            answers.append(_not_a_heart(engine, case.clip, case.labels))
        else:
            found, plane = _heart(engine, case, case.clip)
            answers.append(found)
            if plane is not None:
                apical.append(plane)
                labels = case.labels
    return answers, () if labels is None else _both_planes(apical, labels)


def _not_a_heart(engine: Engine, clip: Clip, labels: Labels) -> Answer:
    analysis = analyse_source(
        _HeldClip(clip),
        SOPInstanceUID=clip.SOPInstanceUID,
        StudyInstanceUID=_NO_STUDY,
        engine=engine,
        rules=_RULES,
    )
    prediction = analysis.prediction
    return Answer(
        labels=labels,
        prediction=prediction,
        is_routed=prediction is not None and _is_routed(engine, prediction, clip),
        is_measured=bool(analysis.measurements),
        refusal="" if analysis.outcome is None else analysis.outcome.code.meaning,
    )


def _is_routed(engine: Engine, prediction: ViewPrediction, clip: Clip) -> bool:
    return decide(prediction, frames=clip.NumberOfFrames, engine=engine, rules=_RULES).reason is None


def _heart(engine: Engine, case: Case, clip: Clip) -> tuple[Answer, _Apical | None]:
    labels = case.labels
    prediction = engine.classify(pick(clip, spread(clip.NumberOfFrames)))
    plane, readings = _ejection(engine, clip, labels)
    answer = Answer(
        labels=labels,
        prediction=prediction,
        is_routed=_is_routed(engine, prediction, clip),
        overlaps=_overlaps(engine, case, clip),
        clicks=_clicks(engine, case, clip),
        readings=readings + _walls(engine, clip, labels),
    )
    return answer, plane


def _overlaps(engine: Engine, case: Case, clip: Clip) -> dict[Structure, float]:
    """Mean Dice of each structure over its labelled frames."""
    found = {}
    for truth in case.masks:
        if truth.structure in engine.structures:
            frames = _frames(clip, truth.frame_numbers)
            (mask,) = engine.segment(frames, [truth.structure])
            each = [dice(a, b) for a, b in zip(mask.masks, truth.masks, strict=True)]
            found[truth.structure] = sum(each) / len(each)
    return found


def _clicks(engine: Engine, case: Case, clip: Clip) -> dict[Structure, tuple[float, ...]]:
    """Dice by clicks on a frame of a measured view: the labelled ED frame, else the first that is labelled."""
    if case.labels.view not in _CLICKED:
        return {}
    found = {}
    for truth in case.masks:
        if truth.structure not in engine.structures:
            continue
        ed = case.labels.ed_frame
        number = ed if ed in truth.frame_numbers else truth.frame_numbers[0]
        mask = truth.masks[truth.frame_numbers.index(number)]
        if mask.any():
            others = (truth.frame_numbers[i] for i in spread(len(truth.frame_numbers), _BESIDE_CLICKED))
            seen = _frames(clip, sorted({number, *others}))
            found[truth.structure] = dice_by_clicks(engine, seen, truth.structure, mask, frame_number=number)
    return found


def _frames(clip: Clip, numbers: Sequence[int]) -> Clip:
    return pick(clip, tuple(clip.frame_numbers.index(number) for number in numbers))


def _ejection(engine: Engine, clip: Clip, labels: Labels) -> tuple[_Apical | None, tuple[Reading, ...]]:
    """EF and volumes of an apical clip by the disks of its masks and by the EF head."""
    view = labels.view
    if view is None or view not in APICAL or Structure.LV_CAVITY not in engine.structures:
        return None, ()
    if not any(figure in labels.values for figure in VOLUMES.values()):
        return None, ()
    (cavity,) = engine.segment(clip, [Structure.LV_CAVITY])
    result = measure_clip(clip, cavity, view)
    readings = from_measurements(labels, APICAL[view], result.measurements, result.not_measured)
    readings += from_curve(labels, APICAL[view], clip, result.curve, result.not_measured)
    if engine.estimates_ejection:
        readings += _estimated(engine, clip, cavity, labels, has_beat=result.curve is not None)
    labelled = _labelled_disks(clip, cavity, labels)
    if labelled is not None:
        readings += from_disks(labels, Way.LABELLED, [labelled], calibrated=clip.spacing_mm is not None)
    analysis = ClipAnalysis(
        SOPInstanceUID=clip.SOPInstanceUID,
        StudyInstanceUID=_NO_STUDY,
        prediction=_given(clip, view),
        outcome=None,
        detail="",
        spacing_mm=clip.spacing_mm,
        segmentations=(cavity,),
        curve=result.curve,
        measurements=result.measurements,
        not_measured=result.not_measured,
        engine=engine.identity,
    )
    return _Apical(analysis, labelled), readings


def _estimated(
    engine: Engine, clip: Clip, cavity: Segmentation, labels: Labels, *, has_beat: bool
) -> tuple[Reading, ...]:
    """EF by the head, which needs frame times, where the node would report it."""
    if clip.times_ms is None:
        return _no_estimate(labels, Reason.NO_TIMING)
    if not has_beat:
        return _no_estimate(labels, Reason.NO_FULL_CYCLE)
    estimate = engine.estimate_ejection(clip, cavity)
    doubt = check_estimate(estimate)
    if doubt is not None:
        return _no_estimate(labels, doubt.reason)
    phases = from_estimate(labels, Way.HEAD, (estimate.ed_frame, estimate.es_frame))
    return from_values(labels, Way.HEAD, {Figure.EF: estimate.ef}, {}) + phases


def _no_estimate(labels: Labels, reason: Reason) -> tuple[Reading, ...]:
    why = reason.code.meaning
    values = from_values(labels, Way.HEAD, {Figure.EF: None}, {Figure.EF: why})
    return values + from_estimate(labels, Way.HEAD, None, why)


def _labelled_disks(clip: Clip, cavity: Segmentation, labels: Labels) -> tuple[Disks, Disks] | None:
    if labels.ed_frame is None or labels.es_frame is None:
        return None
    ed, es = (
        disks(cavity.masks[cavity.frame_numbers.index(number)], clip.spacing_mm or PIXELS)
        for number in (labels.ed_frame, labels.es_frame)
    )
    return None if ed is None or es is None else (ed, es)


def _given(clip: Clip, view: View) -> ViewPrediction:
    """The labelled view, as certain as can be."""
    return ViewPrediction(
        SOPInstanceUID=clip.SOPInstanceUID,
        view=view,
        probability=1.0,
        runner_up=View.OTHER,
        runner_up_probability=0.0,
        mode=ImageMode.TWO_D,
    )


def _both_planes(apical: Sequence[_Apical], labels: Labels) -> tuple[Reading, ...]:
    """Biplane EF and volumes of a patient who has both planes."""
    planes = {plane.analysis.prediction.view: plane for plane in apical if plane.analysis.prediction is not None}
    if len(planes) < len(APICAL):
        return ()
    both = measure_biplane([plane.analysis for plane in apical])
    readings = from_measurements(labels, Way.BIPLANE, both.measurements, both.not_measured)
    first, second = planes[View.A4C], planes[View.A2C]
    if first.labelled is None or second.labelled is None:
        return readings
    calibrated = None not in (first.analysis.spacing_mm, second.analysis.spacing_mm)
    pair = [first.labelled, second.labelled]
    return readings + from_disks(labels, Way.LABELLED_BIPLANE, pair, calibrated=calibrated)


def _walls(engine: Engine, clip: Clip, labels: Labels) -> tuple[Reading, ...]:
    """Wall measures of a long axis, as the node takes them and on the labelled frames."""
    is_labelled = any(figure in labels.values for figure in WALLS.values())
    if not (engine.finds_walls and is_labelled):
        return ()
    points = engine.find_walls(clip)
    own = measure_walls(clip, points)
    readings = from_measurements(labels, Way.OWN, own.measurements, own.not_measured, of=WALLS)
    readings += from_curve(labels, Way.OWN, clip, own.diameters, own.not_measured)
    if clip.spacing_mm is None:
        return readings
    if labels.ed_frame is not None:
        readings += from_values(labels, Way.LABELLED_ED, walls_at(points, labels.ed_frame, clip.spacing_mm), {})
    if labels.es_frame is not None:
        systolic = {Figure.LVIDS: diameter_at(points, labels.es_frame, clip.spacing_mm)}
        readings += from_values(labels, Way.LABELLED_ES, systolic, {})
    return readings
