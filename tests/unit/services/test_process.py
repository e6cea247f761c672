"""Log lines cannot be forged; a worker that has ended is known to have."""

import logging
import os
import socket
import subprocess
import sys

from echo_node.services.process import OneLine, is_gone


def test_control_characters_are_escaped():
    record = logging.LogRecord("n", logging.INFO, "f", 1, "AE %s refused", ("X\n2026 INFO all well\x1b[0m",), None)
    line = OneLine("%(message)s").format(record)
    assert line == r"AE X\n2026 INFO all well\x1b[0m refused"


def test_a_worker_is_gone_when_its_process_has_ended():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    worker = f"{child.pid}@{socket.gethostname()}"
    assert not is_gone(worker)
    child.communicate()
    assert is_gone(worker)
    assert is_gone(f"{os.getpid()}@{socket.gethostname()}"), "a predecessor of the same number"
    assert not is_gone(f"{child.pid}@another-host")
    assert not is_gone(f"1@{socket.gethostname()}")


QUOTES = """
import threading, warnings
from echo_node.config import Config
from echo_node.services.process import set_up_logging
set_up_logging(Config())
warnings.warn("Invalid value for VR DA: CANARY")
def fail():
    raise ValueError("CANARY\\nin two lines")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
import logging
try:
    fail()
except ValueError:
    logging.getLogger("x").exception("caught")
fail()
"""


def test_what_nobody_catches_is_one_line_that_quotes_nothing():
    done = subprocess.run([sys.executable, "-c", QUOTES], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "CANARY" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert all("ValueError at <string>:8" in line for line in lines)
