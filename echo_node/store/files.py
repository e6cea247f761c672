"""The disk under the store: durable names, and who may sweep when.

::

    root/
    ├── incoming/<process>/   what is being received; swept once its process is gone
    ├── spool/<aa>/           objects as received: <sha256>-<token>.dcm
    ├── results/<aa>/         masks and reports: <sha256>.npz, <sha256>.dcm
    ├── store.id             the database's mark: store.mark
    ├── migrate.lock          one process at a time brings the schema up
    └── store.lock            shared by writers, exclusive to the sweep

No name is made from what a sender says: UIDs stand in the database only.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from echo_node.errors import DamagedError, DiskFull, StoreError

_SHARDS = tuple(f"{n:02x}" for n in range(256))
_SWEEP_TRIES = 100
_SWEEP_WAIT_SECONDS = 0.05


class Files:
    """The folders below the storage root.

    Parameters
    ----------
    root : Path
        Created if absent; one file system, so that a rename is atomic.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = root / "store.lock"
        self._mutex = threading.Lock()
        self._incoming: tuple[Path, int] | None = None
        with as_store_errors():
            for area in ("spool", "results"):
                for shard in _SHARDS:
                    (root / area / shard).mkdir(parents=True, exist_ok=True)
                fsync_folder(root / area)
            (root / "incoming").mkdir(exist_ok=True)
            self._lock.touch()
            fsync_folder(root)

    @property
    def incoming(self) -> Path:
        """This process's folder for temporary files; the sweeps of others spare it while it lives."""
        with self._mutex:
            if self._incoming is None:
                with self.writing():
                    folder = self.root / "incoming" / f"{os.getpid()}-{secrets.token_hex(4)}"
                    folder.mkdir()
                    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                self._incoming = folder, descriptor
            return self._incoming[0]

    def close(self) -> None:
        """Give the incoming folder up."""
        with self._mutex:
            if self._incoming is not None:
                os.close(self._incoming[1])
                self._incoming = None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the sweep off while files exist whose rows do not."""
        with as_store_errors():
            descriptor = os.open(self._lock, os.O_RDWR)
        try:
            with as_store_errors():
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """One process at a time."""
        with as_store_errors():
            descriptor = os.open(self.root / "migrate.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def sweeping(self) -> Iterator[bool]:
        """Hold every writer off; yields False where they leave no gap."""
        descriptor = os.open(self._lock, os.O_RDWR)
        try:
            yield _locks(descriptor)
        finally:
            os.close(descriptor)

    def place(self, temp: Path, sha256: str) -> Path:
        """Give a received, fsynced file its lasting name.

        Returns
        -------
        Path
            Relative to the root; no other object has it, so that it can be dropped without harm.

        Raises
        ------
        DiskFull, StoreError
            The disk refuses. Both names are gone: after a failed fsync nothing can be said of a file.
        """
        name = Path("spool", sha256[:2], f"{sha256}-{secrets.token_hex(4)}.dcm")
        try:
            with as_store_errors():
                temp.rename(self.root / name)
                fsync_folder((self.root / name).parent)
        except StoreError:
            discard(temp)
            discard(self.root / name)
            raise
        return name

    def write(self, content: bytes, suffix: str) -> Path:
        """Write bytes under the name of their sha256, durably.

        A worker that lost its lease so can never overwrite what another has committed.

        Returns
        -------
        Path
            Relative to the root.

        Raises
        ------
        DiskFull, StoreError
            The disk refuses.
        """
        digest = hashlib.sha256(content).hexdigest()
        name = Path("results", digest[:2], digest + suffix)
        final = self.root / name
        temp = final.with_name(f"{digest}-{secrets.token_hex(4)}.tmp")
        try:
            with as_store_errors():
                with temp.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                temp.rename(final)
                fsync_folder(final.parent)
        except StoreError:
            discard(temp)
            raise
        return name

    def drop(self, name: Path) -> None:
        """Remove a file that no row names."""
        discard(self.root / name)

    def names(self, area: str) -> Iterator[list[Path]]:
        """The files of an area, shard by shard, relative to the root."""
        for shard in _SHARDS:
            found = sorted((self.root / area / shard).iterdir())
            if found:
                yield [path.relative_to(self.root) for path in found]

    def holds(self, area: str) -> bool:
        """Is any file in an area?"""
        return next(self.names(area), None) is not None

    def clear_abandoned(self) -> int:
        """Remove the incoming folders whose process is gone; returns how many files that were."""
        count = 0
        for folder in sorted((self.root / "incoming").iterdir()):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            finally:
                os.close(descriptor)
            count += sum(1 for path in folder.iterdir())
            shutil.rmtree(folder)
        return count


def discard(path: Path) -> None:
    """Remove a file if the disk lets one; what it keeps, a later sweep finds."""
    with suppress(OSError):
        path.unlink()


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def as_store_errors() -> Iterator[None]:
    """The disk's errors as the store's."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"the disk is full: {error.strerror}") from error
        raise StoreError(f"the disk refuses {error.filename or ''}: {error.strerror}") from error


def read_kept(path: Path) -> bytes:
    """A file that a row names.

    Raises
    ------
    DamagedError
        It is gone.
    StoreError
        The disk refuses.
    """
    with as_store_errors():
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise DamagedError(f"{path.name} is gone, though the database names it") from error


def _locks(descriptor: int) -> bool:
    for _ in range(_SWEEP_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_SWEEP_WAIT_SECONDS)
        else:
            return True
    return False
