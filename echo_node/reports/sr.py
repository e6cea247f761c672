"""A study's results as a Comprehensive 3D SR with the Measurement Report template (PS3.16 TID 1500)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

import pydicom
from highdicom import sr
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

import echo_node
import echo_node.reports.coded as coded
import echo_node.reports.envelope as envelope
from echo_node.codes import LOCAL_SCHEME, Code, Quantity
from echo_node.errors import ReportError
from echo_node.records import Analysis, Edit, Measurement, ObjectKind, Report
from echo_node.reports.coded import concept
from echo_node.reports.groups import Evidence, Group, group_key, measurement_group, not_measured, view_group
from echo_node.reports.observers import edits_of
from echo_node.reports.retired import as_successors, refer_to
from echo_node.reports.source import TYPE_2
from echo_node.reports.uids import derived_uid, series_uid

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")


def build_sr(
    analysis: Analysis,
    sources: Mapping[str, Dataset],
    *,
    segs: Mapping[str, Report],
    predecessors: Sequence[Report] = (),
) -> Report:
    """Views, numbers, and the reasons where there is no number.

    Parameters
    ----------
    analysis : Analysis
        Of one study.
    sources : mapping of SOPInstanceUID to Dataset
        Normalised headers (:func:`echo_node.reports.source.read_source`). A clip without one is left
        out: nothing could refer to it.
    segs : mapping of SOPInstanceUID to Report
        The clips' segmentations, as far as there are any.
    predecessors : sequence of Report
        The SRs that this one replaces (PS3.3 C.17.2.3).

    Raises
    ------
    ReportError
        No header was given, or one that a measurement refers to is missing.

    Notes
    -----
    COMPLETE where every number of the study could be measured, else PARTIAL; UNVERIFIED always.
    """
    clips = [clip for clip in analysis.clips if clip.SOPInstanceUID in sources]
    if not clips:
        raise ReportError(f"study {analysis.StudyInstanceUID}: no source to report on")
    needed = {source.SOPInstanceUID for m in analysis.measurements for source in m.sources}
    if not needed <= sources.keys():
        raise ReportError(f"study {analysis.StudyInstanceUID}: header of a measured clip is missing")
    evidence = Evidence({clip.SOPInstanceUID: clip for clip in clips}, as_successors(sources), segs)
    shown = [sources[clip.SOPInstanceUID] for clip in clips]
    report = sr.MeasurementReport(
        observation_context=_observer(analysis),
        procedure_reported=concept(coded.ECHOCARDIOGRAPHY),
        imaging_measurements=[
            *(view_group(clip, evidence) for clip in clips),
            *_measurement_groups(analysis, evidence),
        ],
    )
    report[0].ContentSequence.append(_evaluations(analysis))
    ds = sr.Comprehensive3DSR(
        evidence=_references(evidence, edits_of(analysis)),
        content=report[0],
        series_instance_uid=series_uid(analysis.StudyInstanceUID, envelope.SR_SERIES.kind, analysis.engine),
        series_number=envelope.SR_SERIES.number,
        sop_instance_uid=_sop_instance_uid(analysis, evidence),
        instance_number=max(analysis.revision, 1),
        manufacturer=envelope.MANUFACTURER,
        is_complete=bool(analysis.measurements) and not analysis.not_measured,
        requested_procedures=_requests(shown[0]) or None,
        previous_versions=[_header(p) for p in predecessors] or None,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    envelope.set_origin(ds, shown[0])
    envelope.set_series(ds, envelope.SR_SERIES, shown[0], analysis.engine)
    envelope.set_made(ds, shown[0], analysis.engine, analysis.made_at)
    ds.CodingSchemeIdentificationSequence = [_own_scheme()]
    refer_to(ds, sources)
    return envelope.to_report(ObjectKind.SR, ds)


def _sop_instance_uid(analysis: Analysis, evidence: Evidence) -> str:
    """By study, what of it was there, engine and revision."""
    return derived_uid(
        analysis.StudyInstanceUID,
        envelope.SR_SERIES.kind,
        analysis.engine.digest,
        analysis.revision,
        *sorted(evidence.clips),
    )


def _own_scheme() -> Dataset:
    """Whose the local codes are (PS3.3 C.12.1.1.10)."""
    item = Dataset()
    item.CodingSchemeDesignator = LOCAL_SCHEME
    item.CodingSchemeName = "Codes of echo-node where no standard code is"
    item.CodingSchemeResponsibleOrganization = envelope.MANUFACTURER
    return item


def _observer(analysis: Analysis) -> sr.ObservationContext:
    """The node as the device that observed (PS3.16 TID 1004)."""
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", analysis.engine.digest, echo_node.__version__),
        name=envelope.MODEL,
        manufacturer_name=envelope.MANUFACTURER,
        model_name=analysis.engine.name,
        serial_number=analysis.engine.digest[:16],
    )
    return sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=concept(coded.DEVICE), observer_identifying_attributes=device
        )
    )


def _measurement_groups(analysis: Analysis, evidence: Evidence) -> list[Group]:
    """Numbers of one region stand together; the geometry with the mass index that it goes by."""
    together: dict[object, list[Measurement]] = {}
    for m in analysis.measurements:
        together.setdefault(group_key(m), []).append(m)
    groups = []
    for numbers in together.values():
        has_index = any(m.quantity is Quantity.LV_MASS_INDEX for m in numbers)
        groups.append(measurement_group(numbers, evidence, findings=analysis.findings if has_index else ()))
    return groups


def _evaluations(analysis: Analysis) -> sr.ContainerContentItem:
    """What holds for the study: reasons that belong to no clip, and what the report is for."""
    of_clips = {n for clip in analysis.clips for n in clip.not_measured}
    container = sr.ContainerContentItem(
        concept(_QUALITATIVE_EVALUATIONS), relationship_type=sr.RelationshipTypeValues.CONTAINS
    )
    items = sr.ContentSequence()
    for item in analysis.not_measured:
        if item not in of_clips:
            items.extend(not_measured(item))
    items.append(
        sr.TextContentItem(
            concept(coded.COMMENT),
            envelope.EDITED if edits_of(analysis) else envelope.RESEARCH_USE,
            relationship_type=sr.RelationshipTypeValues.CONTAINS,
        )
    )
    container.ContentSequence = items
    return container


def _references(evidence: Evidence, edits: Sequence[Edit]) -> list[Dataset]:
    """What the report refers to: clips, then segmentations, then persons' reports.

    As nameless headers: highdicom warns about odd names with the name in the text.
    """
    segs = [_header(evidence.segs[uid]) for uid in evidence.clips if uid in evidence.segs]
    study = next(iter(evidence.sources.values())).StudyInstanceUID
    drawn = [_header_of(edit, study) for edit in edits]
    references = []
    for header in (*(evidence.sources[uid] for uid in evidence.clips), *segs, *drawn):
        item = Dataset()
        for keyword in _UIDS:
            setattr(item, keyword, header[keyword].value)
        for keyword in TYPE_2:
            setattr(item, keyword, None)
        references.append(item)
    return references


def _header(report: Report) -> Dataset:
    """The UIDs of an object that the node made."""
    return pydicom.dcmread(BytesIO(report.content), specific_tags=list(_UIDS), stop_before_pixels=True)


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
