"""Golden values: what a package's graphs gave where they were made, asked again where they serve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from echo_node.errors import EngineError
from echo_node.inference.backend import Runtime
from echo_node.inference.manifest import Manifest

TOLERANCE = 2e-4  # largest difference of outputs, of about 10 in size, in fp32


def golden_file(graph: str) -> str:
    """The file in the package that holds a graph's golden inputs and outputs."""
    return f"golden-{graph}.npz"


def check_golden(folder: Path, manifest: Manifest, runtime: Runtime) -> Mapping[str, float]:
    """Run every graph on its golden inputs.

    Returns
    -------
    mapping
        The largest difference of each graph.

    Raises
    ------
    EngineError
        A difference is above :data:`TOLERANCE`, or a graph has no golden values: on this machine, with this
        runtime, the engine is not the one whose figures stand on its card.
    """
    differences = {}
    for name, graph in manifest.graphs.items():
        path = folder / golden_file(name)
        if path.name not in manifest.files:
            raise EngineError(f"{folder}: graph {name} has no {path.name}")
        with np.load(path, allow_pickle=False) as values:
            found = runtime.run(name, {i: values[f"in_{i}"] for i in graph.inputs})
            expected = values[f"out_{next(iter(graph.outputs))}"]
        differences[name] = float(np.abs(found - expected).max())
        if not differences[name] <= TOLERANCE:
            raise EngineError(
                f"{folder}: graph {name} on {runtime.name} differs from its golden values by "
                f"{differences[name]:.1e}; {TOLERANCE:.0e} is allowed"
            )
    return differences
