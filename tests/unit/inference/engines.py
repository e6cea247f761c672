"""The shipped package, and its manifest with heads that a package may lack."""

from __future__ import annotations

from pathlib import Path

from echo_node.inference.manifest import GraphEntry, Manifest

ENCODERS = ("encoder", "measuring")
SHIPPED = Path(__file__).parents[3] / "engines" / "echoapex-tiny-phantom"


def with_heads(manifest: Manifest) -> Manifest:
    """A manifest that names the graphs of walls and ejection, for a runtime that plays them."""
    played = {name: GraphEntry(file=f"{name}.onnx", inputs={}, outputs={}) for name in ("walls", "ejection")}
    frames_alone = manifest.preprocess.model_copy(update={"channels": 1})  # whose greys stay as they are
    return manifest.model_copy(update={"graphs": {**manifest.graphs, **played}, "preprocess": frames_alone})
