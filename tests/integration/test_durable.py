"""The receiver as its own process: in what order it writes, and what a kill costs."""

import hashlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from echo_node.dicom import scu
from echo_node.errors import DeliveryUnreachable
from echo_node.services.process import utc_now
from echo_node.store import Store
from tests.integration.test_receive import small
from tests.peers import free_port

KILLS, OBJECTS = 4, 40


class Process:
    """``echo-node receive`` in a folder of its own, alone or under a tracer."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        settings = {
            "node": {"storage": "storage"},
            "receive": {"port": self.port, "min_free_disk_mib": 1},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")

    def start(self, *tracer: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "echo_node", "--config", str(self.folder / "config.yaml"), "receive"]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen([*tracer, *command], stderr=log, start_new_session=True)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            except ConnectionError:
                time.sleep(0.1)
            else:
                return process
        pytest.fail("the receiver did not start")

    def send(self, items: list[scu.Outgoing]) -> list[scu.Outgoing]:
        """The objects that were answered with success."""
        peer = scu.Peer(ae_title="ECHONODE", host="127.0.0.1", port=self.port)
        errors = scu.send(items, to=peer, calling_ae="CART", connect_seconds=5, response_seconds=5)
        return [item for item, error in zip(items, errors, strict=True) if error is None]

    def store(self) -> Store:
        return Store(f"sqlite:///{self.folder / 'storage' / 'node.db'}", self.folder / "storage", now=utc_now)


@pytest.fixture
def receiver(tmp_path):
    return Process(tmp_path)


def objects(folder: Path, first: int, count: int) -> list[scu.Outgoing]:
    return [
        small(folder / f"{n}.dcm", uid=f"1.2.3.{n}", size=2 * random.Random(n).randrange(1000, 200_000))
        for n in range(first, first + count)
    ]


@pytest.mark.peer("strace")
def test_success_is_the_last_that_happens_to_an_object(receiver, tmp_path):
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2,sendto"
    process = receiver.start("strace", "-f", "-y", "-s", "32", "-e", calls, "-o", str(trace))
    assert len(receiver.send(objects(tmp_path, 0, 1))) == 1
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=60)
    written = trace.read_text(encoding="utf-8", errors="replace")
    steps = [
        r"fsync\(\d+<[^>]*/incoming/[^>]*\.part>\)",
        r"rename\w*\(.*\.part.*/spool/",
        r"fsync\(\d+<[^>]*/spool/[0-9a-f]{2}>\)",
        r"f(data)?sync\(\d+<[^>]*/node\.db-wal>\)",
        r"sendto\(\d+<.*\"\\4\\0",  # P-DATA-TF: the C-STORE response
    ]
    position = 0
    for step in steps:
        found = re.compile(step).search(written, position)
        assert found is not None, f"{step} did not happen, or too early"
        position = found.end()


def test_a_receiver_killed_under_load_keeps_all_that_it_answered(receiver, tmp_path):
    answered: list[scu.Outgoing] = []
    rng = random.Random(1)
    for kill in range(KILLS):
        process = receiver.start()
        killer = threading.Timer(rng.uniform(0.1, 1.5), process.kill)
        killer.start()
        for burst in range(20):
            try:
                answered += receiver.send(objects(tmp_path, (kill * 20 + burst) * OBJECTS, OBJECTS))
            except DeliveryUnreachable:
                break
        killer.join()
        process.wait(timeout=60)
    process = receiver.start()  # it sweeps
    process.terminate()
    assert process.wait(timeout=60) == 0
    store = receiver.store()
    try:
        assert answered
        for item in answered:
            kept = store.instance(item.SOPInstanceUID)
            assert dataset_digest(kept.path) == kept.sha256 == dataset_digest(item.path)
        status = store.status()
        files = [path for path in (tmp_path / "storage" / "spool").rglob("*") if path.is_file()]
        assert len(files) == status.instances + status.set_aside
    finally:
        store.dispose()
    assert not any(path.is_file() for path in (tmp_path / "storage" / "incoming").rglob("*"))


def dataset_digest(path: Path) -> str:
    """Of what follows the File Meta Information, whose length stands in its first element (PS3.10 7.1)."""
    content = path.read_bytes()
    return hashlib.sha256(content[144 + int.from_bytes(content[140:144], "little") :]).hexdigest()
