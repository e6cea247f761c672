"""Where each frame's bytes lie: native by arithmetic, encapsulated by offset tables or fragments.

PS3.5 A.4: a Basic Offset Table item, possibly empty, then fragments, then a sequence delimiter.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from echo_node.codes import Reason
from echo_node.dicom.elements import UNDEFINED, Buffer, Element
from echo_node.errors import ClipError

_ITEM = b"\xfe\xff\x00\xe0"
_END = b"\xfe\xff\xdd\xe0"
MOST_FRAGMENTS = 200_000  # a clip has one per frame, a video one per 64 KiB or so
_CODESTREAM_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")  # JPEG and JPEG-LS SOI; JPEG 2000 SOC, SIZ

Span = tuple[int, int]  # start and end in the buffer


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """The spans that make each frame."""

    spans: tuple[tuple[Span, ...], ...]

    def read(self, buffer: Buffer, index: int) -> bytes:
        """One frame's bytes."""
        return b"".join(bytes(buffer[start:end]) for start, end in self.spans[index])


def native(element: Element, size: int, *, frames: int, frame_bytes: int) -> FrameIndex:
    """Frames of uncompressed Pixel Data.

    Raises
    ------
    ClipError
        TRUNCATED: the file ends before the last frame does.
    """
    available = min(element.length, size - element.start)
    if available < frames * frame_bytes:
        raise ClipError(
            Reason.TRUNCATED, f"{available} bytes of pixels; {frames} frames need {frames * frame_bytes}"
        )
    starts = (element.start + i * frame_bytes for i in range(frames))
    return FrameIndex(tuple(((start, start + frame_bytes),) for start in starts))


def encapsulated(buffer: Buffer, element: Element, *, frames: int) -> FrameIndex:
    """Frames of encapsulated Pixel Data.

    Raises
    ------
    ClipError
        TRUNCATED: the last fragment is cut off, or there are fewer fragments than frames.
        UNREADABLE: fragments cannot be told apart into frames.
    """
    if element.length != UNDEFINED:
        raise ClipError(Reason.UNREADABLE, "compressed Pixel Data is not encapsulated")
    table, fragments = _fragments(buffer, element.start)
    if frames == 1:
        return FrameIndex((tuple(fragments),))
    if len(fragments) == frames:
        return FrameIndex(tuple((span,) for span in fragments))
    if len(fragments) < frames:
        raise ClipError(Reason.TRUNCATED, f"{len(fragments)} fragments; there should be {frames} frames")
    starts = _from_table(table, fragments, frames) or _from_codestreams(buffer, fragments, frames)
    if starts is None:
        raise ClipError(Reason.UNREADABLE, f"{len(fragments)} fragments do not divide into {frames} frames")
    ends = [*starts[1:], len(fragments)]
    return FrameIndex(tuple(tuple(fragments[a:b]) for a, b in zip(starts, ends, strict=True)))


def whole_stream(buffer: Buffer, element: Element) -> bytes:
    """All fragments joined: a video."""
    _, fragments = _fragments(buffer, element.start)
    return b"".join(bytes(buffer[start:end]) for start, end in fragments)


def _fragments(buffer: Buffer, position: int) -> tuple[bytes, list[Span]]:
    """The offset table's bytes, and every fragment."""
    items: list[Span] = []
    while position + 8 <= len(buffer):
        tag = buffer[position : position + 4]
        if tag == _END:
            break
        if tag != _ITEM:
            raise ClipError(Reason.UNREADABLE, f"no fragment begins at byte {position}")
        (length,) = struct.unpack_from("<I", buffer, position + 4)
        start, end = position + 8, position + 8 + length
        if end > len(buffer):
            raise ClipError(Reason.TRUNCATED, f"the file ends inside the fragment at byte {position}")
        items.append((start, end))
        if len(items) > MOST_FRAGMENTS:
            raise ClipError(Reason.IMPOSSIBLE_SIZE, f"more than {MOST_FRAGMENTS} fragments")
        position = end
    if len(items) < 2:
        raise ClipError(Reason.TRUNCATED, "there is no fragment")
    return bytes(buffer[items[0][0] : items[0][1]]), items[1:]


def _from_table(table: bytes, fragments: list[Span], frames: int) -> list[int] | None:
    """First fragments by the Basic Offset Table, where it fits them."""
    if len(table) != 4 * frames:
        return None
    first = fragments[0][0] - 8
    by_offset = {start - 8 - first: number for number, (start, _) in enumerate(fragments)}
    offsets = struct.unpack(f"<{frames}I", table)
    starts = [by_offset.get(offset, -1) for offset in offsets]
    return starts if starts[0] == 0 and -1 not in starts and sorted(set(starts)) == starts else None


def _from_codestreams(buffer: Buffer, fragments: list[Span], frames: int) -> list[int] | None:
    """First fragments by where a codestream begins."""
    starts = [
        number
        for number, (start, _) in enumerate(fragments)
        if bytes(buffer[start : start + 4]).startswith(_CODESTREAM_STARTS)
    ]
    return starts if len(starts) == frames and starts[0] == 0 else None
