"""What a person tries again once its cause is mended."""

from __future__ import annotations

import pytest

from echo_node.codes import Reason
from echo_node.records import DeliveryState, Job, JobKind, StudyState
from echo_node.store import JobState, Outcome, Store
from tests.unit.store.builders import POLICY, STUDY, Clock, failed, received, report

OTHER = "1.2.826.2"


def _leased(store: Store, kind: JobKind) -> Job:
    job = store.lease([kind], "w", 60)
    assert job is not None
    return job


def _dead_clip(store: Store, uid: str, study: str) -> None:
    store.keep(received(store, uid, StudyInstanceUID=study))
    store.fail(_leased(store, JobKind.CLIP), Reason.ANALYSIS_FAILED, "MemoryError", retry_at=None)


def _closed(store: Store, clock: Clock) -> None:
    clock.pass_(POLICY.quiet_seconds)
    store.close_studies(POLICY)


def _reported(store: Store, clock: Clock, study: str, uid: str) -> None:
    store.keep(received(store, f"{study}.1", StudyInstanceUID=study, job=None))
    _closed(store, clock)
    made = report(uid)
    store.complete_study(_leased(store, JobKind.STUDY), [made], [("PACS", made), ("VNA", made)])
    for destination in ("PACS", "VNA"):
        for delivery in store.outbox.lease(destination, "d", 60, 9):
            store.outbox.mark_dead(delivery, "0122")


def test_dead_clips_are_tried_again_with_all_their_attempts(store: Store, clock: Clock) -> None:
    _dead_clip(store, "1.1", STUDY)
    _dead_clip(store, "1.2", OTHER)
    assert store.requeue_jobs(OTHER) == {JobKind.CLIP: 1, JobKind.CORRECTION: 0, JobKind.STUDY: 0}
    job = _leased(store, JobKind.CLIP)
    assert (job.target, job.attempts) == ("1.2", 1)
    assert store.requeue_jobs() == {JobKind.CLIP: 1, JobKind.CORRECTION: 0, JobKind.STUDY: 0}
    assert store.requeue_jobs() == {JobKind.CLIP: 0, JobKind.CORRECTION: 0, JobKind.STUDY: 0}
    assert [(row.outcome, row.reason, row.detail) for row in store.instance_outcomes(STUDY)] == [
        (Outcome.WAITING, None, "")
    ]


def test_a_clip_that_is_measured_after_all_gets_its_study_a_new_report(store: Store, clock: Clock) -> None:
    _dead_clip(store, "1.1", STUDY)
    _closed(store, clock)
    store.complete_study(_leased(store, JobKind.STUDY), [], [])
    store.requeue_jobs()
    assert store.study(STUDY).state is StudyState.REPORTED
    store.complete_clip(_leased(store, JobKind.CLIP), failed("1.1"))
    _closed(store, clock)
    assert store.study(STUDY).revision == 2


def test_a_dead_correction_is_tried_again_and_opens_its_study(store: Store, clock: Clock) -> None:
    store.keep(received(store, "1.1"))
    store.complete_clip(_leased(store, JobKind.CLIP), failed("1.1"))
    _closed(store, clock)
    store.complete_study(_leased(store, JobKind.STUDY), [], [])
    store.keep(received(store, "1.2", job=JobKind.CORRECTION))
    store.fail(_leased(store, JobKind.CORRECTION), Reason.ANALYSIS_FAILED, "MemoryError", retry_at=None)
    assert store.requeue_jobs() == {JobKind.CLIP: 0, JobKind.CORRECTION: 1, JobKind.STUDY: 0}
    store.complete_correction(_leased(store, JobKind.CORRECTION), [failed("1.1")])
    _closed(store, clock)
    assert store.study(STUDY).revision == 2


def test_a_clip_that_is_tried_again_takes_the_corrections_along_that_wanted_it(store: Store) -> None:
    _dead_clip(store, "1.1", STUDY)
    store.keep(received(store, "1.2", job=JobKind.CORRECTION))
    store.refuse_correction(_leased(store, JobKind.CORRECTION), Reason.ANALYSIS_FAILED, "image 1.1")
    assert store.requeue_jobs() == {JobKind.CLIP: 1, JobKind.CORRECTION: 1, JobKind.STUDY: 0}
    assert store.lease([JobKind.CORRECTION], "w", 60) is None
    store.complete_clip(_leased(store, JobKind.CLIP), failed("1.1"))
    assert _leased(store, JobKind.CORRECTION).target == "1.2"


def test_a_dead_report_is_written_again_while_its_study_waits_for_it(store: Store, clock: Clock) -> None:
    store.keep(received(store, job=None))
    _closed(store, clock)
    store.fail(_leased(store, JobKind.STUDY), Reason.ANALYSIS_FAILED, "x", retry_at=None)
    assert list(store.status().unreported) == [STUDY]
    assert store.requeue_jobs(STUDY) == {JobKind.CLIP: 0, JobKind.CORRECTION: 0, JobKind.STUDY: 1}
    store.complete_study(_leased(store, JobKind.STUDY), [report()], [])
    assert store.study(STUDY).state is StudyState.REPORTED
    assert store.status().unreported == {}


def test_a_dead_report_stays_dead_where_its_study_is_open_again_or_closed_anew(store: Store, clock: Clock) -> None:
    store.keep(received(store, job=None))
    _closed(store, clock)
    store.fail(_leased(store, JobKind.STUDY), Reason.ANALYSIS_FAILED, "x", retry_at=None)
    store.keep(received(store, "1.2"))
    nothing = dict.fromkeys(JobKind, 0)
    assert store.requeue_jobs() == nothing
    assert store.status().unreported == {}
    store.complete_clip(_leased(store, JobKind.CLIP), failed("1.2"))
    _closed(store, clock)
    assert store.requeue_jobs() == nothing
    assert store.status().jobs[JobKind.STUDY, JobState.DEAD] == 1
    store.complete_study(_leased(store, JobKind.STUDY), [report()], [])


def test_the_report_of_a_study_in_quarantine_stays_dead(store: Store, clock: Clock) -> None:
    store.keep(received(store, "1.1", PatientID="A", job=None))
    _closed(store, clock)
    store.fail(_leased(store, JobKind.STUDY), Reason.ANALYSIS_FAILED, "x", retry_at=None)
    store.keep(received(store, "1.2", PatientID="B", job=None))
    assert store.requeue_jobs() == {JobKind.CLIP: 0, JobKind.CORRECTION: 0, JobKind.STUDY: 0}


@pytest.mark.parametrize(
    ("destinations", "study", "count"),
    [
        (["PACS", "VNA"], None, 4),
        (["PACS"], None, 2),
        (["PACS"], STUDY, 1),
        (["PACS", "VNA"], STUDY, 2),
        (["AWAY"], None, 0),
        ([], None, 0),
        (["PACS"], "1.9", 0),
    ],
)
def test_dead_deliveries_of_a_study_or_destination_or_both(
    store: Store, clock: Clock, destinations: list[str], study: str | None, count: int
) -> None:
    _reported(store, clock, STUDY, "2.25.1")
    _reported(store, clock, OTHER, "2.25.2")
    assert store.requeue_deliveries(destinations, study) == count
    due = [d for name in destinations for d in store.outbox.lease(name, "d", 60, 9)]
    assert len(due) == count
    assert {(d.state, d.attempts, d.last_error) for d in due} <= {(DeliveryState.QUEUED, 1, "")}
    assert store.requeue_deliveries(destinations, study) == 0
