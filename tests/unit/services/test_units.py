"""systemd starts what the supervisor starts."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

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


def test_a_unit_checks_the_configuration_and_runs_its_service_s_command():
    service = read("echo-node@.service")["Service"]
    program = "/opt/echo-node/bin/echo-node --config /etc/echo-node/config.yaml"
    assert service["ExecStart"] == f"{program} %i"
    assert service["ExecStartPre"] == f"-{program} check-config"  # a wrong engine keeps no cart from storing
    assert (service["KillSignal"], service["Restart"]) == ("SIGTERM", "always")


def test_a_clip_too_large_ends_the_analyser_and_nothing_else():
    assert "analyse" in SERVICES
    limits = read("echo-node@analyse.service.d/memory.conf")["Service"]
    high, most = (int(limits[key].removesuffix("%")) for key in ("MemoryHigh", "MemoryMax"))
    assert 50 <= high < most <= 85  # percent of the machine: the receiver and the database need the rest
    assert limits["OOMPolicy"] == "kill"
    assert int(limits["OOMScoreAdjust"]) > 0
    for others in ("echo-node@.service", "gpu.conf"):
        assert not {"MemoryMax", "OOMPolicy", "OOMScoreAdjust"} & set(read(others)["Service"])


def test_the_guide_installs_every_unit():
    guide = (UNITS.parent / "docs" / "install.md").read_text(encoding="utf-8")
    for name in UNITS.iterdir():
        assert f"systemd/{name.name}" in guide, name.name


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not there")
@pytest.mark.parametrize("service", SERVICES)
def test_systemd_understands_every_line(service, tmp_path):
    shutil.copytree(UNITS, tmp_path / "units")
    unit = tmp_path / "units" / f"echo-node@{service}.service"  # an instance, which the drop-in is for
    for text in [*unit.parent.glob("*.service"), *unit.parent.glob("*/*.conf")]:
        text.write_text(text.read_text() + "\n[Service]\nNothing=0\n")  # shows that the file is read
    shutil.copy(unit.parent / "echo-node@.service", unit)
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert len(said) == (2 if service == "analyse" else 1), done.stderr
    assert all("Nothing" in line for line in said), done.stderr
