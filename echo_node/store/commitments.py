"""Statements on what was sent and is not confirmed: who is to be asked, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from echo_node.records import Delivery, DeliveryState
from echo_node.store.outbox import is_held_back
from echo_node.store.schema import outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of a delivery whose archive was asked about it.

    COMMITTED and DEAD are ends. QUEUED sends it once more, SENT asks once more, both at ``again_at``.
    """

    delivery: Delivery
    state: DeliveryState
    error: str = ""
    again_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfirmed:
    """What a destination was sent and asked about, and has not confirmed."""

    destination: str
    objects: int
    since: datetime  # UTC, when the first of them was sent


def unconfirmed(conn: sa.Connection, *, sent_before: datetime) -> list[Unconfirmed]:
    """What was sent before a time and is still to be confirmed, by destination."""
    rows = conn.execute(
        sa.select(outbox.c.destination, sa.func.count(), sa.func.min(outbox.c.sent_at))
        .where(
            outbox.c.state == DeliveryState.SENT,
            outbox.c.confirm_at.is_not(None),
            outbox.c.sent_at < sent_before,
        )
        .group_by(outbox.c.destination)
        .order_by(outbox.c.destination)
    )
    return [Unconfirmed(destination=name, objects=count, since=since) for name, count, since in rows]


def is_to_confirm(destination: str, at: datetime) -> sa.ColumnElement[bool]:
    """Is an archive to be asked about a delivery by now?"""
    return sa.and_(
        outbox.c.destination == destination,
        outbox.c.state == DeliveryState.SENT,
        outbox.c.confirm_at <= at,
    )


def ask(conn: sa.Connection, delivery: Delivery, TransactionUID: str, *, again_at: datetime) -> bool:
    """Note that an archive is about to be asked; False where another process asks already."""
    asked = conn.execute(
        sa.update(outbox)
        .where(
            outbox.c.id == delivery.id,
            outbox.c.state == DeliveryState.SENT,
            outbox.c.asks == delivery.asks,
            outbox.c.attempts == delivery.attempts,
        )
        .values(asks=delivery.asks + 1, TransactionUID=TransactionUID, confirm_at=again_at)
    )
    return asked.rowcount == 1


def settle(conn: sa.Connection, verdict: Verdict, *, at: datetime) -> None:
    """Carry a verdict out, unless the archive was asked anew since: then the next answer counts."""
    values: dict[str, object] = {"state": verdict.state, "last_error": verdict.error, "confirm_at": None}
    if verdict.state is DeliveryState.SENT:
        values["confirm_at"] = verdict.again_at
    elif verdict.state is DeliveryState.QUEUED:
        stays = sa.literal(DeliveryState.DEAD, outbox.c.state.type)  # nothing of it is sent
        goes = sa.literal(DeliveryState.QUEUED, outbox.c.state.type)
        state = sa.case((is_held_back(), stays), else_=goes)
        values |= {"state": state, "next_attempt_at": verdict.again_at, "leased_until": None}
    elif verdict.state is DeliveryState.COMMITTED:
        values["committed_at"] = at
    conn.execute(
        sa.update(outbox)
        .where(
            outbox.c.id == verdict.delivery.id,
            outbox.c.state == DeliveryState.SENT,
            outbox.c.TransactionUID == verdict.delivery.TransactionUID,
        )
        .values(values)
    )
