"""The outbox: each object to each destination, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from echo_node.codes import ObjectKind
from echo_node.records import DeliveryState, JobKind
from echo_node.store import Store
from tests.unit.store.builders import POLICY, STUDY, Clock, failed, received, report


@pytest.fixture(autouse=True)
def _two_queued(store: Store, clock: Clock) -> None:
    store.keep(received(store, job=None))
    clock.pass_(120)
    store.close_studies(POLICY)
    job = store.lease([JobKind.STUDY], "w", 60)
    assert job is not None
    reports = [report("2.25.1"), report("2.25.2")]
    store.complete_study(job, reports, [("PACS", r) for r in reports])


def test_leased_deliveries_are_not_leased_again(store: Store, clock: Clock) -> None:
    assert [d.SOPInstanceUID for d in store.outbox.lease("PACS", "d", 60, 1)] == ["2.25.1"]
    assert [d.SOPInstanceUID for d in store.outbox.lease("PACS", "d", 60, 9)] == ["2.25.2"]
    assert store.outbox.lease("PACS", "d", 60, 9) == []
    assert store.outbox.lease("VNA", "d", 60, 9) == []
    clock.pass_(61)
    assert [d.attempts for d in store.outbox.lease("PACS", "d", 60, 9)] == [2, 2]


def test_deliveries_of_a_sender_that_is_gone_are_due_at_once(store: Store) -> None:
    assert len(store.outbox.lease("PACS", "d", 60, 1)) == 1
    assert len(store.outbox.lease("PACS", "e", 60, 1)) == 1
    assert store.release(lambda worker: worker == "d") == 1
    (again,) = store.outbox.lease("PACS", "f", 60, 9)
    assert (again.SOPInstanceUID, again.attempts) == ("2.25.1", 2)
    assert store.release(lambda worker: worker == "d") == 0


def test_sent_is_sent(store: Store, clock: Clock) -> None:
    for delivery in store.outbox.lease("PACS", "d", 60, 9):
        store.outbox.mark_sent(delivery)
    clock.pass_(10_000)
    assert store.outbox.lease("PACS", "d", 60, 9) == []
    assert store.status().deliveries == {("PACS", DeliveryState.SENT): 2}


def test_failed_comes_back_at_its_time_with_its_error(store: Store, clock: Clock) -> None:
    first, second = store.outbox.lease("PACS", "d", 60, 9)
    store.outbox.mark_failed(first, "no answer", next_attempt_at=clock.time + timedelta(hours=4))
    store.outbox.mark_sent(second)
    clock.pass_(4 * 3600 - 1)
    assert store.outbox.lease("PACS", "d", 60, 9) == []
    clock.pass_(1)
    (again,) = store.outbox.lease("PACS", "d", 60, 9)
    assert (again.SOPInstanceUID, again.attempts, again.last_error) == ("2.25.1", 2, "no answer")


def test_what_is_sent_or_dead_goes_again_when_a_person_says_so(store: Store, clock: Clock) -> None:
    first, second = store.outbox.lease("PACS", "d", 60, 9)
    store.outbox.mark_dead(first, "0122")
    store.outbox.mark_sent(second)
    clock.pass_(10_000)
    assert store.outbox.lease("PACS", "d", 60, 9) == []
    assert store.outbox.send_again(store.outbox.deliveries(SOPInstanceUID="2.25.2")) == 1
    assert store.outbox.send_again(store.outbox.deliveries(destination="VNA")) == 0
    assert [(d.SOPInstanceUID, d.attempts) for d in store.outbox.lease("PACS", "d", 60, 9)] == [("2.25.2", 1)]
    assert store.outbox.send_again(store.outbox.deliveries(destination="PACS")) == 1  # one is on its way
    assert [d.SOPInstanceUID for d in store.outbox.lease("PACS", "d", 60, 9)] == ["2.25.1"]


def test_what_waits_is_due_at_once_and_keeps_its_count(store: Store, clock: Clock) -> None:
    first, _ = store.outbox.lease("PACS", "d", 60, 9)
    store.outbox.mark_failed(first, "no answer", next_attempt_at=clock.time + timedelta(hours=4))
    assert store.outbox.send_again(store.outbox.deliveries(StudyInstanceUID=STUDY)) == 1
    (again,) = store.outbox.lease("PACS", "d", 60, 9)
    assert (again.SOPInstanceUID, again.attempts) == ("2.25.1", 2)


def test_deliveries_are_found_by_state_and_study(store: Store) -> None:
    first, _ = store.outbox.lease("PACS", "d", 60, 9)
    store.outbox.mark_sent(first)
    assert [d.SOPInstanceUID for d in store.outbox.deliveries(state=DeliveryState.SENT)] == ["2.25.1"]
    assert [d.SOPInstanceUID for d in store.outbox.deliveries(state=DeliveryState.QUEUED)] == ["2.25.2"]
    assert len(store.outbox.deliveries(StudyInstanceUID=STUDY)) == 2
    assert store.outbox.deliveries(StudyInstanceUID="9.9") == []


def test_what_failed_and_waits_for_its_next_try_is_failed(store: Store, clock: Clock) -> None:
    first, _ = store.outbox.lease("PACS", "d", 60, 9)
    again_at = clock.time + timedelta(hours=4)
    store.outbox.mark_failed(first, "no answer", next_attempt_at=again_at)
    assert [d.state for d in store.deliveries(STUDY)] == [DeliveryState.FAILED, DeliveryState.QUEUED]
    assert [d.SOPInstanceUID for d in store.outbox.deliveries(state=DeliveryState.FAILED)] == ["2.25.1"]
    assert [d.SOPInstanceUID for d in store.outbox.deliveries(state=DeliveryState.QUEUED)] == ["2.25.2"]
    assert store.status().deliveries == {("PACS", DeliveryState.FAILED): 1, ("PACS", DeliveryState.QUEUED): 1}
    clock.pass_(4 * 3600)
    again = next(d for d in store.outbox.lease("PACS", "d", 60, 9) if d.SOPInstanceUID == "2.25.1")
    store.outbox.mark_dead(again, "0122")
    assert store.deliveries(STUDY)[0].state is DeliveryState.DEAD
    store.outbox.send_again([again])
    assert store.deliveries(STUDY)[0].state is DeliveryState.QUEUED  # it begins anew


def test_sender_whose_lease_ran_out_cannot_fail_it_but_can_have_sent_it(store: Store, clock: Clock) -> None:
    old, _ = store.outbox.lease("PACS", "d", 60, 9)
    clock.pass_(61)
    new, _ = store.outbox.lease("PACS", "e", 60, 9)
    store.outbox.mark_dead(old, "late")
    store.outbox.mark_failed(old, "late", next_attempt_at=clock.time)
    assert store.outbox.lease("PACS", "f", 60, 9) == []
    store.outbox.mark_sent(old)
    store.outbox.mark_failed(new, "no answer", next_attempt_at=clock.time)
    assert store.deliveries(STUDY)[0].state is DeliveryState.SENT


def test_a_later_revision_is_handed_the_earlier_documents_alone(store: Store, clock: Clock) -> None:
    store.keep(received(store, "1.2.826.1.2"))
    late = store.lease([JobKind.CLIP], "w", 60)
    assert late is not None
    store.complete_clip(late, failed("1.2.826.1.2"))
    clock.pass_(120)
    store.close_studies(POLICY)
    job = store.lease([JobKind.STUDY], "w", 60)
    assert job is not None
    kinds = (ObjectKind.SEG, ObjectKind.OVERLAY, ObjectKind.PDF)
    made = [replace(report(f"2.25.{n}"), kind=kind) for n, kind in enumerate(kinds, start=3)]
    store.complete_study(job, made, [("PACS", r) for r in made])
    earlier = store.outbox.reports_before(STUDY, 3)
    assert [(r.SOPInstanceUID, r.kind) for r in earlier] == [
        ("2.25.1", ObjectKind.SR),
        ("2.25.2", ObjectKind.SR),
        ("2.25.5", ObjectKind.PDF),
    ]
    assert store.outbox.reports_before(STUDY, 1) == ()


def test_an_object_is_read_as_it_was_made_and_a_lost_one_is_none(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    (first, _) = store.deliveries(STUDY)
    kept = store.outbox.report(first.SOPInstanceUID)
    assert kept is not None
    assert (kept.kind, kept.content) == (ObjectKind.SR, first.path.read_bytes())
    assert store.outbox.report("2.25.999") is None
    first.path.unlink()
    assert store.outbox.report(first.SOPInstanceUID) is None
    assert "is gone, though the database names it" in caplog.text
