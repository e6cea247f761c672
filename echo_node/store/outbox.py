"""Statements on reports and the outbox: what is to be sent where, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from echo_node.codes import BY_PERSONS, FALLBACKS, ObjectKind
from echo_node.decisions import DecisionKind
from echo_node.records import Delivery, DeliveryState, Report, StudyState
from echo_node.store.database import insert_or_ignore
from echo_node.store.schema import decision_objects, decisions, outbox, reports, studies

# Large, and never replaced: a clip's findings do not change. Persons' rejections and edits are no results.
_NOT_REPLACED = (ObjectKind.SEG, ObjectKind.SEG_LABELMAP, ObjectKind.OVERLAY, *BY_PERSONS)


def add_report(
    conn: sa.Connection, report: Report, *, path: Path, StudyInstanceUID: str, revision: int, at: datetime
) -> None:
    """Name a report's file; where the UID is known, its first bytes stay (PS3.5 9: a UID is one object)."""
    conn.execute(
        insert_or_ignore(conn, reports).values(
            SOPInstanceUID=report.SOPInstanceUID,
            kind=report.kind,
            SOPClassUID=report.SOPClassUID,
            StudyInstanceUID=StudyInstanceUID,
            revision=revision,
            path=str(path),
            made_at=at,
        )
    )


def add(
    conn: sa.Connection,
    made: Sequence[Report],
    paths: Sequence[Path],
    deliveries: Sequence[tuple[str, Report]],
    *,
    StudyInstanceUID: str,
    revision: int,
    at: datetime,
) -> None:
    """Name reports' files and queue each for its destinations, in the form that a destination gets.

    What a quarantine kept from being sent, and is made again after its study's release, goes now.
    """
    again = _made_again(conn, made)
    for report, path in zip(made, paths, strict=True):
        add_report(conn, report, path=path, StudyInstanceUID=StudyInstanceUID, revision=revision, at=at)
    for destination, report in deliveries:
        form = form_for(conn, destination, report, made, StudyInstanceUID)
        enqueue(conn, destination, form.SOPInstanceUID, at=at)
        if form.SOPInstanceUID in again:
            its_row = sa.and_(outbox.c.destination == destination, outbox.c.SOPInstanceUID == form.SOPInstanceUID)
            send_again(conn, sa.and_(its_row, outbox.c.state == DeliveryState.DEAD), at=at)


def _made_again(conn: sa.Connection, made: Sequence[Report]) -> Sequence[str]:
    """Which of these objects are known from before a release from quarantine: they may be sent from now on."""
    uids = [report.SOPInstanceUID for report in made]
    return conn.scalars(
        sa.update(reports)
        .where(reports.c.SOPInstanceUID.in_(uids), reports.c.is_withdrawn)
        .values(is_withdrawn=False)
        .returning(reports.c.SOPInstanceUID)
    ).all()


def has_report(conn: sa.Connection, SOPInstanceUID: str) -> bool:
    """Is there a report of this UID that the node made? What a person drew is that person's."""
    its_own = sa.and_(reports.c.SOPInstanceUID == SOPInstanceUID, reports.c.kind != ObjectKind.EDIT)
    return conn.scalar(sa.select(reports.c.path).where(its_own)) is not None


def report(conn: sa.Connection, SOPInstanceUID: str) -> sa.Row[Any] | None:
    """The row of a report that the node made."""
    return conn.execute(sa.select(reports).where(reports.c.SOPInstanceUID == SOPInstanceUID)).one_or_none()


def reports_before(conn: sa.Connection, StudyInstanceUID: str, revision: int) -> Sequence[sa.Row[Any]]:
    """The rows of the documents that earlier closes of a study, and decisions on them, brought about."""
    found = sa.select(reports).where(
        reports.c.StudyInstanceUID == StudyInstanceUID,
        reports.c.revision < revision,
        reports.c.kind.not_in(_NOT_REPLACED),
    )
    return conn.execute(found.order_by(reports.c.revision, reports.c.made_at, reports.c.SOPInstanceUID)).all()


def enqueue(conn: sa.Connection, destination: str, SOPInstanceUID: str, *, at: datetime) -> None:
    """Queue a report for a destination, once."""
    conn.execute(
        insert_or_ignore(conn, outbox).values(
            destination=destination,
            SOPInstanceUID=SOPInstanceUID,
            state=DeliveryState.QUEUED,
            attempts=0,
            next_attempt_at=at,
            last_error="",
            created_at=at,
        )
    )


def enqueue_study(
    conn: sa.Connection, destination: str, kinds: Collection[ObjectKind], StudyInstanceUID: str, *, at: datetime
) -> int:
    """Queue for a destination what it lacks of a study's results that stand; returns how many.

    That is the documents of the last close or decision and all findings, but for what is withheld, and for what it
    got in its older form.
    """
    is_document = reports.c.kind.not_in(_NOT_REPLACED)
    may_be_sent = sa.and_(reports.c.StudyInstanceUID == StudyInstanceUID, ~is_withheld(reports.c.SOPInstanceUID))
    last = sa.select(sa.func.max(reports.c.revision)).where(may_be_sent, is_document).scalar_subquery()
    got = conn.execute(
        sa.select(outbox.c.SOPInstanceUID, reports.c.kind)
        .join(reports, reports.c.SOPInstanceUID == outbox.c.SOPInstanceUID)
        .where(outbox.c.destination == destination, reports.c.StudyInstanceUID == StudyInstanceUID)
    ).all()
    older = {kind for kind, form in FALLBACKS.items() if form in {row.kind for row in got}}
    lacking = conn.scalars(
        sa.select(reports.c.SOPInstanceUID)
        .where(
            may_be_sent,
            sa.or_(~is_document, reports.c.revision == last),
            reports.c.kind.in_(set(kinds) - older),
            reports.c.SOPInstanceUID.not_in([row.SOPInstanceUID for row in got]),
        )
        .order_by(reports.c.made_at, reports.c.SOPInstanceUID)
    ).all()
    for uid in lacking:
        enqueue(conn, destination, uid, at=at)
    return len(lacking)


def form_for(conn: sa.Connection, destination: str, report: Report, made: Sequence[Report], uid: str) -> Report:
    """The form of a report that a destination gets: the older one where it got an earlier one of the study in that.

    So that a later document names a predecessor that the destination has.
    """
    older = FALLBACKS.get(report.kind)
    if older is None:
        return report
    got = (
        sa.select(outbox.c.id)
        .join(reports, reports.c.SOPInstanceUID == outbox.c.SOPInstanceUID)
        .where(outbox.c.destination == destination, reports.c.StudyInstanceUID == uid, reports.c.kind == older)
    )
    if conn.scalar(got.limit(1)) is None:
        return report
    return next((other for other in made if other.kind is older), report)


def fall_back(conn: sa.Connection, delivery: Delivery, error: str, *, at: datetime) -> str | None:
    """Put a report's older form in its place in the queue; returns its SOPInstanceUID, or None where there is none.

    The row is the same, so that one form alone is ever under way. A report that its destination took before stays
    as it is: the other form would be a second result there.
    """
    refused = conn.execute(sa.select(reports).where(reports.c.SOPInstanceUID == delivery.SOPInstanceUID)).one()
    if refused.kind not in FALLBACKS:
        return None
    by_decision = sa.select(decision_objects.c.SOPInstanceUID).where(decision_objects.c.is_made)
    is_decided = conn.scalar(by_decision.where(decision_objects.c.SOPInstanceUID == delivery.SOPInstanceUID))
    same = reports.c.SOPInstanceUID.in_(by_decision)  # an accepted one's older form is accepted too
    older: str | None = conn.scalar(
        sa.select(reports.c.SOPInstanceUID)
        .where(
            same if is_decided is not None else ~same,
            reports.c.StudyInstanceUID == refused.StudyInstanceUID,
            reports.c.revision == refused.revision,
            reports.c.kind == FALLBACKS[refused.kind],
            reports.c.SOPInstanceUID.not_in(
                sa.select(outbox.c.SOPInstanceUID).where(outbox.c.destination == delivery.destination)
            ),
        )
        .order_by(reports.c.made_at.desc(), reports.c.SOPInstanceUID)
        .limit(1)
    )
    if older is None:
        return None
    swapped = conn.execute(
        sa.update(outbox)
        .where(_is_held(delivery), outbox.c.sent_at.is_(None))
        .values(SOPInstanceUID=older, next_attempt_at=at, leased_until=None, last_error=error)
    )
    return older if swapped.rowcount else None


def any_due(conn: sa.Connection, destination: str, *, at: datetime) -> bool:
    """Is there anything to send? Asked first: an idle sender's question takes no write lock."""
    return conn.scalar(sa.select(outbox.c.id).where(_is_due(destination, at)).limit(1)) is not None


def lease(
    conn: sa.Connection, destination: str, *, worker: str, at: datetime, until: datetime, limit: int
) -> list[int]:
    """Take what is due for a destination; counts the attempt."""
    ids = conn.scalars(
        sa.select(outbox.c.id)
        .where(_is_due(destination, at))
        .order_by(outbox.c.next_attempt_at, outbox.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    conn.execute(
        sa.update(outbox)
        .where(outbox.c.id.in_(ids))
        .values(attempts=outbox.c.attempts + 1, leased_until=until, worker=worker)
    )
    return list(ids)


def release(conn: sa.Connection, *, is_gone: Callable[[str], bool], at: datetime) -> int:
    """End the leases of senders that are gone; returns how many."""
    held = conn.execute(
        sa.select(outbox.c.id, outbox.c.worker).where(
            outbox.c.state == DeliveryState.QUEUED, outbox.c.leased_until > at
        )
    ).all()
    gone = [row.id for row in held if is_gone(row.worker)]
    conn.execute(sa.update(outbox).where(outbox.c.id.in_(gone)).values(leased_until=at))
    return len(gone)


def _is_due(destination: str, at: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(
        outbox.c.destination == destination,
        outbox.c.state == DeliveryState.QUEUED,
        outbox.c.next_attempt_at <= at,
        sa.or_(outbox.c.leased_until.is_(None), outbox.c.leased_until <= at),
    )


def stands() -> sa.ColumnElement[DeliveryState]:
    """Where a delivery stands, as a person is told: one that is queued for another try has failed."""
    has_failed = sa.and_(outbox.c.state == DeliveryState.QUEUED, outbox.c.last_error != "")
    return sa.case((has_failed, sa.literal(DeliveryState.FAILED, outbox.c.state.type)), else_=outbox.c.state)


def select(conn: sa.Connection, root: Path, condition: sa.ColumnElement[bool]) -> list[Delivery]:
    """The deliveries that fit a condition, in the order of their queueing."""
    rows = conn.execute(
        sa.select(
            outbox.c.id,
            outbox.c.destination,
            reports.c.SOPClassUID,
            outbox.c.SOPInstanceUID,
            reports.c.StudyInstanceUID,
            reports.c.path,
            stands().label("state"),
            outbox.c.attempts,
            outbox.c.next_attempt_at,
            outbox.c.sent_at,
            outbox.c.asks,
            outbox.c.confirm_at,
            outbox.c.TransactionUID,
            outbox.c.last_error,
        )
        .join(reports, reports.c.SOPInstanceUID == outbox.c.SOPInstanceUID)
        .where(condition)
        .order_by(outbox.c.id)
    )
    return [Delivery(**{**row, "path": root / row["path"]}) for row in rows.mappings()]


def mark_sent(conn: sa.Connection, delivery: Delivery, *, at: datetime, confirm_at: datetime | None) -> None:
    """Note that the destination has it: a fact, whoever holds the lease by now."""
    conn.execute(
        sa.update(outbox)
        .where(outbox.c.id == delivery.id, outbox.c.state.in_((DeliveryState.QUEUED, DeliveryState.DEAD)))
        .values(
            state=DeliveryState.SENT,
            leased_until=None,
            last_error="",
            sent_at=at,
            confirm_at=confirm_at,
            asks=0,
            TransactionUID=None,
        )
    )


def mark_failed(conn: sa.Connection, delivery: Delivery, error: str, *, next_attempt_at: datetime) -> None:
    """Queue it again, unless another sender has taken it since."""
    conn.execute(
        sa.update(outbox)
        .where(_is_held(delivery))
        .values(leased_until=None, last_error=error, next_attempt_at=next_attempt_at)
    )


def mark_dead(conn: sa.Connection, delivery: Delivery, error: str) -> None:
    """Give it up, unless another sender has taken it since."""
    conn.execute(
        sa.update(outbox)
        .where(_is_held(delivery))
        .values(state=DeliveryState.DEAD, leased_until=None, last_error=error)
    )


def _is_held(delivery: Delivery) -> sa.ColumnElement[bool]:
    return sa.and_(
        outbox.c.id == delivery.id,
        outbox.c.state == DeliveryState.QUEUED,
        outbox.c.attempts == delivery.attempts,
    )


def is_withheld(uid: sa.ColumnElement[str] = outbox.c.SOPInstanceUID) -> sa.ColumnElement[bool]:
    """Is an object not to be sent any more?

    Its study is in quarantine, its object was made before the study was released from it, or a person rejected it.
    """
    quarantined = (
        sa.select(reports.c.SOPInstanceUID)
        .join(studies, studies.c.StudyInstanceUID == reports.c.StudyInstanceUID)
        .where(sa.or_(studies.c.state == StudyState.QUARANTINED, reports.c.is_withdrawn))
    )
    rejected = (
        sa.select(decision_objects.c.SOPInstanceUID)
        .join(decisions, decisions.c.id == decision_objects.c.decision)
        .where(decisions.c.kind == DecisionKind.REJECTED, ~decision_objects.c.is_made)
    )
    return sa.or_(uid.in_(quarantined), uid.in_(rejected))


def withdraw(conn: sa.Connection, uids: Collection[str]) -> None:
    """End the deliveries of these objects that wait, and those that are being sent should they fail."""
    conn.execute(
        sa.update(outbox)
        .where(outbox.c.SOPInstanceUID.in_(uids), outbox.c.state == DeliveryState.QUEUED)
        .values(state=DeliveryState.DEAD, last_error="rejected by a person")
    )


def send_again(conn: sa.Connection, condition: sa.ColumnElement[bool], *, at: datetime) -> int:
    """Make due now what is not on its way, but for what is withheld; returns how many there were.

    What waits for its next attempt keeps their count, which fences off a sender whose lease ran out; all
    else begins anew.
    """
    is_free = sa.or_(outbox.c.leased_until.is_(None), outbox.c.leased_until <= at)
    waits = outbox.c.state == DeliveryState.QUEUED
    return conn.execute(
        sa.update(outbox)
        .where(condition, is_free, ~is_withheld())
        .values(
            state=DeliveryState.QUEUED,
            attempts=sa.case((waits, outbox.c.attempts), else_=0),
            last_error=sa.case((waits, outbox.c.last_error), else_=""),
            next_attempt_at=at,
            leased_until=None,
            confirm_at=None,
            TransactionUID=None,
        )
    ).rowcount
