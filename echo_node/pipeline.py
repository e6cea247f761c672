"""The analysis, as a table of contents.

Plain functions over records: the same ones run in the analyser, in a test without a network, in a
replay and over a folder. Per clip: read a few frames, name the view, route, and where a head wants
it, read all frames, outline, find walls and measure. Per study: put the clips together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from echo_node.codes import ImageMode, Reason, Structure, View
from echo_node.config import Head, Routing
from echo_node.dicom.clips import open_clip
from echo_node.errors import ClipError
from echo_node.inference.engine import Engine
from echo_node.inference.sampling import middle, spread
from echo_node.measure.biplane import measure_biplane
from echo_node.measure.mass import measure_mass
from echo_node.measure.reconcile import refuse_estimate, report_estimate
from echo_node.measure.results import EJECTION, WALLS, MassResult
from echo_node.measure.single_plane import measure_clip
from echo_node.measure.walls import measure_walls
from echo_node.records import (
    Analysis,
    Clip,
    ClipAnalysis,
    NotMeasured,
    ViewPrediction,
)
from echo_node.routing import Route, route

_PICTURE_MODES = (ImageMode.TWO_D, ImageMode.COLOUR_FLOW, ImageMode.TISSUE_DOPPLER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a site sets of the analysis."""

    routing: Routing
    max_frames: int  # of a clip that is measured; the middle of a longer one is taken


class ClipSource(Protocol):
    """What frames are read from: an object on disk, or a clip that is in memory already."""

    @property
    def NumberOfFrames(self) -> int: ...  # noqa: N802 (a DICOM keyword)

    def read(self, indices: Sequence[int]) -> Clip:
        """The frames at these indices, counted from 0; raises ClipError where there are none."""


def analyse_clip(
    path: Path, *, SOPInstanceUID: str, StudyInstanceUID: str, engine: Engine, rules: Rules
) -> ClipAnalysis:
    """Everything the node can say of one object.

    Parameters
    ----------
    path : Path
        The object's Part 10 file.
    SOPInstanceUID, StudyInstanceUID : str
        Of its row: what cannot be read keeps them too.
    engine : Engine
        The loaded engine.
    rules : Rules
        Routing and limits.

    Returns
    -------
    ClipAnalysis
        ``outcome`` is the coded reason where nothing was measured. Bad input never raises.
    """
    try:
        source = open_clip(path)
    except ClipError as error:
        nothing = _nothing_yet(SOPInstanceUID, StudyInstanceUID, engine)
        return replace(nothing, outcome=error.reason, detail=error.detail)
    analysis = analyse_source(
        source, SOPInstanceUID=SOPInstanceUID, StudyInstanceUID=StudyInstanceUID, engine=engine, rules=rules
    )
    return replace(analysis, body=source.body, stated_mode=source.stated_mode)


def analyse_source(
    source: ClipSource, *, SOPInstanceUID: str, StudyInstanceUID: str, engine: Engine, rules: Rules
) -> ClipAnalysis:
    """Everything the node can say of frames, wherever they are read from; see :func:`analyse_clip`."""
    found = _nothing_yet(SOPInstanceUID, StudyInstanceUID, engine)
    try:
        clip = source.read(spread(source.NumberOfFrames))
        if clip.mode not in _PICTURE_MODES:
            return replace(found, stated_mode=clip.mode, outcome=Reason.NOT_TWO_D, detail=clip.mode.code.meaning)
        prediction = engine.classify(clip)
        found = replace(found, prediction=prediction, spacing_mm=clip.spacing_mm)
        decision = decide(prediction, frames=source.NumberOfFrames, engine=engine, rules=rules)
        if decision.reason is not None:
            return replace(found, outcome=decision.reason, detail=decision.detail)
        frames = source.read(middle(source.NumberOfFrames, rules.max_frames))
    except ClipError as error:
        return replace(found, outcome=error.reason, detail=error.detail)
    return with_outcome(_measured(found, decision, prediction.view, clip=frames, engine=engine))


def summarise_study(
    StudyInstanceUID: str, clips: Sequence[ClipAnalysis], *, revision: int, engine: Engine, made_at: datetime
) -> Analysis:
    """Put a study's clips together: their results stand; biplane EF, mass and geometry are added."""
    both = measure_biplane(clips)
    mass = measure_mass(clips) if engine.finds_walls else MassResult()
    measured = tuple(m for clip in clips for m in clip.measurements)
    missing = tuple(n for clip in clips for n in clip.not_measured)
    return Analysis(
        StudyInstanceUID=StudyInstanceUID,
        revision=revision,
        clips=tuple(sorted(clips, key=lambda c: c.SOPInstanceUID)),
        measurements=(*measured, *both.measurements, *mass.measurements),
        not_measured=(*missing, *both.not_measured, *mass.not_measured, *_views_missing(clips, engine)),
        engine=engine.identity,
        made_at=made_at,
        findings=mass.findings,
    )


def shown_frames(analysis: ClipAnalysis, total: int) -> tuple[int, ...]:
    """Indices of the frames that a picture of the clip shows: ED and ES, or the middle one."""
    if analysis.cycle is None:
        return (total // 2,)
    return tuple(sorted({number - 1 for number in analysis.cycle}))


def _nothing_yet(SOPInstanceUID: str, StudyInstanceUID: str, engine: Engine) -> ClipAnalysis:
    return ClipAnalysis(
        SOPInstanceUID=SOPInstanceUID,
        StudyInstanceUID=StudyInstanceUID,
        prediction=None,
        outcome=None,
        detail="",
        spacing_mm=None,
        segmentations=(),
        curve=None,
        measurements=(),
        not_measured=(),
        engine=engine.identity,
    )


def decide(prediction: ViewPrediction, *, frames: int, engine: Engine, rules: Rules) -> Route:
    """Where a clip of so many frames goes: the site's threshold, or else the engine's."""
    threshold = rules.routing.view_threshold
    return route(
        prediction,
        frames=frames,
        threshold=engine.view_threshold if threshold is None else threshold,
        rules=rules.routing,
        available=frozenset(_heads_of(engine)),
    )


def _heads_of(engine: Engine) -> Iterator[Head]:
    """What the engine has of what routing can send a clip to."""
    if engine.structures:
        yield Head.SEGMENTATION
    if Structure.LV_CAVITY in engine.structures:
        yield Head.EJECTION_FRACTION
    if engine.finds_walls:
        yield Head.HYPERTROPHY


def _measured(found: ClipAnalysis, decision: Route, view: View, *, clip: Clip, engine: Engine) -> ClipAnalysis:
    """What the heads that a clip was sent to say of it. Walls and EF are of different views."""
    structures = tuple(s for s in decision.structures if s in engine.structures)
    if structures:
        found = replace(found, segmentations=engine.segment(clip, structures))
    if Head.EJECTION_FRACTION in decision.heads:
        found = with_ejection(found, view, clip=clip, engine=engine)
    if Head.HYPERTROPHY in decision.heads:
        found = _with_walls(found, clip=clip, engine=engine)
    return found


def with_ejection(found: ClipAnalysis, view: View, *, clip: Clip, engine: Engine) -> ClipAnalysis:
    """EF and volumes from the outlined cavity; beside them the learned estimate where a whole beat is seen.

    An estimate that is there already stays: it does not rest on the outlines.
    """
    cavity = next(m for m in found.segmentations if m.structure is Structure.LV_CAVITY)
    result, estimate = measure_clip(clip, cavity, view), found.estimate
    if estimate is None and engine.estimates_ejection and result.curve is not None:
        estimate = engine.estimate_ejection(clip, cavity)
    if estimate is not None:
        result = report_estimate(estimate, result, view)
    elif engine.estimates_ejection:
        result = refuse_estimate(result, view)
    return replace(
        found,
        curve=result.curve,
        estimate=estimate,
        measurements=(*found.measurements, *result.measurements),
        not_measured=(*found.not_measured, *result.not_measured),
    )


def _with_walls(found: ClipAnalysis, *, clip: Clip, engine: Engine) -> ClipAnalysis:
    """Septum, cavity and posterior wall from their points."""
    result = measure_walls(clip, engine.find_walls(clip))
    return replace(
        found,
        diameters=result.diameters,
        landmarks=result.landmarks,
        measurements=result.measurements,
        not_measured=result.not_measured,
    )


def with_outcome(found: ClipAnalysis) -> ClipAnalysis:
    """The first reason stands for a clip on which nothing could be measured."""
    if found.measurements:
        return replace(found, outcome=None, detail="")
    if not found.not_measured:
        return found
    return replace(found, outcome=found.not_measured[0].reason, detail=found.not_measured[0].detail)


def _views_missing(clips: Sequence[ClipAnalysis], engine: Engine) -> tuple[NotMeasured, ...]:
    """The results of one view that no clip of the study shows."""
    seen = {clip.prediction.view for clip in clips if clip.prediction is not None}
    wanted = {View.A4C: EJECTION, View.A2C: EJECTION} | ({View.PLAX: WALLS} if engine.finds_walls else {})
    return tuple(
        NotMeasured(quantity=quantity, reason=Reason.VIEW_MISSING, detail=f"no {view.name} clip", view=view)
        for view, quantities in wanted.items()
        if view not in seen
        for quantity in quantities
    )
