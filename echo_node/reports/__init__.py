"""Results as DICOM objects: an SR per study and a SEG per segmented clip."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pydicom import Dataset

from echo_node.records import Analysis, ObjectKind, Report
from echo_node.reports.corrections import corrected_images, open_document, read_corrections
from echo_node.reports.reading import Reading, read_report
from echo_node.reports.seg import build_seg
from echo_node.reports.source import normalise, read_source
from echo_node.reports.sr import build_sr

__all__ = [
    "Reading",
    "build_reports",
    "build_seg",
    "build_sr",
    "corrected_images",
    "normalise",
    "open_document",
    "read_corrections",
    "read_report",
    "read_source",
]


def build_reports(
    analysis: Analysis,
    sources: Mapping[str, Dataset],
    *,
    kinds: Collection[ObjectKind] = tuple(ObjectKind),
    earlier: Sequence[Report] = (),
) -> tuple[Report, ...]:
    """All objects of a study: a SEG per clip with masks, then what refers to them.

    Parameters
    ----------
    analysis : Analysis
        Of one study.
    sources : mapping of SOPInstanceUID to Dataset
        What :func:`read_source` gives of the clips to report on.
    kinds : collection of ObjectKind, optional
        What is asked for; everything, where left out.
    earlier : sequence of Report
        Objects of the study already made, oldest first: a document replaces the last of its kind.

    Returns
    -------
    tuple of Report
        Empty where there is no source: nothing was seen that a report could refer to.

    Raises
    ------
    ReportError
        Masks or measurements do not fit the sources.
    """
    clips = [clip for clip in analysis.clips if clip.SOPInstanceUID in sources]
    if not clips:
        return ()
    built = {
        clip.SOPInstanceUID: build_seg(clip, sources[clip.SOPInstanceUID], made_at=analysis.made_at)
        for clip in clips
    }
    segs = {uid: seg for uid, seg in built.items() if seg is not None}
    made = [*segs.values()]
    if ObjectKind.SR in kinds:
        made.append(build_sr(analysis, sources, segs=segs, predecessors=_last(earlier, ObjectKind.SR)))
    return tuple(report for report in made if report.kind in kinds)


def _last(earlier: Sequence[Report], kind: ObjectKind) -> Sequence[Report]:
    """The latest object of a kind, or none."""
    return [report for report in earlier if report.kind is kind][-1:]
