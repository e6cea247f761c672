"""The bounded header walk: hostile files cost nothing, odd ones are read."""

import struct
import tracemalloc
import zlib

import pytest

from echo_node.codes import Reason
from echo_node.dicom.elements import INFLATED_LIMIT, walk
from echo_node.dicom.header import is_uid, read_header
from echo_node.errors import ClipError

EXPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    if vr in (b"SQ", b"OB", b"UN"):
        return struct.pack("<HH2sHI", group, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def part10(dataset: bytes, syntax: str = EXPLICIT) -> bytes:
    return b"\0" * 128 + b"DICM" + element(2, 0x10, b"UI", syntax.encode()) + dataset


IDENTITY = (
    element(8, 0x16, b"UI", b"1.2.840.10008.5.1.4.1.1.3.1")
    + element(8, 0x18, b"UI", b"1.2.3")
    + element(0x10, 0x20, b"LO", b"P1")
    + element(0x20, 0xD, b"UI", b"1.2.4")
    + element(0x20, 0xE, b"UI", b"1.2.5")
)
SQ_OPEN = struct.pack("<HH2sHI", 0x40, 0x275, b"SQ", 0, 0xFFFFFFFF)
ITEM_OPEN = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
ITEM_END, SQ_END = (struct.pack("<HHI", 0xFFFE, tag, 0) for tag in (0xE00D, 0xE0DD))


def header_of(tmp_path, content: bytes):
    path = tmp_path / "x.dcm"
    path.write_bytes(content)
    return read_header(path)


def test_an_identity_is_read(tmp_path):
    header = header_of(tmp_path, part10(IDENTITY))
    assert (header.SOPInstanceUID, header.StudyInstanceUID, header.PatientID) == ("1.2.3", "1.2.4", "P1")
    assert header.reason is None


def test_identities_in_latin_1_stay_apart(tmp_path):
    odd = [IDENTITY.replace(b"P1", b"P" + letter) for letter in (b"\xe4", b"\xf6")]
    assert len({header_of(tmp_path, part10(content)).PatientID for content in odd}) == 2


@pytest.mark.parametrize("depth", [1_000, 10_000])
def test_nested_sequences_are_passed_over(tmp_path, depth):
    nest = (SQ_OPEN + ITEM_OPEN) * depth + (ITEM_END + SQ_END) * depth
    header = header_of(tmp_path, part10(IDENTITY + nest + element(0x7FE0, 1, b"UI", b"")))
    assert header.StudyInstanceUID == "1.2.4"


def test_two_million_empty_items_are_refused_in_little_memory(tmp_path):
    path = tmp_path / "x.dcm"
    path.write_bytes(part10(IDENTITY + SQ_OPEN + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 2_000_000 + SQ_END))
    tracemalloc.start()
    header = read_header(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert header.reason is Reason.IMPOSSIBLE_SIZE
    assert peak < 20 << 20


def test_a_deflate_bomb_is_refused():
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = b"\0" * (16 << 20)
    bomb = b"".join(squeezer.compress(block) for _ in range(INFLATED_LIMIT // len(block) + 1))
    with pytest.raises(ClipError) as caught:
        walk(part10(bomb + squeezer.flush(), DEFLATED))
    assert caught.value.reason is Reason.IMPOSSIBLE_SIZE


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.NOT_DICOM),
        (b"hello", Reason.NOT_DICOM),
        (part10(IDENTITY)[:-3], Reason.TRUNCATED),
        (part10(IDENTITY[:36]), Reason.MISSING_UID),
        (part10(element(8, 0x18, b"UI", b"../../etc/passwd")), Reason.MISSING_UID),
    ],
)
def test_what_is_wrong_becomes_the_reason(tmp_path, content, reason):
    assert header_of(tmp_path, content).reason is reason


@pytest.mark.parametrize("text", ["", "../x", "1..2", "1.2.", "1.2\0", "a.b", "1" * 65, "1.2;DROP TABLE"])
def test_what_is_no_uid(text):
    assert not is_uid(text)
