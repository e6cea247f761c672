"""The installed program, started as its user would start it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml

from echo_node.codes import View
from echo_node.config import load
from echo_node.phantom import sample_patient
from echo_node.phantom.exam import SimulatedObject, simulate_exam
from echo_node.phantom.heart import Rhythm
from echo_node.services.process import utc_now
from echo_node.services.simulate import known_exam
from echo_node.store import InstanceOutcome, Outcome, Store
from tests.peers import free_port

PROGRAM = Path(sys.executable).with_name("echo-node")
ENGINE = Path(__file__).parents[2] / "engines" / "echoapex-tiny-phantom"


def wait_for(found: Callable, *, seconds: float = 120.0):
    """Poll until the callable returns something true; the bound only ends a hopeless wait."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = found()
        if result:
            return result
        time.sleep(0.1)
    pytest.fail(f"nothing came within {seconds:.0f} s")


@dataclass
class Node:
    """A running node in a folder of its own."""

    folder: Path
    port: int
    settings: dict
    process: subprocess.Popen | None = None

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def log(self) -> str:
        return (self.folder / "node.log").read_text(encoding="utf-8")

    def start(self) -> None:
        self.config.write_text(yaml.safe_dump(self.settings), encoding="utf-8")
        with (self.folder / "node.log").open("ab") as log:
            self.process = subprocess.Popen([PROGRAM, "--config", self.config, "serve"], stderr=log)
        wait_for(self._listens)

    def _listens(self) -> bool:
        """Asked without DICOM: a C-ECHO would need a calling AE title that the node allows."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except ConnectionError:
            return False
        return True

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=120)

    def children(self, service: str) -> list[int]:
        """Process ids of a service of this node."""
        wanted = [str(self.config), service]
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    words = (entry / "cmdline").read_bytes().decode().split("\0")
                    if words[-3:-1] == wanted:
                        found.append(int(entry.name))
        return found

    def kill(self, service: str) -> None:
        for pid in self.children(service):
            os.kill(pid, signal.SIGKILL)

    def run(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [PROGRAM, "--config", self.config, *words], capture_output=True, text=True, check=False
        )

    @contextlib.contextmanager
    def store(self) -> Iterator[Store]:
        settings = load(self.config).node
        store = Store(settings.database_url, settings.storage, now=utc_now)
        try:
            yield store
        finally:
            store.dispose()

    def outcomes(self) -> dict:
        """Each object's outcome by its SOP Instance UID."""
        with self.store() as store:
            return {o.SOPInstanceUID: o for o in store.instance_outcomes()}

    def kept_at(self, outcome: InstanceOutcome) -> Path:
        """Where an object's file lies; of those set aside it is the detail of the row."""
        if outcome.outcome is Outcome.SET_ASIDE:
            return self.folder / "storage" / outcome.detail
        with self.store() as store:
            return store.instance(outcome.SOPInstanceUID).path


@dataclass(frozen=True)
class ExamFile:
    """An object of an exam, as a cart keeps it before it sends it."""

    view: View
    path: Path

    def dataset(self) -> pydicom.Dataset:
        return pydicom.dcmread(self.path)


@pytest.fixture(scope="session")
def exam(tmp_path_factory) -> list[ExamFile]:
    """A phantom patient's exam, clips and stills. One for all tests: it takes long to render.

    Each node and each archive is new to it; a test that wants a study of its own gives it other UIDs.
    """
    folder = tmp_path_factory.mktemp("exam")
    files = []
    for number, item in enumerate(known_exam(5, start=utc_now())[1]):
        files.append(ExamFile(item.clip.view, folder / f"{number:02d}.dcm"))
        pydicom.dcmwrite(files[-1].path, item.ds, enforce_file_format=True)
    return files


@pytest.fixture(scope="session")
def two_views() -> list[SimulatedObject]:
    """An apical and a parasternal cine of a patient whom the engine measures in both."""
    rng = np.random.default_rng(1)
    patient = sample_patient(rng, rhythm=Rhythm.REGULAR)
    return simulate_exam(patient, rng=rng, start=utc_now(), views=[View.A4C, View.PLAX])[:2]


@pytest.fixture(scope="session")
def cines(exam) -> dict[View, bytes]:
    """The exam's clips of more than one frame by their views, as Part 10 files."""
    return {f.view: f.path.read_bytes() for f in exam if f.dataset().get("NumberOfFrames", 1) > 1}


@pytest.fixture
def make_node(tmp_path) -> Iterator[Callable[..., Node]]:
    """A function that starts a node; it is stopped after the test."""
    nodes: list[Node] = []

    def make(*, destinations=(), log_level="info", max_frames=600, **receive) -> Node:
        port = free_port()
        node = Node(
            folder=tmp_path,
            port=port,
            settings={
                "node": {"storage": "storage", "log_level": log_level},
                "receive": {"port": port, "min_free_disk_mib": 50, "max_object_mib": 64, **receive},
                "study": {
                    "quiet_seconds": 3,
                    "close_on_association_end": True,
                    "association_grace_seconds": 1,
                },
                "analyse": {"engine": str(ENGINE), "max_frames": max_frames},
                "deliver": {"destinations": list(destinations), "first_retry_seconds": 0.5},
            },
        )
        node.start()
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        if node.process is not None and node.process.poll() is None:
            node.stop()
