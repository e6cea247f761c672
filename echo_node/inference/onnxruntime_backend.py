"""ONNX Runtime, on a CPU or through CUDA: all that knows it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from echo_node.errors import EngineError, ManifestError
from echo_node.inference.backend import Arrays, Precision
from echo_node.inference.manifest import GraphEntry, Manifest, TensorEntry
from echo_node.inference.preprocess import scaled

_PROVIDERS = {False: "CPUExecutionProvider", True: "CUDAExecutionProvider"}
_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(uint8)": "uint8"}
# What ONNX Runtime raises: its own classes share no base but Exception.
_REFUSALS = (
    RuntimeError,
    ValueError,
    state.EPFail,
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NotImplemented,
    state.RuntimeException,
)


class OnnxRuntime:
    """One session per graph.

    Parameters
    ----------
    folder : Path
        The package.
    manifest : Manifest
        Its checked manifest.
    threads : int
        Of one run; 0 for all cores.
    on_gpu : bool
        Which of the two execution providers; the other is never used instead.
    """

    precision = Precision.FULL

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int, on_gpu: bool) -> None:
        provider = _PROVIDERS[on_gpu]
        if provider not in onnxruntime.get_available_providers():
            raise EngineError(f"{provider} is not available in this ONNX Runtime; see docs/install.md")
        options = onnxruntime.SessionOptions()
        # With a number it pins no thread to a core, which the systemd unit forbids.
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        self.name = f"onnxruntime-{'cuda' if on_gpu else 'cpu'} {onnxruntime.__version__}"
        self._manifest = manifest
        self._sessions = {}
        for name, graph in manifest.graphs.items():
            try:
                session = onnxruntime.InferenceSession(
                    (folder / graph.file).read_bytes(), options, providers=[provider]
                )
            except _REFUSALS as error:
                raise EngineError(f"{folder / graph.file}: ONNX Runtime refuses it: {error}") from error
            if provider not in session.get_providers():
                raise EngineError(f"{provider} cannot be loaded, and no other is used instead; see docs/install.md")
            _check(folder / graph.file, graph, session)
            self._sessions[name] = session

    def run(self, graph: str, inputs: Arrays) -> npt.NDArray[np.float32]:
        """The first output of a graph; grey levels u8 are normalised first."""
        taken, settings = self._manifest.graphs[graph].inputs, self._manifest.preprocess
        feed = {
            name: scaled(array, mean=settings.mean, std=settings.std)
            if array.dtype == np.uint8 and taken[name].dtype == "float32"
            else array
            for name, array in inputs.items()
        }
        try:
            return np.asarray(self._sessions[graph].run(None, feed)[0], np.float32)
        except _REFUSALS as error:
            raise EngineError(f"graph {graph}: ONNX Runtime fails: {error}") from error


def _check(path: Path, graph: GraphEntry, session: onnxruntime.InferenceSession) -> None:
    """The graph must take and give what the manifest says."""
    for kind, stated, found in (
        ("input", graph.inputs, session.get_inputs()),
        ("output", graph.outputs, session.get_outputs()),
    ):
        real = {tensor.name: tensor for tensor in found}
        if set(real) != set(stated):
            raise ManifestError(f"{path}: {kind}s are {sorted(real)}; the manifest says {sorted(stated)}")
        for name, entry in stated.items():
            dtype = _DTYPES.get(real[name].type, real[name].type)
            if dtype != entry.dtype or not _fits(entry, real[name].shape):
                raise ManifestError(
                    f"{path}: {kind} {name} is {dtype} {list(real[name].shape)}; "
                    f"the manifest says {entry.dtype} {list(entry.shape)}"
                )


def _fits(entry: TensorEntry, shape: list[int | str]) -> bool:
    """Fixed dimensions are equal; free ones are free in both."""
    return len(entry.shape) == len(shape) and all(
        isinstance(stated, str) == isinstance(real, str) and (isinstance(real, str) or stated == real)
        for stated, real in zip(entry.shape, shape, strict=True)
    )
