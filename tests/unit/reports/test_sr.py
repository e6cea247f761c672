"""The structured report says what the analysis says."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from typing import Any

import highdicom
import pydicom
import pytest
from pydicom import Dataset
from pydicom.sr.codedict import codes

import echo_node.reports.coded as coded
from echo_node.codes import ImageMode, Method, ObjectKind, Quantity, Reason, Structure, View
from echo_node.errors import ReportError
from echo_node.records import Analysis, NotMeasured, Report
from echo_node.reports import Reading, build_reports, build_sr, read_report
from echo_node.reports.retired import every_item
from echo_node.reports.uids import tracking_uid
from tests.unit.reports.builders import (
    ED,
    ENGINE,
    ES,
    MADE_AT,
    STUDY,
    analysis,
    clip,
    source,
    unmeasured,
    with_estimate,
)

Reports = tuple[Report, ...]


def two_views() -> tuple[Analysis, dict[str, Dataset]]:
    of = [
        source(),
        source(uid=f"{STUDY}.2.2", InstanceNumber=4),
        source(uid=f"{STUDY}.2.3", InstanceNumber=5),
    ]
    study = analysis(clip(of[0]), clip(of[1], view=View.A2C), unmeasured(of[2], view=View.PSAX_APEX), biplane=True)
    return study, {s.SOPInstanceUID: s for s in of}


@pytest.fixture(scope="module")
def reports() -> Reports:
    """Two segmentations and the report of :func:`two_views`."""
    return build_reports(*two_views())


def reading_of(report: Report) -> Reading:
    reading = read_report(report.content)
    assert reading is not None
    return reading


def report_of(study: Analysis, sources: Mapping[str, Dataset]) -> Report:
    return build_reports(study, sources)[-1]


def read(report: Report) -> Any:
    return highdicom.sr.srread(BytesIO(report.content))


def items(ds: Dataset, value_type: str) -> Iterator[Dataset]:
    for item in ds.get("ContentSequence", []):
        if item.ValueType == value_type:
            yield item
        yield from items(item, value_type)


def test_segs_come_first_then_the_report(reports: Reports) -> None:
    assert [r.kind for r in reports] == [ObjectKind.SEG, ObjectKind.SEG, ObjectKind.SR]


def test_measurements_read_back(reports: Reports) -> None:
    study, _ = two_views()
    reading = reading_of(reports[-1])
    assert [(m.quantity, m.value, m.unit, m.method, m.view, m.uncertainty) for m in reading.measurements] == [
        (m.quantity, m.value, m.unit, m.method, m.view, m.uncertainty) for m in study.measurements
    ]
    assert reading.StudyInstanceUID == STUDY
    assert reading.not_measured == ()


def test_sources_name_the_frames_of_the_cycle_point(reports: Reports) -> None:
    reading = reading_of(reports[-1])
    frames = {(m.quantity, m.method): [s.frame_numbers for s in m.sources] for m in reading.measurements}
    assert frames[Quantity.LVEF, Method.DISKS_BIPLANE] == [(2, 7), (2, 7)]
    assert frames[Quantity.LV_EDV, Method.DISKS_SINGLE_PLANE] == [(2,)]
    assert frames[Quantity.LV_ESV, Method.DISKS_BIPLANE] == [(7,), (7,)]


def test_views_read_back_with_certainty_and_modifier(reports: Reports) -> None:
    study, _ = two_views()
    views = reading_of(reports[-1]).views
    named = [(c.SOPInstanceUID, c.prediction.view) for c in study.clips if c.prediction]
    assert [(v.SOPInstanceUID, v.view) for v in views] == named
    assert views[0].probability == pytest.approx(0.9731)
    apex = [i for i in items(read(reports[-1]), "CODE") if i.ConceptCodeSequence[0].CodeValue == "128564006"]
    assert [i.ConceptNameCodeSequence[0].CodeValue for i in apex] == ["111032"]


def test_reasons_read_back() -> None:
    of = source()
    uncalibrated = NotMeasured(
        quantity=Quantity.LV_EDV, reason=Reason.NO_CALIBRATION, detail="no spacing", view=View.A4C
    )
    study = analysis(clip(of, not_measured=(uncalibrated,)))
    reading = reading_of(report_of(study, {of.SOPInstanceUID: of}))
    assert reading.not_measured == study.not_measured
    assert uncalibrated in reading.not_measured


def test_study_without_any_number_still_says_views_and_reasons() -> None:
    of = source()
    doppler = source(uid=f"{STUDY}.2.8")
    study = analysis(unmeasured(of), unmeasured(doppler, prediction=None, outcome=Reason.NOT_TWO_D))
    reports = build_reports(study, {s.SOPInstanceUID: s for s in (of, doppler)})
    assert len(reports) == 1
    reading = reading_of(reports[0])
    assert reading.measurements == ()
    assert [v.view for v in reading.views] == [View.PLAX]
    assert {n.reason for n in reading.not_measured} == {Reason.VIEW_MISSING}
    outcomes = [
        i.ConceptCodeSequence[0].CodeValue
        for i in items(read(reports[0]), "CODE")
        if i.ConceptNameCodeSequence[0].CodeValue == "NOT_ROUTED"
    ]
    assert outcomes == ["NO_HEAD_FOR_VIEW", "NOT_TWO_D"]


def test_no_source_is_no_report() -> None:
    study, _ = two_views()
    assert build_reports(study, {}) == ()
    with pytest.raises(ReportError):
        build_sr(study, {}, segs={})


def test_measured_clip_without_header_is_refused() -> None:
    study, sources = two_views()
    del sources[study.clips[1].SOPInstanceUID]
    with pytest.raises(ReportError, match="header"):
        build_sr(study, sources, segs={})


def test_every_group_has_one_region_on_a_frame(reports: Reports) -> None:
    groups = read(reports[-1]).content.get_planar_roi_measurement_groups()
    assert len(groups) == 3 + 2 * 3  # views; each plane and both, at end diastole and at end systole
    frames = []
    for group in groups:
        regions = [i for i in group[0].ContentSequence if i.ValueType == "SCOORD"]
        assert len(regions) == 1
        frames.append(regions[0].ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber)
    assert frames == [ED, ED, 5, *(ED, ES) * 3]
    kinds = [i.GraphicType for g in groups for i in g[0].ContentSequence if i.ValueType == "SCOORD"]
    assert kinds == ["POINT"] * 3 + ["POLYLINE"] * 6


def test_the_end_systolic_volume_lies_on_the_outline_of_end_systole(reports: Reports) -> None:
    volumes = Quantity.LV_EDV.code.value, Quantity.LV_ESV.code.value
    of_frames: dict[str, set[int]] = {}
    for group in read(reports[-1]).content.get_planar_roi_measurement_groups():
        region = next(i for i in group[0].ContentSequence if i.ValueType == "SCOORD")
        frame = region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber
        for number in items(group[0], "NUM"):
            name = number.ConceptNameCodeSequence[0].CodeValue
            if name in volumes:
                of_frames.setdefault(name, set()).add(int(frame))
    assert of_frames == dict(zip(volumes, ({ED}, {ES}), strict=True))


def test_a_clip_s_group_names_its_frames_of_end_diastole_and_end_systole() -> None:
    """Also where no volume was measured, which would say so."""
    of = source()
    bare = replace(clip(of), measurements=(), not_measured=(), spacing_mm=None)
    report = report_of(analysis(bare, not_measured=()), {of.SOPInstanceUID: of})
    (group,) = read(report).content.get_planar_roi_measurement_groups()
    points = {}
    for item in items(group[0], "CODE"):
        if item.ConceptNameCodeSequence[0].CodeValue == coded.CARDIAC_CYCLE_POINT.value:
            (image,) = item.ContentSequence
            assert image.RelationshipType == "INFERRED FROM"
            points[item.ConceptCodeSequence[0].CodeMeaning] = image.ReferencedSOPSequence[0].ReferencedFrameNumber
    assert points == {"End diastole": ED, "End systole": ES}


def test_clips_of_different_series_are_told_apart_by_name() -> None:
    of = [source(SeriesNumber=n, uid=f"{STUDY}.{n}.1", InstanceNumber=1) for n in (2, 3)]
    study = analysis(*(clip(s) for s in of))
    groups = read(report_of(study, {s.SOPInstanceUID: s for s in of})).content.get_planar_roi_measurement_groups()
    assert [g.tracking_identifier for g in groups[:2]] == [
        f"{View.A4C.code.meaning}, series {n}, instance 1" for n in (2, 3)
    ]


def test_a_group_of_a_view_is_named_after_it(reports: Reports) -> None:
    groups = read(reports[-1]).content.get_planar_roi_measurement_groups()
    views = [View.A4C, View.A2C, View.PSAX_APEX]
    assert [g.tracking_identifier for g in groups[:3]] == [
        f"{view.code.meaning}, instance {number}" for view, number in zip(views, (3, 4, 5), strict=True)
    ]


def test_groups_point_to_their_segment(reports: Reports) -> None:
    study, _ = two_views()
    group = read(reports[-1]).content.get_planar_roi_measurement_groups(finding_type=codes.SCT.LeftVentricle)[0]
    images = [i for i in group[0].ContentSequence if i.ValueType == "IMAGE"]
    assert [i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in images] == [reports[0].SOPInstanceUID]
    assert images[0].ReferencedSOPSequence[0].ReferencedSegmentNumber == 1
    seg = pydicom.dcmread(BytesIO(reports[0].content))
    assert seg.SegmentSequence[0].TrackingUID == group.tracking_uid
    assert seg.SegmentSequence[0].TrackingID == group.tracking_identifier
    assert group.tracking_uid == tracking_uid(study.clips[0].SOPInstanceUID, Structure.LV_CAVITY.name)


def test_all_that_is_referred_to_is_evidence(reports: Reports) -> None:
    _, sources = two_views()
    listed = {uid for _, _, uid, _ in read(reports[-1]).get_evidence(current_procedure_only=True)}
    assert listed == {*sources, *(r.SOPInstanceUID for r in reports[:-1])}


def test_completion_and_verification(reports: Reports) -> None:
    complete = read(reports[-1])
    of = source()
    partial = read(report_of(analysis(clip(of)), {of.SOPInstanceUID: of}))
    assert (complete.CompletionFlag, partial.CompletionFlag) == ("COMPLETE", "PARTIAL")
    assert complete.VerificationFlag == partial.VerificationFlag == "UNVERIFIED"


def test_who_and_what_made_it(reports: Reports) -> None:
    ds = read(reports[-1])
    names = {item.ConceptNameCodeSequence[0].CodeValue: str(item.TextValue) for item in items(ds, "TEXT")}
    assert (names["111001"], names["111003"]) == (ENGINE.name, ENGINE.version)
    assert names["121013"] == "echo-node"
    texts = [str(i.TextValue) for i in items(ds, "TEXT")]
    assert f"digest {ENGINE.digest}" in texts
    assert any("not for diagnosis" in text for text in texts)
    assert ds.ContributingEquipmentSequence[0].ManufacturerModelName == ENGINE.name
    assert ds.ContentQualification == "RESEARCH"
    assert (ds.SeriesNumber, ds.Modality) == (9001, "SR")


def test_mode_of_the_image_is_coded() -> None:
    of = source()
    flow = unmeasured(of)
    assert flow.prediction is not None
    flow = replace(flow, prediction=replace(flow.prediction, mode=ImageMode.COLOUR_FLOW))
    ds = read(report_of(analysis(flow), {of.SOPInstanceUID: of}))
    modes = [i for i in items(ds, "CODE") if i.ConceptNameCodeSequence[0].CodeValue == "399264008"]
    assert [i.ConceptCodeSequence[0].CodeValue for i in modes] == [ImageMode.COLOUR_FLOW.code.value]


def test_a_clip_that_was_refused_keeps_its_mode() -> None:
    """Doppler is refused by its mode: the report says which it was, and not that it was seen with any certainty."""
    of = source()
    refused = replace(unmeasured(of, outcome=Reason.NOT_TWO_D), prediction=None, stated_mode=ImageMode.PW_DOPPLER)
    ds = read(report_of(analysis(refused), {of.SOPInstanceUID: of}))
    modes = [i for i in items(ds, "CODE") if i.ConceptNameCodeSequence[0].CodeValue == "399264008"]
    assert [i.ConceptCodeSequence[0].CodeValue for i in modes] == [ImageMode.PW_DOPPLER.code.value]
    numbers = {i.ConceptNameCodeSequence[0].CodeValue for i in items(ds, "NUM")}
    assert numbers == {"110910", "110911"}  # rows and columns, in the image library


@pytest.mark.parametrize("left_out", ["Rows", "Modality"])
def test_a_clip_whose_header_lacks_what_the_image_library_says_is_reported(left_out: str) -> None:
    of = source()
    seen = unmeasured(of)
    del of[left_out]
    ds = read(report_of(analysis(seen), {of.SOPInstanceUID: of}))
    libraries = [i for i in items(ds, "CONTAINER") if i.ConceptNameCodeSequence[0].CodeValue == "111028"]
    assert len(libraries) == (left_out == "Modality")


def test_times_are_the_carts() -> None:
    study, _ = two_views()
    of = [source(uid=c.SOPInstanceUID, TimezoneOffsetFromUTC="-0330") for c in study.clips]
    ds = read(report_of(study, {s.SOPInstanceUID: s for s in of}))
    assert ds.TimezoneOffsetFromUTC == "-0330"
    assert (ds.ContentDate, ds.ContentTime) == ("20261123", "090015.250000")
    assert (ds.SeriesDate, ds.SeriesTime) == (of[0].StudyDate, of[0].StudyTime)


def test_request_is_taken_over() -> None:
    request = Dataset()
    request.RequestedProcedureID = "RP1"
    study, _ = two_views()
    of = [source(uid=c.SOPInstanceUID, RequestAttributesSequence=[request]) for c in study.clips]
    item = read(report_of(study, {s.SOPInstanceUID: s for s in of})).ReferencedRequestSequence[0]
    assert (item.RequestedProcedureID, item.AccessionNumber) == ("RP1", "A-77")


def test_study_without_a_request_claims_none() -> None:
    study, _ = two_views()
    of = [source(uid=c.SOPInstanceUID, AccessionNumber=None) for c in study.clips]
    assert "ReferencedRequestSequence" not in read(report_of(study, {s.SOPInstanceUID: s for s in of}))


def test_later_revision_names_what_it_replaces(reports: Reports) -> None:
    study, sources = two_views()
    first = reports[-1]
    late = replace(study, revision=2, made_at=MADE_AT + timedelta(hours=1))
    later = build_reports(late, sources, earlier=[first])
    second = read(later[-1])
    series = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert series.SeriesInstanceUID == second.SeriesInstanceUID
    assert second.SOPInstanceUID != first.SOPInstanceUID
    # the masks have not changed: nothing but the report is new to the archive
    assert [r.SOPInstanceUID for r in later[:-1]] == [r.SOPInstanceUID for r in reports[:-1]]


def test_same_input_same_bytes(reports: Reports) -> None:
    assert build_reports(*two_views()) == reports


def test_other_clips_other_report(reports: Reports) -> None:
    study, sources = two_views()
    fewer = replace(study, clips=study.clips[:2])
    assert report_of(fewer, sources).SOPInstanceUID != reports[-1].SOPInstanceUID


@pytest.mark.parametrize(
    "name", ["Müller^Jörg", "Wałęsa^Łucja", "Yamada^Tarou=山田^太郎=やまだ^たろう", "no caret"]
)
def test_names_round_trip_and_are_not_quoted(name: str) -> None:
    of = source(PatientName=name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = report_of(analysis(clip(of)), {of.SOPInstanceUID: of})
    ds = pydicom.dcmread(BytesIO(report.content))
    assert ds.PatientName == name
    assert ds.SpecificCharacterSet == "ISO_IR 192"


def test_single_frame_source_has_no_frame_number() -> None:
    of = source(NumberOfFrames=None, SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1")
    report = report_of(analysis(unmeasured(of, outcome=Reason.SINGLE_FRAME)), {of.SOPInstanceUID: of})
    regions = list(items(read(report), "SCOORD"))
    assert "ReferencedFrameNumber" not in regions[0].ContentSequence[0].ReferencedSOPSequence[0]


@pytest.mark.parametrize("retired", ["1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.3"])
def test_sources_of_retired_classes_are_referred_to_as_such(retired: str) -> None:
    of = source(SOPClassUID=retired)
    report = report_of(analysis(unmeasured(of)), {of.SOPInstanceUID: of})
    regions = list(items(read(report), "SCOORD"))
    assert {r.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPClassUID for r in regions} == {retired}


def test_object_of_another_kind_is_no_reading(reports: Reports) -> None:
    assert read_report(reports[0].content) is None


@pytest.mark.parametrize("kind", [ObjectKind.SR, ObjectKind.SR_TID5200, ObjectKind.SR_TID5300])
def test_a_number_has_no_more_digits_than_a_reader_can_use(kind: ObjectKind) -> None:
    """Viewers show every digit of a number: fifteen look like precision."""
    of = source()
    made = with_estimate(clip(of))
    third = tuple(replace(m, value=200 / 3, uncertainty=1 / 3) for m in made.measurements)
    study = analysis(replace(made, measurements=third))
    (report,) = build_reports(study, {of.SOPInstanceUID: of}, kinds=(kind,))
    numbers = [i for i in every_item(pydicom.dcmread(BytesIO(report.content))) if "NumericValue" in i]
    said = {str(i.NumericValue) for i in numbers}
    assert {"66.667", "0.333"} <= said
    assert not {value for value in said if len(value.partition(".")[2]) > 3}
    assert all(i.get("FloatingPointValue", float(i.NumericValue)) == float(i.NumericValue) for i in numbers)
