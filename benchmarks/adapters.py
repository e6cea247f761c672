"""What an adapter per task costs at run time, against one encoder that all heads share, were all to see one window.

The node's mostly do not: views are told from whole sectors, all else from windows of its own (docs/design.md).

Run: ``python -m benchmarks.adapters``. The default engine's shape in ONNX Runtime on this CPU, with random
weights, on which time does not depend. A head whose encoder is tuned for it needs a pass of its own; a low-rank
change is folded into the weights, a bottleneck stays in the graph.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import onnxruntime
import torch

from benchmarks.timing import race
from echo_node.export.graphs import Graph, export, graphs
from echo_node.models.adapters import Tuning, merge, prepare
from echo_node.models.assemble import build
from echo_node.training import data

BATCH = 8
Way = Callable[[], object]


def main() -> None:
    """Print the medians of a batch, heads included, and their ratios to the shared encoder's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.manual_seed(0)
    model = build("tiny", views=len(data.LABELS), structures=len(data.STRUCTURES)).eval()
    encoder, _, *heads = graphs(model, batch=BATCH)
    with tempfile.TemporaryDirectory() as folder:
        runs = {g.name: run_of(g, Path(folder), threads=chosen.threads) for g in (encoder, *heads)}
        tuned = {
            tuning: run_of(adapted(encoder, tuning), Path(folder), threads=chosen.threads)
            for tuning in (Tuning.ADAPTER, Tuning.LORA)
        }
    all_heads = [runs[head.name] for head in heads]
    print(f"{BATCH} frames, {len(heads)} heads ({', '.join(h.name for h in heads)}), {chosen.threads} threads")
    ways: Mapping[str, Way] = {
        "one shared encoder": in_turn([runs["encoder"], *all_heads]),
        "one encoder with bottlenecks": in_turn([tuned[Tuning.ADAPTER], *all_heads]),
        "low-rank changes, one per head": in_turn([tuned[Tuning.LORA]] * len(heads) + all_heads),
        "bottlenecks, one per head": in_turn([tuned[Tuning.ADAPTER]] * len(heads) + all_heads),
        "the heads alone": in_turn(all_heads),
    }
    medians = race(ways, repeats=chosen.repeats)
    for name, seconds in medians.items():
        print(f"{name:34} {1000 * seconds / BATCH:8.2f} ms per frame")


def adapted(graph: Graph, tuning: Tuning) -> Graph:
    """The encoder's graph after tuning: with bottlenecks, or with low-rank changes folded in."""
    encoder = copy.deepcopy(graph.module)
    prepare(encoder, tuning)  # type: ignore[arg-type]
    merge(encoder)  # type: ignore[arg-type]
    return replace(graph, name=f"encoder-{tuning.value}", module=encoder.eval())


def run_of(graph: Graph, folder: Path, *, threads: int) -> Way:
    """A graph in ONNX Runtime, on its example."""
    export(graph, folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    content = (folder / graph.file).read_bytes()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    given = {name: tensor.numpy() for name, tensor in graph.example.items()}
    return lambda: session.run(None, given)


def in_turn(parts: list[Way]) -> Way:
    """One after the other."""

    def way() -> object:
        return [part() for part in parts]

    return way


if __name__ == "__main__":
    main()
