"""``echo-node check-config``: what the settings name is looked at. Faults are there for sure; notes may pass."""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from echo_node.codes import ObjectKind, SegTransferSyntax
from echo_node.config import Backend, Config, Destination
from echo_node.config_faults import Location, place
from echo_node.errors import EngineError, StoreError
from echo_node.inference.backend import open_runtime
from echo_node.inference.cuda import has_driver
from echo_node.inference.manifest import Manifest, load_manifest
from echo_node.inference.tensorrt_backend import tensorrt_module
from echo_node.store.database import Database

_SECONDS = 5.0  # for all that is asked over the network: the units check before each start
_SQLITE = b"SQLite format 3\0"  # how its files begin
_READABLE = "name a file that the node's user may read"
_WRITABLE = "name a folder that the node's user may write to"


def faults_of(config: Config, path: Path) -> list[str]:
    """What a service would fail by: ``file:line: key: what is wrong, what to do``."""
    found = [*_engine(config), *_storage(config), *_sqlite(config), *_files(config)]
    return [f"{place(path, key)}: {said}" for key, said in found]


def notes_on(config: Config, path: Path) -> list[str]:
    """What may be meant so, or be wrong at this moment only: names that do not resolve, a database that is away."""
    notes = [f"{place(path, key)}: {said}" for key, said in _answers(dict(_questions(config))).items()]
    for number, destination in enumerate(config.deliver.destinations):
        is_uncompressed = destination.seg_transfer_syntax is SegTransferSyntax.UNCOMPRESSED
        if not is_uncompressed and not {ObjectKind.SEG, ObjectKind.SEG_LABELMAP}.intersection(destination.objects):
            key = ("deliver", "destinations", number, "seg_transfer_syntax")
            notes.append(f"{place(path, key)}: there is no seg among the objects")
    if not config.deliver.destinations:
        notes.append("deliver.destinations is empty: results stay on this node")
    if not config.receive.carts:
        notes.append("receive.carts is empty: nobody may store")
    return notes


def _engine(config: Config) -> Iterator[tuple[Location, str]]:
    try:
        manifest, _ = load_manifest(config.analyse.engine)
    except EngineError as error:
        yield ("analyse", "engine"), f"{error}; name the folder of a whole package"
        return
    try:
        _check_backend(config, manifest)
    except EngineError as error:
        yield ("analyse", "backend"), str(error)


def _check_backend(config: Config, manifest: Manifest) -> None:
    """See that the runtime is there; an engine with all its graphs is for the analyser to open."""
    if config.analyse.backend is Backend.TENSORRT:
        tensorrt_module()
        if not has_driver():
            raise EngineError("TensorRT needs a GPU, but no CUDA driver answers here; see docs/tensorrt.md")
        return
    no_graphs = manifest.model_copy(update={"graphs": {}})
    try:
        open_runtime(config.analyse.backend, config.analyse.engine, no_graphs, threads=1)
    except ImportError as error:
        raise EngineError("ONNX Runtime is not installed: pip install 'echo-node[cpu]', or [gpu]") from error


def _storage(config: Config) -> Iterator[tuple[Location, str]]:
    """The folder, or the nearest above it that is there, must take a new folder."""
    storage = config.node.storage
    there = next(folder for folder in (storage, *storage.parents) if os.access(folder, os.F_OK))
    said = _not_writable(there)
    if said is not None:
        yield ("node", "storage"), said


def _not_writable(folder: Path) -> str | None:
    """Tried, for permissions do not tell all: of a file system that is read-only, or of root."""
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".echo-node-"):
            return None
    except OSError as error:
        return f"{folder}: nothing can be made there: {error.strerror}; {_WRITABLE}"


def _sqlite(config: Config) -> Iterator[tuple[Location, str]]:
    """A SQLite database: one elsewhere than in the storage folder must have its folder, for SQLite makes none."""
    url, key = config.node.database, ("node", "database")
    if url.startswith("postgresql"):
        return
    file = Path(config.node.database_url.partition(":///")[2])
    said = _not_writable(file.parent) if url else None
    if said is not None:
        yield key, said
    else:
        try:
            with file.open("r+b") as opened:
                is_one = opened.read(len(_SQLITE)) in (b"", _SQLITE)
        except FileNotFoundError:
            return
        except OSError as error:
            yield key, f"{file} cannot be opened: {error.strerror}; name a file that the node's user may write to"
        else:
            if not is_one:
                yield key, f"{file} is no SQLite database; name another file"


def _files(config: Config) -> Iterator[tuple[Location, str]]:
    for number, destination in enumerate(config.deliver.destinations):
        for key in ("password_file", "token_file", "ca_file"):
            file: Path | None = getattr(destination, key)
            said = None if file is None else _unusable(file, is_secret=key != "ca_file")
            if said is not None:
                yield ("deliver", "destinations", number, key), f"{file} {said}"


def _unusable(file: Path, *, is_secret: bool) -> str | None:
    """Why a file of a destination is none that can be sent with."""
    try:
        if is_secret:
            return None if file.read_text(encoding="utf-8").strip() else "is empty; it holds one line"
        file.read_bytes()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except UnicodeDecodeError:
        return "is not UTF-8 text; it holds one line"
    except ssl.SSLError:
        return "holds no certificate; PEM is needed"
    except OSError as error:
        return f"cannot be read: {error.strerror}; {_READABLE}"
    return None


def _questions(config: Config) -> Iterator[tuple[Location, Callable[[], str | None]]]:
    """What is asked over the network; an answer is what is wrong."""
    yield ("receive", "host"), lambda: _not_of_this_machine(config.receive.host)
    for number, destination in enumerate(config.deliver.destinations):
        key = "host" if destination.url is None else "url"
        yield ("deliver", "destinations", number, key), _of(destination)
    if config.node.database.startswith("postgresql"):
        yield ("node", "database"), lambda: _refused(config.node.database)


def _of(destination: Destination) -> Callable[[], str | None]:
    host = destination.host if destination.url is None else urlsplit(destination.url).hostname
    return lambda: _unresolved(host or "")


def _unresolved(host: str) -> str | None:
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        return f"{host} has no address: {error.strerror}"
    except UnicodeError:
        return f"{host} is no name of a host"
    return None


def _not_of_this_machine(host: str) -> str | None:
    said = _unresolved(host) if host else None
    if said is not None:
        return said
    try:
        found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.bind(address)
    except OSError as error:
        return f"cannot listen on {host}: {error.strerror}; is it an address of this machine?"
    return None


def _refused(url: str) -> str | None:
    database = Database(url)
    try:
        with database.read():
            return None
    except StoreError as error:
        return str(error)
    finally:
        database.dispose()


def _answers(questions: Mapping[Location, Callable[[], str | None]]) -> dict[Location, str]:
    """All asked at once. One that gets no answer is left behind: a name server may take minutes to say nothing."""
    said: dict[Location, str | None] = {}

    def ask(key: Location) -> None:
        said[key] = questions[key]()

    threads = {key: threading.Thread(target=ask, args=(key,), daemon=True) for key in questions}
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + _SECONDS
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    none = f"no answer within {_SECONDS:g} s"
    wrong = {key: none if threads[key].is_alive() else said.get(key) for key in questions}
    return {key: text for key, text in wrong.items() if text is not None}
