"""What the engine asks of a runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from echo_node.config import Backend
from echo_node.inference.manifest import Manifest

Arrays = Mapping[str, npt.NDArray[Any]]


class Runtime(Protocol):
    """A runtime with an engine's graphs loaded."""

    name: str  # with version and device, as it stands in every result

    def run(self, graph: str, inputs: Arrays) -> npt.NDArray[np.float32]:
        """The first output of a graph."""
        ...


def open_runtime(backend: Backend, folder: Path, manifest: Manifest, *, threads: int) -> Runtime:
    """Load a package's graphs into the runtime that the site chose; there is no fallback.

    Raises
    ------
    EngineError
        The runtime or its device is not there, or refuses a graph.
    """
    if backend is Backend.TENSORRT:
        from echo_node.inference.tensorrt_backend import TensorRTRuntime

        return TensorRTRuntime(folder, manifest)
    from echo_node.inference.onnxruntime_backend import OnnxRuntime

    return OnnxRuntime(folder, manifest, threads=threads, on_gpu=backend is Backend.ONNXRUNTIME_CUDA)
