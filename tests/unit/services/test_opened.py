"""The store that commands and processes share."""

import os

import pytest

from echo_node.codes import Reason
from echo_node.config import Config, load
from echo_node.errors import StoreError
from echo_node.records import JobKind
from echo_node.services.opened import opened_store, settings_of_a_node
from echo_node.services.process import utc_now
from echo_node.store import JobState
from tests.unit.store.builders import received


@pytest.mark.parametrize(("max_attempts", "state"), [(1, JobState.DEAD), (2, JobState.QUEUED)])
def test_a_job_has_as_many_attempts_as_the_settings_say(tmp_path, max_attempts, state):
    config = Config.model_validate({"node": {"storage": tmp_path}, "analyse": {"max_attempts": max_attempts}})
    with opened_store(config) as store:
        store.keep(received(store))
        job = store.lease([JobKind.CLIP], "w", 60)
        assert job is not None
        store.fail(job, Reason.ANALYSIS_FAILED, "", retry_at=utc_now())
        assert store.status().jobs == {(JobKind.CLIP, state): 1}


def test_what_looks_at_a_node_needs_its_store(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("node: {storage: here}\n")
    with pytest.raises(StoreError, match="has the node been started"):
        settings_of_a_node(path)
    with opened_store(load(path)):
        assert settings_of_a_node(path) == load(path)


def test_nobody_else_may_read_what_is_stored(tmp_path):
    config = Config.model_validate({"node": {"storage": tmp_path / "storage"}})
    former = os.umask(0)
    try:
        with opened_store(config) as store:
            store.keep(received(store))
        assert os.umask(0) == 0
    finally:
        os.umask(former)
    made = list(tmp_path.rglob("*"))
    assert any(path.suffix == ".dcm" for path in made)
    assert [path.name for path in made if path.stat().st_mode & 0o077] == []
