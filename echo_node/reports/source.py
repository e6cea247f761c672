"""The header of a source object, put in order in this one place.

Carts send PatientSex "UNKNOWN", times as "10:15:00", no AccessionNumber, names in three character
sets. What is sent on must be valid, so this module mends what can be mended without loss, empties
what cannot be written, and takes over only the attributes that results need: private ones stay
behind. Nothing is cut short. What was sent stays as it came in the stored object.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

from echo_node.errors import ReportError

UTF_8 = "ISO_IR 192"

_TYPE_1_UIDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
TYPE_2 = (  # of the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1)
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
_OPTIONAL = (
    "IssuerOfPatientID",
    "PatientSize",  # the mass index goes by both
    "PatientWeight",
    "StudyDescription",
    "TimezoneOffsetFromUTC",
    "Modality",
    "InstanceNumber",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "PatientOrientation",
    "Laterality",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "PixelAspectRatio",
    "FrameTime",
    "FrameTimeVector",
    "FrameIncrementPointer",
    "CineRate",
    "RecommendedDisplayFrameRate",
    "HeartRate",
)
_REGION = (  # US Region Calibration (PS3.3 C.8.5.5), less what says how samples became colours
    "RegionSpatialFormat",
    "RegionDataType",
    "RegionFlags",
    "RegionLocationMinX0",
    "RegionLocationMinY0",
    "RegionLocationMaxX1",
    "RegionLocationMaxY1",
    "ReferencePixelX0",
    "ReferencePixelY0",
    "PhysicalUnitsXDirection",
    "PhysicalUnitsYDirection",
    "ReferencePixelPhysicalValueX",
    "ReferencePixelPhysicalValueY",
    "PhysicalDeltaX",
    "PhysicalDeltaY",
    "TransducerFrequency",
    "PulseRepetitionFrequency",
    "DopplerCorrectionAngle",
    "SteeringAngle",
)
_REQUEST = ("AccessionNumber", "RequestedProcedureID", "RequestedProcedureDescription")
_SEQUENCES = {"SequenceOfUltrasoundRegions": _REGION, "RequestAttributesSequence": _REQUEST}
WANTED = ("SpecificCharacterSet", *_TYPE_1_UIDS, *TYPE_2, *_OPTIONAL, *_SEQUENCES)

_SEXES = {"M": "M", "MALE": "M", "F": "F", "FEMALE": "F", "O": "O", "OTHER": "O"}
_DATE = re.compile(r"(\d{4})[.\-/]?(\d{2})[.\-/]?(\d{2})")  # the dots are ACR-NEMA's
_TIME = re.compile(r"([01]\d|2[0-3])(?::?([0-5]\d)(?::?([0-5]\d|60)(\.\d{1,6})?)?)?")
_DECIMAL = re.compile(r"[+\-]?\d+(\.\d*)?")
_LONGEST_DECIMAL = 16  # of DS (PS3.5 6.2)
_OFFSET = re.compile(r"[+\-](?:0\d|1[0-4])[0-5]\d")


def read_source(path: Path) -> Dataset:
    """Read the attributes of an object that its results take over.

    Parameters
    ----------
    path : Path
        A Part 10 file. Its pixels are not read, nor is any attribute that is not wanted.

    Returns
    -------
    Dataset
        Normalised: see :func:`normalise`.

    Raises
    ------
    ReportError
        The file is not DICOM, or a UID of type 1 is missing.
    """
    try:
        ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(WANTED))
        return normalise(ds)
    except (InvalidDicomError, EOFError, RecursionError, ValueError, LookupError) as error:
        # the text of pydicom's errors quotes values: only its kind is passed on
        raise ReportError(f"{path}: header cannot be read ({type(error).__name__})") from None


def normalise(ds: Dataset) -> Dataset:
    """A dataset with only the wanted attributes, valid, in UTF-8.

    Parameters
    ----------
    ds : Dataset
        A received header; left as it is.

    Returns
    -------
    Dataset
        Missing type 2 attributes are there and empty; PatientSex is M, F, O or empty; dates and
        times are in the forms of PS3.5 6.2 or empty; text is decoded.

    Raises
    ------
    ReportError
        A UID of type 1 is missing.
    """
    with disable_value_validation():  # pydicom's warnings would quote the value: a birth date, a name
        return _normalised(ds)


def _normalised(ds: Dataset) -> Dataset:
    missing = [keyword for keyword in _TYPE_1_UIDS if not ds.get(keyword)]
    if missing:
        raise ReportError(f"source has no {', '.join(missing)}")
    target = Dataset()
    target.SpecificCharacterSet = UTF_8
    _copy(ds, target, (*_TYPE_1_UIDS, *TYPE_2, *_OPTIONAL))
    for keyword in TYPE_2:
        if keyword not in target:
            setattr(target, keyword, None)
    for sequence, keywords in _SEQUENCES.items():
        if ds.get(sequence):
            items = [Dataset() for _ in ds[sequence].value]
            for source_item, item in zip(ds[sequence].value, items, strict=True):
                _copy(source_item, item, keywords)
            setattr(target, sequence, items)
    return target


def _copy(ds: Dataset, target: Dataset, keywords: tuple[str, ...]) -> None:
    for keyword in keywords:
        if keyword not in ds:
            continue
        value = _valid(keyword, ds[keyword].value)
        if value is not None:
            setattr(target, keyword, value)


def _valid(keyword: str, value: object) -> object:
    """The value as it may be written, or None where it may not."""
    mend = _MENDERS.get(keyword) or _MENDERS.get(dictionary_VR(keyword))
    if mend is None or value is None:
        return value
    if isinstance(value, MultiValue):  # a backslash in a name or an identifier
        parts = [mend(str(part)) for part in value]
        return None if None in parts else parts
    return mend(str(value))


def date_of(text: str) -> str:
    """A date as YYYYMMDD; empty where it is none, as carts' fillers are none."""
    match = _DATE.fullmatch(text.replace("\0", "").strip())
    if match is None:
        return ""
    digits = "".join(match.groups())
    try:
        date.fromisoformat(digits)
    except ValueError:
        return ""
    return digits


def _time(text: str) -> str:
    match = _TIME.fullmatch(text.strip())
    return "".join(part or "" for part in match.groups()) if match else ""


def _offset(text: str) -> str | None:
    return text.strip() if _OFFSET.fullmatch(text.strip()) else None


def _sex(text: str) -> str:
    return _SEXES.get(text.strip().upper(), "")


def _number(text: str) -> str | None:
    text = text.strip()
    return text if _DECIMAL.fullmatch(text) and len(text) <= _LONGEST_DECIMAL else None


def _size(text: str) -> str | None:
    """A height or weight; zero stands for unknown on some carts."""
    number = _number(text)
    return number if number is not None and float(number) > 0 else None


def _text(text: str) -> str:
    return text.strip().replace("\0", "")


def _name(text: str) -> PersonName:
    # from decoded text: the bytes of the old character sets do not come along
    return PersonName(_text(text))


_MENDERS: dict[str, Callable[[str], object]] = {
    "PatientSex": _sex,
    "TimezoneOffsetFromUTC": _offset,
    "PatientSize": _size,
    "PatientWeight": _size,
    "DA": date_of,
    "TM": _time,
    "PN": _name,
    "DS": _number,
    "IS": _number,
    "SH": _text,
    "LO": _text,
    "CS": _text,
}
