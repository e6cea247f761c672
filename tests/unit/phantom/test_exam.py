"""An exam is valid DICOM that decodes to its clips."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.pixels.utils import pixel_array

from echo_node.codes import ImageMode, View
from echo_node.phantom import sample_patient
from echo_node.phantom.exam import SimulatedObject, simulate_exam

Exam = list[SimulatedObject]

_START = datetime(2026, 1, 2, 3, 4, 5)
_VALIDATOR = Path(sys.executable).with_name("dciodvfy")  # from the package dicom3tools


@pytest.fixture(scope="module")
def exam() -> Exam:
    rng = np.random.default_rng(12)
    patient = sample_patient(rng, heart_rate=118.0)
    return simulate_exam(patient, rng=rng, start=_START, views=(View.A4C,))


def test_objects_are_clips_and_two_doppler_stills(exam: Exam) -> None:
    assert [o.clip.view for o in exam] == [View.A4C, View.OTHER, View.OTHER]
    assert [o.clip.mode for o in exam[1:]] == [ImageMode.COLOUR_FLOW, ImageMode.PW_DOPPLER]
    assert [o.ds.get("NumberOfFrames", 1) > 1 for o in exam] == [True, False, False]
    assert len({o.ds.StudyInstanceUID for o in exam}) == 1
    assert len({o.ds.SOPInstanceUID for o in exam}) == 3
    assert all(str(o.ds.PatientName).startswith("Phantom") for o in exam)


def test_pixels_decode_to_the_clips(exam: Exam, tmp_path: Path) -> None:
    for item in exam:
        path, frames = tmp_path / "object.dcm", item.clip.frames
        dcmwrite(path, item.ds, enforce_file_format=True)
        ds = dcmread(path)
        assert (ds.get("NumberOfFrames", 1), ds.Rows, ds.Columns) == frames.shape[:3]
        last = len(frames) - 1
        decoded = pixel_array(path, index=last, raw=False)  # RGB
        assert decoded.shape == frames[last].shape
        assert np.abs(decoded.astype(int) - frames[last]).mean() < 3


def test_calibration_is_the_clips(exam: Exam) -> None:
    for item in exam[:1]:
        assert item.clip.spacing_mm is not None
        region = item.ds.SequenceOfUltrasoundRegions[0]
        assert region.PhysicalDeltaX * 10 == pytest.approx(item.clip.spacing_mm[1])
        box = item.clip.sector[
            region.RegionLocationMinY0 : region.RegionLocationMaxY1 + 1,
            region.RegionLocationMinX0 : region.RegionLocationMaxX1 + 1,
        ]
        assert box.sum() == item.clip.sector.sum()
        assert float(item.ds.FrameTime) == pytest.approx(item.clip.times_ms[1], abs=1e-3)


def test_same_seed_gives_the_same_objects(exam: Exam) -> None:
    rng = np.random.default_rng(12)
    patient = sample_patient(rng, heart_rate=118.0)
    again = simulate_exam(patient, rng=rng, start=_START, views=(View.A4C,))
    assert [a.ds.SOPInstanceUID for a in again] == [a.ds.SOPInstanceUID for a in exam]
    assert [a.ds.PixelData for a in again] == [a.ds.PixelData for a in exam]


def test_validator_finds_no_error(exam: Exam, tmp_path: Path) -> None:
    for item in exam:
        path = tmp_path / "object.dcm"
        dcmwrite(path, item.ds, enforce_file_format=True)
        found = subprocess.run([_VALIDATOR, "-new", path], capture_output=True, text=True, check=False)
        lines = (found.stdout + found.stderr).splitlines()
        assert [line for line in lines if line.startswith("Error")] == []
