"""The header of a source object, put in order in this one place.

Carts send PatientSex "UNKNOWN", times as "10:15:00", no AccessionNumber, names in three character
sets. What is sent on must be valid, so this module mends what can be mended without loss, empties
what cannot be written, and takes over only the attributes that results need: private ones stay
behind. Nothing is cut short. What was sent stays as it came in the stored object.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.valuerep import FLOAT_VR, INT_VR, STR_VR, PersonName

from echo_node.errors import ReportError
from echo_node.patients import date_of
from echo_node.reports.charset import decoded

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
    "SeriesNumber",
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
_TIME = re.compile(r"([01]\d|2[0-3])(?::?([0-5]\d)(?::?([0-5]\d|60)(\.\d{1,6})?)?)?")
_DATE_TIME = re.compile(r"\d{4}(?:\d{2}){0,5}(?:\.\d{1,6})?(?:[+\-]\d{4})?")
_DECIMAL = re.compile(r"[+\-]?\d+(\.\d*)?")
_CODE = re.compile(r"[A-Z0-9 _]{0,16}")  # CS (PS3.5 6.2)
_CONTROL = re.compile(r"[\x01-\x1f\x7f-\x9f]+")
_LONGEST_DECIMAL = 16  # of DS (PS3.5 6.2)
_LARGEST_INTEGER = 2**31 - 1  # of IS
_OFFSET = re.compile(r"[+\-](?:0\d|1[0-4])[0-5]\d")
_WORDS = frozenset(("SH", "LO", "PN"))  # more values than may stand are passed on: an identifier must be the cart's
_BINARY = INT_VR | FLOAT_VR
# What pydicom raises on elements that are not what they say, once their value is asked for.
UNREADABLE = (AttributeError, BytesLengthException, LookupError, NotImplementedError, TypeError, ValueError)


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


def patient_id(ds: Dataset) -> str:
    """PatientID as :func:`normalise` takes it over: that of two objects is one, however they are coded."""
    taken = Dataset()
    with disable_value_validation():
        _copy(ds, taken, ("PatientID",), _terms(ds))
    value = taken.get("PatientID") or ""
    return "\\".join(value) if isinstance(value, MultiValue) else str(value)


def _normalised(ds: Dataset) -> Dataset:
    missing = [keyword for keyword in _TYPE_1_UIDS if not ds.get(keyword)]
    if missing:
        raise ReportError(f"source has no {', '.join(missing)}")
    target = Dataset()
    target.SpecificCharacterSet = UTF_8
    terms = _terms(ds)
    _copy(ds, target, (*_TYPE_1_UIDS, *TYPE_2, *_OPTIONAL), terms)
    for keyword in TYPE_2:
        if keyword not in target:
            setattr(target, keyword, None)
    for sequence, keywords in _SEQUENCES.items():
        items = []
        for sent in _items(ds, sequence):
            items.append(Dataset())
            _copy(sent, items[-1], keywords, _terms(sent) or terms)
        if items:
            setattr(target, sequence, items)
    return target


def _terms(ds: Dataset) -> list[str]:
    """The values of SpecificCharacterSet; none where there is none."""
    value = ds.get("SpecificCharacterSet")
    terms = [value] if isinstance(value, str) else list(value or [])
    return [str(term).strip() for term in terms] if any(terms) else []


def _items(ds: Dataset, keyword: str) -> list[Dataset]:
    """A sequence's items; none where it is none."""
    try:
        value = ds[keyword].value if keyword in ds else []
    except UNREADABLE:
        return []
    return list(value) if isinstance(value, Sequence) else []


def _copy(ds: Dataset, target: Dataset, keywords: tuple[str, ...], terms: list[str]) -> None:
    for keyword in keywords:
        if keyword not in ds:
            continue
        try:
            value = _valid(keyword, _sent(ds, keyword, terms))
        except UNREADABLE:  # its bytes are none of its VR
            continue
        if value is not None:
            setattr(target, keyword, value)


def _sent(ds: Dataset, keyword: str, terms: list[str]) -> object:
    """A value as it was sent; text that is still in bytes is decoded, whatever VR the cart gave it."""
    element = ds.get_item(keyword)
    is_text = dictionary_VR(keyword) in STR_VR and getattr(element, "VR", None) not in _BINARY
    value = element.value if is_text and element is not None else ds[keyword].value
    if not isinstance(value, bytes):
        return value
    parts = decoded(value, terms).split("\\")
    return parts if len(parts) > 1 else parts[0]


def _valid(keyword: str, value: object) -> object:
    """The value as it may be written, or None where it may not."""
    vr = dictionary_VR(keyword)
    mend = _MENDERS.get(keyword) or _MENDERS.get(vr)
    if mend is None or value is None:
        return value
    if not isinstance(value, MultiValue | list):
        return mend(str(value))
    parts = [mend(str(part)) for part in value]
    if dictionary_VM(keyword) == "1" and vr not in _WORDS:
        return parts[0]
    return None if None in parts else parts


def _date(text: str) -> str:
    return date_of(text) or ""


def _time(text: str) -> str:
    match = _TIME.fullmatch(text.strip())
    return "".join(part or "" for part in match.groups()) if match else ""


def _date_time(text: str) -> str | None:
    text = text.strip()
    return text if _DATE_TIME.fullmatch(text) and (len(text) < 8 or date_of(text[:8])) else None


def _offset(text: str) -> str | None:
    return text.strip() if _OFFSET.fullmatch(text.strip()) else None


def _sex(text: str) -> str:
    return _SEXES.get(text.strip().upper(), "")


def _number(text: str) -> str | None:
    text = text.strip()
    return text if _DECIMAL.fullmatch(text) and len(text) <= _LONGEST_DECIMAL else None


def _integer(text: str) -> str | None:
    """A whole number, also one that a cart wrote as a decimal."""
    number = _number(text)
    if number is None or not float(number).is_integer() or abs(float(number)) > _LARGEST_INTEGER:
        return None
    return str(int(float(number)))


def _size(text: str) -> str | None:
    """A height or weight; zero stands for unknown on some carts."""
    number = _number(text)
    return number if number is not None and float(number) > 0 else None


def _code(text: str) -> str | None:
    text = text.strip(" \0").upper()
    return text if _CODE.fullmatch(text) else None


def _laterality(text: str) -> str | None:
    return text.strip() if text.strip() in ("R", "L") else None


def _direction(text: str) -> str | None:
    """A direction towards which rows or columns go (PS3.3 C.7.6.1.1.1)."""
    return text.strip() if re.fullmatch("[LRAPHF]{0,3}", text.strip()) else None


def _uid(text: str) -> str:
    return text.strip(" \0")


def _text(text: str) -> str:
    """Without NUL; other control characters have no place in a line of text (PS3.5 6.1.3)."""
    return _CONTROL.sub(" ", text.replace("\0", "")).strip()


def _name(text: str) -> PersonName:
    # from decoded text: the bytes of the old character sets do not come along
    return PersonName(_text(text))


_MENDERS: dict[str, Callable[[str], object]] = {
    "PatientSex": _sex,
    "TimezoneOffsetFromUTC": _offset,
    "PatientSize": _size,
    "PatientWeight": _size,
    "Laterality": _laterality,
    "PatientOrientation": _direction,
    "UI": _uid,
    "DA": _date,
    "TM": _time,
    "DT": _date_time,
    "PN": _name,
    "DS": _number,
    "IS": _integer,
    "SH": _text,
    "LO": _text,
    "CS": _code,
    "US": int,
    "UL": int,
    "SL": int,
    "FL": float,
    "FD": float,
}
