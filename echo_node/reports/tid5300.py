"""A study's results as a Simplified Echo Procedure Report (PS3.16 TID 5300): numbers under one code each.

The template knows numbers alone, and lets none of its sections be added to: views, tracking identifiers,
segments and the geometry are left to the other documents. A number that could not be measured is there
without its value, with a qualifier that says why (PS3.3 C.18.1).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

from highdicom import sr
from pydicom import Dataset

import echo_node.reports.coded as coded
from echo_node.codes import Code, ObjectKind, Reason, Unit
from echo_node.records import Analysis, Measurement, NotMeasured, Report
from echo_node.reports.coded import concept
from echo_node.reports.document import gather, language, observer, to_document
from echo_node.reports.groups import is_of_walls, region_of
from echo_node.reports.items import (
    AS_PROPERTY,
    CONTAINED,
    INFERRED,
    Evidence,
    container,
    frames_of,
    modifier,
    uncertainty,
)
from echo_node.reports.patient import patient_characteristics
from echo_node.reports.precoordinated import Name, name_of, name_of_missing

_log = logging.getLogger(__name__)

# Reasons for the absence of a value (PS3.16 CID 42)
NOT_ATTEMPTED = Code("114007", "DCM", "Measurement not attempted")
FAILED = Code("114006", "DCM", "Measurement failure")
OUT_OF_RANGE = Code("114009", "DCM", "Value out of range")
_QUALIFIERS: Mapping[Reason, Code] = {  # what is not here was tried and failed
    Reason.VIEW_MISSING: NOT_ATTEMPTED,
    Reason.NO_CALIBRATION: NOT_ATTEMPTED,
    Reason.NO_TIMING: NOT_ATTEMPTED,
    Reason.NO_BODY_SIZE: NOT_ATTEMPTED,
    Reason.NO_HEAD_IN_ENGINE: NOT_ATTEMPTED,
    Reason.IMPLAUSIBLE: OUT_OF_RANGE,
}

_Entry = tuple[Name, sr.NumContentItem]


def build_tid5300(
    analysis: Analysis,
    sources: Mapping[str, Dataset],
    *,
    segs: Mapping[str, Report],
    predecessors: Sequence[Report] = (),
    kind: ObjectKind = ObjectKind.SR_TID5300,
) -> Report:
    """Numbers, one for each code, and those that could not be measured.

    Parameters
    ----------
    analysis, sources, segs
        As :func:`echo_node.reports.document.gather` takes them.
    predecessors : sequence of Report
        The documents that this one replaces (PS3.3 C.17.2.3).
    kind : ObjectKind
        SR_TID5300.

    Raises
    ------
    ReportError
        No header was given, or one that a measurement refers to is missing.

    Notes
    -----
    A number without a code has no place in the template: it is left out, and the log says so.
    """
    evidence = gather(analysis, sources, segs)
    first = sources[next(iter(evidence.clips))]
    _tell_left_out(analysis)
    numbers = _surest(analysis.measurements, evidence)
    entries = [(name, _number(name, m, evidence)) for name, m in numbers.items()]
    entries.extend(_without_value(analysis.not_measured, numbers))
    content = container(
        coded.ECHO_REPORT,
        [
            *language(),
            *observer(analysis),
            *patient_characteristics(first, evidence.clips.values()),
            *_sections(entries),
        ],
        template="5300",
    )
    return to_document(
        kind, content, analysis=analysis, sources=sources, evidence=evidence, predecessors=predecessors
    )


def _sections(entries: Sequence[_Entry]) -> Iterator[sr.ContainerContentItem]:
    """Those under a code of the standard, then those under one of the node's; no heading without a number."""
    for heading in (coded.PRE_COORDINATED, coded.POST_COORDINATED):
        numbers = [number for name, number in entries if name.heading == heading]
        if numbers:
            yield container(heading, numbers)


def _surest(measurements: Sequence[Measurement], evidence: Evidence) -> dict[Name, Measurement]:
    """One number for each code: of several clips of a view that of the most certain view; ties: the lower UID.

    The template would flag a preferred one among several, but by reasons (CID 12301) that are not this one.
    """
    found: dict[Name, Measurement] = {}
    for measurement in sorted(measurements, key=lambda m: _rank(m, evidence)):
        name = name_of(measurement.quantity, measurement.method, measurement.view)
        if name is not None:
            found.setdefault(name, measurement)
    return found


def _tell_left_out(analysis: Analysis) -> None:
    """Log each kind of number that has no code."""
    for quantity, method, view in dict.fromkeys((m.quantity, m.method, m.view) for m in analysis.measurements):
        if name_of(quantity, method, view) is None:
            _log.warning(
                "study %s: %s by %s%s is left out of the Simplified Echo report: it has no code",
                analysis.StudyInstanceUID,
                quantity.name,
                method.name,
                "" if view is None else f" on {view.name}",
            )


def _rank(measurement: Measurement, evidence: Evidence) -> tuple[float, str]:
    clip = evidence.clips[measurement.sources[0].SOPInstanceUID]
    return (0.0 if clip.prediction is None else -clip.prediction.probability), clip.SOPInstanceUID


def _number(name: Name, measurement: Measurement, evidence: Evidence) -> sr.NumContentItem:
    """A value with its label and where it was read off; beside a code of the standard nothing else may stand."""
    item = sr.NumContentItem(
        concept(name.code), float(measurement.value), concept(measurement.unit.code), relationship_type=CONTAINED
    )
    content = sr.ContentSequence([*_modifiers(name), _label(name)])
    if name.modifiers and measurement.uncertainty is not None:
        content.extend(uncertainty(measurement))
    if is_of_walls(measurement):
        content.append(_line(measurement, evidence))
    else:
        content.extend(frames_of(measurement, source, evidence) for source in measurement.sources)
    item.ContentSequence = content
    return item


def _without_value(missing: Sequence[NotMeasured], numbers: Mapping[Name, Measurement]) -> Iterator[_Entry]:
    """Numbers that no clip gave, once each, for the first reason."""
    seen = set(numbers)
    for item in missing:
        name = name_of_missing(item.quantity, item.method, item.view)
        if name is None or name in seen:
            continue
        seen.add(name)
        qualifier = concept(_QUALIFIERS.get(item.reason, FAILED))
        number = sr.NumContentItem(  # the document takes out the value where there is a qualifier
            concept(name.code), 0, concept(Unit.NO_UNITS.code), qualifier, CONTAINED
        )
        number.ContentSequence = sr.ContentSequence([*_modifiers(name), _label(name)])
        yield name, number


def _modifiers(name: Name) -> list[sr.CodeContentItem]:
    return [modifier(concept_name, value) for concept_name, value in name.modifiers]


def _label(name: Name) -> sr.TextContentItem:
    return sr.TextContentItem(concept(coded.SHORT_LABEL), name.label, relationship_type=AS_PROPERTY)


def _line(measurement: Measurement, evidence: Evidence) -> sr.ImageRegion:
    """The line that a wall was measured along, as the source of the number (PS3.16 TID 320)."""
    line = region_of(measurement, evidence)
    line.ConceptNameCodeSequence = [concept(coded.SOURCE_OF_MEASUREMENT)]
    line.RelationshipType = INFERRED.value
    return line
