"""Masks of a clip as one BINARY Segmentation object (PS3.3 A.51).

An ultrasound clip has no frame of reference, which the SEG classes of general libraries need
(highdicom, issue 284). Here a mask frame finds its image frame by reference and by time instead:
the dimensions are the segment and the temporal position (PS3.3 C.7.6.17), and each frame names its
source frame (PS3.3 C.7.6.16.2.6).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

import numpy as np
from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import SegmentationStorage

import echo_node.reports.coded as coded
import echo_node.reports.envelope as envelope
from echo_node.codes import ObjectKind, Structure
from echo_node.errors import ReportError
from echo_node.records import ClipAnalysis, EngineIdentity, Report, Segmentation
from echo_node.reports.frames import FrameNumbers, encode_element, frame_groups, image_reference, pack
from echo_node.reports.uids import after_rejections, derived_uid, tracking_uid

_NO_ROTATION = [1, 0, 0, 0, 1, 0]


def build_seg(analysis: ClipAnalysis, source: Dataset, *, made_at: datetime, rejections: int = 0) -> Report | None:
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
    segments = shown_segments(analysis)
    if not segments:
        return None
    for segment in segments:
        _check(segment, source)
    shown = [np.asarray(segment.masks.any(axis=(1, 2))) for segment in segments]
    pixels = pack([segment.masks for segment in segments], shown)
    numbers = [np.asarray(s.frame_numbers)[frames] for s, frames in zip(segments, shown, strict=True)]

    ds = Dataset()
    envelope.set_origin(ds, source)
    envelope.set_series(ds, envelope.SEG_SERIES, source, analysis.engine)
    envelope.set_made(ds, source, analysis.engine, made_at)
    ds.SOPClassUID = SegmentationStorage
    ds.SOPInstanceUID = derived_uid(
        source.SOPInstanceUID,
        "SEG",
        analysis.engine.digest,
        _digest(segments, numbers, pixels),
        *after_rejections(rejections),
    )
    ds.InstanceNumber = source.get("InstanceNumber") or 1
    _set_image(ds, source, sum(map(len, numbers)))
    ds.SegmentSequence = [_segment(i, s, source, analysis.engine) for i, s in enumerate(segments, start=1)]
    _set_dimensions(ds)
    ds.SharedFunctionalGroupsSequence = [_shared_groups()]
    ds.ReferencedSeriesSequence = [_referenced_series(source)]
    # the last two elements of all, hence appended: pydicom would copy them about
    groups = encode_element("PerFrameFunctionalGroupsSequence", frame_groups(source, numbers))
    return envelope.to_report(ObjectKind.SEG, ds, groups, encode_element("PixelData", pixels))


def shown_segments(analysis: ClipAnalysis) -> tuple[Segmentation, ...]:
    """The segmentations that have a pixel; SegmentNumber counts them from 1."""
    return tuple(s for s in analysis.segmentations if s.masks.any())


def segment_number(analysis: ClipAnalysis, structure: Structure) -> int | None:
    """SegmentNumber of a structure in the clip's SEG, or None where it is not there."""
    structures = [s.structure for s in shown_segments(analysis)]
    return structures.index(structure) + 1 if structure in structures else None


def _check(segment: Segmentation, source: Dataset) -> None:
    """Viewers lay masks over images pixel upon pixel: nothing may be cropped or scaled."""
    frames, rows, columns = segment.masks.shape
    if (rows, columns) != (source.get("Rows"), source.get("Columns")):
        raise ReportError(f"{segment.SOPInstanceUID}: masks are {rows} x {columns}, the source is not")
    if len(segment.frame_numbers) != frames:
        raise ReportError(f"{segment.SOPInstanceUID}: {frames} masks, {len(segment.frame_numbers)} frames")
    total = int(source.get("NumberOfFrames") or 1)
    if min(segment.frame_numbers) < 1 or max(segment.frame_numbers) > total:
        raise ReportError(f"{segment.SOPInstanceUID}: frame numbers exceed 1 to {total}")


def _digest(segments: Sequence[Segmentation], numbers: Sequence[FrameNumbers], pixels: bytes) -> str:
    digest = hashlib.sha256(pixels)
    for segment, frames in zip(segments, numbers, strict=True):
        digest.update(f"{segment.structure.name}{frames.tolist()}".encode())
        digest.update("".join(edit.SOPInstanceUID for edit in segment.edits).encode())
    return digest.hexdigest()


def _set_image(ds: Dataset, source: Dataset, frames: int) -> None:
    """Image pixel, multi-frame and segmentation image modules (PS3.3 C.7.6.3, C.8.20.2)."""
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.ContentLabel = "AI_ECHO"
    ds.ContentDescription = "Cardiac structures"
    ds.ContentCreatorName = None
    ds.BurnedInAnnotation = "NO"
    ds.SegmentationType = "BINARY"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelRepresentation = 0
    ds.Rows, ds.Columns = source.Rows, source.Columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 1, 1, 0
    ds.NumberOfFrames = frames
    ds.LossyImageCompression = "00"
    if source.get("LossyImageCompression") == "01":  # what was lost upstream stays lost (C.7.6.1.1.5)
        for keyword in (
            "LossyImageCompression",
            "LossyImageCompressionRatio",
            "LossyImageCompressionMethod",
        ):
            if keyword in source:
                ds[keyword] = source[keyword]


def _segment(number: int, segmentation: Segmentation, source: Dataset, engine: EngineIdentity) -> Dataset:
    """An item of the Segment Sequence (PS3.3 C.8.20.4)."""
    structure = segmentation.structure
    item = Dataset()
    item.SegmentNumber = number
    item.SegmentLabel = structure.code.meaning
    item.SegmentAlgorithmType = "SEMIAUTOMATIC" if segmentation.edits else "AUTOMATIC"
    item.SegmentAlgorithmName = engine.name
    item.SegmentationAlgorithmIdentificationSequence = [_algorithm(engine)]
    item.SegmentedPropertyCategoryCodeSequence = [coded.code_item(coded.ANATOMICAL_STRUCTURE)]
    item.SegmentedPropertyTypeCodeSequence = [coded.code_item(structure.code)]
    item.RecommendedDisplayCIELabValue = list(coded.DISPLAY_CIELAB[structure])
    item.TrackingID = envelope.numbered(structure.code, source)
    item.TrackingUID = tracking_uid(segmentation.SOPInstanceUID, structure.name)
    return item


def _algorithm(engine: EngineIdentity) -> Dataset:
    """Algorithm Identification macro (PS3.3 10.16)."""
    item = Dataset()
    item.AlgorithmFamilyCodeSequence = [coded.code_item(coded.ARTIFICIAL_INTELLIGENCE)]
    item.AlgorithmName = engine.name
    item.AlgorithmVersion = engine.version
    item.AlgorithmParameters = f"digest {engine.digest}; backend {engine.backend}"
    return item


def _set_dimensions(ds: Dataset) -> None:
    """Segment, then time (PS3.3 C.7.6.17)."""
    organization = Dataset()
    organization.DimensionOrganizationUID = derived_uid("dimensions", "segment, temporal position")
    ds.DimensionOrganizationSequence = [organization]
    items = []
    for pointer, group, label in (
        ("ReferencedSegmentNumber", "SegmentIdentificationSequence", "Segment"),
        ("TemporalPositionIndex", "FrameContentSequence", "Temporal position"),
    ):
        item = Dataset()
        item.DimensionOrganizationUID = organization.DimensionOrganizationUID
        item.DimensionIndexPointer = Tag(pointer)
        item.FunctionalGroupPointer = Tag(group)
        item.DimensionDescriptionLabel = label
        items.append(item)
    ds.DimensionIndexSequence = items


def _shared_groups() -> Dataset:
    """Orientation, without which viewers refuse the object.

    No Pixel Measures: readers ask for a slice thickness there, which an ultrasound image has not. The
    calibration is that of the source's regions.
    """
    orientation = Dataset()
    orientation.ImageOrientationPatient = _NO_ROTATION
    item = Dataset()
    item.PlaneOrientationSequence = [orientation]
    return item


def _referenced_series(source: Dataset) -> Dataset:
    """Common Instance Reference module (PS3.3 C.12.2)."""
    item = Dataset()
    item.SeriesInstanceUID = source.SeriesInstanceUID
    item.ReferencedInstanceSequence = [image_reference(source)]
    return item
