"""An object in another transfer syntax: a segmentation compressed, nothing of it lost, an overlay clip decoded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGLSLossless, SegmentationStorage
from pynetdicom.sop_class import LabelMapSegmentationStorage  # type: ignore[attr-defined]

from echo_node.codes import SegTransferSyntax

_CODABLE = {  # transfer syntax: the classes whose objects can go in it
    SegTransferSyntax.DEFLATED: (
        DeflatedExplicitVRLittleEndian,
        (SegmentationStorage, LabelMapSegmentationStorage),
    ),
    SegTransferSyntax.JPEG_LS: (JPEGLSLossless, (LabelMapSegmentationStorage,)),
}


def preferred(SOPClassUID: str, wanted: SegTransferSyntax) -> str | None:
    """The compressed transfer syntax that an object of a class is to go in, or None for the one that it has."""
    if wanted is SegTransferSyntax.UNCOMPRESSED:
        return None
    uid, classes = _CODABLE[wanted]
    return str(uid) if SOPClassUID in classes else None


def recoded(path: Path, TransferSyntaxUID: str) -> Dataset:
    """Read an uncompressed object, to be written in another transfer syntax.

    Parameters
    ----------
    path : Path
        A Part 10 file in Explicit VR Little Endian.
    TransferSyntaxUID : str
        Deflated Explicit VR Little Endian, or JPEG-LS Lossless for pixels of eight bits.

    Raises
    ------
    ValueError
        The pixels cannot be coded in this transfer syntax.
    """
    ds = dcmread(path)
    if TransferSyntaxUID == JPEGLSLossless:
        ds.PixelData = encapsulate(list(_coded_frames(ds)))
        ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = UID(TransferSyntaxUID)
    return ds


def uncompressed(path: Path) -> Dataset:
    """Read an object, and decode its frames where they are JPEG baseline: the same instance (PS3.4 B.3.3).

    Raises
    ------
    RuntimeError, ValueError
        The frames cannot be decoded.
    """
    ds = dcmread(path)
    if ds.file_meta.TransferSyntaxUID == JPEGBaseline8Bit:
        ds.decompress(generate_instance_uid=False)
    return ds


def _coded_frames(ds: Dataset) -> Iterator[bytes]:
    """Each frame as a codestream (PS3.5 8.2.3)."""
    if ds.BitsAllocated != 8:
        raise ValueError(f"JPEG-LS of {ds.BitsAllocated} bits a pixel")
    shape = int(ds.NumberOfFrames), ds.Rows, ds.Columns
    count = shape[0] * shape[1] * shape[2]
    for frame in np.frombuffer(ds.PixelData, np.uint8, count).reshape(shape):
        yield bytes(imagecodecs.jpegls_encode(frame))
