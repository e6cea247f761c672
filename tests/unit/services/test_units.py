"""systemd starts what the supervisor starts."""

import configparser
from pathlib import Path

from echo_node.services.supervisor import SERVICES

UNITS = Path(__file__).parents[3] / "systemd"


def read(name: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNITS / name, encoding="utf-8")
    return unit


def test_the_target_wants_every_service():
    wanted = read("echo-node.target")["Unit"]["Wants"].split()
    assert wanted == [f"echo-node@{service}.service" for service in SERVICES]


def test_a_unit_runs_its_service_s_command_on_a_checked_configuration():
    service = read("echo-node@.service")["Service"]
    program = "/opt/echo-node/bin/echo-node --config /etc/echo-node/config.yaml"
    assert service["ExecStart"] == f"{program} %i"
    assert service["ExecStartPre"] == f"{program} check-config"
    assert (service["KillSignal"], service["Restart"]) == ("SIGTERM", "always")
