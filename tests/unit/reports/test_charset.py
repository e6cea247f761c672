"""No byte of a name is lost, whatever is said of its character set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_node.reports.charset import decoded


@pytest.mark.parametrize(
    ("sent", "terms", "text"),
    [
        (b"M\xfcller", ["ISO_IR 100"], "Müller"),
        (b"M\xfcller", [], "Müller"),
        (b"M\xc3\xbcller", [], "Müller"),
        (b"M\xc3\xbcller", ["ISO_IR 6"], "Müller"),
        (b"M\xc3\xbcller", ["NO SUCH"], "Müller"),
        (b"M\xfcller", ["ISO_IR 192"], "Müller"),
        (b"M\xc3\xbcller", ["ISO_IR 100"], "MÃ¼ller"),  # that is what it says
        (b"\x8akoda", [], "Škoda"),
        (b"\xd5\xc5", ["", "ISO 2022 IR 58"], "张"),
        (b"\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1", ["", "ISO 2022 IR 58"], "张^小"),
        (b"\x1b$B;3ED\x1b(B^A", [], "山田^A"),
        (b"\x1b$B=U;R\x1b(B", ["", "ISO 2022 IR 87"], "春子"),  # bytes that are = and ; in ASCII
        (b"\xc8\xab", ["", "ISO 2022 IR 149"], "홍"),
        (b"\x81\x30", ["GB18030"], "\x810"),
    ],
)
def test_text_is_found_in_its_bytes(sent: bytes, terms: list[str], text: str) -> None:
    assert decoded(sent, terms) == text


TERMS = ["", "ISO_IR 6", "ISO_IR 100", "ISO_IR 192", "ISO 2022 IR 87", "ISO 2022 IR 58", "GB18030", "X"]


@given(st.binary(max_size=40), st.lists(st.sampled_from(TERMS), max_size=3))
def test_any_bytes_become_text_without_replacement(sent: bytes, terms: list[str]) -> None:
    assert "\ufffd" not in decoded(sent, terms) or "\ufffd".encode() in sent or b"\x84\x31\xa4\x37" in sent
