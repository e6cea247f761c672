"""What goes out once a person has decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset
from pypdf import PdfReader

from echo_node.codes import Code, ObjectKind
from echo_node.decisions import Decision, DecisionKind, Person
from echo_node.errors import DecisionError, ReportError
from echo_node.records import Analysis, Report
from echo_node.reports import (
    DOCUMENTS,
    accept_document,
    build_rejection,
    build_reports,
    check_person,
    read_made,
    read_report,
)
from echo_node.reports.document import PROFILES
from echo_node.reports.page import with_state
from echo_node.reports.page_text import PRELIMINARY, PageState
from echo_node.reports.pdf import page_of
from echo_node.reports.retired import every_item
from tests.unit.reports.builders import STUDY, analysis, cine, clip, edit, edited, referred, source

AT = datetime(2026, 11, 24, 9, 30, 15, 5, tzinfo=UTC)
ROSA = Person(name="Öztürk^Rosa", organization="Herzklinik", code=Code("4711", "99HC", "Cardiologist"))
ACCEPTED = Decision(
    StudyInstanceUID=STUDY,
    revision=1,
    kind=DecisionKind.ACCEPTED,
    by=ROSA,
    reason="Agrees with my reading.",
    made_at=AT,
    decided=(),
    made=("2.25.77",),
)
REJECTED = replace(ACCEPTED, kind=DecisionKind.REJECTED, reason="The outline leaves the ventricle.")
SIZE: dict[str, Any] = {"Rows": 240, "Columns": 320}


def study_of(of: Dataset) -> Analysis:
    return analysis(edited(of, edit()))


def made(study: Analysis, of: Dataset, **changes) -> dict[ObjectKind, Report]:
    sources = {of.SOPInstanceUID: of}
    found = build_reports(study, sources, kinds=tuple(ObjectKind), frames=lambda uid: cine(sources[uid]), **changes)
    return {report.kind: report for report in found}


@pytest.fixture(scope="module")
def reports() -> Mapping[ObjectKind, Report]:
    of = source(TimezoneOffsetFromUTC="+0100", **SIZE)
    return made(study_of(of), of)


def read(report: Report) -> Dataset:
    return pydicom.dcmread(BytesIO(report.content))


def said(ds: Dataset) -> list[str]:
    """Every text of a report's tree."""
    return [str(item.TextValue) for item in every_item(ds) if "TextValue" in item]


def text_of(page: bytes) -> str:
    reader = PdfReader(BytesIO(page))
    assert len(reader.pages) == 1
    return reader.pages[0].extract_text().replace("\0", "")


def predecessors(ds: Dataset) -> list[str]:
    return referred(ds.get("PredecessorDocumentsSequence", []))


@pytest.mark.parametrize("kind", list(PROFILES))
def test_an_accepted_report_is_verified_final_and_says_by_whom(
    reports: Mapping[ObjectKind, Report], kind: ObjectKind
) -> None:
    before, after = read(reports[kind]), read(accept_document(reports[kind], ACCEPTED))
    assert (before.VerificationFlag, before.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert (after.VerificationFlag, after.PreliminaryFlag, after.CompletionFlag) == (
        "VERIFIED",
        "FINAL",
        "COMPLETE",
    )
    (observer,) = after.VerifyingObserverSequence
    assert observer.VerifyingObserverName == ROSA.name
    assert observer.VerifyingOrganization == "Herzklinik"
    assert observer.VerificationDateTime == "20261124103015.000005+0100"
    (code,) = observer.VerifyingObserverIdentificationCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("4711", "99HC")
    assert (after.ContentDate, after.ContentTime) == ("20261124", "103015.000005")
    assert predecessors(after) == [before.SOPInstanceUID]
    assert after.SOPInstanceUID != before.SOPInstanceUID
    assert after.SeriesInstanceUID == before.SeriesInstanceUID


@pytest.mark.parametrize("kind", list(PROFILES))
def test_acceptance_changes_no_number_and_keeps_the_edits(
    reports: Mapping[ObjectKind, Report], kind: ObjectKind
) -> None:
    accepted = accept_document(reports[kind], ACCEPTED)
    before, after = read_report(reports[kind].content), read_report(accepted.content)
    assert before is not None
    assert after is not None
    assert (after.measurements, after.not_measured, after.views) == (
        before.measurements,
        before.not_measured,
        before.views,
    )
    assert kind is ObjectKind.SR_TID5300 or any(m.edits for m in after.measurements)
    texts = said(read(accepted))
    assert not any("not checked by a person" in text for text in texts)
    if kind is not ObjectKind.SR_TID5300:  # which has no place for words
        assert any("Accepted as a whole" in text and ACCEPTED.reason in text for text in texts)


def test_a_person_without_a_code_leaves_it_empty(reports: Mapping[ObjectKind, Report]) -> None:
    after = read(accept_document(reports[ObjectKind.SR], replace(ACCEPTED, by=replace(ROSA, code=None))))
    assert list(after.VerifyingObserverSequence[0].VerifyingObserverIdentificationCodeSequence) == []


def test_accepting_twice_gives_the_same_object(reports: Mapping[ObjectKind, Report]) -> None:
    for kind in DOCUMENTS - {ObjectKind.PDF}:
        assert accept_document(reports[kind], ACCEPTED) == accept_document(reports[kind], ACCEPTED)
    page = reports[ObjectKind.PDF]
    assert accept_document(page, ACCEPTED).SOPInstanceUID == accept_document(page, ACCEPTED).SOPInstanceUID


def test_an_accepted_page_says_so_where_it_said_that_nobody_had_checked_it(
    reports: Mapping[ObjectKind, Report],
) -> None:
    before, after = read(reports[ObjectKind.PDF]), read(accept_document(reports[ObjectKind.PDF], ACCEPTED))
    old, new = text_of(page_of(before)), text_of(page_of(after))
    assert PRELIMINARY in old
    assert "ACCEPTED by Öztürk^Rosa (Herzklinik), 2026-11-24 09:30:15 UTC" in new
    assert PRELIMINARY not in new
    assert "not checked by a person" not in new
    kept = set(old.splitlines()) - set(new.splitlines())
    assert all("checked" in line or "Made by software" in line for line in kept)
    assert after.VerificationFlag == "VERIFIED"
    assert predecessors(after) == [before.SOPInstanceUID]
    assert len(after.EncapsulatedDocument) % 2 == 0


def test_a_page_of_another_make_is_an_error_not_a_guess(reports: Mapping[ObjectKind, Report]) -> None:
    page = page_of(read(accept_document(reports[ObjectKind.PDF], ACCEPTED)))
    with pytest.raises(ReportError, match="state"):
        with_state(page, PageState(headline="", sentence=""))


def test_what_follows_an_acceptance_is_preliminary_and_names_it(reports: Mapping[ObjectKind, Report]) -> None:
    of = source(**SIZE)
    accepted = {kind: accept_document(reports[kind], ACCEPTED) for kind in DOCUMENTS}
    known = replace(ACCEPTED, made=tuple(r.SOPInstanceUID for r in accepted.values()))
    second = replace(study_of(of), revision=2, acceptance=known)
    later = made(second, of, earlier=[*(reports[k] for k in DOCUMENTS), *accepted.values()])
    last = made(replace(second, revision=3), of, earlier=[*accepted.values(), *(later[kind] for kind in DOCUMENTS)])
    for kind in DOCUMENTS:
        ds = read(later[kind])
        assert ds.VerificationFlag == "UNVERIFIED"
        assert predecessors(ds) == [accepted[kind].SOPInstanceUID]
        assert set(predecessors(read(last[kind]))) == {accepted[kind].SOPInstanceUID, later[kind].SOPInstanceUID}
    words = "An earlier version (revision 1) was accepted by Öztürk^Rosa on 2026-11-24: it stands until"
    for kind in (ObjectKind.SR, ObjectKind.SR_TID5200):
        ds = read(later[kind])
        assert ds.PreliminaryFlag == "PRELIMINARY"
        assert any(words in text for text in said(ds))
    page = text_of(page_of(read(later[ObjectKind.PDF]))).replace("\n", " ")
    assert PRELIMINARY in page
    assert words in page


def test_a_rejection_names_objects_person_and_reason(reports: Mapping[ObjectKind, Report], tmp_path: Path) -> None:
    headers = []
    for report in reports.values():
        path = tmp_path / report.SOPInstanceUID
        path.write_bytes(report.content)
        headers.append(read_made(path))
    note = build_rejection(headers, REJECTED)
    ds = read(note)
    assert (note.kind, ds.Modality) == (ObjectKind.REJECTION, "KO")
    title = ds.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113001", "DCM")
    named = [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in ds.ContentSequence
        if item.ValueType in ("IMAGE", "COMPOSITE")
    ]
    assert sorted(named) == sorted(r.SOPInstanceUID for r in reports.values())
    assert not any("ConceptNameCodeSequence" in i for i in ds.ContentSequence if "ReferencedSOPSequence" in i)
    texts = {str(item.get("TextValue")) for item in ds.ContentSequence if item.ValueType == "TEXT"}
    assert texts == {REJECTED.reason, ROSA.organization}
    assert [str(i.PersonName) for i in ds.ContentSequence if i.ValueType == "PNAME"] == [ROSA.name]
    assert ds.PatientID == "P-0001"
    assert ds.StudyInstanceUID == STUDY
    assert build_rejection(headers[::-1], REJECTED).SOPInstanceUID == note.SOPInstanceUID


def test_what_follows_a_rejection_is_never_the_rejected_object() -> None:
    of = source(**SIZE)
    study = analysis(clip(of))
    first, again = made(study, of), made(replace(study, rejections=1), of)
    for kind in (ObjectKind.SEG, ObjectKind.OVERLAY):
        assert first[kind].SOPInstanceUID != again[kind].SOPInstanceUID
    refers = {str(item.get("ReferencedSOPInstanceUID")) for item in every_item(read(again[ObjectKind.SR]))}
    assert again[ObjectKind.SEG].SOPInstanceUID in refers
    assert first[ObjectKind.SEG].SOPInstanceUID not in refers


def test_a_lost_file_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="lost"):
        read_made(tmp_path / "lost")


@pytest.mark.parametrize(
    "by",
    [
        replace(ROSA, name=""),
        replace(ROSA, name="^^"),
        replace(ROSA, name="a\\b"),
        replace(ROSA, organization="  "),
        replace(ROSA, organization="x" * 65),
        replace(ROSA, code=Code("x" * 17, "99HC", "Cardiologist")),
        replace(ROSA, code=Code("4711", "", "Cardiologist")),
    ],
)
def test_who_cannot_be_named_cannot_decide(by: Person) -> None:
    check_person(ROSA)
    with pytest.raises(DecisionError, match="cannot name"):
        check_person(by)
