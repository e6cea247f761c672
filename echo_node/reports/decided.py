"""What goes out once a person has decided: the accepted document, or a note of what was rejected.

An accepted document is the very one that the person saw, in a new instance that says who stands for it. Nothing is
measured or written anew, whatever engine or version of the node runs by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pydicom
from highdicom import ko
from pydicom import Dataset
from pydicom.config import RAISE
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import validate_value

import echo_node
import echo_node.reports.coded as coded
import echo_node.reports.envelope as envelope
from echo_node.codes import ObjectKind
from echo_node.decisions import Decision, Person
from echo_node.errors import DecisionError, ReportError
from echo_node.identity import MANUFACTURER, MODEL
from echo_node.records import Report
from echo_node.reports.coded import concept
from echo_node.reports.document import PROFILES, nameless
from echo_node.reports.observers import as_observer
from echo_node.reports.page import with_state
from echo_node.reports.page_text import accepted_state
from echo_node.reports.pdf import page_of, set_page
from echo_node.reports.uids import derived_uid

DOCUMENTS = frozenset((*PROFILES, ObjectKind.PDF))  # what a person can stand for


def check_person(by: Person) -> None:
    """See that a person can be named in a document.

    Raises
    ------
    DecisionError
        Name, organization or code is empty, or in no form that DICOM allows.
    """
    code = () if by.code is None else (("SH", by.code.value), ("SH", by.code.scheme), ("LO", by.code.meaning))
    for vr, text in (("PN", by.name), ("LO", by.organization), *code):
        try:
            validate_value(vr, text, RAISE)
            is_good = bool(text.strip("^= ")) and "\\" not in text and text.isprintable()
        except ValueError:
            is_good = False
        if not is_good:
            raise DecisionError(f"{text!r} cannot name who decides: it is empty, or no {vr} (PS3.5 6.2)")


def accept_document(report: Report, decision: Decision) -> Report:
    """A document as the person who accepted it stands for it.

    Parameters
    ----------
    report : Report
        Of one of the kinds in ``DOCUMENTS``.
    decision : Decision
        The acceptance.

    Returns
    -------
    Report
        VERIFIED, FINAL and COMPLETE: whatever is missing, the person waits for no more (PS3.3 C.17.2). It names
        the document that it replaces.

    Raises
    ------
    ReportError
        A page that another version of the node drew has no place for its state.
    """
    ds = pydicom.dcmread(BytesIO(report.content))
    ds.PredecessorDocumentsSequence = [envelope.predecessor(ds)]
    ds.SOPInstanceUID = derived_uid(report.SOPInstanceUID, "ACCEPTED")
    local = envelope.set_times(ds, ds, decision.made_at)
    ds.VerificationFlag = "VERIFIED"
    if report.kind is ObjectKind.PDF:
        set_page(ds, with_state(page_of(ds), accepted_state(decision)))
        return envelope.to_report(report.kind, ds)
    ds.CompletionFlag, ds.PreliminaryFlag = "COMPLETE", "FINAL"
    item = Dataset()
    item.VerifyingOrganization = decision.by.organization
    item.VerificationDateTime = f"{local:%Y%m%d%H%M%S.%f%z}"
    item.VerifyingObserverName = decision.by.name
    code = decision.by.code
    item.VerifyingObserverIdentificationCodeSequence = [] if code is None else [coded.code_item(code)]
    ds.VerifyingObserverSequence = [item]
    _say(ds, decision)
    return envelope.to_report(report.kind, ds)


def _say(ds: Dataset, decision: Decision) -> None:
    """Put what the person says in the place of the words that nobody has checked it (there is none in TID 5300)."""
    for section in ds.ContentSequence:
        if section.ValueType == "CONTAINER" and any(
            coded.is_code(section.ConceptNameCodeSequence[0], heading)
            for heading in (coded.SUMMARY, coded.QUALITATIVE_EVALUATIONS)
        ):
            *_, last = coded.named(section, coded.COMMENT)
            last.TextValue = f"{envelope.ACCEPTED} {decision.reason}".strip()


def read_made(path: Path) -> Dataset:
    """The header of an object that the node made and keeps.

    Raises
    ------
    ReportError
        Its file is lost or damaged.
    """
    try:
        return pydicom.dcmread(path, stop_before_pixels=True)
    except (OSError, InvalidDicomError) as error:
        raise ReportError(f"{path}: cannot be read ({type(error).__name__})") from None


def build_rejection(objects: Sequence[Dataset], decision: Decision) -> Report:
    """A Key Object Selection that names what a person rejected (PS3.16 TID 2010).

    Archives that know IHE's Imaging Object Change Management hide what it names; to all others it is a note.

    Parameters
    ----------
    objects : sequence of Dataset
        Headers of the rejected objects (:func:`read_made`), all of the decision's study; at least one.
    decision : Decision
        The rejection.
    """
    first = objects[0]
    references = [nameless(ds) for ds in objects]
    uid = decision.StudyInstanceUID
    kind = envelope.REJECTION_SERIES.kind
    ds = ko.KeyObjectSelectionDocument(
        evidence=references,
        content=ko.KeyObjectSelection(
            document_title=concept(coded.REJECTED_FOR_QUALITY_REASONS),
            referenced_objects=references,
            observer_person_context=as_observer(decision.by),
            description=decision.reason or None,
        ),
        series_instance_uid=derived_uid(uid, kind, echo_node.__version__),
        series_number=envelope.REJECTION_SERIES.number,
        sop_instance_uid=derived_uid(uid, kind, decision.revision, *sorted(ds.SOPInstanceUID for ds in objects)),
        instance_number=decision.revision,
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    for item in ds.ContentSequence:
        if item.ValueType in ("IMAGE", "COMPOSITE"):  # highdicom names a purpose, which TID 2010 does not allow
            del item.ConceptNameCodeSequence
    del ds.ContributingEquipmentSequence  # highdicom's own entry, with a time of its own
    envelope.set_origin(ds, first)
    envelope.set_times(ds, first, decision.made_at)
    ds.SeriesDescription = envelope.REJECTION_SERIES.description
    ds.ManufacturerModelName = MODEL
    ds.SoftwareVersions = echo_node.__version__
    return envelope.to_report(ObjectKind.REJECTION, ds)
