"""TensorRT plans: built from a package's graphs, for this machine, and held against the golden values.

Building needs no GPU where TensorRT for RTX is installed, and a GPU where TensorRT is; accepting always
needs the GPU that the plan will serve on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from echo_node.errors import EngineError
from echo_node.export.half import halved
from echo_node.inference.backend import Arrays, Precision
from echo_node.inference.buckets import profiles_of
from echo_node.inference.cuda import Cuda, Gpu
from echo_node.inference.golden import allowed, load_golden
from echo_node.inference.grey import FRAMES, GREY, LEVELS, grey_entry, grey_golden
from echo_node.inference.manifest import GraphEntry, Preprocess, load_manifest
from echo_node.inference.plans import Acceptance, PlanCache
from echo_node.inference.tensorrt_backend import PlannedGraph, all_graphs, plan_key, tensorrt_module

_OPSET = 23


def compile_package(
    folder: Path, cache: PlanCache, *, trt: ModuleType | None = None, gpu: Gpu | None = None
) -> Iterator[tuple[str, Acceptance]]:
    """Build and try a plan for every graph of a package; plans that are there are tried again.

    Parameters
    ----------
    folder : Path
        The package.
    cache : PlanCache
        Where the plans go.
    trt, gpu
        TensorRT's module and the device; this machine's where left out.

    Yields
    ------
    str, Acceptance
        Each graph and what its plan gave, which is kept with the plan.

    Raises
    ------
    EngineError
        There is no GPU or no TensorRT, or a graph cannot be built.
    """
    manifest, _ = load_manifest(folder)
    gpu = gpu or Cuda()
    trt = trt or tensorrt_module()
    with cache.locked():
        for name, (graph, sha256) in all_graphs(manifest).items():
            key = plan_key(graph, sha256, manifest.batch_buckets, trt=trt, gpu=gpu)
            is_grey = name == GREY
            if not cache.holds(key):
                model = grey_graph(manifest.preprocess) if is_grey else halved(onnx.load(folder / graph.file))
                cache.write(key, build_plan(model, graph, manifest.batch_buckets, trt=trt))
            golden = grey_golden(manifest.preprocess) if is_grey else load_golden(folder, manifest, name)
            planned = PlannedGraph(name, graph, cache.read(key), manifest.batch_buckets, trt=trt, gpu=gpu)
            acceptance = try_plan(planned, graph, golden)
            cache.accept(key, acceptance)
            yield name, acceptance


def build_plan(model: ModelProto, graph: GraphEntry, buckets: tuple[int, ...], *, trt: ModuleType) -> bytes:
    """A serialised plan with one optimisation profile per batch bucket.

    Raises
    ------
    EngineError
        TensorRT cannot read or build the graph; its own words.
    """
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.SerializeToString()):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        words = "; ".join(f"{error.node_operator()}: {error.desc()}" for error in errors)
        raise EngineError(f"{graph.file}: TensorRT cannot read it: {words}")
    settings = builder.create_builder_config()
    settings.clear_flag(trt.BuilderFlag.TF32)  # what stayed fp32 stays fp32
    for shapes in profiles_of(graph, buckets):
        profile: Any = builder.create_optimization_profile()
        for name, (least, best, largest) in shapes.items():
            profile.set_shape(name, least, best, largest)
        settings.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, settings)
    if plan is None:
        raise EngineError(f"{graph.file}: TensorRT cannot build it; see its log above")
    return bytes(plan)


def grey_graph(settings: Preprocess) -> ModelProto:
    """Grey levels u8 to the encoder's input: ``preprocess.scaled``, as a graph."""
    constants = {"white": 255.0, "mean": settings.mean, "std": settings.std}
    entry = grey_entry(settings)
    nodes = [
        helper.make_node("Cast", [LEVELS], ["whole"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["whole", "white"], ["share"]),
        helper.make_node("Sub", ["share", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], [FRAMES]),
    ]
    graph = helper.make_graph(
        nodes,
        "grey",
        [helper.make_tensor_value_info(LEVELS, TensorProto.UINT8, entry.inputs[LEVELS].shape)],
        [helper.make_tensor_value_info(FRAMES, TensorProto.FLOAT, entry.outputs[FRAMES].shape)],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=10)


def try_plan(planned: PlannedGraph, graph: GraphEntry, golden: Arrays) -> Acceptance:
    """Hold a plan against golden values at every batch bucket, full and one row short of full."""
    (output,) = list(graph.outputs)[:1]
    expected = golden[f"out_{output}"]
    differences = {}
    for bucket in planned.buckets:
        rows = np.arange(max(2 * bucket - 1, len(expected))) % len(expected)
        found = [
            planned.run_part({name: golden[f"in_{name}"][part] for name in graph.inputs}, bucket)
            for part in np.split(rows, range(bucket, len(rows), bucket))
        ]
        largest = np.abs(np.concatenate(found) - expected[rows]).max()
        differences[str(bucket)] = float(largest) if np.isfinite(largest) else float("inf")
    return Acceptance(differences=differences, allowed=allowed(output, expected, Precision.HALF))
