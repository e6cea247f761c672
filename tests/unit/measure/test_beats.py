"""End diastole and end systole of curves whose answer is known."""

import numpy as np
import pytest

from echo_node.measure.beats import find_beats, scatter, smooth


def curve(times_ms, *, rate=60.0, edv=120.0, esv=50.0, phase=0.0):
    """A ventricle that empties over a third of the beat, fills fast, and rests."""
    beat = (times_ms / 60000 * rate + phase) % 1.0
    empty = np.where(
        beat < 0.35,
        np.sin(np.pi / 2 * beat / 0.35) ** 2,
        np.cos(np.pi / 2 * np.clip((beat - 0.35) / 0.3, 0, 1)) ** 2,
    )
    return edv - (edv - esv) * empty


@pytest.mark.parametrize("rate", [45, 60, 90, 120])
@pytest.mark.parametrize("frame_ms", [11.0, 20.0, 40.0])
def test_ed_and_es_do_not_depend_on_the_frame_rate(rate, frame_ms):
    times = np.arange(0, 2.2 * 60000 / rate, frame_ms)
    beats = find_beats(curve(times, rate=rate), times)
    assert len(beats) == 2
    for beat in beats:
        assert abs(times[beat.es] % (60000 / rate) - 0.35 * 60000 / rate) <= frame_ms
        assert beat.edv == pytest.approx(120, abs=1)
        assert beat.ejection_fraction == pytest.approx(100 * 70 / 120, abs=2)


def test_a_clip_that_starts_in_mid_systole_takes_the_end_diastole_after_it():
    times = np.arange(0, 1400, 20.0)
    beats = find_beats(curve(times, phase=0.2), times)
    assert beats[0].ed > beats[0].es
    assert beats[0].edv == pytest.approx(120, abs=1)


@pytest.mark.parametrize(("start", "stop"), [(0, 320), (360, 640)])
def test_half_a_cycle_has_no_beat(start, stop):
    times = np.arange(start, stop, 20.0)
    assert find_beats(curve(times), times) == ()


def test_a_flat_curve_has_no_beat():
    assert find_beats(np.full(30, 100.0), np.arange(30) * 20.0) == ()


def test_a_mask_that_wavers_on_what_is_no_heart_has_no_beat():
    """A cyst between two layers of tissue, outlined as a ventricle of 200 ml: it fell within 80 ms."""
    wavering = np.array([199, 202, 197, 183, 192, 195, 180, 187, 187, 180, 189, 187], np.float64)
    assert find_beats(wavering, np.arange(12) * 40.0) == ()


@pytest.mark.parametrize("rate", [160, 200])
def test_the_fastest_heart_has_its_beats(rate):
    times = np.arange(0, 1500, 16.7)
    assert len(find_beats(curve(times, rate=rate), times)) >= 3


@pytest.mark.parametrize("rate", [45, 100, 160])
@pytest.mark.parametrize("frame_ms", [11.0, 33.3, 50.0])
def test_a_heart_moves_by_more_than_its_curve_jumps(rate, frame_ms):
    times = np.arange(0, 2.2 * 60000 / rate, frame_ms)
    assert 5 * scatter(curve(times, rate=rate), times) < 70


def test_scatter_is_the_deviation_of_a_frame_s_own_error():
    rng = np.random.default_rng(2)
    times = np.cumsum(rng.uniform(10, 30, 4000))
    assert scatter(50 + 0.03 * times, times) == pytest.approx(0, abs=1e-9)
    assert scatter(rng.normal(100, 3, 4000), times) == pytest.approx(3, rel=0.05)


def test_smoothing_keeps_a_line_and_takes_noise_off():
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(10, 30, 80))
    line = 50 + 0.03 * times
    np.testing.assert_allclose(smooth(line, times), line, atol=1e-8)
    noisy = line + rng.normal(0, 2, 80)
    assert np.std(smooth(noisy, times) - line) < 0.8 * np.std(noisy - line)
