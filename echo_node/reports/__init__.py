"""Results as DICOM objects: SR and page per study, SEG and overlay per clip on which something was drawn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Protocol

from pydicom import Dataset

from echo_node.codes import ObjectKind
from echo_node.errors import ClipError
from echo_node.pictures import Cine
from echo_node.records import Analysis, ClipAnalysis, Report
from echo_node.reports.carts import is_cart_report, read_cart_report
from echo_node.reports.clip_seg import build_seg
from echo_node.reports.corrections import corrected_images, open_document, read_corrections
from echo_node.reports.decided import DOCUMENTS, accept_document, build_rejection, check_person, read_made
from echo_node.reports.overlay import build_overlay, is_drawn
from echo_node.reports.pdf import build_pdf
from echo_node.reports.reading import Reading, read_report
from echo_node.reports.source import normalise, read_source
from echo_node.reports.sr import build_sr
from echo_node.reports.tid5200 import build_tid5200
from echo_node.reports.tid5300 import build_tid5300

_log = logging.getLogger(__name__)

__all__ = [
    "DOCUMENTS",
    "Reading",
    "accept_document",
    "build_rejection",
    "build_reports",
    "build_seg",
    "build_sr",
    "check_person",
    "corrected_images",
    "is_cart_report",
    "normalise",
    "open_document",
    "read_cart_report",
    "read_corrections",
    "read_made",
    "read_report",
    "read_source",
]


class _Build(Protocol):
    """How a document is built; ``kind`` says in which of its forms."""

    def __call__(
        self,
        analysis: Analysis,
        sources: Mapping[str, Dataset],
        *,
        segs: Mapping[str, Report],
        predecessors: Sequence[Report],
        kind: ObjectKind,
    ) -> Report: ...


_DOCUMENTS: Mapping[ObjectKind, _Build] = {
    ObjectKind.SR: build_sr,
    ObjectKind.SR_COMPREHENSIVE: build_sr,
    ObjectKind.SR_TID5200: build_tid5200,
    ObjectKind.SR_TID5200_SRT: build_tid5200,
    ObjectKind.SR_TID5300: build_tid5300,
}


def build_reports(
    analysis: Analysis,
    sources: Mapping[str, Dataset],
    *,
    kinds: Collection[ObjectKind] = (ObjectKind.SR, ObjectKind.SEG),
    frames: Callable[[str], Cine] | None = None,
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
        What is asked for; what a destination gets by default, where left out.
    frames : callable, optional
        From a SOPInstanceUID to the clip's frames. Without it nothing with pictures is made.
    earlier : sequence of Report
        Objects of the study already made, oldest first: a document replaces the last of its kind.

    Returns
    -------
    tuple of Report
        Empty where there is no source: nothing was seen that a report could refer to.

    Raises
    ------
    ReportError
        Masks, measurements or frames do not fit the sources.
    """
    clips = [clip for clip in analysis.clips if clip.SOPInstanceUID in sources]
    if not clips:
        return ()
    made: list[Report] = []
    segs: dict[str, Report] = {}
    for kind in _segmentations(kinds):
        for clip in clips:
            source = sources[clip.SOPInstanceUID]
            seg = build_seg(clip, source, made_at=analysis.made_at, kind=kind, rejections=analysis.rejections)
            if seg is not None:
                segs.setdefault(clip.SOPInstanceUID, seg)
                made.append(seg)
    for kind, build in _DOCUMENTS.items():
        if kind in kinds:
            made.append(
                build(analysis, sources, segs=segs, predecessors=_replaced(analysis, earlier, kind), kind=kind)
            )
    if frames is not None and ObjectKind.OVERLAY in kinds:
        made.extend(_overlays(analysis, clips, sources, frames))
    if frames is not None and ObjectKind.PDF in kinds:
        predecessors = _replaced(analysis, earlier, ObjectKind.PDF)
        made.append(build_pdf(analysis, sources, frames=frames, predecessors=predecessors))
    return tuple(report for report in made if report.kind in kinds)


def _segmentations(kinds: Collection[ObjectKind]) -> list[ObjectKind]:
    """The forms to make; documents refer to the first: the label map only where nobody asks for the other."""
    forms = (ObjectKind.SEG, ObjectKind.SEG_LABELMAP)
    return [kind for kind in forms if kind in kinds] or [ObjectKind.SEG]


def _overlays(
    analysis: Analysis,
    clips: Sequence[ClipAnalysis],
    sources: Mapping[str, Dataset],
    frames: Callable[[str], Cine],
) -> Iterator[Report]:
    for clip in clips:
        if is_drawn(clip):
            uid = clip.SOPInstanceUID
            try:
                overlay = build_overlay(
                    clip, sources[uid], frames(uid), made_at=analysis.made_at, rejections=analysis.rejections
                )
            except ClipError as error:  # of a long clip only the middle was read before: its numbers go out
                _log.warning("clip %s: no overlay: %s", uid, error.reason.name)
                continue
            if overlay is not None:
                yield overlay


def _replaced(analysis: Analysis, earlier: Sequence[Report], kind: ObjectKind) -> Sequence[Report]:
    """The latest object of a kind, or none; and that which a person has accepted, where it is another."""
    of_kind = [report for report in earlier if report.kind is kind]
    accepted = () if analysis.acceptance is None else analysis.acceptance.made
    standing = [report for report in of_kind[:-1] if report.SOPInstanceUID in accepted]
    return (*of_kind[-1:], *standing)
