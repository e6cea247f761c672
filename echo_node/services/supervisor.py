"""``echo-node serve``: the four services as child processes, started again when one ends."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from echo_node.config import Config
from echo_node.services.process import POLL_SECONDS, SUPERVISOR, Stop

_log = logging.getLogger(__name__)

SERVICES = ("receive", "analyse", "deliver", "schedule")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds before a service that ended is started again
_STEADY = 60.0  # seconds after which a service counts as running well
_GRACE = 10.0  # seconds beyond the receiver's drain before a service is killed


@dataclass(slots=True)
class _Child:
    """A running service, and when to start it again once it has ended."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = _FIRST_PAUSE
    due: float = 0.0


def supervise(config: Config, path: Path, stop: Stop, *, clock: Callable[[], float] = time.monotonic) -> int:
    """Run all services until told to stop; then let each drain.

    Parameters
    ----------
    config : Config
        For the drain time.
    path : Path
        config.yaml, which every child reads for itself.
    stop : Stop
        The signal to finish.
    clock : callable
        Monotonic seconds.

    Returns
    -------
    int
        The exit status: 0, or 1 where a service had to be killed.
    """
    children = [_Child(name) for name in SERVICES]
    while not stop.is_set():
        for child in children:
            _keep_running(child, path, now=clock())
        stop.wait(POLL_SECONDS)
    _log.info("stopping: the services finish what they have in hand")
    status = _drain(children, seconds=config.receive.drain_seconds + _GRACE)
    _log.info("stopped")
    return status


def _keep_running(child: _Child, path: Path, *, now: float) -> None:
    if child.process is not None:
        status = child.process.poll()
        if status is None:
            return
        steady = now - child.started > _STEADY
        child.pause = _FIRST_PAUSE if steady else min(2 * child.pause, _LONGEST_PAUSE)
        child.process, child.due = None, now + child.pause
        _log.error("%s ended with status %d; starting it again in %.1f s", child.name, status, child.pause)
    if now >= child.due:
        child.process, child.started = _start(child.name, path), now


def _start(name: str, path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "echo_node", "--config", str(path), name],
        env=_environment(os.environ),
        start_new_session=True,  # Ctrl-C reaches the supervisor alone, which drains
    )
    _log.info("%s started as process %d", name, process.pid)
    return process


def _environment(inherited: Mapping[str, str]) -> dict[str, str]:
    return {**inherited, SUPERVISOR: str(os.getpid())}


def _drain(children: Sequence[_Child], *, seconds: float) -> int:
    """SIGTERM to all; kill what has not ended in time."""
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
    killed = 0
    deadline = time.monotonic() + seconds
    for process in running:
        try:
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _log.error("process %d did not end in %.0f s and is killed", process.pid, seconds)
            process.kill()
            process.wait()
            killed += 1
    return 1 if killed else 0
