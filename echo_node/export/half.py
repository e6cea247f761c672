"""The half-precision graph: derived from the fp32 master, for runtimes that take their precision from the graph.

Its inputs and outputs stay fp32, so that it stands wherever the master does. Inside, all that floats does so
in fp16, but for what leads to a sine or cosine: eleven bits are too few for an angle of many turns.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper, shape_inference

from echo_node.errors import EngineError

_ANGLES = frozenset({"Sin", "Cos"})
_CONSTANTS = frozenset({"Constant", "ConstantOfShape", "Range"})  # made whole, and cast where they are used
_FULL_INPUTS = {"Resize": (1, 2)}  # region and scales, which the standard has in fp32 only
_CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})
_LARGEST = float(np.finfo(np.float16).max)
_FULL, _HALF = int(TensorProto.FLOAT), int(TensorProto.FLOAT16)
_SUFFIX = {_FULL: "full", _HALF: "half"}


def halved(master: ModelProto) -> ModelProto:
    """The half-precision graph of a master.

    Parameters
    ----------
    master : ModelProto
        An fp32 graph.

    Raises
    ------
    EngineError
        It is not valid, has control flow, or has a weight that half precision cannot hold.
    """
    try:
        return _halved(master)
    except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
        raise EngineError(f"graph {master.graph.name}: is not valid: {error}") from error


def _halved(master: ModelProto) -> ModelProto:
    found = sorted({node.op_type for node in master.graph.node} & _CONTROL_FLOW)
    if found:
        raise EngineError(f"graph {master.graph.name}: has {', '.join(found)}; no half precision is derived of it")
    typed = shape_inference.infer_shapes(master, strict_mode=True, data_prop=True).graph
    kept = _kept_full(typed.node)
    conversion = _Conversion(typed)
    for index, node in enumerate(typed.node):
        conversion.add(node, _FULL if index in kept else _HALF)
    model = ModelProto()
    model.CopyFrom(master)
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(conversion.nodes)
    model.graph.value_info.extend(conversion.typed(value) for value in typed.value_info)
    used = {name for node in conversion.nodes for name in node.input}
    model.graph.initializer.extend(w for w in conversion.initializers.values() if w.name in used)
    onnx.checker.check_model(model)
    return shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)  # every node's types agree


class _Conversion:
    """The new graph's nodes and initializers, as they come about."""

    def __init__(self, typed: onnx.GraphProto) -> None:
        values = (*typed.input, *typed.output, *typed.value_info)
        self.nodes: list[NodeProto] = []
        self.initializers = {tensor.name: tensor for tensor in typed.initializer}
        self._floats = {v.name for v in values if v.type.tensor_type.elem_type == _FULL}
        self._floats |= {w.name for w in typed.initializer if w.data_type == _FULL}
        self._results = {output.name for output in typed.output}
        whole = [value.name for value in typed.input] + list(self.initializers)
        self._names = {(name, _FULL): name for name in whole}  # of a value in a precision

    def add(self, node: NodeProto, precision: int) -> None:
        """Append a node, with casts where two precisions meet."""
        new = NodeProto()
        new.CopyFrom(node)
        full = _FULL_INPUTS.get(node.op_type, ())
        for slot, name in enumerate(node.input):
            if name in self._floats:
                new.input[slot] = self._named(name, _FULL if slot in full else precision)
        for attribute in new.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == _FULL:
                attribute.i = precision
        self.nodes.append(new)
        for slot, name in enumerate(node.output):
            if name in self._floats:
                new.output[slot] = self._produced(name, precision)

    def typed(self, value: ValueInfoProto) -> ValueInfoProto:
        """What is known of a value, as it is now: of some operators it cannot be inferred."""
        new = ValueInfoProto()
        new.CopyFrom(value)
        if self._names.get((value.name, _HALF)) == value.name:
            new.type.tensor_type.elem_type = _HALF
        return new

    def _produced(self, name: str, precision: int) -> str:
        """What a node's output is called; a graph's own output keeps its name and is whole."""
        if precision == _HALF and name in self._results:
            inner = self._names[name, _HALF] = f"{name}_half"
            self._cast(inner, name, _FULL)
            self._names[name, _FULL] = name
            return inner
        self._names[name, precision] = name
        return name

    def _named(self, name: str, precision: int) -> str:
        """A value's name in a precision; made where it is not there yet."""
        if (name, precision) not in self._names:
            other = f"{name}_{_SUFFIX[precision]}"
            self._names[name, precision] = other
            if name in self.initializers:
                self.initializers[other] = _half_weight(self.initializers[name], other)
            else:
                self._cast(name, other, precision)
        wanted: str = self._names[name, precision]
        return wanted

    def _cast(self, name: str, into: str, precision: int) -> None:
        self.nodes.append(helper.make_node("Cast", [name], [into], to=precision))


def _half_weight(weight: TensorProto, name: str) -> TensorProto:
    values = numpy_helper.to_array(weight)
    largest = np.abs(values[np.isfinite(values)]).max(initial=0)
    if largest > _LARGEST:
        raise EngineError(f"weight {weight.name}: {largest:.3g} is more than half precision's {_LARGEST:.0f}")
    return numpy_helper.from_array(values.astype(np.float16), name)


def _kept_full(nodes: Iterable[NodeProto]) -> frozenset[int]:
    """Indices of the nodes that stay in fp32: constants, angles, and all that leads to these."""
    ordered = list(nodes)
    wanted: set[str] = set()
    kept = set()
    for index in reversed(range(len(ordered))):
        node = ordered[index]
        if node.op_type in _ANGLES or not wanted.isdisjoint(node.output):
            kept.add(index)
            wanted.update(node.input)
        elif node.op_type in _CONSTANTS:
            kept.add(index)
    return frozenset(kept)
