"""An engine package from a trained model: graphs, golden values, weights, manifest, card."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from echo_node.codes import Structure, View
from echo_node.errors import EngineError
from echo_node.export.graphs import Graph, check_parity, export, golden, graphs
from echo_node.inference.golden import golden_file
from echo_node.inference.manifest import MANIFEST, NEEDED, SCHEMA, FileEntry, Label, load_manifest
from echo_node.models.assemble import EchoModel
from echo_node.models.checkpoints import save_weights
from echo_node.models.starting_point import ARCHITECTURE, WEIGHTS, architecture

LARGEST_PACKAGE = 25_000_000  # bytes
_GOLDEN_BATCH = 2
_OTHER_BATCH = 5  # that the free dimension is free is tried with another size
INTENDED_USE = (
    "Research use, not for diagnosis. Its figures are figures on simulated hearts (phantoms) and say nothing of "
    "patients."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How the view head's logits are read."""

    temperature: float
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a package is made of."""

    name: str
    version: str
    model: EchoModel
    views: Sequence[View]
    structures: Sequence[Structure]
    mean: float
    std: float
    margin: float
    calibration: Calibration
    measured: Mapping[str, float]
    card: str  # Markdown


def write_package(contents: Contents, folder: Path) -> float:
    """Write a package, prove its graphs against torch, and read it back.

    Returns
    -------
    float
        The largest difference between a graph and torch.

    Raises
    ------
    EngineError
        A graph differs from torch, or the package is too large.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = copy.deepcopy(contents.model).half().float().eval()  # graphs and weights hold the same numbers
    parts = graphs(model, batch=_GOLDEN_BATCH)
    worst = 0.0
    for part in parts:
        export(part, folder)
        values = golden(part)
        np.savez_compressed(folder / golden_file(part.name), allow_pickle=False, **values)
        worst = max(worst, check_parity(part, folder / part.file, values))
    for part in graphs(model, batch=_OTHER_BATCH, seed=1):
        worst = max(worst, check_parity(part, folder / part.file, golden(part)))
    save_weights(model, folder / WEIGHTS)
    _write_yaml(folder / ARCHITECTURE, architecture(model.shape))
    (folder / "card.md").write_text(contents.card, encoding="utf-8")
    _write_yaml(folder / MANIFEST, _manifest(contents, parts, folder))
    load_manifest(folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > LARGEST_PACKAGE:
        raise EngineError(f"{folder}: has {size} bytes; a package may have {LARGEST_PACKAGE}")
    return worst


def _manifest(contents: Contents, parts: Sequence[Graph], folder: Path) -> dict[str, Any]:
    names = sorted(p.name for p in folder.iterdir() if p.name != MANIFEST)
    return {
        "schema": SCHEMA,
        "name": contents.name,
        "version": contents.version,
        "tasks": [task for task, needed in NEEDED.items() if {part.name for part in parts} >= set(needed)],
        "intended_use": INTENDED_USE,
        "files": {name: _entry(folder / name) for name in names},
        "graphs": {part.name: _graph(part) for part in parts},
        "preprocess": {
            "channels": contents.model.shape.channels,
            "size": contents.model.shape.image_size,
            "mean": contents.mean,
            "std": contents.std,
            "margin": contents.margin,
        },
        "views": [_label(view) for view in contents.views],
        "structures": [_label(structure) for structure in contents.structures],
        "view": asdict(contents.calibration),
        "batch_buckets": [1, 8, 32],
        "measured": dict(contents.measured),
    }


def _entry(path: Path) -> dict[str, Any]:
    return FileEntry.of(path).model_dump()


def _graph(part: Graph) -> dict[str, Any]:
    inputs = {
        name: {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(part.shape_of(name))}
        for name, tensor in part.example.items()
    }
    outputs = {part.output: {"dtype": "float32", "shape": list(part.output_shape)}}
    return {"file": part.file, "inputs": inputs, "outputs": outputs}


def _label(concept: View | Structure) -> dict[str, str]:
    return Label.of(concept).model_dump()


def _write_yaml(path: Path, value: Any) -> None:
    path.write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8")
