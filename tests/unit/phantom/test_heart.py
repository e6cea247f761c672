"""The solids hold the volumes that the patient has, and the wall keeps its own."""

import numpy as np
import numpy.typing as npt
import pytest

from echo_node.phantom.anatomy import fields
from echo_node.phantom.heart import OFF_SEPTUM, Condition, Patient, filling, moment, sample_patient, systole_share
from echo_node.phantom.warp import warp_of

Host = npt.NDArray[np.float32]

_STEP = 1.0  # mm


def _patients(count: int) -> list[Patient]:
    rng = np.random.default_rng(4)
    return [sample_patient(rng) for _ in range(count)]


def _grid() -> Host:
    axes = np.arange(-85, 85, _STEP), np.arange(-30, 150, _STEP)
    return np.stack(np.meshgrid(axes[0], axes[0], axes[1], indexing="ij")).astype(np.float32)


def _volumes_ml(patient: Patient, phase: float, points: Host) -> tuple[float, float]:
    """Cavity and muscle by counting voxels of the warped solid."""
    now = moment(patient, phase)
    x, y, z = (points[i] for i in range(3))
    near = (np.abs(x) < 70) & (np.abs(y) < 70) & (z > -10) & (z < now.length_ed + 25)
    warped = warp_of(patient.speckle, now.length_ed).to_solid(np, points[:, near].astype(np.float32))
    solids = fields(np, warped, now)
    cavity = float(np.count_nonzero(solids.endocardium < 0)) * _STEP**3 / 1000
    muscle = float(np.count_nonzero((solids.epicardium < 0) & (solids.endocardium >= 0))) * _STEP**3 / 1000
    return cavity, muscle


def test_volumes_of_the_warped_solid_are_the_patients() -> None:
    points = _grid()
    for patient in _patients(2):
        end = systole_share(patient.heart_rate)
        edv, wall_ed = _volumes_ml(patient, 0.0, points)
        esv, wall_es = _volumes_ml(patient, end, points)
        assert edv == pytest.approx(patient.edv_ml, rel=0.02)
        assert esv == pytest.approx(patient.esv_ml, rel=0.02)
        assert wall_es == pytest.approx(wall_ed, rel=0.02)


def test_wall_thickens_and_base_descends_while_the_heart_ejects() -> None:
    for patient in _patients(20):
        rest, empty = moment(patient, 0.0), moment(patient, systole_share(patient.heart_rate))
        assert empty.wall > rest.wall
        assert empty.base > rest.base
        assert rest.wall == pytest.approx(patient.wall_mm, rel=0.01)


def test_beat_runs_from_full_to_empty_and_back() -> None:
    for rate in (45.0, 80.0, 120.0):
        levels = [filling(phase, rate) for phase in np.linspace(0, 1, 101)]
        assert levels[0] == pytest.approx(1.0)
        assert min(levels) == pytest.approx(0.0, abs=0.02)
        assert levels[-1] == pytest.approx(1.0, abs=0.01)
        assert 0.2 < systole_share(rate) < 0.65


def test_patients_stay_in_range_and_what_is_fixed_stays_fixed() -> None:
    rng = np.random.default_rng(1)
    patients = [sample_patient(rng) for _ in range(300)]
    assert all(10 <= p.ef <= 75 and 46 <= p.edv_ml <= 300 for p in patients)
    assert all(6 <= p.wall_mm <= 22 and 45 <= p.heart_rate <= 140 for p in patients)
    assert np.ptp([p.ef for p in patients]) > 45
    assert sample_patient(rng, ef=33.0).ef == 33.0


def test_conditions_are_what_they_are_called() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        septal = moment(sample_patient(rng, Condition.SEPTAL), 0.0)
        off = np.array(septal.lean)
        assert septal.wall - off @ OFF_SEPTUM > 0
        thick, thin = septal.wall + off @ OFF_SEPTUM, septal.wall - off @ OFF_SEPTUM
        assert thick > 1.2 * thin, "the septum is thicker than the wall across from it"
        still = sample_patient(rng, Condition.REGIONAL, akinesia=1.0, asymmetry=0.0)
        away = np.array([np.cos(np.deg2rad(still.akinetic_deg)), np.sin(np.deg2rad(still.akinetic_deg))])
        ed, es = moment(still, 0.0), moment(still, systole_share(still.heart_rate))
        moves = [now.radius + side * float(np.array(now.lean) @ away) for side in (1, -1) for now in (ed, es)]
        assert moves[0] - moves[1] < moves[2] - moves[3], "the still wall moves in less than the other"
    assert sample_patient(rng, Condition.DILATED).edv_ml >= 150
    assert sample_patient(rng, Condition.CONCENTRIC).wall_mm >= 12


def test_warp_has_an_exact_inverse() -> None:
    warp = warp_of(7, 90.0)
    for place in np.random.default_rng(0).uniform(-40, 100, (20, 3)):
        there = warp.to_solid(np, warp.to_body(place))
        assert there == pytest.approx(place, abs=1e-9)
