"""Labelled folders in the published layouts: what is read from them, and what is refused."""

import re
from datetime import UTC, datetime

import cv2
import nibabel
import numpy as np
import pytest
from pydicom import dcmwrite

from echo_node.codes import Structure, View, WallPoint
from echo_node.errors import LabelError
from echo_node.evaluation.cases import Axis, Figure
from echo_node.evaluation.folders import first_patients, open_folder
from echo_node.evaluation.scores import dice
from echo_node.phantom.exam import simulate_exam
from echo_node.phantom.heart import sample_patient
from tests.unit.evaluation import builders


def fault_of(folder) -> str:
    """The one fault among the cases of a folder, which are read all the same."""
    (fault,) = {case.fault for case in open_folder(folder).cases} - {""}
    return fault


def test_echonets_layout(tmp_path):
    clip = builders.echonet_folder(tmp_path)
    (case,) = open_folder(tmp_path).cases  # of the TEST split
    assert case.labels.view is View.A4C
    assert case.labels.values == pytest.approx({Figure.EF: 60, Figure.EDV: 120, Figure.ESV: 48})
    assert (case.labels.ed_frame, case.labels.es_frame) == (clip.ed_frame + 1, clip.es_frame + 1)
    assert case.clip.frames.shape == (len(clip.frames), 112, 112)
    assert case.clip.spacing_mm is None
    assert case.clip.times_ms == pytest.approx(clip.times_ms)
    (cavity,) = case.masks
    assert cavity.structure is Structure.LV_CAVITY
    for mask, number in zip(cavity.masks, cavity.frame_numbers, strict=True):
        whole = builders.framed(clip.masks[Structure.LV_CAVITY], 112, 112)
        assert dice(mask, whole[number - 1]) > 0.93
    seen = builders.framed(np.stack([clip.sector]), 112, 112)[0]
    assert dice(case.clip.sector, seen) > 0.9


def test_echonets_faults_say_where(tmp_path):
    builders.echonet_folder(tmp_path)
    (tmp_path / "Videos" / "0X1A.avi").unlink()
    assert re.search(r"FileList\.csv, line 2, column FileName: there is no .*0X1A\.avi", fault_of(tmp_path))
    text = (tmp_path / "FileList.csv").read_text()
    (tmp_path / "FileList.csv").write_text(text.replace("TEST", "TSET"))
    with pytest.raises(LabelError, match=r"line 2, column Split: 'TSET' is none of TRAIN, VAL, TEST"):
        open_folder(tmp_path)
    (tmp_path / "FileList.csv").write_text(text.replace("TEST", "TRAIN"))
    with pytest.raises(LabelError, match="no row's Split is TEST"):
        open_folder(tmp_path)


def test_a_tracing_that_encloses_nothing_is_refused(tmp_path):
    builders.echonet_folder(tmp_path)
    tracings = tmp_path / "VolumeTracings.csv"
    tracings.write_text("".join(tracings.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(LabelError, match=r"VolumeTracings\.csv: frame \d+ of 0X1A has 2 lines"):
        list(open_folder(tmp_path).cases)


def test_camuss_layout(tmp_path):
    builders.camus_folder(tmp_path)
    source = open_folder(tmp_path)
    two, four = source.cases
    clip, part = builders.camus_half(View.A4C)
    assert source.patients == 1
    assert (two.labels.view, four.labels.view) == (View.A2C, View.A4C)
    assert four.labels.patient == two.labels.patient == "patient0001"
    assert four.labels.values == {Figure.EF: 60.0}
    assert four.labels.group(Axis.QUALITY) == "fair"
    assert (four.labels.ed_frame, four.labels.es_frame) == (1, part.stop - part.start)
    assert four.clip.spacing_mm == pytest.approx(clip.spacing_mm)
    assert four.clip.times_ms[1] == pytest.approx(1000 / 48.2)
    masks = {m.structure: m.masks for m in four.masks}
    assert set(masks) == {Structure.LV_CAVITY, Structure.LV_MYOCARDIUM, Structure.LA}
    assert (masks[Structure.LV_CAVITY] == clip.masks[Structure.LV_CAVITY][part]).all()


def test_camuss_first_layout_has_its_pixels_made_square(tmp_path):
    builders.earlier_camus_folder(tmp_path)
    (four,) = open_folder(tmp_path).cases
    clip, part = builders.camus_half(View.A4C)
    assert four.clip.frames.shape == clip.frames[part].shape
    assert four.clip.spacing_mm == pytest.approx(clip.spacing_mm)
    assert four.labels.values == pytest.approx({Figure.EF: 60, Figure.EDV: 120, Figure.ESV: 48})
    cavity = next(m for m in four.masks if m.structure is Structure.LV_CAVITY)
    assert cavity.frame_numbers == (1, part.stop - part.start)
    assert (cavity.masks == clip.masks[Structure.LV_CAVITY][part][[0, -1]]).all()


def test_camuss_faults_say_where(tmp_path):
    builders.camus_folder(tmp_path)
    info = tmp_path / "patient0001" / "Info_2CH.cfg"
    text = info.read_text()
    info.write_text(text.replace("ED: 1\n", "ED: first\n"))
    assert "Info_2CH.cfg: ED is 'first', no frame number" in fault_of(tmp_path)
    info.write_text(text.replace("EF: 60", "EF: sixty"))
    assert "Info_2CH.cfg: EF is 'sixty', no number" in fault_of(tmp_path)
    info.write_text(text)
    truth = tmp_path / "patient0001" / "patient0001_2CH_half_sequence_gt.nii.gz"
    whole = truth.read_bytes()
    for torn in (b"no NIfTI", whole[: len(whole) // 2]):
        truth.write_bytes(torn)
        assert "half_sequence_gt.nii.gz: cannot be read as NIfTI" in fault_of(tmp_path)
    for values in (np.full((20, 20, 3), 0.5, np.float32), np.full((20, 20, 3), 300, np.int16)):
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), truth)
        assert "holds other values than whole numbers of 0 to 255" in fault_of(tmp_path)


@pytest.fixture
def own(tmp_path):
    """A video, a PNG, a DICOM object and a mask, without a table yet."""
    clip = builders.heart(View.A4C, size=160)
    builders.write_video(tmp_path / "apical.avi", clip.frames)
    cv2.imwrite(str(tmp_path / "still.png"), clip.frames[0])
    mask = clip.masks[Structure.LV_CAVITY][clip.ed_frame].astype(np.uint8) * 255
    cv2.imwrite(str(tmp_path / "cavity.png"), mask)
    rng = np.random.default_rng(2)
    exam = simulate_exam(sample_patient(rng), rng=rng, start=datetime(2026, 1, 2, tzinfo=UTC), views=[])
    dcmwrite(tmp_path / "doppler.dcm", exam[0].ds, enforce_file_format=True)
    return tmp_path, clip


def test_a_plain_table(own):
    folder, clip = own
    rows = [
        {"file": "apical.avi", "patient": "b", "view": "A4C", "ef": 60, "ed_frame": clip.ed_frame + 1,
         "mm_per_pixel": 0.9, "ed_mask_lv_cavity": "cavity.png", "quality": "good", "vendor": "Acme"},
        {"file": "doppler.dcm", "patient": "a", "view": "OTHER", "kind": "colour flow"},
        {"file": "still.png", "patient": "b", "lvidd_mm": 48.5},
    ]  # fmt: skip
    builders.write_csv(folder / "labels.csv", rows)
    source = open_folder(folder)
    other, cine, still = source.cases
    assert source.patients == 2
    assert other.labels.kind == "colour flow"
    assert not other.labels.shows_heart
    assert cine.clip.frames.shape == clip.frames.shape
    assert cine.clip.times_ms[1] == pytest.approx(1000 / builders.RATE)
    assert cine.clip.spacing_mm == (0.9, 0.9)
    assert cine.labels.group(Axis.SCREEN) == "Acme"
    (cavity,) = cine.masks
    assert (cavity.masks[0] == clip.masks[Structure.LV_CAVITY][clip.ed_frame]).all()
    assert (still.labels.view, still.clip.NumberOfFrames) == (None, 1)
    assert still.labels.values == {Figure.LVIDD: 48.5}


def test_wall_points_of_a_table_are_measured_where_no_column_does(own):
    folder, _ = own
    row = {"file": "apical.avi", "ed_frame": 2, "es_frame": 9, "mm_per_pixel": 0.5, "lvpwd_mm": 9}
    row |= {"ed_walls": "50 20; 50 40;50 110; 50 130.5", "es_walls": "50 20; 53 44; 53 104; 50 130"}
    builders.write_csv(folder / "labels.csv", [row])
    (case,) = open_folder(folder).cases
    assert [found.frame_number for found in case.landmarks] == [2, 9]
    assert case.landmarks[0].points[3] == (WallPoint.POSTERIOR_OUTER, 130.5, 50)
    assert case.labels.values == pytest.approx(
        {Figure.IVSD: 10, Figure.LVIDD: 35, Figure.LVPWD: 9, Figure.LVIDS: 30}
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"file": "nowhere.avi"}, r"line 2, column file: there is no file .*nowhere\.avi"),
        ({"file": ""}, "line 2, column file: is empty, and is needed"),
        ({"file": "apical.avi", "view": "4CH"}, r"line 2, column view: '4CH' is none of PLAX, .*OTHER"),
        ({"file": "apical.avi", "ef": "0,6"}, "line 2, column ef: '0,6' is no number"),
        ({"file": "apical.avi", "ef": "nan"}, "line 2, column ef: nan is outside 2 to 100"),
        ({"file": "apical.avi", "ivsd_mm": "0.9"}, "line 2, column ivsd_mm: 0.9 is outside 1 to 60"),
        ({"file": "apical.avi", "ed_frame": "1.5"}, "line 2, column ed_frame: 1.5 is no whole number"),
        ({"file": "apical.avi", "ed_mask_la": "cavity.png"}, "column ed_mask_la: needs the number of its frame"),
        ({"file": "apical.avi", "es_walls": "1 2;1 3;1 4;1 5"}, "column es_walls: needs the number of its frame"),
        (
            {"file": "apical.avi", "ed_frame": 1, "ed_walls": "1 2;1 3;1 4"},
            "is not x y; x y; x y; x y of SEPTUM_OUTER",
        ),
        (
            {"file": "apical.avi", "ed_frame": 1, "ed_walls": "1 5;1 4;1 3;1 2"},
            "each point lies below the one before",
        ),
        ({"file": "apical.avi", "colour": "red"}, r"line 1: column colour is none of file, patient"),
    ],
)
def test_a_bad_row_is_refused_before_any_clip_is_read(own, row, words):
    folder, _ = own
    with pytest.raises(LabelError, match=words):
        open_folder(builders.write_csv(folder / "labels.csv", [row]))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"file": "apical.avi", "es_frame": 9000}, r"column es_frame: 9000 is beyond the \d+ frames"),
        (
            {"file": "apical.avi", "es_frame": 1, "es_mask_lv_cavity": "small.png"},
            r"column es_mask_lv_cavity: is \(3, 3\), and the clip \(\d+, \d+\) pixels",
        ),
        (
            {"file": "apical.avi", "ed_frame": 1, "ed_walls": "1 2;1 3;1 4;1 5000"},
            r"column ed_walls: a point lies outside the picture of \d+ x \d+ pixels",
        ),
        ({"file": "labels.csv"}, r"column file: .* is no DICOM, AVI, MP4 or PNG clip"),
        ({"file": "torn.avi"}, r"torn\.avi: cannot be decoded as a video"),
    ],
)
def test_a_clip_that_does_not_fit_its_row_is_refused(own, row, words):
    folder, _ = own
    cv2.imwrite(str(folder / "small.png"), np.full((3, 3), 255, np.uint8))
    (folder / "torn.avi").write_bytes(b"RIFF")
    builders.write_csv(folder / "labels.csv", [row])
    assert re.search(words, fault_of(folder))


def test_a_folder_without_a_known_layout_says_which_there_are(tmp_path):
    with pytest.raises(LabelError, match=r"FileList\.csv .* patient.* labels\.csv"):
        open_folder(tmp_path)
    with pytest.raises(LabelError, match="there is no such folder"):
        open_folder(tmp_path / "nowhere")


def test_a_source_can_be_cut_after_some_patients(own):
    folder, _ = own
    rows = [{"file": "still.png", "patient": name} for name in "aabbc"]
    source = first_patients(open_folder(builders.write_csv(folder / "labels.csv", rows)), 2)
    assert source.patients == 2
    assert [case.labels.patient for case in source.cases] == list("aabb")
