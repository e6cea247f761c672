"""The analysis, as a table of contents.

Plain functions over records: the same ones run in the analyser, in a test without a network, in a
replay and over a folder. Per clip: read a few frames, name the view, route, and where a head wants
it, read all frames, segment and measure. Per study: put the clips together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from echo_node.measure.results import QUANTITIES, EjectionResult
from echo_node.measure.single_plane import measure_clip
from echo_node.records import Analysis, Clip, ClipAnalysis, NotMeasured, Segmentation, ViewPrediction
from echo_node.routing import Route, route

_PICTURE_MODES = (ImageMode.TWO_D, ImageMode.COLOUR_FLOW, ImageMode.TISSUE_DOPPLER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a site sets of the analysis."""

    routing: Routing
    max_frames: int  # of a clip that is segmented; the middle of a longer one is taken


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
        return _Blank(SOPInstanceUID, StudyInstanceUID, engine).without(error.reason, error.detail)
    return analyse_source(
        source, SOPInstanceUID=SOPInstanceUID, StudyInstanceUID=StudyInstanceUID, engine=engine, rules=rules
    )


def analyse_source(
    source: ClipSource, *, SOPInstanceUID: str, StudyInstanceUID: str, engine: Engine, rules: Rules
) -> ClipAnalysis:
    """Everything the node can say of frames, wherever they are read from; see :func:`analyse_clip`."""
    result = _Blank(SOPInstanceUID, StudyInstanceUID, engine)
    try:
        clip = source.read(spread(source.NumberOfFrames))
        if clip.mode not in _PICTURE_MODES:
            return result.without(Reason.NOT_TWO_D, clip.mode.code.meaning)
        prediction = engine.classify(clip)
        decision = decide(prediction, frames=source.NumberOfFrames, engine=engine, rules=rules)
        if decision.reason is not None:
            return result.without(decision.reason, decision.detail, prediction=prediction, clip=clip)
        frames = source.read(middle(source.NumberOfFrames, rules.max_frames))
    except ClipError as error:
        return result.without(error.reason, error.detail)
    return _measured(result, prediction, decision, clip=frames)


def summarise_study(
    StudyInstanceUID: str, clips: Sequence[ClipAnalysis], *, revision: int, engine: Engine, made_at: datetime
) -> Analysis:
    """Put a study's clips together: single-plane results stand, biplane is added."""
    both = measure_biplane(clips)
    measured = tuple(m for clip in clips for m in clip.measurements) + both.measurements
    missing = tuple(n for clip in clips for n in clip.not_measured) + both.not_measured
    return Analysis(
        StudyInstanceUID=StudyInstanceUID,
        revision=revision,
        clips=tuple(sorted(clips, key=lambda c: c.SOPInstanceUID)),
        measurements=measured,
        not_measured=missing + _views_missing(clips),
        engine=engine.identity,
        made_at=made_at,
    )


def shown_frames(analysis: ClipAnalysis, total: int) -> tuple[int, ...]:
    """Indices of the frames that a picture of the clip shows: ED and ES, or the middle one."""
    if analysis.curve is None:
        return (total // 2,)
    return tuple(sorted({analysis.curve.ed_frame - 1, analysis.curve.es_frame - 1}))


@dataclass(frozen=True, slots=True)
class _Blank:
    """The parts of a ClipAnalysis that do not depend on what is found."""

    SOPInstanceUID: str
    StudyInstanceUID: str
    engine: Engine

    def without(
        self,
        reason: Reason,
        detail: str,
        *,
        prediction: ViewPrediction | None = None,
        clip: Clip | None = None,
    ) -> ClipAnalysis:
        """A clip that no head measured."""
        return self.with_result(EjectionResult(), reason=reason, detail=detail, prediction=prediction, clip=clip)

    def with_result(
        self,
        result: EjectionResult,
        *,
        reason: Reason | None,
        detail: str,
        prediction: ViewPrediction | None,
        clip: Clip | None,
        masks: tuple[Segmentation, ...] = (),
    ) -> ClipAnalysis:
        """A clip with what was found on it."""
        return ClipAnalysis(
            SOPInstanceUID=self.SOPInstanceUID,
            StudyInstanceUID=self.StudyInstanceUID,
            prediction=prediction,
            outcome=reason,
            detail=detail,
            spacing_mm=None if clip is None else clip.spacing_mm,
            segmentations=masks,
            curve=result.curve,
            measurements=result.measurements,
            not_measured=result.not_measured,
            engine=self.engine.identity,
        )


def decide(prediction: ViewPrediction, *, frames: int, engine: Engine, rules: Rules) -> Route:
    """Where a clip of so many frames goes: the site's threshold, or else the engine's."""
    threshold = rules.routing.view_threshold
    return route(
        prediction,
        frames=frames,
        threshold=engine.view_threshold if threshold is None else threshold,
        rules=rules.routing,
    )


def _measured(result: _Blank, prediction: ViewPrediction, decision: Route, *, clip: Clip) -> ClipAnalysis:
    """Segment a routed clip and measure what its masks allow."""
    structures = tuple(s for s in decision.structures if s in result.engine.structures)
    masks = result.engine.segment(clip, structures)
    ejection = EjectionResult()
    if Head.EJECTION_FRACTION in decision.heads:
        cavity = next(m for m in masks if m.structure is Structure.LV_CAVITY)
        ejection = measure_clip(clip, cavity, prediction.view)
    first = ejection.not_measured[0] if ejection.not_measured and not ejection.measurements else None
    return result.with_result(
        ejection,
        reason=None if first is None else first.reason,
        detail="" if first is None else first.detail,
        prediction=prediction,
        clip=clip,
        masks=masks,
    )


def _views_missing(clips: Sequence[ClipAnalysis]) -> tuple[NotMeasured, ...]:
    """The single-plane results of apical views that no clip of the study shows."""
    seen = {clip.prediction.view for clip in clips if clip.prediction is not None}
    return tuple(
        NotMeasured(quantity=quantity, reason=Reason.VIEW_MISSING, detail=f"no {view.name} clip", view=view)
        for view in (View.A4C, View.A2C)
        if view not in seen
        for quantity in QUANTITIES
    )
