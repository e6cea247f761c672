"""What others' programs and libraries say of an object."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import highdicom
import pydicom
import pypdf
from pydicom.config import disable_value_validation
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    SimplifiedAdultEchoSRStorage,
)

from echo_node.codes import ObjectKind
from echo_node.records import Report
from echo_node.reports import read_source
from echo_node.reports.retired import every_item
from tests.validation.exams import Exam

_SECONDS = 600  # of a validator; the bound only ends a hopeless wait
_DICOM3TOOLS = Path(sys.executable).parent  # from the package dicom3tools
_SR = "1.2.840.10008.5.1.4.1.1.88."
_SEG = "1.2.840.10008.5.1.4.1.1.66."
# dciodvfy names the information object definition by which it went
IODS = {
    f"{_SEG}4": "Segmentation",
    f"{_SEG}7": "Segmentation",
    f"{_SR}33": "ComprehensiveSR",
    f"{_SR}34": "Comprehensive3DSR",
    f"{_SR}59": "KeyObjectSelectionDocument",
    "1.2.840.10008.5.1.4.1.1.3.1": "USMultiFrameImage",
    "1.2.840.10008.5.1.4.1.1.104.1": "EncapsulatedPDF",
}
_PIXELMED = "/usr/share/java/pixelmed.jar"
_LIMITS = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("ExprOp", "TotalOp", "ExprGrp")]


class NotValidatedError(Exception):
    """A validator did not do its work: its silence says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """A program that says what is wrong with an object, line by line."""

    name: str
    peers: tuple[str, ...]  # what must be installed, as tests/conftest.py names it
    takes: Callable[[Report], bool]
    findings: Callable[[Path, Report], list[str]]


def _is_sr(report: Report) -> bool:
    return report.SOPClassUID.startswith(_SR)


def known(content: bytes) -> bytes:
    """A Simplified Adult Echo SR as Comprehensive SR, the name under which all know its modules."""
    simplified, comprehensive = str(SimplifiedAdultEchoSRStorage), str(ComprehensiveSRStorage)
    assert len(simplified) == len(comprehensive)
    return content.replace(simplified.encode(), comprehensive.encode())


def _run(*command: str | Path) -> list[str]:
    done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    said = [*done.stdout.decode(errors="replace").splitlines(), *done.stderr.decode(errors="replace").splitlines()]
    if done.returncode < 0:
        raise NotValidatedError(f"{command[0]} ended by signal {-done.returncode}")
    return said


def _dciodvfy(path: Path, report: Report) -> list[str]:
    copy = path.with_suffix(".known")
    copy.write_bytes(known(report.content))
    said = _run(_DICOM3TOOLS / "dciodvfy", "-new", copy)
    kind = str(pydicom.dcmread(copy, specific_tags=["SOPClassUID"], stop_before_pixels=True).SOPClassUID)
    if IODS.get(kind, kind) not in said:
        raise NotValidatedError(f"dciodvfy does not say that it knows {kind}: {said[:3]}")
    return [line for line in said if line.startswith(("Error", "Warning"))]


def _dsrdump(path: Path, _report: Report) -> list[str]:
    said = _run("/usr/bin/dsrdump", "-Ee", "+Pl", path)
    if not any(line.strip().startswith("<CONTAINER:") or "Report" in line for line in said):
        raise NotValidatedError(f"dsrdump shows no report: {said[:3]}")
    return [line for line in said if line.startswith(("E:", "F:", "W:"))]


def _pixelmed(path: Path, _report: Report) -> list[str]:
    validator = "com.pixelmed.validate.DicomSRValidator"
    said = _run("java", "-XX:TieredStopAtLevel=1", *_LIMITS, "-cp", _PIXELMED, validator, path)
    if "IOD validation complete" not in said:
        raise NotValidatedError(f"PixelMed did not come to its end: {said[-3:]}")
    return [line for line in said if line.startswith(("Error", "Warning"))]


def _reader(_path: Path, report: Report) -> list[str]:
    """Read by the library of its kind, as strict as it can be; what it raises is the finding."""
    mode = pydicom.config.settings.reading_validation_mode
    pydicom.config.settings.reading_validation_mode = pydicom.config.RAISE
    try:
        _read(report)
    except Exception as error:  # noqa: BLE001 - whatever a reader raises is its finding
        said = f"{type(error).__name__}: {error}"
    else:
        return []
    finally:
        pydicom.config.settings.reading_validation_mode = mode
    return [f"{said}, of an object with a number without a value" if _lacks_a_value(report) else said]


def _lacks_a_value(report: Report) -> bool:
    items = every_item(pydicom.dcmread(BytesIO(known(report.content)), stop_before_pixels=True))
    return any("MeasuredValueSequence" in item and not item.MeasuredValueSequence for item in items)


def _read(report: Report) -> None:
    for _ in pydicom.dcmread(BytesIO(report.content)).iterall():
        pass  # every value is converted, and so held against its VR
    content = BytesIO(known(report.content))
    if report.kind is ObjectKind.REJECTION:
        selection = highdicom.ko.KeyObjectSelectionDocument.from_dataset(pydicom.dcmread(content))
        assert len(selection.content.get_references()) > 0
    elif _is_sr(report):
        document = highdicom.sr.srread(content)
        assert len(document.content) > 0
    elif report.SOPClassUID.startswith(_SEG):
        seg = highdicom.seg.segread(content)
        assert seg.pixel_array.any()
    elif report.SOPClassUID == EncapsulatedPDFStorage:
        ds = pydicom.dcmread(content)
        page = ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength]
        assert len(pypdf.PdfReader(BytesIO(page), strict=True).pages) == 1
    else:
        image = highdicom.imread(content)
        assert len(image.get_frames()) == image.number_of_frames


def _in_utf_8(source: Path, target: Path) -> Path:
    """A copy of a cart's file in the results' character set: dcentvfy compares bytes.

    DCMTK decodes independently of the node. What it cannot decode it leaves as it is.
    """
    command: list[str | Path] = ["/usr/bin/dcmconv", "+U8", source, target]
    done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    return target if done.returncode == 0 and target.exists() else source


def _in_order(source: Path, target: Path) -> Path:
    ds = read_source(source)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with disable_value_validation():
        ds.save_as(target, enforce_file_format=True)
    return target


VALIDATORS = (
    Validator(name="dciodvfy", peers=(), takes=lambda _: True, findings=_dciodvfy),
    Validator(name="reader", peers=(), takes=lambda _: True, findings=_reader),
    Validator(name="dsrdump", peers=("dsrdump",), takes=_is_sr, findings=_dsrdump),
    Validator(name="PixelMed", peers=("java", "pixelmed"), takes=_is_sr, findings=_pixelmed),
)


def entities(exam: Exam, folder: Path) -> list[str]:
    """What dcentvfy says of a study's files together: whether they agree on patient, study and series.

    Parameters
    ----------
    exam : Exam
        Of a bad source, a copy in order stands in: what is wrong with it is known. What of it the results took
        over is held against ``taken``.
    folder : Path
        For copies.
    """
    copy = _in_order if exam.is_bad else _in_utf_8
    files = [copy(path, folder / f"source{n}.dcm") for n, path in enumerate(exam.sources)]
    for n, report in enumerate(exam.reports):
        files.append(folder / f"{report.kind.name}{n}.dcm")
        files[-1].write_bytes(known(report.content))
    said = _run(_DICOM3TOOLS / "dcentvfy", *files)
    return [line for line in said if line.startswith(("Error", "Warning", "Abort"))]
