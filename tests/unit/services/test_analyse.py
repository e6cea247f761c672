"""What the analyser does with a job that fails."""

import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from pydicom.uid import (
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
    SegmentationStorage,
    UltrasoundMultiFrameImageStorage,
)

from echo_node.codes import ObjectKind, Reason, Structure
from echo_node.config import Config, Deliver, Destination, Receive
from echo_node.dicom.clips import open_clip
from echo_node.errors import DiskFull
from echo_node.records import JobKind
from echo_node.reports import build_reports, read_source
from echo_node.services import addresses, analyse
from echo_node.services.process import Stop, utc_now
from echo_node.store import ClosePolicy, JobState, Outcome
from tests.unit.reports.builders import ENGINE, analysis, clip, source
from tests.unit.store.builders import measured, received, sqlite_store


@pytest.fixture
def store(tmp_path):
    with sqlite_store(tmp_path, now=utc_now) as store:
        yield store


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


def test_a_job_that_outlasts_the_drain_is_put_back_and_costs_no_attempt(store, monkeypatch):
    stop = Stop()

    def do_clip(*_):
        stop.set()
        while True:
            time.sleep(0.01)

    monkeypatch.setattr(analyse, "_do_clip", do_clip)
    monkeypatch.setattr(analyse, "open_engine", lambda _: SimpleNamespace(identity=ENGINE))
    monkeypatch.setattr(analyse, "opened_store", lambda _: nullcontext(store))
    store.keep(received(store))
    assert analyse.run(Config(receive=Receive(drain_seconds=0.1)), stop) == 0
    assert store.status().jobs == {(JobKind.CLIP, JobState.QUEUED): 1}
    job = store.lease((JobKind.CLIP,), "w", 60)
    assert job is not None
    assert job.attempts == 1


def test_a_stored_analysis_that_is_gone_fails_its_report_and_is_told(store, monkeypatch):
    store.keep(received(store))
    job = store.lease((JobKind.CLIP,), "w", 60)
    assert job is not None
    store.complete_clip(job, measured())
    store.close_studies(ClosePolicy(quiet_seconds=0, hard_cap_seconds=3600))
    for path in (store._root / "results").rglob("*.npz"):
        path.unlink()
    assert work(store) == 3
    (told,) = store.status().unreported.values()
    assert "DamagedError" in told


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
    reports = build_reports(analysis(clip(of)), {of.SOPInstanceUID: of}, kinds=addresses.wanted(config))
    got = {name: {r.kind.value for to, r in addresses.addressed(reports, config) if to == name} for name in asked}
    assert got == {name: set(objects) for name, objects in asked.items()}
    assert {r.kind for r in reports} == {ObjectKind(k) for kinds in asked.values() for k in kinds}


def test_the_older_form_of_a_report_is_made_and_not_queued():
    config = Config(deliver=Deliver(destinations=(Destination(name="a", ae_title="A", host="h", port=104),)))
    of = source()
    reports = build_reports(analysis(clip(of)), {of.SOPInstanceUID: of}, kinds=analyse.wanted(config))
    assert [r.kind for r in reports] == [ObjectKind.SEG, ObjectKind.SR, ObjectKind.SR_COMPREHENSIVE]
    assert [r.kind for _, r in analyse.addressed(reports, config)] == [ObjectKind.SEG, ObjectKind.SR]


@pytest.mark.parametrize(
    ("asked", "times_opened"),
    [
        ((ObjectKind.SR, ObjectKind.SEG), 0),
        ((ObjectKind.OVERLAY,), 1),
        ((ObjectKind.PDF,), 1),
    ],
)
def test_pictures_are_made_for_the_destination_that_asks_and_else_nothing_is_opened(
    store, monkeypatch, data, asked, times_opened
):
    path = data / "acuson-a4c-65f-jpeg.dcm"
    of = read_source(path)
    opened = []
    monkeypatch.setattr(analyse, "analyse_clip", lambda *_, **__: clip(of, structures=(Structure.LV_CAVITY,)))
    monkeypatch.setattr(analyse, "open_clip", lambda p: opened.append(p) or open_clip(p))
    settings = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104, "objects": asked}
    config = Config(deliver=Deliver(destinations=(Destination(**settings),)))
    store.keep(
        received(
            store,
            of.SOPInstanceUID,
            content=path.read_bytes(),
            StudyInstanceUID=of.StudyInstanceUID,
            PatientID=of.PatientID,
        )
    )
    engine = SimpleNamespace(identity=ENGINE, finds_walls=False)
    assert analyse.analyse_once(store, config, engine)
    store.close_studies(ClosePolicy(quiet_seconds=0, hard_cap_seconds=0))
    assert analyse.analyse_once(store, config, engine)
    sent = [d.SOPClassUID for d in store.deliveries(of.StudyInstanceUID)]
    classes = {
        ObjectKind.SR: Comprehensive3DSRStorage,
        ObjectKind.SEG: SegmentationStorage,
        ObjectKind.OVERLAY: UltrasoundMultiFrameImageStorage,
        ObjectKind.PDF: EncapsulatedPDFStorage,
    }
    assert sorted(sent) == sorted(classes[kind] for kind in asked)
    assert len(opened) == times_opened
