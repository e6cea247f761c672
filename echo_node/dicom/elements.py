"""A bounded walk over a file's top-level elements, which builds nothing.

A library's parser makes an object of every element and recurses into every sequence: twenty kilobytes of
nested sequences, or sixteen megabytes of empty items, then cost gigabytes. Here nested content is passed
over in one loop, and only what is asked for is read. Encoding: PS3.5 section 7; files: PS3.10 section 7.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.filereader import read_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from echo_node.codes import Reason
from echo_node.errors import ClipError

MOST_ELEMENTS = 100_000  # over all levels; a real clip has some hundreds
LONGEST_VALUE = 1 << 20  # bytes of a value that is read
INFLATED_LIMIT = 256 << 20  # bytes that a deflated dataset may have
UNDEFINED = 0xFFFFFFFF
_PREAMBLE = 132
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_DATA = 0x7FE00010
_LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))

Buffer = bytes | mmap.mmap


@dataclass(frozen=True, slots=True)
class Element:
    """Where a value lies."""

    tag: int
    vr: bytes  # empty where the transfer syntax is implicit
    start: int  # of the value
    length: int  # bytes, or UNDEFINED


@dataclass(frozen=True, slots=True)
class Elements:
    """The top level of a file up to and with its Pixel Data."""

    buffer: Buffer
    TransferSyntaxUID: str
    meta: dict[int, Element]
    found: dict[int, Element] = field(default_factory=dict)

    def text(self, keyword: str) -> str:
        """A value as text without padding; empty where it is missing.

        What is not UTF-8 is escaped: two patients' IDs stay two.
        """
        element = self._element(keyword)
        if element is None or element.length > LONGEST_VALUE:
            return ""
        return self._bytes(element).decode("utf-8", "backslashreplace").strip(" \0")

    def integer(self, keyword: str, default: int) -> int:
        """A US, UL or IS value.

        Raises
        ------
        ClipError
            It is there and is no number.
        """
        element = self._element(keyword)
        if element is None or element.length == 0:
            return default
        raw = self._bytes(element)
        try:
            if keyword in _TEXT_NUMBERS:
                return int(float(raw.decode("ascii").split("\\")[0].strip(" \0")))
            return int(struct.unpack_from(self._order + _INTEGERS[len(raw[:4])], raw)[0])
        except (ValueError, KeyError, OverflowError, struct.error) as error:
            raise ClipError(Reason.UNREADABLE, f"{keyword} is no number") from error

    def numbers(self, keyword: str) -> list[float]:
        """A DS or IS value of any multiplicity; empty where missing or not numbers."""
        try:
            return [float(part) for part in self.text(keyword).split("\\") if part.strip()]
        except ValueError:
            return []

    def sequence(self, keyword: str) -> list[Dataset]:
        """A sequence's items, where it is small enough to be a real one."""
        element = self._element(keyword)
        if element is None:
            return []
        length = self._length_of(element)
        if length > LONGEST_VALUE:
            return []
        head = self._head(element)
        raw = BytesIO(self.buffer[head : element.start + length])
        is_implicit = self.TransferSyntaxUID == ImplicitVRLittleEndian
        try:
            ds = read_dataset(raw, is_implicit, self._order == "<")
            return list(ds[keyword].value)
        except (
            RecursionError,
            ValueError,
            KeyError,
            NotImplementedError,
            EOFError,
            TypeError,
            AttributeError,
        ):
            return []

    def raw(self, keyword: str) -> bytes:
        """A value's bytes; empty where it is missing or longer than is sensible."""
        element = self._element(keyword)
        return b"" if element is None or element.length > LONGEST_VALUE else self._bytes(element)

    @property
    def byte_order(self) -> str:
        """``<`` or ``>``, as struct takes it."""
        return self._order

    @property
    def has_swapped_bytes(self) -> bool:
        """Are eight-bit pixels written in big-endian words (PS3.5 8.1.1)?"""
        element = self.pixel_data
        is_word = element is not None and element.vr == b"OW"
        return self._order == ">" and is_word and self.integer("BitsAllocated", 8) == 8

    @property
    def pixel_data(self) -> Element | None:
        """Where Pixel Data lies."""
        return self.found.get(PIXEL_DATA)

    def _element(self, keyword: str) -> Element | None:
        tag = tag_for_keyword(keyword)
        assert tag is not None
        return self.meta.get(tag) if tag >> 16 == 2 else self.found.get(tag)

    def _bytes(self, element: Element) -> bytes:
        return bytes(self.buffer[element.start : element.start + element.length])

    def _head(self, element: Element) -> int:
        """Where the element itself begins."""
        return element.start - (12 if element.vr else 8)

    def _length_of(self, element: Element) -> int:
        """Length with delimiters, also where it is undefined."""
        if element.length != UNDEFINED:
            return element.length
        walk = _Walk(self.buffer, self._order, implicit=not element.vr)
        return walk.skip_nested(element.start) - element.start

    @property
    def _order(self) -> str:
        return ">" if self.TransferSyntaxUID == ExplicitVRBigEndian else "<"


_TEXT_NUMBERS = frozenset(("NumberOfFrames",))
_INTEGERS = {2: "H", 4: "I"}


@contextmanager
def open_elements(path: Path) -> Iterator[Elements]:
    """Walk a file's header; its bytes stay reachable inside the ``with``.

    Raises
    ------
    ClipError
        It is no DICOM file, ends early, or holds more elements than any real object.
    """
    with path.open("rb") as file:
        try:
            buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise ClipError(Reason.NOT_DICOM, "the file is empty") from None
        with buffer:
            yield walk(buffer)


def walk(buffer: Buffer) -> Elements:
    """Walk a whole Part 10 file in memory."""
    if len(buffer) < _PREAMBLE or buffer[_PREAMBLE - 4 : _PREAMBLE] != b"DICM":
        raise ClipError(Reason.NOT_DICOM, "there is no DICM prefix")
    meta, start = _meta(buffer)
    entry = meta.get(0x00020010)
    syntax = b"" if entry is None else bytes(buffer[entry.start : entry.start + entry.length])
    uid = syntax.decode("ascii", "replace").strip(" \0")
    if not uid:
        raise ClipError(Reason.NOT_DICOM, "File Meta Information names no transfer syntax")
    body: Buffer = buffer
    if uid == DeflatedExplicitVRLittleEndian:
        body, start = _inflated(buffer[start:]), 0
        meta = {}
    order = ">" if uid == ExplicitVRBigEndian else "<"
    elements = Elements(body, uid, meta)
    steps = _Walk(body, order, implicit=uid == ImplicitVRLittleEndian)
    if not steps.may_begin(start):
        raise ClipError(Reason.NOT_DICOM, "no data set follows the File Meta Information")
    for element in steps.top_level(start):
        elements.found[element.tag] = element
        if element.tag == PIXEL_DATA:
            break
    return elements


def _meta(buffer: Buffer) -> tuple[dict[int, Element], int]:
    """File Meta Information, and where the dataset begins."""
    found: dict[int, Element] = {}
    steps = _Walk(buffer, "<", implicit=False)
    position = _PREAMBLE
    while position + 8 <= len(buffer) and buffer[position : position + 2] == b"\x02\x00":
        element = steps.element(position)
        found[element.tag] = element
        position = steps.after(element)
    return found, position


def _inflated(content: bytes) -> bytes:
    """A deflated dataset (PS3.5 A.5), up to the limit."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        body = inflater.decompress(content, INFLATED_LIMIT)
    except zlib.error as error:
        raise ClipError(Reason.UNREADABLE, "the deflated dataset is damaged") from error
    if inflater.unconsumed_tail:
        raise ClipError(Reason.IMPOSSIBLE_SIZE, f"the dataset inflates beyond {INFLATED_LIMIT >> 20} MiB")
    return body


class _Walk:
    """Steps from element to element; counts them over all levels."""

    def __init__(self, buffer: Buffer, order: str, *, implicit: bool) -> None:
        self._buffer, self._implicit = buffer, implicit
        self._tag = struct.Struct(order + "HH")
        self._short = struct.Struct(order + "H")
        self._long = struct.Struct(order + "I")
        self._steps = 0

    def may_begin(self, position: int) -> bool:
        """Could a data set begin here? One with a SOP Class begins in group 8 at the latest (PS3.5 7.1).

        What begins later and states no VR, or a value beyond the end, is text or noise.
        """
        if position + 8 > len(self._buffer):
            return True
        first = self.element(position)
        is_whole = first.length == UNDEFINED or first.start + first.length <= len(self._buffer)
        states_vr = self._implicit or (first.vr.isalpha() and first.vr.isupper())
        return first.tag >> 16 <= 8 or first.tag >> 16 == 0xFFFE or (is_whole and states_vr)

    def top_level(self, position: int) -> Iterator[Element]:
        """Every element from a position on; stray delimiters are passed over."""
        while position + 8 <= len(self._buffer):
            element = self.element(position)
            if element.tag >> 16 == 0xFFFE:
                position = element.start
                continue
            yield element
            position = self.after(element)

    def element(self, position: int) -> Element:
        """The element at a position."""
        self._steps += 1
        if self._steps > MOST_ELEMENTS:
            raise ClipError(Reason.IMPOSSIBLE_SIZE, f"more than {MOST_ELEMENTS} elements")
        if position + 8 > len(self._buffer):
            raise ClipError(Reason.TRUNCATED, f"the file ends inside an element at byte {position}")
        group, number = self._tag.unpack_from(self._buffer, position)
        tag = group << 16 | number
        if self._implicit or group == 0xFFFE:
            return Element(tag, b"", position + 8, self._long.unpack_from(self._buffer, position + 4)[0])
        vr = bytes(self._buffer[position + 4 : position + 6])
        if vr not in _LONG_VRS:
            return Element(tag, vr, position + 8, self._short.unpack_from(self._buffer, position + 6)[0])
        if position + 12 > len(self._buffer):
            raise ClipError(Reason.TRUNCATED, f"the file ends inside an element at byte {position}")
        return Element(tag, vr, position + 12, self._long.unpack_from(self._buffer, position + 8)[0])

    def after(self, element: Element) -> int:
        """Where the next element begins."""
        if element.length == UNDEFINED:
            return len(self._buffer) if element.tag == PIXEL_DATA else self.skip_nested(element.start)
        end = element.start + element.length
        if end > len(self._buffer) and element.tag != PIXEL_DATA:
            raise ClipError(Reason.TRUNCATED, f"the file ends inside the element at byte {element.start}")
        return end

    def skip_nested(self, position: int) -> int:
        """The end of a sequence of undefined length, at any depth of nesting."""
        open_ends = 1
        while open_ends:
            element = self.element(position)
            if element.tag in (_ITEM_END, _SEQUENCE_END):
                open_ends -= 1
                position = element.start
            elif element.length == UNDEFINED:
                open_ends += 1
                position = element.start
            elif element.tag == _ITEM:
                position = element.start + element.length
            else:
                position = self.after(element)
        return position
