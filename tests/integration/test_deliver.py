"""The outbox against an archive that is away, refuses, or comes back."""

import random
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydicom.uid import ExplicitVRLittleEndian

from echo_node.cli_delivery import STATES
from echo_node.codes import ObjectKind
from echo_node.config import Config, Deliver, Destination
from echo_node.errors import ConfigError, EchoNodeError, StoreError
from echo_node.records import DeliveryState, JobKind, Report
from echo_node.services import deliver
from echo_node.services.confirm import confirm_once
from echo_node.services.deliver import deliver_once, run
from echo_node.services.health import print_status
from echo_node.services.outbox import print_outbox, resend
from echo_node.services.process import Stop, utc_now
from echo_node.services.requeue import requeue
from echo_node.store import Store, outbox, schema
from tests.integration.storage_peer import storage_peer
from tests.integration.test_receive import Receiver, small, wait_for
from tests.integration.test_stow import Server
from tests.peers import free_port
from tests.unit.store.builders import POLICY, STUDY, Clock, received

FOUR_HOURS = 4 * 3600


@dataclass
class Sender:
    """A node's outbox with two results for one archive."""

    folder: Path
    clock: Clock
    port: int
    address: dict | None = None  # of the archive; None: ours on loopback
    names: tuple[str, ...] = ("pacs",)  # whom the results are for

    def __post_init__(self) -> None:
        self.open()
        self.store.migrate()
        self.store.keep(received(self.store, job=None))
        self.clock.pass_(120)
        self.store.close_studies(POLICY)
        job = self.store.lease([JobKind.STUDY], "w", 60)
        assert job is not None
        reports = [self._report(uid) for uid in ("1.2.1", "1.2.2")]
        self.store.complete_study(job, reports, [(n, report) for n in self.names for report in reports])

    @property
    def _loopback(self) -> dict:
        return {"ae_title": "ECHONODE", "host": "127.0.0.1", "port": self.port}

    def open(self) -> None:
        self.store = Store(f"sqlite:///{self.folder / 'node.db'}", self.folder, now=self.clock)

    def _report(self, uid: str) -> Report:
        item = small(self.folder / uid, uid=uid)
        return Report(
            kind=ObjectKind.SEG, SOPClassUID=item.SOPClassUID, SOPInstanceUID=uid, content=item.path.read_bytes()
        )

    def confirm(self) -> int:
        """Ask the archive about what it was sent."""
        config = self.config
        (pacs,) = config.deliver.destinations
        return confirm_once(self.store, config, pacs, now=self.clock, rng=random.Random(1))

    @property
    def config(self) -> Config:
        pacs = Destination(name="pacs", **(self.address or self._loopback))
        deliver = {"destinations": [pacs], "connect_seconds": 1, "commitment_wait_seconds": 1}
        config = Config.model_validate({"deliver": deliver})
        return config.model_copy(update={"node": config.node.model_copy(update={"storage": self.folder})})

    def deliver(self) -> int:
        config = self.config
        (pacs,) = config.deliver.destinations
        return deliver_once(self.store, config, pacs, now=self.clock, rng=random.Random(1))

    def deliver_at_once(self) -> int:
        """What a command, which goes by the real clock, has made due."""
        self.clock.time = utc_now()
        return self.deliver()

    def states(self) -> list[DeliveryState]:
        return [delivery.state for delivery in self.store.deliveries(STUDY)]


@pytest.fixture
def sender(tmp_path):
    folder = tmp_path / "node"
    folder.mkdir()
    sender = Sender(folder, Clock(), free_port())
    yield sender
    sender.store.dispose()


@pytest.fixture
def start_archive(tmp_path, sender):
    """A function that starts the archive."""
    started = []

    def start() -> Receiver:
        (tmp_path / "archive").mkdir()
        started.append(Receiver(tmp_path / "archive", port=sender.port))
        return started[-1]

    yield start
    for archive in started:
        archive.scp.stop()


def test_an_archive_that_does_not_answer_holds_up_no_other(tmp_path, start_archive, sender):
    two = Sender(tmp_path, Clock(), sender.port, names=("silent", "pacs"))
    stop = Stop()
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as pool:
        addresses = {"silent": silent.getsockname()[1], "pacs": sender.port}
        destinations = [
            Destination(name=name, ae_title="ECHONODE", host="127.0.0.1", port=port)
            for name, port in addresses.items()
        ]
        settings = Deliver(destinations=tuple(destinations), connect_seconds=600)
        config = two.config.model_copy(update={"deliver": settings})
        archive = start_archive()
        running = pool.submit(run, config, stop)
        asked, _ = silent.accept()
        with asked:
            assert asked.recv(1) == b"\x01"  # A-ASSOCIATE-RQ
            wait_for(lambda: len(archive.received) == 2, 60)
            stop.set()
        assert running.result() == 0
    two.store.dispose()


@pytest.mark.parametrize("host", ["x.invalid", "a" * 70, "pacs host"])
def test_a_host_that_has_no_address_holds_up_no_other_archive(tmp_path, start_archive, sender, host):
    two = Sender(tmp_path, Clock(), sender.port, names=("nowhere", "pacs"))
    nowhere, pacs = (Destination(name=n, **two._loopback) for n in two.names)
    nowhere = nowhere.model_copy(update={"host": host})  # config.yaml would not take each of them
    config = two.config.model_copy(update={"deliver": Deliver(destinations=(nowhere, pacs))})
    archive, stop = start_archive(), Stop()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, config, stop)
        try:
            wait_for(lambda: len(archive.received) == 2, 60)
            wait_for(lambda: is_put_back(two, "nowhere"), 60)
        finally:
            stop.set()
        assert running.result() == 0
    for delivery in two.store.outbox.deliveries(destination="nowhere"):
        assert delivery.last_error.startswith(f"ECHONODE at {host}:{sender.port}: ")
        assert delivery.next_attempt_at > utc_now() - timedelta(minutes=1)
        assert delivery.attempts == 1
    two.store.dispose()


def is_put_back(sender: Sender, name: str) -> bool:
    """Have all objects for a destination failed?"""
    return {d.state for d in sender.store.outbox.deliveries(destination=name)} == {DeliveryState.FAILED}


def test_what_nobody_expects_of_one_archive_ends_the_process(tmp_path, sender, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("CANARY")

    monkeypatch.setattr(deliver, "deliver_once", fail)
    monkeypatch.setattr(deliver, "is_gone", lambda _: False)
    with pytest.raises(RuntimeError, match="CANARY"):
        run(sender.config, Stop())


def test_an_archive_that_is_away_for_hours_gets_each_object_once(sender, start_archive):
    sent = {d.SOPInstanceUID: d.path.read_bytes() for d in sender.store.deliveries(STUDY)}
    began, tries = sender.clock.time, 0
    while (sender.clock.time - began).total_seconds() < FOUR_HOURS:
        tries += sender.deliver()
        sender.clock.pass_(60)
    assert 10 < tries < 40  # the pauses grow to an hour
    assert sender.states() == [DeliveryState.FAILED] * 2
    sender.store.dispose()  # the process ends, and another one begins
    sender.open()
    archive = start_archive()
    for _ in range(70):
        sender.deliver()
        sender.clock.pass_(60)
    assert sender.states() == [DeliveryState.SENT] * 2
    came = [received for received, _ in archive.received]
    assert sorted(received.SOPInstanceUID for received in came) == sorted(sent)
    for received_, path in archive.received:
        assert path.read_bytes()[-1000:] == sent[received_.SOPInstanceUID][-1000:]


@pytest.mark.parametrize("status", [0x0110, 0x0124])
def test_an_archive_that_fails_for_a_while_gets_each_object_when_it_is_well(sender, status):
    contexts = [(d.SOPClassUID, [ExplicitVRLittleEndian]) for d in sender.store.deliveries(STUDY)[:1]]
    with storage_peer(contexts, status=status) as peer:
        sender.port = peer.port
        assert sender.deliver() == 2
        assert sender.states() == [DeliveryState.FAILED] * 2
        peer.status = 0x0111  # it kept them, and failed only after that
        sender.clock.pass_(60)
        assert sender.deliver() == 2
    assert sender.states() == [DeliveryState.SENT] * 2


def test_a_result_whose_file_is_lost_holds_no_other_back(sender, start_archive):
    archive = start_archive()
    sender.store.deliveries(STUDY)[0].path.unlink()
    assert sender.deliver() == 2
    assert sender.states() == [DeliveryState.DEAD, DeliveryState.SENT]
    assert len(archive.received) == 1


def test_status_names_what_was_given_up_and_why(sender, start_archive, capsys):
    start_archive()
    for delivery in sender.store.deliveries(STUDY):
        delivery.path.write_bytes(b"damaged")
    sender.deliver()
    assert print_status(sender.config, objects=False) == 1
    shown = capsys.readouterr().out
    assert "LOOK: 2 objects were given up for pacs: its file is damaged; once that is mended, echo-node" in shown


def test_what_was_given_up_is_sent_once_it_is_mended_and_requeued(sender, start_archive, capsys):
    archive = start_archive()
    good = [(delivery.path, delivery.path.read_bytes()) for delivery in sender.store.deliveries(STUDY)]
    for path, _ in good:
        path.write_bytes(b"damaged")
    sender.deliver()
    for path, content in good:
        path.write_bytes(content)
    assert requeue(sender.config, StudyInstanceUID=None, destination="pacs") == 0
    assert capsys.readouterr().out == "2 deliveries are tried again\n"
    sender.clock.time = utc_now()
    assert sender.deliver() == 2
    assert sender.states() == [DeliveryState.SENT] * 2
    assert len(archive.received) == 2
    assert requeue(sender.config, StudyInstanceUID=STUDY, destination=None) == 0
    assert (
        capsys.readouterr().out
        == "0 clips, 0 corrections and 0 reports are tried again\n0 deliveries are tried again\n"
    )


def test_requeue_says_what_it_does_not_know(sender):
    with pytest.raises(EchoNodeError, match=r"'vna' is not in deliver.destinations; there: pacs"):
        requeue(sender.config, StudyInstanceUID=None, destination="vna")
    with pytest.raises(StoreError, match=r"study 1\.9 is not known"):
        requeue(sender.config, StudyInstanceUID="1.9", destination=None)


def test_a_destination_with_a_url_is_stored_to_over_the_web(sender):
    server = Server()
    sender.address = {"url": server.url}
    try:
        server.answer(200, stored="1.2.1")
        assert sender.deliver() == 2
    finally:
        server.stop()
    assert sender.states() == [DeliveryState.SENT, DeliveryState.FAILED]
    for delivery, (_, body) in zip(sender.store.deliveries(STUDY), server.requests, strict=True):
        assert delivery.path.read_bytes() in body


def test_the_outbox_is_listed_and_what_was_sent_goes_again_as_the_same_bytes(sender, start_archive, capsys):
    archive = start_archive()
    assert print_outbox(sender.config) == 0
    assert "pacs  queued" in capsys.readouterr().out
    sender.deliver()
    assert resend(sender.config, SOPInstanceUID="1.2.1") == 0
    assert capsys.readouterr().out == "pacs: 1 objects\n"
    assert sender.deliver_at_once() == 1
    assert resend(sender.config, StudyInstanceUID=STUDY, destination="pacs") == 0
    assert sender.deliver_at_once() == 2
    came = [received.SOPInstanceUID for received, _ in archive.received]
    assert came == ["1.2.1", "1.2.2", "1.2.1", "1.2.1", "1.2.2"]
    assert len({received.sha256 for received, _ in archive.received}) == 2
    capsys.readouterr()
    assert print_outbox(sender.config, state=DeliveryState.SENT, StudyInstanceUID=STUDY) == 0
    assert [line.split()[8] for line in capsys.readouterr().out.splitlines()] == ["1.2.1", "1.2.2"]


def test_the_outbox_says_what_was_given_up_and_why(sender, start_archive, capsys):
    start_archive()
    sender.store.deliveries(STUDY)[0].path.unlink()
    sender.deliver()
    assert print_outbox(sender.config) == 1
    out = capsys.readouterr().out.splitlines()
    assert "dead" in out[0]
    assert "its file cannot be read" in out[0]
    assert print_outbox(sender.config, state=DeliveryState.SENT) == 0


def test_the_outbox_and_status_say_what_failed_and_goes_again(sender, capsys):
    sender.deliver()  # to nobody
    assert print_outbox(sender.config, state=DeliveryState.FAILED) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2
    assert out[0].startswith("pacs  failed     next 2026-")
    assert "no association" in out[0]
    assert print_outbox(sender.config, state=DeliveryState.QUEUED) == 0
    assert capsys.readouterr().out == ""
    print_status(sender.config, objects=False)
    assert "deliveries  2 failed for pacs\n" in capsys.readouterr().out
    deliver = sender.config.deliver.model_copy(update={"destinations": ()})
    print_status(sender.config.model_copy(update={"deliver": deliver}), objects=False)
    assert "LOOK: 2 objects wait for pacs, which deliver.destinations no longer names" in capsys.readouterr().out


def test_nothing_is_resent_that_was_never_queued(sender):
    with pytest.raises(ConfigError, match=r"deliver.destinations has no 'pax'; it has: pacs"):
        resend(sender.config, StudyInstanceUID=STUDY, destination="pax")
    with pytest.raises(StoreError, match=r"nothing of 9\.9 was ever queued"):
        resend(sender.config, SOPInstanceUID="9.9")
    sender.store.keep(received(sender.store, "1.3", PatientID="another"))
    with pytest.raises(StoreError, match="quarantine"):
        resend(sender.config, StudyInstanceUID=STUDY)


def with_second(config: Config, **keys) -> Config:
    """The settings with a destination added."""
    second = Destination(name="second", ae_title="B", host="127.0.0.1", port=104, **keys)
    deliver = config.deliver.model_copy(update={"destinations": (*config.deliver.destinations, second)})
    return config.model_copy(update={"deliver": deliver})


def test_a_destination_that_was_added_later_gets_a_study_that_was_sent_elsewhere(sender, start_archive, capsys):
    start_archive()
    sender.deliver()
    config = with_second(sender.config)
    assert resend(config, StudyInstanceUID=STUDY, destination="second") == 0
    assert capsys.readouterr().out == "second: 2 objects for the first time\n"
    queued = sender.store.outbox.deliveries(destination="second")
    assert [(d.SOPInstanceUID, d.state) for d in queued] == [(u, DeliveryState.QUEUED) for u in ("1.2.1", "1.2.2")]
    assert resend(config, StudyInstanceUID=STUDY, destination="second") == 0
    assert capsys.readouterr().out == "second: 2 objects\n"
    assert [d.state for d in sender.store.outbox.deliveries(destination="pacs")] == [DeliveryState.SENT] * 2


def test_a_later_destination_gets_what_it_asks_for_and_nothing_of_a_quarantine(sender):
    wants_reports = with_second(sender.config, objects=[ObjectKind.SR])
    with pytest.raises(StoreError, match="was ever queued for second, or is to be"):
        resend(wants_reports, StudyInstanceUID=STUDY, destination="second")
    sender.store.keep(received(sender.store, "1.3", PatientID="another"))
    with pytest.raises(StoreError, match="is in quarantine"):
        resend(with_second(sender.config), StudyInstanceUID=STUDY, destination="second")
    assert sender.store.outbox.deliveries(destination="second") == []


def add_document(sender: Sender, uid: str, kind: ObjectKind, *, revision: int) -> None:
    """A document of a later close, which was sent to nobody yet."""
    report = replace(sender._report(uid), kind=kind)
    path, at = Path("results") / uid, sender.clock()
    with sender.store._db.write() as conn:
        outbox.add_report(conn, report, path=path, StudyInstanceUID=STUDY, revision=revision, at=at)


def uids_for_second(sender: Sender) -> set[str]:
    return {d.SOPInstanceUID for d in sender.store.outbox.deliveries(destination="second")}


def test_of_documents_a_later_destination_gets_the_last_that_stands_and_of_persons_what_it_rests_on(sender):
    for revision in (1, 2, 3):
        add_document(sender, f"1.2.1{revision}", ObjectKind.SR, revision=revision)
    add_document(sender, "1.2.20", ObjectKind.EDIT, revision=1)
    with sender.store._db.write() as conn:  # as if revision 3 had been rejected
        conn.execute(sa.update(schema.reports).where(schema.reports.c.revision == 3).values(is_withdrawn=True))
    assert resend(with_second(sender.config), StudyInstanceUID=STUDY, destination="second") == 0
    assert uids_for_second(sender) == {"1.2.1", "1.2.2", "1.2.12", "1.2.20"}


def test_a_destination_that_has_some_of_a_study_gets_the_others_too(sender, capsys):
    config = with_second(sender.config)
    with sender.store._db.write() as conn:
        outbox.enqueue(conn, "second", "1.2.2", at=sender.clock())
    assert resend(config, StudyInstanceUID=STUDY, destination="second") == 0
    assert capsys.readouterr().out == "second: 1 objects for the first time\nsecond: 1 objects\n"
    assert uids_for_second(sender) == {"1.2.1", "1.2.2"}


def test_what_a_destination_got_in_its_older_form_it_does_not_get_in_the_newer(sender):
    add_document(sender, "1.2.11", ObjectKind.SR, revision=1)
    add_document(sender, "1.2.12", ObjectKind.SR_COMPREHENSIVE, revision=1)
    with sender.store._db.write() as conn:
        outbox.enqueue(conn, "second", "1.2.12", at=sender.clock())
    assert resend(with_second(sender.config), StudyInstanceUID=STUDY, destination="second") == 0
    assert uids_for_second(sender) == {"1.2.1", "1.2.2", "1.2.12"}


def test_nothing_is_resent_to_a_destination_that_is_gone(sender, start_archive):
    start_archive()
    sender.deliver()
    before = sender.states()
    deliver = sender.config.deliver.model_copy(update={"destinations": ()})
    without = sender.config.model_copy(update={"deliver": deliver})
    with pytest.raises(StoreError, match=r"deliver\.destinations no longer names pacs"):
        resend(without, StudyInstanceUID=STUDY)
    assert sender.states() == before


def test_the_command_line_knows_every_state():
    assert {s.value for s in DeliveryState} == set(STATES)


def test_a_receiver_that_lets_only_carts_in_is_there(sender, tmp_path, capsys):
    from echo_node.config import Cart

    (tmp_path / "carts").mkdir()
    receiver = Receiver(tmp_path / "carts", carts=(Cart(ae_title="VIVID1", hosts=("192.0.2.7",)),))
    settings = {"receive": {"port": receiver.port, "min_free_disk_mib": 0}}
    config = Config.model_validate(settings)
    config = config.model_copy(update={"node": sender.config.node, "deliver": sender.config.deliver})
    for delivery in sender.store.outbox.lease("pacs", "w", 60, 9):
        sender.store.outbox.mark_sent(delivery)  # nothing else is for a person to look at
    try:
        assert print_status(config, objects=False) == 0
    finally:
        receiver.scp.stop()
    assert print_status(config, objects=True) == 1
    shown = capsys.readouterr().out
    assert f"study {STUDY}  reported; closed at 2026-11-23 12:02:00 UTC: quiet time over, revision 1\n" in shown
    assert f"does not answer on port {receiver.port}" in shown
