"""TensorRT, or TensorRT for RTX, through one API: all that knows how plans run.

Nothing here falls back: a plan that is missing, foreign, untried or refused is an error at start that says
what to do. Plans are built by ``export.plans``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from echo_node.errors import EngineError
from echo_node.inference.backend import Arrays, Precision
from echo_node.inference.buckets import buckets_of, check_free, parts, profiles_of
from echo_node.inference.cuda import Buffer, Cuda, Gpu
from echo_node.inference.grey import GREY, grey_entry, grey_sha256
from echo_node.inference.manifest import GraphEntry, Manifest
from echo_node.inference.plans import PlanCache, PlanKey

_MODULES = ("tensorrt", "tensorrt_rtx")  # the first that is installed
# What the builder is told, as it stands in every key. The last word is raised when export.half changes.
FLAGS = ("strongly typed", "no TF32", "fp16 graph 1")


def tensorrt_module() -> ModuleType:
    """The one that is installed.

    Raises
    ------
    EngineError
        None is.
    """
    for name in _MODULES:
        if find_spec(name) is not None:
            return import_module(name)
    raise EngineError("TensorRT is not installed: pip install 'echo-node[gpu]'; see docs/tensorrt.md")


def all_graphs(manifest: Manifest) -> Mapping[str, tuple[GraphEntry, str]]:
    """Every graph that gets a plan, with the sha256 of what it is built from; grey levels too."""
    graphs = {name: (graph, manifest.files[graph.file].sha256) for name, graph in manifest.graphs.items()}
    return graphs | {GREY: (grey_entry(manifest.preprocess), grey_sha256(manifest.preprocess))}


def plan_key(graph: GraphEntry, sha256: str, buckets: tuple[int, ...], *, trt: ModuleType, gpu: Gpu) -> PlanKey:
    """What a graph's plan is called on this machine."""
    device = gpu.device
    return PlanKey(
        onnx=sha256,
        builder=f"{trt.__name__} {trt.__version__}",
        flags=FLAGS,
        profiles=profiles_of(graph, buckets),
        cuda=device.runtime,
        driver=device.driver,
        gpu=device.name,
        compute=device.compute,
        memory=device.memory,
    )


class TensorRTRuntime:
    """The accepted plans of a package's graphs.

    Parameters
    ----------
    folder : Path
        The package.
    manifest : Manifest
        Its checked manifest.
    cache : PlanCache
        Where ``echo-node engines compile`` put the plans.

    Raises
    ------
    EngineError
        There is no GPU, no TensorRT, or a graph without an accepted plan.
    """

    precision = Precision.HALF

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        cache: PlanCache,
        *,
        trt: ModuleType | None = None,
        gpu: Gpu | None = None,
    ) -> None:
        gpu = gpu or Cuda()
        trt = trt or tensorrt_module()
        digest = hashlib.sha256()
        self._graphs = {}
        for name, (graph, sha256) in all_graphs(manifest).items():
            key = plan_key(graph, sha256, manifest.batch_buckets, trt=trt, gpu=gpu)
            try:
                plan = cache.read_accepted(key)
            except EngineError as error:
                raise EngineError(
                    f"graph {name} of {folder}: {error}; run echo-node engines compile {folder}"
                ) from error
            digest.update(hashlib.sha256(plan).digest())
            self._graphs[name] = PlannedGraph(name, graph, plan, manifest.batch_buckets, trt=trt, gpu=gpu)
        self.name = f"{trt.__name__} {trt.__version__} on {gpu.device.name}, plans {digest.hexdigest()[:16]}"

    def run(self, graph: str, inputs: Arrays) -> npt.NDArray[np.float32]:
        """The first output of a graph; grey levels u8 are normalised on the GPU."""
        return self._graphs[graph].run(inputs, grey=self._graphs[GREY])


class PlannedGraph:
    """One graph's plan on the device.

    Parameters
    ----------
    name : str
        Of the graph.
    graph : GraphEntry
        What it takes and gives.
    plan : bytes
        Made by this node: it is a program.
    buckets : tuple of int
        The package's batch buckets, as the plan was built for them.
    trt, gpu
        TensorRT's module and the device.
    """

    def __init__(
        self, name: str, graph: GraphEntry, plan: bytes, buckets: tuple[int, ...], *, trt: ModuleType, gpu: Gpu
    ) -> None:
        self._name, self._graph, self._gpu = name, graph, gpu
        self.buckets = buckets_of(graph, buckets)
        self._logger = trt.Logger(trt.Logger.WARNING)
        self._runtime = trt.Runtime(self._logger)
        self._runtime.engine_host_code_allowed = False
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(f"graph {name}: TensorRT refuses its plan; see its log above")
        self._lanes: dict[tuple[tuple[int, ...], ...], _Lane] = {}  # by the inputs' shapes

    def run(self, inputs: Arrays, *, grey: PlannedGraph | None = None) -> npt.NDArray[np.float32]:
        """The first output, for a batch of any size."""
        rows = {len(array) for array in inputs.values()}
        if set(inputs) != set(self._graph.inputs) or len(rows) != 1:
            raise EngineError(f"graph {self._name}: takes {sorted(self._graph.inputs)}, all with one batch size")
        found = [
            self.run_part({name: array[part] for name, array in inputs.items()}, bucket, grey=grey)
            for part, bucket in parts(rows.pop(), self.buckets)
        ]
        return np.concatenate(found)

    def run_part(self, inputs: Arrays, bucket: int, *, grey: PlannedGraph | None = None) -> npt.NDArray[np.float32]:
        """The first output, for a batch that one bucket holds."""
        for name, array in inputs.items():
            check_free(self._name, name, self._graph.inputs[name], array.shape)
        lane = self._lane(inputs, bucket)
        for name, array in inputs.items():
            wanted = self._graph.inputs[name].dtype
            if grey is not None and array.dtype == np.uint8 and wanted == "float32":
                self._gpu.copy(grey.on_device(array, bucket), lane.inputs[name])
            elif array.dtype == wanted:
                lane.fill(name, array)
            else:
                raise EngineError(f"graph {self._name}: {name} is {array.dtype}; the plan takes {wanted}")
        lane.execute()
        return lane.read()[: len(next(iter(inputs.values())))]

    def on_device(self, array: npt.NDArray[Any], bucket: int) -> Buffer:
        """The output for the graph's one input, left on the device."""
        (name,) = self._graph.inputs
        check_free(self._name, name, self._graph.inputs[name], array.shape)
        lane = self._lane({name: array}, bucket)
        lane.fill(name, array)
        lane.execute()
        return lane.output

    def _lane(self, inputs: Arrays, bucket: int) -> _Lane:
        shapes = {name: (bucket, *inputs[name].shape[1:]) for name in self._graph.inputs}
        key = tuple(shapes.values())
        if key not in self._lanes:
            profile = self.buckets.index(bucket)
            self._lanes[key] = _Lane(self._engine, profile, shapes, graph=self._graph, gpu=self._gpu)
        return self._lanes[key]


class _Lane:
    """A plan at one set of shapes: its context, its buffers, and its CUDA graph after the first run."""

    def __init__(
        self,
        engine: Any,
        profile: int,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        graph: GraphEntry,
        gpu: Gpu,
    ) -> None:
        self._gpu = gpu
        self._context = engine.create_execution_context()
        self._captured: Any = None
        _good(self._context.set_optimization_profile_async(profile, gpu.stream), f"profile {profile}")
        for name, shape in shapes.items():
            _good(self._context.set_input_shape(name, shape), f"{name} {list(shape)}")
        given = {name: tuple(self._context.get_tensor_shape(name)) for name in graph.outputs}
        self.inputs = {name: gpu.buffer(_bytes(shape, graph.inputs[name].dtype)) for name, shape in shapes.items()}
        outputs = {name: gpu.buffer(_bytes(shape, graph.outputs[name].dtype)) for name, shape in given.items()}
        self.output, self._shape = next(iter(outputs.values())), next(iter(given.values()))
        for name, buffer in (*self.inputs.items(), *outputs.items()):
            _good(self._context.set_tensor_address(name, buffer.address), f"the address of {name}")

    def fill(self, name: str, array: npt.NDArray[Any]) -> None:
        """Send an input; a batch short of the bucket is filled up with its last row, which is always valid."""
        buffer = self.inputs[name]
        rows = buffer.host.view(array.dtype).reshape(-1, *array.shape[1:])
        rows[: len(array)] = array
        rows[len(array) :] = array[-1]
        self._gpu.upload(buffer)

    def execute(self) -> None:
        """Run; what the first run settles must not be part of the CUDA graph that later ones launch."""
        if self._captured is not None:
            self._gpu.launch(self._captured)
            return
        self._enqueue()
        self._gpu.synchronise()
        self._captured = self._gpu.capture(self._enqueue)

    def read(self) -> npt.NDArray[np.float32]:
        """The output, of the whole bucket."""
        self._gpu.download(self.output)
        return self.output.host.view(np.float32).reshape(self._shape).copy()

    def _enqueue(self) -> None:
        _good(self._context.execute_async_v3(self._gpu.stream), "the run")


def _bytes(shape: tuple[int, ...], dtype: str) -> int:
    return int(np.prod(shape)) * np.dtype(dtype).itemsize


def _good(done: bool, what: str) -> None:
    if not done:
        raise EngineError(f"TensorRT refuses {what}; see its log above")
