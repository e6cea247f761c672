"""A study's results as an Echocardiography Procedure Report (PS3.16 TID 5200), for reporting systems.

The template is extensible: tracking identifiers, segments, the geometry and a summary of what persons
outlined and of what could not be measured are added to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from highdicom import sr
from pydicom import Dataset

import echo_node.reports.coded as coded
import echo_node.reports.envelope as envelope
import echo_node.reports.places as places
from echo_node.codes import CardiacPhase, Code, ImageMode, ObjectKind, Unit
from echo_node.records import Analysis, ClipAnalysis, Measurement, Report, ViewPrediction
from echo_node.reports.coded import concept
from echo_node.reports.document import gather, language, observer, to_document
from echo_node.reports.groups import (
    clips_of,
    edited_structures,
    findings_of,
    grouped,
    region_of,
    segments_of,
    tracking,
    view_tracking,
)
from echo_node.reports.items import (
    AS_PROPERTY,
    CONTAINED,
    INFERRED,
    LV,
    Evidence,
    algorithm,
    comment,
    container,
    modifier,
    not_measured,
    number,
)
from echo_node.reports.patient import patient_characteristics
from echo_node.reports.srt import to_srt

_OF_ACQUISITION = sr.RelationshipTypeValues.HAS_ACQ_CONTEXT


def build_tid5200(
    analysis: Analysis,
    sources: Mapping[str, Dataset],
    *,
    segs: Mapping[str, Report],
    predecessors: Sequence[Report] = (),
    kind: ObjectKind = ObjectKind.SR_TID5200,
) -> Report:
    """Patient, images, numbers by site, and the reasons where there is no number.

    Parameters
    ----------
    analysis, sources, segs
        As :func:`echo_node.reports.document.gather` takes them.
    predecessors : sequence of Report
        The documents that this one replaces (PS3.3 C.17.2.3).
    kind : ObjectKind
        SR_TID5200, or SR_TID5200_SRT for the older codes.

    Raises
    ------
    ReportError
        No header was given, or one that a measurement refers to is missing.
    """
    evidence = gather(analysis, sources, segs)
    clips = list(evidence.clips.values())
    content = container(
        coded.ECHO_REPORT,
        [
            *language(),
            *observer(analysis),
            *patient_characteristics(sources[clips[0].SOPInstanceUID], clips),
            container(coded.IMAGE_LIBRARY, [image for clip in clips for image in _images(clip, evidence)]),
            *_findings(analysis, evidence),
            _summary(analysis, evidence),
        ],
        template="5200",
    )
    if kind is ObjectKind.SR_TID5200_SRT:
        to_srt(content)
    return to_document(
        kind, content, analysis=analysis, sources=sources, evidence=evidence, predecessors=predecessors
    )


def _images(clip: ClipAnalysis, evidence: Evidence) -> list[sr.ImageContentItem]:
    """A clip as what it was recognised, and its frames of end diastole and end systole."""
    source = evidence.sources[clip.SOPInstanceUID]
    seen = [] if clip.mode is None else [_context(coded.IMAGE_MODE, clip.mode.code)]
    if clip.prediction is not None:
        seen.append(_recognised(clip, clip.prediction, source))
    images = [_image(source, seen)]
    if clip.cycle is not None:
        for frame, phase in zip(clip.cycle, CardiacPhase, strict=True):
            images.append(_image(source, [_context(coded.CARDIAC_CYCLE_POINT, phase.code)], frame=frame))
    return images


def _image(source: Dataset, context: Sequence[sr.ContentItem], *, frame: int | None = None) -> sr.ImageContentItem:
    frames = None if frame is None else places.frame_numbers(source, (frame,))
    image = sr.ImageContentItem(
        concept(coded.SOURCE_OF_MEASUREMENT),
        source.SOPClassUID,
        source.SOPInstanceUID,
        referenced_frame_numbers=frames,
        relationship_type=CONTAINED,
    )
    if context:
        image.ContentSequence = sr.ContentSequence(list(context))
    return image


def _recognised(clip: ClipAnalysis, prediction: ViewPrediction, source: Dataset) -> sr.CodeContentItem:
    """The view, with how certain it is and who says so."""
    view = _context(coded.IMAGE_VIEW, prediction.view.code)
    certainty = sr.NumContentItem(
        concept(coded.CERTAINTY),
        round(100 * prediction.probability, 2),
        concept(Unit.PERCENT.code),
        relationship_type=AS_PROPERTY,
    )
    more = prediction.view.modifier
    narrowed = [] if more is None else [modifier(coded.IMAGE_VIEW_MODIFIER, more)]
    view.ContentSequence = sr.ContentSequence(
        [*narrowed, *algorithm(clip.engine), *view_tracking(clip, source), certainty]
    )
    return view


def _context(name: Code, value: Code) -> sr.CodeContentItem:
    return sr.CodeContentItem(concept(name), concept(value), relationship_type=_OF_ACQUISITION)


def _findings(analysis: Analysis, evidence: Evidence) -> list[sr.ContainerContentItem]:
    """The section of the left ventricle (TID 5202), which all numbers are of; none without a number."""
    groups = [_group(numbers, analysis, evidence) for numbers in grouped(analysis.measurements)]
    section = [modifier(coded.FINDING_SITE, LV.code), *groups]
    return [container(coded.FINDINGS, section)] if groups else []


def _group(numbers: Sequence[Measurement], analysis: Analysis, evidence: Evidence) -> sr.ContainerContentItem:
    """Numbers of one region from the same sources, and what they mean."""
    first = numbers[0]
    clips = clips_of(first, evidence)
    means = [
        sr.CodeContentItem(concept(f.quantity.code), concept(f.value.code), relationship_type=CONTAINED)
        for f in findings_of(analysis, numbers)
    ]
    return container(
        coded.MEASUREMENT_GROUP,
        [
            modifier(coded.IMAGE_MODE, ImageMode.TWO_D.code),
            *algorithm(clips[0].engine),
            *tracking(first, evidence),
            *(number(m, evidence)[0] for m in numbers),
            *means,
            region_of(first, evidence),
            *segments_of(clips, evidence),
        ],
    )


def _summary(analysis: Analysis, evidence: Evidence) -> sr.ContainerContentItem:
    """What persons outlined anew, what was not measured and why, each with its images; what the report is for."""
    edited = [
        _inferred(item[0], [clip], evidence)
        for clip in evidence.clips.values()
        for item in edited_structures(clip, evidence)
    ]
    reasons = []
    for item in analysis.not_measured:
        clips = [clip for clip in evidence.clips.values() if item in clip.not_measured]
        reasons.append(_inferred(not_measured(item)[0], clips, evidence))
    for clip in evidence.clips.values():
        if clip.outcome is not None:
            outcome = sr.CodeContentItem(
                concept(coded.NOT_ROUTED), concept(clip.outcome.code), relationship_type=CONTAINED
            )
            reasons.append(_inferred(outcome, [clip], evidence))
    return container(coded.SUMMARY, [*edited, *reasons, comment(envelope.warning(analysis))])


def _inferred(item: Dataset, clips: Sequence[ClipAnalysis], evidence: Evidence) -> Dataset:
    """A statement with the images that it comes from."""
    images = []
    for clip in clips:
        images.append(_image(evidence.sources[clip.SOPInstanceUID], ()))
        images[-1].RelationshipType = INFERRED.value
    if images:
        item.ContentSequence = sr.ContentSequence([*item.get("ContentSequence", ()), *images])
    return item
