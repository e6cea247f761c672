"""The ejection fraction head in an engine: its frames, its window, its answer."""

from dataclasses import replace

import numpy as np
import pytest

from echo_node.codes import ImageMode, Structure
from echo_node.errors import EngineError
from echo_node.inference.ejection import LONGEST_S, MOST_FRAMES, looked_at, read_estimate
from echo_node.inference.engine import Engine
from echo_node.inference.manifest import load_manifest
from echo_node.records import Clip, Segmentation
from tests.unit.inference.engines import ENCODERS, SHIPPED, with_heads


def clip_of(times_ms: np.ndarray | None, count: int) -> Clip:
    frames = np.random.default_rng(0).integers(1, 255, (count, 120, 120), np.uint8)
    return Clip(
        SOPInstanceUID="1.2.3",
        frames=frames,
        frame_numbers=tuple(range(11, 11 + count)),
        times_ms=times_ms,
        spacing_mm=None,
        sector=np.ones((120, 120), bool),
        mode=ImageMode.TWO_D,
        NumberOfFrames=count,
    )


def test_frames_are_spread_by_time_over_the_middle():
    assert looked_at(np.arange(20) * 40.0) == tuple(range(20))
    long = np.arange(500) * 20.0  # ten seconds
    picked = looked_at(long)
    assert len(picked) == MOST_FRAMES
    assert long[picked[-1]] - long[picked[0]] == pytest.approx(1000 * LONGEST_S, abs=20)
    assert long[list(picked)].mean() == pytest.approx(long.mean(), abs=20)
    uneven = np.concatenate([np.arange(50) * 10.0, 500 + np.arange(10) * 100.0])
    assert np.diff(uneven[list(looked_at(uneven))]).max() <= 100
    assert looked_at(np.array([0.0])) == (0,)


def test_ends_are_read_between_the_frames_looked_at():
    times = np.arange(60) * 20.0
    clip, picked = clip_of(times, 60), tuple(range(0, 60, 5))
    volumes = 0.7 + 0.3 * np.cos(2 * np.pi * (times[list(picked)] - 380) / 900)
    estimate = read_estimate(np.array([0.62, np.log(0.05**2), *volumes], np.float32), picked, clip)
    assert estimate.ef == pytest.approx(62)
    assert estimate.uncertainty == pytest.approx(5, rel=1e-5)
    assert abs(estimate.ed_frame - 11 - 19) <= 1
    assert abs(estimate.es_frame - 11 - 41.5) <= 1.5


def test_a_flat_curve_has_its_ends_somewhere():
    clip = clip_of(np.arange(4) * 40.0, 4)
    estimate = read_estimate(np.array([1.4, 0.0, 1, 1, 1, 1], np.float32), (0, 1, 2, 3), clip)
    assert estimate.ef == 100
    assert estimate.ed_frame in clip.frame_numbers


class Playing:
    """A runtime that outlines a square and says an EF, and keeps what it was asked."""

    name = "playing"

    def __init__(self):
        self.encoded, self.times = [], None

    def run(self, graph, inputs):
        if graph in ENCODERS:
            self.encoded += [frame.tobytes() for frame in inputs["frames"]]
            return np.zeros((len(inputs["frames"]), 197, 128), np.float32)
        if graph == "segment":
            logits = np.full((len(inputs["tokens"]), 1, 112, 112), -5, np.float32)
            logits[:, :, 40:80, 40:70] = 5
            return logits
        assert graph == "ejection"
        self.times = inputs["times"]
        count = inputs["times"].shape[1]
        assert inputs["tokens"].shape == (1, count, 197, 128)
        return np.concatenate([[0.55, -6.0], np.linspace(1, 0.45, count)])[None].astype(np.float32)


@pytest.fixture
def engine():
    manifest, digest = load_manifest(SHIPPED)
    runtime = Playing()
    return Engine(with_heads(manifest), digest, runtime), runtime


def test_the_window_of_the_outline_is_used_again(engine):
    engine, runtime = engine
    clip = clip_of(1000 + np.arange(40) * 33.0, 40)
    assert engine.estimates_ejection
    (cavity,) = engine.segment(clip, [Structure.LV_CAVITY])
    before = len(runtime.encoded)
    estimate = engine.estimate_ejection(clip, cavity)
    assert len(runtime.encoded) == before, "every frame was encoded for the outline"
    assert estimate.ef == pytest.approx(55)
    assert (estimate.ed_frame, estimate.es_frame) == (11, 50)
    assert runtime.times[0, 0] == 0
    assert runtime.times[0, -1] == pytest.approx(39 * 0.033)


def test_an_outline_from_elsewhere_is_gone_close_to(engine):
    engine, runtime = engine
    clip = clip_of(np.arange(10) * 33.0, 10)
    masks = np.zeros((10, 120, 120), bool)
    masks[:, 40:80, 50:70] = True
    cavity = Segmentation(
        SOPInstanceUID="1.2.3", structure=Structure.LV_CAVITY, masks=masks, frame_numbers=clip.frame_numbers
    )
    engine.estimate_ejection(clip, cavity)
    assert len(runtime.encoded) == 10
    engine.estimate_ejection(clip, replace(cavity, masks=np.zeros_like(masks)))
    assert len(runtime.encoded) == 20, "nothing was outlined: the whole sector"


def test_a_clip_without_times_is_refused(engine):
    engine, _ = engine
    clip = clip_of(None, 4)
    cavity = Segmentation(
        SOPInstanceUID="1.2.3",
        structure=Structure.LV_CAVITY,
        masks=np.ones((4, 120, 120), bool),
        frame_numbers=clip.frame_numbers,
    )
    with pytest.raises(EngineError, match="no frame times"):
        engine.estimate_ejection(clip, cavity)
