"""The commands, from a shell."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
import yaml

from echo_node.codes import View
from echo_node.reports import read_report

PROGRAM = Path(sys.executable).with_name("echo-node")
SHIPPED = Path(__file__).parents[2] / "config.yaml"
STATEMENT = SHIPPED.parent / "docs" / "conformance.md"


def run(*words, **kwargs):
    return subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, check=False, **kwargs)


def test_the_shipped_configuration_is_good():
    done = run("--config", SHIPPED, "check-config")
    assert done.returncode == 0
    assert "good" in done.stdout


def test_an_engine_that_is_none_or_not_whole_is_found_before_the_start(tmp_path):
    path, engine = tmp_path / "config.yaml", tmp_path / "engine"
    path.write_text(yaml.safe_dump({"analyse": {"engine": str(engine)}}), encoding="utf-8")
    missing = run("--config", path, "check-config")
    assert missing.returncode == 2
    assert f"{path}:2: analyse.engine: {engine / 'manifest.yaml'}: cannot be read" in missing.stderr
    shutil.copytree(ENGINE, engine)
    assert run("--config", path, "check-config").returncode == 0
    (engine / "view.onnx").write_bytes(b"other")
    broken = run("--config", path, "check-config")
    assert broken.returncode == 2
    assert "view.onnx: has 5 bytes" in broken.stderr
    assert "good" not in broken.stdout


def test_the_statement_in_the_docs_is_that_of_the_shipped_configuration():
    done = run("--config", SHIPPED, "conformance")
    assert done.returncode == 0, done.stderr
    made, committed = done.stdout.splitlines(), STATEMENT.read_text().splitlines()
    if made[2:4] != committed[2:4]:  # it lists what the toolkits list
        pytest.skip(f"docs/conformance.md was made with other versions: {' '.join(committed[2:4])}")
    assert made == committed, "echo-node conformance --out docs/conformance.md"


def test_a_statement_that_cannot_be_written_is_an_error_that_names_its_path(tmp_path):
    done = run("--config", SHIPPED, "conformance", "--out", tmp_path / "none" / "x.md")
    assert done.returncode == 1
    assert "cannot be written: No such file" in done.stderr
    assert "Traceback" not in done.stderr


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


@pytest.mark.parametrize("command", ["check-config", "serve", "schedule", "status"])
def test_a_bad_database_is_named_by_every_command(tmp_path, command):
    path = tmp_path / "config.yaml"
    path.write_text("node:\n  database: mysql://u:SECRET@host/x\n", encoding="utf-8")
    done = run("--config", path, command)
    assert done.returncode == 2
    assert f"{path}:2: node.database: 'mysql' is no driver of the node" in done.stderr
    assert "Traceback" not in done.stderr
    assert "SECRET" not in done.stderr


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


def test_a_folder_is_analysed_without_a_network(exam, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    apical = next(file for file in exam if file.view is View.A4C)
    shutil.copy(apical.path, folder / "a4c.dcm")
    (folder / "notes.txt").write_text("not DICOM", encoding="utf-8")
    done = run("--config", SHIPPED, "analyse-folder", folder, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "notes.txt: passed over" in done.stdout
    (study,) = out.iterdir()
    results = json.loads((study / "results.json").read_text(encoding="utf-8"))
    reading = read_report((study / "sr.dcm").read_bytes())
    assert [m["quantity"] for m in results["measurements"]] == [m.quantity.name for m in reading.measurements]
    assert results["clips"][0]["prediction"]["view"] == "A4C"
    assert pydicom.dcmread(next(study.glob("seg-*.dcm"))).Modality == "SEG"
    drawn = pydicom.dcmread(next(study.glob("overlay-*.dcm")))
    scales = [ds.SequenceOfUltrasoundRegions[0].PhysicalDeltaX for ds in (drawn, apical.dataset())]
    assert scales[0] == scales[1]
    assert drawn.NumberOfFrames == apical.dataset().NumberOfFrames
    assert pydicom.dcmread(study / "pdf.dcm").EncapsulatedDocument.startswith(b"%PDF")
    assert (study / "clip-001.png").read_bytes().startswith(b"\x89PNG")


def test_an_empty_folder_is_no_success(tmp_path):
    (tmp_path / "in").mkdir()
    done = run("--config", SHIPPED, "analyse-folder", tmp_path / "in", "--out", tmp_path / "out")
    assert done.returncode == 1


ENGINE = SHIPPED.parent / "engines" / "echoapex-tiny-phantom"


def test_engines_are_listed_verified_and_described(tmp_path):
    listed = run("engines", "list", ENGINE.parent)
    assert listed.returncode == 0
    assert "echoapex-tiny-phantom" in listed.stdout
    verified = run("engines", "verify", ENGINE)
    assert verified.returncode == 0, verified.stderr
    assert "encoder" in verified.stdout
    assert "Research use, not for diagnosis" in run("engines", "card", ENGINE).stdout
    broken = tmp_path / "engines" / "broken"
    shutil.copytree(ENGINE, broken)
    (broken / "view.onnx").write_bytes(b"other")
    refused = run("engines", "list", broken.parent)
    assert refused.returncode == 1
    assert "view.onnx" in refused.stdout
    assert run("engines", "list", tmp_path).returncode == 1


def test_graphs_from_elsewhere_become_a_package(tmp_path):
    manifest = yaml.safe_load((ENGINE / "manifest.yaml").read_text())
    kept = {key: manifest[key] for key in ("version", "intended_use", "preprocess", "view")}
    graphs = {name: str(ENGINE / graph["file"]) for name, graph in manifest["graphs"].items()}
    labels = {key: [label["name"] for label in manifest[key]] for key in ("views", "structures")}
    source, out = tmp_path / "engine.yaml", tmp_path / "engines" / "mine"
    source.write_text(yaml.safe_dump({"name": "mine", "graphs": graphs, **kept, **labels}))
    done = run("engines", "import", source, "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"mine {manifest['version']} for view, segmentation" in done.stdout
    assert run("engines", "list", out.parent).returncode == 0
    again = run("engines", "import", source, "--out", out)
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert "Traceback" not in again.stderr


@pytest.mark.parametrize("words", [[], ["x.yaml", "--checkpoint", "x.pth"]])
def test_import_takes_either_graphs_or_a_checkpoint(tmp_path, words):
    assert run("engines", "import", *words, "--out", tmp_path / "out").returncode == 2


def test_a_checkpoint_that_is_none_is_refused(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"nothing")
    done = run("engines", "import", "--checkpoint", tmp_path / "x.pth", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "is no checkpoint" in done.stderr
    assert not (tmp_path / "out").exists()


def test_tensorrt_without_a_gpu_is_an_error_and_no_fallback(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"analyse": {"engine": str(ENGINE), "backend": "tensorrt"}}))
    (tmp_path / "in").mkdir()
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    for words in (
        ["engines", "compile", ENGINE],
        ["engines", "verify", ENGINE, "--backend", "tensorrt"],
        ["analyse-folder", tmp_path / "in", "--out", tmp_path / "out"],
        ["analyse"],
    ):
        done = run("--config", path, *words, env=hidden)
        assert done.returncode == 1, words
        assert "no CUDA driver answers" in done.stderr
        assert "Traceback" not in done.stderr
