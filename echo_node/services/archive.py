"""A receiving archive on loopback for the demo: Orthanc where it is installed, else our own SCP."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from echo_node.config import Cart, Receive
from echo_node.dicom import scp, scu
from echo_node.errors import DeliveryError, EchoNodeError

AE_TITLE = "ARCHIVE"
_DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_START_SECONDS = 60.0

_T = TypeVar("_T")


class Archive(Protocol):
    """An archive that was started for us."""

    name: str
    port: int

    def objects(self) -> list[bytes]:
        """Every object it holds, as Part 10 files."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


def start(folder: Path, *, port: int, http_port: int) -> Archive:
    """Start the best archive there is, and wait until it answers C-ECHO."""
    folder.mkdir(parents=True, exist_ok=True)
    program = shutil.which("Orthanc")
    archive: Archive = (
        OrthancArchive(program, folder, port=port, http_port=http_port)
        if program
        else FolderArchive(folder, port=port)
    )
    wait_for_echo(AE_TITLE, port, seconds=_START_SECONDS)
    return archive


def wait_for_echo(ae_title: str, port: int, *, seconds: float) -> None:
    """Wait until an SCP on loopback answers C-ECHO.

    Raises
    ------
    EchoNodeError
        It did not within the time.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            scu.echo(scu.Peer(ae_title=ae_title, host="127.0.0.1", port=port), calling_ae="DEMO")
        except DeliveryError as error:
            if time.monotonic() > deadline:
                raise EchoNodeError(f"{ae_title} on port {port} gave no C-ECHO in {seconds:.0f} s") from error
            time.sleep(0.2)
        else:
            return


class OrthancArchive:
    """Orthanc with its DICOMweb plugin, on free ports, loopback only."""

    def __init__(self, program: str, folder: Path, *, port: int, http_port: int) -> None:
        self.name = "Orthanc"
        self.port = port
        self.url = f"http://127.0.0.1:{http_port}"
        settings: dict[str, Any] = {
            "Name": "archive",
            "StorageDirectory": str(folder / "store"),
            "IndexDirectory": str(folder / "store"),
            "DicomAet": AE_TITLE,
            "DicomPort": port,
            "HttpPort": http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "Plugins": [str(_DICOMWEB)] if _DICOMWEB.exists() else [],
        }
        path = folder / "orthanc.json"
        path.write_text(json.dumps(settings, indent=2), encoding="utf-8")
        with (folder / "orthanc.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [program, str(path)], stdout=log, stderr=subprocess.STDOUT
            )

    def objects(self) -> list[bytes]:
        """Every object it holds, as Part 10 files."""
        return [self._get(f"/instances/{name}/file") for name in json.loads(self._get("/instances"))]

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(timeout=30)

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:  # noqa: S310
            content = answer.read()
        assert isinstance(content, bytes)
        return content


class FolderArchive:
    """Our own storage SCP, keeping what it is sent in a folder."""

    def __init__(self, folder: Path, *, port: int) -> None:
        self.name = "echo-node's own storage SCP"
        self.port = port
        self._kept = folder / "store"
        self._kept.mkdir(exist_ok=True)
        carts = (Cart(hosts=("127.0.0.0/8",)),)
        settings = Receive(ae_title=AE_TITLE, port=port, carts=carts, min_free_disk_mib=100)  # as the demo's node
        self._scp = scp.StorageSCP(settings, incoming=folder, on_stored=self._keep)
        self._scp.start()

    def objects(self) -> list[bytes]:
        """Every object it holds, as Part 10 files."""
        return [path.read_bytes() for path in sorted(self._kept.iterdir())]

    def stop(self) -> None:
        """End it."""
        self._scp.stop()

    def _keep(self, received: scp.ReceivedObject) -> None:
        received.path.rename(self._kept / received.sha256)


def wait_until(found: Callable[[], _T | None], *, seconds: float, what: str) -> _T:
    """Poll until there is something, or say what did not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = found()
        if result is not None:
            return result
        time.sleep(0.2)
    raise EchoNodeError(f"{what} did not come in {seconds:.0f} s")
