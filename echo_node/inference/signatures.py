"""What the node hands to each graph and takes from it: a package whose graphs want something else is refused.

Graphs that this table does not name are the package's own business until something asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from echo_node.codes import WallPoint
from echo_node.errors import ManifestError
from echo_node.inference.manifest import GraphEntry, Manifest, TensorEntry
from echo_node.inference.prompts import LOW_RESOLUTION, MAX_POINTS

SERVED = ("encoder", "view", "segment")  # without these three no clip can be analysed

_FREE, _ANY = "free", "any"  # a dimension that must be free, and one of which nothing is asked
Shape = tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A graph's inputs, and its first output."""

    inputs: Mapping[str, TensorEntry]
    output: TensorEntry


def check_graphs(folder: Path, manifest: Manifest) -> None:
    """See that the graphs are those that the node can use.

    Raises
    ------
    ManifestError
        A graph is missing, or its inputs or output differ from what the node gives and expects.
    """
    missing = [name for name in SERVED if name not in manifest.graphs]
    if missing:
        raise ManifestError(f"{folder}: the node needs the graphs {', '.join(SERVED)}; {missing[0]} is missing")
    tokens = _tokens(folder, manifest.graphs["encoder"])
    for name, signature in _signatures(manifest, tokens).items():
        if name not in manifest.graphs:
            continue  # a head that this package does without
        graph = manifest.graphs[name]
        if set(graph.inputs) != set(signature.inputs):
            raise ManifestError(
                f"{folder}: graph {name}: the manifest says that it takes {sorted(graph.inputs)}; "
                f"the node gives {sorted(signature.inputs)}"
            )
        for tensor, wanted in signature.inputs.items():
            _check(folder, f"graph {name}: {tensor}", graph.inputs[tensor], wanted)
        for tensor, stated in list(graph.outputs.items())[:1]:
            _check(folder, f"graph {name}: {tensor}", stated, signature.output)


def _signatures(manifest: Manifest, tokens: Shape) -> Mapping[str, Signature]:
    side = manifest.preprocess.size
    frames = _floats(_FREE, manifest.preprocess.channels, side, side)
    encoder = Signature(inputs={"frames": frames}, output=_floats(_FREE, *tokens))
    prompted = {
        "tokens": _floats(_FREE, *tokens),
        "frames": frames,
        "structure": _whole(_FREE),
        "points": _floats(_FREE, MAX_POINTS, 2),
        "kinds": _whole(_FREE, MAX_POINTS),
        "previous": _floats(_FREE, 1, LOW_RESOLUTION, LOW_RESOLUTION),
    }
    return {
        "encoder": encoder,
        "measuring": encoder,
        "view": Signature(
            inputs={"tokens": _floats(_FREE, _FREE, *tokens)}, output=_floats(_FREE, len(manifest.views))
        ),
        "segment": Signature(inputs=prompted, output=_floats(_FREE, 1, side, side)),
        "walls": Signature(
            inputs={"tokens": _floats(_FREE, *tokens), "frames": frames},
            output=_floats(_FREE, len(WallPoint), _ANY, _ANY),
        ),
        "ejection": Signature(
            inputs={"tokens": _floats(_FREE, _FREE, *tokens), "times": _floats(_FREE, _FREE)},
            output=_floats(_FREE, _FREE),
        ),
    }


def _tokens(folder: Path, encoder: GraphEntry) -> Shape:
    """How many tokens of what width the encoder gives for a frame; the other graphs must take as many."""
    name, output = next(iter(encoder.outputs.items()))
    if len(output.shape) != 3 or not all(isinstance(size, int) for size in output.shape[1:]):
        raise ManifestError(
            f"{folder}: graph encoder: the manifest says that {name} is {list(output.shape)}; "
            "the node expects [batch, tokens, width], the last two fixed"
        )
    return output.shape[1:]


def _check(folder: Path, place: str, stated: TensorEntry, wanted: TensorEntry) -> None:
    fits = len(stated.shape) == len(wanted.shape) and all(
        expected == _ANY or (isinstance(size, str) if expected == _FREE else size == expected)
        for size, expected in zip(stated.shape, wanted.shape, strict=True)
    )
    if stated.dtype != wanted.dtype or not fits:
        raise ManifestError(
            f"{folder}: {place}: the manifest says {stated.dtype} {list(stated.shape)}; "
            f"the node needs {wanted.dtype} {list(wanted.shape)}"
        )


def _floats(*shape: int | str) -> TensorEntry:
    return TensorEntry(dtype="float32", shape=shape)


def _whole(*shape: int | str) -> TensorEntry:
    return TensorEntry(dtype="int64", shape=shape)
