"""Jobs: each done once, none lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from echo_node.codes import Reason, View
from echo_node.errors import LeaseLost
from echo_node.records import Job, JobKind
from echo_node.store import JobState, Outcome, Store
from tests.unit.store.builders import STUDY, Clock, engine, failed, measured, received

CLIP = [JobKind.CLIP]


def _leased(store: Store, seconds: float = 60) -> Job:
    job = store.lease(CLIP, "w", seconds)
    assert job is not None
    return job


@pytest.fixture(autouse=True)
def _one_clip(store: Store) -> None:
    store.keep(received(store))


def test_job_is_leased_once(store: Store) -> None:
    job = _leased(store)
    assert (job.kind, job.target, job.attempts) == (JobKind.CLIP, "1.2.826.1.1", 1)
    assert store.lease(CLIP, "v", 60) is None


def test_only_the_kinds_asked_for(store: Store) -> None:
    assert store.lease([JobKind.STUDY], "w", 60) is None
    assert store.lease(tuple(JobKind), "w", 60) is not None


def test_expired_lease_is_taken_again_and_the_first_worker_stores_nothing(store: Store, clock: Clock) -> None:
    first = _leased(store)
    clock.pass_(61)
    second = _leased(store)
    assert (second.id, second.attempts) == (first.id, 2)
    with pytest.raises(LeaseLost):
        store.complete_clip(first, measured())
    assert store.clip_analyses(STUDY) == ()
    store.complete_clip(second, failed())
    with pytest.raises(LeaseLost):
        store.complete_clip(first, measured())
    (only,) = store.clip_analyses(STUDY)
    assert only.outcome is Reason.UNREADABLE


def test_lease_that_ran_out_but_is_not_taken_still_completes(store: Store, clock: Clock) -> None:
    job = _leased(store)
    clock.pass_(61)
    store.complete_clip(job, failed())
    assert store.status().jobs == {(JobKind.CLIP, JobState.DONE): 1}


def test_lease_of_a_worker_that_is_gone_is_free_at_once(store: Store) -> None:
    held = _leased(store)
    assert store.release(lambda worker: worker != "w") == 0
    assert store.lease(CLIP, "v", 60) is None
    assert store.release(lambda worker: worker == "w") == 1
    again = store.lease(CLIP, "v", 60)
    assert again is not None
    assert (again.id, again.attempts) == (held.id, 2)
    with pytest.raises(LeaseLost):
        store.complete_clip(held, measured())


def test_completed_twice_raises(store: Store) -> None:
    job = _leased(store)
    store.complete_clip(job, failed())
    with pytest.raises(LeaseLost):
        store.complete_clip(job, failed())


def test_analysis_of_another_object_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="is not for"):
        store.complete_clip(_leased(store), failed("1.9"))


def test_failed_job_is_due_again_at_its_time(store: Store, clock: Clock) -> None:
    store.fail(_leased(store), Reason.ANALYSIS_FAILED, "x", retry_at=clock.time + timedelta(seconds=10))
    assert store.lease(CLIP, "w", 60) is None
    clock.pass_(10)
    assert _leased(store).attempts == 2


def test_job_that_is_put_off_keeps_its_attempts(store: Store, clock: Clock) -> None:
    for _ in range(5):
        job = _leased(store)
        assert job.attempts == 1
        store.put_off(job, until=clock.time + timedelta(seconds=30))
        assert store.lease(CLIP, "w", 60) is None
        clock.pass_(30)
    late = _leased(store)
    clock.pass_(61)
    _leased(store)
    store.put_off(late, until=clock.time)
    assert store.lease(CLIP, "w", 60) is None


def test_job_without_attempts_left_is_dead_with_its_reason(store: Store, clock: Clock) -> None:
    for _ in range(3):
        store.fail(_leased(store), Reason.ANALYSIS_FAILED, "ValueError", retry_at=clock.time)
    assert store.lease(CLIP, "w", 60) is None
    (row,) = store.instance_outcomes()
    assert (row.outcome, row.reason, row.detail) == (
        Outcome.NOT_MEASURED,
        Reason.ANALYSIS_FAILED,
        "ValueError",
    )


def test_failure_without_a_retry_is_final(store: Store) -> None:
    store.fail(_leased(store), Reason.UNREADABLE, "x", retry_at=None)
    assert store.status().jobs == {(JobKind.CLIP, JobState.DEAD): 1}


def test_clip_that_kills_its_worker_three_times_is_dead(store: Store, clock: Clock) -> None:
    for attempt in (1, 2, 3):
        assert _leased(store).attempts == attempt
        clock.pass_(61)
    assert store.lease(CLIP, "w", 60) is None
    (row,) = store.instance_outcomes()
    assert (row.outcome, row.reason) == (Outcome.NOT_MEASURED, Reason.ANALYSIS_FAILED)


def test_failure_after_the_lease_was_lost_changes_nothing(store: Store, clock: Clock) -> None:
    first = _leased(store)
    clock.pass_(61)
    second = _leased(store)
    store.fail(first, Reason.ANALYSIS_FAILED, "late", retry_at=None)
    store.complete_clip(second, failed())
    assert store.status().jobs == {(JobKind.CLIP, JobState.DONE): 1}


def test_analysis_comes_back_bit_for_bit(store: Store) -> None:
    analysis = measured()
    store.complete_clip(_leased(store), analysis)
    (back,) = store.clip_analyses(STUDY)
    assert back.curve is not None
    assert analysis.curve is not None
    assert back.curve.volumes_ml.tobytes() == analysis.curve.volumes_ml.tobytes()
    assert back.curve.volumes_ml.dtype == np.float64
    assert back.segmentations[0].masks.dtype == np.bool_
    assert np.array_equal(back.segmentations[0].masks, analysis.segmentations[0].masks)
    plain = {"segmentations": (), "curve": None, "diameters": None}
    assert replace(back, **plain) == replace(analysis, **plain)  # type: ignore[arg-type]
    assert back.prediction is not None
    assert back.prediction.view is View.A4C
    assert store.instance_outcomes()[0].outcome is Outcome.MEASURED


def test_latest_engine_wins(store: Store, clock: Clock) -> None:
    from echo_node.store import analyses

    job = _leased(store)
    store.complete_clip(job, failed())
    newer = replace(failed(), engine=engine("1" * 64), detail="newer")
    with store._db.write() as conn:
        analyses.save(conn, newer, scalars=_scalars(newer), path=None, at=clock.time)
    (only,) = store.clip_analyses(STUDY)
    assert only.detail == "newer"


def _scalars(analysis: object) -> str:
    from echo_node.store import codec

    return codec.encode(analysis)[0]  # type: ignore[arg-type]


def test_status_counts_and_dates_what_waits(store: Store, clock: Clock) -> None:
    queued_at = clock.time
    clock.pass_(5)
    store.keep(received(store, "1.2"))
    status = store.status()
    assert status.instances == 2
    assert status.jobs == {(JobKind.CLIP, JobState.QUEUED): 2}
    assert status.oldest_job_at == queued_at
