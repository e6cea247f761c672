"""What a person corrected, in the objects that the node sends."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import pydicom
import pytest
from pypdf import PdfReader

from echo_node.codes import ObjectKind, Quantity, Structure
from echo_node.pictures import plan_overlay
from echo_node.records import DrawnLine
from echo_node.reports import build_reports, build_seg, read_report
from echo_node.reports.envelope import EDITED, RESEARCH_USE
from tests.unit.reports.builders import (
    ED,
    MADE_AT,
    STUDY,
    analysis,
    cine,
    clip,
    edit,
    edited,
    long_axis,
    source,
    with_mass,
)
from tests.unit.reports.test_walls import groups_of, region_of, sr_of

FIRST = edit()
SECOND = edit("2.25.902", observer="Öztürk^Ümit", made_at=None)


def test_edits_read_back_from_the_report():
    of = source()
    study = analysis(edited(of, FIRST, SECOND))
    _, reading = sr_of(study, {of.SOPInstanceUID: of})
    assert [m.quantity for m in reading.measurements] == [m.quantity for m in study.measurements]
    assert {m.edits for m in reading.measurements} == {(replace(FIRST, made_at=None), SECOND)}


def test_why_a_person_edited_reads_back_and_stands_on_the_page():
    of = source(Rows=240, Columns=320)
    one, other = replace(FIRST, reason="papillary muscle left out"), replace(FIRST, reason="clearer frame")
    study, sources = analysis(edited(of, one, other)), {of.SOPInstanceUID: of}
    kinds = (ObjectKind.SR, ObjectKind.SR_TID5200, ObjectKind.PDF)
    made = {r.kind: r for r in build_reports(study, sources, kinds=kinds, frames=lambda _: cine(of))}
    for kind in kinds[:2]:
        reading = read_report(made[kind].content)
        assert {m.edits for m in reading.measurements} == {tuple(replace(e, made_at=None) for e in (one, other))}
        ds = pydicom.dcmread(BytesIO(made[kind].content))
        evidence = [
            instance.ReferencedSOPInstanceUID
            for referred in ds.CurrentRequestedProcedureEvidenceSequence
            for series in referred.ReferencedSeriesSequence
            for instance in series.ReferencedSOPSequence
        ]
        assert evidence.count(FIRST.SOPInstanceUID) == 1
    ds = pydicom.dcmread(BytesIO(made[ObjectKind.PDF].content))
    page = PdfReader(BytesIO(ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength])).pages[0].extract_text()
    assert "Edited because: papillary muscle left out" in page


def test_a_number_names_its_persons_and_their_reports_in_codes():
    of = source()
    content = build_reports(analysis(edited(of, FIRST)), {of.SOPInstanceUID: of})[-1].content
    ds = pydicom.dcmread(BytesIO(content))
    referred = [
        (study.StudyInstanceUID, series.SeriesInstanceUID, instance.ReferencedSOPInstanceUID)
        for study in ds.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]
    assert (STUDY, FIRST.SeriesInstanceUID, FIRST.SOPInstanceUID) in referred
    assert EDITED.encode() in content
    assert RESEARCH_USE.encode() not in content
    assert ds.VerificationFlag == "UNVERIFIED"


NAMING = (ObjectKind.SR, ObjectKind.SR_COMPREHENSIVE, ObjectKind.SR_TID5200, ObjectKind.SR_TID5200_SRT)


@pytest.mark.parametrize("kind", NAMING)
def test_every_kind_that_has_a_place_for_it_names_persons_and_reports(kind):
    of = source()
    (report,) = build_reports(analysis(edited(of, FIRST, SECOND)), {of.SOPInstanceUID: of}, kinds=(kind,))
    assert {m.edits for m in read_report(report.content).measurements} == {(replace(FIRST, made_at=None), SECOND)}
    assert EDITED.encode() in report.content


def test_the_simplified_report_lists_the_persons_report_as_evidence_alone():
    of = source()
    kinds = (ObjectKind.SR_TID5300,)
    (report,) = build_reports(analysis(edited(of, FIRST)), {of.SOPInstanceUID: of}, kinds=kinds)
    assert {m.edits for m in read_report(report.content).measurements} == {()}
    ds = pydicom.dcmread(BytesIO(report.content))
    listed = [
        instance.ReferencedSOPInstanceUID
        for study in ds.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]
    assert FIRST.SOPInstanceUID in listed


def test_the_page_says_which_numbers_were_edited_and_by_whom():
    of = source()
    for given, is_there in ((edited(of, FIRST), True), (clip(of), False)):
        (page,) = build_reports(
            analysis(given), {of.SOPInstanceUID: of}, kinds=(ObjectKind.PDF,), frames=lambda _: cine(of)
        )
        text = (
            PdfReader(BytesIO(pydicom.dcmread(BytesIO(page.content)).EncapsulatedDocument)).pages[0].extract_text()
        )
        text = " ".join(text.split())
        assert ("Edited, by Reader^Rosa: " in text) is is_there
        assert (EDITED in text, RESEARCH_USE in text) == (is_there, not is_there)


def test_an_overlay_has_the_persons_line_in_place_of_the_nodes_own():
    of = source(Rows=240, Columns=320)
    frames, plax = cine(of), long_axis(of)
    drawn = DrawnLine(quantity=Quantity.IVSD, frame_number=3, ends=((100.0, 150.0), (120.0, 150.0)))
    corrected = replace(plax, lines=(drawn,))
    plain = next(frames.colours([2]))
    changed = plan_overlay(corrected, frames).draw(plain, 3) != plan_overlay(plax, frames).draw(plain, 3)
    assert changed[100:120, 149:152].any()
    at_ed = plan_overlay(corrected, frames).draw(plain, ED) != plan_overlay(plax, frames).draw(plain, ED)
    assert at_ed.any()


def test_what_nobody_touched_names_nobody():
    of = source()
    _, reading = sr_of(analysis(clip(of)), {of.SOPInstanceUID: of})
    assert {m.edits for m in reading.measurements} == {()}


def test_a_segment_that_a_person_corrected_says_so_and_the_object_has_another_uid():
    of = source()
    plain = build_seg(clip(of), of, made_at=MADE_AT)
    corrected = build_seg(edited(of, FIRST), of, made_at=MADE_AT)
    again = build_seg(edited(of, FIRST, SECOND), of, made_at=MADE_AT)
    assert len({plain.SOPInstanceUID, corrected.SOPInstanceUID, again.SOPInstanceUID}) == 3
    segments = pydicom.dcmread(BytesIO(corrected.content)).SegmentSequence
    types = {s.SegmentedPropertyTypeCodeSequence[0].CodeValue: s.SegmentAlgorithmType for s in segments}
    assert types == {Structure.LV_CAVITY.code.value: "SEMIAUTOMATIC", Structure.LA.code.value: "AUTOMATIC"}


def test_a_line_is_shown_where_the_person_drew_it():
    of = source(PatientSize="1.75", PatientWeight="71")
    plax = long_axis(of)
    drawn = DrawnLine(quantity=Quantity.IVSD, frame_number=4, ends=((11.0, 20.0), (17.5, 21.0)))
    walls = (replace(plax.measurements[0], edits=(FIRST,)), *plax.measurements[1:])
    plax = replace(plax, lines=(drawn,), measurements=walls)
    ds, _ = sr_of(with_mass(analysis(plax, not_measured=()), plax), {of.SOPInstanceUID: of})
    groups = groups_of(ds)
    shown = region_of(groups[Quantity.IVSD.code.value])
    assert list(shown.GraphicData) == [20.5, 11.5, 21.5, 18.0]
    assert shown.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber == 4
    other = region_of(groups[Quantity.LVIDD.code.value])
    assert other.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber == ED


def test_walls_that_a_person_alone_measured_can_be_reported():
    """On a still, say, on which the node finds no beat: there is no line across all of them."""
    of = source()
    plax = long_axis(of)
    ends = ((11.0, 20.0), (17.5, 21.0))
    lines = tuple(DrawnLine(quantity=m.quantity, frame_number=ED, ends=ends) for m in plax.measurements)
    plax = replace(plax, lines=lines, diameters=None, landmarks=())
    ds, _ = sr_of(with_mass(analysis(plax, not_measured=()), plax), {of.SOPInstanceUID: of})
    assert region_of(groups_of(ds)[Quantity.LV_MASS.code.value]).GraphicType == "POINT"
