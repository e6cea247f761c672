"""Arguments that cannot be used: a line that says what is wrong, and no stack trace."""

from pathlib import Path

import pytest

from echo_node import cli

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "ECHO\\NODE@h:1"], "no backslash"),
        (["--to", "THISISWAYTOOLONGATITLE@h:1"], "1 to 16"),
        (["--to", "A@h:1", "--calling", "THISISWAYTOOLONGATITLE"], "1 to 16"),
        (["--to", "A@h:1", "--calling", ""], "1 to 16"),
    ],
)
def test_an_ae_title_is_what_it_is_in_the_settings(words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["simulate", *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_host_that_has_no_address_is_said(capsys):
    assert cli.main(["simulate", "--to", "ECHONODE@nohost.invalid:11112"]) == 1
    assert capsys.readouterr().err.startswith("echo-node: ECHONODE at nohost.invalid:11112: ")


@pytest.mark.parametrize("out", ["/proc/x", "afile"])
@pytest.mark.parametrize(
    "command",
    [
        ["demo", "--engine", str(ROOT / "engines" / "echoapex-tiny-phantom"), "--out"],
        ["pretrain", "--run"],
        ["train", "--run", "run", "--engine"],
        ["train", "--engine", "engine", "--run"],
    ],
)
def test_a_folder_that_cannot_be_made_is_said_at_once(command, out, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("afile").touch()
    assert cli.main([*command, out]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"echo-node: {out}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["My_Engine"], "echo-node: 'My_Engine' is no package's name: "),
        (["mine", "--version", "1.2"], "echo-node: '1.2' is no package's version: "),
    ],
)
def test_a_package_that_could_not_be_called_so_is_not_trained(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--run", "run", "--engine", *words]) == 1
    assert capsys.readouterr().err.startswith(said)
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_file_is_not_hidden(monkeypatch):
    def fail(_):
        raise OSError("CANARY")

    monkeypatch.setattr(cli, "_demo", fail)
    with pytest.raises(OSError, match="CANARY"):
        cli.main(["demo"])


def test_a_demo_without_an_engine_says_where_it_looked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["demo"]) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path}/engines/echoapex-tiny-phantom/manifest.yaml: cannot be read" in said
    assert "--engine" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["outbox"],
        ["requeue"],
        ["resend", "--object", "1.2"],
        ["acknowledge", "all", "--by", "X"],
        ["release", "1.2", "--patient", "P", "--by", "X", "--reason", "Y"],
        ["accept", "1.2", "--by", "X^Y", "--organization", "Z"],
        ["reject", "1.2", "--by", "X^Y", "--organization", "Z"],
        ["decisions"],
        ["agreement"],
    ],
)
def test_a_command_that_looks_makes_no_store(words, tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text("node: {storage: here}\n")
    assert cli.main(["--config", str(config), *words]) == 1
    said = capsys.readouterr().err
    assert f"no store at {tmp_path / 'here'}: has the node been started, and is {config} its settings" in said
    assert list(tmp_path.iterdir()) == [config]
