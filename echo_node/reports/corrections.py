"""What persons drew on clips, read out of their structured reports (PS3.16 TID 1500).

Read with tolerance: viewers hang a region below a number or below its group, name structures by code
or by a label, in SNOMED's old codes or its new ones. Strict in what counts: a drawing must be of a
structure or a length that the node knows, on one frame of a clip of the report's own study, and by a
person. One drawing that cannot be placed refuses the whole report, so that none is half applied.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

import echo_node.reports.coded as coded
from echo_node.codes import Code, Reason
from echo_node.edits import Correction, Edit, Shape
from echo_node.errors import CorrectionError
from echo_node.identity import MANUFACTURER
from echo_node.patients import Patient, are_several, date_of
from echo_node.reports.drawings import Drawing, drawings
from echo_node.reports.edited import MODEL as EDITED
from echo_node.reports.observers import made_at, person
from echo_node.reports.source import UNREADABLE, patient_id
from echo_node.reports.subjects import Subject, remarks_in, subject_of

_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
_GROUP = Code("125007", "DCM", "Measurement Group")
# On a whole document, and what its numbers and its depth add.
_UNREADABLE = (
    *UNREADABLE, ArithmeticError, EOFError, InvalidDicomError, OSError, RecursionError, struct.error,
)  # fmt: skip
_ALGORITHM_NAME = Code("111001", "DCM", "Algorithm Name")


def open_document(path: Path) -> Dataset:
    """A structured report from its Part 10 file.

    Raises
    ------
    CorrectionError
        It cannot be read.
    """
    with readable():
        return pydicom.dcmread(path)


def read_corrections(ds: Dataset, sources: Mapping[str, Dataset]) -> tuple[Correction, ...]:
    """Everything that a report corrects.

    Parameters
    ----------
    ds : Dataset
        A structured report.
    sources : mapping of SOPInstanceUID to Dataset
        Normalised headers of the clips that it refers to (:func:`corrected_images`), as far as they are
        known (:func:`echo_node.reports.source.read_source`).

    Returns
    -------
    tuple of Correction
        At least one, in the report's order.

    Raises
    ------
    CorrectionError
        With the coded reason why nothing of the report is taken.
    """
    with readable():
        refuse_own(ds)
        found = [(group, subject, drawing) for group in _groups(ds) for subject, drawing in _usable(group)]
        if not found:
            raise CorrectionError(Reason.NO_CORRECTION, "nothing is drawn of a structure or length that is known")
        return tuple(_correction(ds, group, subject, drawing, sources) for group, subject, drawing in found)


def corrected_images(ds: Dataset) -> frozenset[str]:
    """SOPInstanceUIDs of the images that a report draws on."""
    with readable():
        return frozenset(d.SOPInstanceUID for group in _groups(ds) for d in drawings(group))


def refuse_own(ds: Dataset) -> None:
    """CorrectionError where the node, or another of its kind, made the document for itself and for no person."""
    is_persons = str(ds.get("ManufacturerModelName") or "").strip() == EDITED
    if str(ds.get("Manufacturer") or "").strip() == MANUFACTURER and not is_persons:
        raise CorrectionError(Reason.OWN_REPORT, "its Manufacturer is this software")


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """A document that is not built as one is a refusal. The text of pydicom's errors and warnings quotes values."""
    try:
        with disable_value_validation():
            yield
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, and no fault of the document
        detail = f"its content cannot be read ({type(error).__name__})"
        raise CorrectionError(Reason.NO_CORRECTION, detail) from None


def _groups(ds: Dataset) -> Iterator[Dataset]:
    """The measurement groups of a TID 1500 report, at any depth; none of another document."""
    names = ds.get("ConceptNameCodeSequence") or []
    if names and coded.is_code(names[0], _REPORT):
        yield from _groups_below(ds)


def _groups_below(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence") or []:
        names = child.get("ConceptNameCodeSequence") or []
        if names and coded.is_code(names[0], _GROUP):
            yield child
        else:
            yield from _groups_below(child)


def _usable(group: Dataset) -> Iterator[tuple[Subject, Drawing]]:
    """The drawings of a group that say something of a structure or a length.

    What an algorithm drew is no person's. Two lines in one group are the two diameters of something:
    which of them is the length cannot be told.
    """
    if next(coded.named(group, _ALGORITHM_NAME), None) is not None:
        return
    found = tuple(dict.fromkeys(drawings(group)))  # a viewer repeats the region below every number
    is_ambiguous = sum(d.shape is Shape.LINE for d in found) > 1
    for drawing in found:
        subject = subject_of(group, drawing.shape)
        if subject is not None and not (drawing.shape is Shape.LINE and is_ambiguous):
            yield subject, drawing


def _correction(
    ds: Dataset, group: Dataset, subject: Subject, drawing: Drawing, sources: Mapping[str, Dataset]
) -> Correction:
    observer = person(group) or person(ds)
    if not observer:
        raise CorrectionError(Reason.NO_PERSON, "no Person Observer Name, author or verifier")
    uids = {k: str(ds[k].value) for k in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")}
    if not all(UID(uid).is_valid for uid in uids.values()):
        raise CorrectionError(Reason.NO_CORRECTION, "a UID of the report is none that may be referred to")
    if subject.is_outside and drawing.shape is not Shape.FOREGROUND:
        raise CorrectionError(
            Reason.NO_CORRECTION, "a label says what an outline, box or line is not of; points alone can say that"
        )
    return Correction(
        SOPInstanceUID=drawing.SOPInstanceUID,
        frame_number=_frame(ds, drawing, sources),
        shape=Shape.BACKGROUND if subject.is_outside else drawing.shape,
        points=tuple((y - 0.5, x - 0.5) for x, y in drawing.points),
        subject=subject.of,
        edit=Edit(**uids, observer=observer, made_at=made_at(ds), reason=remarks_in(group)),
    )


def _is_one_patient(source: Dataset, ds: Dataset) -> bool:
    """By PatientID, and by PatientBirthDate where both have one, as the objects of a study are told apart."""
    patients = [
        Patient(PatientID=patient_id(of), PatientBirthDate=date_of(str(of.get("PatientBirthDate") or "")))
        for of in (source, ds)
    ]
    return not are_several(patients)


def _frame(ds: Dataset, drawing: Drawing, sources: Mapping[str, Dataset]) -> int:
    """The frame that was drawn on, once it is sure that it is there and that the drawing lies on it."""
    uid = drawing.SOPInstanceUID
    source = sources.get(uid)
    if source is None:
        raise CorrectionError(Reason.UNKNOWN_CLIP, f"image {uid}")
    if source.StudyInstanceUID != ds.get("StudyInstanceUID"):
        raise CorrectionError(Reason.OTHER_STUDY, f"image {uid}")
    if not _is_one_patient(source, ds):
        raise CorrectionError(Reason.OTHER_PATIENT, f"image {uid}")
    total = int(source.get("NumberOfFrames") or 1)
    frames: Sequence[int] = drawing.frame_numbers or ((1,) if total == 1 else ())
    if len(frames) != 1:  # no frame means all of them (PS3.3 10.3)
        raise CorrectionError(
            Reason.OUTSIDE_IMAGE, f"{len(frames)} frames are named where one must be; image {uid}"
        )
    if not 1 <= frames[0] <= total:
        raise CorrectionError(Reason.OUTSIDE_IMAGE, f"frame {frames[0]} of 1 to {total}, image {uid}")
    rows, columns = int(source.get("Rows") or 0), int(source.get("Columns") or 0)
    if not all(0 <= x <= columns and 0 <= y <= rows for x, y in drawing.points):
        raise CorrectionError(Reason.OUTSIDE_IMAGE, f"a point beside {columns} x {rows} pixels, image {uid}")
    return frames[0]
