"""The Echocardiography Procedure Report (PS3.16 TID 5200) says what the analysis says."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import ComprehensiveSRStorage

from echo_node.codes import Method, ObjectKind, Quantity, Reason, View
from echo_node.errors import ReportError
from echo_node.records import Analysis, Body, NotMeasured, Report, Sex
from echo_node.reports import build_reports, read_report
from echo_node.reports.retired import every_item
from echo_node.reports.tid5200 import build_tid5200
from tests.unit.reports.builders import (
    ED,
    ENGINE,
    ES,
    MADE_AT,
    STUDY,
    analysis,
    clip,
    long_axis,
    source,
    unmeasured,
    with_estimate,
    with_mass,
)

FORMS = (ObjectKind.SR_TID5200, ObjectKind.SR_TID5200_SRT)
BODY = Body(sex=Sex.FEMALE, height_m=1.62, weight_kg=58.5)


def full() -> tuple[Analysis, Mapping[str, Dataset]]:
    """Numbers, reasons and findings of every sort; one clip is read as nothing."""
    of = [source(uid=f"{STUDY}.2.{n}", InstanceNumber=n) for n in range(1, 6)]
    refused = NotMeasured(
        quantity=Quantity.LVEF, reason=Reason.LOW_QUALITY, detail="", view=View.A2C, method=Method.LEARNED
    )
    apart = NotMeasured(
        quantity=Quantity.LVEF_COMBINED, reason=Reason.DISAGREEMENT, detail="31 apart", view=View.A4C
    )
    four = with_estimate(clip(of[0], not_measured=(apart,), body=BODY), ef=30.0)
    two = clip(of[1], view=View.A2C, not_measured=(refused,))
    plax = long_axis(of[2])
    apex = unmeasured(of[3], view=View.PSAX_APEX)
    doppler = unmeasured(of[4], prediction=None, outcome=Reason.NOT_TWO_D)
    study = with_mass(analysis(four, two, plax, apex, doppler, biplane=True), plax)
    return study, {s.SOPInstanceUID: s for s in of}


@pytest.fixture(scope="module")
def reports() -> Mapping[ObjectKind, Report]:
    return {r.kind: r for r in build_reports(*full(), kinds=(*FORMS, ObjectKind.SEG))}


@pytest.fixture(scope="module")
def ds(reports: Mapping[ObjectKind, Report]) -> Dataset:
    return read(reports[ObjectKind.SR_TID5200])


def read(report: Report) -> Dataset:
    return pydicom.dcmread(BytesIO(report.content))


def named(ds: Dataset, value: str) -> Iterator[Dataset]:
    """Content items of this concept, at any depth."""
    for item in every_item(ds):
        if item.get("ConceptNameCodeSequence", [Dataset()])[0].get("CodeValue") == value:
            yield item


def code(item: Dataset) -> str:
    return str(item.ConceptCodeSequence[0].CodeValue)


@pytest.mark.parametrize("kind", FORMS, ids=lambda kind: kind.value)
def test_all_that_the_analysis_says_reads_back(reports: Mapping[ObjectKind, Report], kind: ObjectKind) -> None:
    study, _ = full()
    reading = read_report(reports[kind].content)
    assert reading is not None
    assert [(m.quantity, m.value, m.unit, m.method, m.view, m.uncertainty) for m in reading.measurements] == [
        (m.quantity, m.value, m.unit, m.method, m.view, m.uncertainty) for m in study.measurements
    ]
    assert reading.not_measured == study.not_measured
    assert reading.findings == study.findings
    assert [(v.SOPInstanceUID, v.view, round(v.probability, 4)) for v in reading.views] == [
        (c.SOPInstanceUID, c.prediction.view, c.prediction.probability) for c in study.clips if c.prediction
    ]


def test_sources_name_the_frames_of_the_cycle_point(reports: Mapping[ObjectKind, Report]) -> None:
    reading = read_report(reports[ObjectKind.SR_TID5200].content)
    assert reading is not None
    frames = {(m.quantity, m.method, m.view): [s.frame_numbers for s in m.sources] for m in reading.measurements}
    assert frames[Quantity.LVEF, Method.DISKS_BIPLANE, None] == [(ED, ES), (ED, ES)]
    assert frames[Quantity.LV_ESV, Method.DISKS_SINGLE_PLANE, View.A2C] == [(ES,)]
    assert frames[Quantity.LVEF, Method.LEARNED, View.A4C] == [(3, 8)]
    assert frames[Quantity.LVIDS, Method.DIRECT, View.PLAX] == [(ES,)]


def test_the_document_is_what_reporting_systems_look_for(ds: Dataset) -> None:
    assert ds.SOPClassUID == ComprehensiveSRStorage
    assert ds.file_meta.MediaStorageSOPClassUID == ComprehensiveSRStorage
    assert ds.ConceptNameCodeSequence[0].CodeValue == "125200"
    assert ds.ContentTemplateSequence[0].TemplateIdentifier == "5200"
    assert (ds.SeriesNumber, ds.Modality, ds.VerificationFlag) == (9003, "SR", "UNVERIFIED")
    headings = [i.ConceptNameCodeSequence[0].CodeMeaning for i in ds.ContentSequence if i.ValueType == "CONTAINER"]
    assert headings == ["Patient Characteristics", "Image Library", "Findings", "Summary"]


def test_the_library_holds_every_clip_and_its_cycle(ds: Dataset) -> None:
    study, _ = full()
    library = next(named(ds, "111028"))
    images = [image.ReferencedSOPSequence[0] for image in library.ContentSequence]
    expected = [(clip.SOPInstanceUID, frame) for clip in study.clips for frame in (None, *(clip.cycle or ()))]
    assert [(i.ReferencedSOPInstanceUID, i.get("ReferencedFrameNumber")) for i in images] == expected
    assert not any("ConceptNameCodeSequence" in image for image in library.ContentSequence)
    points = [code(item) for image in library.ContentSequence for item in named(image, "272518008")]
    assert points == ["416190007", "416430001"] * 3
    assert [code(item) for item in named(library, "111032")] == ["128564006"]  # the apex of the short axis


def test_older_receivers_find_the_heading_that_they_know(reports: Mapping[ObjectKind, Report], ds: Dataset) -> None:
    older = read(reports[ObjectKind.SR_TID5200_SRT])
    assert list(named(older, "59776-5")) == []
    headings = list(named(older, "121070"))
    assert len(headings) == len(list(named(ds, "59776-5")))
    assert {item.ConceptNameCodeSequence[0].CodingSchemeDesignator for item in headings} == {"DCM"}


def test_numbers_stand_under_their_site_by_mode(ds: Dataset) -> None:
    findings = next(named(ds, "59776-5"))
    assert code(findings.ContentSequence[0]) == "87878005"
    groups = list(named(findings, "125007"))
    assert all(code(next(named(group, "399264008"))) == "399064001" for group in groups)
    septum = next(named(findings, "18154-5"))
    assert [code(item) for item in named(septum, "363698007")] == ["589001"]


def test_groups_share_tracking_with_their_segment(reports: Mapping[ObjectKind, Report]) -> None:
    study, sources = full()
    segs = build_reports(study, sources, kinds=(ObjectKind.SEG,))
    tracked = {read(seg).SegmentSequence[0].TrackingUID: seg.SOPInstanceUID for seg in segs}
    groups = list(named(read(reports[ObjectKind.SR_TID5200]), "125007"))
    found = {}
    for group in groups:
        uid = next(named(group, "112040")).UID
        images = [i for i in group.ContentSequence if i.ValueType == "IMAGE"]
        if uid in tracked:
            found[uid] = images[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert found == tracked


def test_reasons_name_the_images_they_come_from(ds: Dataset) -> None:
    study, _ = full()
    summary = next(named(ds, "121111"))
    images = {
        code(item): [
            i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            for i in item.get("ContentSequence", [])
            if i.ValueType == "IMAGE"
        ]
        for item in summary.ContentSequence
        if item.ValueType == "CODE"
    }
    uids = [clip.SOPInstanceUID for clip in study.clips]
    assert images["DISAGREEMENT"] == [uids[0]]
    assert images["LOW_QUALITY"] == [uids[1]]
    assert images["NO_HEAD_FOR_VIEW"] == [uids[3]]
    assert images["NOT_TWO_D"] == [uids[4]]


def test_who_and_what_made_it(ds: Dataset) -> None:
    texts = {i.ConceptNameCodeSequence[0].CodeValue: str(i.TextValue) for i in every_item(ds) if "TextValue" in i}
    assert (texts["111001"], texts["111003"]) == (ENGINE.name, ENGINE.version)
    assert texts["121013"] == "echo-node"
    assert "not for diagnosis" in texts["121106"]
    assert ds.ContentQualification == "RESEARCH"


def test_all_that_is_referred_to_is_evidence(ds: Dataset) -> None:
    series = [s for e in ds.CurrentRequestedProcedureEvidenceSequence for s in e.ReferencedSeriesSequence]
    listed = {i.ReferencedSOPInstanceUID for s in series for i in s.ReferencedSOPSequence}
    referred = {
        i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in every_item(ds) if i.get("ValueType") == "IMAGE"
    }
    assert referred <= listed


def test_the_older_codes_are_another_object(reports: Mapping[ObjectKind, Report]) -> None:
    sct, srt = (reports[kind] for kind in FORMS)
    assert sct.SOPInstanceUID != srt.SOPInstanceUID
    schemes = {kind: {i.get("CodingSchemeDesignator") for i in every_item(read(reports[kind]))} for kind in FORMS}
    assert "SRT" not in schemes[FORMS[0]]
    assert "SCT" not in schemes[FORMS[1]]
    codes = [
        (i.CodeValue, i.CodeMeaning) for i in every_item(read(srt)) if i.get("CodingSchemeDesignator") == "SRT"
    ]
    assert ("T-32600", "Left ventricle") in codes
    assert ("G-0373", "Image Mode") in codes
    assert ("R-FAB5C", "End diastole") in codes


def test_every_view_has_an_older_code() -> None:
    """Views are named by the header's codes alone: one without would leave a receiver in the dark."""
    of = [source(uid=f"{STUDY}.2.{n}") for n, _ in enumerate(View, start=1)]
    study = analysis(*(unmeasured(o, view=view) for o, view in zip(of, View, strict=True)))
    report = build_tid5200(study, {s.SOPInstanceUID: s for s in of}, segs={}, kind=ObjectKind.SR_TID5200_SRT)
    assert "SCT" not in {i.get("CodingSchemeDesignator") for i in every_item(read(report))}


def test_a_late_clip_replaces_the_last_of_its_own_kind() -> None:
    study, sources = full()
    kinds = (ObjectKind.SR, *FORMS)
    earlier = build_reports(study, sources, kinds=kinds)
    late = replace(study, revision=2, made_at=MADE_AT + timedelta(hours=1))
    for before, after in zip(earlier, build_reports(late, sources, kinds=kinds, earlier=earlier), strict=True):
        predecessors = read(after).PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
        named = [item.ReferencedSOPInstanceUID for item in predecessors.ReferencedSOPSequence]
        assert (after.kind, named) == (before.kind, [before.SOPInstanceUID])
        assert after.SOPInstanceUID != before.SOPInstanceUID


def test_same_input_same_bytes(reports: Mapping[ObjectKind, Report]) -> None:
    again = {r.kind: r for r in build_reports(*full(), kinds=(*FORMS, ObjectKind.SEG))}
    assert [again[kind].content for kind in FORMS] == [reports[kind].content for kind in FORMS]


def test_nothing_measured_has_no_findings_but_reasons() -> None:
    of = source()
    study = analysis(unmeasured(of))
    report = build_tid5200(study, {of.SOPInstanceUID: of}, segs={})
    assert list(named(read(report), "59776-5")) == []
    reading = read_report(report.content)
    assert reading is not None
    assert reading.not_measured == study.not_measured


def test_measured_clip_without_header_is_refused() -> None:
    study, sources = full()
    fewer = {uid: s for uid, s in sources.items() if uid != study.clips[0].SOPInstanceUID}
    with pytest.raises(ReportError, match="header"):
        build_tid5200(study, fewer, segs={})


@pytest.mark.parametrize("name", ["Wałęsa^Łucja", "Yamada^Tarou=山田^太郎=やまだ^たろう"])
def test_names_round_trip(name: str) -> None:
    of = source(PatientName=name)
    assert read(build_tid5200(analysis(clip(of)), {of.SOPInstanceUID: of}, segs={})).PatientName == name
