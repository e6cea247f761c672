"""Validators that others wrote find no error in what the node sends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from echo_node.codes import Code, Method, ObjectKind, Quantity, Reason, Structure, View
from echo_node.decisions import Decision, DecisionKind, Person
from echo_node.records import Analysis, NotMeasured, Report
from echo_node.reports import (
    DOCUMENTS,
    accept_document,
    build_rejection,
    build_reports,
    read_made,
    read_source,
)
from echo_node.reports.document import PROFILES
from tests.unit.reports.builders import (
    STUDY,
    analysis,
    cine,
    clip,
    edit,
    edited,
    long_axis,
    source,
    unmeasured,
    with_estimate,
    with_mass,
)

SIMPLIFIED, COMPREHENSIVE = (b"1.2.840.10008.5.1.4.1.1.88.72", b"1.2.840.10008.5.1.4.1.1.88.33")
FOUND = {  # by PixelMed; the other forms of either have the same tree
    ObjectKind.SR: "Found Root Template TID_1500 (MeasurementReport)",
    ObjectKind.SR_TID5200: "Found ComprehensiveSR IOD",
}

Case = tuple[Analysis, Mapping[str, Dataset]]

DCIODVFY = Path(sys.executable).with_name("dciodvfy")  # from the package dicom3tools
IODS = ("Segmentation", "ComprehensiveSR", "Comprehensive3DSR", "USMultiFrameImage", "EncapsulatedPDF")
# The local codes' scheme is announced in the Coding Scheme Identification Sequence; dciodvfy warns of any
# scheme that the standard does not list. The names and the empty times are the sources' own. Device UID is a
# type 3 attribute of that sequence in PS3.3 table C.12-1; dciodvfy's table lacks it.
DCIODVFY_EXPECTED = (
    "CodingSchemeDesignator is deprecated = <SRT>",  # it was asked for
    "Unrecognized defined term = <99ECHONODE>",
    "ContributingEquipmentSequence(0018,a001)[1]/DeviceUID(0018,1002)> - Attribute is not present",
    "Retired Person Name form",
    "Missing attribute or value that would be needed to build DICOMDIR",  # type 2: the cart may leave it out
    "is only permitted to be empty when actually unknown; should be absent",  # Laterality: the heart is unpaired
)
DSRDUMP_EXPECTED = (
    "ISO_IR 192",  # "The VR checker does not support" it: DCMTK 3.6.7 leaves UTF-8 unchecked
    "Check for template constraints not yet supported",  # of a Simplified Adult Echo; the relations are checked
)
TITLES = ("Imaging Measurement Report", "Adult Echocardiography Procedure Report")
# PixelMed tries every NUM below a measurement against the template's rows for derivation parameters too,
# whatever its name; it takes one person per observation, where TID 1001 takes any number; and its group of
# procedures, which the standard lets one extend, has none in ultrasound.
# PixelMed 20220618 knows no template 5200 or 5300 and no Simplified Adult Echo: of the former it checks the
# class alone, and warns of every item.
PIXELMED_EXPECTED = (
    "range of upper measurement uncertainty",
    "range of lower measurement uncertainty",
    "not found in context group 100",
    "Template 1003 PersonObserverIdentifyingAttributes",
)


def case_of(*sources: Dataset, study: Analysis) -> Case:
    return study, {s.SOPInstanceUID: s for s in sources}


def two_views() -> Case:
    of = [source(), source(uid=f"{STUDY}.2.2"), source(uid=f"{STUDY}.2.3"), source(uid=f"{STUDY}.2.4")]
    study = analysis(
        clip(of[0], structures=tuple(Structure)),
        clip(of[1], view=View.A2C),
        unmeasured(of[2], view=View.PSAX_APEX),
        unmeasured(of[3], prediction=None, outcome=Reason.NOT_TWO_D),
        biplane=True,
    )
    return case_of(*of, study=study)


def corrected() -> Case:
    """Two persons have drawn on it."""
    of = source()
    edits = (
        replace(edit(), reason="papillary muscle left out"),
        edit("2.25.902", observer="Öztürk^Ümit", made_at=None),
    )
    return case_of(of, study=analysis(edited(of, *edits)))


def uncalibrated() -> Case:
    of = source(LossyImageCompression="01", LossyImageCompressionRatio=11.0, TimezoneOffsetFromUTC="+0100")
    reason = NotMeasured(quantity=Quantity.LV_EDV, reason=Reason.NO_CALIBRATION, detail="no spacing", view=View.A4C)
    return case_of(of, study=analysis(clip(of, spacing_mm=None, not_measured=(reason,)), revision=3))


def nothing_measured() -> Case:
    of = source()
    return case_of(of, study=analysis(unmeasured(of)))


def bare_cart() -> Case:
    """All that the standard lets be empty is missing, and a name that needs UTF-8."""
    absent: dict[str, Any] = dict.fromkeys(
        ("PatientBirthDate", "StudyTime", "StudyID", "AccessionNumber", "InstanceNumber")
    )
    of = source(PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう", PatientSex="UNKNOWN", **absent)
    return case_of(of, study=analysis(clip(of)))


def still() -> Case:
    of = source(NumberOfFrames=None, SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1")
    return case_of(of, study=analysis(unmeasured(of, outcome=Reason.SINGLE_FRAME)))


def walls_and_estimate() -> Case:
    """Every kind of number and reason: walls, mass, geometry, a learned EF, and a disagreement."""
    of = [source(uid=f"{STUDY}.2.{n}", PatientSize="1.75", PatientWeight="71.5") for n in (1, 2, 3)]
    plax = long_axis(of[2])
    apart = NotMeasured(
        quantity=Quantity.LVEF_COMBINED, reason=Reason.DISAGREEMENT, detail="31 points apart", view=View.A4C
    )
    doubtful = NotMeasured(
        quantity=Quantity.LVEF, reason=Reason.LOW_QUALITY, detail="", view=View.A2C, method=Method.LEARNED
    )
    four = with_estimate(clip(of[0], not_measured=(apart,)), ef=30.0)
    two = clip(of[1], view=View.A2C, not_measured=(doubtful,))
    return case_of(*of, study=with_mass(analysis(four, two, plax, biplane=True), plax))


def real_file(data: Path) -> Case:
    of = read_source(data / "acuson-a4c-65f-jpeg.dcm")
    return case_of(of, study=analysis(clip(of)))


def late_clip() -> Case:
    """The second revision of a study, by a name that needs UTF-8."""
    of = [source(uid=f"{STUDY}.2.{n}", PatientName="Wałęsa^Łucja") for n in (1, 2)]
    return case_of(*of, study=analysis(clip(of[0]), clip(of[1], view=View.A2C), biplane=True, revision=2))


CASES = [late_clip, two_views, walls_and_estimate, corrected, uncalibrated, nothing_measured, bare_cart, still]


@pytest.fixture(scope="module", params=[*CASES, real_file], ids=lambda make: make.__name__)
def reports(request: pytest.FixtureRequest, data: Path) -> tuple[Report, ...]:
    make = request.param
    study, sources = make(data) if make is real_file else make()
    kinds = tuple(ObjectKind)
    first = replace(study, clips=study.clips[:1], measurements=(), findings=(), revision=1)
    earlier = build_reports(first, sources, kinds=kinds) if study.revision > 1 else ()
    return build_reports(study, sources, kinds=kinds, earlier=earlier, frames=lambda uid: cine(sources[uid]))


def run(tmp_path: Path, report: Report, *command: str | Path) -> list[str]:
    """What a validator prints of a report, line by line."""
    path = tmp_path / "object.dcm"
    path.write_bytes(report.content)
    done = subprocess.run([*command, path], capture_output=True, text=True, timeout=900, check=False)
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


def test_dciodvfy_finds_no_error(reports: tuple[Report, ...], tmp_path: Path) -> None:
    for report in reports:
        # it knows no Simplified Adult Echo, whose modules and items are those of the Comprehensive
        known = replace(report, content=report.content.replace(SIMPLIFIED, COMPREHENSIVE))
        said = run(tmp_path, known, DCIODVFY, "-new")
        assert any(line in IODS for line in said)
        assert [line for line in said if line.startswith("Error")] == []
        warnings = [line for line in said if line.startswith("Warning")]
        assert [w for w in warnings if not any(expected in w for expected in DCIODVFY_EXPECTED)] == []


@pytest.mark.peer("dsrdump")
def test_dsrdump_reads_the_report_without_an_error(reports: tuple[Report, ...], tmp_path: Path) -> None:
    documents = [r for r in reports if r.kind in PROFILES]
    assert len(documents) == len(PROFILES)
    for report in documents:
        said = run(tmp_path, report, "/usr/bin/dsrdump", "-Ee", "+Pl")
        assert any(title in line for line in said for title in TITLES)
        faults = [line for line in said if line.startswith(("E:", "F:", "W:"))]
        assert [f for f in faults if not any(expected in f for expected in DSRDUMP_EXPECTED)] == []


@pytest.mark.peer("pixelmed", "java")
@pytest.mark.parametrize(
    "reports",
    [two_views, walls_and_estimate, uncalibrated, corrected],
    ids=lambda make: make.__name__,
    indirect=True,
)
def test_pixelmed_finds_no_error_of_the_template(reports: tuple[Report, ...], tmp_path: Path) -> None:
    limits = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("ExprOp", "TotalOp", "ExprGrp")]
    validator = "com.pixelmed.validate.DicomSRValidator"
    for report in (r for r in reports if r.kind in FOUND):
        said = run(tmp_path, report, "java", *limits, "-cp", "/usr/share/java/*", validator)
        assert FOUND[report.kind] in said
        errors = [line for line in said if line.startswith("Error")]
        assert [e for e in errors if not any(expected in e for expected in PIXELMED_EXPECTED)] == []


@pytest.fixture(scope="module", params=[walls_and_estimate, corrected], ids=lambda make: make.__name__)
def decided(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, ...]:
    """Every document of a study once a person has accepted it, and the note of another's rejection."""
    study, sources = request.param()
    made = build_reports(study, sources, kinds=tuple(ObjectKind), frames=lambda uid: cine(sources[uid]))
    decision = Decision(
        StudyInstanceUID=study.StudyInstanceUID,
        revision=study.revision,
        kind=DecisionKind.ACCEPTED,
        by=Person(name="Öztürk^Ümit", organization="Herzklinik", code=Code("4711", "99HC", "Cardiologist")),
        reason="As by eye.",
        made_at=datetime(2026, 11, 24, 9, 30, tzinfo=UTC),
        decided=(),
        made=(),
    )
    folder = tmp_path_factory.mktemp("rejected")
    for report in made:
        (folder / report.SOPInstanceUID).write_bytes(report.content)
    headers = [read_made(folder / report.SOPInstanceUID) for report in made]
    note = build_rejection(headers, replace(decision, kind=DecisionKind.REJECTED))
    return *(accept_document(report, decision) for report in made if report.kind in DOCUMENTS), note


def test_dciodvfy_finds_no_error_in_what_a_person_decided(decided: tuple[Report, ...], tmp_path: Path) -> None:
    for report in decided:
        known = replace(report, content=report.content.replace(SIMPLIFIED, COMPREHENSIVE))
        said = run(tmp_path, known, DCIODVFY, "-new")
        assert any(line in (*IODS, "KeyObjectSelectionDocument") for line in said)
        assert [line for line in said if line.startswith("Error")] == []
        warnings = [line for line in said if line.startswith("Warning")]
        expected = (*DCIODVFY_EXPECTED, "Unrecognized defined term = <99HC>")  # the house's own code of the person
        assert [w for w in warnings if not any(e in w for e in expected)] == []


@pytest.mark.peer("dsrdump")
def test_dsrdump_reads_what_a_person_decided(decided: tuple[Report, ...], tmp_path: Path) -> None:
    for report in decided:
        if report.kind is ObjectKind.PDF:
            continue
        said = run(tmp_path, report, "/usr/bin/dsrdump", "-Ee", "+Pl")
        if report.kind is ObjectKind.REJECTION:
            assert any("Rejected for Quality Reasons" in line for line in said)
        else:
            states = [line.partition(":")[2].strip() for line in said if "Flag" in line]
            assert states == ["FINAL", "COMPLETE", "VERIFIED"]
            assert any("Verifying Observers" in line and "Öztürk^Ümit" in line for line in said)
        faults = [line for line in said if line.startswith(("E:", "F:", "W:"))]
        assert [f for f in faults if not any(expected in f for expected in DSRDUMP_EXPECTED)] == []


@pytest.mark.peer("pixelmed", "java")
def test_pixelmed_finds_no_error_in_what_a_person_decided(decided: tuple[Report, ...], tmp_path: Path) -> None:
    limits = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("ExprOp", "TotalOp", "ExprGrp")]
    found = {**FOUND, ObjectKind.REJECTION: "Found KeyObjectSelectionDocument IOD"}
    for report in (r for r in decided if r.kind in found):
        said = run(
            tmp_path, report, "java", *limits, "-cp", "/usr/share/java/*", "com.pixelmed.validate.DicomSRValidator"
        )
        assert found[report.kind] in said
        errors = [line for line in said if line.startswith("Error")]
        assert [e for e in errors if not any(expected in e for expected in PIXELMED_EXPECTED)] == []


def test_dciodvfy_would_find_an_error(tmp_path: Path) -> None:
    """The tests above can fail: the same object with a wrong enumerated value."""
    study, sources = nothing_measured()
    report = build_reports(study, sources)[-1]
    spoilt = Report(
        kind=ObjectKind.SR,
        SOPClassUID=report.SOPClassUID,
        SOPInstanceUID=report.SOPInstanceUID,
        content=report.content.replace(b"UNVERIFIED", b"NOTVERIFED"),
    )
    assert any(line.startswith("Error") for line in run(tmp_path, spoilt, DCIODVFY, "-new"))
