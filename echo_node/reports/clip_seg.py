"""A clip's masks as one of the study's objects; how masks become an object stands in ``seg``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from pydicom import Dataset

import echo_node.reports.coded as coded
import echo_node.reports.envelope as envelope
import echo_node.reports.seg as seg
from echo_node.codes import ObjectKind, Structure
from echo_node.edits import Edit
from echo_node.errors import ReportError
from echo_node.records import ClipAnalysis, EngineIdentity, Report, Segmentation
from echo_node.reports.observers import by_whom, last_person
from echo_node.reports.seg import SegmentationType
from echo_node.reports.uids import after_edits, after_rejections, derived_uid, tracking_uid

_LONGEST_LO = 64
_LONGEST_WORDS = 900  # of the 1024 of an ST: a label map adds to them

_FORMS: Mapping[ObjectKind, tuple[SegmentationType, envelope.Series]] = {
    ObjectKind.SEG: (SegmentationType.BINARY, envelope.SEG_SERIES),
    ObjectKind.SEG_LABELMAP: (SegmentationType.LABELMAP, envelope.SEG_LABELMAP_SERIES),
}


def build_seg(
    analysis: ClipAnalysis,
    source: Dataset,
    *,
    made_at: datetime,
    kind: ObjectKind = ObjectKind.SEG,
    rejections: int = 0,
) -> Report | None:
    """All masks of a clip as one object, a segment per structure.

    Parameters
    ----------
    analysis : ClipAnalysis
        Its masks are [T,H,W] with the source's H and W.
    source : Dataset
        Normalised header of the clip (:func:`echo_node.reports.source.read_source`).
    made_at : datetime
        When the masks were made, with a time zone.
    rejections : int
        How often a person has rejected the study's results: what follows is never the rejected object.
    kind : ObjectKind, optional
        SEG, or SEG_LABELMAP. There a pixel of several structures is the one's that a person drew on, and else the
        one's that stands first in ``analysis``.

    Returns
    -------
    Report or None
        None where no mask has a pixel: viewers hang on an empty segmentation.

    Raises
    ------
    ReportError
        Masks or frame numbers do not fit the source.

    Notes
    -----
    The SOPInstanceUID is derived from the source, the engine and the masks themselves: a study that
    is reported again for a late clip refers to the segmentations already sent, and sends none twice.
    """
    shown = shown_segments(analysis)
    if not shown:
        return None
    form, series = _FORMS[kind]
    segments = [_segment(s, source, analysis.engine) for s in shown]
    try:
        layout = seg.lay_out(source, segments, form)
    except ValueError as error:
        raise ReportError(f"{analysis.SOPInstanceUID}: {error}") from error
    ds = Dataset()
    envelope.set_origin(ds, source)
    envelope.set_series(ds, series, source, analysis.engine)
    envelope.set_made(ds, source, analysis.engine, made_at)
    edits = tuple(dict.fromkeys(edit for s in analysis.segmentations for edit in s.edits))
    ds.SOPInstanceUID = derived_uid(
        source.SOPInstanceUID,
        series.kind,
        analysis.engine.digest,
        _digest(shown, layout),
        *after_edits(edits),
        *after_rejections(rejections),
    )
    _set_content(ds, source, edits, rejections)
    ds.file_meta = envelope.file_meta()
    content = seg.write(ds, source, segments, layout, spacing_mm=analysis.spacing_mm)
    return Report(
        kind=kind, SOPClassUID=str(ds.SOPClassUID), SOPInstanceUID=str(ds.SOPInstanceUID), content=content
    )


def _set_content(ds: Dataset, source: Dataset, edits: Sequence[Edit], rejections: int) -> None:
    """Content Identification macro (PS3.3 10.9), and the reports of the persons who edited (C.12.4).

    The persons' reports stand in the Source Instance Sequence alone, not in the Referenced Series
    Sequence: OHIF 3.13 takes whatever it has loaded of the series named there for the image.
    """
    reports = {edit.SOPInstanceUID: edit for edit in edits}
    ds.InstanceNumber = envelope.instance_number(source, edits, rejections)
    ds.ContentLabel = "AI_ECHO_EDITED" if edits else "AI_ECHO"
    ds.ContentDescription = "Cardiac structures"
    ds.ContentCreatorName = last_person(edits)
    if edits:
        edited = f"{ds.ContentDescription}, edited "
        ds.ContentDescription = edited + by_whom(edits, most=_LONGEST_LO - len(edited))
        ds.SourceInstanceSequence = [_reference(edit) for edit in reports.values()]


def _reference(edit: Edit) -> Dataset:
    """SOP Instance Reference macro (PS3.3 10.8) to a person's report."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = edit.SOPClassUID, edit.SOPInstanceUID
    return item


def shown_segments(analysis: ClipAnalysis) -> tuple[Segmentation, ...]:
    """The segmentations that have a pixel; SegmentNumber counts them from 1."""
    return tuple(s for s in analysis.segmentations if s.masks.any())


def segment_number(analysis: ClipAnalysis, structure: Structure) -> int | None:
    """SegmentNumber of a structure in the clip's SEG, or None where it is not there."""
    structures = [s.structure for s in shown_segments(analysis)]
    return structures.index(structure) + 1 if structure in structures else None


def _digest(shown: Sequence[Segmentation], layout: seg.Layout) -> str:
    digest = hashlib.sha256(layout.pixels)
    numbers = layout.numbers if len(layout.numbers) == len(shown) else [layout.numbers[0]] * len(shown)
    for segment, frames in zip(shown, numbers, strict=True):
        digest.update(f"{segment.structure.name}{frames.tolist()}".encode())
        digest.update("".join(edit.SOPInstanceUID for edit in segment.edits).encode())
    return digest.hexdigest()


def _segment(segmentation: Segmentation, source: Dataset, engine: EngineIdentity) -> seg.Segment:
    """A structure with its item of the Segment Sequence (PS3.3 C.8.20.4)."""
    structure = segmentation.structure
    item = Dataset()
    item.SegmentLabel = structure.code.meaning
    item.SegmentAlgorithmType = _algorithm_type(segmentation)
    if item.SegmentAlgorithmType != "MANUAL":
        item.SegmentAlgorithmName = engine.name
        item.SegmentationAlgorithmIdentificationSequence = [_algorithm(engine)]
    _set_creator(item, segmentation.edits)
    item.SegmentedPropertyCategoryCodeSequence = [coded.code_item(coded.ANATOMICAL_STRUCTURE)]
    item.SegmentedPropertyTypeCodeSequence = [coded.code_item(structure.code)]
    item.RecommendedDisplayCIELabValue = list(coded.DISPLAY_CIELAB[structure])
    item.TrackingID = envelope.numbered(structure.code, source)
    item.TrackingUID = tracking_uid(segmentation.SOPInstanceUID, structure.name)
    return seg.Segment(
        description=item,
        masks=segmentation.masks,
        frame_numbers=segmentation.frame_numbers,
        priority=1 if segmentation.drawn_frames else 0,
    )


def _algorithm_type(segmentation: Segmentation) -> str:
    """MANUAL where a person drew every mask; SEMIAUTOMATIC where the software went by what one drew."""
    if not segmentation.edits:
        return "AUTOMATIC"
    seen = np.asarray(segmentation.masks.any(axis=(1, 2)))
    shown = {number for number, is_seen in zip(segmentation.frame_numbers, seen, strict=True) if is_seen}
    return "MANUAL" if shown <= set(segmentation.drawn_frames) else "SEMIAUTOMATIC"


def _set_creator(item: Dataset, edits: Sequence[Edit]) -> None:
    """Who edited a segment: the last person by the attribute for one (PS3.3 C.8.20.2), all in words."""
    if not edits:
        return
    did = "Drawn" if item.SegmentAlgorithmType == "MANUAL" else "Edited"
    item.SegmentDescription = f"{did} {by_whom(edits, most=_LONGEST_WORDS)}"
    creator = last_person(edits)
    if creator is not None:
        item.ContentCreatorName = creator


def _algorithm(engine: EngineIdentity) -> Dataset:
    """Algorithm Identification macro (PS3.3 10.16)."""
    item = Dataset()
    item.AlgorithmFamilyCodeSequence = [coded.code_item(coded.ARTIFICIAL_INTELLIGENCE)]
    item.AlgorithmName = engine.name
    item.AlgorithmVersion = engine.version
    item.AlgorithmParameters = f"digest {engine.digest}; backend {engine.backend}"
    return item
