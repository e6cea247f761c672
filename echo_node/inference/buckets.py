"""Batch buckets: the few batch sizes that a plan is built for, and the shapes that go with them.

Each bucket is an optimisation profile of its own with one fixed batch size: kernels are then chosen for
exactly what runs, and a CUDA graph needs fixed shapes anyway. A smaller batch is filled up to its bucket.
"""

from __future__ import annotations

from collections.abc import Iterator

from echo_node.errors import EngineError
from echo_node.inference.manifest import GraphEntry, TensorEntry
from echo_node.inference.plans import Profile, Range

# Least, best and largest size of a free dimension that is not the batch: frames of one clip, looked at together.
_FREE = (1, 8, 64)


def buckets_of(graph: GraphEntry, buckets: tuple[int, ...]) -> tuple[int, ...]:
    """A graph's batch buckets, ascending.

    A graph with a second free dimension reads whole clips, one at a time, and only the smallest bucket is of
    use to it: its larger ones would take gigabytes.

    Raises
    ------
    EngineError
        The batch is not the first dimension of every input and output.
    """
    tensors = {**graph.inputs, **graph.outputs}
    batch = _batch_word(graph)
    wrong = [name for name, tensor in tensors.items() if tensor.shape[:1] != (batch,)]
    if not batch or wrong:
        raise EngineError(f"{graph.file}: {', '.join(wrong or tensors)}: the first dimension is not the batch")
    words = {size for tensor in graph.inputs.values() for size in tensor.shape if isinstance(size, str)}
    return tuple(sorted(set(buckets)))[: None if words == {batch} else 1]


def profiles_of(graph: GraphEntry, buckets: tuple[int, ...]) -> tuple[Profile, ...]:
    """One profile per bucket: every input's least, best and largest shape."""
    batch = _batch_word(graph)
    return tuple(
        {name: _range(tensor, batch, bucket) for name, tensor in graph.inputs.items()}
        for bucket in buckets_of(graph, buckets)
    )


def check_free(graph: str, name: str, tensor: TensorEntry, shape: tuple[int, ...]) -> None:
    """See that an array fits its input; the batch may have any size.

    Raises
    ------
    EngineError
        It does not: what is wanted, and what came.
    """
    fits = len(shape) == len(tensor.shape) and all(
        _FREE[0] <= size <= _FREE[2] if isinstance(wanted, str) else size == wanted
        for wanted, size in zip(tensor.shape[1:], shape[1:], strict=True)
    )
    if not fits:
        raise EngineError(f"graph {graph}: {name} is {list(shape)}; the plan takes {list(tensor.shape)}")


def parts(rows: int, buckets: tuple[int, ...]) -> Iterator[tuple[slice, int]]:
    """A batch in parts, each with the smallest bucket that holds it; what no bucket holds goes in several."""
    start = 0
    while start < rows:
        bucket = next((size for size in buckets if size >= rows - start), buckets[-1])
        yield slice(start, min(rows, start + bucket)), bucket
        start += bucket


def _batch_word(graph: GraphEntry) -> str:
    """The word of the first input's first dimension; empty where it is fixed."""
    first = next(iter(graph.inputs.values())).shape[:1]
    return first[0] if first and isinstance(first[0], str) else ""


def _range(tensor: TensorEntry, batch: str, bucket: int) -> Range:
    """A tensor's least, best and largest shape in a bucket."""

    def shape(free: int) -> tuple[int, ...]:
        sizes = {batch: bucket}
        return tuple(sizes.get(axis, free) if isinstance(axis, str) else axis for axis in tensor.shape)

    return shape(_FREE[0]), shape(_FREE[1]), shape(_FREE[2])
