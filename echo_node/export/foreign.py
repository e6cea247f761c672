"""ONNX files from elsewhere: read with suspicion, before any runtime sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

from echo_node.errors import EngineError
from echo_node.inference.manifest import GraphEntry, TensorEntry

_LARGEST = (2 << 30) - 1  # bytes, of one protobuf message: what is larger needs data outside the file
_DOMAINS = frozenset({"", "ai.onnx"})
_DTYPES: Mapping[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.INT64: "int64",
    TensorProto.UINT8: "uint8",
}


def read_foreign(path: Path) -> ModelProto:
    """A graph of which every byte is in its file and every operator in the standard.

    Raises
    ------
    EngineError
        It is no ONNX, too large, or refers to files, operators or functions of its own.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise EngineError(f"{path}: has {size} bytes; a graph may have {_LARGEST}")
        model = onnx.load_model_from_string(path.read_bytes())
        outside = sorted({tensor.name for tensor in _tensors(model.graph) if _is_outside(tensor)})
        if outside:
            raise EngineError(f"{path}: {outside[0]} lies outside the file; save the graph with its data inside")
        _check_operators(path, model)
        onnx.checker.check_model(model)
    except OSError as error:
        raise EngineError(f"{path}: cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise EngineError(f"{path}: is no ONNX") from error
    except onnx.checker.ValidationError as error:
        raise EngineError(f"{path}: is not valid ONNX: {error}") from error
    return model


def without_notes(model: ModelProto) -> ModelProto:
    """The same graph without what its exporter noted down: source lines and paths of whose machine it was."""
    bare = ModelProto()
    bare.CopyFrom(model)
    bare.doc_string = ""
    for graph in _graphs(bare.graph):
        graph.doc_string = ""
        noted = (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer)
        for part in (bare, graph, *noted):
            del part.metadata_props[:]
        for part in noted:
            part.doc_string = ""
    return bare


def describe(path: Path, model: ModelProto, file: str) -> GraphEntry:
    """A graph's inputs and outputs, as a manifest states them.

    Raises
    ------
    EngineError
        A type that the node does not know, or a dimension without size and name.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if not inputs or not model.graph.output:
        raise EngineError(f"{path}: takes or gives nothing")
    return GraphEntry(
        file=file,
        inputs={value.name: _entry(path, value) for value in inputs},
        outputs={value.name: _entry(path, value) for value in model.graph.output},
    )


def _check_operators(path: Path, model: ModelProto) -> None:
    domains = {node.domain for graph in _graphs(model.graph) for node in graph.node}
    domains |= {opset.domain for opset in model.opset_import}
    foreign = sorted(domains - _DOMAINS)
    if foreign:
        raise EngineError(f"{path}: has operators of {', '.join(foreign)}; only the standard's own are read")
    if model.functions:
        raise EngineError(f"{path}: has functions of its own ({model.functions[0].name}); inline them first")


def _entry(path: Path, value: ValueInfoProto) -> TensorEntry:
    tensor = value.type.tensor_type
    if tensor.elem_type not in _DTYPES:
        kind = TensorProto.DataType.Name(tensor.elem_type)
        raise EngineError(f"{path}: {value.name} is {kind}; the node knows {', '.join(_DTYPES.values())}")
    shape = tuple(d.dim_param or d.dim_value for d in tensor.shape.dim)
    if not tensor.HasField("shape") or 0 in shape:
        raise EngineError(f"{path}: {value.name} has a dimension without size and name")
    return TensorEntry(dtype=_DTYPES[tensor.elem_type], shape=shape)


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and all inside it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if _holds_graph(attribute) else ():
                yield from _graphs(inner)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Every tensor in a graph and in all inside it."""
    for part in _graphs(graph):
        yield from part.initializer
        for sparse in part.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for node in part.node:
            for attribute in node.attribute:
                sparse_tensors = (attribute.sparse_tensor, *attribute.sparse_tensors)
                yield from (attribute.t, *attribute.tensors)
                yield from (tensor for s in sparse_tensors for tensor in (s.values, s.indices))


def _is_outside(tensor: TensorProto) -> bool:
    return bool(tensor.external_data) or tensor.data_location == TensorProto.EXTERNAL


def _holds_graph(attribute: onnx.AttributeProto) -> bool:
    return attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
