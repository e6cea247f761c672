"""TensorRT: built plans are not served by this version.

A plan may serve only after it has matched golden inputs on the very GPU (fused attention is silently
wrong in some releases), and that acceptance is not built yet. A site that asks for TensorRT is told so
at start; nothing falls back silently.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import numpy.typing as npt

from echo_node.errors import EngineError
from echo_node.inference.backend import Arrays
from echo_node.inference.manifest import Manifest


class TensorRTRuntime:
    """Refuses, and says which of driver, package and acceptance is missing."""

    name = "tensorrt"

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        if not _has_cuda_driver():
            raise EngineError("analyse.backend is tensorrt, but no CUDA driver answers on this machine")
        raise EngineError(
            f"{folder}: engine {manifest.name} has no accepted TensorRT plan; "
            "this version serves onnxruntime-cuda on a GPU"
        )

    def run(self, graph: str, inputs: Arrays) -> npt.NDArray[np.float32]:
        """Never reached: the constructor always raises."""
        raise EngineError(f"graph {graph} with {len(inputs)} inputs: no TensorRT plan is loaded")


def _has_cuda_driver() -> bool:
    """Ask the driver itself: TensorRT's runtime crashes where there is none."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
