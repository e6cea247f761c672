"""What all SR documents of the node have in common, whatever their template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from highdicom import sr
from pydicom import Dataset
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    SimplifiedAdultEchoSRStorage,
)

import echo_node.reports.coded as coded
import echo_node.reports.envelope as envelope
from echo_node.codes import LOCAL_SCHEME, ObjectKind
from echo_node.edits import Edit
from echo_node.errors import ReportError
from echo_node.identity import MANUFACTURER, MODEL
from echo_node.records import Analysis, Report
from echo_node.reports.coded import concept
from echo_node.reports.items import Evidence
from echo_node.reports.observers import edits_of
from echo_node.reports.retired import as_successors, every_item, refer_to
from echo_node.reports.source import TYPE_2
from echo_node.reports.uids import derived_uid, device_uid, series_uid


@dataclass(frozen=True, slots=True)
class Profile:
    """The class and the series that a kind of SR is sent as."""

    SOPClassUID: UID
    series: envelope.Series


PROFILES: Mapping[ObjectKind, Profile] = {
    ObjectKind.SR: Profile(Comprehensive3DSRStorage, envelope.SR_SERIES),
    ObjectKind.SR_COMPREHENSIVE: Profile(ComprehensiveSRStorage, envelope.SR_COMPREHENSIVE_SERIES),
    ObjectKind.SR_TID5200: Profile(ComprehensiveSRStorage, envelope.SR_TID5200_SERIES),
    ObjectKind.SR_TID5200_SRT: Profile(ComprehensiveSRStorage, envelope.SR_TID5200_SRT_SERIES),
    ObjectKind.SR_TID5300: Profile(SimplifiedAdultEchoSRStorage, envelope.SR_TID5300_SERIES),
}


def gather(analysis: Analysis, sources: Mapping[str, Dataset], segs: Mapping[str, Report]) -> Evidence:
    """What a document of a study can refer to.

    Parameters
    ----------
    analysis : Analysis
        Of one study.
    sources : mapping of SOPInstanceUID to Dataset
        Normalised headers (:func:`echo_node.reports.source.read_source`). A clip without one is left
        out: nothing could refer to it.
    segs : mapping of SOPInstanceUID to Report
        The clips' segmentations, as far as there are any.

    Raises
    ------
    ReportError
        No header was given, or one that a measurement refers to is missing.
    """
    clips = {clip.SOPInstanceUID: clip for clip in analysis.clips if clip.SOPInstanceUID in sources}
    if not clips:
        raise ReportError(f"study {analysis.StudyInstanceUID}: no source to report on")
    needed = {source.SOPInstanceUID for m in analysis.measurements for source in m.sources}
    if not needed <= sources.keys():
        raise ReportError(f"study {analysis.StudyInstanceUID}: header of a measured clip is missing")
    return Evidence(clips, as_successors(sources), segs, frozenset(analysis.withheld))


def language() -> sr.LanguageOfContentItemAndDescendants:
    """What the words of a document are in (PS3.16 TID 1204)."""
    return sr.LanguageOfContentItemAndDescendants(concept(coded.ENGLISH))


def observer(analysis: Analysis) -> sr.ObservationContext:
    """The node as the device that observed (PS3.16 TID 1004)."""
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=device_uid(analysis.engine),
        name=MODEL,
        manufacturer_name=MANUFACTURER,
        model_name=analysis.engine.name,
        serial_number=analysis.engine.digest[:16],
    )
    return sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=concept(coded.DEVICE), observer_identifying_attributes=device
        )
    )


def to_document(
    kind: ObjectKind,
    content: Dataset,
    *,
    analysis: Analysis,
    sources: Mapping[str, Dataset],
    evidence: Evidence,
    predecessors: Sequence[Report],
) -> Report:
    """A content tree as an object.

    Parameters
    ----------
    kind : ObjectKind
        One of ``PROFILES``.
    content : Dataset
        The root of the tree.
    analysis : Analysis
        What the tree says.
    sources : mapping of SOPInstanceUID to Dataset
        The headers as :func:`gather` was given them.
    evidence : Evidence
        What :func:`gather` gave.
    predecessors : sequence of Report
        The documents that this one replaces (PS3.3 C.17.2.3).

    Notes
    -----
    COMPLETE where every number of the study could be measured, else PARTIAL; UNVERIFIED always.
    """
    profile = PROFILES[kind]
    first = sources[next(iter(evidence.clips))]
    ds = sr.ComprehensiveSR(
        evidence=_references(evidence, edits_of(analysis)),
        content=content,
        series_instance_uid=series_uid(analysis.StudyInstanceUID, profile.series.kind, analysis.engine),
        series_number=profile.series.number,
        sop_instance_uid=derived_uid(analysis.StudyInstanceUID, profile.series.kind, analysis.revision),
        instance_number=max(analysis.revision, 1),
        manufacturer=MANUFACTURER,
        is_complete=bool(analysis.measurements) and not analysis.not_measured,
        requested_procedures=_requests(first) or None,
        previous_versions=[envelope.header(p) for p in predecessors] or None,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    ds.SOPClassUID = profile.SOPClassUID  # highdicom lacks one of them, and writes the others alike
    envelope.set_origin(ds, first)
    envelope.set_series(ds, profile.series, first, analysis.engine)
    envelope.set_made(ds, first, analysis.engine, analysis.made_at)
    own = envelope.scheme(LOCAL_SCHEME, "Codes of echo-node where no standard code is", MANUFACTURER)
    ds.CodingSchemeIdentificationSequence.append(own)
    refer_to(ds, sources)
    _unfill(ds)
    return envelope.named_by_content(kind, ds)


def _unfill(ds: Dataset) -> None:
    """Take out what only highdicom asks for: a value beside the reason why there is none, and a purpose of
    the images in the library (PS3.16 TID 1601 row 1, TID 5200 row 8)."""
    for item in every_item(ds):
        if "NumericValueQualifierCodeSequence" in item:
            item.MeasuredValueSequence = []
        if item.get("ValueType") == "CONTAINER" and coded.is_code(
            item.ConceptNameCodeSequence[0], coded.IMAGE_LIBRARY
        ):
            for image in every_item(item):
                if image.get("ValueType") == "IMAGE":
                    del image.ConceptNameCodeSequence


def _references(evidence: Evidence, edits: Sequence[Edit]) -> list[Dataset]:
    """What the report refers to or rests on: clips, then segmentations, then persons' reports.

    As nameless headers: highdicom warns about odd names with the name in the text.
    """
    segs = [envelope.header(evidence.segs[uid]) for uid in evidence.clips if uid in evidence.segs]
    study = next(iter(evidence.sources.values())).StudyInstanceUID
    drawn = [_header_of(edit, study) for edit in {edit.SOPInstanceUID: edit for edit in edits}.values()]
    return [nameless(ds) for ds in (*(evidence.sources[uid] for uid in evidence.clips), *segs, *drawn)]


def nameless(ds: Dataset) -> Dataset:
    """The UIDs of an object, and the attributes that highdicom looks for, empty."""
    item = Dataset()
    for keyword in envelope.UIDS:
        setattr(item, keyword, ds[keyword].value)
    for keyword in TYPE_2:
        setattr(item, keyword, None)
    return item


def _header_of(edit: Edit, StudyInstanceUID: str) -> Dataset:
    """The UIDs of a person's report."""
    item = Dataset()
    item.SOPClassUID, item.SOPInstanceUID = edit.SOPClassUID, edit.SOPInstanceUID
    item.SeriesInstanceUID, item.StudyInstanceUID = edit.SeriesInstanceUID, StudyInstanceUID
    return item


def _requests(source: Dataset) -> list[Dataset]:
    """Items of the Referenced Request Sequence (PS3.3 C.17.2) where the study was requested."""
    sent = list(source.get("RequestAttributesSequence", []))
    if not sent and source.AccessionNumber:
        sent = [Dataset()]
    return [_request(item, source) for item in sent]


def _request(sent: Dataset, source: Dataset) -> Dataset:
    item = Dataset()
    item.StudyInstanceUID = source.StudyInstanceUID
    item.ReferencedStudySequence = []
    item.AccessionNumber = sent.get("AccessionNumber") or source.AccessionNumber
    item.RequestedProcedureID = sent.get("RequestedProcedureID")
    item.RequestedProcedureDescription = sent.get("RequestedProcedureDescription")
    item.RequestedProcedureCodeSequence = []
    item.PlacerOrderNumberImagingServiceRequest = None
    item.FillerOrderNumberImagingServiceRequest = None
    return item
