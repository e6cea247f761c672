"""Megabytes per second that receivers take over loopback, each fed by DCMTK's storescu.

Run: ``python -m benchmarks.receive``. "echo-node" is the installed receiver: it syncs file and folder and
commits a row before each answer. Orthanc syncs too, by default; DCMTK's storescp and pynetdicom's do not.
Clips are a phantom's, repeated with UIDs of their own; every receiver gets others, for a second copy would
be cheap. Peers that are not installed are left out, and said.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import yaml
from pydicom.uid import generate_uid

from echo_node.services.simulate import known_exam
from tests.peers import free_port, orthanc

# A virtual environment may hold pynetdicom's programs of the same names.
STORESCU, STORESCP = Path("/usr/bin/storescu"), Path("/usr/bin/storescp")
Receiver = Callable[[Path], AbstractContextManager[int]]  # from a folder to the port it listens on


def main() -> None:
    """Print megabytes per second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--associations", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    receivers = _installed()
    rates: dict[str, list[float]] = {name: [] for name in receivers}
    with tempfile.TemporaryDirectory() as base:
        for _ in range(chosen.repeats):
            for name, receiver in receivers.items():
                folder = Path(tempfile.mkdtemp(dir=base))
                batches = [
                    _clips(folder / str(n), chosen.clips // chosen.associations) for n in range(chosen.associations)
                ]
                with receiver(folder) as port:
                    rates[name].append(_rate(batches, port))
                shutil.rmtree(folder)
    own = statistics.median(rates["echo-node"])
    for name, values in rates.items():
        median = statistics.median(values)
        print(f"{name:32} {median:7.0f} MB/s   {median / own:5.2f} of echo-node")


def _clips(folder: Path, count: int) -> Path:
    """A folder of so many clips, each an object of its own."""
    folder.mkdir(parents=True)
    _, exam = known_exam(1, start=datetime.now(UTC))
    ds = max((item.ds for item in exam), key=lambda ds: len(ds.PixelData))
    for number in range(count):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        pydicom.dcmwrite(folder / f"{number}.dcm", ds, enforce_file_format=True)
    return folder


def _rate(batches: list[Path], port: int) -> float:
    """Megabytes per second of associations that send at once."""
    size = sum(path.stat().st_size for folder in batches for path in folder.iterdir())
    start = time.perf_counter()
    senders = [
        subprocess.Popen([STORESCU, "-xy", "-aec", "ECHONODE", "+sd", "127.0.0.1", str(port), folder])
        for folder in batches
    ]
    if any(sender.wait() for sender in senders):
        raise RuntimeError("a sender failed")
    return size / 1e6 / (time.perf_counter() - start)


@contextlib.contextmanager
def _program(command: list[str | Path], port: int) -> Iterator[int]:
    """A program that listens on a port, until it is no longer wanted."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while subprocess.run(
            ["/usr/bin/echoscu", "-aec", "ECHONODE", "127.0.0.1", str(port)], capture_output=True, check=False
        ).returncode:
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended with status {process.returncode}")
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _echo_node(folder: Path) -> Iterator[int]:
    port, config = free_port(), folder / "config.yaml"
    settings = {"node": {"storage": str(folder / "storage")}, "receive": {"port": port}}
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with _program([sys.executable, "-m", "echo_node", "--config", config, "receive"], port) as listening:
        yield listening


@contextlib.contextmanager
def _storescp(folder: Path) -> Iterator[int]:
    port = free_port()
    with _program([STORESCP, "+xa", "-B", "-od", folder, str(port)], port) as listening:
        yield listening


@contextlib.contextmanager
def _pynetdicom(folder: Path) -> Iterator[int]:
    port = free_port()
    with _program([sys.executable, "-m", "pynetdicom", "storescp", "-od", folder, str(port)], port) as listening:
        yield listening


@contextlib.contextmanager
def _orthanc(folder: Path) -> Iterator[int]:
    with orthanc(folder) as archive:
        yield archive.dicom_port


def _installed() -> dict[str, Receiver]:
    """The receivers that this machine has."""
    missing = [name for name, (program, _) in RECEIVERS.items() if program and not shutil.which(program)]
    for name in missing:
        print(f"{name}: not installed, left out")
    return {name: receiver for name, (_, receiver) in RECEIVERS.items() if name not in missing}


RECEIVERS: dict[str, tuple[str, Receiver]] = {
    "echo-node": ("", _echo_node),
    "Orthanc": ("Orthanc", _orthanc),
    "DCMTK storescp, bit-preserving": (str(STORESCP), _storescp),
    "pynetdicom storescp": ("", _pynetdicom),
}

if __name__ == "__main__":
    main()
