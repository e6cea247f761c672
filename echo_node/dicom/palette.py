"""Palette Color Lookup Tables (PS3.3 C.7.6.3.1.5 and .6)."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from echo_node.codes import Reason
from echo_node.dicom.elements import Elements
from echo_node.dicom.pixels import Coding
from echo_node.errors import ClipError

_DISCRETE, _LINEAR = 0, 1  # kinds of segments


def read_palette(elements: Elements, coding: Coding) -> Coding:
    """The coding with its palette u8 [N,3].

    Raises
    ------
    ClipError
        UNKNOWN_CODING: a table is missing or shorter than its descriptor says.
    """
    order = elements.byte_order
    channels = []
    first = 0
    for colour in ("Red", "Green", "Blue"):
        descriptor = elements.raw(f"{colour}PaletteColorLookupTableDescriptor")
        table = elements.raw(f"{colour}PaletteColorLookupTableData")
        segments = elements.raw(f"Segmented{colour}PaletteColorLookupTableData")
        if len(descriptor) < 6:
            raise ClipError(Reason.UNKNOWN_CODING, f"the {colour.lower()} palette has no descriptor")
        entries, first, bits = struct.unpack_from(f"{order}3H", descriptor)
        count = entries or 65536
        if not table and segments:
            table = _expanded(np.frombuffer(segments[: len(segments) // 2 * 2], f"{order}u2"), count)
        channels.append(_entries(table, count, bits, order))
    return replace(coding, palette=np.stack(channels, axis=-1), palette_first=first)


def _entries(table: bytes, count: int, bits: int, order: str) -> npt.NDArray[np.uint8]:
    """A table's entries as eight bits; 16-bit entries that only fill their lower byte are met."""
    if len(table) >= 2 * count:
        words = np.frombuffer(table, f"{order}u2", count)
        return np.asarray(words >> 8 if words.max(initial=0) > 255 else words, np.uint8)
    if bits == 8 and len(table) >= count:
        return np.frombuffer(table, np.uint8, count)
    raise ClipError(Reason.UNKNOWN_CODING, f"a palette of {count} entries has {len(table)} bytes")


def _expanded(segments: npt.NDArray[np.uint16], count: int) -> bytes:
    """A segmented table (PS3.3 C.7.9.2) of 16-bit entries, no longer than it may be."""
    out: list[int] = []
    position = 0
    while position + 2 < len(segments) and len(out) < count:
        kind, length = int(segments[position]), int(segments[position + 1])
        if kind == _DISCRETE:
            out.extend(segments[position + 2 : position + 2 + length].tolist())
            position += 2 + length
        elif kind == _LINEAR and out:
            end = int(segments[position + 2])
            out.extend(np.linspace(out[-1], end, length + 1)[1:].round().astype(int).tolist())
            position += 3
        else:  # indirect segments, or a first segment without a start
            raise ClipError(Reason.UNKNOWN_CODING, f"a palette segment of kind {kind}")
    return np.array(out[:count], segments.dtype).tobytes()
