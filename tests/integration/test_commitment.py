"""Archives that say whether they keep what they were sent: by storage commitment, or by a query."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pydicom
import pytest
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from echo_node.config import Cart, Receive
from echo_node.dicom.commitment import read_result
from echo_node.dicom.scp import Archives, StorageSCP
from echo_node.dicom.scu import Peer
from echo_node.errors import StoreError
from echo_node.records import DeliveryState
from echo_node.services.process import utc_now
from echo_node.services.receive import archives
from tests.integration.test_deliver import Sender
from tests.integration.test_receive import wait_for
from tests.peers import dcmqrscp, free_port, orthanc
from tests.unit.store.builders import STUDY, Clock, received

COMMITTED, DEAD, FAILED, SENT = (
    DeliveryState.COMMITTED, DeliveryState.DEAD, DeliveryState.FAILED, DeliveryState.SENT,
)  # fmt: skip


@pytest.fixture
def sender(tmp_path) -> Iterator[Sender]:
    (tmp_path / "node").mkdir()
    sender = Sender(tmp_path / "node", Clock(), free_port())
    yield sender
    sender.store.dispose()


class Archive:
    """A storage SCP that answers requests for commitment as it is told to, on the same association."""

    def __init__(self) -> None:
        self.port = free_port()
        self.stored: list[tuple[str, str, bytes]] = []  # calling AE title, SOP Instance UID, data set
        self.asked: list[str] = []  # Transaction UIDs
        self.failures: dict[str, int] = {}
        self.is_silent = False
        self.statuses: list[int] = []  # of what was said
        ae = AE(ae_title="PACS")
        for context in AllStoragePresentationContexts[:120]:
            ae.add_supported_context(str(context.abstract_syntax))
        ae.add_supported_context(StorageCommitmentPushModel)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._act)]
        self._server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)

    @property
    def address(self) -> dict:
        return {"ae_title": "PACS", "host": "127.0.0.1", "port": self.port, "commitment": "request"}

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def _store(self, event) -> int:
        calling = event.assoc.requestor.ae_title
        self.stored.append((calling, event.request.AffectedSOPInstanceUID, event.request.DataSet.getvalue()))
        return 0

    def _act(self, event) -> tuple[int, None]:
        ds = event.action_information
        self.asked.append(ds.TransactionUID)
        if not self.is_silent:
            threading.Timer(0.2, self._report, (event.assoc, ds)).start()
        return 0, None

    def _report(self, assoc, asked) -> None:
        said = pydicom.Dataset()
        said.TransactionUID = asked.TransactionUID
        said.ReferencedSOPSequence, failed = [], []
        for item in asked.ReferencedSOPSequence:
            if (reason := self.failures.get(item.ReferencedSOPInstanceUID)) is None:
                said.ReferencedSOPSequence.append(item)
            else:
                item.FailureReason = reason
                failed.append(item)
        if failed:
            said.FailedSOPSequence = failed
        kind = 2 if failed else 1
        answer, _ = assoc.send_n_event_report(
            said, kind, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
        self.statuses.append(answer.get("Status", -1))


@pytest.fixture
def archive() -> Iterator[Archive]:
    archive = Archive()
    yield archive
    archive.stop()


def errors(sender: Sender) -> list[str]:
    return [delivery.last_error for delivery in sender.store.deliveries(STUDY)]


def test_what_is_committed_on_the_same_association_is_done(sender, archive):
    sender.address = archive.address
    assert (sender.deliver(), sender.confirm()) == (2, 2)
    assert sender.states() == [COMMITTED] * 2
    assert archive.statuses == [0]
    sender.clock.pass_(100_000)
    assert (sender.deliver(), sender.confirm()) == (0, 0)


def test_what_is_not_committed_is_sent_once_more(sender, archive):
    sender.address = archive.address
    archive.failures = {"1.2.1": 0x0112}
    assert (sender.deliver(), sender.confirm()) == (2, 2)
    assert sender.states() == [FAILED, COMMITTED]
    assert errors(sender) == ["not committed: failure reason 0112", ""]
    archive.failures = {}
    sender.clock.pass_(60)
    assert (sender.deliver(), sender.confirm()) == (1, 1)
    assert sender.states() == [COMMITTED] * 2
    assert [uid for _, uid, _ in archive.stored] == ["1.2.1", "1.2.2", "1.2.1"]
    assert archive.stored[0] == archive.stored[2]
    assert len(set(archive.asked)) == 2


def test_what_no_sending_mends_is_given_up(sender, archive):
    sender.address = archive.address
    archive.failures = {"1.2.1": 0x0122, "1.2.2": 0x0131}
    assert (sender.deliver(), sender.confirm()) == (2, 2)
    assert sender.states() == [DEAD, SENT]  # 0131: the transaction's fault, not the object's


def test_an_archive_that_says_nothing_is_asked_again_with_pauses(sender, archive):
    sender.address = archive.address
    archive.is_silent = True
    assert (sender.deliver(), sender.confirm()) == (2, 2)
    waited = []
    for _ in range(2):
        asked, minutes = len(archive.asked), 0
        while len(archive.asked) == asked:
            sender.clock.pass_(1800)
            minutes += 30
            sender.confirm()
        waited.append(minutes)
    assert waited == [60, 120]
    assert sender.states() == [SENT] * 2
    assert len(set(archive.asked)) == 3
    assert len(archive.stored) == 2


def test_an_archive_that_knows_no_commitment_is_named(sender, archive):
    sender.address = {**archive.address, "commitment": "find"}
    assert (sender.deliver(), sender.confirm()) == (2, 2)
    assert sender.states() == [SENT] * 2
    assert errors(sender) == ["the peer does not take queries (Study Root FIND)"] * 2
    archive.stop()
    sender.address = archive.address
    sender.clock.pass_(3600)
    assert sender.confirm() == 2
    assert "no association with PACS" in errors(sender)[0]


def test_what_an_archive_lost_of_a_study_in_quarantine_is_not_sent(sender, archive):
    sender.address = archive.address
    sender.deliver()
    sender.store.keep(received(sender.store, "1.3", PatientID="another"))
    archive.failures = {"1.2.1": 0x0112}
    sender.confirm()
    assert sender.states() == [DEAD, COMMITTED]


class Listener:
    """A node's receiver that admits no cart, and knows its archives."""

    def __init__(self, sender: Sender) -> None:
        self.port = free_port()
        self._settings = Receive(port=self.port, carts=(), min_free_disk_mib=0)
        self._sender = sender
        self.scp: StorageSCP | None = None

    def start(self) -> None:
        known = archives(self._sender.store, self._sender.config)
        self.scp = StorageSCP(
            self._settings,
            incoming=self._sender.store.incoming,
            on_stored=lambda _: pytest.fail("an archive stored"),
            archives=known,
        )
        self.scp.start()


@pytest.fixture
def listener(sender) -> Iterator[Listener]:
    listener = Listener(sender)
    yield listener
    if listener.scp is not None:
        listener.scp.stop()


@pytest.mark.peer("Orthanc")
def test_orthanc_commits_itself_on_an_association_of_its_own(sender, listener, tmp_path):
    ours = {"AET": "ECHONODE", "Host": "127.0.0.1", "Port": listener.port}
    with orthanc(tmp_path, DicomModalities={"node": ours}) as archive:
        sender.address = {
            "ae_title": archive.ae_title, "host": "localhost", "port": archive.dicom_port, "commitment": "request",
        }  # fmt: skip
        listener.start()
        assert sender.deliver() == 2
        (lost,) = json.loads(archive.get("/instances"))[:1]
        archive.delete(f"/instances/{lost}")
        assert sender.confirm() == 2
        wait_for(lambda: sorted(s.name for s in sender.states()) == ["COMMITTED", "FAILED"], 60)
        assert sorted(errors(sender)) == ["", "not committed: failure reason 0112"]
        sender.clock.time = utc_now()
        sender.clock.pass_(60)
        assert (sender.deliver(), sender.confirm()) == (1, 1)
        wait_for(lambda: sender.states() == [COMMITTED] * 2, 60)
        kept = [archive.get(f"/instances/{name}/file") for name in json.loads(archive.get("/instances"))]
    made = [delivery.path.read_bytes() for delivery in sender.store.deliveries(STUDY)]
    assert sorted(content[-1000:] for content in kept) == sorted(content[-1000:] for content in made)


def report_to(port: int, *, calling="PACS", called="ECHONODE", uid="1.2.3.4", role=True):
    """Be an archive that reports on a transaction; the answer's status, or None where it is not let in."""
    ae = AE(ae_title=calling)
    ae.add_requested_context(StorageCommitmentPushModel)
    ae.add_requested_context("1.2.840.10008.5.1.4.1.1.3.1")
    roles: list[Any] = [build_role(StorageCommitmentPushModel, scp_role=True)] if role else []
    assoc = ae.associate("127.0.0.1", port, ae_title=called, ext_neg=roles)
    if not assoc.is_established:
        return None
    assert [c.abstract_syntax for c in assoc.accepted_contexts] == [StorageCommitmentPushModel]
    ds = pydicom.Dataset()
    ds.TransactionUID, ds.ReferencedSOPSequence = uid, []
    kind = StorageCommitmentPushModel
    answer, _ = assoc.send_n_event_report(ds, 1, kind, StorageCommitmentPushModelInstance)
    assoc.release()
    return answer.get("Status")


def test_only_archives_report_and_they_do_nothing_else(tmp_path):
    said = []
    port = free_port()
    scp = StorageSCP(
        Receive(port=port, carts=(Cart(hosts=("192.0.2.7",)),), min_free_disk_mib=0),
        incoming=tmp_path,
        on_stored=lambda _: pytest.fail("an archive stored"),
        archives=Archives(
            peers=(
                Peer(ae_title="PACS", host="127.0.0.1", port=1), Peer(ae_title="AWAY", host="192.0.2.9", port=1),
            ),
            calling_ae="SENDER",
            on_result=lambda ae, result: said.append((ae, result.TransactionUID)),
        ),
    )  # fmt: skip
    scp.start()
    try:
        assert report_to(port) == 0
        assert report_to(port, called="SENDER") == 0
        assert report_to(port, calling="AWAY") is None
        assert report_to(port, calling="OTHER") is None
        assert report_to(port, called="WRONG") is None
        assert said == [("PACS", "1.2.3.4")] * 2
    finally:
        scp.stop()


def test_an_answer_that_cannot_be_kept_is_not_acknowledged(tmp_path):
    def fail(_ae, _result):
        raise StoreError("the database refuses")

    port = free_port()
    scp = StorageSCP(
        Receive(port=port, carts=(), min_free_disk_mib=0),
        incoming=tmp_path,
        on_stored=lambda _: None,
        archives=Archives(peers=(Peer(ae_title="PACS", host="127.0.0.1", port=1),), calling_ae="X", on_result=fail),
    )
    scp.start()
    try:
        assert report_to(port) == 0x0110
        assert report_to(port, uid="") == 0x0115
    finally:
        scp.stop()


def test_what_is_said_to_be_both_is_not_committed():
    item, ds = pydicom.Dataset(), pydicom.Dataset()
    item.ReferencedSOPInstanceUID = "1.2"
    ds.TransactionUID, ds.ReferencedSOPSequence, ds.FailedSOPSequence = "1.9", [item], [item]
    result = read_result(ds)
    assert (result.committed, dict(result.failed)) == (frozenset(), {"1.2": 0x0110})


@pytest.mark.peer("dcmqrscp")
def test_dcmqrscp_is_asked_by_query(sender, tmp_path):
    with dcmqrscp(tmp_path) as port:
        sender.address = {"ae_title": "QR", "host": "127.0.0.1", "port": port, "commitment": "find"}
        assert (sender.deliver(), sender.confirm()) == (2, 2)
    assert sender.states() == [COMMITTED] * 2


@pytest.mark.peer("Orthanc")
def test_what_orthanc_does_not_find_is_sent_once_more(sender, tmp_path):
    ours = {"AET": "ECHONODE", "Host": "127.0.0.1", "Port": 11112}  # it lets only those query whom it knows
    with orthanc(tmp_path, DicomModalities={"node": ours}) as archive:
        sender.address = {
            "ae_title": archive.ae_title, "host": "127.0.0.1", "port": archive.dicom_port, "commitment": "find",
        }  # fmt: skip
        assert sender.deliver() == 2
        archive.delete(f"/instances/{json.loads(archive.get('/instances'))[0]}")
        for _ in range(5):
            sender.confirm()
            sender.clock.pass_(200)
        assert sorted(s.name for s in sender.states()) == ["COMMITTED", "FAILED"]
        sender.clock.pass_(200)
        assert (sender.deliver(), sender.confirm()) == (1, 1)
        assert sender.states() == [COMMITTED] * 2
        assert len(json.loads(archive.get("/instances"))) == 2
