"""Wall points: decoded between cells, in a closer window, by an engine that has the head."""

import numpy as np
import pytest

from echo_node.codes import ImageMode, WallPoint
from echo_node.errors import EngineError
from echo_node.inference.engine import Engine
from echo_node.inference.manifest import load_manifest
from echo_node.inference.preprocess import WALL_MARGIN, Letterbox
from echo_node.inference.sampling import VIEW_FRAMES
from echo_node.inference.walls import Places, as_landmarks, locate, region
from echo_node.records import Clip
from tests.unit.inference.engines import ENCODERS, SHIPPED, with_heads

SIDE = 56


def maps_of(box: Letterbox, places: np.ndarray, *, spread: float = 1.0) -> np.ndarray:
    """Gaussian heat maps [T,4,H,H] of points (row, column) [T,4,2] of the source."""
    r, c = np.mgrid[0:SIDE, 0:SIDE]
    maps = np.zeros((*places.shape[:2], SIDE, SIDE), np.float32)
    for t, k in np.ndindex(*places.shape[:2]):
        x, y = box.to_square(*places[t, k])
        maps[t, k] = -((r + 0.5 - y * SIDE) ** 2 + (c + 0.5 - x * SIDE) ** 2) / (2 * spread**2)
    return maps


def test_a_gaussian_is_decoded_within_a_tenth_of_a_pixel():
    sector = np.zeros((300, 400), bool)
    sector[40:260, 60:300] = True
    box = Letterbox.around(sector, 112)
    places = np.random.default_rng(0).uniform((80, 100), (220, 260), (40, 4, 2))
    found = locate(maps_of(box, places), box)
    scale = 240 / SIDE  # source pixels in a cell
    assert np.abs(found.places - places).max() < 0.1
    assert found.probability.min() > 0.99
    wide = locate(maps_of(box, places, spread=1.5), box)
    assert np.abs(wide.places - places).max() < 0.05 * scale


def test_a_second_peak_lowers_the_probability_and_moves_nothing():
    sector = np.ones((112, 112), bool)
    box = Letterbox.around(sector, 112)
    near, far = np.full((1, 4, 2), 30.0), np.full((1, 4, 2), 90.0)
    maps = np.log(0.6 * np.exp(maps_of(box, near)) + 0.4 * np.exp(maps_of(box, far)) + 1e-12).astype(np.float32)
    found = locate(maps, box)
    assert np.abs(found.places - near).max() < 0.1
    assert np.allclose(found.probability, 0.6, atol=0.01)


def test_one_stray_frame_does_not_widen_the_window():
    sector = np.ones((200, 200), bool)
    places = np.tile(np.array([[60.0, 100], [75, 100], [120, 104], [135, 105]]), (8, 1, 1))
    places[3, 1] = 5, 190
    seen = region(Places(places, np.ones((8, 4))), sector)
    assert seen.sum() == 4
    box = Letterbox.closer(Letterbox.around(sector, 112), seen, margin=WALL_MARGIN)
    assert box.height == pytest.approx(WALL_MARGIN * 76, abs=2)
    assert not region(Places(np.full((8, 4, 2), 90.0), np.ones((8, 4))), sector).any(), "all on one spot"


def test_points_come_back_from_the_square():
    sector = np.zeros((200, 300), bool)
    sector[20:190, 30:280] = True
    box = Letterbox.around(sector, 112)
    for row, col in [(20.0, 30.0), (100.25, 200.5)]:
        x, y = box.to_square(row, col)
        assert box.from_square(np.array(x), np.array(y)) == pytest.approx((row, col))


class Pointing:
    """A runtime whose wall head sees four bright spots wherever the window is, and counts its encodings."""

    name = "pointing"

    def __init__(self):
        self.encoded = []

    def run(self, graph, inputs):
        if graph in ENCODERS:
            self.encoded += [frame.tobytes() for frame in inputs["frames"]]
            return np.zeros((len(inputs["frames"]), 197, 128), np.float32)
        assert graph == "walls"
        frames = inputs["frames"][:, 0]
        maps = np.full((len(frames), 4, SIDE, SIDE), -30, np.float32)
        for n, frame in enumerate(frames):
            pooled = frame.reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3))
            for k, level in enumerate((100, 140, 180, 220)):
                off = np.abs(pooled - level)  # frames come as grey levels
                maps[n, k] = np.where(off < 3, 0, -30)
        return maps


@pytest.fixture
def clip() -> Clip:
    """Four squares of grey, one below the other, that sink by half a pixel a frame."""
    sector = np.ones((400, 400), bool)
    frames = np.full((20, 400, 400), 20, np.uint8)
    for t in range(20):
        for k, level in enumerate((100, 140, 180, 220)):
            top = 150 + 30 * k + t // 2
            frames[t, top : top + 14, 190:204] = level
    return Clip(
        SOPInstanceUID="1.2.3",
        frames=frames,
        frame_numbers=tuple(range(1, 21)),
        times_ms=np.arange(20, dtype=np.float64) * 33.0,
        spacing_mm=None,
        sector=sector,
        mode=ImageMode.TWO_D,
        NumberOfFrames=20,
    )


def test_walls_are_found_on_every_frame_in_a_closer_window(clip):
    manifest, digest = load_manifest(SHIPPED)
    runtime = Pointing()
    engine = Engine(with_heads(manifest), digest, runtime)
    assert engine.finds_walls
    found = engine.find_walls(clip)
    assert [landmarks.frame_number for landmarks in found] == list(clip.frame_numbers)
    assert [point for point, _, _ in found[0].points] == list(WallPoint)
    for t, landmarks in enumerate(found):
        for k, (_, row, col) in enumerate(landmarks.points):
            assert row == pytest.approx(150 + 30 * k + t // 2 + 6.5, abs=1.5)
            assert col == pytest.approx(196.5, abs=1.5)
    assert len(runtime.encoded) == VIEW_FRAMES + len(clip.frames), "a few of the whole, then all in the window"
    engine.find_walls(clip)
    assert len(runtime.encoded) == VIEW_FRAMES + len(clip.frames)


def test_a_package_without_the_head_says_so(clip):
    manifest, digest = load_manifest(SHIPPED)
    graphs = {name: graph for name, graph in manifest.graphs.items() if name != "walls"}
    engine = Engine(manifest.model_copy(update={"graphs": graphs}), digest, Pointing())
    assert not engine.finds_walls
    with pytest.raises(EngineError, match="no graph 'walls'"):
        engine.find_walls(clip)


def test_the_least_certain_point_speaks_for_its_frame(clip):
    places = Places(np.zeros((20, 4, 2)), np.tile([0.9, 0.4, 0.8, 1.0], (20, 1)))
    assert {landmarks.probability for landmarks in as_landmarks(places, clip)} == {0.4}
