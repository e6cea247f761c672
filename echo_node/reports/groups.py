"""Measurement groups of the SR (PS3.16 TID 1410): one per named view, one per set of numbers.

Viewers show a group only with a region on an image, and some drop the whole report for one group
without. So each group has exactly one: the outline of the ventricle at end diastole, the line that a
wall was measured along, or a point in the ultrasound where nothing was outlined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from highdicom import sr
from pydicom import Dataset

import echo_node.reports.coded as coded
import echo_node.reports.places as places
from echo_node.codes import CardiacPhase, Code, ImageMode, Method, Quantity, Structure, Unit, View
from echo_node.records import ClipAnalysis, EngineIdentity, Finding, Measurement, NotMeasured, Report, Source
from echo_node.reports.coded import concept
from echo_node.reports.envelope import numbered
from echo_node.reports.observers import edit_items
from echo_node.reports.seg import segment_number
from echo_node.reports.uids import tracking_uid

_LV = Structure.LV_CAVITY
_PHASE = {
    Quantity.LV_EDV: CardiacPhase.END_DIASTOLE,
    Quantity.LV_ESV: CardiacPhase.END_SYSTOLE,
    Quantity.IVSD: CardiacPhase.END_DIASTOLE,
    Quantity.LVIDD: CardiacPhase.END_DIASTOLE,
    Quantity.LVPWD: CardiacPhase.END_DIASTOLE,
    Quantity.LVIDS: CardiacPhase.END_SYSTOLE,
}
_SITE = {Quantity.IVSD: coded.INTERVENTRICULAR_SEPTUM}  # all else: the ventricle
_OF_ALL_LINES = (Quantity.LV_MASS, Quantity.LV_RWT, Quantity.LV_MASS_INDEX)
_AS_MODIFIER = sr.RelationshipTypeValues.HAS_CONCEPT_MOD
_AS_PROPERTY = sr.RelationshipTypeValues.HAS_PROPERTIES

Group = sr.PlanarROIMeasurementsAndQualitativeEvaluations


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a report may refer to: clips, their headers and their segmentations, by SOPInstanceUID."""

    clips: Mapping[str, ClipAnalysis]
    sources: Mapping[str, Dataset]
    segs: Mapping[str, Report]


def view_group(clip: ClipAnalysis, evidence: Evidence) -> Group:
    """What is seen on a clip, how certainly, and why nothing was measured on it if so."""
    source = evidence.sources[clip.SOPInstanceUID]
    prediction = clip.prediction
    evaluations = [not_measured(n) for n in clip.not_measured]
    certainty = []
    if prediction is not None:
        evaluations = [_view(prediction.view), _mode(prediction.mode), *evaluations]
        certainty = [
            sr.Measurement(
                name=concept(coded.CERTAINTY),
                value=round(100 * prediction.probability, 2),
                unit=concept(Unit.PERCENT.code),
            )
        ]
    if clip.outcome is not None:
        evaluations.append(sr.QualitativeEvaluation(concept(coded.NOT_ROUTED), concept(clip.outcome.code)))
    return Group(
        tracking_identifier=sr.TrackingIdentifier(
            uid=tracking_uid(clip.SOPInstanceUID, "view"),
            identifier=f"View of instance {source.get('InstanceNumber') or '?'}",
        ),
        referenced_region=places.point(clip, source),
        finding_type=concept(coded.NOT_MEASURED if prediction is None else prediction.view.code),
        algorithm_id=_algorithm(clip.engine),
        measurements=certainty,
        qualitative_evaluations=evaluations,
    )


def group_key(measurement: Measurement) -> object:
    """Numbers with the same key stand in one group: they share sources and a region."""
    if measurement.quantity in _OF_ALL_LINES:
        return measurement.view, measurement.sources, places.ACROSS
    own = places.LINES.get(measurement.quantity)
    return measurement.view, measurement.sources, measurement.method, own


def measurement_group(
    measurements: Sequence[Measurement], evidence: Evidence, *, findings: Sequence[Finding] = ()
) -> Group:
    """Numbers of one region from the same sources.

    Parameters
    ----------
    measurements : sequence of Measurement
        They agree in :func:`group_key`.
    evidence : Evidence
        Holds the clips of their sources.
    findings : sequence of Finding
        What these numbers mean.
    """
    first = measurements[0]
    clips = [evidence.clips[source.SOPInstanceUID] for source in first.sources]
    site = _SITE.get(first.quantity, _LV.code)
    group = Group(
        tracking_identifier=_tracking(first, clips, evidence),
        referenced_region=_place(first, clips[0], evidence.sources[clips[0].SOPInstanceUID]),
        finding_type=concept(site),
        finding_sites=[sr.FindingSite(concept(site))],
        algorithm_id=_algorithm(clips[0].engine),
        measurements=[_number(m, evidence) for m in measurements],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(concept(f.quantity.code), concept(f.value.code)) for f in findings
        ],
    )
    for clip in clips:
        number = segment_number(clip, _LV)
        if clip.SOPInstanceUID in evidence.segs and number is not None:
            group[0].ContentSequence.append(_segment(evidence.segs[clip.SOPInstanceUID], number))
    return group


def not_measured(item: NotMeasured) -> sr.QualitativeEvaluation:
    """A quantity with the coded reason in place of its value."""
    evaluation = sr.QualitativeEvaluation(concept(item.quantity.code), concept(item.reason.code))
    content = sr.ContentSequence()
    if item.view is not None:
        content.extend(_view_items(item.view))
    if item.method is not None:
        content.append(_modifier(coded.MEASUREMENT_METHOD, item.method.code))
    if item.detail:
        content.append(sr.TextContentItem(concept(coded.COMMENT), item.detail, relationship_type=_AS_PROPERTY))
    if content:
        evaluation[0].ContentSequence = content
    return evaluation


def _is_of_walls(measurement: Measurement) -> bool:
    return measurement.quantity in places.LINES or measurement.quantity in _OF_ALL_LINES


def _place(measurement: Measurement, clip: ClipAnalysis, source: Dataset) -> sr.ImageRegion:
    """The one region of a group: by its first measurement."""
    if _is_of_walls(measurement):
        return places.wall_line(clip, source, measurement.quantity)
    if measurement.method is Method.LEARNED:
        return places.outline(clip, source, None if clip.estimate is None else clip.estimate.ed_frame)
    return places.outline(clip, source, None if clip.curve is None else clip.curve.ed_frame)


def _tracking(measurement: Measurement, clips: Sequence[ClipAnalysis], evidence: Evidence) -> sr.TrackingIdentifier:
    """Of disks on one clip that of the segment, for it is the same ventricle; else one of its own."""
    uids = [clip.SOPInstanceUID for clip in clips]
    source = evidence.sources[uids[0]]
    if _is_of_walls(measurement):
        line = measurement.quantity if measurement.quantity in places.LINES else Quantity.LV_MASS
        return sr.TrackingIdentifier(uid=tracking_uid(*uids, line.name), identifier=numbered(line.code, source))
    if measurement.method is Method.LEARNED:
        uid = tracking_uid(*uids, _LV.name, measurement.method.name)
        return sr.TrackingIdentifier(uid=uid, identifier=numbered(measurement.method.code, source))
    of_both = f"{_LV.code.meaning}, {measurement.method.code.meaning}"
    name = of_both if len(uids) > 1 else numbered(_LV.code, source)
    return sr.TrackingIdentifier(uid=tracking_uid(*uids, _LV.name), identifier=name)


def _number(measurement: Measurement, evidence: Evidence) -> sr.Measurement:
    """A measurement (PS3.16 TID 300) with view, cycle point, source frames and uncertainty."""
    item = sr.Measurement(
        name=concept(measurement.quantity.code),
        value=float(measurement.value),
        unit=concept(measurement.unit.code),
        method=concept(measurement.method.code),
        finding_sites=[sr.FindingSite(concept(_SITE.get(measurement.quantity, _LV.code)))],
    )
    content = item[0].ContentSequence
    content.append(_modifier(coded.IMAGE_MODE, ImageMode.TWO_D.code))
    if measurement.view is not None:
        content.extend(_view_items(measurement.view))
    if measurement.quantity in _PHASE:
        content.append(_modifier(coded.CARDIAC_CYCLE_POINT, _PHASE[measurement.quantity].code))
    if measurement.uncertainty is not None:
        content.extend(_uncertainty(measurement))
    content.extend(_frames_of(measurement, source, evidence) for source in measurement.sources)
    content.extend(edit_items(measurement.edits))
    return item


def _uncertainty(measurement: Measurement) -> list[sr.NumContentItem]:
    """One standard deviation up and down (PS3.16 TID 310), in the unit of the value."""
    assert measurement.uncertainty is not None
    return [
        sr.NumContentItem(
            concept(name),
            value=float(measurement.uncertainty),
            unit=concept(measurement.unit.code),
            relationship_type=_AS_PROPERTY,
        )
        for name in (coded.UPPER_UNCERTAINTY, coded.LOWER_UNCERTAINTY)
    ]


def _frames_of(measurement: Measurement, source: Source, evidence: Evidence) -> sr.SourceImageForMeasurement:
    """The image frames a number was read off: a volume belongs to one cycle point, EF to both."""
    curve = evidence.clips[source.SOPInstanceUID].curve
    frames = source.frame_numbers
    if curve is not None:
        one = {Quantity.LV_EDV: curve.ed_frame, Quantity.LV_ESV: curve.es_frame}
        frames = (one[measurement.quantity],) if measurement.quantity in one else frames
    header = evidence.sources[source.SOPInstanceUID]
    return sr.SourceImageForMeasurement(
        header.SOPClassUID, header.SOPInstanceUID, places.frame_numbers(header, frames)
    )


def _view(view: View) -> sr.QualitativeEvaluation:
    evaluation = sr.QualitativeEvaluation(concept(coded.IMAGE_VIEW), concept(view.code))
    if view.modifier is not None:
        evaluation[0].ContentSequence = [_modifier(coded.IMAGE_VIEW_MODIFIER, view.modifier)]
    return evaluation


def _view_items(view: View) -> list[sr.CodeContentItem]:
    items = [_modifier(coded.IMAGE_VIEW, view.code)]
    if view.modifier is not None:
        items.append(_modifier(coded.IMAGE_VIEW_MODIFIER, view.modifier))
    return items


def _mode(mode: ImageMode) -> sr.QualitativeEvaluation:
    return sr.QualitativeEvaluation(concept(coded.IMAGE_MODE), concept(mode.code))


def _modifier(name: Code, value: Code) -> sr.CodeContentItem:
    return sr.CodeContentItem(concept(name), concept(value), relationship_type=_AS_MODIFIER)


def _segment(seg: Report, number: int) -> sr.ImageContentItem:
    """The segment that was measured: beside the region, which TID 1410 wants to be the only one."""
    return sr.ImageContentItem(
        concept(coded.SOURCE_OF_MEASUREMENT),
        seg.SOPClassUID,
        seg.SOPInstanceUID,
        referenced_segment_numbers=number,
        relationship_type=sr.RelationshipTypeValues.CONTAINS,
    )


def _algorithm(engine: EngineIdentity) -> sr.AlgorithmIdentification:
    """Which engine said so (PS3.16 TID 4019)."""
    return sr.AlgorithmIdentification(
        name=engine.name,
        version=engine.version,
        parameters=[f"digest {engine.digest}", f"backend {engine.backend}"],
        family=concept(coded.ARTIFICIAL_INTELLIGENCE),
    )
