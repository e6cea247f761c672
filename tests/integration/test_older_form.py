"""A destination that refuses Comprehensive 3D SR gets the same report as Comprehensive SR: one of the two, once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    SegmentationStorage,
)

from echo_node.codes import ObjectKind
from echo_node.config import Config
from echo_node.records import Delivery, DeliveryState, JobKind, Report
from echo_node.reports import build_reports, read_report
from echo_node.services.addresses import addressed, wanted
from echo_node.services.deliver import deliver_once
from echo_node.store import Store
from tests.integration.storage_peer import storage_peer
from tests.integration.test_stow import Server
from tests.peers import free_port, storescp
from tests.unit.reports.builders import analysis, clip, source
from tests.unit.store.builders import POLICY, STUDY, Clock, failed, received

LEASE = 601
NEWER, OLDER = Comprehensive3DSRStorage, ComprehensiveSRStorage
# DCMTK's storescp, told to know all of it but Comprehensive 3D SR
PROFILE = """[[TransferSyntaxes]]
[Any]
TransferSyntax1 = LocalEndianExplicit
[[PresentationContexts]]
[StorageSCP]
PresentationContext1 = ComprehensiveSRStorage\\Any
PresentationContext2 = SegmentationStorage\\Any
[[Profiles]]
[Default]
PresentationContexts = StorageSCP
"""


@dataclass
class Node:
    """A node's store with a study, and its sender."""

    folder: Path
    clock: Clock
    address: dict

    def __post_init__(self) -> None:
        self.store = Store(f"sqlite:///{self.folder / 'node.db'}", self.folder, now=self.clock)
        self.store.migrate()
        self.store.keep(received(self.store, job=None))

    @property
    def config(self) -> Config:
        deliver = {"destinations": [{"name": "pacs", **self.address}], "connect_seconds": 1, "response_seconds": 5}
        return Config.model_validate({"deliver": deliver})

    def report(self, revision: int = 1) -> tuple[Report, ...]:
        """Close the study and queue what it brings about."""
        self.clock.pass_(120)
        self.store.close_studies(POLICY)
        job = self.store.lease([JobKind.STUDY], "w", 60)
        assert job is not None
        of = source(StudyInstanceUID=STUDY)
        made = build_reports(
            analysis(clip(of), revision=revision),
            {of.SOPInstanceUID: of},
            kinds=wanted(self.config),
            earlier=self.store.outbox.reports_before(STUDY, revision),
        )
        self.store.complete_study(job, made, addressed(made, self.config))
        return made

    def late_clip(self) -> None:
        self.store.keep(received(self.store, "1.2.826.1.2"))
        job = self.store.lease([JobKind.CLIP], "w", 60)
        assert job is not None
        self.store.complete_clip(job, failed("1.2.826.1.2"))

    def deliver(self) -> None:
        """Send until nothing is due."""
        while self.deliver_once():
            pass

    def deliver_once(self) -> int:
        (pacs,) = self.config.deliver.destinations
        return deliver_once(self.store, self.config, pacs, now=self.clock, rng=random.Random(1))

    def rows(self) -> list[Delivery]:
        return self.store.deliveries(STUDY)

    def classes(self) -> list[str]:
        return sorted(d.SOPClassUID for d in self.rows())


@pytest.fixture
def node(tmp_path) -> Iterator[Node]:
    folder = tmp_path / "node"
    folder.mkdir()
    node = Node(folder, Clock(), {"ae_title": "PEER", "host": "127.0.0.1", "port": free_port()})
    yield node
    node.store.dispose()


def at(port: int) -> dict:
    return {"ae_title": "PEER", "host": "127.0.0.1", "port": port}


def knowing(*classes: str) -> list:
    return [(uid, [ExplicitVRLittleEndian]) for uid in classes]


@pytest.mark.peer("storescp")
def test_dcmtk_without_the_class_gets_the_older_form_at_once(node, tmp_path):
    kept, profile = tmp_path / "kept", tmp_path / "storescp.cfg"
    kept.mkdir()
    profile.write_text(PROFILE, encoding="utf-8")
    made = {r.kind: r for r in node.report()}
    with storescp(kept, "-xf", str(profile), "Default") as port:
        node.address = at(port)
        node.deliver()
    came = {ds.SOPClassUID: ds for ds in map(pydicom.dcmread, kept.iterdir())}
    assert came.keys() == {OLDER, SegmentationStorage}
    assert came[OLDER].SOPInstanceUID == made[ObjectKind.SR_COMPREHENSIVE].SOPInstanceUID
    older, newer = (read_report(made[kind].content) for kind in (ObjectKind.SR_COMPREHENSIVE, ObjectKind.SR))
    assert older is not None
    assert newer is not None
    assert older.measurements == newer.measurements
    assert [d.state for d in node.rows()] == [DeliveryState.SENT] * 2
    assert node.classes() == sorted([OLDER, SegmentationStorage])


def test_a_peer_that_has_the_class_gets_the_newer_form_alone(node):
    node.report()
    with storage_peer(knowing(NEWER, OLDER, SegmentationStorage)) as peer:
        node.address = at(peer.port)
        node.deliver()
    assert node.classes() == sorted([NEWER, SegmentationStorage])
    assert len(peer.received) == 2


def test_a_status_that_says_so_counts_as_refusal_too(node):
    node.report()
    with storage_peer(knowing(NEWER, OLDER, SegmentationStorage), refused_classes=(NEWER,)) as peer:
        node.address = at(peer.port)
        node.deliver()
    assert node.classes() == sorted([OLDER, SegmentationStorage])


def test_a_web_server_that_refuses_the_class_gets_the_older_form(node):
    made = {r.kind: r for r in node.report()}
    newer, older, seg = (
        made[k].SOPInstanceUID for k in (ObjectKind.SR, ObjectKind.SR_COMPREHENSIVE, ObjectKind.SEG)
    )
    server = Server()
    try:
        node.address = {"url": server.url}
        server.answer(409, failed=newer, reason=0x0122)
        assert node.deliver_once() == 2
        states = {d.SOPInstanceUID: d.state for d in node.rows()}
        assert states[older] is DeliveryState.FAILED  # until it goes in its other form
        assert newer not in states
        server.requests.clear()
        server.answer(200, stored=older)
        assert node.deliver_once() == 1
        assert made[ObjectKind.SR_COMPREHENSIVE].content in server.requests[0][1]
    finally:
        server.stop()
    assert {d.SOPInstanceUID for d in node.rows()} == {older, seg}


def test_a_later_report_goes_in_the_form_that_the_destination_has_and_replaces_it(node):
    node.report()
    with storage_peer(knowing(OLDER, SegmentationStorage)) as peer:
        node.address = at(peer.port)
        node.deliver()
    first = next(ds for ds in read(peer.received) if ds.Modality == "SR")
    node.late_clip()
    node.report(revision=2)
    with storage_peer(knowing(NEWER, OLDER, SegmentationStorage)) as peer:  # it has learned the newer one meanwhile
        node.address = at(peer.port)
        node.deliver()
    (second,) = read(peer.received)
    assert second.SOPClassUID == OLDER
    item = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert item.ReferencedSOPInstanceUID == first.SOPInstanceUID


@pytest.mark.parametrize("step", ["refused", "swapped", "sent"])
def test_killed_between_two_steps_the_destination_has_one_form_once(node, monkeypatch, step):
    """The process ends before that step is on disk; the next one finds the row as it was and begins there."""
    node.report()
    outbox = type(node.store.outbox)
    whole = {name: getattr(outbox, name) for name in ("fall_back", "mark_sent")}

    class Killed(BaseException):
        pass

    def before(*_: object, **__: object) -> None:
        raise Killed

    def after(self: object, delivery: Delivery, error: str) -> None:
        whole["fall_back"](self, delivery, error)
        raise Killed

    def before_sent(self: object, delivery: Delivery, **more: object) -> None:
        if delivery.SOPClassUID == OLDER:
            raise Killed
        whole["mark_sent"](self, delivery, **more)

    killing = {
        "refused": ("fall_back", before),
        "swapped": ("fall_back", after),
        "sent": ("mark_sent", before_sent),
    }
    with storage_peer(knowing(OLDER, SegmentationStorage)) as peer:
        node.address = at(peer.port)
        with monkeypatch.context() as patch:
            patch.setattr(outbox, *killing[step])
            with pytest.raises(Killed):
                node.deliver()
        for _ in range(3):
            node.clock.pass_(LEASE)
            node.deliver()
    came = read(peer.received)
    assert {ds.SOPClassUID for ds in came} == {OLDER, SegmentationStorage}
    assert len({ds.SOPInstanceUID for ds in came}) == 2
    assert [d.state for d in node.rows()] == [DeliveryState.SENT] * 2


def test_what_a_destination_once_took_gets_no_second_form(node):
    """An archive was replaced by one that knows less; a person has the report sent again."""
    node.report()
    with storage_peer(knowing(NEWER, SegmentationStorage)) as peer:
        node.address = at(peer.port)
        node.deliver()
    assert node.store.outbox.send_again(node.rows()) == 2
    with storage_peer(knowing(OLDER, SegmentationStorage)) as peer:
        node.address = at(peer.port)
        node.deliver()
    assert node.classes() == sorted([NEWER, SegmentationStorage])
    refused = next(d for d in node.rows() if d.SOPClassUID == NEWER)
    assert refused.state is DeliveryState.DEAD
    assert refused.last_error == "the peer does not take Comprehensive 3D SR Storage"


def test_a_peer_that_knows_neither_leaves_the_report_to_a_person(node):
    node.report()
    with storage_peer(knowing(SegmentationStorage)) as peer:
        node.address = at(peer.port)
        node.deliver()
    states = {d.SOPClassUID: d.state for d in node.rows()}
    assert states == {OLDER: DeliveryState.DEAD, SegmentationStorage: DeliveryState.SENT}


def read(contents: list[bytes]) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(pydicom.filebase.DicomBytesIO(content)) for content in contents]
