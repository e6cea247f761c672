"""Golden values: what a package's graphs gave where they were made, asked again where they serve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from echo_node.errors import EngineError
from echo_node.inference.backend import Arrays, Precision, Runtime
from echo_node.inference.manifest import Manifest

TOLERANCE = 2e-4  # largest difference of outputs, of about 10 in size, in fp32
HALF_TOLERANCE = 5e-3  # in fp16, as a share of the largest output: half precision has a step of 5e-4 of it
_SHARES = ("ejection",)  # outputs that are shares, of which that allows half a point


def golden_file(graph: str) -> str:
    """The file in the package that holds a graph's golden inputs and outputs."""
    return f"golden-{graph}.npz"


def allowed(output: str, expected: npt.NDArray[np.float32], precision: Precision) -> float:
    """The largest difference with which an output still is the golden one."""
    if precision is Precision.FULL:
        return TOLERANCE
    return HALF_TOLERANCE * (1.0 if output in _SHARES else float(np.abs(expected).max()))


def load_golden(folder: Path, manifest: Manifest, graph: str) -> Arrays:
    """A graph's golden values: ``in_`` and ``out_`` with each tensor's name.

    Raises
    ------
    EngineError
        The package has none.
    """
    path = folder / golden_file(graph)
    if path.name not in manifest.files:
        raise EngineError(f"{folder}: graph {graph} has no {path.name}")
    with np.load(path, allow_pickle=False) as values:
        return dict(values)


def check_golden(folder: Path, manifest: Manifest, runtime: Runtime) -> Mapping[str, float]:
    """Run every graph on its golden inputs.

    Returns
    -------
    mapping
        The largest difference of each graph.

    Raises
    ------
    EngineError
        A difference is above what :func:`allowed` says, or a graph has no golden values: on this machine, with
        this runtime, the engine is not the one whose figures stand on its card.
    """
    differences = {}
    for name, graph in manifest.graphs.items():
        values = load_golden(folder, manifest, name)
        found = runtime.run(name, {i: values[f"in_{i}"] for i in graph.inputs})
        output = next(iter(graph.outputs))
        expected = values[f"out_{output}"]
        differences[name] = float(np.abs(found - expected).max())
        limit = allowed(output, expected, runtime.precision)
        if not differences[name] <= limit:
            raise EngineError(
                f"{folder}: graph {name} on {runtime.name} differs from its golden values by "
                f"{differences[name]:.1e}; {limit:.0e} is allowed"
            )
    return differences
