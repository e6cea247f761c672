"""The picture is ultrasound: speckle statistics, point spread, motion, compression."""

from dataclasses import replace

import array_api_compat.numpy as xp
import numpy as np
import pytest

from echo_node.codes import Structure, View
from echo_node.phantom import acoustics, sample_patient, simulate_clip, tissue
from echo_node.phantom.anatomy import fields
from echo_node.phantom.heart import moment
from echo_node.phantom.look import Look, sample_look
from echo_node.phantom.planes import Plane, sample_plane

_SHAPE = (256, 128)


def _grid(seed: int = 0) -> tuple[acoustics.Beams, Look]:
    rng = np.random.default_rng(seed)
    plain = replace(sample_look(rng), shadows=(), patches=(), texture_db=0.0)
    plane = Plane(np.zeros(3), np.array([0.0, 0, 1]), np.array([1.0, 0, 0]), 160.0)
    return acoustics.beams(xp, plane, plain, shape=_SHAPE, rng=rng, salt=3), plain


def test_speckle_is_fully_developed() -> None:
    ratios = []
    for seed in range(4):
        grid, _ = _grid(seed)
        envelope = np.sqrt(
            acoustics.envelope_power(xp, grid, acoustics.hashed(xp, grid.table, grid.points, salt=seed))
        )[40:-20, 12:-12]
        ratios.append(envelope.mean() / envelope.std())
    assert np.mean(ratios) == pytest.approx(1.91, abs=0.08)


def test_a_point_is_spread_as_wide_as_the_beam() -> None:
    grid, look = _grid()
    point = np.zeros((2, *_SHAPE), np.float32)
    row = int(look.focus * _SHAPE[0])
    point[:, row, 64] = 1.0
    power = acoustics.envelope_power(xp, grid, point)
    line = power[row]
    angle = 2 * look.half_angle / (_SHAPE[1] - 1)
    width = np.count_nonzero(line > line.max() / 4) * angle  # power of a quarter is half the amplitude
    assert width == pytest.approx(look.apodisation * look.wavelength_mm / acoustics.APERTURE_MM, rel=0.5)


def test_scatterers_are_the_same_wherever_they_have_moved() -> None:
    grid, _ = _grid()
    steps = acoustics.CELL_MM * np.array([3, -2, 5], np.float32)
    centred = (np.floor(grid.points / acoustics.CELL_MM) + 0.5) * np.float32(acoustics.CELL_MM)
    first = acoustics.hashed(xp, grid.table, centred, salt=1)
    back = acoustics.hashed(xp, grid.table, centred + steps[:, None, None] - steps[:, None, None], salt=1)
    other = acoustics.hashed(xp, grid.table, centred + steps[:, None, None], salt=1)
    assert np.mean(first == back) > 0.99
    assert np.mean(first == other) < 0.01


def test_grey_levels_follow_gain() -> None:
    grid, look = _grid()
    echo = acoustics.hashed(xp, grid.table, grid.points, salt=2)
    dark = acoustics.compressed(xp, grid, echo, replace(look, white_db=look.white_db + 10), frame=0)
    bright = acoustics.compressed(xp, grid, echo, look, frame=0)
    assert bright.mean() > dark.mean()
    assert 0 <= bright.min() <= bright.max() <= 1.0001


def test_blood_is_darker_than_muscle() -> None:
    gaps = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        clip = simulate_clip(sample_patient(rng), View.PSAX_PM, rng=rng, frames=1)
        frame = clip.frames[0].astype(float)
        muscle, cavity = (frame[clip.masks[s][0]].mean() for s in (Structure.LV_MYOCARDIUM, Structure.LV_CAVITY))
        gaps.append(muscle - cavity)
    assert np.mean(gaps) > 25


def test_torch_renders_what_numpy_renders() -> None:
    """Same scatterers, same picture, but for cells whose edge a rounding crosses."""
    torch_namespace = pytest.importorskip("array_api_compat.torch")
    patient = sample_patient(np.random.default_rng(1))
    host, device = (
        simulate_clip(patient, View.A4C, rng=np.random.default_rng(2), frames=2, xp=namespace)
        for namespace in (xp, torch_namespace)
    )
    off = np.abs(host.frames.astype(int) - device.frames)
    assert off.mean() < 0.1  # grey levels
    assert np.mean(off > 2) < 0.01
    for structure, mask in host.masks.items():
        assert np.mean(mask != device.masks[structure]) < 1e-4


def _septum_left(view: View, seed: int) -> float:
    """Mean amplitude that a plane leaves between the atria."""
    rng = np.random.default_rng(seed)
    heart = moment(sample_patient(rng), 0.4)
    look = replace(sample_look(rng), septum_db=-30.0, septum_mm=3.0)
    plane = sample_plane(view, heart, rng, straying=0.0)
    grid = acoustics.beams(xp, plane, look, shape=_SHAPE, rng=rng, salt=1)
    solids = fields(xp, grid.points, heart)
    incidence = {name: tissue._square(xp, grid, getattr(solids, name)) for name in ("la", "ra")}
    left = tissue._atrial_septum(xp, grid.points, solids, heart, look, incidence)
    between = (solids.la > 0) & (solids.la < 4) & (solids.ra > 0) & (solids.ra < 4)
    behind = grid.points[2] < heart.base - 9
    return float(left[between & behind].mean())


def test_the_atrial_septum_is_lost_where_the_beam_runs_along_it() -> None:
    along = np.mean([_septum_left(View.A4C, seed) for seed in range(4)])
    across = np.mean([_septum_left(View.SUBCOSTAL_4C, seed) for seed in range(4)])
    assert along < 0.3
    assert across > 0.45
