"""Real peers, started for a test and stopped after it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path


def free_port() -> int:
    """A loopback TCP port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """A private PostgreSQL cluster on a loopback port; yields the URL of its empty database "node"."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    folder = Path(tempfile.mkdtemp(prefix="echo-node-pg-"))
    port = free_port()
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]

    def pg_run(program: str, *arguments: str) -> None:
        command = [*as_user, str(programs / program), *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=60)

    data = str(folder / "data")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    try:
        pg_run("initdb", "-D", data, "-A", "trust", "-U", "node", "-E", "UTF8", "--no-sync")
        pg_run("pg_ctl", "-D", data, "-l", str(folder / "log"), "-o", options, "-w", "start")
        try:
            pg_run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "node", "node")
            yield f"postgresql://node@127.0.0.1:{port}/node"
        finally:
            pg_run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Orthanc:
    """A running archive."""

    ae_title: str
    dicom_port: int
    url: str  # of its REST API; DICOMweb is below /dicom-web

    def delete(self, path: str) -> None:
        """Delete one of its resources."""
        request = urllib.request.Request(f"{self.url}{path}", method="DELETE")
        urllib.request.urlopen(request, timeout=30).close()

    def get(self, path: str, *, accept: str = "*/*", authorization: str = "") -> bytes:
        """The body of one of its resources."""
        headers = {"Accept": accept, **({"Authorization": authorization} if authorization else {})}
        request = urllib.request.Request(f"{self.url}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
            return content


@contextlib.contextmanager
def orthanc(folder: Path, **more: object) -> Iterator[Orthanc]:
    """Orthanc with DICOMweb on free loopback ports, its data below a folder; yields when it answers.

    ``more`` are settings of Orthanc's own configuration file.
    """
    dicom_port, http_port = free_port(), free_port()
    settings = {
        "Name": "peer",
        "StorageDirectory": str(folder / "orthanc"),
        "IndexDirectory": str(folder / "orthanc"),
        "DicomAet": "ARCHIVE",
        "DicomPort": dicom_port,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowEcho": True,
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **more,
    }
    config = folder / "orthanc.json"
    config.write_text(json.dumps(settings), encoding="utf-8")
    archive = Orthanc("ARCHIVE", dicom_port, f"http://127.0.0.1:{http_port}")
    program = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([program, str(config)], stdout=log, stderr=log)
    try:
        _wait_for(archive, process, folder / "orthanc.log")
        yield archive
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(archive: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            archive.get("/system")
        except urllib.error.HTTPError:
            return  # it is there, and wants a password
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Orthanc did not start:\n{log.read_text()}") from None
            time.sleep(0.1)
        else:
            return


def by_wado_rs(archive: Orthanc, studies: set[str]) -> list[bytes]:
    """The studies' objects as Part 10 files, in the transfer syntaxes that they are kept in (PS3.18 10.4)."""
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    contents = []
    for study in studies:
        answer = archive.get(f"/dicom-web/studies/{study}", accept=accept)
        boundary = answer.split(b"\r\n", 1)[0].removeprefix(b"--")
        head = b'Content-Type: multipart/related; boundary="' + boundary + b'"\r\n\r\n'
        for part in message_from_bytes(head + answer).walk():
            if not part.is_multipart():
                content = part.get_payload(decode=True)
                assert isinstance(content, bytes)
                contents.append(content)
    return contents


@contextlib.contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    """DCMTK's storage SCP, keeping files in a folder as they come; yields its port when it listens."""
    port = free_port()
    command = ["/usr/bin/storescp", "--output-directory", str(folder), *options, str(port)]
    with (folder.parent / "storescp.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for_port(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextlib.contextmanager
def dcmqrscp(folder: Path, *options: str, movers: Mapping[str, int] | None = None) -> Iterator[int]:
    """DCMTK's archive, AE title QR, its data below a folder; yields its port when it listens.

    ``movers`` are the ports by AE title to which it may be told to send (C-MOVE).
    """
    port = free_port()
    (folder / "qr").mkdir()
    hosts = "".join(f"{ae} = ({ae}, 127.0.0.1, {to})\n" for ae, to in (movers or {}).items())
    config = folder / "dcmqrscp.cfg"
    config.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\n{hosts}HostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nQR {folder / 'qr'} RW (500, 1024mb) ANY\nAETable END\n",
        encoding="utf-8",
    )
    with (folder / "dcmqrscp.log").open("wb") as log:
        process = subprocess.Popen(
            ["/usr/bin/dcmqrscp", *options, "-c", str(config), str(port)], stdout=log, stderr=log
        )
    try:
        wait_for_port(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for_port(port: int, process: subprocess.Popen[bytes], *, seconds: float = 60) -> None:
    """Wait until a program listens on a loopback port."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nothing listens on port {port}") from None
            time.sleep(0.1)
        else:
            return


def dciodvfy_errors(path: Path) -> list[str]:
    """The errors that dicom3tools finds in an object."""
    program = Path(sys.executable).with_name("dciodvfy")
    done = subprocess.run([program, "-new", path], capture_output=True, text=True, check=False)
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    assert lines, f"dciodvfy said nothing of {path}"
    return [line for line in lines if line.startswith("Error")]
