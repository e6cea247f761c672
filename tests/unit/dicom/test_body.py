"""Sex, height and weight as carts send them."""

import pytest

from echo_node.dicom.body import read_body
from echo_node.dicom.elements import walk
from echo_node.records import Body, Sex
from tests.unit.dicom.test_elements import IDENTITY, element, part10


def body_of(*, sex: bytes | None = None, size: bytes | None = None, weight: bytes | None = None) -> Body:
    sent = ((0x40, b"CS", sex), (0x1020, b"DS", size), (0x1030, b"DS", weight))
    return read_body(
        walk(part10(IDENTITY + b"".join(element(0x10, tag, vr, v) for tag, vr, v in sent if v is not None)))
    )


def test_what_is_there_is_read() -> None:
    assert body_of(sex=b"M ", size=b"1.82 ", weight=b"79.5") == Body(sex=Sex.MALE, height_m=1.82, weight_kg=79.5)
    assert body_of(sex=b"female").sex is Sex.FEMALE


def test_what_is_missing_is_none() -> None:
    assert body_of() == Body()


@pytest.mark.parametrize("value", [b"", b"0", b"0.0", b"-1", b"unknown", b"nan", b"inf", b"1e999"])
def test_what_is_no_size_is_none(value: bytes) -> None:
    assert body_of(size=value, weight=value) == Body()


@pytest.mark.parametrize("value", [b"O", b"", b"UNKNOWN", b"\xff\xfe"])
def test_a_sex_without_normal_values_is_none(value: bytes) -> None:
    assert body_of(sex=value).sex is None
