"""Structured reports as viewers save what a person drew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian, generate_uid

OBSERVER = "Reader^Rosa"
LENGTH = ("G-D7FE", "SRT", "Length")
LV = ("87878005", "SCT", "Left ventricle")


def code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def content(kind: str, relation: str, name: tuple[str, str, str] | None = None, **values: Any) -> Dataset:
    item = Dataset()
    item.ValueType, item.RelationshipType = kind, relation
    if name is not None:
        item.ConceptNameCodeSequence = [code(*name)]
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def region(
    graphic_type: str, points: Iterable[Sequence[float]], of: Dataset, frame: int | list[int] | None
) -> Dataset:
    """Coordinates (column, row) selected from a frame of an image."""
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = of.SOPClassUID, of.SOPInstanceUID
    if frame is not None:
        reference.ReferencedFrameNumber = frame
    image = content("IMAGE", "SELECTED FROM", ReferencedSOPSequence=[reference])
    flat = [float(v) for point in points for v in point]
    return content("SCOORD", "INFERRED FROM", GraphicType=graphic_type, GraphicData=flat, ContentSequence=[image])


def number(scoord: Dataset, name: tuple[str, str, str] = LENGTH, value: float = 12.5) -> Dataset:
    measured = Dataset()
    measured.NumericValue = value
    measured.MeasurementUnitsCodeSequence = [code("mm", "UCUM", "millimeter")]
    return content("NUM", "CONTAINS", name, MeasuredValueSequence=[measured], ContentSequence=[scoord])


def group(
    *items: Dataset,
    tool: str = "Cornerstone3DTools@^0.1.0:Length",
    finding: tuple[str, str, str] | None = None,
    site: tuple[str, str, str] | None = None,
    label: str | None = None,
) -> Dataset:
    """A measurement group in the form in which OHIF 3 writes it (TID 1501, by dcmjs)."""
    held = [
        content("TEXT", "HAS OBS CONTEXT", ("112039", "DCM", "Tracking Identifier"), TextValue=tool),
        content("UIDREF", "HAS OBS CONTEXT", ("112040", "DCM", "Tracking Unique Identifier"), UID=generate_uid()),
    ]
    if finding is not None:
        held.append(content("CODE", "CONTAINS", ("121071", "DCM", "Finding"), ConceptCodeSequence=[code(*finding)]))
    if site is not None:
        name = ("363698007", "SCT", "Finding Site")
        held.append(content("CODE", "CONTAINS", name, ConceptCodeSequence=[code(*site)]))
    if label is not None:
        held.append(content("TEXT", "CONTAINS", ("121106", "DCM", "Comment"), TextValue=label))
    return content(
        "CONTAINER",
        "CONTAINS",
        ("125007", "DCM", "Measurement Group"),
        ContinuityOfContent="SEPARATE",
        ContentSequence=[*held, *items],
    )


def free_text(label: str) -> tuple[str, str, str]:
    """A label in the form of OHIF's earlier versions: as the meaning of a code of its own."""
    return "CORNERSTONEFREETEXT", "CORNERSTONEJS", label


def drawn(*groups: Dataset, of: Dataset, observer: str | None = OBSERVER, **changes: Any) -> Dataset:
    """The report that a viewer saves and its PACS sends on."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = ComprehensiveSRStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = of.StudyInstanceUID, generate_uid()
    ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = of.PatientID, of.PatientName, "", ""
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = of.StudyDate, of.StudyTime, "", ""
    ds.ReferringPhysicianName = None
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "SR", 99, 1
    ds.Manufacturer = "Viewer works"
    ds.ContentDate, ds.ContentTime, ds.TimezoneOffsetFromUTC = "20261124", "093000", "+0100"
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.PerformedProcedureCodeSequence = []
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [code("126000", "DCM", "Imaging Measurement Report")]
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "1500"
    ds.ContentTemplateSequence = [template]
    measurements = content(
        "CONTAINER",
        "CONTAINS",
        ("126010", "DCM", "Imaging Measurements"),
        ContinuityOfContent="SEPARATE",
        ContentSequence=list(groups),
    )
    ds.ContentSequence = [measurements]
    if observer is not None:
        name = ("121008", "DCM", "Person Observer Name")
        ds.ContentSequence.insert(0, content("PNAME", "HAS OBS CONTEXT", name, PersonName=observer))
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds
