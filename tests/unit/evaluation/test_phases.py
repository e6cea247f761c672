"""End diastole and end systole that are found, beside those that are labelled."""

from dataclasses import replace

import numpy as np
import pytest

from echo_node.codes import Quantity, Reason, View
from echo_node.evaluation.cases import Figure, Labels
from echo_node.evaluation.details import details
from echo_node.evaluation.phantoms import phantoms
from echo_node.evaluation.phases import every_phase, from_curve, from_estimate
from echo_node.evaluation.readings import Way
from echo_node.records import DiameterCurve, NotMeasured, VolumeCurve
from tests.unit.evaluation import builders

TIMES = np.arange(50) * 40.0  # hardly two beats
VOLUMES = 90 + 30 * np.cos(2 * np.pi * TIMES / 1040)  # ED on frames 1 and 27, ES on 14 and 40
BOTH = Labels(patient="a", ed_frame=1, es_frame=14, ed_frames=(1, 27), es_frames=(14, 40))
ONE = Labels(patient="a", ed_frame=27, es_frame=40)


@pytest.fixture(scope="module")
def clip():
    case = next(iter(phantoms((View.PLAX,), patients=1, seed=7).cases))
    return replace(case.clip, frame_numbers=tuple(range(1, 51)))


def curve(ed, es, kind=VolumeCurve):
    values = {"volumes_ml" if kind is VolumeCurve else "diameters_mm": VOLUMES}
    return kind(**values, times_ms=TIMES, ed_frame=ed, es_frame=es)


def errors(readings):
    return {r.figure: None if r.found is None else r.error for r in readings}


def test_a_true_curve_has_an_end_diastole_before_and_after_each_end_systole():
    ed, es = every_phase(VOLUMES, TIMES)
    assert ed.tolist() == [0, 26]
    assert es.tolist() == [13, 39]
    cut_ed, cut_es = every_phase(VOLUMES[2:40], TIMES[2:40])  # from after an end diastole to an end systole
    assert cut_ed.tolist() == [0, 24]
    assert cut_es.tolist() == [11, 37]
    early_ed, _ = every_phase(VOLUMES[6:40], TIMES[6:40])
    assert early_ed.tolist() == [20]
    assert [len(found) for found in every_phase(VOLUMES[:12], TIMES[:12])] == [0, 0]


def test_while_the_heart_is_isovolumic_every_frame_is_end_diastole_or_end_systole():
    volumes = np.clip(VOLUMES, 64, 116)
    ed, es = every_phase(volumes, TIMES)
    assert ed.tolist() == [0, 1, 2, 24, 25, 26, 27, 28, 49]  # the last is cut, and nearly one
    assert es.tolist() == [11, 12, 13, 14, 15, 37, 38, 39, 40, 41]
    assert volumes[es].max() < volumes.min() + 0.6


@pytest.mark.parametrize("kind", [VolumeCurve, DiameterCurve])
def test_what_was_measured_is_judged_by_the_nearest_labelled_beat(clip, kind):
    readings = from_curve(BOTH, Way.A4C, clip, curve(29, 39, kind), ())
    assert errors(readings) == {Figure.ED_FRAME: 2, Figure.ES_FRAME: -1}


def test_where_one_beat_is_labelled_the_nearest_that_was_found_is_judged(clip):
    readings = from_curve(ONE, Way.A4C, clip, curve(1, 14), ())
    assert errors(readings) == {Figure.ED_FRAME: 0, Figure.ES_FRAME: 0}


def test_without_a_beat_none_is_found_and_without_a_label_none_is_judged(clip):
    missing = NotMeasured(quantity=Quantity.LVEF, reason=Reason.NO_FULL_CYCLE, detail="")
    assert errors(from_curve(ONE, Way.A4C, clip, None, [missing])) == {Figure.ED_FRAME: None, Figure.ES_FRAME: None}
    assert from_curve(Labels(patient="a"), Way.A4C, clip, curve(1, 14), ()) == ()


def test_an_estimate_of_any_beat_is_judged_only_where_every_beat_is_labelled():
    assert errors(from_estimate(BOTH, Way.HEAD, None, "why")) == {Figure.ED_FRAME: None, Figure.ES_FRAME: None}
    assert errors(from_estimate(BOTH, Way.HEAD, (25, 42))) == {Figure.ED_FRAME: -2, Figure.ES_FRAME: 2}
    assert from_estimate(ONE, Way.HEAD, (1, 13)) == ()


def test_phantoms_know_every_beat_and_the_details_tell_the_error_in_frames(clip):
    truth = builders.heart(View.A4C)
    ed, es = every_phase(truth.volumes_ml, truth.times_ms)
    assert truth.es_frame in es
    assert truth.ed_frame in ed
    rows = details((), (), from_curve(BOTH, Way.A4C, clip, curve(29, 39), ()))
    told = {(row.task, row.name, row.measure): row.estimate.value for row in rows}
    assert told["phase", "ED, disks, A4C", "MAE, frames"] == 2
    assert told["phase", "ES, disks, A4C", "bias, frames"] == -1
    assert not any(measure == "correlation" for _, _, measure in told)
