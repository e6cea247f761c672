"""Clips show their views, and their truth is true."""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from echo_node.codes import ImageMode, Structure, View, WallPoint
from echo_node.measure.volumes import Disks, biplane_volume_ml, disks
from echo_node.phantom import SimulatedClip, sample_patient, sample_screen, simulate_clip, simulate_still
from echo_node.phantom.clips import mirrored
from echo_node.phantom.others import Kind, render
from echo_node.phantom.planes import APICAL, VIEWS

LV, MUSCLE = Structure.LV_CAVITY, Structure.LV_MYOCARDIUM


def _clip(view: View, seed: int = 0, frames: int | None = 2, **kwargs: Any) -> SimulatedClip:
    rng = np.random.default_rng(seed)
    patient = sample_patient(
        rng, edv_ml=120.0, ef=60.0, wall_mm=10.0, asymmetry=0.0, akinesia=0.0, la_ml=50.0, ra_ml=50.0
    )
    return simulate_clip(patient, view, rng=rng, frames=frames, **kwargs)


def _centre(clip: SimulatedClip, structure: Structure) -> npt.NDArray[np.float64]:
    centre: npt.NDArray[np.float64] = np.argwhere(clip.masks[structure][clip.ed_frame]).mean(axis=0)
    return centre


def _disks(clip: SimulatedClip, frame: int) -> Disks:
    assert clip.spacing_mm is not None
    cut = disks(clip.masks[LV][frame], clip.spacing_mm)
    assert cut is not None
    return cut


def _share(clip: SimulatedClip, structure: Structure) -> float:
    return float(clip.masks[structure].mean()) if structure in clip.masks else 0.0


def test_ejection_fraction_of_a_perfect_pair_is_the_solids() -> None:
    errors = []
    for seed in range(8):
        rng = np.random.default_rng([5, seed])
        patient = sample_patient(rng)
        pair = []
        for view in (View.A4C, View.A2C):
            clip = simulate_clip(patient, view, rng=rng, frames=24, size=200, straying=0.0)
            pair.append([_disks(clip, k) for k in (clip.ed_frame, clip.es_frame)])
        edv, esv = (biplane_volume_ml(pair[0][k], pair[1][k]) for k in (0, 1))
        error = abs(100 * (edv - esv) / edv - patient.ef)
        errors.append(error)
        # A nearly empty cavity is some 15 mm wide: planes a millimetre off its axis lose a share of it.
        assert error < (4.5 if patient.esv_ml > 35 else 9)
        assert edv == pytest.approx(patient.edv_ml, rel=0.12)
    assert np.mean(errors) < 2


def test_four_chamber_has_its_chambers_where_a_reader_expects_them() -> None:
    for seed in range(4):
        clip = _clip(View.A4C, seed)
        lv, rv, la, ra = (_centre(clip, s) for s in (LV, Structure.RV, Structure.LA, Structure.RA))
        assert rv[1] < lv[1]  # the left ventricle is on the right of the picture
        assert ra[1] < la[1]
        assert lv[0] < la[0]  # the apex is on top
        assert rv[0] < ra[0]


def test_two_chamber_has_no_right_heart() -> None:
    for seed in range(4):
        clip = _clip(View.A2C, seed)
        assert _share(clip, LV) > 0.03
        assert _centre(clip, LV)[0] < _centre(clip, Structure.LA)[0]
        assert _share(clip, Structure.RA) < 0.005


def test_long_axis_runs_from_apex_left_to_aorta_right() -> None:
    for view in (View.PLAX, View.A3C):
        clip = _clip(view, 2, straying=0.0)
        assert _centre(clip, Structure.AORTIC_ROOT)[1] > _centre(clip, LV)[1]
    plax = _clip(View.PLAX, 2, straying=0.0)
    assert _centre(plax, Structure.LA)[1] > _centre(plax, LV)[1]
    assert _centre(plax, Structure.LA)[0] > _centre(plax, Structure.AORTIC_ROOT)[0]


def test_short_axis_is_round_with_the_right_ventricle_on_the_left() -> None:
    clip = _clip(View.PSAX_PM, 1)
    rows, cols = np.nonzero(clip.masks[LV][clip.ed_frame])
    assert np.ptp(rows) == pytest.approx(np.ptp(cols), rel=0.25)
    assert _centre(clip, Structure.RV)[1] < _centre(clip, LV)[1]


def test_subcostal_heart_lies_on_its_side_right_heart_on_top() -> None:
    clip = _clip(View.SUBCOSTAL_4C, 1)
    assert _centre(clip, Structure.RV)[0] < _centre(clip, LV)[0]
    assert _centre(clip, Structure.LA)[1] < _centre(clip, LV)[1]


@pytest.mark.parametrize("view", VIEWS)
def test_masks_lie_in_the_sector_and_do_not_overlap(view: View) -> None:
    clip = _clip(view, 3)
    assert clip.frames.shape == (2, *clip.sector.shape)
    assert not clip.frames[:, ~clip.sector].any()
    total = np.zeros(clip.frames.shape, int)
    for mask in clip.masks.values():
        assert not (mask & ~clip.sector).any()
        total += mask
    assert np.mean(total > 1) < 0.002


def test_walls_of_the_long_axis_lie_on_the_muscles_borders() -> None:
    for seed in range(3):
        clip = _clip(View.PLAX, seed, size=240)
        outer, inner, far_inner, far_outer = (clip.landmarks[point] for point in WallPoint)  # [T,2]
        for t in range(len(clip.frames)):
            between = (outer[t] + inner[t]) / 2
            inside = (inner[t] + far_inner[t]) / 2
            below = (far_inner[t] + far_outer[t]) / 2
            assert clip.masks[MUSCLE][t][tuple(between.round().astype(int))]
            assert clip.masks[LV][t][tuple(inside.round().astype(int))]
            assert clip.masks[MUSCLE][t][tuple(below.round().astype(int))]
        assert clip.spacing_mm is not None
        wall = np.linalg.norm((outer - inner)[clip.ed_frame]) * clip.spacing_mm[0]
        assert wall == pytest.approx(10.0, rel=0.35)


_SHOWN = {  # what must fill at least 1 % of the picture, and what less than that
    View.RV_INFLOW: ({Structure.RV, Structure.RA}, {LV, Structure.AORTIC_ROOT}),
    View.RV_OUTFLOW: ({Structure.RV, Structure.AORTIC_ROOT}, {LV}),
    View.PSAX_AV: ({Structure.AORTIC_ROOT, Structure.LA, Structure.RV}, {MUSCLE}),
    View.PSAX_MV: ({LV, MUSCLE}, set()),
    View.PSAX_APEX: ({LV, MUSCLE}, {Structure.LA, Structure.RA, Structure.AORTIC_ROOT}),
    View.A4C_RV: ({LV, Structure.RV, Structure.RA}, set()),
    View.A5C: ({LV, MUSCLE, Structure.AORTIC_ROOT}, set()),
    View.SUBCOSTAL_SAX: ({LV, MUSCLE, Structure.RV}, {Structure.LA}),
    View.IVC: ({Structure.RA}, {LV}),
    View.SUPRASTERNAL: (set(), {LV, MUSCLE}),
    View.TEE_SAX: ({Structure.AORTIC_ROOT, Structure.LA, Structure.RV}, {MUSCLE}),
}


@pytest.mark.parametrize("view", _SHOWN)
def test_planes_cut_what_they_are_named_for(view: View) -> None:
    shown, absent = _SHOWN[view]
    for seed in range(3):
        clip = _clip(view, seed, straying=0.0)
        shares = {structure: _share(clip, structure) for structure in Structure}
        assert all(shares[structure] > 0.01 for structure in shown), shares
        assert all(shares[structure] < 0.01 for structure in absent), shares


def test_levels_of_the_short_axis_go_down_to_the_apex() -> None:
    order = (View.PSAX_MV, View.PSAX_CHORDAE, View.PSAX_PM, View.PSAX_APEX)
    for seed in range(3):
        clips = [_clip(view, seed, straying=0.0) for view in order]
        areas = [np.sum(c.masks[LV][c.ed_frame]) * (c.spacing_mm or (0, 0))[0] ** 2 for c in clips]
        assert areas[2] < 1.15 * areas[0]
        assert areas[3] < 0.6 * areas[1]


def test_the_focused_view_brings_the_right_ventricle_to_the_middle() -> None:
    for seed in range(3):
        usual, focused = _clip(View.A4C, seed, straying=0.0), _clip(View.A4C_RV, seed, straying=0.0)
        off = [abs(_centre(c, Structure.RV)[1] / c.sector.shape[1] - 0.5) for c in (usual, focused)]
        assert off[1] < off[0]


def test_a_probe_held_the_other_way_round_takes_the_truth_along() -> None:
    clip = _clip(View.PLAX, 1, straying=0.0)
    turned = mirrored(clip)
    assert (turned.frames == clip.frames[:, :, ::-1]).all()
    assert (turned.masks[LV] == clip.masks[LV][..., ::-1]).all()
    for point in WallPoint:
        row, col = turned.landmarks[point][0]
        assert (row, clip.sector.shape[1] - 1 - col) == pytest.approx(tuple(clip.landmarks[point][0]))
    again = mirrored(turned)
    assert (again.frames == clip.frames).all()
    assert again.landmarks[WallPoint.SEPTUM_INNER] == pytest.approx(clip.landmarks[WallPoint.SEPTUM_INNER])


def test_frames_hold_both_ends_of_the_beat() -> None:
    clip = _clip(View.A4C, frames=None)
    assert clip.patient is not None
    assert clip.volumes_ml[clip.ed_frame] == clip.volumes_ml.max()
    assert clip.volumes_ml[clip.es_frame] == clip.volumes_ml.min()
    area = clip.masks[LV].sum(axis=(1, 2))
    assert area[clip.ed_frame] > 1.2 * area[clip.es_frame]
    assert clip.times_ms[-1] >= 1.15 * clip.patient.beat_ms
    assert clip.ef == 60.0
    assert clip.esv_ml == pytest.approx(48.0)


def test_apical_clips_say_how_foreshortened_they_are() -> None:
    for view in APICAL:
        perfect = _clip(view, 2, straying=0.0).foreshortening
        assert perfect is not None
        assert perfect < 0.06
    assert _clip(View.PLAX).foreshortening is None


def test_same_seed_gives_the_same_bytes() -> None:
    for view in (View.A4C, View.OTHER):
        first, second, third = (_clip(view, seed) for seed in (9, 9, 10))
        digests = [hashlib.sha256(c.frames.tobytes()).hexdigest() for c in (first, second, third)]
        assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_other_picture_renders(kind: Kind) -> None:
    frames, sector = render(np.random.default_rng(1), frames=3, size=96, kind=kind)
    assert frames.shape == (3, *sector.shape)
    assert max(sector.shape) == 96
    assert not frames[:, ~sector].any()


def test_a_screen_moves_the_truth_along() -> None:
    rng = np.random.default_rng(6)
    screen = sample_screen(rng)
    clip = _clip(View.PLAX, 4, screen=screen, straying=0.0)
    assert clip.frames.shape == (2, screen.rows, screen.cols, 3)
    assert clip.sector.shape == (screen.rows, screen.cols)
    height = np.ptp(np.flatnonzero(clip.sector.any(axis=1))) / screen.rows
    assert 0.35 < height < 0.95
    row, col = clip.landmarks[WallPoint.SEPTUM_INNER][clip.ed_frame].round().astype(int)
    around = clip.masks[LV][clip.ed_frame, row - 4 : row + 5, col - 4 : col + 5]
    assert around.any()
    assert not around.all()


def test_doppler_stills_are_no_view() -> None:
    rng = np.random.default_rng(8)
    patient, screen = sample_patient(rng), sample_screen(rng)
    colour = simulate_still(patient, ImageMode.COLOUR_FLOW, rng=rng, screen=screen)
    inside = colour.frames[0][colour.sector].astype(int)
    assert np.count_nonzero(np.ptp(inside, axis=1) > 90) > 500  # pixels with a hue
    spectrum = simulate_still(patient, ImageMode.PW_DOPPLER, rng=rng, screen=screen)
    assert (colour.view, spectrum.view) == (View.OTHER, View.OTHER)
    assert spectrum.mode is ImageMode.PW_DOPPLER
    for mode in (ImageMode.TISSUE_DOPPLER, ImageMode.M_MODE):
        strip = simulate_still(patient, mode, rng=rng, screen=screen)
        over_time = strip.frames[0][strip.sector].reshape(-1, np.flatnonzero(strip.sector.any(axis=0)).size, 3)
        assert over_time.std(axis=1).mean() > 2, "it changes over the beat"
        assert (strip.mode, strip.view) == (mode, View.OTHER)
    assert spectrum.spacing_mm is None
