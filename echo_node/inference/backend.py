"""What the engine asks of a runtime."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from echo_node.config import Backend
from echo_node.errors import EngineError
from echo_node.inference.manifest import Manifest
from echo_node.inference.plans import PlanCache

Arrays = Mapping[str, npt.NDArray[Any]]


class Precision(enum.Enum):
    """What a runtime computes in; golden values are fp32."""

    FULL = "fp32"
    HALF = "fp16"


class Runtime(Protocol):
    """A runtime with an engine's graphs loaded."""

    name: str  # with version and device, as it stands in every result
    precision: Precision

    def run(self, graph: str, inputs: Arrays) -> npt.NDArray[np.float32]:
        """The first output of a graph.

        An input that the graph takes as float32 may come as grey levels u8: the runtime then normalises it,
        as the manifest's ``preprocess`` says.
        """
        ...


def open_runtime(
    backend: Backend, folder: Path, manifest: Manifest, *, threads: int, plans: PlanCache | None = None
) -> Runtime:
    """Load a package's graphs into the runtime that the site chose; there is no fallback.

    Parameters
    ----------
    backend : Backend
        The runtime.
    folder, manifest
        The package.
    threads : int
        Of a CPU runtime; 0 for all cores.
    plans : PlanCache, optional
        TensorRT's plans; no other runtime has any.

    Raises
    ------
    EngineError
        The runtime or its device is not there, or refuses a graph.
    """
    if backend is Backend.TENSORRT:
        from echo_node.inference.tensorrt_backend import TensorRTRuntime

        if plans is None:
            raise EngineError("TensorRT serves plans from the node's cache, and none was named")
        return TensorRTRuntime(folder, manifest, plans)
    from echo_node.inference.onnxruntime_backend import OnnxRuntime

    return OnnxRuntime(folder, manifest, threads=threads, on_gpu=backend is Backend.ONNXRUNTIME_CUDA)
