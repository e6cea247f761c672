"""The frames of a BINARY segmentation: their bits, and what is said of each.

Encoded here by hand where pydicom would take most of the time: pixels and per-frame functional groups
are the last elements of the object and follow its header as bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag

import echo_node.reports.coded as coded

_VR = {"PixelData": "OB"}  # the dictionary says OB or OW; BINARY segmentations have OB (PS3.5 A.2)

Masks = npt.NDArray[np.bool_]  # [T,H,W]
Flags = npt.NDArray[np.bool_]  # [T]
FrameNumbers = npt.NDArray[np.int_]  # [T], counted from 1


def pack(masks: Sequence[Masks], shown: Sequence[Flags]) -> bytes:
    """Pack masks to bits, least significant first, frame upon frame (PS3.5 8.1.1).

    Frames follow each other without a gap: where Rows x Columns is no multiple of eight, a frame
    starts within a byte, and all must be packed as one run of bits.

    Parameters
    ----------
    masks : sequence of bool arrays [T,H,W]
        Per segment; H and W are the same for all.
    shown : sequence of bool arrays [T]
        Per segment the frames to pack.

    Returns
    -------
    bytes
        Padded to an even length.
    """
    if masks[0][0].size % 8 == 0:  # whole bytes per frame: no mask need be copied
        bits = [np.packbits(m.reshape(len(m), -1), axis=1, bitorder="little") for m in masks]
        packed = b"".join(b[s].tobytes() for b, s in zip(bits, shown, strict=True))
    else:
        run = np.concatenate([m[s].reshape(-1) for m, s in zip(masks, shown, strict=True)])
        packed = np.packbits(run, bitorder="little").tobytes()
    return packed + b"\0" * (len(packed) % 2)


def frame_group(source: Dataset, *, segment: int, position: int, frame: int) -> Dataset:
    """What is said of one mask frame (PS3.3 C.7.6.16.1.2).

    Parameters
    ----------
    source : Dataset
        Header of the clip.
    segment : int
        SegmentNumber.
    position : int
        TemporalPositionIndex: rank of the frame among all frames that have a mask.
    frame : int
        Frame number in the source.
    """
    content = Dataset()
    content.TemporalPositionIndex = position
    content.DimensionIndexValues = [segment, position]
    image = image_reference(source)
    image.ReferencedFrameNumber = _fixed_width(frame)
    image.SpatialLocationsPreserved = "YES"
    image.PurposeOfReferenceCodeSequence = [coded.code_item(coded.SOURCE_FOR_PROCESSING)]
    derivation = Dataset()
    derivation.SourceImageSequence = [image]
    derivation.DerivationCodeSequence = [coded.code_item(coded.SEGMENTATION)]
    identification = Dataset()
    identification.ReferencedSegmentNumber = segment
    item = Dataset()
    item.FrameContentSequence = [content]
    item.DerivationImageSequence = [derivation]
    item.SegmentIdentificationSequence = [identification]
    return item


def frame_groups(source: Dataset, numbers: Sequence[FrameNumbers]) -> bytes:
    """All :func:`frame_group` items, encoded, in the order of the pixels: segment by segment, in time.

    Only four values differ from item to item. So one item is encoded, and the values are set in copies
    of it: to encode hundreds of nested items one by one takes longer than the pixels do.

    Parameters
    ----------
    source : Dataset
        Header of the clip.
    numbers : sequence of int arrays [T]
        Per segment the source's frame numbers.
    """
    frames = np.concatenate(numbers)
    segments = np.repeat(np.arange(1, len(numbers) + 1), [len(n) for n in numbers])
    positions = np.unique(frames, return_inverse=True)[1] + 1
    template = encode_item(frame_group(source, segment=1, position=1, frame=1))
    items = np.tile(np.frombuffer(template, np.uint8), (len(frames), 1))  # [frames, bytes of an item]
    for keyword, values in (
        ("ReferencedSegmentNumber", segments.astype("<u2")),
        ("TemporalPositionIndex", positions.astype("<u4")),
        ("DimensionIndexValues", np.stack([segments, positions], axis=1).astype("<u4")),
        ("ReferencedFrameNumber", np.array([_fixed_width(n).encode() for n in frames.tolist()])),
    ):
        raw = values.view(np.uint8).reshape(len(frames), -1)
        start = template.index(encode_element(keyword, bytes(raw.shape[1]))[:8]) + 8
        items[:, start : start + raw.shape[1]] = raw
    return items.tobytes()


def _fixed_width(frame: int) -> str:
    """An integer string of one length for all frames: leading zeros are allowed (PS3.5 6.2, IS)."""
    return f"{frame:06d}"


def image_reference(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    return item


def encode_element(keyword: str, value: bytes) -> bytes:
    """An element in Explicit VR Little Endian (PS3.5 7.1.2) around an encoded value of even length."""
    tag, vr = Tag(keyword), _VR.get(keyword) or dictionary_VR(keyword)
    if vr in ("OB", "SQ"):
        return struct.pack("<HH2sHI", tag.group, tag.element, vr.encode(), 0, len(value)) + value
    return struct.pack("<HH2sH", tag.group, tag.element, vr.encode(), len(value)) + value


def encode_item(item: Dataset) -> bytes:
    """An item of a sequence in Explicit VR Little Endian (PS3.5 7.5)."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, item)
    value = buffer.getvalue()
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value
