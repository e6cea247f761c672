"""Marks: a test that needs a real peer says so, and fails where CI is set and the peer is missing."""

import os
import shutil
import sys
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # a process for each core: threads of all would wait for each other
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

DATA = Path(__file__).parent / "data" / "ultrasound"

# DCMTK's tools by full path: pynetdicom installs namesakes into the environment.
PEERS = {
    "storescu": Path("/usr/bin/storescu"),
    "echoscu": Path("/usr/bin/echoscu"),
    "dcmsend": Path("/usr/bin/dcmsend"),
    "storescp": Path("/usr/bin/storescp"),
    "dcmqrscp": Path("/usr/bin/dcmqrscp"),
    "dsrdump": Path("/usr/bin/dsrdump"),
    "dcmconv": Path("/usr/bin/dcmconv"),
    "movescu": Path("/usr/bin/movescu"),
    "getscu": Path("/usr/bin/getscu"),
    "dcmdjpeg": Path("/usr/bin/dcmdjpeg"),
    "pixelmed": Path("/usr/share/java/pixelmed.jar"),
    "postgresql": Path("/usr/lib/postgresql"),
    "chromium": Path("/usr/bin/chromium"),
    "chromedriver": Path("/usr/bin/chromedriver"),
    "ohif": Path(sys.prefix) / "ohif" / "dist" / "index.html",
}


def _is_there(name: str) -> bool:
    return PEERS[name].exists() if name in PEERS else shutil.which(name) is not None


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("peer"):
        for name in mark.args:
            if _is_there(name):
                continue
            message = f"PEER MISSING: {name} (make peers viewers installs it)"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real ultrasound files."""
    return DATA
