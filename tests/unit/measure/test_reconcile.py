"""The learned EF beside the method of disks."""

from dataclasses import replace

import pytest

from echo_node.codes import Method, Quantity, Reason, Unit, View
from echo_node.measure.biplane import measure_biplane
from echo_node.measure.plausibility import Fault
from echo_node.measure.reconcile import METHODS_APART, explained, refuse_estimate, report_estimate
from echo_node.measure.results import EjectionResult, nothing
from echo_node.measure.single_plane import measure_clip
from echo_node.records import EjectionEstimate
from tests.unit.measure.test_ejection import analysed, clip_and_cavity


@pytest.fixture(scope="module")
def disks() -> EjectionResult:
    clip, cavity = clip_and_cavity()
    return measure_clip(clip, cavity, View.A4C)


def estimate(ef: float, *, uncertainty: float = 4.0) -> EjectionEstimate:
    return EjectionEstimate(SOPInstanceUID="1.2.3", ef=ef, uncertainty=uncertainty, ed_frame=1, es_frame=9)


def test_both_are_reported_each_by_its_method(disks):
    result = report_estimate(estimate(55.0), disks, View.A4C)
    assert result.measurements[:-1] == disks.measurements
    learned = result.measurements[-1]
    assert (learned.quantity, learned.method, learned.unit) == (Quantity.LVEF, Method.LEARNED, Unit.PERCENT)
    assert (learned.value, learned.uncertainty, learned.view) == (55.0, 4.0, View.A4C)
    assert learned.sources[0].frame_numbers == (1, 9)
    assert result.not_measured == ()
    assert result.curve is disks.curve


def test_a_disagreement_is_said_and_nothing_is_averaged(disks):
    result = report_estimate(estimate(30.0), disks, View.A4C)
    assert [m.value for m in result.measurements if m.quantity is Quantity.LVEF] == [
        disks.measurements[0].value,
        30.0,
    ]
    (said,) = result.not_measured
    assert (said.quantity, said.reason, said.view) == (Quantity.LVEF_COMBINED, Reason.DISAGREEMENT, View.A4C)
    assert "30 %" in said.detail


def test_uncertainties_explain_part_of_a_difference(disks):
    far = disks.measurements[0].value - 18
    assert report_estimate(estimate(far, uncertainty=2.0), disks, View.A4C).not_measured
    assert not report_estimate(estimate(far, uncertainty=9.0), disks, View.A4C).not_measured
    assert explained(None, None) == METHODS_APART
    assert explained(3.0, 4.0) == pytest.approx((METHODS_APART**2 + 10**2) ** 0.5)


@pytest.mark.parametrize(
    ("ef", "uncertainty", "reason"),
    [
        (99.0, 4.0, Reason.IMPLAUSIBLE),
        (2.0, 4.0, Reason.IMPLAUSIBLE),
        (55.0, 20.0, Reason.LOW_QUALITY),
        (55.0, float("nan"), Reason.LOW_QUALITY),
    ],
)
def test_an_estimate_that_cannot_be_believed_is_not_measured(disks, ef, uncertainty, reason):
    result = report_estimate(estimate(ef, uncertainty=uncertainty), disks, View.A2C)
    assert result.measurements == disks.measurements
    (said,) = result.not_measured
    assert (said.quantity, said.reason, said.method) == (Quantity.LVEF, reason, Method.LEARNED)


def test_without_disks_the_estimate_stands_alone():
    result = report_estimate(estimate(40.0), nothing(Fault(Reason.IMPLAUSIBLE, "EF of 3 %"), View.A4C), View.A4C)
    assert [m.method for m in result.measurements] == [Method.LEARNED]
    assert {n.method for n in result.not_measured} == {Method.DISKS_SINGLE_PLANE}


def test_without_a_beat_there_is_no_estimate():
    result = refuse_estimate(nothing(Fault(Reason.NO_FULL_CYCLE, "no systole"), View.A4C), View.A4C)
    assert [(n.reason, n.method) for n in result.not_measured if n.quantity is Quantity.LVEF] == [
        (Reason.NO_FULL_CYCLE, Method.DISKS_SINGLE_PLANE),
        (Reason.NO_FULL_CYCLE, Method.LEARNED),
    ]


def test_biplane_goes_by_the_disks_alone():
    clips = [analysed(View.A4C), analysed(View.A2C)]
    with_estimate = []
    for clip in clips:
        plain = EjectionResult(curve=clip.curve, measurements=clip.measurements)
        result = report_estimate(estimate(20.0), plain, View.A4C)
        with_estimate.append(replace(clip, measurements=result.measurements[::-1]))
    assert measure_biplane(with_estimate).measurements == measure_biplane(clips).measurements
    only = [replace(c, measurements=c.measurements[:1]) for c in with_estimate]  # the estimate alone
    assert {n.reason for n in measure_biplane(only).not_measured} == {Reason.VIEW_MISSING}
