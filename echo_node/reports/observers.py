"""Persons who drew on clips: read out of their reports, and named in the node's own (PS3.16 TID 1002, 1003)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone

from highdicom import sr
from pydicom import Dataset
from pydicom.config import RAISE
from pydicom.valuerep import DA, TM, validate_value

import echo_node.reports.coded as coded
from echo_node.decisions import Person
from echo_node.edits import Edit
from echo_node.records import Analysis
from echo_node.reports.coded import concept

_NOBODY = {"unknown"}  # OHIF writes unknown^unknown for whoever is not logged in
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def person(item: Dataset) -> str:
    """The first person whom a document or a group names as its observer, author or verifier; empty without one."""
    named = [(o, "PersonName") for o in coded.named(item, coded.PERSON_OBSERVER_NAME)]
    named += [(o, "PersonName") for o in item.get("AuthorObserverSequence") or []]
    named += [(o, "VerifyingObserverName") for o in item.get("VerifyingObserverSequence") or []]
    names = (str(observer.get(keyword) or "") for observer, keyword in named)
    return next((name for name in names if _is_name(name)), "")


def _is_name(text: str) -> bool:
    """Somebody, in a form in which the node may write the name on."""
    try:
        validate_value("PN", text, RAISE)
    except ValueError:
        return False
    words = {word for word in re.split(r"[\^=\s]+", text.lower()) if word}
    return bool(words - _NOBODY)


def as_observer(by: Person) -> sr.ObserverContext:
    """Whoever decides or draws, as the observer of a document (PS3.16 TID 1002, 1003)."""
    named = sr.PersonObserverIdentifyingAttributes(name=by.name, organization_name=by.organization)
    return sr.ObserverContext(observer_type=concept(coded.PERSON), observer_identifying_attributes=named)


def persons(edits: Sequence[Edit]) -> tuple[str, ...]:
    """The names of who edited, each once, in order; those of nobody are left out."""
    return tuple(dict.fromkeys(edit.observer for edit in edits if _is_name(edit.observer)))


def last_person(edits: Sequence[Edit]) -> str | None:
    """Who edited last, as far as the reports say when; None where they name nobody."""
    named = [edit for edit in edits if _is_name(edit.observer)]
    return max(reversed(named), key=lambda edit: edit.made_at or _LONG_AGO).observer if named else None


def by_whom(edits: Sequence[Edit], *, most: int) -> str:
    """Who edited, in words of so many bytes at most: a name is given whole or not at all."""
    said = f"by {'; '.join(persons(edits))}"
    return said if persons(edits) and len(said.encode()) <= most else "by hand"


def made_at(ds: Dataset) -> datetime | None:
    """When a document was made, in UTC; by the node's own zone where it names none (PS3.3 C.12.1.1.8)."""
    try:
        date, time = DA(ds.get("ContentDate")), TM(ds.get("ContentTime"))
        if not date or not time:
            return None
        local = datetime.combine(date, time)
        offset = str(ds.get("TimezoneOffsetFromUTC") or "")
        return _aware(local, offset).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _aware(local: datetime, offset: str) -> datetime:
    if not offset:
        return local.astimezone()
    sign = -1 if offset[0] == "-" else 1
    return local.replace(tzinfo=timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))))


def edit_items(edits: Sequence[Edit]) -> Iterator[sr.ContentItem]:
    """Who corrected an outline or what a number was to be read off, each followed by the report, and why.

    An observer whose type is not given is a person (TID 1002); when it was stands in the person's report.
    """
    for edit in edits:
        yield sr.PnameContentItem(
            concept(coded.PERSON_OBSERVER_NAME),
            edit.observer,
            relationship_type=sr.RelationshipTypeValues.HAS_OBS_CONTEXT,
        )
        report = sr.CompositeContentItem(
            concept(coded.EDITED_BY),
            edit.SOPClassUID,
            edit.SOPInstanceUID,
            relationship_type=sr.RelationshipTypeValues.INFERRED_FROM,
        )
        if edit.reason:
            why = sr.TextContentItem(concept(coded.COMMENT), edit.reason, sr.RelationshipTypeValues.HAS_CONCEPT_MOD)
            report.ContentSequence = sr.ContentSequence([why])
        yield report


def read_edits(item: Dataset, series: Mapping[str, str]) -> tuple[Edit, ...]:
    """The edits that :func:`edit_items` wrote below an item, without their times.

    Parameters
    ----------
    item : Dataset
        A number, or the reason in its place.
    series : mapping of SOPInstanceUID to SeriesInstanceUID
        Of what the report refers to.
    """
    names = coded.named(item, coded.PERSON_OBSERVER_NAME)
    reports = coded.named(item, coded.EDITED_BY)
    return tuple(_edit(name, report, series) for name, report in zip(names, reports, strict=True))


def _edit(name: Dataset, report: Dataset, series: Mapping[str, str]) -> Edit:
    reference = report.ReferencedSOPSequence[0]
    return Edit(
        SOPClassUID=str(reference.ReferencedSOPClassUID),
        SOPInstanceUID=str(reference.ReferencedSOPInstanceUID),
        SeriesInstanceUID=series[str(reference.ReferencedSOPInstanceUID)],
        observer=str(name.PersonName),
        made_at=None,
        reason="; ".join(str(item.TextValue) for item in coded.named(report, coded.COMMENT)),
    )


def edits_of(analysis: Analysis) -> tuple[Edit, ...]:
    """Every edit that a number of the study, an outline or a reason in a number's place rests on, once."""
    of_results = (
        *(measurement.edits for measurement in analysis.measurements),
        *(clip.edits for clip in analysis.clips),
        *(missing.edits for missing in analysis.not_measured),
    )
    return tuple(dict.fromkeys(edit for edits in of_results for edit in edits))
