"""Several processes on one store, some of them killed: nothing lost, nothing done twice."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from echo_node.codes import Reason
from echo_node.errors import LeaseLost
from echo_node.records import Job, JobKind
from echo_node.store import JobState, Store
from tests import peers
from tests.unit.store.builders import POLICY, STUDY, Clock, measured, received
from tests.unit.store.conftest import new_database

_PRELUDE = """
import hashlib, os, sys, time
from pathlib import Path
from echo_node.records import JobKind
from echo_node.store import Store
from tests.unit.store.builders import POLICY, Clock, failed, measured, received
root, url, argument = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
clock = Clock()
store = Store(url, root, now=clock)
def say(*words):
    print(*words, flush=True)
"""

_WORK = """
while job := store.lease([JobKind.CLIP], argument, 60):
    store.complete_clip(job, failed(job.target))
    say(job.target)
"""

_HANG = """
job = store.lease([JobKind.CLIP], argument, 60)
say(job.id, job.attempts, job.lease)
time.sleep(600)
"""

_KEEP = """
for n in range(int(argument)):
    say(n, store.keep(received(store, f"1.2.{n}")).name)
"""

_RECEIVE = """
n = int(argument)
while True:
    obj = received(store, f"1.2.{n}", content=os.urandom(1000))
    sha256 = hashlib.sha256(obj.path.read_bytes()).hexdigest()
    store.keep(obj)
    say(f"1.2.{n}", sha256)
    n += 1
"""

_CLOSE = """
clock.pass_(120)
for closed in store.close_studies(POLICY):
    say(closed.StudyInstanceUID, closed.revision)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with peers.postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer("postgresql"))])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'node.db'}"
    return new_database(request.getfixturevalue("server"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, tmp_path: Path, clock: Clock) -> Iterator[Store]:
    store = Store(url, tmp_path, now=clock)
    store.migrate()
    yield store
    store.dispose()


class Children:
    """Starts programs on the store."""

    def __init__(self, root: Path, url: str) -> None:
        self._place = str(root), url

    def start(self, program: str, argument: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _PRELUDE + program, *self._place, argument]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def run_all(self, program: str, arguments: list[str]) -> list[str]:
        """The lines that all of them said, once all have ended well."""
        started = [self.start(program, argument) for argument in arguments]
        said = [child.communicate(timeout=120)[0] for child in started]
        assert [child.returncode for child in started] == [0] * len(started)
        return [line for text in said for line in text.splitlines()]


@pytest.fixture
def children(tmp_path: Path, url: str, store: Store) -> Children:
    return Children(tmp_path, url)


def test_each_job_is_done_once(store: Store, children: Children) -> None:
    uids = [f"1.2.{n}" for n in range(60)]
    for uid in uids:
        store.keep(received(store, uid))
    assert sorted(children.run_all(_WORK, ["a", "b", "c", "d"])) == sorted(uids)
    assert store.status().jobs == {(JobKind.CLIP, JobState.DONE): 60}
    assert len(store.clip_analyses(STUDY)) == 60


def test_same_objects_to_several_receivers_are_kept_once(store: Store, children: Children) -> None:
    lines = children.run_all(_KEEP, ["30"] * 4)
    assert sorted(line for line in lines if line.endswith("NEW")) == sorted(f"{n} NEW" for n in range(30))
    assert sum(line.endswith("DUPLICATE") for line in lines) == 90
    assert store.status().jobs == {(JobKind.CLIP, JobState.QUEUED): 30}
    assert len(store.instances(STUDY)) == 30
    swept = store.sweep()
    assert (swept.unacknowledged, swept.superfluous) == (0, 0)


def test_study_is_closed_once(store: Store, children: Children) -> None:
    for n in range(10):
        store.keep(received(store, f"1.2.{n}", StudyInstanceUID=f"1.3.{n}", job=None))
    assert sorted(children.run_all(_CLOSE, ["x"] * 4)) == [f"1.3.{n} 1" for n in range(10)]
    assert store.status().jobs == {(JobKind.STUDY, JobState.QUEUED): 10}


def test_worker_killed_in_mid_job_leaves_one_result(store: Store, children: Children, clock: Clock) -> None:
    store.keep(received(store))
    child = children.start(_HANG, "killed")
    assert child.stdout is not None
    number, attempts, token = child.stdout.readline().split()
    child.kill()
    child.communicate()
    assert store.lease([JobKind.CLIP], "w", 60) is None
    clock.pass_(61)
    job = store.lease([JobKind.CLIP], "w", 60)
    assert job is not None
    assert (job.id, job.attempts) == (int(number), int(attempts) + 1)
    store.complete_clip(job, measured(seed=2))
    ghost = Job(id=job.id, kind=job.kind, target=job.target, attempts=1, lease=token)
    with pytest.raises(LeaseLost):
        store.complete_clip(ghost, measured(seed=1))
    (only,) = store.clip_analyses(STUDY)
    assert only.measurements == measured(seed=2).measurements


def test_clip_that_kills_every_worker_lets_its_study_close(store: Store, children: Children, clock: Clock) -> None:
    store.keep(received(store))
    for _ in range(3):
        child = children.start("clock.time = clock.time.fromisoformat(argument)\n" + _HANG, str(clock.time))
        assert child.stdout is not None
        assert child.stdout.readline()
        child.kill()
        child.communicate()
        clock.pass_(61)
    assert store.lease([JobKind.CLIP], "w", 60) is None
    assert store.instance_outcomes()[0].reason is Reason.ANALYSIS_FAILED
    assert len(store.close_studies(POLICY)) == 1


def test_receiver_killed_under_load_loses_nothing_it_answered(
    store: Store, children: Children, tmp_path: Path
) -> None:
    answered: dict[str, str] = {}
    for kill in range(8):
        child = children.start(_RECEIVE, str(kill * 10_000))
        assert child.stdout is not None
        for _ in range(5 + 7 * kill):
            uid, sha256 = child.stdout.readline().split()
            answered[uid] = sha256
        child.kill()
        for line in child.communicate()[0].splitlines():
            if len(line.split()) == 2 and len(line.split()[1]) == 64:
                answered[line.split()[0]] = line.split()[1]
    store.sweep()
    kept = {i.SOPInstanceUID: i.path for i in store.instances(STUDY)}
    assert answered.keys() <= kept.keys()
    for uid, sha256 in answered.items():
        assert _sha256(kept[uid]) == sha256
    files = [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]
    assert len(files) == len(kept) + store.status().set_aside
    assert store.status().jobs == {(JobKind.CLIP, JobState.QUEUED): len(kept)}
    assert not list((tmp_path / "incoming").iterdir())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
