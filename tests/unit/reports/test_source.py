"""Odd headers become valid ones; nothing is cut short."""

import struct
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from echo_node.errors import ReportError
from echo_node.reports import build_reports, normalise, read_source
from tests.unit.reports.builders import analysis, clip, header, source

NAMES = {
    "ISO_IR 100": "Müller^Jörg",
    "ISO_IR 101": "Wałęsa^Łucja",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "GB18030": "Wang^XiaoDong=王^小东",
    "ISO_IR 192": "Ångström^Zoë",
}


@pytest.mark.parametrize(("charset", "name"), NAMES.items())
def test_names_of_all_character_sets_come_out_in_utf_8(charset: str, name: str, tmp_path: Path) -> None:
    ds = header(SpecificCharacterSet=charset.split("\\"), PatientName=name)
    path = tmp_path / "sent.dcm"
    pydicom.dcmwrite(path, ds, implicit_vr=False, little_endian=True, force_encoding=True)
    raw = pydicom.dcmread(path, force=True)
    taken = normalise(raw)
    taken.save_as(tmp_path / "out.dcm", implicit_vr=False, little_endian=True)
    assert name.encode() in (tmp_path / "out.dcm").read_bytes()
    assert pydicom.dcmread(tmp_path / "out.dcm", force=True).PatientName == name


def test_missing_type_2_attributes_are_empty() -> None:
    absent: dict[str, Any] = dict.fromkeys(
        ("PatientName", "PatientBirthDate", "PatientSex", "StudyTime", "StudyID", "AccessionNumber")
    )
    taken = source(**absent)
    for keyword in absent:
        assert keyword in taken
        assert not taken[keyword].value


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"])
def test_missing_type_1_uid_is_refused(keyword: str) -> None:
    ds = header()
    del ds[keyword]
    with pytest.raises(ReportError, match=keyword):
        normalise(ds)


@pytest.mark.parametrize(
    ("keyword", "sent", "taken"),
    [
        ("PatientSex", "UNKNOWN", ""),
        ("PatientSex", "female ", "F"),
        ("PatientSex", "M", "M"),
        ("StudyTime", "10:15:00", "101500"),
        ("StudyTime", "1015", "1015"),
        ("StudyTime", "101500.123456", "101500.123456"),
        ("StudyTime", "25:00", ""),
        ("StudyDate", "2026.11.23", "20261123"),
        ("StudyDate", "2026-11-23", "20261123"),
        ("PatientBirthDate", "unknown", ""),
        ("PatientBirthDate", "00000000", ""),
        ("PatientBirthDate", "19500230", ""),
    ],
)
def test_odd_values_are_mended_or_emptied(keyword: str, sent: str, taken: str) -> None:
    with pydicom.config.disable_value_validation():
        ds = header(**{keyword: sent})
    assert normalise(ds)[keyword].value == taken


def test_invalid_time_zone_and_private_attributes_stay_behind() -> None:
    ds = header(TimezoneOffsetFromUTC="CET")
    ds.private_block(0x0011, "CART", create=True).add_new(0x01, "LO", "secret")
    taken = normalise(ds)
    assert "TimezoneOffsetFromUTC" not in taken
    assert not [e for e in taken if e.tag.is_private]
    assert source(TimezoneOffsetFromUTC="+0130").TimezoneOffsetFromUTC == "+0130"


def test_long_identifier_is_kept_whole_and_quoted_nowhere(tmp_path: Path) -> None:
    long = "X" * 80
    with pydicom.config.disable_value_validation():
        header(PatientID=long, PatientBirthDate="1950-01-02").save_as(
            tmp_path / "sent.dcm", implicit_vr=False, little_endian=True
        )
    raw = pydicom.dcmread(tmp_path / "sent.dcm", force=True)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        taken = normalise(raw)
    assert taken.PatientID == long
    assert not heard


def test_a_body_size_is_taken_over_where_it_may_be_written() -> None:
    with pydicom.config.disable_value_validation():
        taken = source(PatientSize="1.75", PatientWeight="80.00000000000000001")
    assert taken.PatientSize == 1.75
    assert "PatientWeight" not in taken


def test_backslash_in_an_identifier_survives() -> None:
    assert list(source(PatientID="A\\B").PatientID) == ["A", "B"]


def test_integer_that_is_none_is_left_out(tmp_path: Path) -> None:
    with pydicom.config.disable_value_validation():
        ds = header()
        ds[0x00200013] = pydicom.dataelem.RawDataElement(
            pydicom.tag.Tag(0x00200013), "IS", 4, b"x12 ", 0, False, True
        )
    taken = normalise(ds)
    assert "InstanceNumber" not in taken


def test_file_without_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no header here" * 100)
    with pytest.raises(ReportError):
        read_source(tmp_path / "x")


def test_real_file(data: Path) -> None:
    taken = read_source(data / "acuson-a4c-65f-jpeg.dcm")
    assert (taken.Rows, taken.Columns, taken.NumberOfFrames) == (456, 576, 65)
    assert len(taken.SequenceOfUltrasoundRegions) == 2
    assert "PixelData" not in taken


@pytest.mark.parametrize(
    "name", ["US1_UNCR.dcm", "US1_J2KI.dcm", "examples_palette.dcm", "color-px.dcm", "GH364.dcm"]
)
def test_real_files_of_other_makers_can_be_written(data: Path, name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_source(data / name).save_as(tmp_path / "out", implicit_vr=False, little_endian=True)


def test_an_executable_s_preamble_is_in_no_report(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "sent.dcm"
    content = (data / "acuson-a4c-65f-jpeg.dcm").read_bytes()
    path.write_bytes(b"MZ" + b"\x90" * 126 + content[128:])
    seen = clip(read_source(path))
    made = build_reports(analysis(seen), {seen.SOPInstanceUID: read_source(path)})
    assert made
    assert {report.content[:132] for report in made} == {b"\0" * 128 + b"DICM"}


@pytest.mark.parametrize("closed", ["by length", "by delimiter"])
def test_thousands_of_nested_sequences_are_read_or_refused_at_once(closed: str, tmp_path: Path) -> None:
    value = b""
    for _ in range(5000):
        if closed == "by length":
            item = struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value
            value = struct.pack("<HH2sHI", 0x0018, 0x6011, b"SQ", 0, len(item)) + item
        else:
            item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + value + b"\xfe\xff\x0d\xe0\0\0\0\0"
            value = b"\x18\x00\x11\x60SQ\0\0\xff\xff\xff\xff" + item + b"\xfe\xff\xdd\xe0\0\0\0\0"
    ds = header()
    first, last = ds[:0x00186011], ds[0x00186012:]
    first.file_meta = FileMetaDataset()
    first.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path, buffer = tmp_path / "nested.dcm", BytesIO()
    first.save_as(path, enforce_file_format=True)
    last.save_as(buffer, implicit_vr=False, little_endian=True)
    path.write_bytes(path.read_bytes() + value + buffer.getvalue())
    if closed == "by length":
        assert read_source(path).StudyInstanceUID == ds.StudyInstanceUID
    else:
        with pytest.raises(ReportError, match="RecursionError"):
            read_source(path)


@pytest.mark.parametrize("keyword", ["PatientSize", "PatientWeight"])
def test_a_size_of_zero_is_none(keyword: str) -> None:
    assert keyword not in normalise(header(**{keyword: "0.0"}))
    assert normalise(header(**{keyword: "1.75"}))[keyword].value == 1.75
