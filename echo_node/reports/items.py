"""Content items that every profile of the SR writes: a number with its modifiers, views, segments, algorithms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from highdicom import sr
from pydicom import Dataset

import echo_node.reports.coded as coded
import echo_node.reports.places as places
from echo_node.codes import CardiacPhase, Code, ImageMode, Quantity, Structure, View
from echo_node.records import ClipAnalysis, EngineIdentity, Measurement, NotMeasured, Report, Source
from echo_node.reports.coded import concept
from echo_node.reports.observers import edit_items

LV = Structure.LV_CAVITY
PHASE: Mapping[Quantity, CardiacPhase] = {
    Quantity.LV_EDV: CardiacPhase.END_DIASTOLE,
    Quantity.LV_ESV: CardiacPhase.END_SYSTOLE,
    Quantity.IVSD: CardiacPhase.END_DIASTOLE,
    Quantity.LVIDD: CardiacPhase.END_DIASTOLE,
    Quantity.LVPWD: CardiacPhase.END_DIASTOLE,
    Quantity.LVIDS: CardiacPhase.END_SYSTOLE,
}
_SITE = {Quantity.IVSD: coded.INTERVENTRICULAR_SEPTUM}  # all else: the ventricle

AS_MODIFIER = sr.RelationshipTypeValues.HAS_CONCEPT_MOD
AS_PROPERTY = sr.RelationshipTypeValues.HAS_PROPERTIES
CONTAINED = sr.RelationshipTypeValues.CONTAINS
INFERRED = sr.RelationshipTypeValues.INFERRED_FROM


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a report may refer to: clips, their headers and their segmentations, by SOPInstanceUID."""

    clips: Mapping[str, ClipAnalysis]
    sources: Mapping[str, Dataset]
    segs: Mapping[str, Report]
    withheld: frozenset[str] = frozenset()  # clips beyond the study's budget


def site(quantity: Quantity) -> Code:
    """The part of the heart that a quantity is of."""
    return _SITE.get(quantity, LV.code)


def container(name: Code, items: Iterable[Dataset], *, template: str | None = None) -> sr.ContainerContentItem:
    """A heading and what stands under it; the root of a document, where it names its template."""
    relationship = CONTAINED if template is None else None
    made = sr.ContainerContentItem(concept(name), False, template, relationship)  # contents: separate
    made.ContentSequence = sr.ContentSequence(
        cast("list[sr.ContentItem]", list(items))
    )  # templates give them as Dataset
    return made


def comment(text: str) -> sr.TextContentItem:
    """Words for people, under a heading."""
    return sr.TextContentItem(concept(coded.COMMENT), text, relationship_type=CONTAINED)


def number(measurement: Measurement, evidence: Evidence) -> sr.Measurement:
    """A measurement (PS3.16 TID 300) with view, cycle point, uncertainty, source frames and edits."""
    item = sr.Measurement(
        name=concept(measurement.quantity.code),
        value=written(measurement.value),
        unit=concept(measurement.unit.code),
        method=concept(measurement.method.code),
        finding_sites=[sr.FindingSite(concept(site(measurement.quantity)))],
    )
    content = item[0].ContentSequence
    content.append(modifier(coded.IMAGE_MODE, ImageMode.TWO_D.code))
    if measurement.view is not None:
        content.extend(view_items(measurement.view))
    if measurement.quantity in PHASE:
        content.append(modifier(coded.CARDIAC_CYCLE_POINT, PHASE[measurement.quantity].code))
    if measurement.uncertainty is not None:
        content.extend(uncertainty(measurement))
    content.extend(frames_of(measurement, source, evidence) for source in measurement.sources)
    content.extend(edit_items(measurement.edits))
    return item


def written(value: float) -> float:
    """A number as documents hold it: viewers show all its digits, and fifteen would look like precision."""
    return round(float(value), 3)


def uncertainty(measurement: Measurement) -> list[sr.NumContentItem]:
    """One standard deviation up and down (PS3.16 TID 310), in the unit of the value."""
    assert measurement.uncertainty is not None
    return [
        sr.NumContentItem(
            concept(name),
            value=written(measurement.uncertainty),
            unit=concept(measurement.unit.code),
            relationship_type=AS_PROPERTY,
        )
        for name in (coded.UPPER_UNCERTAINTY, coded.LOWER_UNCERTAINTY)
    ]


def frames_of(measurement: Measurement, source: Source, evidence: Evidence) -> sr.SourceImageForMeasurement:
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


def not_measured(item: NotMeasured) -> sr.QualitativeEvaluation:
    """A quantity with the coded reason in place of its value, and the edits that led there."""
    evaluation = sr.QualitativeEvaluation(concept(item.quantity.code), concept(item.reason.code))
    content = sr.ContentSequence()
    if item.view is not None:
        content.extend(view_items(item.view))
    if item.method is not None:
        content.append(modifier(coded.MEASUREMENT_METHOD, item.method.code))
    if item.detail:
        content.append(sr.TextContentItem(concept(coded.COMMENT), item.detail, relationship_type=AS_PROPERTY))
    content.extend(edit_items(item.edits))
    if content:
        evaluation[0].ContentSequence = content
    return evaluation


def view_items(view: View) -> list[sr.CodeContentItem]:
    """A view as modifiers of what was measured in it."""
    items = [modifier(coded.IMAGE_VIEW, view.code)]
    if view.modifier is not None:
        items.append(modifier(coded.IMAGE_VIEW_MODIFIER, view.modifier))
    return items


def modifier(name: Code, value: Code) -> sr.CodeContentItem:
    """What another item is narrowed down by."""
    return sr.CodeContentItem(concept(name), concept(value), relationship_type=AS_MODIFIER)


def segment(seg: Report, segment_number: int) -> sr.ImageContentItem:
    """The segment that was measured: beside the region, which TID 1410 wants to be the only one."""
    return sr.ImageContentItem(
        concept(coded.SOURCE_OF_MEASUREMENT),
        seg.SOPClassUID,
        seg.SOPInstanceUID,
        referenced_segment_numbers=segment_number,
        relationship_type=CONTAINED,
    )


def algorithm(engine: EngineIdentity) -> sr.AlgorithmIdentification:
    """Which engine said so (PS3.16 TID 4019)."""
    return sr.AlgorithmIdentification(
        name=engine.name,
        version=engine.version,
        parameters=[f"digest {engine.digest}", f"backend {engine.backend}"],
        family=concept(coded.ARTIFICIAL_INTELLIGENCE),
    )
