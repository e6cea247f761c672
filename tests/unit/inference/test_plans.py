"""The cache of plans: whole, keyed, and believed only where this node wrote it."""

import dataclasses
import fcntl
import json

import pytest

from echo_node.errors import EngineError
from echo_node.inference.plans import Acceptance, PlanCache, PlanKey

KEY = PlanKey(
    onnx="a" * 64,
    builder="tensorrt 11.0.0",
    flags=("strongly typed",),
    profiles=({"x": ((1, 4), (1, 4), (1, 4))},),
    cuda="13000",
    driver="13000 580.1",
    gpu="Fake GPU",
    compute="9.0",
    memory=1 << 36,
)
GOOD = Acceptance(differences={"1": 1e-3}, allowed=5e-3)


@pytest.fixture
def cache(tmp_path):
    return PlanCache(tmp_path / "plans", tmp_path / "node.key")


def test_a_plan_serves_only_after_it_was_accepted(cache):
    with pytest.raises(EngineError, match=r"no plan for Fake GPU with tensorrt 11\.0\.0, driver 13000 580\.1"):
        cache.read_accepted(KEY)
    cache.write(KEY, b"a plan")
    assert cache.read(KEY) == b"a plan"
    with pytest.raises(EngineError, match="has not been held against the golden values"):
        cache.read_accepted(KEY)
    cache.accept(KEY, GOOD)
    assert cache.read_accepted(KEY) == b"a plan"
    assert sorted(p.name for p in (cache.folder / KEY.digest).iterdir()) == ["acceptance.json", "meta.json", "plan"]


def test_a_refused_plan_says_why(cache):
    cache.write(KEY, b"a plan")
    cache.accept(KEY, Acceptance(differences={"1": 1e-3, "8": 0.7}, allowed=5e-3))
    with pytest.raises(EngineError, match=r"1: 1\.0e-03, 8: 7\.0e-01; 5\.0e-03 is allowed"):
        cache.read_accepted(KEY)


def test_not_a_number_is_no_match():
    assert not Acceptance(differences={"1": float("nan")}, allowed=5e-3).is_good


def test_a_plan_that_is_written_again_must_be_tried_again(cache):
    cache.write(KEY, b"a plan")
    cache.accept(KEY, GOOD)
    cache.write(KEY, b"another")
    with pytest.raises(EngineError, match="has not been held against"):
        cache.read_accepted(KEY)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(PlanKey)])
def test_every_part_of_the_key_decides(field):
    other = {"memory": 1, "flags": (), "profiles": ()}.get(field, "other")
    assert dataclasses.replace(KEY, **{field: other}).digest != KEY.digest


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("plan", lambda content: content + b"!"),
        ("plan", lambda content: b"b plan"),
        ("meta.json", lambda content: content.replace(b"580.1", b"580.2")),
        ("meta.json", lambda content: b"[]"),
        ("meta.json", lambda content: b"{"),
        ("acceptance.json", lambda content: content.replace(b'"is_good": false', b'"is_good": true')),
        ("acceptance.json", lambda content: b'{"is_good": true, "sha256": ""}'),
    ],
)
def test_what_this_node_did_not_write_is_refused(cache, name, edit):
    cache.write(KEY, b"a plan")
    cache.accept(KEY, Acceptance(differences={"1": 1.0}, allowed=5e-3))
    path = cache.folder / KEY.digest / name
    path.write_bytes(edit(path.read_bytes()))
    with pytest.raises(EngineError, match=r"this node wrote|was not written by this node"):
        cache.read_accepted(KEY)


def test_another_node_s_plan_is_refused(cache, tmp_path):
    cache.write(KEY, b"a plan")
    cache.accept(KEY, GOOD)
    (tmp_path / "node.key").rename(tmp_path / "other.key")
    with pytest.raises(EngineError, match="key cannot be read"):
        cache.read_accepted(KEY)
    PlanCache(tmp_path / "elsewhere", tmp_path / "node.key").write(KEY, b"mine")
    with pytest.raises(EngineError, match="was not written by this node"):
        cache.read_accepted(KEY)


def test_files_do_not_pass_from_one_key_to_another(cache):
    other = dataclasses.replace(KEY, driver="14000 600.1")
    cache.write(KEY, b"a plan")
    cache.accept(KEY, GOOD)
    cache.write(other, b"worse")
    for name in ("acceptance.json", "meta.json"):
        content = (cache.folder / KEY.digest / name).read_bytes()
        (cache.folder / other.digest / name).write_bytes(content)
        with pytest.raises(EngineError, match="is of another plan"):
            cache.read_accepted(other)


def test_the_key_is_for_its_owner_only(cache, tmp_path):
    cache.write(KEY, b"a plan")
    key = tmp_path / "node.key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o644)
    with pytest.raises(EngineError, match="only the node's user may read"):
        cache.read(KEY)


def test_a_half_written_plan_is_none(cache):
    cache.write(KEY, b"a plan")
    (cache.folder / KEY.digest / "meta.json").unlink()
    with pytest.raises(EngineError, match="no plan for"):
        cache.read(KEY)


def test_the_meta_data_say_what_the_plan_was_built_for(cache):
    cache.write(KEY, b"a plan")
    meta = json.loads((cache.folder / KEY.digest / "meta.json").read_text())
    assert meta["key"]["gpu"] == "Fake GPU"
    assert meta["size"] == 6


def test_one_process_compiles_at_a_time(cache):
    with cache.locked(), (cache.folder / "lock").open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
