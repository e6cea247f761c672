"""Decisions in the store: once, in order, and only on results that are there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from echo_node.codes import Code, Reason
from echo_node.decisions import Decision, DecisionKind, Person, standing_acceptance
from echo_node.errors import DecisionError
from echo_node.records import DeliveryState, JobKind, StudyState
from echo_node.store import Made, Store, earlier_decision
from echo_node.store.schema import decisions
from tests.unit.store.builders import POLICY, STUDY, Clock, measured, received, report

ROSA = Person(name="Reader^Rosa", organization="Heart Clinic", code=Code("4711", "99HC", "Cardiologist"))
EMIL = Person(name="Reader^Emil", organization="Heart Clinic")


@pytest.fixture
def reported(store: Store, clock: Clock) -> Store:
    """A study of one clip, reported once."""
    store.keep(received(store))
    job = store.lease((JobKind.CLIP,), "w", 60)
    assert job is not None
    store.complete_clip(job, measured())
    _report(store, clock, "2.25.1")
    return store


def _report(store: Store, clock: Clock, uid: str) -> None:
    clock.pass_(121)
    store.close_studies(POLICY)
    job = store.lease((JobKind.STUDY,), "w", 60)
    assert job is not None
    store.complete_study(job, [report(uid)], [("PACS", report(uid))])


def decision(clock: Clock, kind: DecisionKind = DecisionKind.ACCEPTED, **changes) -> Decision:
    made = Decision(
        StudyInstanceUID=STUDY,
        revision=1,
        kind=kind,
        by=ROSA,
        reason="as by eye: Ö",
        made_at=clock(),
        decided=("2.25.1",),
        made=("2.25.7",),
    )
    return replace(made, **changes)


def save(store: Store, what: Decision) -> Decision:
    made = [report(uid, b"accepted") for uid in what.made]
    return store.decisions.save(what, lambda _: Made(reports=made, deliveries=[("PACS", r) for r in made]))


def test_a_decision_reads_back_with_its_documents_queued(reported: Store, clock: Clock) -> None:
    wanted = decision(clock)
    assert save(reported, wanted) == wanted
    assert reported.decisions.of_study(STUDY) == (wanted,) == reported.decisions.every()
    assert [d.SOPInstanceUID for d in reported.deliveries(STUDY)] == ["2.25.1", "2.25.7"]
    assert reported.has_made("2.25.7")


def test_what_is_rejected_is_not_sent_any_more(reported: Store, clock: Clock) -> None:
    (taken,) = reported.outbox.lease("PACS", "d", 60, 9)
    seen = []
    made = report("2.25.7")

    def make(deliveries):
        seen.extend(deliveries)
        return Made(reports=[made], deliveries=[("PACS", made)])

    reported.decisions.save(decision(clock, DecisionKind.REJECTED, made=()), make)
    assert [(d.SOPInstanceUID, d.state, d.attempts) for d in seen] == [("2.25.1", DeliveryState.DEAD, 1)]
    reported.outbox.mark_failed(taken, "no association", next_attempt_at=clock())
    clock.pass_(100)
    assert [d.SOPInstanceUID for d in reported.outbox.lease("PACS", "d", 60, 9)] == ["2.25.7"]
    assert reported.requeue_deliveries(["PACS"]) == 0
    assert reported.outbox.send_again(reported.deliveries(STUDY)[:1]) == 0
    assert not reported.status().given_up
    assert reported.deliveries(STUDY)[0].last_error == "rejected by a person"


def test_what_was_being_sent_when_it_was_rejected_has_arrived(reported: Store, clock: Clock) -> None:
    (taken,) = reported.outbox.lease("PACS", "d", 60, 9)
    save(reported, decision(clock, DecisionKind.REJECTED))
    assert reported.outbox.fall_back(taken, "no such class") is None
    reported.outbox.mark_sent(taken)
    assert reported.deliveries(STUDY)[0].state is DeliveryState.SENT


def test_the_same_decision_twice_is_one(reported: Store, clock: Clock) -> None:
    first = save(reported, decision(clock))
    clock.pass_(5)
    again = decision(clock, made=("2.25.8",), by=replace(ROSA, name="READER^Rosa^^^"))
    assert save(reported, again) == first
    assert reported.decisions.every() == (first,)
    assert not reported.has_made("2.25.8")


def test_another_person_cannot_decide_on_what_is_decided(reported: Store, clock: Clock) -> None:
    save(reported, decision(clock))
    for kind in DecisionKind:
        with pytest.raises(DecisionError, match=r"accepted by Reader\^Rosa .*that person alone"):
            save(reported, decision(clock, kind, by=EMIL, made=("2.25.8",)))
    assert len(reported.decisions.every()) == 1


def test_the_same_person_takes_an_acceptance_back_and_a_rejection_is_final(reported: Store, clock: Clock) -> None:
    save(reported, decision(clock))
    taken = save(reported, decision(clock, DecisionKind.REJECTED, made=("2.25.8",), decided=("2.25.1", "2.25.7")))
    assert standing_acceptance(reported.decisions.of_study(STUDY)) is None
    for by in (ROSA, EMIL):
        with pytest.raises(DecisionError, match=r"rejected by .*new results, which can be accepted"):
            save(reported, decision(clock, by=by, made=("2.25.9",)))
    assert reported.decisions.every()[-1] == taken


def test_a_code_tells_persons_of_one_name_apart() -> None:
    assert not ROSA.is_same(replace(ROSA, code=Code("4712", "99HC", "Cardiologist")))
    assert ROSA.is_same(replace(ROSA, name="Married^Rosa"))
    assert EMIL.is_same(replace(EMIL, name="reader^emil^"))


def test_results_that_are_being_made_anew_cannot_be_decided_on(reported: Store, clock: Clock) -> None:
    reported.keep(received(reported, "1.2.826.1.5", job=JobKind.CORRECTION))
    with pytest.raises(DecisionError, match="being made"):
        reported.decisions.results(STUDY)
    job = reported.lease(tuple(JobKind), "w", 60)
    assert job is not None
    reported.refuse_correction(job, Reason.NO_CORRECTION, "")
    assert reported.decisions.results(STUDY).revision == 1
    reported.keep(received(reported, "1.2.826.1.2"))
    with pytest.raises(DecisionError, match="being made"):
        save(reported, decision(clock))
    assert reported.decisions.every() == ()


def test_what_was_not_looked_at_is_not_decided_on(reported: Store, clock: Clock) -> None:
    reported.keep(received(reported, "1.2.826.1.2"))
    job = reported.lease((JobKind.CLIP,), "w", 60)
    assert job is not None
    reported.complete_clip(job, measured("1.2.826.1.2"))
    _report(reported, clock, "2.25.2")
    with pytest.raises(DecisionError, match="of revision 2, not 1"):
        save(reported, decision(clock))


def test_neither_an_unknown_study_nor_one_in_quarantine_has_results(reported: Store, clock: Clock) -> None:
    with pytest.raises(DecisionError, match="not known"):
        reported.decisions.results("1.2.3")
    reported.keep(received(reported, "1.2.826.1.2", PatientID="P2"))
    assert reported.study(STUDY).state is StudyState.QUARANTINED
    with pytest.raises(DecisionError, match="quarantine"):
        save(reported, decision(clock))


def test_an_accepted_document_is_the_latest_of_what_came_before(reported: Store, clock: Clock) -> None:
    clock.pass_(5)
    save(reported, decision(clock, made=("2.25.0",)))  # its UID sorts first
    assert [r.SOPInstanceUID for r in reported.outbox.reports_before(STUDY, 2)] == ["2.25.1", "2.25.0"]


def test_the_database_itself_lets_no_second_decision_of_a_kind_in(reported: Store, clock: Clock) -> None:
    save(reported, decision(clock))
    with pytest.raises(Exception, match=r"(?i)unique|refuses"), reported._db.write() as conn:
        conn.execute(
            sa.insert(decisions).values(
                StudyInstanceUID=STUDY,
                revision=1,
                kind=DecisionKind.ACCEPTED,
                name="X",
                organization="Y",
                reason="",
                made_at=clock(),
            )
        )


def test_decisions_on_one_revision_say_nothing_of_the_next(clock: Clock) -> None:
    first = decision(clock)
    assert earlier_decision([first], decision(clock, revision=2, by=EMIL)) is None
    later = decision(clock, DecisionKind.REJECTED, revision=2, by=EMIL)
    assert standing_acceptance([first, later]) == first
