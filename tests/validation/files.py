"""Source objects as files, encoded as a cart would, well or badly."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.config import disable_value_validation
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from tests.unit.reports.builders import cine, header

ROWS, COLUMNS = 96, 128
Raw = tuple[str, bytes]  # VR and value as they stand in the file


def region() -> Dataset:
    """A calibrated 2D region that fills the picture (PS3.3 C.8.5.5)."""
    item = Dataset()
    item.RegionSpatialFormat = item.RegionDataType = 1
    item.RegionFlags = 2
    item.RegionLocationMinX0 = item.RegionLocationMinY0 = 0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = COLUMNS - 1, ROWS - 1
    item.ReferencePixelX0, item.ReferencePixelY0 = COLUMNS // 2, 0
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3  # cm
    item.PhysicalDeltaX = item.PhysicalDeltaY = 0.06
    return item


def write_source(
    path: Path, uid: str, changes: Mapping[str, Any], raw: Mapping[str, Raw], *, is_implicit: bool = False
) -> Path:
    """Write a clip.

    Parameters
    ----------
    path : Path
        Where to.
    uid : str
        SOPInstanceUID.
    changes : mapping
        Attributes other than a tidy cart's; None leaves one out.
    raw : mapping of keyword or tag in hexadecimal to VR and bytes
        Elements written as these bytes, whatever the standard says of them.
    """
    with disable_value_validation():
        ds = header(uid, **{"FrameTime": "33.3", "Rows": ROWS, "Columns": COLUMNS, **changes})
        if "SequenceOfUltrasoundRegions" not in changes:
            ds.SequenceOfUltrasoundRegions = [region()]
        if "FrameTime" in ds:
            ds.FrameIncrementPointer = Tag("FrameTime")
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
        ds.BitsAllocated = ds.BitsStored = 8
        ds.HighBit, ds.PixelRepresentation = 7, 0
        ds.PixelData = np.ascontiguousarray(cine(ds).frames).tobytes()
        ds["PixelData"].VR = "OB"
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    elements = {element.tag: _encoded(ds, element.tag, is_implicit=is_implicit) for element in ds}
    for name, (vr, value) in raw.items():
        tag = Tag(int(name, 16)) if name[0].isdigit() else Tag(name)
        elements[tag] = _raw(tag, vr, value, is_implicit=is_implicit)
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta, enforce_standard=True)
    content = b"".join(elements[tag] for tag in sorted(elements))
    path.write_bytes(b"\0" * 128 + b"DICM" + buffer.getvalue() + content)
    return path


def _encoded(ds: Dataset, tag: BaseTag, *, is_implicit: bool) -> bytes:
    """An element as pydicom writes it."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, is_implicit
    write_data_element(buffer, ds[tag], convert_encodings(ds.get("SpecificCharacterSet") or ""))
    return bytes(buffer.getvalue())


def _raw(tag: BaseTag, vr: str, value: bytes, *, is_implicit: bool) -> bytes:
    """An element of these bytes (PS3.5 7.1)."""
    value += b" " * (len(value) % 2)
    head = struct.pack("<HH", tag.group, tag.element)
    if is_implicit:
        return head + struct.pack("<I", len(value)) + value
    if vr in EXPLICIT_VR_LENGTH_32:
        return head + vr.encode() + struct.pack("<HI", 0, len(value)) + value
    return head + vr.encode() + struct.pack("<H", len(value)) + value
