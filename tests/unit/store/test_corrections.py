"""Persons' reports in the store: when their turn comes, and what becomes of them and of their study."""

from __future__ import annotations

from dataclasses import replace

import pytest

from echo_node.codes import Reason
from echo_node.errors import LeaseLost
from echo_node.records import Job, JobKind, StudyState
from echo_node.store import Outcome, Store
from tests.unit.store.builders import POLICY, STUDY, Clock, measured, received, report

CLIP, REPORT = "1.2.826.1.1", "1.2.826.1.2"


def lease(store: Store) -> Job:
    job = store.lease(tuple(JobKind), "w", 60)
    assert job is not None
    return job


def has_work(store: Store) -> bool:
    return store.lease(tuple(JobKind), "w", 60) is not None


def keep_report(store: Store, uid: str = REPORT, **changes) -> None:
    store.keep(received(store, uid, job=JobKind.CORRECTION, **changes))


def outcome_of(store: Store, uid: str = REPORT):
    return next(o for o in store.instance_outcomes() if o.SOPInstanceUID == uid)


@pytest.fixture
def reported(store: Store, clock: Clock) -> Store:
    """A study whose one clip was measured, and reported."""
    store.keep(received(store, CLIP))
    store.complete_clip(lease(store), measured(CLIP))
    clock.pass_(121)
    store.close_studies(POLICY)
    store.complete_study(lease(store), [report()], [("PACS", report())])
    return store


def test_a_correction_is_saved_and_opens_its_study_again(reported: Store, clock: Clock) -> None:
    keep_report(reported)
    assert reported.study(STUDY).state is StudyState.REPORTED
    assert outcome_of(reported).outcome is Outcome.WAITING
    job = lease(reported)
    assert (job.kind, job.target) == (JobKind.CORRECTION, REPORT)
    reported.complete_correction(job, [measured(CLIP, seed=5)])
    (kept,) = reported.clip_analyses(STUDY)
    assert kept.measurements == measured(CLIP, seed=5).measurements
    assert reported.study(STUDY).state is StudyState.RECEIVING
    assert outcome_of(reported).outcome is Outcome.APPLIED
    clock.pass_(121)
    (closed,) = reported.close_studies(POLICY)
    assert closed.revision == 2


def test_a_refused_report_is_kept_with_its_reason_and_its_study_stays_closed(reported: Store) -> None:
    keep_report(reported)
    reported.refuse_correction(lease(reported), Reason.OUTSIDE_IMAGE, "frame 99")
    row = outcome_of(reported)
    assert (row.outcome, row.reason, row.detail) == (Outcome.KEPT, Reason.OUTSIDE_IMAGE, "frame 99")
    assert reported.instance(REPORT).reason is Reason.OUTSIDE_IMAGE
    assert reported.study(STUDY).state is StudyState.REPORTED
    assert not has_work(reported)


def test_a_report_of_another_patient_puts_no_study_in_quarantine(reported: Store) -> None:
    before = reported.study(STUDY)
    keep_report(reported, PatientID="P2", source_ae="PACS")
    after = reported.study(STUDY)
    assert replace(after, instances=before.instances) == before
    assert lease(reported).kind is JobKind.CORRECTION


def test_a_report_that_came_first_does_not_say_whose_the_study_is(store: Store) -> None:
    keep_report(store, PatientID="P2", PatientBirthDate="19610203", source_ae="PACS")
    store.keep(received(store, CLIP))
    study = store.study(STUDY)
    assert (study.state, study.PatientID) == (StudyState.RECEIVING, "P1")
    store.keep(received(store, "1.2.826.1.9", PatientID="P2"))
    assert store.study(STUDY).state is StudyState.QUARANTINED


@pytest.mark.parametrize("reason", [Reason.UNKNOWN_CLIP, Reason.ANALYSIS_FAILED])
def test_a_correction_that_wants_a_clip_is_taken_up_when_one_comes(store: Store, reason: Reason) -> None:
    keep_report(store)
    store.refuse_correction(lease(store), reason, "image 1.9")
    keep_report(store, "1.2.826.1.7")
    store.refuse_correction(lease(store), Reason.NO_CORRECTION, "nothing is drawn")
    store.keep(received(store, CLIP))
    assert outcome_of(store).outcome is Outcome.WAITING
    store.complete_clip(lease(store), measured(CLIP))
    job = lease(store)
    assert (job.target, job.attempts) == (REPORT, 1)
    store.complete_correction(job, [measured(CLIP, seed=5)])
    assert outcome_of(store).outcome is Outcome.APPLIED
    assert outcome_of(store, "1.2.826.1.7").reason is Reason.NO_CORRECTION
    assert not has_work(store)


def test_corrections_wait_for_their_study_s_clips_and_for_each_other(store: Store) -> None:
    keep_report(store, "1.2.826.1.3")
    keep_report(store, "1.2.826.1.4")
    store.keep(received(store, CLIP))
    keep_report(store, "1.3.1.1", StudyInstanceUID="1.3.1")
    clip, elsewhere = lease(store), lease(store)
    assert (clip.target, elsewhere.target) == (CLIP, "1.3.1.1")
    assert not has_work(store)
    store.complete_clip(clip, measured(CLIP))
    first = lease(store)
    assert first.target == "1.2.826.1.3"
    assert not has_work(store)
    store.complete_correction(first, [measured(CLIP, seed=1)])
    assert lease(store).target == "1.2.826.1.4"


def test_a_study_does_not_close_over_a_correction(store: Store, clock: Clock) -> None:
    store.keep(received(store, CLIP))
    store.complete_clip(lease(store), measured(CLIP))
    keep_report(store)
    clock.pass_(121)
    assert store.close_studies(POLICY) == []
    store.refuse_correction(lease(store), Reason.NO_CORRECTION, "")
    assert len(store.close_studies(POLICY)) == 1


def test_a_lost_lease_saves_nothing(reported: Store, clock: Clock) -> None:
    keep_report(reported)
    job = lease(reported)
    clock.pass_(61)
    assert has_work(reported)
    with pytest.raises(LeaseLost):
        reported.complete_correction(job, [measured(CLIP, seed=5)])
    with pytest.raises(LeaseLost):
        reported.refuse_correction(job, Reason.NO_CORRECTION, "")
    assert reported.clip_analyses(STUDY)[0].measurements == measured(CLIP).measurements
    assert reported.instance(REPORT).reason is None


def test_the_node_knows_its_own_reports(reported: Store) -> None:
    assert reported.has_made(report().SOPInstanceUID)
    assert not reported.has_made(CLIP)
    assert set(reported.find((CLIP, "1.9"))) == {CLIP}
