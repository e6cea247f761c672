"""A study's results as an SR with the Measurement Report template (PS3.16 TID 1500)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from highdicom import sr
from pydicom import Dataset

import echo_node.reports.coded as coded
import echo_node.reports.envelope as envelope
from echo_node.codes import ObjectKind
from echo_node.records import Analysis, Report
from echo_node.reports.coded import concept
from echo_node.reports.document import gather, nameless, observer, to_document
from echo_node.reports.groups import findings_of, grouped, measurement_group, view_group
from echo_node.reports.items import Evidence, comment, container, not_measured


def build_sr(
    analysis: Analysis,
    sources: Mapping[str, Dataset],
    *,
    segs: Mapping[str, Report],
    predecessors: Sequence[Report] = (),
    kind: ObjectKind = ObjectKind.SR,
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
    kind : ObjectKind
        SR, or SR_COMPREHENSIVE: all regions are plane, so that the older class holds them too.

    Raises
    ------
    ReportError
        No header was given, or one that a measurement refers to is missing.
    """
    evidence = gather(analysis, sources, segs)
    report = sr.MeasurementReport(
        observation_context=observer(analysis),
        procedure_reported=concept(coded.ECHOCARDIOGRAPHY),
        referenced_images=_library(evidence),
        imaging_measurements=[
            *(view_group(clip, evidence) for clip in evidence.clips.values()),
            *(
                measurement_group(numbers, evidence, findings=findings_of(analysis, numbers))
                for numbers in grouped(analysis.measurements)
            ),
        ],
    )
    report[0].ContentSequence.append(_evaluations(analysis))
    return to_document(
        kind, report[0], analysis=analysis, sources=sources, evidence=evidence, predecessors=predecessors
    )


def _library(evidence: Evidence) -> list[Dataset]:
    """What the image library says of the clips; of one whose header states no size nothing."""
    entries = []
    for uid in evidence.clips:
        source = evidence.sources[uid]
        if source.get("Rows") and source.get("Columns"):
            entry = nameless(source)
            entry.Modality, entry.Rows, entry.Columns = "US", source.Rows, source.Columns
            entries.append(entry)
    return entries


def _evaluations(analysis: Analysis) -> sr.ContainerContentItem:
    """What holds for the study: reasons that belong to no clip, and what the report is for."""
    of_clips = {n for clip in analysis.clips for n in clip.not_measured}
    reasons = [not_measured(item)[0] for item in analysis.not_measured if item not in of_clips]
    return container(coded.QUALITATIVE_EVALUATIONS, [*reasons, comment(envelope.warning(analysis))])
