"""What every object that the node makes carries: patient, study, series, equipment, dates."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from io import BytesIO

import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

import echo_node
import echo_node.reports.coded as coded
from echo_node.codes import Code, ObjectKind
from echo_node.edits import Edit
from echo_node.identity import IMPLEMENTATION_NAME, IMPLEMENTATION_UID, MANUFACTURER, MODEL
from echo_node.records import Analysis, EngineIdentity, Report
from echo_node.reports.observers import edits_of
from echo_node.reports.source import UTF_8
from echo_node.reports.uids import derived_uid, device_uid, series_uid

UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
RESEARCH_USE = "Made by software, not checked by a person. For research use, not for diagnosis."
EDITED = (
    "Made by software, in part from what a person drew: where a person is named. "
    "The report as a whole was not checked by a person. For research use, not for diagnosis."
)
ACCEPTED = (
    "Made by software; where a person is named, in part from what that person drew. "
    "Accepted as a whole by the verifying observer. For research use, not for diagnosis."
)
_ACCEPTED_BEFORE = (
    "An earlier version (revision {revision}) was accepted by {name} on {day}: it stands until a person accepts "
    "this one. "
)

_TAKEN_OVER = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientSize",
    "PatientWeight",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
    "StudyDescription",
)
_VERSION = 100_000  # between the InstanceNumbers of a clip's objects
_NUMBERS = 2**31  # an IS is less (PS3.5 6.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A kind of object: each has one series in a study, and its fixed number."""

    kind: str  # stands in the names of UIDs: never change one
    number: int
    modality: str
    description: str


SR_SERIES = Series(
    kind="SR TID 1500", number=9001, modality="SR", description="AI Echo measurements (research use)"
)
SR_COMPREHENSIVE_SERIES = replace(SR_SERIES, kind="SR TID 1500 Comprehensive")
SR_TID5200_SERIES = Series(
    kind="SR TID 5200", number=9003, modality="SR", description="AI Echo procedure report (research use)"
)
SR_TID5200_SRT_SERIES = replace(SR_TID5200_SERIES, kind="SR TID 5200 SRT")
SR_TID5300_SERIES = Series(
    kind="SR TID 5300", number=9004, modality="SR", description="AI Echo simplified report (research use)"
)
SEG_SERIES = Series(kind="SEG", number=9002, modality="SEG", description="AI Echo segmentations (research use)")
SEG_LABELMAP_SERIES = replace(SEG_SERIES, kind="SEG LABELMAP")
OVERLAY_SERIES = Series(
    kind="OVERLAY", number=9005, modality="US", description="AI Echo clips with findings (research use)"
)
PDF_SERIES = Series(kind="PDF", number=9006, modality="DOC", description="AI Echo page (research use)")
REJECTION_SERIES = Series(kind="REJECTION", number=9007, modality="KO", description="AI Echo results rejected")


def warning(analysis: Analysis) -> str:
    """Who made a document, what it is not for, what is left out, and whether an earlier one was accepted."""
    said = EDITED if edits_of(analysis) else RESEARCH_USE
    if analysis.withheld:
        said = f"{said} {len(analysis.withheld)} clips have no segmentation and no overlay: they would be too many."
    before = analysis.acceptance
    if before is None:
        return said
    day = f"{before.made_at:%Y-%m-%d}"
    return _ACCEPTED_BEFORE.format(revision=before.revision, name=before.by.name, day=day) + said


def set_origin(ds: Dataset, source: Dataset) -> None:
    """Take over patient and study (PS3.3 C.7.1.1, C.7.2.1)."""
    ds.SpecificCharacterSet = UTF_8
    for keyword in _TAKEN_OVER:
        if keyword in source:
            ds[keyword] = source[keyword]


def numbered(code: Code, source: Dataset) -> str:
    """The name that goes with a tracking UID, of a structure in the SEG and in the SR for one.

    With the series: some carts give each clip one of its own, where all are instance 1.
    """
    series = f"series {source.SeriesNumber}, " if source.get("SeriesNumber") else ""
    return f"{code.meaning}, {series}instance {source.get('InstanceNumber') or '?'}"


def instance_number(source: Dataset, edits: Sequence[Edit], rejections: int) -> int:
    """The number of a clip's object: the clip's own, and a higher one for each later object.

    To such numbers carts do not count. Viewers list by them, and show the highest last.
    """
    version = len({edit.SOPInstanceUID for edit in edits}) + rejections
    number = int(source.get("InstanceNumber") or 1)
    return (number + version * _VERSION) % _NUMBERS if version else number


def set_series(ds: Dataset, series: Series, source: Dataset, engine: EngineIdentity) -> None:
    """Set series and equipment (PS3.3 C.7.3.1, C.7.5.2).

    All objects of a series must agree here, whenever they are made: so the series starts with the
    study, not with this object, and there is no serial number that a second node would change.
    """
    ds.Modality = series.modality
    ds.SeriesInstanceUID = series_uid(source.StudyInstanceUID, series.kind, engine)
    ds.SeriesNumber = series.number
    ds.SeriesDescription = series.description
    if source.StudyDate and source.StudyTime:
        ds.SeriesDate, ds.SeriesTime = source.StudyDate, source.StudyTime
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = MODEL
    ds.DeviceSerialNumber = engine.digest[:16]
    ds.SoftwareVersions = [echo_node.__version__, f"{engine.name} {engine.version}"]


def set_made(ds: Dataset, source: Dataset, engine: EngineIdentity, made_at: datetime) -> None:
    """Set when and by what the object was made (PS3.3 C.12.1), and that it is for research.

    TimezoneOffsetFromUTC holds for all times of an object, those of the cart among them: it is the
    cart's own where it sent one, and else that of the node's clock, which hangs in the same house.
    """
    local = set_times(ds, source, made_at)
    ds.ContentQualification = "RESEARCH"
    algorithm = _contribution(coded.PROCESSING_ALGORITHM, engine.name, engine.version, local)
    algorithm.DeviceUID = device_uid(engine)
    algorithm.ContributionDescription = f"Digest {engine.digest}; backend {engine.backend}"
    node = _contribution(coded.PROCESSING_EQUIPMENT, MODEL, echo_node.__version__, local)
    node.ContributionDescription = "Ran the algorithm and wrote this object"
    ds.ContributingEquipmentSequence = [algorithm, node]
    ihe = scheme(coded.PROCESSING_ALGORITHM.scheme, "Codes of IHE's trial implementations", "IHE International")
    ds.CodingSchemeIdentificationSequence = [ihe]


def _contribution(purpose: Code, model: str, version: str, local: datetime) -> Dataset:
    """An item of the Contributing Equipment Sequence (PS3.3 C.12.1.1.5)."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [coded.code_item(purpose)]
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = model
    item.SoftwareVersions = version
    item.ContributionDateTime = f"{local:%Y%m%d%H%M%S.%f%z}"
    return item


def set_times(ds: Dataset, source: Dataset, made_at: datetime) -> datetime:
    """Set when the object was made; returns it in the zone of the object's times."""
    local = _local(made_at, source.get("TimezoneOffsetFromUTC"))
    ds.TimezoneOffsetFromUTC = f"{local:%z}"[:5]
    ds.InstanceCreationDate = ds.ContentDate = f"{local:%Y%m%d}"
    ds.InstanceCreationTime = ds.ContentTime = f"{local:%H%M%S.%f}"
    return local


def predecessor(ds: Dataset) -> Dataset:
    """Hierarchical SOP Instance Reference macro (PS3.3 C.17.2.1) to a document."""
    instance = Dataset()
    instance.ReferencedSOPClassUID = ds.SOPClassUID
    instance.ReferencedSOPInstanceUID = ds.SOPInstanceUID
    series = Dataset()
    series.SeriesInstanceUID = ds.SeriesInstanceUID
    series.ReferencedSOPSequence = [instance]
    item = Dataset()
    item.StudyInstanceUID = ds.StudyInstanceUID
    item.ReferencedSeriesSequence = [series]
    return item


def header(report: Report) -> Dataset:
    """The UIDs of an object that the node made."""
    return pydicom.dcmread(BytesIO(report.content), specific_tags=list(UIDS), stop_before_pixels=True)


def scheme(designator: str, name: str, organization: str) -> Dataset:
    """Whose the codes of a private scheme are (PS3.3 C.12.1.1.10)."""
    item = Dataset()
    item.CodingSchemeDesignator = designator
    item.CodingSchemeName = name
    item.CodingSchemeResponsibleOrganization = organization
    return item


def file_meta(transfer_syntax_uid: UID = ExplicitVRLittleEndian) -> FileMetaDataset:
    """What a file says of its writer (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = transfer_syntax_uid
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_NAME
    return meta


def to_report(kind: ObjectKind, ds: Dataset, *, transfer_syntax_uid: UID = ExplicitVRLittleEndian) -> Report:
    """Write an object as a Part 10 file (PS3.10 7).

    Parameters
    ----------
    kind : ObjectKind
        What it is to the destinations.
    ds : Dataset
        The object.
    transfer_syntax_uid : UID, optional
        An explicit little-endian one.
    """
    ds.file_meta = file_meta(transfer_syntax_uid)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return Report(
        kind=kind,
        SOPClassUID=str(ds.SOPClassUID),
        SOPInstanceUID=str(ds.SOPInstanceUID),
        content=buffer.getvalue(),
    )


def named_by_content(kind: ObjectKind, ds: Dataset) -> Report:
    """Write an object whose UID goes by all that it says, the UID that it has included: no other has it."""
    draft = to_report(kind, ds)
    ds.SOPInstanceUID = derived_uid(draft.SOPInstanceUID, hashlib.sha256(draft.content).hexdigest())
    return to_report(kind, ds)


def _local(made_at: datetime, offset: str | None) -> datetime:
    if not offset:
        return made_at.astimezone()
    sign = -1 if offset[0] == "-" else 1
    return made_at.astimezone(timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))))
