"""What a person corrected, in the objects that the node sends."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import highdicom
import pydicom
import pytest
from pypdf import PdfReader

from echo_node.codes import ObjectKind, Quantity, Structure
from echo_node.dicom.clips import open_clip
from echo_node.edits import DrawnLine
from echo_node.pictures import plan_overlay
from echo_node.pictures.marks import edited_line
from echo_node.reports import build_reports, build_seg, read_report, read_source
from echo_node.reports.envelope import EDITED, RESEARCH_USE
from echo_node.reports.overlay import build_overlay
from echo_node.reports.retired import every_item
from tests.peers import dciodvfy_errors
from tests.unit.reports.builders import (
    ED,
    MADE_AT,
    STUDY,
    analysis,
    cine,
    clip,
    edit,
    edited,
    edited_atrium,
    long_axis,
    referred,
    refused_line,
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
        evidence = referred(ds.CurrentRequestedProcedureEvidenceSequence)
        assert evidence.count(FIRST.SOPInstanceUID) == 1
    ds = pydicom.dcmread(BytesIO(made[ObjectKind.PDF].content))
    page = PdfReader(BytesIO(ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength])).pages[0].extract_text()
    assert "Edited because: papillary muscle left out" in page


def test_a_number_names_its_persons_and_their_reports_in_codes():
    of = source()
    content = build_reports(analysis(edited(of, FIRST)), {of.SOPInstanceUID: of})[-1].content
    ds = pydicom.dcmread(BytesIO(content))
    listed = [
        (study.StudyInstanceUID, series.SeriesInstanceUID, instance.ReferencedSOPInstanceUID)
        for study in ds.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]
    assert (STUDY, FIRST.SeriesInstanceUID, FIRST.SOPInstanceUID) in listed
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
    assert FIRST.SOPInstanceUID in referred(ds.CurrentRequestedProcedureEvidenceSequence)


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


def seg_of(of, given, kind=ObjectKind.SEG, **changes):
    report = build_seg(given, of, made_at=MADE_AT, kind=kind, **changes)
    return pydicom.dcmread(BytesIO(report.content))


def items_named(ds, value):
    return [
        item
        for item in every_item(ds)
        if "ConceptNameCodeSequence" in item and item.ConceptNameCodeSequence[0].CodeValue == value
    ]


def edits_below(item):
    """Persons and their reports, in the order in which they stand directly below an item."""
    found = [
        (child.get("PersonName"), child.get("ReferencedSOPSequence"))
        for child in item.ContentSequence
        if child.ValueType in ("PNAME", "COMPOSITE")
    ]
    return [str(name) if name is not None else of[0].ReferencedSOPInstanceUID for name, of in found]


@pytest.mark.parametrize("kind", NAMING)
def test_an_outline_that_gives_no_number_names_its_persons_and_reports(kind):
    of = source()
    study = analysis(edited_atrium(of, FIRST, SECOND))
    seg, report = build_reports(study, {of.SOPInstanceUID: of}, kinds=(ObjectKind.SEG, kind))
    ds = pydicom.dcmread(BytesIO(report.content))
    (item,) = items_named(ds, "EDITED_STRUCTURE")
    assert item.ConceptCodeSequence[0].CodeMeaning == "Left atrium"
    names = [FIRST.observer, FIRST.SOPInstanceUID, SECOND.observer, SECOND.SOPInstanceUID]
    assert edits_below(item) == names
    (segment,) = items_named(item, "121191")
    reference = segment.ReferencedSOPSequence[0]
    assert (reference.ReferencedSOPInstanceUID, reference.ReferencedSegmentNumber) == (seg.SOPInstanceUID, 2)
    assert {m.edits for m in read_report(report.content).measurements} == {()}
    assert EDITED.encode() in report.content
    assert RESEARCH_USE.encode() not in report.content


@pytest.mark.parametrize("kind", NAMING)
def test_a_line_that_gives_no_number_names_its_person_and_report(kind):
    of = source()
    study = analysis(refused_line(of, FIRST), not_measured=refused_line(of, FIRST).not_measured)
    (report,) = build_reports(study, {of.SOPInstanceUID: of}, kinds=(kind,))
    (missing,) = read_report(report.content).not_measured
    assert missing == replace(study.not_measured[0], edits=(replace(FIRST, made_at=None),))
    assert EDITED.encode() in report.content


@pytest.mark.parametrize("make", [edited_atrium, refused_line])
def test_what_gives_no_number_still_lists_the_persons_report_as_evidence(make):
    of = source()
    given = make(of, FIRST)
    study = analysis(given, not_measured=given.not_measured)
    for report in build_reports(study, {of.SOPInstanceUID: of}, kinds=(*NAMING, ObjectKind.SR_TID5300)):
        listed = pydicom.dcmread(BytesIO(report.content)).CurrentRequestedProcedureEvidenceSequence
        uids = [i.get("ReferencedSOPInstanceUID") for study_ in listed for i in every_item(study_)]
        assert uids.count(FIRST.SOPInstanceUID) == 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (edited_atrium, "Edited, by Reader^Rosa: outline of Left atrium (A4C)"),
        (refused_line, "Edited, by Reader^Rosa: Interventricular Septum Diastolic Thickness (PLAX), not measured"),
    ],
)
def test_the_page_and_the_overlay_say_that_what_gives_no_number_was_edited(make, said):
    of = source(Rows=240, Columns=320, FrameTime="20")
    given = make(of, FIRST)
    study, sources = analysis(given, not_measured=given.not_measured), {of.SOPInstanceUID: of}
    kinds = (ObjectKind.PDF, ObjectKind.OVERLAY)
    made = {r.kind: r for r in build_reports(study, sources, kinds=kinds, frames=lambda _: cine(of))}
    ds = pydicom.dcmread(BytesIO(made[ObjectKind.PDF].content))
    page = PdfReader(BytesIO(ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength])).pages[0].extract_text()
    page = " ".join(page.split())
    assert said in page
    assert EDITED in page
    overlay = pydicom.dcmread(BytesIO(made[ObjectKind.OVERLAY].content))
    assert "in part from what a person drew" in overlay.DerivationDescription


def test_an_overlay_says_in_words_what_was_edited():
    of = source()
    assert edited_line(edited_atrium(of, FIRST)) == "edited: Left atrium"
    assert edited_line(refused_line(of, FIRST)) == "edited: IVSd"
    assert edited_line(clip(of)) == ""
    of = source(Rows=240, Columns=320)
    frames, plain = cine(of), clip(of)
    frame = next(frames.colours([0]))
    drawn = [plan_overlay(given, frames).draw(frame, 1) for given in (plain, edited_atrium(of, FIRST))]
    assert (drawn[0] != drawn[1]).any()


@pytest.mark.parametrize("kind", [ObjectKind.SEG, ObjectKind.SEG_LABELMAP])
def test_a_segmentation_names_who_edited_it_and_the_persons_reports(kind, tmp_path):
    of = source()
    given = edited_atrium(of, FIRST, SECOND)
    ds = seg_of(of, given, kind)
    assert ds.ContentCreatorName == FIRST.observer  # the latest that says when
    assert [(i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID) for i in ds.SourceInstanceSequence] == [
        (e.SOPClassUID, e.SOPInstanceUID) for e in (FIRST, SECOND)
    ]
    *_, cavity, atrium = ds.SegmentSequence
    assert "ContentCreatorName" not in cavity
    assert atrium.ContentCreatorName == FIRST.observer
    assert atrium.SegmentDescription.startswith("Edited by Reader^Rosa; Öztürk^Ümit")
    assert (cavity.SegmentAlgorithmType, atrium.SegmentAlgorithmType) == ("AUTOMATIC", "SEMIAUTOMATIC")
    path = tmp_path / "seg.dcm"
    path.write_bytes(build_seg(given, of, made_at=MADE_AT, kind=kind).content)
    assert dciodvfy_errors(path) == []
    read = highdicom.seg.segread(path)
    assert read.get_segment_description(2).algorithm_type.value == "SEMIAUTOMATIC"


def test_a_viewer_that_takes_the_first_referenced_object_for_the_image_gets_the_image():
    """OHIF takes any loaded object of the referenced series for it, a person's report too."""
    of = source()
    (series,) = seg_of(of, edited_atrium(of, FIRST)).ReferencedSeriesSequence
    assert [i.ReferencedSOPInstanceUID for i in series.ReferencedInstanceSequence] == [of.SOPInstanceUID]


def test_a_corrected_segmentation_differs_from_the_one_that_it_replaces_where_viewers_look():
    of = source()
    versions = [
        seg_of(of, clip(of)),
        seg_of(of, edited_atrium(of, FIRST)),
        seg_of(of, edited_atrium(of, FIRST, SECOND)),
        seg_of(of, edited_atrium(of, FIRST, SECOND), rejections=1),
    ]
    numbers = [int(ds.InstanceNumber) for ds in versions]
    assert numbers[0] == of.InstanceNumber
    assert numbers == sorted(set(numbers))
    assert len({ds.SOPInstanceUID for ds in versions}) == 4
    assert [ds.ContentLabel for ds in versions] == ["AI_ECHO", *3 * ["AI_ECHO_EDITED"]]
    assert [ds.ContentDescription for ds in versions[:3]] == [
        "Cardiac structures",
        "Cardiac structures, edited by Reader^Rosa",
        "Cardiac structures, edited by Reader^Rosa; Öztürk^Ümit",
    ]
    assert versions[0].ContentCreatorName in (None, "")
    assert "SourceInstanceSequence" not in versions[0]


def test_a_corrected_overlay_has_a_number_of_its_own(data):
    path = data / "acuson-a4c-65f-jpeg.dcm"
    of, cine = read_source(path), open_clip(path)
    first, later = (build_overlay(made, of, cine, made_at=MADE_AT) for made in (clip(of), edited(of, FIRST)))
    numbers = [pydicom.dcmread(BytesIO(o.content), stop_before_pixels=True).InstanceNumber for o in (first, later)]
    assert numbers[0] == of.InstanceNumber < numbers[1]


def test_a_corrected_segmentation_s_number_is_one_that_may_stand():
    of = source(InstanceNumber=2**31 - 1)
    assert 0 <= int(seg_of(of, edited_atrium(of, FIRST)).InstanceNumber) < 2**31


def test_a_name_that_does_not_fit_is_no_part_of_a_name():
    of = source()
    long = replace(FIRST, observer="Müller-Lüdenscheidt^Maximilian Theodor^Friedrich^Prof. Dr.^FESC")
    ds = seg_of(of, edited_atrium(of, long))
    assert ds.ContentDescription == "Cardiac structures, edited by hand"
    assert ds.ContentCreatorName == long.observer
    nobody = replace(FIRST, observer="unknown^unknown")  # as an earlier version of the node took it
    ds = seg_of(of, edited_atrium(of, nobody))
    assert ds.ContentDescription == "Cardiac structures, edited by hand"
    assert ds.ContentCreatorName in (None, "")
    assert "ContentCreatorName" not in ds.SegmentSequence[1]
    assert ds.SegmentSequence[1].SegmentDescription == "Edited by hand"
    assert seg_of(of, edited_atrium(of, FIRST, replace(nobody, made_at=None))).ContentCreatorName == FIRST.observer


def test_a_segment_whose_every_mask_a_person_drew_is_manual(tmp_path):
    of = source()
    frames = tuple(range(1, 11))
    masks = clip(of).segmentations[1].masks.copy()
    masks[3:] = False  # nothing is there
    given = edited_atrium(of, FIRST)
    drawn = replace(given.segmentations[1], masks=masks, drawn_frames=(1, 2, 3))
    for segments, kind in (
        ((given.segmentations[0], drawn), "MANUAL"),
        ((given.segmentations[0], replace(drawn, drawn_frames=(1, 2))), "SEMIAUTOMATIC"),
        ((replace(drawn, masks=given.segmentations[1].masks, drawn_frames=frames),), "MANUAL"),
    ):
        made = replace(given, segmentations=segments)
        item = seg_of(of, made).SegmentSequence[-1]
        assert item.SegmentAlgorithmType == kind
        assert ("SegmentAlgorithmName" in item) is (kind != "MANUAL")
        assert item.SegmentDescription == ("Drawn" if kind == "MANUAL" else "Edited") + " by Reader^Rosa"
        for of_kind in (ObjectKind.SEG, ObjectKind.SEG_LABELMAP):
            path = tmp_path / "seg.dcm"
            path.write_bytes(build_seg(made, of, made_at=MADE_AT, kind=of_kind).content)
            assert dciodvfy_errors(path) == []
            assert highdicom.seg.segread(path).get_segment_description(len(segments)).algorithm_type.value == kind


def test_what_a_person_erased_is_said_of_what_is_left():
    of = source()
    given = edited_atrium(of, FIRST)
    erased = replace(given.segmentations[1], masks=given.segmentations[1].masks & False, drawn_frames=())
    given = replace(given, segmentations=(given.segmentations[0], erased))
    ds, plain = seg_of(of, given), seg_of(of, replace(given, segmentations=given.segmentations[:1]))
    assert len(ds.SegmentSequence) == 1
    assert ds.ContentCreatorName == FIRST.observer
    assert ds.SOPInstanceUID != plain.SOPInstanceUID
    report = build_reports(analysis(given), {of.SOPInstanceUID: of})[-1]
    (item,) = items_named(pydicom.dcmread(BytesIO(report.content)), "EDITED_STRUCTURE")
    assert edits_below(item) == [FIRST.observer, FIRST.SOPInstanceUID]
    assert items_named(item, "121191") == []
