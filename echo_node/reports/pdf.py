"""A study's results on one page, for archives that show neither SR nor SEG (Encapsulated PDF, PS3.3 A.45.1)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence

from pydicom import Dataset
from pydicom.uid import EncapsulatedPDFStorage

import echo_node.reports.coded as coded
import echo_node.reports.envelope as envelope
from echo_node.codes import ObjectKind, View
from echo_node.errors import ClipError
from echo_node.pictures import Cine, Picture, curve_of, drawn_frame, headline
from echo_node.records import Analysis, ClipAnalysis, Report
from echo_node.reports.frames import image_reference
from echo_node.reports.overlay import is_drawn
from echo_node.reports.page import Panel, draw_page
from echo_node.reports.page_text import TITLE, clip_numbers, page_text
from echo_node.reports.uids import derived_uid

_log = logging.getLogger(__name__)

MOST_PANELS = 3
_SHOWN_WIDTH = 220  # pixels that 60 mm of paper are read as


def build_pdf(
    analysis: Analysis,
    sources: Mapping[str, Dataset],
    *,
    frames: Callable[[str], Cine],
    predecessors: Sequence[Report] = (),
) -> Report:
    """One page: identification, numbers, reasons, pictures and curves.

    Parameters
    ----------
    analysis : Analysis
        Of one study.
    sources : mapping of SOPInstanceUID to Dataset
        Normalised headers (:func:`echo_node.reports.source.read_source`); at least one.
    frames : callable
        From a SOPInstanceUID to the clip's frames; only end diastole and end systole are decoded. What
        cannot be is left out, and the page says so.
    predecessors : sequence of Report
        The pages that this one replaces (PS3.3 C.24.2).

    Notes
    -----
    The SOPInstanceUID is derived from the study, the engine, the revision and the page itself.
    """
    clips = [clip for clip in analysis.clips if clip.SOPInstanceUID in sources]
    sources = {clip.SOPInstanceUID: sources[clip.SOPInstanceUID] for clip in clips}
    shown = list(sources.values())
    numbers = clip_numbers(sources)
    panels = [_panel(clip, numbers[clip.SOPInstanceUID], _opened(clip, frames)) for clip in _best(analysis, clips)]
    page = draw_page(page_text(analysis, sources), panels, made_at=analysis.made_at)
    ds = Dataset()
    envelope.set_origin(ds, shown[0])
    envelope.set_series(ds, envelope.PDF_SERIES, shown[0], analysis.engine)
    envelope.set_made(ds, shown[0], analysis.engine, analysis.made_at)
    ds.SOPClassUID = EncapsulatedPDFStorage
    ds.SOPInstanceUID = derived_uid(
        analysis.StudyInstanceUID,
        envelope.PDF_SERIES.kind,
        analysis.engine.digest,
        analysis.revision,
        hashlib.sha256(page).hexdigest(),
    )
    ds.InstanceNumber = max(analysis.revision, 1)
    ds.ConversionType = "WSD"
    ds.AcquisitionDateTime = None
    ds.VerificationFlag = "UNVERIFIED"
    ds.BurnedInAnnotation = "YES"
    ds.DocumentTitle = TITLE
    ds.ConceptNameCodeSequence = [coded.code_item(coded.ECHO_REPORT)]
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    set_page(ds, page)
    ds.SourceInstanceSequence = [_source_reference(source) for source in shown]
    if predecessors:
        ds.PredecessorDocumentsSequence = [envelope.predecessor(envelope.header(p)) for p in predecessors]
    return envelope.to_report(ObjectKind.PDF, ds)


def set_page(ds: Dataset, page: bytes) -> None:
    """Set the page and its length, which leaves out what makes it even (PS3.3 C.24.2)."""
    ds.EncapsulatedDocumentLength = len(page)
    ds.EncapsulatedDocument = page + b"\0" * (len(page) % 2)


def page_of(ds: Dataset) -> bytes:
    """The page of an object that :func:`build_pdf` made."""
    page: bytes = ds.EncapsulatedDocument
    return page[: ds.EncapsulatedDocumentLength]


def _source_reference(source: Dataset) -> Dataset:
    item = image_reference(source)
    item.PurposeOfReferenceCodeSequence = [coded.code_item(coded.SOURCE_FOR_PROCESSING)]
    return item


def _best(analysis: Analysis, clips: Sequence[ClipAnalysis]) -> list[ClipAnalysis]:
    """A clip per view: one that the study's own numbers come from, or else the surest."""
    of_clips = {m for clip in clips for m in clip.measurements}
    used = {s.SOPInstanceUID for m in analysis.measurements if m not in of_clips for s in m.sources}
    by_view: dict[object, ClipAnalysis] = {}
    for clip in clips:
        if clip.prediction is None or clip.cycle is None or not is_drawn(clip):
            continue
        best = by_view.get(clip.prediction.view)
        if best is None or _rank(clip, used) > _rank(best, used):
            by_view[clip.prediction.view] = clip
    ranked = sorted(by_view.values(), key=lambda clip: _rank(clip, used), reverse=True)[:MOST_PANELS]
    return sorted(ranked, key=lambda clip: list(View).index(clip.prediction.view) if clip.prediction else 0)


def _rank(clip: ClipAnalysis, used: set[str]) -> tuple[bool, bool, float]:
    assert clip.prediction is not None
    return clip.SOPInstanceUID in used, bool(clip.measurements), clip.prediction.probability


def _opened(clip: ClipAnalysis, frames: Callable[[str], Cine]) -> Cine | None:
    """The clip's frames; None where its file can no longer be read."""
    try:
        return frames(clip.SOPInstanceUID)
    except ClipError as error:
        _log.warning("clip %s is not shown: %s", clip.SOPInstanceUID, error.reason.name)
        return None


def _drawn(clip: ClipAnalysis, cine: Cine, number: int) -> Picture | None:
    """A frame with what was found on it; None where it cannot be decoded."""
    try:
        (frame,) = cine.colours([number - 1])
        return drawn_frame(frame, cine.sector, clip, number, shown_width=_SHOWN_WIDTH)
    except ClipError as error:
        _log.warning("clip %s: frame %d is not shown: %s", clip.SOPInstanceUID, number, error.reason.name)
        return None


def _panel(clip: ClipAnalysis, number: str, cine: Cine | None) -> Panel:
    """End diastole, end systole and the curve of a clip."""
    curve = curve_of(clip)
    assert clip.cycle is not None, "only clips with a cycle are shown"
    assert curve is not None, "a cycle is found on a curve"
    name, values, times_ms = curve
    drawn = {number: None if cine is None else _drawn(clip, cine, number) for number in sorted(set(clip.cycle))}
    cycle = tuple(zip(("ED", "ES"), clip.cycle, strict=True))
    all_times = None if cine is None else cine.times_ms
    moments = () if all_times is None else tuple((label, float(all_times[n - 1])) for label, n in cycle)
    return Panel(
        caption=f"Clip {number}: {headline(clip)}",
        pictures=tuple((f"{label} frame {number}", drawn[number]) for label, number in cycle),
        curve_name=name,
        values=values,
        times_ms=times_ms,
        moments=moments,
        structures=tuple(s.structure for s in clip.segmentations if s.masks.any()),
    )
