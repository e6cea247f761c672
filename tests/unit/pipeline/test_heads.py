"""Walls and the learned EF through the whole pipeline, from an engine that knows the phantom's truth."""

import copy
from datetime import UTC, datetime

import numpy as np
import pydicom
import pytest

from echo_node.codes import Geometry, ImageMode, Method, Quantity, Reason, Structure, View, WallPoint
from echo_node.config import Head, Routing
from echo_node.measure.results import EJECTION, MASS, WALLS
from echo_node.phantom import sample_patient
from echo_node.phantom.exam import simulate_exam
from echo_node.phantom.heart import Rhythm
from echo_node.pipeline import Rules, analyse_clip, shown_frames, summarise_study
from echo_node.records import Body, EjectionEstimate, EngineIdentity, Landmarks, Segmentation, Sex, ViewPrediction
from echo_node.reports import build_reports, normalise, read_report

STUDY = "1.2.3"
START = datetime(2026, 1, 2, tzinfo=UTC)


class KnowingEngine:
    """Says what is true of the clips of an exam."""

    view_threshold = 0.8
    structures = (Structure.LV_CAVITY,)

    def __init__(self, exam, *, finds_walls=True, estimates_ejection=True, ef=None):
        self._clips = {item.ds.SOPInstanceUID: item.clip for item in exam}
        self._ef = ef
        self.finds_walls, self.estimates_ejection = finds_walls, estimates_ejection
        self.identity = EngineIdentity(name="knowing", version="1", digest="0" * 64, backend="none")

    def classify(self, clip):
        return ViewPrediction(
            SOPInstanceUID=clip.SOPInstanceUID,
            view=self._clips[clip.SOPInstanceUID].view,
            probability=0.99,
            runner_up=View.OTHER,
            runner_up_probability=0.01,
            mode=ImageMode.TWO_D,
        )

    def segment(self, clip, structures):
        truth = self._clips[clip.SOPInstanceUID].masks
        index = np.array(clip.frame_numbers) - 1
        return tuple(
            Segmentation(
                SOPInstanceUID=clip.SOPInstanceUID,
                structure=s,
                masks=truth[s][index],
                frame_numbers=clip.frame_numbers,
            )
            for s in structures
        )

    def find_walls(self, clip):
        truth = self._clips[clip.SOPInstanceUID].landmarks
        return tuple(
            Landmarks(
                SOPInstanceUID=clip.SOPInstanceUID,
                frame_number=number,
                points=tuple((point, *truth[point][number - 1].tolist()) for point in WallPoint),
                probability=0.95,
            )
            for number in clip.frame_numbers
        )

    def estimate_ejection(self, clip, cavity):
        truth = self._clips[clip.SOPInstanceUID]
        assert cavity.structure is Structure.LV_CAVITY
        return EjectionEstimate(
            SOPInstanceUID=clip.SOPInstanceUID,
            ef=truth.ef if self._ef is None else self._ef,
            uncertainty=3.0,
            ed_frame=truth.ed_frame + 1,
            es_frame=truth.es_frame + 1,
        )


@pytest.fixture(scope="module")
def exam():
    """A long axis and an apical four-chamber clip of a man whose size is known."""
    rng = np.random.default_rng(5)
    patient = sample_patient(rng, ef=55.0, edv_ml=120.0, wall_mm=9.0, heart_rate=70.0, rhythm=Rhythm.REGULAR)
    objects = simulate_exam(patient, rng=rng, start=START, views=[View.PLAX, View.A4C])[:2]
    for item in objects:
        item.ds.PatientSex, item.ds.PatientSize, item.ds.PatientWeight = "M", "1.80", "80"
    return objects


@pytest.fixture
def analyse(tmp_path):
    """A function from a dataset and an engine to the dataset's analysis."""

    def run(ds, engine, *, routing=None):
        path = tmp_path / f"{ds.SOPInstanceUID}.dcm"
        pydicom.dcmwrite(path, ds, enforce_file_format=True)
        rules = Rules(routing=routing or Routing(), max_frames=80)
        return analyse_clip(
            path, SOPInstanceUID=ds.SOPInstanceUID, StudyInstanceUID=STUDY, engine=engine, rules=rules
        )

    return run


def values(analysis) -> dict:
    return {(m.quantity, m.method): m.value for m in analysis.measurements}


def true_mm(clip, first, second, frame) -> float:
    apart = (clip.landmarks[first][frame] - clip.landmarks[second][frame]) * np.array(clip.spacing_mm)
    return float(np.linalg.norm(apart))


def summary(clips, engine):
    return summarise_study(STUDY, clips, revision=1, engine=engine, made_at=START)


def test_a_long_axis_gives_its_walls(analyse, exam):
    plax = exam[0]
    result = analyse(plax.ds, KnowingEngine(exam))
    assert result.outcome is None
    assert result.body == Body(sex=Sex.MALE, height_m=1.8, weight_kg=80.0)
    found = {quantity: value for (quantity, _), value in values(result).items()}
    assert tuple(found) == WALLS
    for quantity, first, second, frame in (
        (Quantity.IVSD, WallPoint.SEPTUM_OUTER, WallPoint.SEPTUM_INNER, plax.clip.ed_frame),
        (Quantity.LVIDD, WallPoint.SEPTUM_INNER, WallPoint.POSTERIOR_INNER, plax.clip.ed_frame),
        (Quantity.LVPWD, WallPoint.POSTERIOR_INNER, WallPoint.POSTERIOR_OUTER, plax.clip.ed_frame),
        (Quantity.LVIDS, WallPoint.SEPTUM_INNER, WallPoint.POSTERIOR_INNER, plax.clip.es_frame),
    ):
        assert found[quantity] == pytest.approx(true_mm(plax.clip, first, second, frame), abs=1.0), quantity
    assert result.segmentations == ()
    assert {n - 1 for n in result.cycle} == set(shown_frames(result, plax.ds.NumberOfFrames))
    assert set(result.cycle) <= {landmarks.frame_number for landmarks in result.landmarks}


def test_a_study_has_mass_and_geometry_of_its_long_axis(analyse, exam):
    engine = KnowingEngine(exam)
    clips = [analyse(item.ds, engine) for item in exam]
    study = summary(clips, engine)
    found = {m.quantity: m.value for m in study.measurements}
    assert 50 < found[Quantity.LV_MASS] < 400
    assert found[Quantity.LV_RWT] == pytest.approx(2 * found[Quantity.LVPWD] / found[Quantity.LVIDD])
    assert [f.quantity for f in study.findings] == [Quantity.LV_GEOMETRY]
    assert isinstance(study.findings[0].value, Geometry)
    assert not [n for n in study.not_measured if n.quantity in (*WALLS, *MASS)]


def test_all_of_it_reads_back_from_the_report(analyse, exam):
    engine = KnowingEngine(exam, ef=15.0)
    study = summary([analyse(item.ds, engine) for item in exam], engine)
    sources = {item.ds.SOPInstanceUID: normalise(item.ds) for item in exam}
    reading = read_report(build_reports(study, sources)[-1].content)
    assert [(m.quantity, m.method, m.view) for m in reading.measurements] == [
        (m.quantity, m.method, m.view) for m in study.measurements
    ]
    for sent, m in zip(reading.measurements, study.measurements, strict=True):
        assert sent.value == pytest.approx(m.value, abs=1e-3)
    assert reading.findings == study.findings
    assert set(reading.not_measured) == set(study.not_measured)


def test_without_body_size_geometry_says_why(analyse, exam):
    ds = copy.deepcopy(exam[0].ds)
    del ds.PatientSize
    engine = KnowingEngine(exam)
    study = summary([analyse(ds, engine)], engine)
    assert {n.quantity: n.reason for n in study.not_measured if n.view is View.PLAX} == {
        Quantity.LV_MASS_INDEX: Reason.NO_BODY_SIZE,
        Quantity.LV_GEOMETRY: Reason.NO_BODY_SIZE,
    }
    assert study.findings == ()


def test_an_apical_clip_has_the_learned_ef_beside_the_disks(analyse, exam):
    a4c = exam[1]
    plain = analyse(a4c.ds, KnowingEngine(exam, estimates_ejection=False))
    result = analyse(a4c.ds, KnowingEngine(exam))
    assert values(plain).items() < values(result).items()
    assert values(result)[Quantity.LVEF, Method.LEARNED] == pytest.approx(55.0)
    assert result.estimate.ed_frame == a4c.clip.ed_frame + 1
    assert result.not_measured == ()
    assert plain.estimate is None


def test_two_methods_that_disagree_are_said_in_the_study(analyse, exam):
    engine = KnowingEngine(exam, ef=15.0)
    study = summary([analyse(exam[1].ds, engine)], engine)
    assert len([m for m in study.measurements if m.quantity is Quantity.LVEF]) == 2
    assert [(n.reason, n.view) for n in study.not_measured if n.quantity is Quantity.LVEF_COMBINED] == [
        (Reason.DISAGREEMENT, View.A4C)
    ]


def test_an_uncalibrated_long_axis_is_not_measured(analyse, exam):
    ds = copy.deepcopy(exam[0].ds)
    del ds.SequenceOfUltrasoundRegions
    result = analyse(ds, KnowingEngine(exam))
    assert result.outcome is Reason.NO_CALIBRATION
    assert {n.quantity for n in result.not_measured} == set(WALLS)


def test_an_engine_without_the_head_measures_no_walls_and_misses_none(analyse, exam):
    engine = KnowingEngine(exam, finds_walls=False)
    result = analyse(exam[0].ds, engine)
    assert result.outcome is Reason.NO_HEAD_IN_ENGINE
    study = summary([result], engine)
    assert not {n.quantity for n in study.not_measured} & {*WALLS, *MASS}


def test_a_site_can_switch_the_head_off(analyse, exam):
    routing = Routing(disabled={View.PLAX: (Head.HYPERTROPHY,)})
    assert analyse(exam[0].ds, KnowingEngine(exam), routing=routing).outcome is Reason.NO_HEAD_FOR_VIEW


def test_a_site_can_switch_segmentation_off(analyse, exam):
    engine = KnowingEngine(exam)
    routing = Routing(disabled={View.A4C: (Head.SEGMENTATION,)})
    result = analyse(exam[1].ds, engine, routing=routing)
    assert (result.segmentations, result.measurements) == ((), ())
    assert result.outcome is Reason.NO_HEAD_FOR_VIEW
    reasons = {n.quantity: n.reason for n in summary([result], engine).not_measured if n.view is None}
    assert reasons == dict.fromkeys(EJECTION, Reason.VIEW_MISSING)


def test_a_study_without_a_long_axis_says_so(analyse, exam):
    engine = KnowingEngine(exam)
    study = summary([analyse(exam[1].ds, engine)], engine)
    reasons = {n.quantity: n.reason for n in study.not_measured if n.view is View.PLAX}
    assert reasons == dict.fromkeys((*WALLS, *MASS), Reason.VIEW_MISSING)
