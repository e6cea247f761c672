"""The receiver against senders that are slow, silent, or have no name."""

import contextlib
import socket
import struct
import time

import pytest

from tests.integration import test_receive
from tests.integration.test_receive import associated, association_request, data_pdu, is_closed, store_request

make_receiver = test_receive.make_receiver  # the fixture

SUCCESS = struct.pack("<HHIH", 0, 0x900, 2, 0)
FRAGMENT = b"\0" * 1000
CALLING_AE_NOT_RECOGNISED, CALLED_AE_NOT_RECOGNISED = (1, 1, 3), (1, 1, 7)


def test_an_object_that_comes_for_longer_than_the_idle_time_is_kept(make_receiver):
    receiver = make_receiver(idle_seconds=1)
    with associated(receiver) as raw:
        raw.sendall(store_request())
        for _ in range(30):
            raw.sendall(data_pdu(0, FRAGMENT))
            time.sleep(0.1)
        raw.sendall(data_pdu(2, FRAGMENT))
        assert SUCCESS in raw.recv(4096)
    assert len(receiver.received) == 1


def test_a_pdu_that_comes_for_longer_than_the_idle_time_is_taken(make_receiver):
    receiver = make_receiver(idle_seconds=1)
    whole = data_pdu(2, FRAGMENT * 30)
    with associated(receiver) as raw:
        raw.sendall(store_request())
        for start in range(0, len(whole), len(FRAGMENT)):
            raw.sendall(whole[start : start + len(FRAGMENT)])
            time.sleep(0.1)
        assert SUCCESS in raw.recv(4096)


def test_objects_that_follow_each_other_for_longer_than_the_idle_time_are_kept(make_receiver):
    receiver = make_receiver(idle_seconds=1)
    sent = 0
    with associated(receiver) as raw:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            sent += 1
            raw.sendall(store_request(f"1.2.3.{sent}") + data_pdu(2, FRAGMENT))
            assert SUCCESS in raw.recv(4096)
    assert len(receiver.received) == sent


def test_a_silent_association_is_cut(make_receiver):
    receiver = make_receiver(idle_seconds=1)
    with associated(receiver) as raw:
        assert is_closed(raw)


def test_an_object_that_only_drips_is_cut(make_receiver):
    receiver = make_receiver(idle_seconds=1)
    with associated(receiver) as raw:
        raw.sendall(store_request())
        end = time.monotonic() + 20
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < end:
                raw.sendall(data_pdu(0, b"\0"))
                time.sleep(0.1)
        assert time.monotonic() < end
    assert receiver.received == []


def rejection(receiver, *, called: bytes = b"ECHONODE", calling: bytes = b"CART") -> tuple[int, ...]:
    """Result, source and reason with which an association of these AE titles is rejected."""
    request = association_request()
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=20) as raw:
        raw.sendall(request[:10] + called.ljust(16) + calling.ljust(16) + request[42:])
        answer = raw.recv(10)
    assert answer[:1] == b"\x03", "an A-ASSOCIATE-RJ"
    return tuple(answer[7:10])


def test_a_blank_calling_ae_title_is_rejected_and_the_log_says_so(make_receiver, caplog):
    assert rejection(make_receiver(), calling=b"") == CALLING_AE_NOT_RECOGNISED
    assert "association of '' at 127.0.0.1 rejected: its calling AE title is blank; set one on" in caplog.text


@pytest.mark.parametrize(
    ("calling", "shown"), [(b"CART\x01", r"'CART\x01'"), (b"CA\\RT", r"'CA\\RT'"), (b"C\xe4RT", "'CäRT'")]
)
def test_a_calling_ae_title_that_may_not_be_is_rejected_and_the_log_says_so(make_receiver, caplog, calling, shown):
    assert rejection(make_receiver(), calling=calling) == CALLING_AE_NOT_RECOGNISED
    assert f"association of {shown} at 127.0.0.1 rejected: its calling AE title holds a character" in caplog.text
    assert "set another on the cart" in caplog.text


@pytest.mark.parametrize(
    ("called", "shown"), [(b"", "''"), (b"ECHO\x01", r"'ECHO\x01'"), (b"\\", r"'\\'"), (b"\xc9CHO", "'ÉCHO'")]
)
def test_a_called_ae_title_that_may_not_be_is_rejected_and_the_log_says_so(make_receiver, caplog, called, shown):
    assert rejection(make_receiver(), called=called) == CALLED_AE_NOT_RECOGNISED
    assert (
        f"association of 'CART' at 127.0.0.1 rejected: called AE title {shown}; this is 'ECHONODE'" in caplog.text
    )
