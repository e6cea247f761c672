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
