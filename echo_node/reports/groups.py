"""Measurement groups of the SR (PS3.16 TID 1410): one per named view, one per set of numbers.

Viewers show a group only with a region on an image, and some drop the whole report for one group
without. So each group has exactly one: the outline of the ventricle at end diastole, for the end-systolic volume at
end systole, the line that a wall was measured along, or a point in the ultrasound where nothing was outlined.
"""

from __future__ import annotations

from collections.abc import Sequence

from highdicom import sr
from pydicom import Dataset

import echo_node.reports.coded as coded
import echo_node.reports.places as places
from echo_node.codes import CardiacPhase, Method, Quantity, Reason, Unit, View
from echo_node.records import Analysis, ClipAnalysis, Finding, Measurement
from echo_node.reports.clip_seg import segment_number
from echo_node.reports.coded import concept
from echo_node.reports.envelope import numbered
from echo_node.reports.items import (
    AS_PROPERTY,
    INFERRED,
    LV,
    PHASE,
    Evidence,
    algorithm,
    modifier,
    not_measured,
    number,
    segment,
    site,
)
from echo_node.reports.observers import edit_items
from echo_node.reports.uids import tracking_uid

_OF_ALL_LINES = (Quantity.LV_MASS, Quantity.LV_RWT, Quantity.LV_MASS_INDEX)

Group = sr.PlanarROIMeasurementsAndQualitativeEvaluations


def view_group(clip: ClipAnalysis, evidence: Evidence) -> Group:
    """What is seen on a clip, how certainly, in what mode, what persons corrected, and why nothing was measured."""
    source = evidence.sources[clip.SOPInstanceUID]
    prediction = clip.prediction
    evaluations = [] if prediction is None else [_view(prediction.view)]
    if clip.mode is not None:
        evaluations.append(sr.QualitativeEvaluation(concept(coded.IMAGE_MODE), concept(clip.mode.code)))
    evaluations += [*_cycle(clip, source), *edited_structures(clip, evidence)]
    evaluations += [not_measured(n) for n in clip.not_measured]
    certainty = []
    if prediction is not None:
        certainty = [
            sr.Measurement(
                name=concept(coded.CERTAINTY),
                value=round(100 * prediction.probability, 2),
                unit=concept(Unit.PERCENT.code),
            )
        ]
    if clip.outcome is not None:
        evaluations.append(sr.QualitativeEvaluation(concept(coded.NOT_ROUTED), concept(clip.outcome.code)))
    if clip.SOPInstanceUID in evidence.withheld:
        evaluations.append(sr.QualitativeEvaluation(concept(coded.NOT_SENT), concept(Reason.OVER_BUDGET.code)))
    return Group(
        tracking_identifier=view_tracking(clip, source),
        referenced_region=places.point(clip, source),
        finding_type=concept(coded.NOT_MEASURED if prediction is None else prediction.view.code),
        algorithm_id=algorithm(clip.engine),
        measurements=certainty,
        qualitative_evaluations=evaluations,
    )


def _cycle(clip: ClipAnalysis, source: Dataset) -> list[sr.QualitativeEvaluation]:
    """End diastole and end systole, each with its frame."""
    if clip.cycle is None:
        return []
    made = []
    for frame, phase in zip(clip.cycle, CardiacPhase, strict=True):
        item = sr.QualitativeEvaluation(concept(coded.CARDIAC_CYCLE_POINT), concept(phase.code))
        image = sr.ImageContentItem(
            concept(coded.SOURCE_OF_MEASUREMENT),
            source.SOPClassUID,
            source.SOPInstanceUID,
            referenced_frame_numbers=places.frame_numbers(source, (frame,)),
            relationship_type=INFERRED,
        )
        item[0].ContentSequence = sr.ContentSequence([image])
        made.append(item)
    return made


def edited_structures(clip: ClipAnalysis, evidence: Evidence) -> list[sr.QualitativeEvaluation]:
    """The structures that persons outlined anew, with persons and reports, and the segments where they have any."""
    made = []
    for segmentation in clip.segmentations:
        if not segmentation.edits:
            continue
        item = sr.QualitativeEvaluation(concept(coded.EDITED_STRUCTURE), concept(segmentation.structure.code))
        item[0].ContentSequence = sr.ContentSequence(list(edit_items(segmentation.edits)))
        number_in_seg = segment_number(clip, segmentation.structure)
        if number_in_seg is not None and clip.SOPInstanceUID in evidence.segs:
            seg = evidence.segs[clip.SOPInstanceUID]
            item[0].ContentSequence.append(
                sr.ImageContentItem(
                    concept(coded.REFERENCED_SEGMENT),
                    seg.SOPClassUID,
                    seg.SOPInstanceUID,
                    referenced_segment_numbers=number_in_seg,
                    relationship_type=AS_PROPERTY,
                )
            )
        made.append(item)
    return made


def grouped(measurements: Sequence[Measurement]) -> list[list[Measurement]]:
    """Numbers that stand in one group: they share sources and a region."""
    together: dict[object, list[Measurement]] = {}
    for measurement in measurements:
        together.setdefault(_group_key(measurement), []).append(measurement)
    return list(together.values())


def findings_of(analysis: Analysis, numbers: Sequence[Measurement]) -> Sequence[Finding]:
    """The geometry stands with the mass index that it goes by."""
    has_index = any(m.quantity is Quantity.LV_MASS_INDEX for m in numbers)
    return analysis.findings if has_index else ()


def measurement_group(
    measurements: Sequence[Measurement], evidence: Evidence, *, findings: Sequence[Finding] = ()
) -> Group:
    """Numbers of one region from the same sources.

    Parameters
    ----------
    measurements : sequence of Measurement
        One of the lists of :func:`grouped`.
    evidence : Evidence
        Holds the clips of their sources.
    findings : sequence of Finding
        What these numbers mean.
    """
    first = measurements[0]
    clips = clips_of(first, evidence)
    group = Group(
        tracking_identifier=tracking(first, evidence),
        referenced_region=region_of(first, evidence),
        finding_type=concept(site(first.quantity)),
        finding_sites=[sr.FindingSite(concept(site(first.quantity)))],
        algorithm_id=algorithm(clips[0].engine),
        measurements=[number(m, evidence) for m in measurements],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(concept(f.quantity.code), concept(f.value.code)) for f in findings
        ],
    )
    group[0].ContentSequence.extend(segments_of(clips, evidence))
    return group


def clips_of(measurement: Measurement, evidence: Evidence) -> list[ClipAnalysis]:
    """The clips that a number was read off."""
    return [evidence.clips[source.SOPInstanceUID] for source in measurement.sources]


def segments_of(clips: Sequence[ClipAnalysis], evidence: Evidence) -> list[sr.ImageContentItem]:
    """The segments of the ventricle on these clips, where they have any."""
    numbers = [(clip.SOPInstanceUID, segment_number(clip, LV)) for clip in clips]
    return [segment(evidence.segs[uid], n) for uid, n in numbers if uid in evidence.segs and n is not None]


def view_tracking(clip: ClipAnalysis, source: Dataset) -> sr.TrackingIdentifier:
    """Under what a clip's view is followed; some viewers show of the group nothing but this name."""
    seen = coded.IMAGE_VIEW if clip.prediction is None else clip.prediction.view.code
    return sr.TrackingIdentifier(
        uid=tracking_uid(source.SOPInstanceUID, "view"),
        identifier=numbered(seen, source),
    )


def tracking(measurement: Measurement, evidence: Evidence) -> sr.TrackingIdentifier:
    """Of disks on one clip that of the segment, for it is the same ventricle; else one of its own."""
    uids = [source.SOPInstanceUID for source in measurement.sources]
    source = evidence.sources[uids[0]]
    if is_of_walls(measurement):
        line = measurement.quantity if measurement.quantity in places.LINES else Quantity.LV_MASS
        return sr.TrackingIdentifier(uid=tracking_uid(*uids, line.name), identifier=numbered(line.code, source))
    if measurement.method is Method.LEARNED:
        uid = tracking_uid(*uids, LV.name, measurement.method.name)
        return sr.TrackingIdentifier(uid=uid, identifier=numbered(measurement.method.code, source))
    of_both = f"{LV.code.meaning}, {measurement.method.code.meaning}"
    name = of_both if len(uids) > 1 else numbered(LV.code, source)
    if not _is_systolic(measurement):
        return sr.TrackingIdentifier(uid=tracking_uid(*uids, LV.name), identifier=name)
    phase = CardiacPhase.END_SYSTOLE
    return sr.TrackingIdentifier(
        uid=tracking_uid(*uids, LV.name, phase.name), identifier=f"{name}, {phase.code.meaning}"
    )


def region_of(measurement: Measurement, evidence: Evidence) -> sr.ImageRegion:
    """Where a number was read off: of several clips on the first."""
    clip = clips_of(measurement, evidence)[0]
    source = evidence.sources[clip.SOPInstanceUID]
    if is_of_walls(measurement):
        return places.wall_line(clip, source, measurement.quantity)
    if measurement.method is Method.LEARNED:
        return places.outline(clip, source, None if clip.estimate is None else clip.estimate.ed_frame)
    if clip.curve is None:
        return places.outline(clip, source, None)
    frame = clip.curve.es_frame if _is_systolic(measurement) else clip.curve.ed_frame
    return places.outline(clip, source, frame)


def is_of_walls(measurement: Measurement) -> bool:
    """Was it read off a parasternal long axis?"""
    return measurement.quantity in places.LINES or measurement.quantity in _OF_ALL_LINES


def _group_key(measurement: Measurement) -> object:
    if measurement.quantity in _OF_ALL_LINES:
        return measurement.view, measurement.sources, places.ACROSS
    own = places.LINES.get(measurement.quantity)
    return measurement.view, measurement.sources, measurement.method, own, _is_systolic(measurement)


def _is_systolic(measurement: Measurement) -> bool:
    """Does it belong to end systole?"""
    return PHASE.get(measurement.quantity) is CardiacPhase.END_SYSTOLE


def _view(view: View) -> sr.QualitativeEvaluation:
    evaluation = sr.QualitativeEvaluation(concept(coded.IMAGE_VIEW), concept(view.code))
    if view.modifier is not None:
        evaluation[0].ContentSequence = [modifier(coded.IMAGE_VIEW_MODIFIER, view.modifier)]
    return evaluation
