"""CUDA as a backend needs it: the device, one stream, buffers and graphs. All that knows ``cuda.bindings``."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from echo_node.errors import EngineError

_DRIVER_BUILD = Path("/sys/module/nvidia/version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What a plan is built for, beside the builder itself."""

    name: str
    compute: str  # capability, like 9.0
    memory: int  # bytes
    driver: str
    runtime: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Buffer:
    """Memory on the device, and pinned memory of the same size beside it."""

    address: int  # on the device
    host: npt.NDArray[np.uint8]  # [bytes]


class Gpu(Protocol):
    """What the TensorRT backend asks of CUDA. All work goes, in order, through one stream."""

    device: Device
    stream: int

    def buffer(self, size: int) -> Buffer:
        """Memory of so many bytes."""
        ...

    def upload(self, buffer: Buffer) -> None:
        """Host to device."""
        ...

    def download(self, buffer: Buffer) -> None:
        """Device to host; it is there when this returns."""
        ...

    def copy(self, source: Buffer, target: Buffer) -> None:
        """Device to device, the target's size."""
        ...

    def synchronise(self) -> None:
        """Wait for all work."""
        ...

    def capture(self, work: Callable[[], None]) -> Any:
        """The work as a graph; it is recorded, not done."""
        ...

    def launch(self, graph: Any) -> None:
        """Do a graph's work."""
        ...


def has_driver() -> bool:
    """Ask the driver itself: TensorRT's runtime crashes where there is none."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


class Cuda:
    """The first device that CUDA shows; ``CUDA_VISIBLE_DEVICES`` chooses it.

    Raises
    ------
    EngineError
        No driver answers, its Python bindings are missing, or a call fails.
    """

    def __init__(self) -> None:
        if not has_driver():
            raise EngineError("TensorRT needs a GPU, but no CUDA driver answers on this machine")
        try:
            from cuda.bindings import runtime
        except ImportError as error:
            raise EngineError("TensorRT needs the package cuda-bindings: pip install 'echo-node[gpu]'") from error
        self._cuda = runtime
        self.device = self._describe()
        self._stream = self._do("cudaStreamCreateWithFlags", runtime.cudaStreamNonBlocking)
        self.stream = int(self._stream)

    def buffer(self, size: int) -> Buffer:
        """Memory of so many bytes; kept until the process ends, as plans are."""
        host = self._do("cudaHostAlloc", size, self._cuda.cudaHostAllocDefault)
        array = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(int(host)))
        return Buffer(address=int(self._do("cudaMalloc", size)), host=array)

    def upload(self, buffer: Buffer) -> None:
        """Host to device."""
        self._copy(buffer.address, buffer.host.ctypes.data, len(buffer.host), "cudaMemcpyHostToDevice")

    def download(self, buffer: Buffer) -> None:
        """Device to host; it is there when this returns."""
        self._copy(buffer.host.ctypes.data, buffer.address, len(buffer.host), "cudaMemcpyDeviceToHost")
        self.synchronise()

    def copy(self, source: Buffer, target: Buffer) -> None:
        """Device to device, the target's size."""
        self._copy(target.address, source.address, len(target.host), "cudaMemcpyDeviceToDevice")

    def synchronise(self) -> None:
        """Wait for all work."""
        self._do("cudaStreamSynchronize", self._stream)

    def capture(self, work: Callable[[], None]) -> Any:
        """The work as a graph; it is recorded, not done."""
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._do("cudaStreamBeginCapture", self._stream, mode)
        work()
        return self._do("cudaGraphInstantiate", self._do("cudaStreamEndCapture", self._stream), 0)

    def launch(self, graph: Any) -> None:
        """Do a graph's work."""
        self._do("cudaGraphLaunch", graph, self._stream)

    def _copy(self, target: int, source: int, size: int, kind: str) -> None:
        kinds = self._cuda.cudaMemcpyKind
        self._do("cudaMemcpyAsync", target, source, size, getattr(kinds, kind), self._stream)

    def _describe(self) -> Device:
        properties = self._do("cudaGetDeviceProperties", 0)
        build = _DRIVER_BUILD.read_text(encoding="ascii").strip() if _DRIVER_BUILD.exists() else "build unknown"
        return Device(
            name=properties.name.rstrip(b"\0").decode("ascii", "replace"),
            compute=f"{properties.major}.{properties.minor}",
            memory=int(properties.totalGlobalMem),
            driver=f"{self._do('cudaDriverGetVersion')} {build}",
            runtime=str(self._do("cudaRuntimeGetVersion")),
        )

    def _do(self, function: str, *args: Any) -> Any:
        """Call the CUDA runtime; its first result is the error, the second what was asked for."""
        error, *values = getattr(self._cuda, function)(*args)
        if int(error) != 0:
            raise EngineError(f"CUDA: {function} failed: {error}")
        return values[0] if values else None
