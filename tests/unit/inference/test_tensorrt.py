"""The TensorRT backend's own logic, on a fake of the API: no test here says anything of a real GPU."""

from pathlib import Path

import numpy as np
import pytest

from echo_node.codes import View
from echo_node.config import Backend
from echo_node.errors import EngineError
from echo_node.evaluation.phantoms import as_clip
from echo_node.export.plans import compile_package
from echo_node.inference import cuda
from echo_node.inference.engine import Engine, load_engine
from echo_node.inference.golden import check_golden
from echo_node.inference.grey import GREY
from echo_node.inference.manifest import load_manifest
from echo_node.inference.plans import PlanCache
from echo_node.inference.tensorrt_backend import TensorRTRuntime
from echo_node.phantom import sample_patient, simulate_clip
from tests.unit.inference.fake_gpu import FakeGpu, fake_tensorrt

SHIPPED = Path(__file__).parents[3] / "engines" / "echoapex-tiny-phantom"
MANIFEST, DIGEST = load_manifest(SHIPPED)
CHANNELS = MANIFEST.preprocess.channels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="module")
def cache(folder):
    cache = PlanCache(folder / "plans", folder / "node.key")
    gpu = FakeGpu()
    trt = fake_tensorrt(gpu)
    found = dict(compile_package(SHIPPED, cache, trt=trt, gpu=gpu))
    assert set(found) == {*MANIFEST.graphs, GREY}
    assert all(acceptance.is_good for acceptance in found.values())
    assert set(found["segment"].differences) == {"1", "8", "32"}
    assert trt.Builder.built == len(MANIFEST.graphs) + 1, "its graphs, and one that makes frames of grey levels"
    return cache


def serve(cache, gpu):
    return TensorRTRuntime(SHIPPED, MANIFEST, cache, trt=fake_tensorrt(gpu), gpu=gpu)


def test_accepted_plans_serve_and_are_named(cache):
    gpu = FakeGpu()
    runtime = serve(cache, gpu)
    assert runtime.name.startswith("tensorrt 11.0.0 on Fake GPU, plans ")
    assert all(0 < value < 0.05 for value in check_golden(SHIPPED, MANIFEST, runtime).values())
    assert Engine(MANIFEST, DIGEST, runtime).identity.backend == runtime.name


def test_a_plan_that_is_there_is_not_built_again(cache):
    gpu = FakeGpu()
    trt = fake_tensorrt(gpu)
    assert all(acceptance.is_good for _, acceptance in compile_package(SHIPPED, cache, trt=trt, gpu=gpu))
    assert trt.Builder.built == 0


def test_a_batch_is_filled_up_to_its_bucket(cache):
    gpu = FakeGpu()
    runtime = serve(cache, gpu)
    frames = np.random.default_rng(3).normal(size=(5, CHANNELS, 112, 112)).astype(np.float32)
    found = runtime.run("encoder", {"frames": frames})
    assert found.shape == (5, 197, 128)
    assert gpu.done == [f"upload {8 * CHANNELS * 112 * 112 * 4}", "run 8"]
    alone = runtime.run("encoder", {"frames": frames[4:]})
    assert np.abs(alone - found[4:]).max() < 1e-2
    many = runtime.run("encoder", {"frames": np.repeat(frames, 7, axis=0)})
    assert many.shape == (35, 197, 128)
    assert [word for word in gpu.done if word.startswith("run")] == ["run 8", "run 1", "run 32", "run 8"]
    assert np.abs(many[34] - found[4]).max() < 1e-2


def test_what_ran_once_is_a_cuda_graph(cache):
    gpu = FakeGpu()
    runtime = serve(cache, gpu)
    frames = np.random.default_rng(3).normal(size=(2, 8, CHANNELS, 112, 112)).astype(np.float32)
    first, second = (runtime.run("encoder", {"frames": part}) for part in frames)
    assert [word for word in gpu.done if not word.startswith("upload")] == ["run 8", "launch", "run 8"]
    assert np.abs(first - second).max() > 0.1


def test_grey_levels_travel_as_bytes(cache):
    gpu = FakeGpu()
    runtime = serve(cache, gpu)
    levels = np.random.default_rng(4).integers(0, 256, (3, CHANNELS, 112, 112)).astype(np.uint8)
    frames = ((levels.astype(np.float32) / 255 - 0.2) / 0.2).astype(np.float32)
    found = runtime.run("encoder", {"frames": levels})
    assert gpu.done[0] == f"upload {8 * CHANNELS * 112 * 112}"
    assert f"upload {8 * CHANNELS * 112 * 112 * 4}" not in gpu.done
    assert np.abs(found - runtime.run("encoder", {"frames": frames})).max() < 1e-4


def test_the_engine_gives_the_same_on_either_runtime(cache):
    rng = np.random.default_rng(5)
    clip = as_clip(simulate_clip(sample_patient(rng), View.A4C, rng=rng, frames=5, size=200), uid="1.2")
    planned = Engine(MANIFEST, DIGEST, serve(cache, FakeGpu()))
    whole = load_engine(SHIPPED, backend=Backend.ONNXRUNTIME_CPU, threads=1)
    assert planned.classify(clip).view is whole.classify(clip).view
    (a,), (b,) = (engine.segment(clip, engine.structures[:1]) for engine in (planned, whole))
    assert (a.masks != b.masks).mean() < 1e-3


@pytest.mark.parametrize(
    "changes", [{"name": "Other GPU"}, {"driver": "13000 581.0"}, {"memory": 1 << 35}, {"runtime": "13010"}]
)
def test_a_plan_of_another_machine_is_not_found_and_nothing_falls_back(cache, changes):
    with pytest.raises(EngineError, match=r"graph encoder of .*: no plan for .*; run echo-node engines compile"):
        serve(cache, FakeGpu(**changes))


@pytest.mark.parametrize(
    "spoil", [lambda out: out * np.nan, lambda out: out + 0.02 * np.abs(out).max()], ids=["nan", "shifted"]
)
def test_a_plan_that_gives_something_else_is_refused(tmp_path, spoil):
    gpu = FakeGpu()
    cache = PlanCache(tmp_path / "plans", tmp_path / "node.key")
    found = dict(compile_package(SHIPPED, cache, trt=fake_tensorrt(gpu, spoil=spoil), gpu=gpu))
    assert not any(acceptance.is_good for acceptance in found.values())
    with pytest.raises(EngineError, match="the plan was refused: by batch bucket it differs from fp32 by 1: "):
        serve(cache, gpu)


def test_a_plan_that_is_wrong_in_its_last_rows_only_is_refused(tmp_path):
    def spoil(out):
        return np.concatenate([out[:-1], out[-1:] + 1]) if len(out) == 32 else out

    gpu = FakeGpu()
    cache = PlanCache(tmp_path / "plans", tmp_path / "node.key")
    found = dict(compile_package(SHIPPED, cache, trt=fake_tensorrt(gpu, spoil=spoil), gpu=gpu))
    assert found["view"].is_good, "it has no such bucket"
    assert not found["encoder"].is_good
    assert found["encoder"].differences["8"] < 0.02 < found["encoder"].differences["32"]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"frames": np.zeros((1, CHANNELS, 112, 112))}, "frames is float64; the plan takes float32"),
        ({"frames": np.zeros((1, CHANNELS, 56, 56), np.float32)}, "frames is"),
        ({"levels": np.zeros((1, CHANNELS, 112, 112), np.uint8)}, r"takes \['frames'\]"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(cache, inputs, words):
    with pytest.raises(EngineError, match=words):
        serve(cache, FakeGpu()).run("encoder", inputs)


def test_without_a_gpu_it_says_so(cache, monkeypatch):
    monkeypatch.setattr(cuda, "has_driver", lambda: False)
    with pytest.raises(EngineError, match="no CUDA driver answers"):
        TensorRTRuntime(SHIPPED, MANIFEST, cache)
    with pytest.raises(EngineError, match="none was named"):
        load_engine(SHIPPED, backend=Backend.TENSORRT, threads=1)
