"""What of a viewer's report is taken as a person's correction, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.sr.codedict import codes
from pydicom.tag import BaseTag, Tag

from echo_node.codes import Quantity, Reason, Structure
from echo_node.edits import Correction, Shape
from echo_node.errors import CorrectionError
from echo_node.reports import build_reports, corrected_images, open_document, read_corrections
from tests.unit.reports.builders import COLUMNS, FRAMES, ROWS, analysis, clip, header, source
from tests.unit.reports.drawn import LV, OBSERVER, content, drawn, free_text, group, number, region

OF = source()
SOURCES = {str(OF.SOPInstanceUID): OF}
OUTLINE = [(10, 10), (30, 8), (40, 30), (22, 50), (8, 33), (10, 10)]
RECTANGLE = [(10, 8), (40, 8), (40, 50), (10, 50), (10, 8)]


def written(ds: Dataset) -> Dataset:
    """As it is read from a file."""
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return pydicom.dcmread(BytesIO(buffer.getvalue()))


def read(*groups: Dataset, **changes) -> tuple[Correction, ...]:
    return read_corrections(written(drawn(*groups, of=OF, **changes)), SOURCES)


def one(graphic_type: str, points, **labels) -> Correction:
    (found,) = read(group(number(region(graphic_type, points, OF, 4)), **labels))
    return found


def refusal(*groups: Dataset, **changes) -> Reason:
    with pytest.raises(CorrectionError) as caught:
        read(*groups, **changes)
    assert OBSERVER not in str(caught.value)
    return caught.value.reason


def contour_on(frame=4, points=OUTLINE, of=OF) -> Dataset:
    return group(number(region("POLYLINE", points, of, frame)), label="LV")


def test_a_contour_of_a_coded_structure_is_read_whole():
    ds = written(drawn(group(number(region("POLYLINE", OUTLINE, OF, 4)), site=LV), of=OF))
    (found,) = read_corrections(ds, SOURCES)
    assert (found.SOPInstanceUID, found.frame_number) == (OF.SOPInstanceUID, 4)
    assert (found.subject, found.shape) == (Structure.LV_CAVITY, Shape.CONTOUR)
    assert found.points == tuple((y - 0.5, x - 0.5) for x, y in OUTLINE[:-1])
    assert found.edit.observer == OBSERVER
    assert found.edit.made_at == datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
    assert found.edit.SOPInstanceUID == ds.SOPInstanceUID
    assert found.edit.SeriesInstanceUID == ds.SeriesInstanceUID
    assert corrected_images(ds) == {OF.SOPInstanceUID}


def test_a_line_keeps_its_two_ends():
    found = one("POLYLINE", [(20, 10.5), (22, 14)], label="IVSd")
    assert (found.subject, found.shape) == (Quantity.IVSD, Shape.LINE)
    assert found.points == ((10.0, 19.5), (13.5, 21.5))


@pytest.mark.parametrize(
    ("graphic_type", "points", "box"),
    [
        ("POLYLINE", RECTANGLE, ((7.5, 9.5), (49.5, 39.5))),
        ("CIRCLE", [(30, 20), (34, 23)], ((14.5, 24.5), (24.5, 34.5))),
        ("ELLIPSE", [(30, 10), (30, 40), (20, 25), (40, 25)], ((9.5, 19.5), (39.5, 39.5))),
    ],
)
def test_rectangles_circles_and_ellipses_say_where(graphic_type, points, box):
    found = one(graphic_type, points, label="LA")
    assert (found.subject, found.shape) == (Structure.LA, Shape.BOX)
    np.testing.assert_allclose(found.points, box, atol=1e-5)


def test_an_ellipse_askew_has_the_box_around_it():
    angle = np.linspace(0, 2 * np.pi, 1000)
    long, short = np.array([12.0, 9.0]), np.array([-3.0, 4.0])
    middle = np.array([40.0, 30.0])
    around = middle + np.outer(np.cos(angle), long) + np.outer(np.sin(angle), short)
    ends = [middle - long, middle + long, middle - short, middle + short]
    (top, left), (bottom, right) = one("ELLIPSE", ends, label="LA").points
    np.testing.assert_allclose([left, top], around.min(axis=0) - 0.5, atol=1e-3)
    np.testing.assert_allclose([right, bottom], around.max(axis=0) - 0.5, atol=1e-3)


@pytest.mark.parametrize(
    ("label", "shape"),
    [("LV", Shape.FOREGROUND), ("LV background", Shape.BACKGROUND), ("not LV", Shape.BACKGROUND)],
)
def test_points_say_where_a_structure_is_or_is_not(label, shape):
    found = one("MULTIPOINT", [(10, 10), (12, 30)], label=label)
    assert (found.subject, found.shape, len(found.points)) == (Structure.LV_CAVITY, shape, 2)


@pytest.mark.parametrize(
    ("points", "label"), [(OUTLINE, "not LV"), (RECTANGLE, "LV background"), ([(10, 10), (30, 30)], "not LVIDd")]
)
def test_what_is_drawn_around_or_along_cannot_say_what_it_is_not(points, label):
    assert refusal(group(number(region("POLYLINE", points, OF, 4)), label=label)) is Reason.NO_CORRECTION


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("GraphicData", "FL", b"\0" * 10),
        ("GraphicData", "LO", b"abc "),
        ("ReferencedFrameNumber", "SL", b"\2\0"),
        ("ReferencedFrameNumber", "IS", b"1e400 "),
        ("GraphicType", "XX", b"abcd"),
    ],
)
def test_elements_that_are_not_what_they_say_refuse_the_report(keyword, vr, value):
    ds = written(drawn(contour_on(), of=OF))
    _spoil(ds, Tag(tag_for_keyword(keyword)), vr, value)
    with pytest.raises(CorrectionError) as caught:
        read_corrections(ds, SOURCES)
    assert caught.value.reason is Reason.NO_CORRECTION


def _spoil(ds: Dataset, tag: BaseTag, vr: str, value: bytes) -> None:
    """Put other bytes below a tag, wherever it stands, as if they were read from a file."""
    for element in ds:
        for item in element.value if element.VR == "SQ" else ():
            _spoil(item, tag, vr, value)
    if tag in ds:
        ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


def test_a_disk_that_does_not_answer_is_no_fault_of_the_report(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_document(tmp_path / "gone.dcm")


def test_an_arrow_points_with_its_first_point():
    assert one("POINT", [(10, 12), (60, 60)], label="LV cavity").points == ((11.5, 9.5),)


@pytest.mark.parametrize(
    ("labels", "subject"),
    [
        ({"finding": ("T-32600", "SRT", "Left Ventricle")}, Structure.LV_CAVITY),
        ({"site": ("82471001", "SCT", "Left atrium")}, Structure.LA),
        ({"finding": free_text("Right ventricle")}, Structure.RV),
        ({"site": free_text("LV_myocardium")}, Structure.LV_MYOCARDIUM),
        ({"tool": "LV cavity"}, Structure.LV_CAVITY),
        ({"label": "  left  VENTRICLE "}, Structure.LV_CAVITY),
        ({"label": "Left ventricle (EF 61 %)"}, Structure.LV_CAVITY),
        ({"site": LV, "label": "LA"}, Structure.LV_CAVITY),
    ],
)
def test_a_structure_is_named_by_code_first_and_else_by_label(labels, subject):
    assert one("POLYLINE", OUTLINE, **labels).subject is subject


@pytest.mark.parametrize(
    ("label", "reason"),
    [("papillary  muscle\nleft out", "papillary muscle left out"), ("LV cavity", ""), (None, "")],
)
def test_a_comment_that_is_no_label_is_why_the_person_drew(label, reason):
    assert one("POLYLINE", OUTLINE, site=LV, label=label).edit.reason == reason


@pytest.mark.parametrize(
    ("name", "quantity"),
    [
        (("18154-5", "LN", "Septum"), Quantity.IVSD),
        (("29436-3", "LN", "Diameter"), Quantity.LVIDD),
        (("80031-8", "LN", "Posterior wall"), Quantity.LVPWD),
        (("80032-6", "LN", "Posterior wall"), Quantity.LVPWD),
        (("29438-9", "LN", "Diameter"), Quantity.LVIDS),
    ],
)
def test_a_length_is_named_by_its_number_s_code(name, quantity):
    line = region("POLYLINE", [(20, 10), (22, 14)], OF, 4)
    (found,) = read(group(number(line, name)))
    assert found.subject is quantity


def test_one_group_may_outline_several_frames():
    regions = [number(region("POLYLINE", OUTLINE, OF, frame)) for frame in (4, 8, 8)]
    assert [c.frame_number for c in read(group(*regions, site=LV))] == [4, 8]


def test_a_report_of_another_library_is_read_too():
    """TID 1410 as highdicom writes it: the region stands beside the numbers."""
    image = highdicom.sr.SourceImageForRegion(OF.SOPClassUID, OF.SOPInstanceUID, [4])
    of_group = highdicom.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=highdicom.sr.TrackingIdentifier(identifier="1"),
        referenced_region=highdicom.sr.ImageRegion(
            highdicom.sr.GraphicTypeValues.POLYLINE, np.array(OUTLINE, float), image
        ),
        finding_type=highdicom.sr.CodedConcept(*LV[:2], LV[2]),
    )
    person = highdicom.sr.PersonObserverIdentifyingAttributes(name="Other^Ola")
    report = highdicom.sr.MeasurementReport(
        observation_context=highdicom.sr.ObservationContext(
            observer_person_context=highdicom.sr.ObserverContext(
                observer_type=codes.DCM.Person, observer_identifying_attributes=person
            )
        ),
        procedure_reported=highdicom.sr.CodedConcept("40701008", "SCT", "Echocardiography"),
        imaging_measurements=[of_group],
    )
    ds = highdicom.sr.Comprehensive3DSR(
        evidence=[header()],
        content=report[0],
        series_instance_uid="1.2.3.1",
        series_number=1,
        sop_instance_uid="1.2.3.2",
        instance_number=1,
        manufacturer="Viewer",
    )
    (found,) = read_corrections(written(ds), SOURCES)
    assert (found.subject, found.shape, found.edit.observer) == (Structure.LV_CAVITY, Shape.CONTOUR, "Other^Ola")
    assert found.points[0] == (9.5, 9.5)


def test_what_says_nothing_of_the_heart_is_passed_over():
    unlabelled = group(number(region("POLYLINE", OUTLINE, OF, 4)))
    elsewhere = group(number(region("POLYLINE", OUTLINE, source("1.9"), 4)), label="lesion")
    assert len(read(unlabelled, elsewhere, contour_on())) == 1


def test_where_a_viewer_s_label_stands_is_no_point_of_the_structure():
    label_at = region("POINT", [(70, 5)], OF, 4)
    label_at.ConceptNameCodeSequence = content("TEXT", "CONTAINS", free_text("Position")).ConceptNameCodeSequence
    (found,) = read(group(number(region("POLYLINE", OUTLINE, OF, 4)), label_at, site=LV))
    assert found.shape is Shape.CONTOUR


@pytest.mark.parametrize(
    "nothing",
    [
        group(number(region("POLYLINE", OUTLINE, OF, 4)), label="lesion"),
        group(number(region("POLYLINE", OUTLINE, OF, 4)), label="IVSd"),
        group(number(region("POLYLINE", [(1, 1), (9, 9)], OF, 4)), label="LV"),
        group(number(region("POLYLINE", [(1, 1), (9, 9), (20, 9)], OF, 4)), label="IVSd"),
        group(
            number(region("POLYLINE", [(1, 1), (9, 9)], OF, 4)),
            number(region("POLYLINE", [(1, 9), (9, 1)], OF, 4)),
            label="LVIDd",
        ),
        group(number(region("RECTANGLE", RECTANGLE, OF, 4)), label="LV"),
        group(label="LV"),
    ],
)
def test_what_no_structure_or_length_can_be_read_from_is_no_correction(nothing):
    assert refusal(nothing) is Reason.NO_CORRECTION


def test_another_template_is_no_correction():
    """A cart's own report of the exam, say."""
    root = content("CONTAINER", "", ("125200", "DCM", "Adult Echocardiography Procedure Report"))
    assert refusal(contour_on(), ConceptNameCodeSequence=root.ConceptNameCodeSequence) is Reason.NO_CORRECTION


def test_what_an_algorithm_drew_is_no_correction():
    by = content("TEXT", "HAS CONCEPT MOD", ("111001", "DCM", "Algorithm Name"), TextValue="net")
    assert refusal(group(by, number(region("POLYLINE", OUTLINE, OF, 4)), site=LV)) is Reason.NO_CORRECTION


def test_without_a_person_nothing_is_taken():
    assert refusal(contour_on(), observer=None) is Reason.NO_PERSON
    assert refusal(contour_on(), observer="^") is Reason.NO_PERSON
    assert refusal(contour_on(), observer="unknown^unknown") is Reason.NO_PERSON  # OHIF without a login


def test_an_author_is_a_person_too():
    author = Dataset()
    author.PersonName = "Author^Ada"
    (found,) = read(contour_on(), observer=None, AuthorObserverSequence=[author])
    assert found.edit.observer == "Author^Ada"


@pytest.mark.parametrize(
    ("groups", "changes", "reason"),
    [
        ([contour_on(of=source("1.9"))], {}, Reason.UNKNOWN_CLIP),
        ([contour_on()], {"StudyInstanceUID": "1.8"}, Reason.OTHER_STUDY),
        ([contour_on()], {"PatientID": "P-2"}, Reason.OTHER_PATIENT),
        ([contour_on(frame=FRAMES + 1)], {}, Reason.OUTSIDE_IMAGE),
        ([contour_on(frame=None)], {}, Reason.OUTSIDE_IMAGE),
        ([contour_on(frame=[3, 4])], {}, Reason.OUTSIDE_IMAGE),
        ([contour_on(points=[(10, 10), (COLUMNS + 1, 8), (40, 30), (10, 10)])], {}, Reason.OUTSIDE_IMAGE),
        ([contour_on(), contour_on(points=[(10, -1), (30, 8), (40, 30), (10, -1)])], {}, Reason.OUTSIDE_IMAGE),
        ([contour_on(points=[(10, 10), (30, 8), (40, ROWS + 1), (10, 10)])], {}, Reason.OUTSIDE_IMAGE),
    ],
)
def test_what_cannot_be_placed_refuses_the_whole_report(groups, changes, reason):
    assert refusal(*groups, **changes) is reason


@pytest.mark.parametrize(
    ("drawn_of", "clip_of", "is_taken"),
    [
        ("19500102", "19500102", True),
        ("1950.01.02", "19500102", True),  # ACR-NEMA's form
        ("19500103", "19500102", False),
        ("", "19500102", True),
        ("19500102", "", True),
        ("00000000", "19500102", True),  # carts' fillers are no dates
        ("19500102", "00000000", True),
        ("unknown", "19500102", True),
    ],
)
def test_another_birth_date_is_another_patient_where_both_have_one(drawn_of, clip_of, is_taken):
    with disable_value_validation():
        of = source(PatientBirthDate=clip_of)
        ds = written(drawn(contour_on(of=of), of=of, PatientBirthDate=drawn_of))
    if is_taken:
        assert len(read_corrections(ds, {of.SOPInstanceUID: of})) == 1
        return
    with pytest.raises(CorrectionError, match="of another patient") as caught:
        read_corrections(ds, {of.SOPInstanceUID: of})
    assert caught.value.reason is Reason.OTHER_PATIENT
    assert drawn_of not in str(caught.value)


def test_the_edges_of_the_image_belong_to_it():
    assert len(read(contour_on(points=[(0, 0), (COLUMNS, 0), (COLUMNS, ROWS), (0, 0)]))) == 1


def test_a_still_needs_no_frame_number():
    still = source(NumberOfFrames=None)
    ds = written(drawn(contour_on(frame=None, of=still), of=still))
    (found,) = read_corrections(ds, {str(still.SOPInstanceUID): still})
    assert found.frame_number == 1


def test_the_node_s_own_report_is_no_correction():
    """A PACS that sends on whatever it receives must not start a loop."""
    sent = build_reports(analysis(clip(OF)), SOURCES)[-1]
    with pytest.raises(CorrectionError) as caught:
        read_corrections(pydicom.dcmread(BytesIO(sent.content)), SOURCES)
    assert caught.value.reason is Reason.OWN_REPORT


def test_what_is_built_as_no_document_is_refused(tmp_path):
    broken = region("POLYLINE", OUTLINE, OF, 4)
    del broken.ContentSequence[0].ReferencedSOPSequence
    assert refusal(group(number(broken), label="LV")) is Reason.NO_CORRECTION
    (tmp_path / "x").write_bytes(b"no DICOM")
    with pytest.raises(CorrectionError) as caught:
        open_document(tmp_path / "x")
    assert caught.value.reason is Reason.NO_CORRECTION
