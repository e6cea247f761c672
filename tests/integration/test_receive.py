"""The receiver against real and hostile senders."""

import contextlib
import os
import select
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE, build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)

from echo_node.config import Cart, Receive
from echo_node.dicom import scu
from echo_node.dicom.header import read_header
from echo_node.dicom.incoming import IncomingObject
from echo_node.dicom.scp import StorageSCP
from echo_node.errors import AssociationRejected, ConfigError, DeliveryUnreachable, DiskFull
from tests.peers import free_port

MISNAMED = "GH364.dcm"  # its File Meta Information names another instance than its dataset
WORKLIST = "1.2.840.10008.5.1.4.31"  # Modality Worklist FIND: no storage class
STUDY_ROOT_FIND, COMMITMENT = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.1.20.1"
RETIRED_WORKLIST, RETIRED_STUDY_MANAGEMENT = "1.2.840.10008.5.1.4.32.1", "1.2.840.10008.3.1.2.3.1"
DICOMDIR = "1.2.840.10008.1.3.10"  # of media, not of the network
UNKNOWN_CLASS = "1.2.826.0.1.3680043.9.9999.1"


class Receiver:
    """A storage SCP that keeps what it is given in a folder."""

    def __init__(self, folder: Path, *, tls=None, **settings) -> None:
        self.incoming, self.kept = folder / "incoming", folder / "kept"
        self.incoming.mkdir()
        self.kept.mkdir()
        self.received: list = []
        self.ended: list = []
        self.failure = None
        self.port = free_port()
        values = {"port": self.port, "min_free_disk_mib": 1, "carts": (Cart(hosts=("127.0.0.0/8",)),), **settings}
        self.scp = StorageSCP(
            Receive(**values),
            incoming=self.incoming,
            on_stored=self.store,
            on_association_end=lambda ae, studies: self.ended.append((ae, studies)),
            tls=tls,
        )
        self.scp.start()

    def store(self, received) -> None:
        if self.failure is not None:
            raise self.failure
        path = self.kept / f"{len(self.received)}.dcm"
        received.path.rename(path)
        self.received.append((received, path))

    @property
    def peer(self) -> scu.Peer:
        return scu.Peer(ae_title="ECHONODE", host="127.0.0.1", port=self.port)


@pytest.fixture
def make_receiver(tmp_path):
    made = []

    def make(**settings) -> Receiver:
        made.append(Receiver(tmp_path, **settings))
        return made[-1]

    yield make
    for receiver in made:
        receiver.scp.stop()


def wait_for(found, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found():
            return
        time.sleep(0.02)
    pytest.fail("it did not come about")


def small(path: Path, *, kind="1.2.840.10008.5.1.4.1.1.3.1", size=1000, uid="1.2.3.4") -> scu.Outgoing:
    ds = pydicom.Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = kind, uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.PatientID = "1.2.3", "1.2.3.1", "P"
    ds.add_new(0x00091001, "OB", b"\1" * size)
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = kind, uid
    pydicom.dcmwrite(path, ds, enforce_file_format=True)
    return scu.Outgoing(kind, uid, path)


@pytest.mark.peer("dcmsend", "echoscu")
def test_dcmtk_stores_and_asks(make_receiver, data):
    receiver = make_receiver()
    subprocess.run(["/usr/bin/echoscu", "-aec", "ECHONODE", "127.0.0.1", str(receiver.port)], check=True)
    files = [data / "color-pl.dcm", data / "US-YBR_FULL_422-EVRLE.dcm", data / "color-px.dcm"]
    subprocess.run(
        ["/usr/bin/dcmsend", "-aec", "ECHONODE", "127.0.0.1", str(receiver.port), *map(str, files)], check=True
    )
    assert len(receiver.received) == 3
    wait_for(lambda: receiver.ended)
    assert len(receiver.ended[0][1]) == 2  # color-pl and color-px are of one study
    for (_, kept), sent in zip(receiver.received, files, strict=True):
        assert pydicom.dcmread(kept).PixelData == pydicom.dcmread(sent).PixelData


def test_every_transfer_syntax_is_kept_as_sent(make_receiver, data):
    receiver = make_receiver()
    headers = [(read_header(path), path) for path in sorted(data.glob("*.dcm")) if path.name != MISNAMED]
    sent = [scu.Outgoing(h.SOPClassUID, h.SOPInstanceUID, path) for h, path in headers]
    assert scu.send(sent, to=receiver.peer, calling_ae="CART") == [None] * len(sent)
    for (received, kept), (header, path) in zip(receiver.received, headers, strict=True):
        assert received.TransferSyntaxUID == header.TransferSyntaxUID
        assert kept.read_bytes().endswith(path.read_bytes()[-2000:])
        assert read_header(kept).SOPInstanceUID == header.SOPInstanceUID


def test_a_command_that_names_another_instance_than_the_dataset_is_refused(make_receiver, data):
    receiver = make_receiver()
    header = read_header(data / MISNAMED)
    item = scu.Outgoing(header.SOPClassUID, header.SOPInstanceUID, data / MISNAMED)
    (error,) = scu.send([item], to=receiver.peer, calling_ae="CART")
    assert "A900" in str(error)
    assert list(receiver.incoming.iterdir()) == []


def test_an_executable_s_preamble_is_neither_kept_nor_sent_on(make_receiver, tmp_path):
    receiver = make_receiver()
    item = small(tmp_path / "x.dcm")
    whole = item.path.read_bytes()
    item.path.write_bytes(b"MZ" + b"\x90" * 126 + whole[128:])
    assert scu.send([item], to=receiver.peer, calling_ae="CART") == [None]
    ((_, kept),) = receiver.received
    assert kept.read_bytes()[:132] == b"\0" * 128 + b"DICM"
    (kept_ds, sent_ds) = (pydicom.dcmread(path) for path in (kept, item.path))
    assert kept_ds == sent_ds
    kept.rename(tmp_path / "again.dcm")
    again = scu.Outgoing(item.SOPClassUID, item.SOPInstanceUID, tmp_path / "again.dcm")
    assert scu.send([again], to=receiver.peer, calling_ae="CART") == [None]
    assert b"MZ" not in receiver.received[1][1].read_bytes()[:128]


@pytest.mark.parametrize("kind", [UNKNOWN_CLASS, "1.2.840.10008.5.1.4.1.1.12345.6"])
def test_an_unknown_class_is_kept(make_receiver, tmp_path, kind):
    receiver = make_receiver()
    item = small(tmp_path / "x.dcm", kind=kind)
    assert scu.send([item], to=receiver.peer, calling_ae="CART") == [None]
    assert receiver.received[0][0].SOPClassUID == kind


def test_a_full_disk_is_answered_as_out_of_resources(make_receiver, tmp_path):
    receiver = make_receiver()
    receiver.failure = DiskFull("full")
    (error,) = scu.send([small(tmp_path / "x.dcm")], to=receiver.peer, calling_ae="CART")
    assert isinstance(error, DeliveryUnreachable)
    assert "A700" in str(error)
    assert list(receiver.incoming.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "calling"),
    [
        ({"carts": (Cart(ae_title="VIVID1", hosts=("127.0.0.0/8",)),)}, "OTHER"),
        ({"carts": (Cart(hosts=("192.0.2.0/24",)),)}, "VIVID1"),
        ({"carts": ()}, "VIVID1"),
        ({"min_free_disk_mib": 1 << 40}, "VIVID1"),
    ],
)
def test_who_is_not_let_in(make_receiver, tmp_path, settings, calling):
    receiver = make_receiver(**settings)
    with pytest.raises(DeliveryUnreachable, match="rejects the association"):
        scu.send([small(tmp_path / "x.dcm")], to=receiver.peer, calling_ae=calling)


def calls(receiver, *, source: str, calling: str, to: str = "127.0.0.1") -> bool:
    """Does a cart at this address get an association?"""
    ae = AE(ae_title=calling)
    ae.add_requested_context("1.2.840.10008.1.1")
    assoc = ae.associate(to, receiver.port, ae_title="ECHONODE", bind_address=(source, 0))
    if not assoc.is_established:
        return False
    assert assoc.send_c_echo().Status == 0
    assoc.release()
    return True


def test_carts_of_two_networks_are_let_in_each_from_its_own(make_receiver, caplog):
    receiver = make_receiver(
        host="0.0.0.0",
        carts=(
            Cart(ae_title="VIVID1", hosts=("127.0.1.0/24", "127.0.2.7")),
            Cart(ae_title="EPIQ", hosts=("127.0.3.0/24",)),
        ),
    )
    admitted = {
        (source, calling): calls(receiver, source=source, calling=calling)
        for source in ("127.0.1.9", "127.0.2.7", "127.0.2.8", "127.0.3.1", "127.0.0.1")
        for calling in ("VIVID1", "EPIQ")
    }
    let_in = {who for who, is_in in admitted.items() if is_in}
    assert let_in == {("127.0.1.9", "VIVID1"), ("127.0.2.7", "VIVID1"), ("127.0.3.1", "EPIQ")}
    assert "association of 'VIVID1' at 127.0.2.8 rejected: no cart of receive.carts has this" in caplog.text
    assert "association of 'EPIQ' at 127.0.1.9 rejected" in caplog.text


def test_every_address_of_the_node_answers_where_it_listens_on_all(make_receiver):
    receiver = make_receiver(host="0.0.0.0")
    assert all(calls(receiver, source="127.0.0.1", calling="CART", to=to) for to in ("127.0.0.1", "127.0.0.2"))


def test_one_address_that_takes_all_its_connections_keeps_no_other_out(make_receiver):
    receiver = make_receiver(max_associations_per_host=3)
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            silent = socket.create_connection(("127.0.0.1", receiver.port), source_address=("127.0.0.2", 0))
            stack.enter_context(silent)
        assert calls(receiver, source="127.0.0.3", calling="CART")


def test_too_many_associations_are_refused_and_the_log_says_why(make_receiver, caplog):
    receiver = make_receiver(max_associations=2)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(associated(receiver))
        with pytest.raises(AssociationRejected):
            scu.echo(receiver.peer, calling_ae="CART")
    assert "'CART' at 127.0.0.1 rejected: 2 associations; receive.max_associations are taken" in caplog.text


@pytest.mark.parametrize(
    "kind", [WORKLIST, STUDY_ROOT_FIND, COMMITMENT, RETIRED_WORKLIST, RETIRED_STUDY_MANAGEMENT, DICOMDIR]
)
def test_a_refused_context_is_logged_with_its_reason(make_receiver, caplog, kind):
    receiver = make_receiver()
    ae = AE(ae_title="CART")
    for offered in (kind, UNKNOWN_CLASS, "1.2.840.10008.1.1"):
        ae.add_requested_context(offered)
    assoc = ae.associate("127.0.0.1", receiver.port, ae_title="ECHONODE")
    assert [str(context.abstract_syntax) for context in assoc.rejected_contexts] == [kind]
    assoc.release()
    assert f"'CART' at 127.0.0.1: context for {kind} rejected: Abstract Syntax Not Supported" in caplog.text


def test_one_class_in_many_transfer_syntaxes_is_accepted_in_each(make_receiver):
    receiver = make_receiver()
    ae = AE(ae_title="CART")
    syntaxes = ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.999"]
    for syntax in syntaxes:
        ae.add_requested_context(UNKNOWN_CLASS, [syntax])
        ae.add_requested_context("1.2.840.10008.5.1.4.1.1.3.1", [syntax])
    assoc = ae.associate("127.0.0.1", receiver.port, ae_title="ECHONODE")
    assert sorted(str(context.transfer_syntax[0]) for context in assoc.accepted_contexts) == sorted(syntaxes * 2)
    assoc.release()


def test_a_port_that_is_taken_is_named(make_receiver, tmp_path):
    first = make_receiver()
    (tmp_path / "second").mkdir()
    with pytest.raises(ConfigError, match=f"receive.port {first.port}: cannot be listened on: Address already"):
        Receiver(tmp_path / "second", port=first.port)


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_disk_that_fails_is_answered_and_leaves_nothing(make_receiver, tmp_path, monkeypatch, call):
    receiver = make_receiver()
    item = small(tmp_path / "x.dcm")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if call == "fsync":
            patch.setattr(os, "fsync", refuse)
        else:
            patch.setattr(IncomingObject, "_write", refuse)
        (error,) = scu.send([item], to=receiver.peer, calling_ae="CART")
    assert "A700" in str(error)
    assert list(receiver.incoming.iterdir()) == []
    assert scu.send([item], to=receiver.peer, calling_ae="CART") == [None]


def association_request() -> bytes:
    """An A-ASSOCIATE-RQ for US Multi-frame."""
    request = A_ASSOCIATE()
    request.application_context_name = "1.2.840.10008.3.1.1.1"
    request.calling_ae_title, request.called_ae_title = "RAW", "ECHONODE"
    context = build_context("1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.1.2.1")
    context.context_id = 1
    request.presentation_context_definition_list = [context]
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = 16384
    implementation.implementation_class_uid = "1.2.3.4"
    request.user_information = [length, implementation]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(request)
    return bytes(pdu.encode())


def associated(receiver) -> socket.socket:
    """A raw connection with an established association for US Multi-frame."""
    raw = socket.create_connection(("127.0.0.1", receiver.port), timeout=20)
    raw.sendall(association_request())
    kind, _, size = struct.unpack(">BBI", raw.recv(6))
    assert kind == 2  # A-ASSOCIATE-AC
    while size:
        size -= len(raw.recv(size))
    return raw


def store_request(uid="1.2.3.4") -> bytes:
    def value(element: int, content: bytes) -> bytes:
        return struct.pack("<HHI", 0, element, len(content)) + content

    kind = b"1.2.840.10008.5.1.4.1.1.3.1\0"
    name = uid.encode() + b"\0" * (len(uid) % 2)
    body = b"".join(
        (
            value(2, kind),
            value(0x100, b"\1\0"),
            value(0x110, b"\7\0"),
            value(0x700, b"\0\0"),
            value(0x800, b"\1\0"),
            value(0x1000, name),
        )
    )
    command = value(0, struct.pack("<I", len(body))) + body
    return data_pdu(3, command)


def data_pdu(control: int, content: bytes) -> bytes:
    return struct.pack(">BBIIBB", 4, 0, len(content) + 6, len(content) + 2, 1, control) + content


def is_closed(raw: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        while raw.recv(4096):
            pass
    return True


@pytest.mark.parametrize(
    "attack",
    [
        struct.pack(">BBI", 4, 0, 0xFFFFFFFF),  # a PDU of 4 GB
        struct.pack(">BBI", 9, 0, 10),  # of no known type
        struct.pack(">BBIIBB", 4, 0, 20, 5000, 1, 3) + b"\0" * 14,  # a value longer than its PDU
        store_request() + struct.pack(">BBI", 5, 0, 4) + b"\0" * 4,  # release in mid-store
        store_request() + store_request(),  # a command inside a data set
    ],
)
def test_who_breaks_the_rules_is_cut_and_leaves_nothing(make_receiver, attack):
    receiver = make_receiver()
    with associated(receiver) as raw:
        raw.sendall(attack)
        assert is_closed(raw)
    assert list(receiver.incoming.iterdir()) == []
    scu.echo(receiver.peer, calling_ae="CART")


def test_an_abort_in_mid_store_leaves_no_file(make_receiver):
    receiver = make_receiver()
    for _ in range(5):
        with associated(receiver) as raw:
            raw.sendall(store_request() + data_pdu(0, b"\0" * 10_000))
            wait_for(lambda: any(receiver.incoming.iterdir()))
            raw.shutdown(socket.SHUT_RDWR)
        wait_for(lambda: not any(receiver.incoming.iterdir()))
    assert receiver.received == []


def test_an_object_over_the_limit_is_refused_and_the_next_one_kept(make_receiver):
    receiver = make_receiver(max_object_mib=1)
    with associated(receiver) as raw:
        raw.sendall(store_request())
        for _ in range(15):
            raw.sendall(data_pdu(0, b"\0" * 100_000))
        wait_for(lambda: not any(receiver.incoming.iterdir()))  # before its end has come
        raw.sendall(data_pdu(2, b"\0" * 100_000))
        assert struct.pack("<HHI", 0, 0x900, 2) + b"\x00\xc0" in raw.recv(4096)
        raw.sendall(store_request() + data_pdu(2, b"\0" * 100_000))
        assert struct.pack("<HHI", 0, 0x900, 2) + b"\x00\x00" in raw.recv(4096)
    assert len(receiver.received) == 1


def test_an_object_over_the_limit_that_goes_on_is_cut(make_receiver):
    receiver = make_receiver(max_object_mib=1)
    with associated(receiver) as raw:
        raw.sendall(store_request())
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                raw.sendall(data_pdu(0, b"\0" * 100_000))
        assert is_closed(raw)
    assert list(receiver.incoming.iterdir()) == []


@pytest.mark.parametrize("uid", ["../../../tmp/x", "1.2.3.4/../x", "1" * 70, "1.2'; DROP TABLE x"])
def test_a_uid_that_is_none_is_refused(make_receiver, uid):
    receiver = make_receiver()
    with associated(receiver) as raw:
        raw.sendall(store_request(uid) + data_pdu(2, b"\0" * 10))
        answer = raw.recv(4096)
    assert struct.pack("<HHI", 0, 0x900, 2) + b"\x00\xc0" in answer
    assert receiver.received == []


def test_a_slow_sender_is_cut(make_receiver):
    receiver = make_receiver(pdu_seconds=1)
    with associated(receiver) as raw:
        raw.sendall(struct.pack(">BBI", 4, 0, 1000))
        assert is_closed(raw)


def test_silent_connections_of_one_address_are_bounded(make_receiver, caplog):
    receiver = make_receiver(max_associations_per_host=3, first_pdu_seconds=5)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", receiver.port))) for _ in range(12)]
        wait_for(lambda: len(select.select(silent, [], [], 0)[0]) == 9)  # what is closed is readable
        assert caplog.text.count("connection from 127.0.0.1 refused: it has 3; max_associations_per_host") == 9
        wait_for(lambda: _answers(receiver))  # the first three are cut in time


def _answers(receiver) -> bool:
    try:
        scu.echo(receiver.peer, calling_ae="CART")
    except DeliveryUnreachable:
        return False
    return True


def test_a_silent_connection_does_not_stop_a_tls_server(make_receiver, tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2",
         "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    receiver = make_receiver(tls=context, first_pdu_seconds=3)
    client = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    client.check_hostname = False
    with socket.create_connection(("127.0.0.1", receiver.port)) as silent:
        ae = AE(ae_title="CART")
        ae.add_requested_context("1.2.840.10008.1.1")
        assoc = ae.associate("127.0.0.1", receiver.port, ae_title="ECHONODE", tls_args=(client, "localhost"))
        assert assoc.is_established
        assert assoc.send_c_echo().Status == 0
        assoc.release()
        silent.settimeout(20)
        assert is_closed(silent)  # the silent one is cut


def test_a_drain_finishes_the_store_and_refuses_new_ones(make_receiver):
    receiver = make_receiver()
    with associated(receiver) as raw:
        raw.sendall(store_request() + data_pdu(0, b"\0" * 100))
        wait_for(lambda: any(receiver.incoming.iterdir()))
        drain = threading.Thread(target=receiver.scp.drain, args=(20,))
        drain.start()
        with pytest.raises(DeliveryUnreachable):
            scu.echo(receiver.peer, calling_ae="CART")
        raw.sendall(data_pdu(2, b"\0" * 100))
        answer = raw.recv(4096)
        drain.join()
    assert struct.pack("<HHI", 0, 0x900, 2) + b"\x00\x00" in answer
    assert len(receiver.received) == 1
