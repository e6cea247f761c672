"""What every process of the node shares: log lines, the signal to stop, the clock."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from datetime import UTC, datetime
from types import FrameType

from echo_node.config import Config, LogLevel

SUPERVISOR = "ECHO_NODE_SUPERVISOR"  # the supervisor's process id, in its children's environment
POLL_SECONDS = 0.25


class OneLine(logging.Formatter):
    """One event, one line: control characters are escaped, so that no input forges a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one printable line."""
        text = super().format(record)
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Stop:
    """Set by SIGTERM or SIGINT, and when the supervisor that started this process is gone."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._supervisor = int(os.environ.get(SUPERVISOR, "0"))

    def listen(self) -> Stop:
        """Take over SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        return self

    def set(self) -> None:
        """Ask the process to finish."""
        self._event.set()

    def is_set(self) -> bool:
        """Should the process finish?"""
        if self._supervisor and os.getppid() != self._supervisor:
            self._event.set()
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, or wake early with True when asked to finish."""
        self._event.wait(seconds)
        return self.is_set()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._event.set()


def worker_name() -> str:
    """This process, as it is written on what it leases."""
    return f"{os.getpid()}@{socket.gethostname()}"


def is_gone(worker: str) -> bool:
    """Has the process behind a worker's name ended?

    Known only of this host; elsewhere the lease's own end decides. A process with this one's number was
    another: it leased before this one began.
    """
    pid, _, host = worker.partition("@")
    if host != socket.gethostname():
        return False
    if int(pid) == os.getpid():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def utc_now() -> datetime:
    """The wall clock, handed to whatever needs one."""
    return datetime.now(UTC)


def set_up_logging(config: Config) -> None:
    """Log to standard error, where systemd's journal picks it up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[config.node.log_level])
    for chatty in ("pynetdicom", "apscheduler", "alembic", "pydicom", "highdicom"):
        logging.getLogger(chatty).setLevel(logging.ERROR)


_LEVELS = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}
