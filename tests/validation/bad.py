"""Sources as the standard forbids them, and what the results must say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.unit.reports.builders import STUDY
from tests.validation.files import Raw
from tests.validation.plans import Plan, one_clip


def _raw(charset: str | None, taken: Mapping[str, str], **raw: Raw) -> Plan:
    sent: dict[str, Any] = {"SpecificCharacterSet": None if charset is None else charset.split("\\")}
    return Plan(analyse=one_clip, sent=[sent], raw=raw, taken=taken)


_NAME = "Müller^Jörg"
_LATIN_1, _UTF_8 = _NAME.encode("latin-1"), _NAME.encode()

BAD: dict[str, Plan] = {
    "Latin-1 without a character set": _raw(None, {"PatientName": _NAME}, PatientName=("PN", _LATIN_1)),
    "UTF-8 without a character set": _raw(None, {"PatientName": _NAME}, PatientName=("PN", _UTF_8)),
    "Windows-1252 without a character set": _raw(
        None, {"PatientName": "Škoda^Žofie"}, PatientName=("PN", b"\x8akoda^\x8eofie")
    ),
    "Latin-1 declared as UTF-8": _raw("ISO_IR 192", {"PatientName": _NAME}, PatientName=("PN", _LATIN_1)),
    "Latin-1 declared as GB18030": _raw(
        "GB18030", {"PatientName": "François^Zoë"}, PatientName=("PN", "François^Zoë".encode("latin-1"))
    ),
    "UTF-8 declared as the default": _raw("ISO_IR 6", {"PatientName": _NAME}, PatientName=("PN", _UTF_8)),
    "UTF-8 under a term that does not exist": _raw("UNICODE-8", {"PatientName": _NAME}, PatientName=("PN", _UTF_8)),
    "Latin-1 and UTF-8 in one header": _raw(
        None,
        {"PatientName": _NAME, "StudyDescription": "Échographie", "ReferringPhysicianName": "Łuk^Żaneta"},
        PatientName=("PN", _UTF_8),
        StudyDescription=("LO", "Échographie".encode("latin-1")),
        ReferringPhysicianName=("PN", "Łuk^Żaneta".encode()),
    ),
    "Japanese escapes without a character set": _raw(
        None,
        {"PatientName": "Yamada^Tarou=山田^太郎"},
        PatientName=("PN", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"),
    ),
    "Korean without escapes": _raw(
        "\\ISO 2022 IR 149", {"PatientName": "홍^길동"}, PatientName=("PN", "홍^길동".encode("euc_kr"))
    ),
    "control characters": _raw(
        "ISO_IR 100",
        {"PatientName": "Doe^John", "PatientID": "P 1", "StudyDescription": "Echo follow-up", "StudyID": "7"},
        PatientName=("PN", b"Doe\0^John\x07\r\n"),
        PatientID=("LO", b"P\t1"),
        StudyDescription=("LO", b"Echo\r\nfollow-up"),
        StudyID=("SH", b"\x017\x7f"),
    ),
    "values that are too long": _raw(
        "ISO_IR 100",
        {"PatientID": "1" * 80, "AccessionNumber": "A" * 20, "StudyID": "S" * 30, "StudyDescription": "D" * 200},
        PatientName=("PN", b"N" * 70 + b"^" + b"G" * 70),
        PatientID=("LO", b"1" * 80),
        AccessionNumber=("SH", b"A" * 20),
        StudyID=("SH", b"S" * 30),
        StudyDescription=("LO", b"D" * 200),
    ),
    "several values where one may stand": _raw(
        "ISO_IR 100",
        {"StudyDate": "20261123", "StudyTime": "101500", "PatientSex": "F"},
        PatientName=("PN", b"Doe^John\\Doe^Jack"),
        PatientID=("LO", b"A\\B"),
        StudyDate=("DA", b"20261123\\20261124"),
        StudyTime=("TM", b"101500\\101600"),
        PatientSex=("CS", b"F\\F"),
    ),
    "dates and times that do not exist": _raw(
        "ISO_IR 100",
        {"StudyDate": "", "StudyTime": "", "PatientBirthDate": ""},
        StudyDate=("DA", b"20261345"),
        StudyTime=("TM", b"246199"),
        PatientBirthDate=("DA", b"19000229"),
        TimezoneOffsetFromUTC=("SH", b"+2500"),
        AcquisitionDate=("DA", b"00000000"),
        AcquisitionTime=("TM", b"noon"),
        AcquisitionDateTime=("DT", b"2026-11-23 10:15"),
    ),
    "dates and times in other forms": _raw(
        "ISO_IR 100",
        {"StudyDate": "20261123", "StudyTime": "101500", "PatientBirthDate": "19500102"},
        StudyDate=("DA", b"2026.11.23"),
        StudyTime=("TM", b"10:15:00"),
        PatientBirthDate=("DA", b"1950-01-02"),
    ),
    "codes and numbers out of their form": _raw(
        "ISO_IR 100",
        {"PatientSex": "F"},
        PatientSex=("CS", b"female"),
        InstanceNumber=("IS", b"3.0"),
        PatientSize=("DS", b"175cm"),
        PatientWeight=("DS", b"71,5"),
        HeartRate=("IS", b"99999999999"),
        Laterality=("CS", b"left?"),
        PatientOrientation=("CS", b"n/a"),
        CineRate=("IS", b"30.5"),
        LossyImageCompressionRatio=("DS", b"10:1"),
        Modality=("CS", b"us"),
    ),
    "wrong VRs": _raw(
        "ISO_IR 100",
        {"PatientName": _NAME, "PatientID": "P-9", "StudyDate": "20261123", "PatientSex": "F", "StudyID": "S1"},
        PatientName=("LO", _LATIN_1),
        PatientID=("UN", b"P-9"),
        StudyDate=("LO", b"2026/11/23"),
        StudyTime=("SH", b"101500"),
        PatientSex=("LO", b"F"),
        PatientBirthDate=("UN", b"19500102"),
        StudyID=("OB", b"S1"),
        InstanceNumber=("US", b"\x03\0"),
        PatientWeight=("FL", b"\0\0\x8eB"),
        AccessionNumber=("IS", b"A-77"),
        SequenceOfUltrasoundRegions=("LO", b"none"),
        RequestAttributesSequence=("UN", b"\xfe\xff\x00\xe0\x10\0\0\0garbage, no data"),
    ),
    "a UID with a leading zero": Plan(analyse=one_clip, sent=[{"SeriesInstanceUID": f"{STUDY}.02"}]),
    "numbers of a wrong length": _raw(
        "ISO_IR 100",
        {"PatientID": "P-0001"},
        InstanceNumber=("SL", b"\x03\0\x01"),
        PatientWeight=("FD", b"\0\0\x8eB"),
        StudyDate=("US", b"\x01\x02\x03"),
    ),
    "private elements, with and without a creator": _raw(
        "ISO_IR 100",
        {"PatientName": "Phantom^Paula"},
        **{
            "00090010": ("LO", b"CART"),
            "00091001": ("LO", b"Doe^Private"),
            "00111001": ("UN", b"nobody's"),
            "0013100F": ("SQ", b""),
            "00190001": ("XX", b"no such VR"),
        },
    ),
    "implicit VR, mixed character sets": replace(
        _raw(
            None,
            {"PatientName": _NAME, "StudyDescription": "Échographie"},
            PatientName=("PN", _UTF_8),
            StudyDescription=("LO", "Échographie".encode("latin-1")),
        ),
        is_implicit=True,
    ),
}  # fmt: skip
