"""The commands, from a shell."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("echo-node")
SHIPPED = Path(__file__).parents[2] / "config.yaml"


def run(*words, **kwargs):
    return subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, check=False, **kwargs)


def test_the_shipped_configuration_is_good():
    done = run("--config", SHIPPED, "check-config")
    assert done.returncode == 0
    assert "good" in done.stdout


def test_a_bad_key_names_file_line_and_what_is_allowed(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("receive:\n  prot: 104\n", encoding="utf-8")
    done = run("--config", path, "check-config")
    assert done.returncode == 2
    assert f"{path}:2: receive.prot: unknown key; allowed here: ae_title" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["serve", "receive", "analyse", "deliver", "schedule", "status"])
def test_no_command_starts_without_its_configuration(command, tmp_path):
    done = run("--config", tmp_path / "none.yaml", command)
    assert done.returncode == 2
    assert "none.yaml: cannot be read" in done.stderr


@pytest.mark.parametrize(
    "to", ["ECHONODE", "ECHONODE@host", "@host:104", "A@h:x", "A@h:70000", "SEVENTEENLETTERSX@h:1"]
)
def test_simulate_refuses_a_peer_that_is_none(to):
    done = run("simulate", "--to", to)
    assert done.returncode == 2
    assert "AE" in done.stderr


def test_simulate_says_that_nobody_answers():
    done = run("simulate", "--to", "NOBODY@127.0.0.1:1")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_nothing_heavy_is_imported_to_print_help():
    code = "import sys; from echo_node import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\n"
    heavy = "print([m for m in ('torch','numpy','pynetdicom','pydicom') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + heavy], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_serves_does_not_import_torch():
    code = (
        "import sys, echo_node.services.analyse, echo_node.services.receive, echo_node.services.simulate\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
