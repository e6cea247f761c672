"""Log lines cannot be forged."""

import logging

from echo_node.services.process import OneLine


def test_control_characters_are_escaped():
    record = logging.LogRecord("n", logging.INFO, "f", 1, "AE %s refused", ("X\n2026 INFO all well\x1b[0m",), None)
    line = OneLine("%(message)s").format(record)
    assert line == r"AE X\n2026 INFO all well\x1b[0m refused"
