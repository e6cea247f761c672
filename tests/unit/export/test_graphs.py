"""torch and ONNX Runtime give the same, at batch sizes that were not exported."""

import pytest
import torch

from echo_node.errors import EngineError
from echo_node.export.graphs import check_parity, export, golden, graphs
from echo_node.inference.golden import TOLERANCE
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
