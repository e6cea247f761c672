"""What the analyser does with a job that fails."""

from types import SimpleNamespace

import pytest

from echo_node.codes import Reason
from echo_node.config import Config
from echo_node.errors import DiskFull
from echo_node.records import JobKind
from echo_node.reports import build_reports
from echo_node.services import analyse
from echo_node.services.process import utc_now
from echo_node.store import JobState, Outcome, Store
from tests.unit.reports.builders import analysis, clip, source
from tests.unit.store.builders import received


@pytest.fixture
def store(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'node.db'}", tmp_path, now=utc_now)
    store.migrate()
    yield store
    store.dispose()


def work(store, engine=None) -> int:
    """Do jobs until none is due; returns how many there were."""
    count = 0
    while analyse.analyse_once(store, Config(), engine):
        count += 1
    return count


@pytest.mark.parametrize("error", [RuntimeError, AttributeError, MemoryError, OSError, IndexError])
def test_a_clip_that_always_fails_is_given_up_and_the_next_study_is_done(store, monkeypatch, error):
    done = []

    def do_clip(_store, _config, _engine, job):
        if job.target == "1.1":
            raise error("CANARY")
        done.append(job.target)
        store.fail(job, Reason.UNREADABLE, "", retry_at=None)

    monkeypatch.setattr(analyse, "_do_clip", do_clip)
    store.keep(received(store, "1.1"))
    store.keep(received(store, "1.2", StudyInstanceUID="1.3"))
    assert work(store) == 4
    assert done == ["1.2"]
    outcome = store.instance_outcomes()[0]
    assert (outcome.outcome, outcome.reason) == (Outcome.NOT_MEASURED, Reason.ANALYSIS_FAILED)
    assert outcome.detail == error.__name__


def test_a_full_disk_costs_a_clip_no_attempt(store, monkeypatch):
    def do_clip(*_):
        raise DiskFull("the disk is full")

    monkeypatch.setattr(analyse, "_do_clip", do_clip)
    store.keep(received(store))
    assert work(store) == 1
    assert store.status().jobs == {(JobKind.CLIP, JobState.QUEUED): 1}


def test_an_object_whose_file_is_gone_fails_alone(store):
    store.keep(received(store))
    store.instance("1.2.826.1.1").path.unlink()
    assert work(store, engine=SimpleNamespace(identity=None)) == 3
    assert store.instance_outcomes()[0].detail == "FileNotFoundError"


def test_each_destination_gets_the_reports_that_it_asks_for():
    asked = {"viewers": ["sr", "seg"], "cvis": ["sr_tid5200_srt"], "old": ["sr_comprehensive", "sr_tid5300"]}
    config = Config.model_validate(
        {
            "deliver": {
                "destinations": [
                    {"name": name, "ae_title": "A", "host": "h", "port": 104, "objects": objects}
                    for name, objects in asked.items()
                ]
            }
        }
    )
    of = source()
    reports = build_reports(analysis(clip(of)), {of.SOPInstanceUID: of}, kinds=analyse.wanted(config))
    got = {name: {r.kind.value for to, r in analyse.addressed(reports, config) if to == name} for name in asked}
    assert got == {name: set(objects) for name, objects in asked.items()}
