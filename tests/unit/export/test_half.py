"""The half-precision graph: as good as half precision is, on the shipped engine and on graphs made to trip it."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from echo_node.errors import EngineError
from echo_node.export.half import halved
from echo_node.inference.backend import Precision
from echo_node.inference.golden import allowed, load_golden
from echo_node.inference.manifest import load_manifest

SHIPPED = Path(__file__).parents[3] / "engines" / "echoapex-tiny-phantom"


def run(model, inputs):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def model(nodes, *, weights=(), shape=("batch", 4)):
    """x [batch,4] to y."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


@pytest.mark.parametrize("name", sorted(load_manifest(SHIPPED)[0].graphs))
def test_the_shipped_engine_s_half_is_within_half_precision(name):
    manifest, _ = load_manifest(SHIPPED)
    graph = manifest.graphs[name]
    half = halved(onnx.load(SHIPPED / graph.file))
    golden = load_golden(SHIPPED, manifest, name)
    (output,) = graph.outputs
    expected = golden[f"out_{output}"]
    found = run(half, {i: golden[f"in_{i}"] for i in graph.inputs})
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() <= allowed(output, expected, Precision.HALF) / 2
    assert [i.name for i in half.graph.input] == list(graph.inputs)
    weights = [w for w in half.graph.initializer if w.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16)]
    whole = sum(4 * np.prod(w.dims) for w in weights)  # bytes in fp32
    assert sum(w.ByteSize() for w in weights) < 0.65 * whole or name == "view"


def test_angles_stay_whole():
    nodes = [
        helper.make_node("Mul", ["x", "turns"], ["angle"]),
        helper.make_node("Sin", ["angle"], ["s"]),
        helper.make_node("Add", ["s", "s"], ["y"]),
    ]
    master = model(nodes, weights=[("turns", [300.0])])
    x = np.random.default_rng(1).normal(size=(8, 4)).astype(np.float32)
    half = halved(master)
    assert np.abs(run(half, {"x": x}) - run(master, {"x": x})).max() < 3e-3, "half precision would be off by 0.3"
    assert {w.data_type for w in half.graph.initializer} == {TensorProto.FLOAT}


def test_a_value_that_is_an_output_and_used_again_keeps_its_name():
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["y"], ["unused"])]
    half = halved(model(nodes))
    assert [o.name for o in half.graph.output] == ["y"]
    x = np.array([[-1, 0.5, 2, 3]], np.float32)
    assert np.array_equal(run(half, {"x": x}), np.maximum(x, 0))


def test_casts_and_whole_numbers_follow():
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["is_more"]),
        helper.make_node("Cast", ["is_more"], ["share"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["share", "x"], ["y"]),
    ]
    half = halved(model(nodes, weights=[("zero", 0.0)]))
    x = np.array([[-1, 0.5, 2, -3]], np.float32)
    assert np.array_equal(run(half, {"x": x}), np.maximum(x, 0))


def test_what_half_precision_cannot_hold_is_refused():
    nodes = [helper.make_node("Mul", ["x", "large"], ["y"])]
    with pytest.raises(EngineError, match=r"weight large: 7e\+04 is more than half precision's 65504"):
        halved(model(nodes, weights=[("large", 7e4)]))
    masked = halved(model(nodes, weights=[("large", [-np.inf])]))
    assert np.isneginf(run(masked, {"x": np.ones((1, 4), np.float32)})).all()


def test_control_flow_is_refused():
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["b"], value_float=1.0)],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, ())],
    )
    nodes = [
        helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
        helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
    ]
    with pytest.raises(EngineError, match="has If"):
        halved(model(nodes, shape=()))


def test_a_graph_that_contradicts_itself_is_named():
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    with pytest.raises(EngineError, match="graph g: is not valid"):
        halved(model(nodes, weights=[("w", np.ones((3, 4)))]))
