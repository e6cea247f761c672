"""What an archive's failure means is the same by C-STORE and by STOW-RS."""

import pytest
from pydicom import Dataset

from echo_node.dicom import scu, stow
from echo_node.errors import ClassRefused, DeliveryError, DeliveryRefused, DeliveryUnreachable

UID = "1.2.3.4"


def by_stow(reason: int) -> DeliveryError | None:
    item, module = Dataset(), Dataset()
    item.ReferencedSOPInstanceUID, item.FailureReason = UID, reason
    module.FailedSOPSequence = [item]
    return stow.judged(409, module, UID)


@pytest.mark.parametrize("judged", [scu.judged, by_stow])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0x0110, DeliveryUnreachable),  # processing failure
        (0x0124, DeliveryUnreachable),  # not authorized: a person there mends that, and then it goes
        (0xA700, DeliveryUnreachable),  # out of resources
        (0xA7FF, DeliveryUnreachable),
        (0x0111, type(None)),  # duplicate SOP instance: it has it
        (0x0122, ClassRefused),  # SOP class not supported
        (0x0117, DeliveryRefused),  # invalid object instance
        (0xA900, DeliveryRefused),  # does not match SOP class
        (0xC000, DeliveryRefused),  # cannot understand
    ],
)
def test_each_failure_is_judged(judged, status, expected):
    error = judged(status)
    assert isinstance(error, expected)
    assert isinstance(error, DeliveryRefused) == issubclass(expected, DeliveryRefused)


def test_a_broken_server_that_names_a_duplicate_has_it():
    item, module = Dataset(), Dataset()
    item.ReferencedSOPInstanceUID, item.FailureReason = UID, 0x0111
    module.FailedSOPSequence = [item]
    assert stow.judged(500, module, UID) is None
    item.FailureReason = 0xA900
    assert isinstance(stow.judged(500, module, UID), DeliveryUnreachable)


def test_microsofts_own_reasons_are_known():
    assert by_stow(45070) is None  # it has it
    assert isinstance(by_stow(45071), DeliveryUnreachable)  # it is writing it
    assert isinstance(by_stow(43264), DeliveryRefused)
    assert isinstance(scu.judged(45070), DeliveryRefused)  # they are of STOW-RS alone
