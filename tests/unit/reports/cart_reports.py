"""Structured reports as carts write them: several shapes of TID 5200 and TID 5300, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian, generate_uid

from tests.unit.reports.builders import STUDY
from tests.unit.reports.drawn import code, content

Triple = tuple[str, str, str]

EF = ("18043-0", "LN", "Left Ventricular Ejection Fraction")
EDV = ("18026-5", "LN", "Left Ventricular End Diastolic Volume")
ESV = ("18148-7", "LN", "Left Ventricular End Systolic Volume")
IVSD = ("18154-5", "LN", "Interventricular Septum Diastolic Thickness")
LVIDD = ("29436-3", "LN", "Left Ventricle Internal End Diastolic Dimension")
LVPWD = ("18152-9", "LN", "Left Ventricle Posterior Wall Diastolic Thickness")
LVIDS = ("29438-9", "LN", "Left Ventricle Internal Systolic Dimension")
MASS = ("18087-7", "LN", "Left Ventricle Mass")

SITE, MODE, METHOD = (
    ("G-C0E3", "SRT", "Finding Site"),
    ("G-0373", "SRT", "Image Mode"),
    ("G-C036", "SRT", "Measurement Method"),
)
VIEW = ("111031", "DCM", "Image View")
PHASE = ("R-4089A", "SRT", "Cardiac Cycle Point")
DERIVATION = ("121401", "DCM", "Derivation")
SELECTION = ("121404", "DCM", "Selection Status")
PROPERTY = ("125307", "DCM", "Measured Property")
STAGE = ("18139-6", "LN", "Stage")

LV, TWO_D, M_MODE = (
    ("T-32600", "SRT", "Left Ventricle"),
    ("G-03A2", "SRT", "2D mode"),
    ("G-0394", "SRT", "M mode"),
)
BIPLANE = ("125207", "DCM", "Method of Disks, Biplane")
SINGLE = ("125208", "DCM", "Method of Disks, Single Plane")
SIMPSON = ("125227", "DCM", "Modified Simpson")
TEICHHOLZ = ("125209", "DCM", "Teichholz")
MEAN, MAXIMUM = ("R-00317", "SRT", "Mean"), ("G-A437", "SRT", "Maximum")
A4C, A2C = ("G-A19C", "SRT", "Apical four chamber"), ("G-A19B", "SRT", "Apical two chamber")
CHOSEN = ("121410", "DCM", "User chosen value")


def mod(name: Triple, value: Triple, relation: str = "HAS CONCEPT MOD") -> Dataset:
    return content("CODE", relation, name, ConceptCodeSequence=[code(*value)])


def num(name: Triple, value: float | None, unit: str, *below: Dataset, relation: str = "CONTAINS") -> Dataset:
    """A number; without a value it is one that the cart could not compute."""
    item = content("NUM", relation, name, MeasuredValueSequence=[])
    if value is not None:
        measured = Dataset()
        measured.NumericValue = value
        measured.MeasurementUnitsCodeSequence = [code(unit, "UCUM", unit)]
        item.MeasuredValueSequence = [measured]
    if below:
        item.ContentSequence = list(below)
    return item


def box(name: Triple, *items: Dataset) -> Dataset:
    return content("CONTAINER", "CONTAINS", name, ContinuityOfContent="SEPARATE", ContentSequence=list(items))


def findings(*items: Dataset, site: Triple = LV) -> Dataset:
    """A section of TID 5202 as carts wrote it for 15 years: DCM's Findings, SNOMED RT's site."""
    return box(("121070", "DCM", "Findings"), mod(SITE, site), *items)


def group(*items: Dataset) -> Dataset:
    return box(("125007", "DCM", "Measurement Group"), *items)


def cart_report(*items: Dataset, replaces: Sequence[str] = (), **changes: Any) -> Dataset:
    """A whole report."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = ComprehensiveSRStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = STUDY, f"{STUDY}.88"
    ds.PatientID, ds.PatientName, ds.PatientBirthDate = "P-0001", "Phantom^Paula", "19500102"
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "SR", "Acme Ultrasound", "Echo 9"
    ds.ContentDate, ds.ContentTime, ds.TimezoneOffsetFromUTC = "20261123", "102000", "+0000"
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [code("125200", "DCM", "Adult Echocardiography Procedure Report")]
    ds.CompletionFlag, ds.VerificationFlag = "PARTIAL", "UNVERIFIED"
    ds.ContentSequence = list(items)
    if replaces:
        ds.PredecessorDocumentsSequence = [_predecessor(uid) for uid in replaces]
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def _predecessor(uid: str) -> Dataset:
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = ComprehensiveSRStorage, uid
    series.SeriesInstanceUID, series.ReferencedSOPSequence = f"{STUDY}.88", [instance]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = STUDY, [series]
    return study
