"""Plans built for real, without a GPU: TensorRT for RTX builds there, and only runs where one is."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from echo_node.errors import EngineError
from echo_node.export.half import halved
from echo_node.export.plans import build_plan, compile_package, grey_graph
from echo_node.inference import cuda
from echo_node.inference.buckets import profiles_of
from echo_node.inference.grey import FRAMES, GREY, LEVELS, grey_golden
from echo_node.inference.manifest import GraphEntry, TensorEntry, load_manifest
from echo_node.inference.plans import PlanCache
from echo_node.inference.tensorrt_backend import all_graphs, plan_key, tensorrt_module
from tests.unit.export.test_half import run
from tests.unit.inference.fake_gpu import FakeGpu

SHIPPED = Path(__file__).parents[3] / "engines" / "echoapex-tiny-phantom"
MANIFEST, _ = load_manifest(SHIPPED)


@pytest.fixture(scope="module")
def trt():
    return tensorrt_module()


def test_the_shipped_engine_s_graphs_build_and_the_same_twice(trt, tmp_path):
    cache = PlanCache(tmp_path / "plans", tmp_path / "node.key")
    for name, (graph, sha256) in all_graphs(MANIFEST).items():
        model = grey_graph(MANIFEST.preprocess) if name == GREY else halved(onnx.load(SHIPPED / graph.file))
        plan = build_plan(model, graph, MANIFEST.batch_buckets, trt=trt)
        assert len(plan) > 100_000
        if name == "encoder":
            assert build_plan(model, graph, MANIFEST.batch_buckets, trt=trt) == plan
        key = plan_key(graph, sha256, MANIFEST.batch_buckets, trt=trt, gpu=FakeGpu())
        cache.write(key, plan)
        assert cache.read(key) == plan
        assert key.builder == f"{trt.__name__} {trt.__version__}"
        assert key.profiles == profiles_of(graph, MANIFEST.batch_buckets)


def test_what_tensorrt_cannot_read_is_said_in_its_words(trt):
    tensor = TensorEntry(dtype="float32", shape=("batch", 4))
    entry = GraphEntry(file="g.onnx", inputs={"x": tensor}, outputs={"y": tensor})
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("batch", 4)) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Nothing", ["x"], ["y"])], "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    with pytest.raises(EngineError, match=r"g\.onnx: TensorRT cannot read it: .*Nothing"):
        build_plan(model, entry, (1,), trt=trt)


def test_the_grey_graph_is_preprocess():
    golden = grey_golden(MANIFEST.preprocess)
    found = run(grey_graph(MANIFEST.preprocess), {LEVELS: golden[f"in_{LEVELS}"]})
    assert np.abs(found - golden[f"out_{FRAMES}"]).max() < 1e-6


def test_compiling_without_a_gpu_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(cuda, "has_driver", lambda: False)
    cache = PlanCache(tmp_path / "plans", tmp_path / "node.key")
    with pytest.raises(EngineError, match="no CUDA driver answers"):
        list(compile_package(SHIPPED, cache))
    assert not (tmp_path / "plans").exists()
