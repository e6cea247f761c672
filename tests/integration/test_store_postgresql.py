"""The store's unit tests, all of them, on a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import peers
from tests.unit import store
from tests.unit.store.conftest import SERVER_VARIABLE

UNIT_TESTS = Path(store.__file__).parent


@pytest.mark.peer("postgresql")
def test_unit_tests_pass_on_postgresql() -> None:
    with peers.postgresql() as url:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(UNIT_TESTS)]
        run = subprocess.run(
            command, env={**os.environ, SERVER_VARIABLE: url}, capture_output=True, text=True, check=False
        )
    assert run.returncode == 0, run.stdout
    assert " passed" in run.stdout
