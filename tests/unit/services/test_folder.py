"""analyse-folder on what is not as it should be."""

import json
import os
import shutil

import pydicom
import pytest

from echo_node.config import Config, load
from echo_node.errors import EchoNodeError
from echo_node.services.folder import analyse_folder
from tests.unit.inference.engines import SHIPPED
from tests.unit.reports.builders import STUDY, jpeg_clip, source

OTHER_STUDY = f"{STUDY}.7"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def analyse(folder, tmp_path):
    """A function that analyses the folder; returns the exit status and the study folders by number."""

    def run():
        (tmp_path / "config.yaml").write_text(f"analyse:\n  engine: {SHIPPED}\n", encoding="utf-8")
        status = analyse_folder(load(tmp_path / "config.yaml"), folder, tmp_path / "out")
        return status, sorted((tmp_path / "out").glob("*"))

    return run


def clip(path, number, *, frames=4, cut=None, **changes):
    """A small clip of a patient and study, some of its header changed."""
    of = source(f"1.2.826.{number}", Rows=120, Columns=160, NumberOfFrames=frames)
    return jpeg_clip(path, of, cut=cut, **changes)


def results_of(study):
    return json.loads((study / "results.json").read_text(encoding="utf-8"))


def spectrum():
    """The region of a spectral Doppler still."""
    region = pydicom.Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 3, 3, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 159, 119
    return [region]


def test_a_frame_that_cannot_be_decoded_costs_its_picture_alone(folder, analyse, capsys):
    """Frame 21 is in the middle, which the picture shows, and not among those that the view is named from."""
    clip(folder / "1.dcm", 1, frames=40, cut=21)
    clip(folder / "2.dcm", 2, frames=40, cut=40)
    status, (study,) = analyse()
    assert status == 0
    assert "1.dcm: no picture: Pixel data cannot be decoded" in capsys.readouterr().out
    assert (study / "results.json").exists()


@pytest.mark.parametrize("changes", [{"PatientID": "P-0002"}, {"PatientBirthDate": "19510102"}])
def test_a_study_of_two_patients_is_not_analysed_and_others_are(changes, folder, analyse, capsys):
    clip(folder / "a.dcm", 1)
    clip(folder / "b.dcm", 2, **changes)
    clip(folder / "c.dcm", 3, StudyInstanceUID=OTHER_STUDY, PatientID="P-0003")
    status, (study,) = analyse()
    assert status == 1
    assert results_of(study)["StudyInstanceUID"] == OTHER_STUDY
    said = capsys.readouterr().out
    assert f"study {STUDY}: not analysed: Study holds more than one patient" in said
    assert "b.dcm" in said
    assert "P-0002" not in said


def test_padding_and_an_unknown_birth_date_make_no_second_patient(folder, analyse):
    clip(folder / "a.dcm", 1)
    clip(folder / "b.dcm", 2, PatientID="P-0001 ", PatientBirthDate="")
    status, (study,) = analyse()
    assert status == 0
    assert len(results_of(study)["clips"]) == 2


def test_an_object_counts_once(folder, analyse, capsys):
    clip(folder / "a.dcm", 1)
    shutil.copy(folder / "a.dcm", folder / "b.dcm")
    clip(folder / "c.dcm", 1, frames=3)
    status, (study,) = analyse()
    assert status == 0
    assert len(results_of(study)["clips"]) == 1
    said = capsys.readouterr().out
    assert "b.dcm: passed over: the same as" in said
    assert "c.dcm: not analysed: SOP Instance UID is known with other content" in said


def test_every_clip_that_can_be_decoded_has_its_picture(folder, analyse):
    """A spectrum is no clip that a view is looked for on; a person wants to see that it is one."""
    clip(folder / "a.dcm", 1)
    clip(folder / "b.dcm", 2, frames=1, SequenceOfUltrasoundRegions=spectrum())
    former = os.umask(0)
    try:
        _, (study,) = analyse()
    finally:
        os.umask(former)
    assert [clip["outcome"] for clip in results_of(study)["clips"]][1] == "NOT_TWO_D"
    assert [clip["stated_mode"] for clip in results_of(study)["clips"]] == [None, "PW_DOPPLER"]
    assert sorted(path.name for path in study.glob("*.png")) == ["clip-001.png", "clip-002.png"]
    assert [path.name for path in study.iterdir() if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("in/out", "lies in .*/in, which is read"),
        ("in", "lies in .*/in, which is read"),
        ("used", "is not empty: move away what is there"),
        ("used/note.txt", "is no folder"),
    ],
)
def test_results_go_to_a_folder_of_their_own(folder, tmp_path, out, words):
    clip(folder / "1.dcm", 1)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "note.txt").write_text("of another patient", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(EchoNodeError, match=words):
        analyse_folder(Config(), folder, tmp_path / out)
    assert sorted(tmp_path.rglob("*")) == before
