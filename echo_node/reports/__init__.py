"""Results as DICOM objects: SR and page per study, SEG and overlay per clip on which something was drawn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from pydicom import Dataset

from echo_node.codes import ObjectKind
from echo_node.errors import ClipError
from echo_node.pictures import Cine
from echo_node.records import Analysis, ClipAnalysis, Report
from echo_node.reports.budget import NO_LIMIT, Budget, Results, ranked
from echo_node.reports.carts import is_cart_report, read_cart_report
from echo_node.reports.clip_seg import build_seg
from echo_node.reports.corrections import corrected_images, open_document, read_corrections
from echo_node.reports.decided import DOCUMENTS, accept_document, build_rejection, check_person, read_made
from echo_node.reports.edited import build_edit
from echo_node.reports.observers import edits_of
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
    "Budget",
    "Reading",
    "Results",
    "accept_document",
    "build_edit",
    "build_rejection",
    "build_reports",
    "build_results",
    "build_seg",
    "build_sr",
    "check_person",
    "corrected_images",
    "edits_of",
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
    """The reports of :func:`build_results`, without a limit; by default what a destination gets by default."""
    return build_results(analysis, sources, kinds=kinds, frames=frames, earlier=earlier, budget=NO_LIMIT).reports


def build_results(
    analysis: Analysis,
    sources: Mapping[str, Dataset],
    *,
    kinds: Collection[ObjectKind],
    frames: Callable[[str], Cine] | None,
    earlier: Sequence[Report],
    budget: Budget,
    kept: Callable[[str], Report | None] = lambda _: None,
) -> Results:
    """All objects of a study: a SEG per clip with masks, then what refers to them.

    Parameters
    ----------
    analysis : Analysis
        Of one study.
    sources : mapping of SOPInstanceUID to Dataset
        What :func:`read_source` gives of the clips to report on.
    kinds : collection of ObjectKind
        What is asked for.
    frames : callable or None
        From a SOPInstanceUID to the clip's frames. Without it nothing with pictures is made.
    earlier : sequence of Report
        Objects of the study already made, oldest first: a document replaces the last of its kind.
    budget : Budget
        Clips beyond it get no objects of their own; the documents say so.
    kept : callable
        From a SOPInstanceUID to the object that the node has made under it, if any: a clip's object that is known
        is that one still, in the series that archives have it in, though the node is of a later version.

    Returns
    -------
    Results
        Empty where there is no source: nothing was seen that a report could refer to.

    Raises
    ------
    ReportError
        Masks, measurements or frames do not fit the sources.
    """
    clips = [clip for clip in analysis.clips if clip.SOPInstanceUID in sources]
    if not clips:
        return Results(reports=(), withheld=())
    made: dict[str, Sequence[Report]] = {}
    withheld: list[str] = []
    left = budget.max_bytes
    for clip in filter(is_drawn, ranked(analysis, clips)):
        uid = clip.SOPInstanceUID
        if len(made) == budget.max_clips:
            withheld.append(uid)
            continue
        made_now = _of_clip(clip, sources[uid], kinds, frames, analysis)
        own = tuple(kept(report.SOPInstanceUID) or report for report in made_now)
        size = sum(len(report.content) for report in own if report.kind in kinds)
        if size > left:
            withheld.append(uid)
        else:
            made[uid], left = own, left - size
    analysis = replace(analysis, withheld=tuple(withheld))
    of_clips = [report for clip in clips for report in made.get(clip.SOPInstanceUID, ())]
    documents = _documents(analysis, sources, kinds, made, earlier)
    reports = [
        *(report for report in of_clips if report.kind is not ObjectKind.OVERLAY),
        *documents,
        *(report for report in of_clips if report.kind is ObjectKind.OVERLAY),
    ]
    if frames is not None and ObjectKind.PDF in kinds:
        predecessors = _replaced(analysis, earlier, ObjectKind.PDF)
        reports.append(build_pdf(analysis, sources, frames=frames, predecessors=predecessors))
    return Results(reports=tuple(r for r in reports if r.kind in kinds), withheld=analysis.withheld)


def _of_clip(
    clip: ClipAnalysis,
    source: Dataset,
    kinds: Collection[ObjectKind],
    frames: Callable[[str], Cine] | None,
    analysis: Analysis,
) -> Iterator[Report]:
    """A clip's objects. Documents refer to the first: a label map only where nobody asks for the other form."""
    made_at, rejections = analysis.made_at, analysis.rejections
    for kind in (form for form in (ObjectKind.SEG, ObjectKind.SEG_LABELMAP) if form in kinds):
        seg = build_seg(clip, source, made_at=made_at, kind=kind, rejections=rejections)
        if seg is not None:
            yield seg
    if frames is not None and ObjectKind.OVERLAY in kinds:
        try:
            overlay = build_overlay(
                clip, source, frames(clip.SOPInstanceUID), made_at=made_at, rejections=rejections
            )
        except ClipError as error:  # of a long clip only the middle was read before: its numbers go out
            _log.warning("clip %s: no overlay: %s", clip.SOPInstanceUID, error.reason.name)
            return
        if overlay is not None:
            yield overlay


def _documents(
    analysis: Analysis,
    sources: Mapping[str, Dataset],
    kinds: Collection[ObjectKind],
    made: Mapping[str, Sequence[Report]],
    earlier: Sequence[Report],
) -> Iterator[Report]:
    segs = {uid: own[0] for uid, own in made.items() if own and own[0].kind is not ObjectKind.OVERLAY}
    for kind, build in _DOCUMENTS.items():
        if kind in kinds:
            referred = {} if kind is ObjectKind.SR_TID5300 else segs  # that one is numbers alone
            yield build(
                analysis, sources, segs=referred, predecessors=_replaced(analysis, earlier, kind), kind=kind
            )


def _replaced(analysis: Analysis, earlier: Sequence[Report], kind: ObjectKind) -> Sequence[Report]:
    """The latest object of a kind, or none; and that which a person has accepted, where it is another."""
    of_kind = [report for report in earlier if report.kind is kind]
    accepted = () if analysis.acceptance is None else analysis.acceptance.made
    standing = [report for report in of_kind[:-1] if report.SOPInstanceUID in accepted]
    return (*of_kind[-1:], *standing)
