"""The cache of TensorRT plans: keyed, authenticated, and each with the proof that it may serve.

::

    <cache>/<key>/plan             what the builder made, for one graph on one kind of machine
                  meta.json        everything that stands in the key, and the plan's size and sha256
                  acceptance.json  how far it was from the golden values at every batch bucket

A plan is a program. It is built here, kept outside the package, never taken from anyone, and not even
given to TensorRT before the node's own key says that this node wrote it.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from echo_node.errors import EngineError

PLAN, META, ACCEPTANCE = "plan", "meta.json", "acceptance.json"
_KEY_BYTES = 32

Range = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]  # least, best and largest shape
Profile = Mapping[str, Range]  # by input


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanKey:
    """All that decides a plan; where one of them differs, it is another plan."""

    onnx: str  # sha256 of the fp32 master
    builder: str  # TensorRT's package and exact build
    flags: tuple[str, ...]
    profiles: tuple[Profile, ...]
    cuda: str
    driver: str
    gpu: str
    compute: str
    memory: int

    @property
    def digest(self) -> str:
        """The folder's name."""
        return hashlib.sha256(_canonical(asdict(self))).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What a plan gave for the golden inputs, against fp32."""

    differences: Mapping[str, float]  # largest, by batch bucket
    allowed: float

    @property
    def is_good(self) -> bool:
        """Does it serve?"""
        return all(difference <= self.allowed for difference in self.differences.values())


class PlanCache:
    """Plans in a folder.

    Parameters
    ----------
    folder : Path
        Outside every package.
    key_file : Path
        The node's own key, 32 random bytes that only its user may read; made with the first plan.
    """

    def __init__(self, folder: Path, key_file: Path) -> None:
        self.folder = folder
        self._key_file = key_file

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone in the cache: one process compiles at a time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def write(self, key: PlanKey, plan: bytes) -> None:
        """Keep a plan that is not accepted yet."""
        folder = self.folder / key.digest
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ACCEPTANCE).unlink(missing_ok=True)
        _write(folder / PLAN, plan)
        meta = {"key": asdict(key), "size": len(plan), "sha256": hashlib.sha256(plan).hexdigest()}
        self._write_signed(folder / META, meta)

    def accept(self, key: PlanKey, acceptance: Acceptance) -> None:
        """Keep what came out for a plan, good or not."""
        folder = self.folder / key.digest
        meta = self._read_signed(folder / META)
        values = asdict(acceptance) | {"is_good": acceptance.is_good, "sha256": meta["sha256"]}
        self._write_signed(folder / ACCEPTANCE, values)

    def holds(self, key: PlanKey) -> bool:
        """Is there a plan, accepted or not?"""
        return (self.folder / key.digest / META).exists()

    def read(self, key: PlanKey) -> bytes:
        """A plan that this node wrote.

        Raises
        ------
        EngineError
            It is not there, or not what this node wrote.
        """
        folder = self.folder / key.digest
        if not self.holds(key):
            raise EngineError(f"{folder}: no plan for {key.gpu} with {key.builder}, driver {key.driver}")
        meta = self._read_signed(folder / META)
        if meta["key"] != json.loads(_canonical(asdict(key))):
            raise EngineError(f"{folder / META}: is of another plan")
        plan = (folder / PLAN).read_bytes() if (folder / PLAN).is_file() else b""
        if (len(plan), hashlib.sha256(plan).hexdigest()) != (meta["size"], meta["sha256"]):
            raise EngineError(f"{folder / PLAN}: is not the plan that this node wrote")
        return plan

    def read_accepted(self, key: PlanKey) -> bytes:
        """A plan that may serve.

        Raises
        ------
        EngineError
            As :meth:`read`; or the plan has not been tried, or gave something else than fp32.
        """
        plan = self.read(key)
        path = self.folder / key.digest / ACCEPTANCE
        if not path.exists():
            raise EngineError(f"{path.parent}: the plan has not been held against the golden values")
        values = self._read_signed(path)
        if values["sha256"] != hashlib.sha256(plan).hexdigest():
            raise EngineError(f"{path}: is of another plan")
        if not values["is_good"]:
            found = ", ".join(f"{bucket}: {value:.1e}" for bucket, value in values["differences"].items())
            raise EngineError(
                f"{path.parent}: the plan was refused: by batch bucket it differs from fp32 by {found}; "
                f"{values['allowed']:.1e} is allowed"
            )
        return plan

    def _write_signed(self, path: Path, values: Mapping[str, Any]) -> None:
        signed = {**values, "mac": self._mac(path.name, values, self._make_key())}
        _write(path, json.dumps(signed, indent=2).encode())

    def _read_signed(self, path: Path) -> dict[str, Any]:
        try:
            values = json.loads(path.read_bytes())
            mac = values.pop("mac")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise EngineError(f"{path}: is not what this node wrote") from error
        expected = self._mac(path.name, values, self._read_key())
        if not hmac.compare_digest(str(mac).encode(), expected.encode()):
            raise EngineError(f"{path}: was not written by this node: its key ({self._key_file}) says otherwise")
        return dict(values)

    def _mac(self, name: str, values: Mapping[str, Any], key: bytes) -> str:
        return hmac.new(key, name.encode() + b"\n" + _canonical(values), hashlib.sha256).hexdigest()

    def _make_key(self) -> bytes:
        if not self._key_file.exists():
            self._key_file.parent.mkdir(parents=True, exist_ok=True)
            _write(self._key_file, secrets.token_bytes(_KEY_BYTES))
        return self._read_key()

    def _read_key(self) -> bytes:
        try:
            key, mode = self._key_file.read_bytes(), self._key_file.stat().st_mode
        except OSError as error:
            raise EngineError(f"{self._key_file}: the node's key cannot be read: {error.strerror}") from error
        if len(key) != _KEY_BYTES or mode & 0o077:
            raise EngineError(f"{self._key_file}: must be {_KEY_BYTES} bytes that only the node's user may read")
        return key


def _canonical(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()


def _write(path: Path, content: bytes) -> None:
    """A file whole or not at all, for its owner only."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    with open(half, "wb", opener=_for_owner) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _for_owner(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
