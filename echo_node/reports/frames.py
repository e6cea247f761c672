"""The frames of a segmentation: their pixels, and what is said of each.

Encoded here by hand where pydicom would take most of the time: pixels and per-frame functional groups
are the last elements of the object and follow its header as bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.tag import Tag

_VR = {"PixelData": "OB"}  # the dictionary says OB or OW; up to eight bits a pixel OB will do (PS3.5 A.2)

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


@dataclass(frozen=True, slots=True)
class Labels:
    """Masks as one label map."""

    pixels: bytes  # u8 [T,H,W], padded to an even length
    numbers: FrameNumbers  # [T], the frames that have a mask, in order
    hidden: Sequence[int]  # per segment the pixels that another one got


def paint(
    masks: Sequence[Masks], shown: Sequence[Flags], numbers: Sequence[FrameNumbers], *, priorities: Sequence[int]
) -> Labels:
    """Paint masks as their segments' numbers; a pixel that is taken stays as it is.

    Parameters
    ----------
    masks, shown : sequences of bool arrays [T,H,W] and [T]
        As of :func:`pack`.
    numbers : sequence of int arrays
        Per segment the numbers of the frames to paint.
    priorities : sequence of int
        Per segment; the highest is painted first, and of equals the first.
    """
    union = np.unique(np.concatenate(numbers))
    labels = np.zeros((len(union), *masks[0].shape[1:]), np.uint8)
    hidden = [0] * len(masks)
    for index in sorted(range(len(masks)), key=lambda i: -priorities[i]):
        rows = np.searchsorted(union, numbers[index]).tolist()
        for row, mask in zip(rows, _frames(masks[index], shown[index]), strict=True):
            free = labels[row] == 0
            free &= mask
            hidden[index] += int(np.count_nonzero(mask)) - int(np.count_nonzero(free))
            labels[row] += free.view(np.uint8) * np.uint8(index + 1)
    return Labels(labels.tobytes() + b"\0" * (labels.size % 2), union, hidden)


def overlap(masks: Sequence[Masks], shown: Sequence[Flags], numbers: Sequence[FrameNumbers]) -> bool:
    """Does a pixel of a frame belong to several segments? Parameters as of :func:`paint`."""
    seen: dict[int, npt.NDArray[np.bool_]] = {}
    for of_segment, flags, frames in zip(masks, shown, numbers, strict=True):
        for number, mask in zip(frames.tolist(), _frames(of_segment, flags), strict=True):
            if number in seen and (seen[number] & mask).any():
                return True
            seen[number] = seen[number] | mask if number in seen else mask
    return False


def _frames(masks: Masks, shown: Flags) -> Iterator[npt.NDArray[np.bool_]]:
    return (masks[index] for index in np.flatnonzero(shown).tolist())


def frame_group(source: Dataset, *, segment: int | None, position: int, frame: int) -> Dataset:
    """What is said of one mask frame (PS3.3 C.7.6.16.1.2).

    Parameters
    ----------
    source : Dataset
        Header of the clip.
    segment : int or None
        SegmentNumber; None in a LABELMAP, where each pixel says it.
    position : int
        TemporalPositionIndex: rank of the frame among all frames that have a mask.
    frame : int
        Frame number in the source.
    """
    content = Dataset()
    content.TemporalPositionIndex = position
    content.DimensionIndexValues = [position] if segment is None else [segment, position]
    image = image_reference(source)
    image.ReferencedFrameNumber = _fixed_width(frame)
    image.SpatialLocationsPreserved = "YES"
    image.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.SourceImageForImageProcessingOperation)]
    derivation = Dataset()
    derivation.SourceImageSequence = [image]
    derivation.DerivationCodeSequence = [code_item(codes.DCM.Segmentation)]
    item = Dataset()
    item.FrameContentSequence = [content]
    item.DerivationImageSequence = [derivation]
    if segment is not None:
        identification = Dataset()
        identification.ReferencedSegmentNumber = segment
        item.SegmentIdentificationSequence = [identification]
    return item


def frame_groups(source: Dataset, numbers: Sequence[FrameNumbers], segments: Sequence[int] | None) -> bytes:
    """All :func:`frame_group` items, encoded, in the order of the pixels: segment by segment, in time.

    Only four values differ from item to item. So one item is encoded, and the values are set in copies
    of it: to encode hundreds of nested items one by one takes longer than the pixels do.

    Parameters
    ----------
    source : Dataset
        Header of the clip.
    numbers : sequence of int arrays [T]
        Per segment the source's frame numbers; one array where all segments share frames.
    segments : sequence of int or None
        The segments' numbers; None where they share frames.
    """
    frames = np.concatenate(numbers)
    positions = np.unique(frames, return_inverse=True)[1] + 1
    values: dict[str, npt.NDArray[np.generic]] = {
        "TemporalPositionIndex": positions.astype("<u4"),
        "DimensionIndexValues": positions.astype("<u4"),
        "ReferencedFrameNumber": np.array([_fixed_width(n).encode() for n in frames.tolist()]),
    }
    if segments is not None:
        of_frames = np.repeat(np.asarray(segments), [len(n) for n in numbers])
        values["ReferencedSegmentNumber"] = of_frames.astype("<u2")
        values["DimensionIndexValues"] = np.stack([of_frames, positions], axis=1).astype("<u4")
    first = None if segments is None else 1
    template = encode_item(frame_group(source, segment=first, position=1, frame=1))
    items = np.tile(np.frombuffer(template, np.uint8), (len(frames), 1))  # [frames, bytes of an item]
    for keyword, of_items in values.items():
        raw = of_items.view(np.uint8).reshape(len(frames), -1)
        start = template.index(encode_element(keyword, bytes(raw.shape[1]))[:8]) + 8
        items[:, start : start + raw.shape[1]] = raw
    return items.tobytes()


def _fixed_width(frame: int) -> str:
    """An integer string of one length for all frames: leading zeros are allowed (PS3.5 6.2, IS)."""
    return f"{frame:06d}"


def code_item(code: Code) -> Dataset:
    """A code as an item of a code sequence (PS3.3 8.8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def image_reference(source: Dataset) -> Dataset:
    """Class and UID of an image (PS3.3 10.8)."""
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
