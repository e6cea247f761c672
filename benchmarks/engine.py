"""Frames per second of the shipped engine's graphs on this CPU, against torch with the same weights.

Run: ``python -m benchmarks.engine``. A batch of 8 frames through the encoder, and one structure of each
through the prompt decoder.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.timing import race
from echo_node.export.graphs import Graph, graphs
from echo_node.inference.manifest import load_manifest
from echo_node.inference.onnxruntime_backend import OnnxRuntime
from echo_node.models.assemble import build
from echo_node.models.checkpoints import load_weights

BATCH = 8
SHIPPED = Path(__file__).parents[1] / "engines" / "echoapex-tiny-phantom"


def main() -> None:
    """Print the medians of each graph."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    manifest, _ = load_manifest(SHIPPED)
    model = build("tiny", views=len(manifest.views), structures=len(manifest.structures)).eval()
    load_weights(model, SHIPPED / "weights.safetensors")
    runtime = OnnxRuntime(SHIPPED, manifest, threads=chosen.threads, on_gpu=False)
    for graph in graphs(model, batch=BATCH):
        if graph.name not in manifest.graphs:
            continue  # of a head that the shipped package does not have
        print(f"{graph.name}: {BATCH} frames, {chosen.threads} threads")
        medians = race(
            {"ONNX Runtime": _with_runtime(runtime, graph), "torch": _with_torch(graph)}, repeats=chosen.repeats
        )
        print(f"{'':34} {BATCH / medians['ONNX Runtime']:8.0f} frames/s")


def _with_runtime(runtime: OnnxRuntime, graph: Graph) -> Callable[[], object]:
    given = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in graph.example.items()}
    return lambda: runtime.run(graph.name, given)


def _with_torch(graph: Graph) -> Callable[[], object]:
    def way() -> object:
        with torch.no_grad():
            return graph.module(*graph.example.values())

    return way


if __name__ == "__main__":
    main()
