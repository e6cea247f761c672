"""torch to ONNX: encoder and heads as separate graphs, and the proof that they are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from echo_node.codes import WallPoint
from echo_node.errors import EngineError
from echo_node.export.foreign import without_notes
from echo_node.inference.golden import TOLERANCE
from echo_node.inference.prompts import LOW_RESOLUTION, MAX_POINTS, PREVIOUS_LOGIT, PointKind
from echo_node.models.assemble import EchoModel

OPSET = 23  # native Attention and Gelu
_WORTH_PACKING = 256  # numbers of a weight

Shape = tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """One part of the model as it is exported."""

    name: str
    module: nn.Module
    example: Mapping[str, Tensor]  # by input name, in the module's order
    free: Mapping[str, Mapping[int, str]]  # free dimensions of each input, by axis
    output: str
    output_shape: Shape

    @property
    def file(self) -> str:
        """Its file in the package."""
        return f"{self.name}.onnx"

    def shape_of(self, name: str) -> Shape:
        """An input's shape; a word stands for a free dimension."""
        free = self.free[name]
        return tuple(free.get(axis, size) for axis, size in enumerate(self.example[name].shape))


def graphs(model: EchoModel, *, batch: int, seed: int = 0) -> list[Graph]:
    """The model's graphs with seeded example inputs of a batch size."""
    draw = torch.Generator().manual_seed(seed)
    shape = model.shape
    patches = shape.grid**2
    frames = torch.randn(batch, shape.channels, shape.image_size, shape.image_size, generator=draw)
    with torch.no_grad():
        seen, tokens = model.encoder(frames), model.measuring(frames)
    structures = model.segment.prompts.structures.num_embeddings
    prompted = {
        "tokens": tokens,
        "frames": frames,
        "structure": torch.randint(structures, (batch,), generator=draw),
        "points": torch.rand(batch, MAX_POINTS, 2, generator=draw),
        "kinds": torch.randint(len(PointKind), (batch, MAX_POINTS), generator=draw),
        "previous": torch.randn(batch, 1, LOW_RESOLUTION, LOW_RESOLUTION, generator=draw) * PREVIOUS_LOGIT,
    }
    sequences = torch.stack([tokens, tokens.flip(0)])
    encoded: dict[str, Any] = {
        "example": {"frames": frames},
        "free": {"frames": {0: "batch"}},
        "output": "tokens",
        "output_shape": ("batch", 1 + patches, shape.width),
    }
    side = shape.image_size
    return [
        Graph(name="encoder", module=model.encoder, **encoded),
        Graph(name="measuring", module=model.measuring, **encoded),
        Graph(
            name="view",
            module=model.view,
            example={"tokens": torch.stack([seen, seen.flip(0)])},
            free={"tokens": {0: "batch", 1: "time"}},
            output="logits",
            output_shape=("batch", model.view.linear.out_features),
        ),
        Graph(
            name="segment",
            module=model.segment,
            example=prompted,
            free={name: {0: "batch"} for name in prompted},
            output="logits",
            output_shape=("batch", 1, side, side),
        ),
        Graph(
            name="walls",
            module=model.walls,
            example={"tokens": tokens, "frames": frames},
            free={"tokens": {0: "batch"}, "frames": {0: "batch"}},
            output="maps",
            output_shape=("batch", len(WallPoint), 4 * shape.grid, 4 * shape.grid),
        ),
        Graph(
            name="ejection",
            module=model.ejection,
            example={"tokens": sequences, "times": torch.rand(2, batch, generator=draw).cumsum(dim=1)},
            free={"tokens": {0: "batch", 1: "time"}, "times": {0: "batch", 1: "time"}},
            output="ejection",  # EF as a share, log-variance, then one volume per frame
            output_shape=("batch", "2 + time"),
        ),
    ]


def export(graph: Graph, folder: Path) -> None:
    """Write one graph as ONNX, fp32, without data outside the file."""
    dimensions: dict[str, Any] = {}
    axes = {
        name: {
            axis: dimensions.setdefault(word, torch.export.Dim(word, min=1, max=1024))
            for axis, word in free.items()
        }
        for name, free in graph.free.items()
    }
    with torch.no_grad():  # else attention is written out as it is for training, from its parts
        program = torch.onnx.export(
            graph.module,
            tuple(graph.example.values()),
            input_names=list(graph.example),
            output_names=[graph.output],
            dynamic_shapes=tuple(axes[name] for name in graph.example),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    (folder / graph.file).write_bytes(_packed(without_notes(program.model_proto)).SerializeToString())


def _packed(model: ModelProto) -> ModelProto:
    """The same graph in fewer bytes: what fp16 holds exactly is kept in it, and cast at loading."""
    packed = ModelProto()
    packed.CopyFrom(model)
    del packed.graph.initializer[:], packed.graph.node[:]
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        is_large = values.dtype == np.float32 and values.size >= _WORTH_PACKING
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16) if is_large else values
        if not is_large or not np.array_equal(halves, values):
            packed.graph.initializer.append(weight)
            continue
        packed.graph.initializer.append(numpy_helper.from_array(halves, f"{weight.name}.half"))
        cast = helper.make_node("Cast", [f"{weight.name}.half"], [weight.name], to=TensorProto.FLOAT)
        packed.graph.node.append(cast)
    packed.graph.node.extend(model.graph.node)
    return packed


def golden(graph: Graph) -> dict[str, npt.NDArray[Any]]:
    """The example inputs and what torch makes of them."""
    with torch.no_grad():
        expected = graph.module(*graph.example.values())
    values = {f"in_{name}": tensor.numpy() for name, tensor in graph.example.items()}
    return values | {f"out_{graph.output}": expected.numpy()}


def check_parity(graph: Graph, path: Path, values: Mapping[str, npt.NDArray[Any]]) -> float:
    """Largest difference between torch's output and ONNX Runtime's.

    Raises
    ------
    EngineError
        It is above the engine's own tolerance.
    """
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    inputs = {name: values[f"in_{name}"] for name in graph.example}
    found = session.run(None, inputs)[0]
    largest = float(np.abs(found - values[f"out_{graph.output}"]).max())
    if not largest <= TOLERANCE:
        raise EngineError(f"{path}: differs from torch by {largest:.1e}; {TOLERANCE:.0e} is allowed")
    return largest
