"""What a killed process leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from echo_node.codes import Reason
from echo_node.records import JobKind
from echo_node.store import KeepOutcome, Outcome, Store, Swept, instances
from tests.unit.store.builders import Clock, measured, received

NOTHING = Swept(temporary=0, unacknowledged=0, superfluous=0)

# A process that receives: it leaves a temporary file, and dies between rename and commit.
_DIES = """
import os, sys
from pathlib import Path
from echo_node.store import Store, instances
from tests.unit.store.builders import Clock, received
root, url = Path(sys.argv[1]), sys.argv[2]
store = Store(url, root, now=Clock())
(store.incoming / "half").write_bytes(b"half")
instances.record = lambda *_, **__: os.kill(os.getpid(), 9)
store.keep(received(store, content=b"cut short"))
"""


def _die(root: Path, url: str) -> None:
    child = subprocess.run([sys.executable, "-c", _DIES, str(root), url], check=False)
    assert child.returncode == -9


def test_kill_between_rename_and_commit_is_set_aside(store: Store, url: str, tmp_path: Path) -> None:
    _die(tmp_path, url)
    assert store.status().instances == 0
    assert store.sweep() == Swept(temporary=1, unacknowledged=1, superfluous=0)
    (row,) = store.instance_outcomes()
    assert (row.outcome, row.reason) == (Outcome.SET_ASIDE, Reason.UNACKNOWLEDGED)
    assert (tmp_path / row.detail).read_bytes() == b"cut short"
    assert store.sweep() == NOTHING


def test_sender_tries_again_before_the_sweep(store: Store, url: str, tmp_path: Path) -> None:
    _die(tmp_path, url)
    assert store.keep(received(store, content=b"cut short")) is KeepOutcome.NEW
    assert store.sweep() == Swept(temporary=1, unacknowledged=0, superfluous=1)
    assert store.instance("1.2.826.1.1").path.read_bytes() == b"cut short"
    assert store.status().set_aside == 0


def test_sender_tries_again_after_the_sweep(store: Store, url: str, tmp_path: Path) -> None:
    _die(tmp_path, url)
    store.sweep()
    assert store.keep(received(store, content=b"cut short")) is KeepOutcome.NEW
    assert store.status().set_aside == 0
    assert store.sweep() == Swept(temporary=0, unacknowledged=0, superfluous=1)


def test_sweep_spares_what_is_in_use(store: Store, url: str, tmp_path: Path) -> None:
    other = Store(url, tmp_path, now=Clock())
    temp = other.incoming / "being received"
    temp.write_bytes(b"half")
    store.keep(received(store))
    job = store.lease([JobKind.CLIP], "w", 60)
    assert job is not None
    store.complete_clip(job, measured())
    assert store.sweep() == NOTHING
    assert temp.exists()
    assert len(store.clip_analyses("1.2.826.1")) == 1
    other.dispose()
    assert store.sweep() == Swept(temporary=1, unacknowledged=0, superfluous=0)


def test_sweep_waits_for_a_file_whose_row_is_on_its_way(
    store: Store, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second receiver that starts while the first is between rename and commit must not touch it."""
    record = instances.record
    swept = []

    def sweep_then_record(*args: object, **kwargs: object) -> object:
        script = (
            "import fcntl, os, sys\n"
            "fd = os.open(sys.argv[1], os.O_RDWR)\n"
            "fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        )
        lock = str(tmp_path / "store.lock")
        swept.append(subprocess.run([sys.executable, "-c", script, lock], capture_output=True, check=False))
        return record(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(instances, "record", sweep_then_record)
    store.keep(received(store))
    assert b"BlockingIOError" in swept[0].stderr


def test_results_without_a_row_are_removed(store: Store, tmp_path: Path) -> None:
    orphan = tmp_path / "results" / "ab" / "abc.npz"
    orphan.write_bytes(b"of a worker that lost its lease")
    os.link(orphan, orphan.with_suffix(".tmp"))
    assert store.sweep() == Swept(temporary=0, unacknowledged=0, superfluous=2)
    assert not orphan.exists()
