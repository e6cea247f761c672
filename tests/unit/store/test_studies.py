"""When a study closes, opens again, and is reported."""

from __future__ import annotations

from dataclasses import replace

import pytest

from echo_node.codes import Reason
from echo_node.errors import LeaseLost
from echo_node.records import CloseReason, DeliveryState, Job, JobKind, StudyState
from echo_node.store import ClosedStudy, JobState, KeepOutcome, Store
from tests.unit.store.builders import POLICY, STUDY, Clock, failed, received, report

AT_END = replace(POLICY, on_association_end=True, grace_seconds=5)


def _leased(store: Store, kind: JobKind) -> Job:
    job = store.lease([kind], "w", 600)
    assert job is not None
    return job


def _clip_done(store: Store, uid: str) -> None:
    store.keep(received(store, uid))
    store.complete_clip(_leased(store, JobKind.CLIP), failed(uid))


def _closed(store: Store, clock: Clock) -> Job:
    _clip_done(store, "1.1")
    clock.pass_(120)
    assert len(store.close_studies(POLICY)) == 1
    return _leased(store, JobKind.STUDY)


def test_closes_when_quiet_with_a_report_job(store: Store, clock: Clock) -> None:
    _clip_done(store, "1.1")
    clock.pass_(119)
    assert store.close_studies(POLICY) == []
    clock.pass_(1)
    closed = ClosedStudy(StudyInstanceUID=STUDY, because=CloseReason.QUIET, revision=1)
    assert store.close_studies(POLICY) == [closed]
    assert store.close_studies(POLICY) == []
    study = store.study(STUDY)
    assert (study.state, study.closed_because, study.revision, study.closed_at) == (
        StudyState.CLOSED,
        CloseReason.QUIET,
        1,
        clock.time,
    )
    assert _leased(store, JobKind.STUDY).target == STUDY


def test_each_object_starts_the_quiet_time_anew(store: Store, clock: Clock) -> None:
    _clip_done(store, "1.1")
    clock.pass_(100)
    _clip_done(store, "1.2")
    clock.pass_(100)
    assert store.close_studies(POLICY) == []
    clock.pass_(20)
    assert len(store.close_studies(POLICY)) == 1


def test_an_object_that_comes_again_starts_the_quiet_time_anew(store: Store, clock: Clock) -> None:
    _clip_done(store, "1.1")
    clock.pass_(100)
    assert store.keep(received(store, "1.1")) is KeepOutcome.DUPLICATE
    clock.pass_(100)
    assert store.close_studies(POLICY) == []
    clock.pass_(20)
    assert len(store.close_studies(POLICY)) == 1


def test_an_object_that_comes_again_by_another_association_goes_on_with_the_study(
    store: Store, clock: Clock
) -> None:
    _clip_done(store, "1.1")
    store.note_association_end("CART", {STUDY})
    clock.pass_(2)
    store.keep(received(store, "1.1", source_ae="CART2"))
    clock.pass_(10)
    assert store.close_studies(AT_END) == []
    store.note_association_end("CART2", {STUDY})
    clock.pass_(5)
    assert store.close_studies(AT_END)[0].because is CloseReason.ASSOCIATION_END


def test_an_object_that_comes_again_opens_no_closed_study(store: Store, clock: Clock) -> None:
    _closed(store, clock)
    before = store.status().jobs
    assert store.keep(received(store, "1.1")) is KeepOutcome.DUPLICATE
    assert store.study(STUDY).state is StudyState.CLOSED
    assert store.status().jobs == before


def test_a_correction_that_comes_again_does_not_hold_its_study_open(store: Store, clock: Clock) -> None:
    _clip_done(store, "1.1")
    store.keep(received(store, "1.2", job=JobKind.CORRECTION))
    store.refuse_correction(_leased(store, JobKind.CORRECTION), Reason.UNREADABLE, "x")
    clock.pass_(119)
    assert store.keep(received(store, "1.2", job=JobKind.CORRECTION)) is KeepOutcome.DUPLICATE
    clock.pass_(1)
    assert len(store.close_studies(POLICY)) == 1


def test_a_slow_cart_has_its_own_quiet_time(store: Store, clock: Clock) -> None:
    _clip_done(store, "1.1")
    clock.pass_(299)
    assert store.close_studies(replace(POLICY, quiet_by_cart={"CART": 300})) == []
    clock.pass_(1)
    assert len(store.close_studies(replace(POLICY, quiet_by_cart={"CART": 300}))) == 1


def test_waits_for_its_clips(store: Store, clock: Clock) -> None:
    store.keep(received(store, "1.1"))
    clock.pass_(500)
    assert store.close_studies(POLICY) == []
    store.complete_clip(_leased(store, JobKind.CLIP), failed("1.1"))
    assert len(store.close_studies(POLICY)) == 1


def test_does_not_wait_for_a_dead_clip(store: Store, clock: Clock) -> None:
    store.keep(received(store, "1.1"))
    store.fail(_leased(store, JobKind.CLIP), Reason.ANALYSIS_FAILED, "x", retry_at=None)
    clock.pass_(120)
    assert len(store.close_studies(POLICY)) == 1


def test_closes_soon_after_the_association_where_told_to(store: Store, clock: Clock) -> None:
    _clip_done(store, "1.1")
    store.note_association_end("CART", {STUDY})
    clock.pass_(4)
    assert store.close_studies(AT_END) == []
    clock.pass_(1)
    assert store.close_studies(POLICY) == []
    assert store.close_studies(AT_END)[0].because is CloseReason.ASSOCIATION_END


def test_another_association_goes_on_with_the_study(store: Store, clock: Clock) -> None:
    _clip_done(store, "1.1")
    store.note_association_end("CART", {STUDY})
    clock.pass_(2)
    _clip_done(store, "1.2")
    clock.pass_(10)
    assert store.close_studies(AT_END) == []


def test_end_of_somebody_elses_association_does_not_close(store: Store, clock: Clock) -> None:
    _clip_done(store, "1.1")
    store.note_association_end("OTHER", {STUDY})
    clock.pass_(10)
    assert store.close_studies(AT_END) == []


def test_hard_cap_closes_without_the_clips_and_they_open_it_again(store: Store, clock: Clock) -> None:
    store.keep(received(store, "1.1"))
    clip = _leased(store, JobKind.CLIP)
    clock.pass_(3600)
    assert store.close_studies(POLICY)[0].because is CloseReason.HARD_CAP
    store.complete_study(_leased(store, JobKind.STUDY), [], [])
    assert store.study(STUDY).state is StudyState.REPORTED
    store.complete_clip(clip, failed("1.1"))
    assert store.study(STUDY).state is StudyState.RECEIVING
    assert store.close_studies(POLICY)[0].revision == 2


def test_clock_that_goes_back_closes_nothing(store: Store, clock: Clock) -> None:
    _clip_done(store, "1.1")
    clock.pass_(-3600)
    assert store.close_studies(POLICY) == []


def test_report_is_saved_and_queued(store: Store, clock: Clock) -> None:
    job = _closed(store, clock)
    one, two = report("2.25.1", b"one"), report("2.25.2", b"two")
    store.complete_study(job, [one, two], [("PACS", one), ("PACS", two), ("VNA", one)])
    assert store.study(STUDY).state is StudyState.REPORTED
    rows = store.deliveries(STUDY)
    assert [(d.destination, d.SOPInstanceUID) for d in rows] == [
        ("PACS", "2.25.1"),
        ("PACS", "2.25.2"),
        ("VNA", "2.25.1"),
    ]
    assert [d.path.read_bytes() for d in rows] == [b"one", b"two", b"one"]
    assert {d.state for d in rows} == {DeliveryState.QUEUED}


def test_late_object_opens_a_reported_study_for_a_higher_revision(store: Store, clock: Clock) -> None:
    store.complete_study(_closed(store, clock), [report()], [("PACS", report())])
    _clip_done(store, "1.2")
    assert store.study(STUDY).state is StudyState.RECEIVING
    clock.pass_(120)
    assert store.close_studies(POLICY)[0].revision == 2
    second = report("2.25.2")
    store.complete_study(_leased(store, JobKind.STUDY), [second], [("PACS", second)])
    assert len(store.deliveries(STUDY)) == 2


def test_late_duplicate_or_non_image_leaves_a_reported_study(store: Store, clock: Clock) -> None:
    store.complete_study(_closed(store, clock), [], [])
    store.keep(received(store, "1.1"))
    store.keep(received(store, "1.2", job=None))
    assert store.study(STUDY).state is StudyState.REPORTED


def test_object_that_comes_while_the_report_is_written(store: Store, clock: Clock) -> None:
    job = _closed(store, clock)
    store.keep(received(store, "1.2"))
    store.complete_study(job, [report()], [("PACS", report())])
    assert store.study(STUDY).state is StudyState.RECEIVING
    assert len(store.deliveries(STUDY)) == 1


def test_study_closed_anew_takes_the_lease_from_the_old_report(store: Store, clock: Clock) -> None:
    old = _closed(store, clock)
    _clip_done(store, "1.2")
    clock.pass_(120)
    store.close_studies(POLICY)
    with pytest.raises(LeaseLost):
        store.complete_study(old, [report()], [("PACS", report())])
    assert store.deliveries(STUDY) == []
    assert store.status().jobs[JobKind.STUDY, JobState.SUPERSEDED] == 1
    store.complete_study(_leased(store, JobKind.STUDY), [report()], [("PACS", report())])
    assert store.study(STUDY).state is StudyState.REPORTED


def test_lost_lease_saves_no_report(store: Store, clock: Clock) -> None:
    job = _closed(store, clock)
    clock.pass_(601)
    again = _leased(store, JobKind.STUDY)
    with pytest.raises(LeaseLost):
        store.complete_study(job, [report(content=b"first")], [("PACS", report())])
    assert store.deliveries(STUDY) == []
    assert store.study(STUDY).state is StudyState.CLOSED
    store.complete_study(again, [report(content=b"second")], [("PACS", report())])
    assert store.deliveries(STUDY)[0].path.read_bytes() == b"second"


def test_known_uid_keeps_its_first_bytes(store: Store, clock: Clock) -> None:
    store.complete_study(_closed(store, clock), [report(content=b"one")], [("PACS", report())])
    _clip_done(store, "1.2")
    clock.pass_(120)
    store.close_studies(POLICY)
    job = _leased(store, JobKind.STUDY)
    store.complete_study(job, [report(content=b"other")], [("PACS", report())])
    (row,) = store.deliveries(STUDY)
    assert row.path.read_bytes() == b"one"


def test_reports_come_before_clips(store: Store, clock: Clock) -> None:
    _clip_done(store, "1.1")
    store.keep(received(store, "1.2", StudyInstanceUID="1.2.3"))
    clock.pass_(120)
    store.close_studies(POLICY)
    job = store.lease(tuple(JobKind), "w", 60)
    assert job is not None
    assert job.kind is JobKind.STUDY


def test_why_each_study_was_closed_is_listed(store: Store, clock: Clock) -> None:
    store.complete_study(_closed(store, clock), [], [])
    closed = clock.time
    store.keep(received(store, "1.5", StudyInstanceUID="1.2.3"))
    assert [(s.state, s.closed_because, s.closed_at, s.revision, s.reason) for s in store.study_outcomes()] == [
        (StudyState.REPORTED, CloseReason.QUIET, closed, 1, None),
        (StudyState.RECEIVING, None, None, 0, None),
    ]
    clock.pass_(3600)
    store.close_studies(POLICY)
    store.keep(received(store, "1.6", PatientID="P2"))
    first, second = store.study_outcomes()
    assert (first.state, first.closed_because, first.reason) == (
        StudyState.QUARANTINED,
        CloseReason.QUIET,
        Reason.MIXED_PATIENTS,
    )
    assert (second.StudyInstanceUID, second.closed_because, second.closed_at) == (
        "1.2.3",
        CloseReason.HARD_CAP,
        clock.time,
    )


def test_what_the_latest_report_leaves_out_is_told(store: Store, clock: Clock) -> None:
    store.complete_study(_closed(store, clock), [report()], [], remark="3 clips have none")
    assert store.status().shortened == 1
    assert [study.remark for study in store.study_outcomes()] == ["3 clips have none"]
    assert store.status().unreported == {}
    late = received(store, "1.2.826.1.2", job=None)
    store.keep(late)
    assert [study.remark for study in store.study_outcomes()] == ["3 clips have none"]
