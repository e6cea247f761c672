"""check-config: what is wrong for sure is a fault, what may pass is a note."""

from pathlib import Path
from threading import Event

import pytest
import yaml

from echo_node import cli
from echo_node.services import check

ENGINE = Path(__file__).parents[3] / "engines" / "echoapex-tiny-phantom"


@pytest.fixture
def checked(tmp_path, capsys):
    """A function that checks settings; what it returns is the exit status, the faults and the notes."""

    def run(**sections) -> tuple[int, str, str]:
        path = tmp_path / "config.yaml"
        settings = {"analyse": {"engine": str(ENGINE)}, "node": {"storage": "st"}} | sections
        path.write_text(yaml.safe_dump(settings, sort_keys=False))
        before = set(tmp_path.rglob("*"))
        status = cli.main(["--config", str(path), "check-config"])
        assert set(tmp_path.rglob("*")) == before  # it only looks
        shown = capsys.readouterr()
        assert ("good" in shown.out) == (status == 0)
        return status, shown.err, shown.out

    return run


def web(**keys) -> dict:
    return {"destinations": [{"name": "a", "url": "https://127.0.0.1/dicom-web", **keys}]}


def test_good_settings_are_good(checked):
    assert checked()[:2] == (0, "")


def test_a_missing_engine_has_a_line(checked, tmp_path):
    status, faults, _ = checked(analyse={"threads": 1, "engine": "none"})
    assert status == 2
    assert faults.startswith(f"{tmp_path}/config.yaml:3: analyse.engine: {tmp_path}/none/manifest.yaml: cannot be ")


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"token_file": "none"}, "token_file"),
        ({"token_file": "empty"}, "token_file"),
        ({"token_file": "binary"}, "token_file"),
        ({"user": "u", "password_file": "none"}, "password_file"),
        ({"ca_file": "none"}, "ca_file"),
        ({"ca_file": "text"}, "ca_file"),
    ],
)
def test_a_destination_s_file_that_cannot_be_used(checked, tmp_path, keys, key):
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "text").write_text("no certificate")
    status, faults, _ = checked(deliver=web(**keys))
    assert status == 2
    line = (tmp_path / "config.yaml").read_text().splitlines().index(f"    {key}: {keys[key]}") + 1
    assert faults.startswith(f"{tmp_path}/config.yaml:{line}: deliver.destinations.0.{key}: {tmp_path / keys[key]}")


def test_a_destination_s_file_that_can_be_used(checked, tmp_path):
    (tmp_path / "token").write_text("abc\n")
    assert checked(deliver=web(token_file="token"))[:2] == (0, "")


@pytest.mark.parametrize("storage", ["afile", "afile/below", "/proc/x"])
def test_a_storage_that_cannot_be_made(checked, tmp_path, storage):
    (tmp_path / "afile").touch()
    status, faults, _ = checked(node={"storage": storage})
    assert status == 2
    there = "/proc" if storage.startswith("/") else tmp_path / "afile"
    assert faults.startswith(f"{tmp_path}/config.yaml:4: node.storage: {there}: ")


def test_a_storage_that_is_to_be_made_is_good(checked):
    assert checked(node={"storage": "a/b/c"})[0] == 0


def test_a_sqlite_file_elsewhere(checked, tmp_path):
    def faults_of(name: str) -> str:
        return checked(node={"storage": "st", "database": f"sqlite:///{tmp_path}/{name}"})[1]

    (tmp_path / "text.db").write_text("no database at all, but text")
    assert "config.yaml:5: node.database: " in faults_of("none/node.db")  # SQLite makes no folder
    assert "is no SQLite database" in faults_of("text.db")
    assert faults_of("new.db") == ""


def test_a_database_that_is_away_is_a_note(checked):
    url = "postgresql+psycopg://x:SECRET@127.0.0.1:1/echo"
    pytest.importorskip("psycopg")
    status, _, notes = checked(node={"storage": "st", "database": url})
    assert status == 0
    assert "config.yaml:5: node.database: the database (node.database) refuses" in notes
    assert "SECRET" not in notes


def test_names_that_do_not_resolve_are_notes(checked):
    destinations = [
        {"name": "a", "ae_title": "A", "host": "pacs.nohost.invalid", "port": 104},
        {"name": "b", "url": "https://web.nohost.invalid:8043/dicom-web"},
    ]
    status, _, out = checked(receive={"host": "192.0.2.1"}, deliver={"destinations": destinations})
    assert status == 0
    notes = [line for line in out.splitlines() if line.startswith("note: ")]
    assert [note.split(": ")[2] for note in notes[:3]] == [
        "receive.host",
        "deliver.destinations.0.host",
        "deliver.destinations.1.url",
    ]
    assert "pacs.nohost.invalid" in notes[1]
    assert "web.nohost.invalid" in notes[2]


def test_a_name_server_that_does_not_answer_holds_nothing_up(checked, monkeypatch):
    monkeypatch.setattr(check, "_SECONDS", 0.1)
    answered = Event()
    monkeypatch.setattr(check, "_unresolved", lambda _: answered.wait(60))
    _, _, notes = checked(deliver=web())
    answered.set()
    assert "deliver.destinations.0.url: no answer within 0.1 s" in notes


def test_a_backend_that_is_not_there(checked, monkeypatch):
    status, faults, _ = checked(analyse={"engine": str(ENGINE), "backend": "onnxruntime-cuda"})
    assert status == 2
    assert ":3: analyse.backend: CUDAExecutionProvider is not available" in faults

    def missing(*_, **__):
        raise ModuleNotFoundError("no onnxruntime")

    monkeypatch.setattr(check, "open_runtime", missing)
    assert "pip install 'echo-node[cpu]'" in checked()[1]


def test_tensorrt_without_a_gpu(checked, monkeypatch):
    monkeypatch.setattr(check, "has_driver", lambda: False)
    status, faults, _ = checked(analyse={"engine": str(ENGINE), "backend": "tensorrt"})
    assert status == 2
    assert ":3: analyse.backend: TensorRT " in faults


def test_a_transfer_syntax_of_segmentations_without_any_is_a_note(checked):
    destination = {"name": "a", "ae_title": "A", "host": "127.0.0.1", "port": 104, "objects": ["sr"]}
    status, _, out = checked(deliver={"destinations": [destination | {"seg_transfer_syntax": "deflated"}]})
    assert status == 0
    assert "deliver.destinations.0.seg_transfer_syntax: there is no seg among the objects" in out


def test_a_storage_that_may_not_be_looked_into_hides_no_other_fault(checked, monkeypatch, tmp_path):
    real = Path.open

    def refuse(path: Path, *args, **named):
        if path.name == "node.db":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **named)

    monkeypatch.setattr(Path, "open", refuse)
    status, faults, _ = checked(analyse={"engine": str(tmp_path / "none")})
    assert status == 2
    assert "analyse.engine" in faults
    assert "node.db cannot be opened: Permission denied" in faults
