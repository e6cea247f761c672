"""Masks of a multi-frame image as a Segmentation, BINARY or LABELMAP (PS3.3 A.51, C.8.20.2).

Made for cines without a frame of reference, as ultrasound has them: the SEG classes of general libraries need
one. Here a mask frame finds its image frame by reference and by time instead: the dimensions are the segment
and the temporal position (PS3.3 C.7.6.17), and each frame names its source frame (PS3.3 C.7.6.16.2.6).

This module and ``frames`` know nothing of the node: docs/seg.md shows their use with pydicom alone.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, SegmentationStorage
from pydicom.valuerep import DSfloat

import echo_node.reports.frames as frames

LabelMapSegmentationStorage = UID("1.2.840.10008.5.1.4.1.1.66.7")  # pydicom 3.0 has no name for it
_BACKGROUND = 0  # the pixel value of no segment in a LABELMAP
_BLACK = [0, 32896, 32896]  # CIELab as PCS values (PS3.3 C.10.7.1.1)
_NO_ROTATION = [1, 0, 0, 0, 1, 0]
_MOST_SEGMENTS = 255  # in eight bits, beside the background
_NOMINAL_MM = 1


class SegmentationType(enum.Enum):
    """How masks become pixels (PS3.3 C.8.20.2.3)."""

    BINARY = "BINARY"  # a frame per segment, one bit a pixel
    LABELMAP = "LABELMAP"  # a frame for all segments, eight bits a pixel: the SegmentNumber


_DIMENSIONS = {  # the axes by which frames are ordered (PS3.3 C.7.6.17)
    SegmentationType.BINARY: ("ReferencedSegmentNumber", "TemporalPositionIndex"),
    SegmentationType.LABELMAP: ("TemporalPositionIndex",),
}
_AXES = {  # the functional group that an axis stands in, and its name
    "ReferencedSegmentNumber": ("SegmentIdentificationSequence", "Segment"),
    "TemporalPositionIndex": ("FrameContentSequence", "Temporal position"),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """A structure and where it is.

    Attributes
    ----------
    description : Dataset
        Item of the Segment Sequence (PS3.3 C.8.20.4), for one a highdicom.seg.SegmentDescription; the
        SegmentNumber is set when it is written.
    masks : bool or u8 array [T,H,W]
        Not zero where the structure is; H and W are the source's Rows and Columns.
    frame_numbers : sequence of int
        [T], of the source, counted from 1.
    priority : int
        In a LABELMAP a pixel of several segments is the one's with the highest priority, and of equals the first's.
    """

    description: Dataset
    masks: npt.NDArray[np.bool_] | npt.NDArray[np.uint8]
    frame_numbers: Sequence[int]
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Segments as frames.

    Attributes
    ----------
    segmentation_type : SegmentationType
        How.
    pixels : bytes
        The value of Pixel Data.
    numbers : sequence of int arrays
        The source frames that have a mask: per segment of a BINARY, one array for all of a LABELMAP.
    overlap : bool
        Does a pixel of the object belong to several segments?
    hidden : sequence of int
        Per segment the pixels that a LABELMAP gives to another one.
    """

    segmentation_type: SegmentationType
    pixels: bytes
    numbers: Sequence[frames.FrameNumbers]
    overlap: bool
    hidden: Sequence[int]


def lay_out(
    source: Dataset,
    segments: Sequence[Segment],
    segmentation_type: SegmentationType = SegmentationType.BINARY,
) -> Layout:
    """Turn masks into pixels; frames without a mask are left out.

    Parameters
    ----------
    source : Dataset
        Rows, Columns and NumberOfFrames of the image.
    segments : sequence of Segment
        1 to 255. Each has a pixel: viewers hang on an empty segmentation.
    segmentation_type : SegmentationType, optional
        How.

    Raises
    ------
    ValueError
        There is no segment, an empty one, or one that does not fit the source.
    """
    if not 1 <= len(segments) <= _MOST_SEGMENTS:
        raise ValueError(f"{len(segments)} segments; 1 to {_MOST_SEGMENTS} are possible")
    for segment in segments:
        _check(segment, source)
    masks = [np.asarray(s.masks, np.bool_) for s in segments]
    shown = [np.asarray(m.any(axis=(1, 2))) for m in masks]
    if not all(flags.any() for flags in shown):
        raise ValueError("a segment has no pixel")
    numbers = [np.asarray(s.frame_numbers)[flags] for s, flags in zip(segments, shown, strict=True)]
    if segmentation_type is SegmentationType.LABELMAP:
        labels = frames.paint(masks, shown, numbers, priorities=[s.priority for s in segments])
        return Layout(
            segmentation_type=segmentation_type,
            pixels=labels.pixels,
            numbers=[labels.numbers],
            overlap=False,
            hidden=labels.hidden,
        )
    return Layout(
        segmentation_type=segmentation_type,
        pixels=frames.pack(masks, shown),
        numbers=numbers,
        overlap=frames.overlap(masks, shown, numbers),
        hidden=[0] * len(segments),
    )


def write(
    ds: Dataset,
    source: Dataset,
    segments: Sequence[Segment],
    layout: Layout,
    *,
    spacing_mm: tuple[float, float] | None,
) -> bytes:
    """A Part 10 file in Explicit VR Little Endian.

    Parameters
    ----------
    ds : Dataset
        What is not of the pixels: patient, study, series, equipment, SOPInstanceUID, InstanceNumber, content date,
        time, label, description and creator. The rest is set here, in it. Its ``file_meta`` is kept if it has one.
    source : Dataset
        The image: UIDs, Rows, Columns, what was lost in compression.
    segments : sequence of Segment
        As they were laid out.
    layout : Layout
        Of :func:`lay_out`.
    spacing_mm : (row, column) or None
        Of the source's pixels, where its regions are calibrated alike.
    """
    is_map = layout.segmentation_type is SegmentationType.LABELMAP
    ds.SOPClassUID = LabelMapSegmentationStorage if is_map else SegmentationStorage
    _set_image(ds, source, layout)
    ds.SegmentSequence = [*([_background(segments)] if is_map else []), *_descriptions(segments, layout)]
    _set_dimensions(ds, layout.segmentation_type)
    ds.SharedFunctionalGroupsSequence = [_shared_groups(spacing_mm)]
    ds.ReferencedSeriesSequence = [_referenced_series(source)]
    if not hasattr(ds, "file_meta"):
        ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    # the last two elements of all, hence appended: pydicom would copy them about
    groups = frames.frame_groups(source, layout.numbers, None if is_map else range(1, len(segments) + 1))
    buffer.write(frames.encode_element("PerFrameFunctionalGroupsSequence", groups))
    buffer.write(frames.encode_element("PixelData", layout.pixels))
    return buffer.getvalue()


def _check(segment: Segment, source: Dataset) -> None:
    """Viewers lay masks over images pixel upon pixel: nothing may be cropped or scaled."""
    count, rows, columns = segment.masks.shape
    if (rows, columns) != (source.get("Rows"), source.get("Columns")):
        raise ValueError(f"masks are {rows} x {columns}, the source is not")
    if len(segment.frame_numbers) != count:
        raise ValueError(f"{count} masks, {len(segment.frame_numbers)} frame numbers")
    total = int(source.get("NumberOfFrames") or 1)
    if min(segment.frame_numbers) < 1 or max(segment.frame_numbers) > total:
        raise ValueError(f"frame numbers exceed 1 to {total}")
    if len(set(segment.frame_numbers)) != count:
        raise ValueError("a frame number stands twice")


def _set_image(ds: Dataset, source: Dataset, layout: Layout) -> None:
    """Image pixel, multi-frame and segmentation image modules (PS3.3 C.7.6.3, C.8.20.2)."""
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.BurnedInAnnotation = "NO"
    ds.SegmentationType = layout.segmentation_type.value
    ds.SegmentsOverlap = "YES" if layout.overlap else "NO"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelRepresentation = 0
    ds.Rows, ds.Columns = source.Rows, source.Columns
    if layout.segmentation_type is SegmentationType.LABELMAP:
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
        ds.PixelPaddingValue = _BACKGROUND
    else:
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 1, 1, 0
    ds.NumberOfFrames = sum(map(len, layout.numbers))
    ds.LossyImageCompression = "00"
    if source.get("LossyImageCompression") == "01":  # what was lost upstream stays lost (C.7.6.1.1.5)
        for keyword in (
            "LossyImageCompression",
            "LossyImageCompressionRatio",
            "LossyImageCompressionMethod",
        ):
            if keyword in source:
                ds[keyword] = source[keyword]


def _descriptions(segments: Sequence[Segment], layout: Layout) -> list[Dataset]:
    """Items of the Segment Sequence, numbered from 1; what a LABELMAP cannot show is said."""
    items = []
    for number, (segment, hidden) in enumerate(zip(segments, layout.hidden, strict=True), start=1):
        item = Dataset()
        item.update(segment.description)
        item.SegmentNumber = number
        if hidden:
            said = f"{hidden} of its pixels belong to other segments too and are shown as theirs"
            item.SegmentDescription = f"{item.SegmentDescription}; {said}" if "SegmentDescription" in item else said
        items.append(item)
    return items


def _background(segments: Sequence[Segment]) -> Dataset:
    """Every pixel value needs a description, that of no segment too (PS3.3 C.8.20.2.3.3)."""
    first = segments[0].description
    item = Dataset()
    item.SegmentNumber = _BACKGROUND
    item.SegmentLabel = "Background"
    item.SegmentAlgorithmType = first.SegmentAlgorithmType
    if "SegmentAlgorithmName" in first:
        item.SegmentAlgorithmName = first.SegmentAlgorithmName
    item.SegmentedPropertyCategoryCodeSequence = [frames.code_item(codes.DCM.Background)]
    item.SegmentedPropertyTypeCodeSequence = [frames.code_item(codes.DCM.Background)]
    if "RecommendedDisplayCIELabValue" in first:
        item.RecommendedDisplayCIELabValue = _BLACK
    return item


def _set_dimensions(ds: Dataset, segmentation_type: SegmentationType) -> None:
    """Segment, then time (PS3.3 C.7.6.17); of a LABELMAP time alone. Indices hold for this object and no other."""
    organization = Dataset()
    organization.DimensionOrganizationUID = f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, ds.SOPInstanceUID).int}"
    ds.DimensionOrganizationSequence = [organization]
    items = []
    for keyword in _DIMENSIONS[segmentation_type]:
        group, label = _AXES[keyword]
        item = Dataset()
        item.DimensionOrganizationUID = organization.DimensionOrganizationUID
        item.DimensionIndexPointer = Tag(keyword)
        item.FunctionalGroupPointer = Tag(group)
        item.DimensionDescriptionLabel = label
        items.append(item)
    ds.DimensionIndexSequence = items


def _shared_groups(spacing_mm: tuple[float, float] | None) -> Dataset:
    """Orientation and pixel measures, without either of which viewers refuse the object (OHIF 3.13 does).

    Readers want a slice thickness beside the spacing (highdicom does), which an ultrasound image has not:
    it is nominal. Without calibration both are left out (PS3.3 C.7.6.16.2.1, type 1C).
    """
    orientation = Dataset()
    orientation.ImageOrientationPatient = _NO_ROTATION
    measures = Dataset()
    if spacing_mm is not None:
        measures.PixelSpacing = [DSfloat(mm, auto_format=True) for mm in spacing_mm]
        measures.SliceThickness = _NOMINAL_MM
    item = Dataset()
    item.PlaneOrientationSequence = [orientation]
    item.PixelMeasuresSequence = [measures]
    return item


def _referenced_series(source: Dataset) -> Dataset:
    """Common Instance Reference module (PS3.3 C.12.2)."""
    item = Dataset()
    item.SeriesInstanceUID = source.SeriesInstanceUID
    item.ReferencedInstanceSequence = [frames.image_reference(source)]
    return item
