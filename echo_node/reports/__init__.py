"""Results as DICOM objects: an SR per study and a SEG per segmented clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from echo_node.records import Analysis, Report
from echo_node.reports.reading import Reading, read_report
from echo_node.reports.seg import build_seg
from echo_node.reports.source import normalise, read_source
from echo_node.reports.sr import build_sr

__all__ = [
    "Reading",
    "build_reports",
    "build_seg",
    "build_sr",
    "is_sr",
    "normalise",
    "read_report",
    "read_source",
]


def build_reports(
    analysis: Analysis, sources: Mapping[str, Dataset], *, predecessors: Sequence[Report] = ()
) -> tuple[Report, ...]:
    """All objects of a study: a SEG per clip with masks, then the SR that refers to them.

    Parameters
    ----------
    analysis : Analysis
        Of one study.
    sources : mapping of SOPInstanceUID to Dataset
        What :func:`read_source` gives of the clips to report on.
    predecessors : sequence of Report
        SRs of the study already sent, which this one replaces.

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
    return (*segs.values(), build_sr(analysis, sources, segs=segs, predecessors=predecessors))


def is_sr(report: Report) -> bool:
    """Is it the structured report, and not a segmentation?"""
    return bool(report.SOPClassUID == Comprehensive3DSRStorage)
