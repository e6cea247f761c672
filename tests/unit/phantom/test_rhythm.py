"""Beats follow each other as their rhythm says."""

import numpy as np
import pytest

from echo_node.phantom.heart import Rhythm, moment, sample_patient
from echo_node.phantom.rhythm import beats

TIMES = np.arange(0, 4000, 10.0)


def _volumes(rhythm: Rhythm, seed: int = 0) -> tuple[np.ndarray, float, float]:
    rng = np.random.default_rng(seed)
    patient = sample_patient(rng, ef=50.0, edv_ml=100.0, heart_rate=75.0, rhythm=rhythm)
    when = beats(TIMES, patient, start=0.0, rng=rng)
    shapes = [moment(patient, p, level=v) for p, v in zip(when.phases, when.levels, strict=True)]
    return np.array([50 + 50 * s.filling for s in shapes]), patient.beat_ms, float(when.levels.min())


def test_a_regular_heart_repeats_itself() -> None:
    volumes, beat_ms, lowest = _volumes(Rhythm.REGULAR)
    assert beat_ms == pytest.approx(800)
    assert volumes[:80] == pytest.approx(volumes[80:160], abs=0.01)
    assert lowest == 1.0


@pytest.mark.parametrize("rhythm", [Rhythm.ECTOPIC, Rhythm.FIBRILLATION])
def test_an_early_beat_ejects_less_and_nothing_jumps(rhythm: Rhythm) -> None:
    for seed in range(5):
        volumes, _, lowest = _volumes(rhythm, seed)
        assert np.abs(np.diff(volumes)).max() < 5, "ml in 10 ms"
        assert volumes.min() == pytest.approx(50, abs=0.5)
        assert volumes.max() <= 100 + 1e-9
        peaks = volumes[1:-1][(volumes[1:-1] > volumes[:-2]) & (volumes[1:-1] >= volumes[2:])]
        assert lowest < 1.0
        assert lowest > 0.97 or peaks.min() < 99


def test_where_a_beat_starts_is_where_it_is_asked_to() -> None:
    rng = np.random.default_rng(1)
    patient = sample_patient(rng, rhythm=Rhythm.REGULAR)
    for start in (-0.08, 0.0, 0.3):
        when = beats(TIMES, patient, start=start, rng=rng)
        assert when.phases[0] == pytest.approx(start % 1.0)


def test_every_rhythm_is_drawn() -> None:
    rng = np.random.default_rng(0)
    drawn = [sample_patient(rng).rhythm for _ in range(300)]
    assert set(drawn) == set(Rhythm)
    assert len(Rhythm) == 3
    assert drawn.count(Rhythm.REGULAR) > 200
