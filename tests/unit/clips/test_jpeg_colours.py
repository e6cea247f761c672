"""JPEG baseline whose header and codestream differ in what they say of the colours."""

import io
import warnings

import imagecodecs
import numpy as np
import pytest
import simplejpeg
from PIL import Image
from pydicom.pixels.utils import pixel_array

from echo_node.dicom import pixels
from echo_node.dicom.clips import open_clip
from tests.unit.clips.test_codings import COLS, ROWS, J, dataset, written

_across, _down = np.meshgrid(np.linspace(0, 255, COLS), np.linspace(255, 0, ROWS))
PICTURE = np.stack([np.full((ROWS, COLS), 200), _across, _down], axis=-1).astype(np.uint8)
JFIF = b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
NONE = b""


def adobe(transform: int) -> bytes:
    """An APP14 segment: 0 is RGB, 1 is YCbCr."""
    return b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])


def without_marks(stream: bytes) -> bytes:
    """A JPEG without application segments, its components numbered from 1."""
    kept, position = bytearray(stream[:2]), 2
    while stream[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
        segment = bytearray(stream[position:end])
        if stream[position + 1] == 0xC0:
            segment[10::3] = bytes((1, 2, 3))
        if not 0xE0 <= stream[position + 1] <= 0xEF:
            kept += segment
        position = end
    scan = bytearray(stream[position:])
    scan[5:11:2] = bytes((1, 2, 3))
    return bytes(kept + scan)


YCBCR = without_marks(simplejpeg.encode_jpeg(PICTURE, quality=98, colorsubsampling="444"))
PLAIN = without_marks(bytes(imagecodecs.jpeg8_encode(PICTURE, level=98, colorspace="RGB", outcolorspace="RGB")))


def marked(stream: bytes, mark: bytes) -> bytes:
    return stream[:2] + mark + stream[2:]


def difference(found: np.ndarray, picture: np.ndarray = PICTURE) -> float:
    return float(np.abs(found.astype(int) - picture).mean())


@pytest.mark.parametrize(
    ("photometric", "stream", "knows"),
    [
        pytest.param("RGB", marked(YCBCR, JFIF), "pydicom", id="RGB in the header, JFIF in the stream"),
        pytest.param("RGB", marked(YCBCR, adobe(1)), "pydicom", id="RGB in the header, Adobe's YCbCr"),
        pytest.param("RGB", marked(PLAIN, adobe(0)), "pydicom", id="RGB in both"),
        pytest.param("RGB", marked(PLAIN, NONE), "pydicom", id="RGB in the header alone"),
        pytest.param("YBR_FULL_422", marked(YCBCR, NONE), "pydicom", id="YBR in the header alone"),
        pytest.param("YBR_FULL_422", marked(YCBCR, JFIF), "pydicom", id="YBR in the header, JFIF in the stream"),
        # pydicom 3.0 converts what Pillow has made RGB once more
        pytest.param("YBR_FULL_422", marked(YCBCR, adobe(1)), "Pillow", id="YBR in both"),
        pytest.param("YBR_FULL_422", marked(PLAIN, adobe(0)), "Pillow", id="YBR in the header, Adobe's RGB"),
    ],
)
def test_the_stream_is_believed_before_the_header(photometric, stream, knows, tmp_path):
    path = written(tmp_path, dataset(f"{J}.4.50", photometric, 3, [stream], NumberOfFrames=1))
    clip = open_clip(path)
    (found,) = clip.colours([0])
    assert difference(found) < 1
    if knows == "pydicom":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reference = pixel_array(path, raw=False)
    else:
        reference = np.asarray(Image.open(io.BytesIO(stream)).convert("RGB"))
    assert difference(found, reference) < 1
    luma = PICTURE @ np.array([0.299, 0.587, 0.114])
    assert difference(pixels.grey(stream, clip.coding), luma) < 1
