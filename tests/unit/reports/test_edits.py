"""What a person corrected, in the objects that the node sends."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import pydicom

from echo_node.codes import Quantity, Structure
from echo_node.records import DrawnLine
from echo_node.reports import build_reports, build_seg
from echo_node.reports.envelope import EDITED, RESEARCH_USE
from tests.unit.reports.builders import (
    ED,
    MADE_AT,
    STUDY,
    analysis,
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
