"""Which shapes a plan is built for, and which bucket a batch takes."""

from pathlib import Path

import pytest

from echo_node.errors import EngineError
from echo_node.inference.buckets import buckets_of, check_free, parts, profiles_of
from echo_node.inference.manifest import GraphEntry, TensorEntry, load_manifest

GRAPHS = load_manifest(Path(__file__).parents[3] / "engines" / "echoapex-tiny-phantom")[0].graphs


def test_a_profile_has_one_batch_size():
    profiles = profiles_of(GRAPHS["segment"], (8, 1, 32))
    assert [p["kinds"] for p in profiles] == [((n, 8),) * 3 for n in (1, 8, 32)]


def test_a_graph_over_time_takes_one_clip_of_any_length():
    assert buckets_of(GRAPHS["view"], (1, 8, 32)) == (1,)
    (profile,) = profiles_of(GRAPHS["view"], (1, 8, 32))
    assert profile["tokens"] == ((1, 1, 197, 128), (1, 8, 197, 128), (1, 64, 197, 128))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(1, [(0, 1, 1)]), (2, [(0, 2, 8)]), (8, [(0, 8, 8)]), (33, [(0, 32, 32), (32, 33, 1)])],
)
def test_the_smallest_bucket_that_holds_a_part(rows, expected):
    assert [(p.start, p.stop, bucket) for p, bucket in parts(rows, (1, 8, 32))] == expected


@pytest.mark.parametrize("shape", [(3, 1, 112), (3, 1, 112, 111), (3, 2, 112, 112)])
def test_an_array_that_does_not_fit_never_reaches_the_device(shape):
    with pytest.raises(EngineError, match=r"graph encoder: frames is \[3, .*takes \['batch', 3, 112, 112\]"):
        check_free("encoder", "frames", GRAPHS["encoder"].inputs["frames"], shape)


def test_time_has_bounds():
    with pytest.raises(EngineError, match="graph view: tokens"):
        check_free("view", "tokens", GRAPHS["view"].inputs["tokens"], (1, 65, 197, 128))


@pytest.mark.parametrize(("first", "second"), [((4,), ("batch",)), (("batch",), (4, "batch")), ((), ("batch",))])
def test_a_graph_without_a_batch_is_refused(first, second):
    graph = GraphEntry(
        file="g.onnx",
        inputs={"a": TensorEntry(dtype="float32", shape=first)},
        outputs={"b": TensorEntry(dtype="float32", shape=second)},
    )
    with pytest.raises(EngineError, match=r"g\.onnx: .*the first dimension is not the batch"):
        buckets_of(graph, (1,))
