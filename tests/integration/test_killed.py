"""A sender killed between any two steps delivers each object once, by every transport.

Once means: the archive holds one object of each UID, with the bytes that were made. It may have received it
twice: a sender that dies after the archive has an object and before the archive's answer is on disk cannot
know, and sends the same bytes again, which an archive takes as what it has (PS3.4 B.2.3 knows no other way).
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_commitment import Archive
from tests.integration.test_deliver import Sender
from tests.integration.test_stow import _sequence
from tests.peers import dcmqrscp, free_port
from tests.unit.store.builders import STUDY, Clock

# Senders that die while the archive has something of theirs and they no answer: at which arrival of what.
BY_ARCHIVE = {"OBJECT1": ("object", 1), "OBJECT2": ("object", 2), "QUESTION": ("question", 1)}


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[Sender]:
    (tmp_path / "node").mkdir()
    sender = Sender(tmp_path / "node", Clock(), free_port())
    yield sender
    sender.store.dispose()


class Killer:
    """Kills a sender, once, when something of it arrives."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._arrived: dict[tuple[str, str], int] = {}

    def arrived(self, name: str, what: str) -> None:
        self._arrived[name, what] = count = self._arrived.get((name, what), 0) + 1
        if BY_ARCHIVE.get(name) == (what, count):
            os.kill(int((self._folder / f"{name}.pid").read_text(encoding="ascii")), signal.SIGKILL)


class KillingArchive(Archive):
    """By C-STORE, with storage commitment."""

    def __init__(self, killer: Killer) -> None:
        self._killer = killer
        super().__init__()

    def _store(self, event: Any) -> int:
        status = super()._store(event)
        self._killer.arrived(event.assoc.requestor.ae_title, "object")
        return status

    def _act(self, event: Any) -> tuple[int, None]:
        self._killer.arrived(event.assoc.requestor.ae_title, "question")
        return super()._act(event)


class KillingService:
    """By STOW-RS: the sender's name is the first part of the path."""

    def __init__(self, killer: Killer, kept: dict[str, bytes]) -> None:
        self.stored: list[tuple[str, str, bytes]] = []
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                name = self.path.split("/")[1]
                (uid,) = (uid for uid, content in kept.items() if content in body)
                service.stored.append((name, uid, kept[uid]))
                killer.arrived(name, "object")
                content = json.dumps({"00081199": _sequence(uid, "00081196", 0)}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/dicom+json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # whom it answers is dead
                    super().handle()

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/NAME/dicom-web"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def lives(sender: Sender, address: dict[str, Any], *by_archive: str) -> dict[str, list[str]]:
    """States in the end, by the name of the sender; each but the last was killed."""
    sender.store.dispose()
    command = [
        sys.executable,
        "-m",
        "tests.integration.killed",
        str(sender.folder),
        json.dumps(address),
        *by_archive,
    ]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False, cwd=root)
    assert done.returncode == 0, done.stderr[-2000:]
    found = {}
    for line in done.stdout.splitlines():
        name, was_killed, *states = line.split()
        found[name] = states
        last = line == done.stdout.splitlines()[-1]
        assert was_killed == str(not last), line
    assert {*by_archive} < found.keys()
    return found


def kept_by(sender: Sender) -> dict[str, bytes]:
    return {d.SOPInstanceUID: d.path.read_bytes() for d in sender.store.deliveries(STUDY)}


def holds_each_once(stored: list[tuple[str, str, bytes]], kept: dict[str, bytes], name: str) -> None:
    came = [(uid, content) for sender, uid, content in stored if sender == name]
    assert {uid for uid, _ in came} == kept.keys(), name
    assert len(set(came)) == len(kept), name  # never as different bytes
    assert max(came.count(one) for one in came) <= 2, name
    for uid, content in came:
        assert kept[uid].endswith(content), name


def test_by_c_store_and_storage_commitment(sender: Sender, tmp_path: Path) -> None:
    kept = kept_by(sender)
    archive = KillingArchive(Killer(tmp_path))
    try:
        found = lives(sender, archive.address, *BY_ARCHIVE)
    finally:
        archive.stop()
    assert len(found) > len(BY_ARCHIVE) + 16  # lease, two sent, two marks, ask, request, settle: before and after
    for name, states in found.items():
        assert states == ["committed"] * 2, name
        holds_each_once(archive.stored, kept, name)


def test_by_stow_rs(sender: Sender, tmp_path: Path) -> None:
    kept = kept_by(sender)
    service = KillingService(Killer(tmp_path), kept)
    try:
        found = lives(sender, {"url": service.url}, "OBJECT1", "OBJECT2")
    finally:
        service.stop()
    assert len(found) > 2 + 9  # lease, two sent, two marks: before and after
    for name, states in found.items():
        assert states == ["sent"] * 2, name
        holds_each_once(service.stored, kept, name)


@pytest.mark.peer("dcmqrscp")
def test_by_c_store_and_a_query(sender: Sender, tmp_path: Path) -> None:
    """All senders send the same two objects to one real archive, which has them once in the end."""
    kept = kept_by(sender)
    with dcmqrscp(tmp_path) as port:
        found = lives(sender, {"ae_title": "QR", "host": "127.0.0.1", "port": port, "commitment": "find"})
        files = [path for path in (tmp_path / "qr").iterdir() if path.name != "index.dat"]
        assert len(files) == len(kept)
    assert len(found) > 16
    assert {tuple(states) for states in found.values()} == {("committed", "committed")}
