"""A clip's whole way, from a cart's file to what is said of it, with the shipped engine."""

import copy
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames

from echo_node.codes import ImageMode, Quantity, Reason, Structure, View
from echo_node.config import Backend, Routing
from echo_node.inference.engine import load_engine
from echo_node.phantom import sample_patient
from echo_node.phantom.exam import simulate_exam
from echo_node.phantom.heart import Rhythm
from echo_node.pipeline import Rules, analyse_clip, summarise_study

SHIPPED = Path(__file__).parents[3] / "engines" / "echoapex-tiny-phantom"
STUDY = "1.2.3"
MOST_FRAMES = 80


@pytest.fixture(scope="module")
def engine():
    return load_engine(SHIPPED, backend=Backend.ONNXRUNTIME_CPU, threads=1)


@pytest.fixture(scope="module")
def exam():
    """An apical four-chamber clip, a colour and a spectral Doppler still, and their patient."""
    rng = np.random.default_rng(2)  # 1 is a window without atrial septum, in which the engine sees two chambers
    patient = sample_patient(rng, rhythm=Rhythm.REGULAR)
    start = datetime(2026, 1, 2, tzinfo=UTC)
    return patient, simulate_exam(patient, rng=rng, start=start, views=[View.A4C])


@pytest.fixture
def analyse(engine, tmp_path):
    """A function from a dataset to its analysis."""

    def run(ds: pydicom.Dataset):
        path = tmp_path / f"{ds.SOPInstanceUID}.dcm"
        pydicom.dcmwrite(path, ds, enforce_file_format=True)
        rules = Rules(routing=Routing(), max_frames=MOST_FRAMES)
        return analyse_clip(
            path, SOPInstanceUID=ds.SOPInstanceUID, StudyInstanceUID=STUDY, engine=engine, rules=rules
        )

    return run


def values(analysis) -> dict:
    return {m.quantity: m.value for m in analysis.measurements}


def test_an_apical_clip_is_named_outlined_and_measured(analyse, exam):
    patient, (apical, *_) = exam
    result = analyse(apical.ds)
    assert result.outcome is None
    assert result.prediction.view is View.A4C
    found = values(result)
    assert found[Quantity.LVEF] == pytest.approx(patient.ef, abs=15)
    assert found[Quantity.LV_EDV] > found[Quantity.LV_ESV] > 0
    cavity = next(s for s in result.segmentations if s.structure is Structure.LV_CAVITY)
    assert len(cavity.masks) == len(cavity.frame_numbers) <= MOST_FRAMES


def test_without_calibration_there_is_ef_and_no_volume(analyse, exam):
    ds = copy.deepcopy(exam[1][0].ds)
    del ds.SequenceOfUltrasoundRegions
    result = analyse(ds)
    assert Quantity.LVEF in values(result)
    assert {n.quantity: n.reason for n in result.not_measured} == {
        Quantity.LV_EDV: Reason.NO_CALIBRATION,
        Quantity.LV_ESV: Reason.NO_CALIBRATION,
    }


def test_part_of_a_beat_is_not_measured(analyse, exam):
    ds = copy.deepcopy(exam[1][0].ds)
    frames = list(generate_frames(ds.PixelData, number_of_frames=ds.NumberOfFrames))[:6]
    ds.NumberOfFrames, ds.PixelData = len(frames), encapsulate(frames)
    result = analyse(ds)
    assert not result.measurements
    assert result.outcome is Reason.NO_FULL_CYCLE


def test_of_two_thousand_frames_the_middle_is_taken(analyse, exam):
    ds = copy.deepcopy(exam[1][0].ds)
    frames = list(generate_frames(ds.PixelData, number_of_frames=ds.NumberOfFrames))
    ds.NumberOfFrames, ds.PixelData = 2000, encapsulate([frames[i % len(frames)] for i in range(2000)])
    result = analyse(ds)
    (numbers,) = {s.frame_numbers for s in result.segmentations}
    assert numbers == tuple(range(961, 961 + MOST_FRAMES))


def test_doppler_is_not_measured_and_says_why(analyse, exam):
    _, colour, spectral = exam[1]
    assert analyse(spectral.ds).outcome is Reason.NOT_TWO_D
    assert analyse(colour.ds).outcome is not None
    assert not analyse(colour.ds).measurements


def test_every_clip_has_its_mode(analyse, exam):
    """What is refused as Doppler too: its header states it."""
    modes = [ImageMode.TWO_D, ImageMode.COLOUR_FLOW, ImageMode.PW_DOPPLER]
    assert [analyse(item.ds).mode for item in exam[1]] == modes
    unstated = copy.deepcopy(exam[1][2].ds)
    unstated.PixelData = unstated.PixelData[:20]
    assert analyse(unstated).mode is None  # nothing of it can be read


def test_a_grey_clip_with_a_colour_box_is_not_measured(analyse, exam):
    """The machine says 2D in the region, yet the pixels show flow."""
    import simplejpeg

    ds = copy.deepcopy(exam[1][0].ds)
    pictures = []
    rng = np.random.default_rng(0)
    for coded in generate_frames(ds.PixelData, number_of_frames=ds.NumberOfFrames):
        picture = simplejpeg.decode_jpeg(coded)
        middle = tuple(slice(n * 2 // 5, n * 3 // 5) for n in picture.shape[:2])
        noise = rng.normal(0, 25, picture[middle].shape[:2])
        picture[(*middle, 0)] = np.where(noise > 0, 200, 20)
        picture[(*middle, 2)] = np.where(noise > 0, 20, 200)
        pictures.append(simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=90))
    ds.PixelData = encapsulate(pictures)
    result = analyse(ds)
    assert not result.measurements
    assert result.outcome is not None


def test_a_study_says_which_views_are_missing(analyse, exam, engine):
    result = analyse(exam[1][0].ds)
    study = summarise_study(STUDY, [result], revision=1, engine=engine, made_at=datetime(2026, 1, 2, tzinfo=UTC))
    missing = {(n.quantity, n.view, n.reason) for n in study.not_measured}
    assert (Quantity.LVEF, View.A2C, Reason.VIEW_MISSING) in missing
    assert study.measurements == result.measurements
