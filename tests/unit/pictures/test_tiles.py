"""What a tile shows of a clip."""

from dataclasses import replace

import numpy as np
import pytest

from echo_node.codes import ImageMode, Structure, View
from echo_node.pictures import COLOURS, TILE_HEIGHT, TILE_WIDTH, Picture, clip_tile, headline
from echo_node.pipeline import shown_frames
from echo_node.records import Clip, VolumeCurve
from tests.unit.reports.builders import COLUMNS, ED, ES, FRAMES, ROWS, clip, long_axis, source, unmeasured

WALL, CAVITY = COLOURS[Structure.LV_MYOCARDIUM], COLOURS[Structure.LV_CAVITY]


def grey_clip(*, frames=(ED, ES)) -> Clip:
    return Clip(
        SOPInstanceUID=source().SOPInstanceUID,
        frames=np.full((len(frames), ROWS, COLUMNS), 40, np.uint8),
        frame_numbers=frames,
        times_ms=None,
        spacing_mm=(0.5, 0.5),
        sector=np.ones((ROWS, COLUMNS), bool),
        mode=ImageMode.TWO_D,
        NumberOfFrames=FRAMES,
    )


def has(picture: Picture, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture.astype(int) - colour).max(axis=2) < 40).any())


def halves(tile: Picture) -> tuple[Picture, Picture]:
    """The pictures of end diastole and of end systole, without head and curve."""
    body = tile[46:-96]
    return body[:, : TILE_WIDTH // 2], body[:, TILE_WIDTH // 2 :]


def test_a_long_axis_shows_its_line_at_both_ends_of_systole_and_its_diameter():
    tile = clip_tile(grey_clip(), long_axis(source()))
    assert tile.shape == (TILE_HEIGHT, TILE_WIDTH, 3)
    for half in halves(tile):
        assert has(half, WALL)
        assert has(half, CAVITY)
    assert has(tile[-96:], CAVITY)  # the curve


def test_the_curve_marks_the_beat_that_was_measured_and_not_the_extremes():
    """Of a clip of several beats one is measured: the largest and smallest volume may be of another."""
    volumes = np.array([90.0, 100, 80, 70, 60, 55, 50, 60, 110, 40])
    curve = VolumeCurve(volumes_ml=volumes, times_ms=np.arange(10.0) * 20, ed_frame=ED, es_frame=ES)
    times = np.array([ED - 1, ES - 1]) * 20.0
    tile = clip_tile(replace(grey_clip(), times_ms=times), replace(clip(source()), curve=curve))
    below = tile[-96:-20, 60:-14]
    columns = np.flatnonzero((below.min(axis=2) > 200).any(axis=0))  # of the white dots
    step = (TILE_WIDTH - 76) / 9  # pixels from frame to frame
    assert {round(column / step) for column in columns.tolist()} == {ED - 1, ES - 1}


def test_an_apical_clip_shows_outlines_and_no_wall_line():
    tile = clip_tile(grey_clip(), clip(source()))
    for half in halves(tile):
        assert has(half, CAVITY)
        assert not has(half, WALL)


@pytest.mark.parametrize("view", [View.PLAX, View.PSAX_PM])
def test_a_clip_without_results_shows_one_frame_and_no_curve(view):
    analysis = unmeasured(source(), view=view)
    (index,) = shown_frames(analysis, FRAMES)
    tile = clip_tile(grey_clip(frames=(index + 1,)), analysis)
    assert not has(tile[46:], CAVITY)
    assert not has(tile[46:], WALL)


def test_a_clip_without_a_view_is_headed_by_its_mode():
    refused = replace(unmeasured(source()), prediction=None)
    assert headline(refused) == "no view"
    assert headline(replace(refused, stated_mode=ImageMode.PW_DOPPLER)) == "Pulsed wave Doppler"
