"""What every process of the node shares: log lines, the signal to stop, the clock, who may read its files."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from echo_node.config import Config, LogLevel

_log = logging.getLogger(__name__)

SUPERVISOR = "ECHO_NODE_SUPERVISOR"  # the supervisor's process id, in its children's environment
POLL_SECONDS = 0.25
_OTHERS = 0o077  # what everyone but the process's own user may do: nothing, as in the systemd units


class OneLine(logging.Formatter):
    """One event, one line: control characters are escaped, so that no input forges a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one printable line."""
        text = super().format(record)
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

    def formatException(self, ei: object) -> str:  # noqa: N802  (logging's own name)
        """Where an exception passed, in place of a traceback."""
        error = ei[1] if isinstance(ei, tuple) else None
        return where(error) if isinstance(error, BaseException) else ""


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


@contextmanager
def private_files() -> Iterator[None]:
    """Keep what is written meanwhile to the process's own user: it holds patients' data."""
    former = os.umask(_OTHERS)
    try:
        yield
    finally:
        os.umask(former)


def utc_now() -> datetime:
    """The wall clock, handed to whatever needs one."""
    return datetime.now(UTC)


def where(error: BaseException) -> str:
    """The kind of an error and the lines it passed through, without its text: that may name a patient."""
    frames = traceback.extract_tb(error.__traceback__)
    passed = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
    return f"{type(error).__name__} at {passed}"


def set_up_logging(config: Config) -> None:
    """Log to standard error, where systemd's journal picks it up.

    An exception that nobody catches ends as one line too. Warnings are dropped: pydicom's quote values.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[config.node.log_level])
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.ERROR)
    logging.captureWarnings(True)
    sys.excepthook = lambda _kind, error, _trace: _log_uncaught(error)
    threading.excepthook = lambda args: None if args.exc_value is None else _log_uncaught(args.exc_value)


def log_end(name: str) -> None:
    """Say that a process finished what it had in hand and ends."""
    _log.info("%s stopped", name)


def _log_uncaught(error: BaseException) -> None:
    _log.critical("%s", where(error))


_CHATTY = (
    "pynetdicom", "apscheduler", "alembic", "pydicom", "highdicom", "dicomweb_client", "urllib3", "py.warnings",
)  # fmt: skip
_LEVELS = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}
