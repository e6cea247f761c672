"""The demo as ``make demo`` runs it, on a machine without Orthanc: the node's own storage SCP is the archive."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import cv2

from tests.acceptance.conftest import PROGRAM

ROOT = Path(__file__).parents[2]
OBJECT = re.compile(r"(?P<view>\w+) +(?P<recognised>\w+|-) +(?P<probability>[01]\.\d\d)?  (?P<outcome>\S.*)")
NUMBER = re.compile(r"(?P<name>LV\w+ \w+(?: learned)?) +(?P<truth>\d+\.\d) +(?P<measured>\d+\.\d) (?P<unit>\S+)")


def test_the_demo_measures_an_exam_and_shows_it(tmp_path):
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if not (Path(p) / "Orthanc").exists())
    assert shutil.which("Orthanc", path=path) is None
    out = tmp_path / "demo-out"
    done = subprocess.run(
        [PROGRAM, "demo", "--out", out],
        cwd=ROOT,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sent = re.search(r"^cart +-> node +(\d+) objects in one association$", done.stdout, re.MULTILINE)
    assert re.search(r"^node +-> archive +\d+ objects in echo-node's own storage SCP$", done.stdout, re.MULTILINE)
    _, views, values = re.split(r"^clip .*outcome$|^in the archive .*measured$", done.stdout, flags=re.MULTILINE)
    objects = [m.groupdict() for m in map(OBJECT.fullmatch, views.splitlines()) if m is not None]
    assert len(objects) == int(sent[1]) == len(views.split("\n")) - 3  # every line is one of them
    assert {o["view"] for o in objects if o["outcome"] == "measured"} >= {"A4C", "A2C"}
    assert {o["recognised"] for o in objects if o["view"] == "A4C" and o["outcome"] == "measured"} == {"A4C"}
    numbers = {m["name"]: m for m in map(NUMBER.fullmatch, values.splitlines()) if m is not None}
    for name in ("LVEF A4C", "LVEF A4C learned", "LVEF A2C"):
        assert abs(float(numbers[name]["measured"]) - float(numbers[name]["truth"])) < 25, name
        assert numbers[name]["unit"] == "%"
    sheet = out / "contact-sheet.png"
    assert done.stdout.endswith(f"look at {sheet}\n")
    height, width, _ = cv2.imread(str(sheet)).shape
    assert 400 < height < 10_000
    assert 400 < width < 10_000
    assert sheet.stat().st_size > 100_000  # pictures, not blank tiles
