"""Walls and diameters from points whose distances are known."""

from dataclasses import replace

import numpy as np
import pytest

from echo_node.codes import ImageMode, Method, Quantity, Reason, Unit, View, WallPoint
from echo_node.measure.results import WALLS
from echo_node.measure.walls import measure_walls
from echo_node.records import Clip, Landmarks
from tests.unit.measure.test_beats import curve

TIMES = np.arange(0, 1400, 40.0)  # one beat of a second, and the next one's start
UID = "1.2.3"


def clip(*, spacing=(0.5, 0.5), times=TIMES):
    numbers = tuple(range(11, 11 + len(TIMES)))  # the middle of a longer clip
    return Clip(
        SOPInstanceUID=UID,
        frames=np.zeros((len(TIMES), 4, 4), np.uint8),
        frame_numbers=numbers,
        times_ms=times,
        spacing_mm=spacing,
        sector=np.ones((4, 4), bool),
        mode=ImageMode.TWO_D,
        NumberOfFrames=60,
    )


def points(
    *, septum=10.0, cavity=48.0, systolic=30.0, posterior=9.0, spacing=(0.5, 0.5), tilt=0.4, probability=0.9
):
    """Points on a tilted line: the cavity goes from ``cavity`` to ``systolic`` mm, walls stay."""
    diameters = curve(TIMES, edv=cavity, esv=systolic)
    found = []
    for number, diameter in zip(clip().frame_numbers, diameters, strict=True):
        along = np.cumsum([20.0, septum, diameter, posterior])  # mm down the line
        rows, cols = along * np.cos(tilt) / spacing[0], 100 + along * np.sin(tilt) / spacing[1]
        places = tuple(zip(WallPoint, rows.tolist(), cols.tolist(), strict=True))
        found.append(Landmarks(SOPInstanceUID=UID, frame_number=number, points=places, probability=probability))
    return tuple(found)


def values(result) -> dict:
    return {m.quantity: m.value for m in result.measurements}


def reasons(result) -> set:
    assert [n.quantity for n in result.not_measured] == list(WALLS)
    return {n.reason for n in result.not_measured}


@pytest.mark.parametrize("spacing", [(0.5, 0.5), (0.3, 0.8)])
@pytest.mark.parametrize("tilt", [0.0, 0.4, 1.2])
def test_a_tilted_line_has_its_lengths_whatever_the_pixels_shape(spacing, tilt):
    result = measure_walls(clip(spacing=spacing), points(spacing=spacing, tilt=tilt))
    found = values(result)
    assert found[Quantity.IVSD] == pytest.approx(10, abs=1e-6)
    assert found[Quantity.LVPWD] == pytest.approx(9, abs=1e-6)
    assert found[Quantity.LVIDD] == pytest.approx(48, abs=0.3)
    assert found[Quantity.LVIDS] == pytest.approx(30, abs=0.8)


def test_each_number_says_how_and_where_it_was_read_off():
    result = measure_walls(clip(), points())
    ed, es = result.diameters.ed_frame, result.diameters.es_frame
    assert TIMES[es - 11] % 1000 == pytest.approx(350, abs=40)
    assert ed != es
    for m in result.measurements:
        assert (m.method, m.view, m.unit) == (Method.DIRECT, View.PLAX, Unit.MILLIMETRE)
        assert (es if m.quantity is Quantity.LVIDS else ed) in m.sources[0].frame_numbers
    assert {found.frame_number for found in result.landmarks} == {
        number for m in result.measurements for number in m.sources[0].frame_numbers
    }


def test_several_beats_are_averaged():
    times = np.arange(len(TIMES)) * 65.0  # two beats of a second
    found = list(points())
    diameters = np.where(times < 350, curve(times, edv=48, esv=30), curve(times, edv=44, esv=30))
    for i, diameter in enumerate(diameters):
        rows = np.cumsum([20, 10, diameter, 9]) / 0.5
        found[i] = replace(found[i], points=tuple((p, row, 0.0) for p, row in zip(WallPoint, rows, strict=True)))
    result = measure_walls(clip(times=times), found)
    (lvidd,) = (m for m in result.measurements if m.quantity is Quantity.LVIDD)
    assert len(lvidd.sources[0].frame_numbers) == 2
    assert lvidd.value == pytest.approx(46, abs=0.7)
    assert lvidd.uncertainty > 1.5  # the two beats differ by 4 mm
    (lvids,) = (m for m in result.measurements if m.quantity is Quantity.LVIDS)
    assert lvids.value == pytest.approx(30, abs=1)


@pytest.mark.parametrize(
    ("of", "found", "reason"),
    [
        (clip(times=None), points(), Reason.NO_TIMING),
        (clip(spacing=None), points(), Reason.NO_CALIBRATION),
        (clip(), points(probability=0.4), Reason.LOW_QUALITY),
        (clip(), points(septum=-4.0), Reason.IMPLAUSIBLE),
        (clip(), points(septum=2.0), Reason.IMPLAUSIBLE),
        (clip(), points(posterior=36.0), Reason.IMPLAUSIBLE),
        (clip(), points(cavity=18.0, systolic=12.0), Reason.IMPLAUSIBLE),
        (clip(), points(cavity=99.0, systolic=80.0), Reason.IMPLAUSIBLE),
        (clip(), points(systolic=48.0), Reason.NO_FULL_CYCLE),
    ],
)
def test_what_cannot_be_believed_is_not_measured(of, found, reason):
    result = measure_walls(of, found)
    assert result.measurements == ()
    assert reasons(result) == {reason}
    assert result.not_measured[0].method is Method.DIRECT
    assert result.not_measured[0].detail


def test_four_frames_hold_no_cycle():
    of, found = clip(), points()
    short = replace(of, frames=of.frames[:4], frame_numbers=of.frame_numbers[:4], times_ms=TIMES[:4])
    assert reasons(measure_walls(short, found[:4])) == {Reason.NO_FULL_CYCLE}


def shaken(found, millimetres, *, seed=0):
    """The same points, each jumping along the line by itself."""
    rng = np.random.default_rng(seed)
    return tuple(
        replace(f, points=tuple((p, row + rng.normal(0, millimetres / 0.5), col) for p, row, col in f.points))
        for f in found
    )


def test_points_that_jump_are_of_low_quality():
    assert reasons(measure_walls(clip(), shaken(points(septum=20, posterior=20, tilt=0.0), 6.0))) == {
        Reason.LOW_QUALITY
    }


def test_scatter_shows_in_the_uncertainty():
    calm = measure_walls(clip(), points(tilt=0.0))
    noisy = measure_walls(clip(), shaken(points(tilt=0.0), 0.7))
    for a, b in zip(calm.measurements, noisy.measurements, strict=True):
        assert b.uncertainty > a.uncertainty
        assert b.value == pytest.approx(a.value, abs=2)


def test_a_frame_whose_points_are_uncertain_is_never_measured_on():
    found = list(points())
    whole = measure_walls(clip(), found)
    worst = whole.diameters.ed_frame - 11
    outer = tuple((p, 0.0, 0.0) for p in WallPoint)
    found[worst] = replace(found[worst], probability=0.1, points=outer)
    result = measure_walls(clip(), found)
    assert all(worst + 11 not in m.sources[0].frame_numbers for m in result.measurements)
    assert values(result)[Quantity.LVIDD] == pytest.approx(values(whole)[Quantity.LVIDD], abs=0.5)
