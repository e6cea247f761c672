"""What persons do about what is set aside: objects are acknowledged, studies released from quarantine."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from echo_node.carts import CartReport, CartValue, OwnValue
from echo_node.codes import Method, ObjectKind, Quantity, Reason, Unit
from echo_node.errors import DecisionError, LeaseLost
from echo_node.records import DeliveryState, Job, JobKind, Report, StudyState
from echo_node.store import JobState, Outcome, Release, Store, Verdict, Word
from echo_node.store.schema import releases
from tests.unit.store.builders import POLICY, STUDY, Clock, failed, measured, received, report

A, B = "1.2.826.1.1", "1.2.826.1.2"  # a clip of each patient
SEG_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"


def seg(uid: str = "2.25.9") -> Report:
    return Report(kind=ObjectKind.SEG, SOPClassUID=SEG_CLASS, SOPInstanceUID=uid, content=b"seg")


def lease(store: Store, *kinds: JobKind) -> Job:
    job = store.lease(kinds or tuple(JobKind), "w", 60)
    assert job is not None
    return job


def reported(store: Store, clock: Clock, *made: Report) -> None:
    """The study closes, and these are its results."""
    clock.pass_(POLICY.quiet_seconds)
    store.close_studies(POLICY)
    store.complete_study(lease(store, JobKind.STUDY), made, [("PACS", r) for r in made])


def release(
    store: Store, *, patient: str = "P1", chosen: tuple[str, ...] = (A,), others: tuple[str, ...] = (B,)
) -> None:
    store.aside.release(
        Release(
            StudyInstanceUID=STUDY,
            PatientID=patient,
            PatientBirthDate="19500102",
            chosen=frozenset(chosen),
            others=frozenset(others),
            by="Rosa Reader",
            reason="asked the ward",
        )
    )


def outcome_of(store: Store, uid: str):
    return next(o for o in store.instance_outcomes() if o.SOPInstanceUID == uid)


@pytest.fixture
def mixed(store: Store, clock: Clock) -> Store:
    """P1's clip was measured and reported, nothing sent yet; then a clip of P2 came under the same study."""
    store.keep(received(store, A))
    store.complete_clip(lease(store), measured(A))
    reported(store, clock, report("2.25.1"), seg())
    store.keep(received(store, B, PatientID="P2"))
    assert store.study(STUDY).state is StudyState.QUARANTINED
    return store


# Objects


@pytest.fixture
def doubled(store: Store) -> Store:
    """Two objects that are set aside: known UIDs with other bytes."""
    for n in (1, 2):
        store.keep(received(store, f"1.{n}", job=None))
        store.keep(received(store, f"1.{n}", content=b"other", job=None))
    return store


def numbers(store: Store) -> list[int]:
    return [o.number for o in store.instance_outcomes() if o.number is not None]


def test_who_looked_at_an_object_is_known_and_status_counts_it_no_more(doubled: Store, clock: Clock) -> None:
    first, second = numbers(doubled)
    assert (doubled.status().set_aside, doubled.status().unseen) == (2, 2)
    (seen,) = doubled.aside.acknowledge([first], by="Rosa", reason="asked the cart's service")
    word = Word(by="Rosa", reason="asked the cart's service", at=clock.time)
    assert (seen.number, seen.outcome, seen.reason, seen.acknowledged) == (
        first,
        Outcome.SET_ASIDE,
        Reason.SAME_UID_OTHER_CONTENT,
        word,
    )
    assert (doubled.status().set_aside, doubled.status().unseen) == (2, 1)
    assert {o.number: o.acknowledged for o in doubled.instance_outcomes() if o.number} == {
        first: word,
        second: None,
    }


def test_the_first_who_looked_stands(doubled: Store, clock: Clock) -> None:
    first, second = numbers(doubled)
    doubled.aside.acknowledge([first], by="Rosa", reason="")
    clock.pass_(60)
    both = doubled.aside.acknowledge([second, first], by="Emil", reason="")
    assert [o.acknowledged and o.acknowledged.by for o in both] == ["Rosa", "Emil"]
    assert doubled.status().unseen == 0
    assert doubled.aside.acknowledge(None, by="Emil", reason="") == ()


def test_all_are_those_at_which_nobody_has_looked(doubled: Store) -> None:
    first, second = numbers(doubled)
    doubled.aside.acknowledge([first], by="Rosa", reason="")
    (seen,) = doubled.aside.acknowledge(None, by="Emil", reason="")
    assert seen.number == second


def test_an_unknown_number_changes_nothing(doubled: Store) -> None:
    first, second = numbers(doubled)
    with pytest.raises(DecisionError, match=f"number {second + 7} is set aside"):
        doubled.aside.acknowledge([first, second + 7], by="Rosa", reason="")
    assert doubled.status().unseen == 2


# Studies


def test_a_released_study_is_reported_from_the_chosen_patient_s_clips_alone(mixed: Store, clock: Clock) -> None:
    release(mixed)
    study = mixed.study(STUDY)
    assert (study.state, study.PatientID, study.revision) == (StudyState.RECEIVING, "P1", 1)
    assert [clip.SOPInstanceUID for clip in mixed.clip_analyses(STUDY)] == [A]
    out = outcome_of(mixed, B)
    assert (out.outcome, out.reason) == (Outcome.KEPT, Reason.ANOTHER_PATIENTS)
    assert outcome_of(mixed, A).outcome is Outcome.MEASURED
    reported(mixed, clock, report("2.25.2"), seg())
    study = mixed.study(STUDY)
    assert (study.state, study.revision) == (StudyState.REPORTED, 2)
    assert [r.SOPInstanceUID for r in mixed.outbox.reports_before(STUDY, 2)] == ["2.25.1"]
    assert StudyState.QUARANTINED not in mixed.status().studies


def test_who_released_it_is_told_and_each_release_is_a_row_of_its_own(mixed: Store, clock: Clock) -> None:
    release(mixed)
    word = Word(by="Rosa Reader", reason="asked the ward", at=clock.time)
    assert [study.released for study in mixed.study_outcomes()] == [word]
    mixed.keep(received(mixed, "1.2.826.1.3", PatientID="P2"))
    release(mixed, patient="P2", chosen=(B, "1.2.826.1.3"), others=(A,))
    with mixed._db.read() as conn:
        rows = conn.execute(sa.select(releases).order_by(releases.c.id)).all()
    assert [(r.revision, r.PatientID, r.is_other_patient) for r in rows] == [(1, "P1", False), (1, "P2", True)]


def test_the_other_patient_s_clip_is_taken_from_whoever_analyses_it(mixed: Store) -> None:
    job = lease(mixed)
    assert job.target == B
    release(mixed)
    with pytest.raises(LeaseLost):
        mixed.complete_clip(job, failed(B))
    assert mixed.lease(tuple(JobKind), "w", 60) is None


def test_a_clip_of_the_other_patient_that_failed_is_not_tried_again(mixed: Store) -> None:
    mixed.fail(lease(mixed), Reason.ANALYSIS_FAILED, "MemoryError", retry_at=None)
    release(mixed)
    assert mixed.requeue_jobs() == dict.fromkeys(JobKind, 0)
    assert mixed.status().jobs[JobKind.CLIP, JobState.SUPERSEDED] == 1
    assert outcome_of(mixed, B).detail == ""


def test_what_was_made_before_stays_dead(mixed: Store, clock: Clock) -> None:
    release(mixed)
    assert {d.state for d in mixed.deliveries(STUDY)} == {DeliveryState.DEAD}
    assert mixed.requeue_deliveries(["PACS"]) == 0
    assert mixed.outbox.send_again(mixed.deliveries(STUDY)) == 0
    assert mixed.status().given_up == {}
    reported(mixed, clock, report("2.25.2"))
    assert mixed.requeue_deliveries(["PACS"]) == 0
    assert [d.SOPInstanceUID for d in mixed.outbox.lease("PACS", "d", 60, 9)] == ["2.25.2"]


def test_a_segmentation_that_is_made_again_goes_after_all(mixed: Store, clock: Clock) -> None:
    release(mixed)
    reported(mixed, clock, report("2.25.2"), seg())
    sent = mixed.outbox.lease("PACS", "d", 60, 9)
    assert {d.SOPInstanceUID for d in sent} == {"2.25.2", "2.25.9"}
    assert {d.last_error for d in sent} == {""}


def test_what_was_sent_before_is_not_sent_again_when_an_archive_loses_it(store: Store, clock: Clock) -> None:
    store.keep(received(store, A, job=None))
    reported(store, clock, report("2.25.1"))
    (delivery,) = store.outbox.lease("PACS", "d", 60, 9)
    store.outbox.mark_sent(delivery, confirm_at=clock())
    store.keep(received(store, B, PatientID="P2", job=None))
    release(store, patient="P2", chosen=(B,), others=(A,))
    (asked,) = store.outbox.ask([(store.outbox.to_confirm("PACS", 9)[0], clock())], "2.25.77")
    store.outbox.settle([Verdict(delivery=asked, state=DeliveryState.QUEUED, error="lost", again_at=clock())])
    assert [d.state for d in store.deliveries(STUDY)] == [DeliveryState.DEAD]
    assert store.status().given_up == {}


def test_the_other_patient_s_next_object_quarantines_it_again(mixed: Store) -> None:
    release(mixed)
    mixed.keep(received(mixed, "1.2.826.1.3", PatientID="P1"))
    assert mixed.study(STUDY).state is StudyState.RECEIVING
    mixed.keep(received(mixed, "1.2.826.1.4", PatientID="P2"))
    assert mixed.study(STUDY).state is StudyState.QUARANTINED
    assert [study.reason for study in mixed.study_outcomes()] == [Reason.MIXED_PATIENTS]


def test_a_second_release_takes_in_what_the_first_set_out(mixed: Store, clock: Clock) -> None:
    """Clips whose jobs the first one ended are analysed after all."""
    release(mixed)
    mixed.keep(received(mixed, "1.2.826.1.3", PatientID="P2"))
    release(mixed, patient="P2", chosen=(B, "1.2.826.1.3"), others=(A,))
    assert outcome_of(mixed, A).reason is Reason.ANOTHER_PATIENTS
    for _ in (1, 2):
        job = lease(mixed)
        assert job.attempts == 1
        mixed.complete_clip(job, failed(job.target))
    assert [clip.SOPInstanceUID for clip in mixed.clip_analyses(STUDY)] == [B, "1.2.826.1.3"]
    reported(mixed, clock, report("2.25.2"))
    assert mixed.study(STUDY).PatientID == "P2"


def test_a_report_that_was_another_patient_s_is_read_once_the_study_is_this_one_s(mixed: Store) -> None:
    mixed.complete_clip(lease(mixed), failed(B))
    uid = "1.2.826.1.3"
    mixed.keep(received(mixed, uid, PatientID="P2", job=JobKind.CORRECTION))
    mixed.refuse_correction(lease(mixed), Reason.OTHER_PATIENT, "the study's images are of another")
    release(mixed, patient="P2", chosen=(B, uid), others=(A,))
    assert lease(mixed).target == uid
    assert outcome_of(mixed, uid).outcome is Outcome.WAITING


@pytest.mark.parametrize(("patient", "count"), [("P1", 1), ("P2", 0)])
def test_a_cart_s_numbers_are_compared_with_no_other_patient_s(
    store: Store, clock: Clock, patient: str, count: int
) -> None:
    number: dict[str, Any] = {
        "quantity": Quantity.LVEF,
        "method": Method.DISKS_BIPLANE,
        "view": None,
        "value": 60.0,
        "unit": Unit.PERCENT,
    }
    own = OwnValue(**number, revision=1, engine="tiny 1")
    cart = CartValue(**number, otherwise="")
    store.keep(received(store, A, job=None))
    clock.pass_(POLICY.quiet_seconds)
    store.close_studies(POLICY)
    store.complete_study(lease(store), [], [], [own])
    store.keep(received(store, B, PatientID="P2", job=None))
    reports = {"P1": "1.2.826.1.3", "P2": "1.2.826.1.4"}
    for of, uid in reports.items():
        store.keep(received(store, uid, PatientID=of, job=JobKind.CORRECTION))
        store.carts.complete(lease(store), cart_report(uid, cart))
    chosen = {A, reports["P1"]} if patient == "P1" else {B, reports["P2"]}
    others = {A, B, *reports.values()} - chosen
    release(store, patient=patient, chosen=tuple(chosen), others=tuple(others))
    (study,) = store.carts.compared()
    assert [r.SOPInstanceUID for r in study.carts] == [reports[patient]]
    assert len(study.own) == count


def cart_report(uid: str, *values: CartValue) -> CartReport:
    return CartReport(
        SOPInstanceUID=uid,
        Manufacturer="Acme",
        ManufacturerModelName="One",
        made_at=None,
        predecessors=(),
        values=values,
    )


def test_only_a_study_in_quarantine_can_be_released_and_only_as_it_was_looked_at(store: Store) -> None:
    with pytest.raises(DecisionError, match="is not known"):
        release(store)
    store.keep(received(store, A))
    with pytest.raises(DecisionError, match="not in quarantine: it is receiving"):
        release(store, others=())
    store.keep(received(store, B, PatientID="P2"))
    with pytest.raises(DecisionError, match="more of it came"):
        release(store, others=())
    assert store.study(STUDY).state is StudyState.QUARANTINED
    assert [study.released for study in store.study_outcomes()] == [None]
    assert {o.outcome for o in store.instance_outcomes()} == {Outcome.SET_ASIDE}
