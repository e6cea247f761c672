"""A study's page, read back as text."""

import logging
from dataclasses import replace
from io import BytesIO

import pydicom
import pytest
from pydicom import Dataset
from pypdf import PdfReader

from echo_node.codes import Method, ObjectKind, Quantity, Reason, View
from echo_node.dicom.clips import open_clip
from echo_node.records import Analysis, NotMeasured, Report
from echo_node.reports import build_reports
from echo_node.reports.pdf import build_pdf
from tests.unit.reports.builders import (
    ED,
    ENGINE,
    ES,
    STUDY,
    FakeCine,
    analysis,
    cine,
    clip,
    jpeg_clip,
    long_axis,
    number,
    source,
    unmeasured,
    with_estimate,
    with_mass,
)

SIZE = {"Rows": 240, "Columns": 320}
POLISH = "Łąkowska-Żółć^Świętosława"
JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"


def study_of(*sources: Dataset) -> Analysis:
    """Two apical clips, a long axis and one that was passed over; EFs that disagree."""
    apart = NotMeasured(
        quantity=Quantity.LVEF_COMBINED, reason=Reason.DISAGREEMENT, detail="31 points apart", view=View.A4C
    )
    doubtful = NotMeasured(
        quantity=Quantity.LVEF, reason=Reason.LOW_QUALITY, detail="", view=View.A2C, method=Method.LEARNED
    )
    plax = long_axis(sources[2])
    clips = (
        with_estimate(clip(sources[0], not_measured=(apart,)), ef=30.0),
        clip(sources[1], view=View.A2C, not_measured=(doubtful,)),
        plax,
        unmeasured(sources[3], view=View.PSAX_PM),
    )
    return with_mass(analysis(*clips, biplane=True), plax)


def sources_of(**changes) -> dict[str, Dataset]:
    made = [source(uid=f"{STUDY}.2.{n}", InstanceNumber=n, **SIZE, **changes) for n in (1, 2, 3, 4)]
    return {of.SOPInstanceUID: of for of in made}


def page(study: Analysis, sources: dict[str, Dataset], **changes) -> Report:
    return build_pdf(study, sources, frames=lambda uid: cine(sources[uid]), **changes)


def text_of(report: Report) -> str:
    """All words of the one page."""
    ds = pydicom.dcmread(BytesIO(report.content))
    reader = PdfReader(BytesIO(ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength]))
    assert len(reader.pages) == 1
    return (
        reader.pages[0].extract_text().replace("\0", "")
    )  # pypdf gives the upper byte of the second font's codes too


def test_every_number_stands_on_the_page_with_unit_method_and_uncertainty():
    sources = sources_of()
    study = study_of(*sources.values())
    lines = text_of(page(study, sources)).replace("\n", " ")
    for m in study.measurements:
        digits = 2 if m.quantity is Quantity.LV_RWT else 1
        unit = "" if m.quantity is Quantity.LV_RWT else f" {m.unit.code.value}"
        assert m.quantity.code.meaning in lines
        assert m.method.code.meaning in lines
        assert f"{m.value:.{digits}f}{unit}" in lines
        assert f"{m.uncertainty:.{digits}f}" in lines


def test_what_was_not_measured_stands_there_with_its_reason():
    sources = sources_of()
    text = text_of(page(study_of(*sources.values()), sources)).replace("\n", " ")
    for words in (
        "Left ventricular geometry: Eccentric hypertrophy",
        "Results of two views or methods disagree (31 points apart)",
        "Image quality is too low",
        "No measurement is made on this view: 4 (PSAX_PM 0.97)",
        "not for diagnosis",
        ENGINE.digest,
        f"{ENGINE.name} {ENGINE.version}",
    ):
        assert words in text


@pytest.mark.parametrize("name", [POLISH, JAPANESE, "Иванова^Анна", "김^영희", "Müller-Lüdenscheidt^Jürgen"])
def test_the_patient_stands_there_as_the_archive_has_it(name):
    sources = sources_of(PatientName=name, IssuerOfPatientID="HOSPITAL")
    text = text_of(page(study_of(*sources.values()), sources))
    for words in (name, "P-0001 (HOSPITAL)", "19500102", "A-77"):
        assert words in text
    assert "cannot show" not in text


def test_a_character_that_no_font_has_is_said_to_be_missing_and_not_logged(caplog):
    caplog.set_level(logging.DEBUG)
    sources = sources_of(PatientName="שלום^Paula")
    text = text_of(page(study_of(*sources.values()), sources))
    assert "\ufffd\ufffd\ufffd\ufffd^Paula" in text
    assert "cannot show" in text
    assert not any(letter in caplog.text for letter in "שלום")
    assert "Paula" not in caplog.text
    assert "u05e9" not in caplog.text.lower()


def test_the_same_study_gives_the_same_bytes():
    sources = sources_of(PatientName=JAPANESE)
    study = study_of(*sources.values())
    assert page(study, sources) == page(study, dict(reversed(sources.items())))


def test_a_later_page_is_another_and_names_the_one_it_replaces():
    sources = sources_of()
    study = study_of(*sources.values())
    kinds = (ObjectKind.PDF,)
    (first,) = build_reports(study, sources, kinds=kinds, frames=lambda uid: cine(sources[uid]))
    (second,) = build_reports(
        replace(study, revision=2), sources, kinds=kinds, frames=lambda uid: cine(sources[uid]), earlier=[first]
    )
    ds = pydicom.dcmread(BytesIO(second.content))
    (item,) = ds.PredecessorDocumentsSequence
    reference = item.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == first.SOPInstanceUID != second.SOPInstanceUID
    assert item.ReferencedSeriesSequence[0].SeriesInstanceUID == ds.SeriesInstanceUID
    assert ds.SeriesNumber == 9006
    assert "replaces the page of revision 1" in text_of(second)


def test_what_does_not_fit_is_counted():
    sources = sources_of()
    (first, *_) = sources.values()
    at = clip(first).measurements[0].sources
    many = tuple(number(Quantity.LVEF, 40.0 + n, view=View.A4C, sources=at) for n in range(30))
    reasons = tuple(
        NotMeasured(quantity=Quantity.LV_EDV, reason=Reason.NO_CALIBRATION, detail=f"reason {n}", view=View.A4C)
        for n in range(60)
    )
    study = replace(analysis(clip(first)), measurements=many, not_measured=reasons)
    text = text_of(page(study, sources))
    assert "6 more numbers are not shown here." in text
    left = int(text.split(" more remarks")[0].split()[-1])
    assert 0 < left < 60
    assert f"reason {60 - left - 1}" in text


def test_a_study_without_numbers_has_a_page_without_pictures():
    of = source(**SIZE)
    report = page(analysis(unmeasured(of)), {of.SOPInstanceUID: of})
    assert "No number was measured." in text_of(report)


def test_a_page_shows_six_pictures_of_three_clips():
    sources = sources_of()

    def frames(uid: str) -> FakeCine:  # a picture that is shown twice would stand in the file once
        made = cine(sources[uid])
        return replace(made, frames=made.frames // int(uid[-1]))

    report = build_pdf(study_of(*sources.values()), sources, frames=frames)
    ds = pydicom.dcmread(BytesIO(report.content))
    shown = PdfReader(BytesIO(ds.EncapsulatedDocument)).pages[0]
    assert len(shown.images) == 6
    text = shown.extract_text()
    for caption in ("Clip 1: A4C", "Clip 2: A2C", "Clip 3: PLAX", "ED frame 2", "ES frame 7", "LV volume ml"):
        assert caption in text


def test_clips_that_are_instance_1_each_go_by_their_series_too():
    sources = {uid: of.copy() for uid, of in sources_of().items()}
    for series, of in enumerate(sources.values(), 4):
        of.SeriesNumber, of.InstanceNumber = series, 1
    text = text_of(build_pdf(study_of(*sources.values()), sources, frames=lambda uid: cine(sources[uid])))
    for caption in ("Clip 4/1: A4C", "Clip 5/1: A2C", "Clip 6/1: PLAX"):
        assert caption in text


# The sector is found from frames 1, 2, 4, 6, 8 and 10: without one of them nothing can be drawn
@pytest.mark.parametrize(("cut", "lost"), [(ES, ["ES frame 7"]), (ED, ["ED frame 2", "ES frame 7"])])
def test_a_frame_that_cannot_be_decoded_leaves_its_picture_out_and_says_so(tmp_path, caplog, cut, lost):
    of = source(**SIZE)
    path = jpeg_clip(tmp_path / "clip.dcm", of, cut=cut)
    kinds = (ObjectKind.PDF, ObjectKind.OVERLAY, ObjectKind.SR)
    sources = {of.SOPInstanceUID: of}
    made = build_reports(analysis(clip(of)), sources, kinds=kinds, frames=lambda _: open_clip(path))
    assert [report.kind for report in made] == [ObjectKind.SR, ObjectKind.PDF]
    text = text_of(made[1])
    assert text.count("cannot be decoded") == len(lost)
    for picture in lost:
        assert f"{picture}: cannot be decoded" in text
    ds = pydicom.dcmread(BytesIO(made[1].content))
    assert len(PdfReader(BytesIO(ds.EncapsulatedDocument)).pages[0].images) == 2 - len(lost)
    assert "LV volume ml" in text
    assert f"clip {of.SOPInstanceUID}: frame {cut} is not shown: UNREADABLE" in caplog.text


def test_a_clip_that_can_no_longer_be_opened_leaves_its_pictures_out(tmp_path):
    of = source(**SIZE)
    path = jpeg_clip(tmp_path / "clip.dcm", of, cut=ES)
    path.write_bytes(path.read_bytes()[:-5000])
    report = build_pdf(analysis(clip(of)), {of.SOPInstanceUID: of}, frames=lambda _: open_clip(path))
    assert text_of(report).count("cannot be decoded") == 2
