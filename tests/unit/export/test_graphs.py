"""torch and ONNX Runtime give the same, at batch sizes that were not exported."""

import copy

import onnx
import onnxruntime
import pytest
import torch

from echo_node.errors import EngineError
from echo_node.export.graphs import check_parity, export, golden, graphs
from echo_node.export.half import halved
from echo_node.inference.backend import Precision
from echo_node.inference.golden import TOLERANCE, allowed
from echo_node.models.assemble import EchoModel
from echo_node.models.vit import Stem, ViTShape

SHAPE = ViTShape(width=32, depth=1, heads=2, image_size=32, patch_size=8, stem=Stem.CONVOLUTION)


def test_parity_at_other_batch_sizes_and_its_failure(tmp_path):
    torch.manual_seed(0)
    model = EchoModel(SHAPE, views=3, structures=2).eval()
    for graph in graphs(model, batch=2):
        export(graph, tmp_path)
        content = (tmp_path / graph.file).read_bytes()
        assert b"forward" not in content, "lines and paths of this machine's sources"
    for batch in (1, 2, 5):
        for graph in graphs(model, batch=batch, seed=batch):
            assert check_parity(graph, tmp_path / graph.file, golden(graph)) <= TOLERANCE
    encoder = graphs(model, batch=1)[0]
    wrong = golden(encoder)
    wrong["out_tokens"] = wrong["out_tokens"] + 1e-2
    with pytest.raises(EngineError, match="differs from torch"):
        check_parity(encoder, tmp_path / encoder.file, wrong)


def test_what_half_precision_holds_is_stored_in_it_and_nothing_else_changes(tmp_path):
    torch.manual_seed(0)
    model = EchoModel(SHAPE, views=3, structures=2).eval()
    sizes = {}
    for name, whole in (("whole", model), ("half", copy.deepcopy(model).half().float())):
        encoder = graphs(whole, batch=2)[0]
        (tmp_path / name).mkdir()
        export(encoder, tmp_path / name)
        path = tmp_path / name / encoder.file
        assert check_parity(encoder, path, golden(encoder)) <= 1e-5
        sizes[name] = sum(weight.ByteSize() for weight in onnx.load(path).graph.initializer)
    assert sizes["half"] < 0.8 * sizes["whole"], "all but what a norm was folded into"


def test_every_graph_has_a_half(tmp_path):
    """Of the model as it is now, which the shipped package may be older than."""
    torch.manual_seed(0)
    model = EchoModel(SHAPE, views=3, structures=2).eval()
    for graph in graphs(model, batch=2):
        export(graph, tmp_path)
        values = golden(graph)
        half = halved(onnx.load(tmp_path / graph.file)).SerializeToString()
        session = onnxruntime.InferenceSession(half, providers=["CPUExecutionProvider"])
        (output,) = (node.name for node in session.get_outputs())
        (found,) = session.run(None, {node.name: values[f"in_{node.name}"] for node in session.get_inputs()})
        expected = values[f"out_{output}"]
        assert abs(found - expected).max() <= allowed(output, expected, Precision.HALF), graph.file


def test_attention_is_the_operator_that_runtimes_fuse(tmp_path):
    model = EchoModel(SHAPE, views=3, structures=2).eval()
    assert model.encoder.class_token.requires_grad, "as after training"
    encoder = graphs(model, batch=2)[0]
    export(encoder, tmp_path)
    kinds = [node.op_type for node in onnx.load(tmp_path / encoder.file).graph.node]
    assert kinds.count("Attention") == SHAPE.depth
    assert "Softmax" not in kinds
