"""From a frame's bytes to RGB or grey samples of eight bits, for every coding that carts use.

JPEG baseline goes through libjpeg-turbo (simplejpeg), all other still-image codings through imagecodecs.
A codestream's own header is read before it is decoded, so that it cannot claim more than the dataset says.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import simplejpeg

from echo_node.codes import Reason
from echo_node.errors import ClipError

Grey = npt.NDArray[np.uint8]  # [H,W]
Colour = npt.NDArray[np.uint8]  # [H,W,3], RGB

IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
)  # fmt: skip
NATIVE = frozenset((IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN))
JPEG_BASELINE, JPEG_EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = frozenset(("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"))
JPEG_LS = frozenset(("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"))
JPEG_2000 = frozenset(("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"))
HTJ2K = frozenset(("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203"))
RLE = "1.2.840.10008.1.2.5"
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as YBR_FULL is (PS3.3 C.7.6.3.1.2)
_MAX_COMPONENTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How one frame's pixels are coded (Image Pixel module, PS3.3 C.7.6.3)."""

    TransferSyntaxUID: str
    PhotometricInterpretation: str
    SamplesPerPixel: int
    Rows: int
    Columns: int
    BitsAllocated: int
    BitsStored: int
    PlanarConfiguration: int
    byte_order: str  # "<" or ">"
    has_swapped_bytes: bool  # eight-bit pixels in big-endian words of 16
    palette: npt.NDArray[np.uint8] | None  # [N,3] of PALETTE COLOR
    palette_first: int  # the sample value of its first entry

    @property
    def frame_bytes(self) -> int:
        """Bytes of an uncompressed frame; YBR_FULL_422 has two samples per pixel."""
        samples = 2 if self.PhotometricInterpretation == "YBR_FULL_422" else self.SamplesPerPixel
        return self.Rows * self.Columns * samples * self.BitsAllocated // 8


def is_supported(TransferSyntaxUID: str) -> bool:
    """Can frames of this transfer syntax be decoded?"""
    return TransferSyntaxUID in NATIVE or TransferSyntaxUID in _DECODERS


def grey(content: bytes, coding: Coding) -> Grey:
    """One frame as brightness u8 [H,W].

    Raises
    ------
    ClipError
        IMPOSSIBLE_SIZE or UNREADABLE.
    """
    is_colour = coding.TransferSyntaxUID == JPEG_BASELINE and coding.SamplesPerPixel == 3
    if is_colour and not _is_plain_rgb(content, coding):
        _check_codestream(content, coding)
        return _guarded(lambda: _jpeg_luma(content), coding)
    return _to_grey(_samples(content, coding), coding)


def colour(content: bytes, coding: Coding) -> Colour:
    """One frame as RGB u8 [H,W,3]; the same errors as :func:`grey`."""
    return _to_colour(_samples(content, coding), coding)


def luma(rgb: Colour) -> Grey:
    """Brightness of an RGB picture."""
    return np.asarray((rgb @ LUMA).round(), np.uint8)


def _samples(content: bytes, coding: Coding) -> npt.NDArray[Any]:
    """Samples as stored, [H,W] or [H,W,3]; compressed YBR is RGB already where its decoder does that."""
    if coding.TransferSyntaxUID in NATIVE:
        return _guarded(lambda: _native(content, coding), coding)
    if coding.TransferSyntaxUID != RLE:
        _check_codestream(content, coding)
    decoder = _DECODERS[coding.TransferSyntaxUID]
    return _guarded(lambda: decoder(content, coding), coding)


def _guarded(decode: Callable[[], npt.NDArray[Any]], coding: Coding) -> npt.NDArray[Any]:
    """Run a decoder; what it cannot read, or reads to another size, is an error of the clip."""
    try:
        picture = decode()
    except (ValueError, RuntimeError, IndexError, TypeError, MemoryError) as error:
        raise ClipError(Reason.UNREADABLE, f"{type(error).__name__} of the decoder") from error
    if picture.shape[:2] != (coding.Rows, coding.Columns):
        raise ClipError(Reason.IMPOSSIBLE_SIZE, f"a frame of {picture.shape[:2]}; Rows and Columns say otherwise")
    return picture


def _native(content: bytes, coding: Coding) -> npt.NDArray[Any]:
    rows, cols = coding.Rows, coding.Columns
    dtype = np.dtype(np.uint8 if coding.BitsAllocated == 8 else f"{coding.byte_order}u2")
    if coding.PhotometricInterpretation == "YBR_FULL_422":
        return _upsampled_422(np.frombuffer(content, np.uint8).reshape(rows, cols // 2, 4))
    flat = np.frombuffer(content, dtype)
    if coding.has_swapped_bytes:
        flat = flat.reshape(-1, 2)[:, ::-1].ravel()
    if coding.SamplesPerPixel == 1:
        return flat.reshape(rows, cols)
    if coding.PlanarConfiguration == 1:
        return np.moveaxis(flat.reshape(coding.SamplesPerPixel, rows, cols), 0, -1)
    return flat.reshape(rows, cols, coding.SamplesPerPixel)


def _upsampled_422(pairs: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Y1 Y2 CB CR for two pixels (PS3.3 C.7.6.3.1.2) to YBR [H,W,3]."""
    rows, half, _ = pairs.shape
    out = np.empty((rows, 2 * half, 3), np.uint8)
    out[:, 0::2, 0], out[:, 1::2, 0] = pairs[..., 0], pairs[..., 1]
    out[..., 1] = np.repeat(pairs[..., 2], 2, axis=1)
    out[..., 2] = np.repeat(pairs[..., 3], 2, axis=1)
    return out


def _jpeg_luma(content: bytes) -> Grey:
    return np.asarray(simplejpeg.decode_jpeg(content, colorspace="GRAY")[..., 0], np.uint8)


def _jpeg(content: bytes, coding: Coding) -> npt.NDArray[Any]:
    if coding.SamplesPerPixel == 1:
        return _jpeg_luma(content)
    if _is_plain_rgb(content, coding):
        decoded: npt.NDArray[Any] = imagecodecs.jpeg8_decode(content, colorspace="RGB", outcolorspace="RGB")
        return decoded
    return np.asarray(simplejpeg.decode_jpeg(content, colorspace="RGB"))


def _is_plain_rgb(content: bytes, coding: Coding) -> bool:
    """Is a JPEG of three components coded without a colour transform, by its header alone?

    A stream that says itself what its components are is believed before the header; libjpeg-turbo goes by it.
    """
    return coding.PhotometricInterpretation == "RGB" and not any(
        marker in _NAMES_COLOURS and content.startswith(_NAMES_COLOURS[marker], start + 2)
        for marker, start in _segments(content)
    )


def _rle(content: bytes, coding: Coding) -> npt.NDArray[Any]:
    """Byte planes per sample (PS3.5 G), into a buffer of the size that the dataset states."""
    dtype = np.dtype(np.uint8 if coding.BitsAllocated == 8 else "<u2")
    size = coding.SamplesPerPixel * coding.Rows * coding.Columns * dtype.itemsize
    flat = np.frombuffer(imagecodecs.dicomrle_decode(content, dtype, out=size), dtype)
    planes = flat.reshape(coding.SamplesPerPixel, coding.Rows, coding.Columns)
    return planes[0] if coding.SamplesPerPixel == 1 else np.moveaxis(planes, 0, -1)


_Decoder = Callable[[bytes, Coding], npt.NDArray[Any]]
_DECODERS: Mapping[str, _Decoder] = {
    JPEG_BASELINE: _jpeg,
    JPEG_EXTENDED: lambda content, _: imagecodecs.jpeg8_decode(content),
    **dict.fromkeys(JPEG_LOSSLESS, lambda content, _: imagecodecs.ljpeg_decode(content)),
    **dict.fromkeys(JPEG_LS, lambda content, _: imagecodecs.jpegls_decode(content)),
    **dict.fromkeys(JPEG_2000, lambda content, _: imagecodecs.jpeg2k_decode(content)),
    **dict.fromkeys(HTJ2K, lambda content, _: imagecodecs.jpeg2k_decode(content)),
    RLE: _rle,
}


def _check_codestream(content: bytes, coding: Coding) -> None:
    """Rows, columns and components as the codestream's own header states them."""
    stated = _codestream_size(content)
    if stated is None:
        raise ClipError(Reason.UNREADABLE, "a frame does not begin like its transfer syntax says")
    rows, cols, components = stated
    if (rows, cols) != (coding.Rows, coding.Columns) or components > _MAX_COMPONENTS:
        raise ClipError(
            Reason.IMPOSSIBLE_SIZE,
            f"the codestream is {rows} x {cols} x {components}, not {coding.Rows} x {coding.Columns}",
        )


def _codestream_size(content: bytes) -> tuple[int, int, int] | None:
    """Rows, columns, components of a JPEG 2000 (SIZ), JPEG or JPEG-LS (SOF) codestream.

    Decoders differ in which of several frame headers they go by: all of them must say the same.
    """
    if content[:4] == b"\xff\x4f\xff\x51" and len(content) >= 42:
        x, y, x0, y0 = struct.unpack_from(">4I", content, 8)
        return y - y0, x - x0, struct.unpack_from(">H", content, 40)[0]
    if content[:2] != b"\xff\xd8":
        return None
    sizes = set(_frame_headers(content))
    return sizes.pop() if len(sizes) == 1 else None


def _frame_headers(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Rows, columns and components of each frame header (SOF) before the first scan (ITU-T T.81 B.2.2)."""
    for marker, start in _segments(content):
        if marker in _START_OF_FRAME:
            rows, cols, components = struct.unpack_from(">HHB", content, start + 3)
            yield rows, cols, components


def _segments(content: bytes) -> Iterator[tuple[int, int]]:
    """Marker and start of the length of each marker segment before the first scan (ITU-T T.81 B.1.1.4)."""
    position = 2
    while position + 10 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == _START_OF_SCAN:
            return
        if marker == 0xFF:  # fill
            position += 1
            continue
        yield marker, position + 2
        position += 2 + int(struct.unpack_from(">H", content, position + 2)[0])


_START_OF_SCAN = 0xDA
# APP0 and APP14: JFIF's components are always YCbCr (ITU-T T.871 7), Adobe's segment has a flag (T.872 6.5.3)
_NAMES_COLOURS = {0xE0: b"JFIF\0", 0xEE: b"Adobe"}
_START_OF_FRAME = frozenset((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7))


def _to_grey(samples: npt.NDArray[Any], coding: Coding) -> Grey:
    if coding.PhotometricInterpretation == "PALETTE COLOR" or samples.ndim == 3:
        if _is_ybr(coding):
            return np.ascontiguousarray(samples[..., 0])
        return luma(_to_colour(samples, coding))
    grey = _eight_bits(samples, coding)
    return 255 - grey if coding.PhotometricInterpretation == "MONOCHROME1" else grey


def _to_colour(samples: npt.NDArray[Any], coding: Coding) -> Colour:
    if coding.PhotometricInterpretation == "PALETTE COLOR":
        assert coding.palette is not None
        index = np.clip(samples.astype(np.int32) - coding.palette_first, 0, len(coding.palette) - 1)
        return coding.palette[index]
    if samples.ndim == 2:
        return np.repeat(_to_grey(samples, coding)[..., None], 3, axis=2)
    return _ybr_to_rgb(samples) if _is_ybr(coding) else np.asarray(samples, np.uint8)


def _is_ybr(coding: Coding) -> bool:
    """Does the decoder leave YBR? libjpeg-turbo and OpenJPEG give RGB."""
    is_left = coding.TransferSyntaxUID in NATIVE | JPEG_LOSSLESS | JPEG_LS | {RLE}
    return is_left and coding.PhotometricInterpretation in ("YBR_FULL", "YBR_FULL_422")


def _ybr_to_rgb(ybr: npt.NDArray[np.uint8]) -> Colour:
    """PS3.3 C.7.6.3.1.2, inverted."""
    y, b, r = (ybr[..., i].astype(np.float32) for i in range(3))
    b, r = b - 128, r - 128
    rgb = np.stack([y + 1.402 * r, y - 0.344136 * b - 0.714136 * r, y + 1.772 * b], axis=-1)
    return np.asarray(np.clip(rgb.round(), 0, 255), np.uint8)


def _eight_bits(samples: npt.NDArray[Any], coding: Coding) -> Grey:
    """Samples of more than eight bits keep their upper eight."""
    if samples.dtype == np.uint8:
        return np.asarray(samples, np.uint8)
    return np.asarray(np.clip(samples >> max(0, coding.BitsStored - 8), 0, 255), np.uint8)
