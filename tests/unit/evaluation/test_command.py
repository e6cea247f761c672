"""``echo-node evaluate`` from end to end, with the shipped engine."""

import csv
import json
from pathlib import Path

import cv2
import pytest

from echo_node import cli
from echo_node.codes import View
from echo_node.config import Backend
from echo_node.evaluation.command import evaluate_source, write_results
from echo_node.evaluation.phantoms import CAVEAT
from echo_node.evaluation.phantoms import phantoms as simulated
from echo_node.inference.engine import load_engine
from tests.unit.evaluation import builders

SHIPPED = Path(__file__).parents[3] / "engines" / "echoapex-tiny-phantom"


def run(on, out, *options) -> dict:
    assert cli.main(["evaluate", str(SHIPPED), "--on", str(on), "--out", str(out), *options]) == 0
    return json.loads((out / "results.json").read_text())


def subtasks(results: dict) -> dict:
    return {row["name"].split(",")[0]: row for row in results["subtasks"]}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """Both apical views and what is no heart, of one patient."""
    out = tmp_path_factory.mktemp("phantoms")
    engine = load_engine(SHIPPED, backend=Backend.ONNXRUNTIME_CPU, threads=1)
    source = simulated((View.A4C, View.A2C, View.OTHER), patients=1, seed=1003)
    write_results(evaluate_source(engine, source), out)
    return json.loads((out / "results.json").read_text()), out


def test_phantoms_are_judged_in_every_part(phantoms):
    results, out = phantoms
    assert len(results["subtasks"]) == 28
    assert subtasks(results)["LV_CAVITY"]["estimate"]["n"] == 2
    assert subtasks(results)["PLAX"]["missing"] == "no label"
    assert results["calibration"]["ece"]["n"] > 2
    assert results["refusal"]["measured"]["value"] == 0
    assert len(results["clicks"][0]["dice"]) == 7
    with (out / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sum(row["section"] == "sub-tasks" for row in rows) == 28
    assert all(CAVEAT in row["data"] for row in rows)


def test_pictures_without_a_heart_are_judged_alone(tmp_path):
    refused = run("no-hearts", tmp_path, "--patients", "2")["refusal"]
    assert sum(kind["pictures"] for kind in refused["kinds"]) == 8
    assert refused["measured"]["value"] == 0
    assert refused["auroc"] is None


def test_every_plot_is_a_picture_with_something_on_it(phantoms):
    _, out = phantoms
    names = {path.stem for path in out.glob("*.png")}
    assert names >= {"views", "reliability", "ejection-fraction", "clicks", "refusal", "subgroups"}
    for path in out.glob("*.png"):
        picture = cv2.imread(str(path))
        assert min(picture.shape[:2]) > 300
        assert picture.std() > 5


def test_echonets_layout(tmp_path, capsys):
    builders.echonet_folder(tmp_path / "echonet")
    results = run(tmp_path / "echonet", tmp_path / "out")
    rows = subtasks(results)
    assert rows["A4C"]["estimate"]["n"] == 1
    assert rows["LV_CAVITY"]["estimate"]["n"] == 1
    assert rows["PLAX"]["missing"] == "no label"
    assert rows["IVSd"]["missing"] in ("no head", "no label")
    assert "EF" in rows
    told = capsys.readouterr().out
    assert "labelled data in echonet" in told
    assert "phantoms" not in told.replace("echoapex-tiny-phantom", "")


def test_camuss_layout(tmp_path):
    builders.camus_folder(tmp_path / "camus")
    results = run(tmp_path / "camus", tmp_path / "out")
    rows = subtasks(results)
    assert rows["LA"]["estimate"]["n"] == 2
    assert [row["dice"][0]["n"] for row in results["clicks"]] == [2, 2, 2]
    assert {row["group"] for row in results["subgroups"] if row["axis"] == "quality"} == {"fair"}
    assert (tmp_path / "out" / "clicks.png").is_file()


def test_a_bad_table_ends_with_where_and_what(tmp_path, capsys):
    table = builders.write_csv(tmp_path / "labels.csv", [{"file": "nowhere.avi"}])
    out = tmp_path / "out"
    assert cli.main(["evaluate", str(SHIPPED), "--on", str(table), "--out", str(out)]) == 1
    assert "labels.csv, line 2, column file: there is no file" in capsys.readouterr().err
    assert not out.exists()


def test_no_patients_are_too_few(tmp_path, capsys):
    assert cli.main(["evaluate", str(SHIPPED), "--out", str(tmp_path), "--patients", "0"]) == 1
    assert "--patients 0: at least 1" in capsys.readouterr().err


def test_what_is_not_installed_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == "nibabel" else object())
    assert cli.main(["evaluate", str(SHIPPED), "--out", str(tmp_path)]) == 1
    assert "evaluate needs nibabel: pip install 'echo-node[train]'" in capsys.readouterr().err
