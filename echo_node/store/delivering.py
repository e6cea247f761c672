"""The outbox: results on their way, and what became of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import echo_node.store.commitments as commitments
import echo_node.store.outbox as outbox
import echo_node.store.overview as overview
import echo_node.store.schema as schema
import echo_node.store.studies as studies
from echo_node.codes import ObjectKind
from echo_node.errors import DamagedError
from echo_node.records import Delivery, DeliveryState, Report
from echo_node.store.commitments import Unconfirmed, Verdict
from echo_node.store.database import Database
from echo_node.store.files import read_kept
from echo_node.store.overview import Waiting

_log = logging.getLogger(__name__)


class Outbox:
    """What is to be sent where; every method is a transaction of its own, as in :class:`Store`.

    Parameters
    ----------
    db : Database
        The store's.
    root : Path
        The storage folder.
    now : callable
        The clock: an aware datetime.
    """

    def __init__(self, db: Database, root: Path, *, now: Callable[[], datetime]) -> None:
        self._db = db
        self._root = root
        self._now = now

    def lease(self, destination: str, worker: str, seconds: float, limit: int) -> list[Delivery]:
        """Take what is due for a destination for so many seconds; the attempt is counted already."""
        now = self._now()
        with self._db.read() as conn:
            if not outbox.any_due(conn, destination, at=now):
                return []
        until = now + timedelta(seconds=seconds)
        with self._db.write() as conn:
            ids = outbox.lease(conn, destination, worker=worker, at=now, until=until, limit=limit)
            return outbox.select(conn, self._root, schema.outbox.c.id.in_(ids))

    def mark_sent(self, delivery: Delivery, *, confirm_at: datetime | None = None) -> None:
        """Note that the destination has it, and when to ask it whether it keeps it; None: never."""
        with self._db.write() as conn:
            outbox.mark_sent(conn, delivery, at=self._now(), confirm_at=confirm_at)

    def mark_failed(self, delivery: Delivery, error: str, *, next_attempt_at: datetime) -> None:
        """Note a failure that a retry may mend."""
        with self._db.write() as conn:
            outbox.mark_failed(conn, delivery, error, next_attempt_at=next_attempt_at)

    def mark_dead(self, delivery: Delivery, error: str) -> None:
        """Give a delivery up, for a person to look at."""
        with self._db.write() as conn:
            outbox.mark_dead(conn, delivery, error)

    def fall_back(self, delivery: Delivery, error: str) -> str | None:
        """Queue a report's older form in its place, for a destination that refuses the class of the newer one.

        Returns
        -------
        str or None
            The SOPInstanceUID of the older form; None where there is none, or where the destination once took the
            report as it is.
        """
        with self._db.write() as conn:
            return outbox.fall_back(conn, delivery, error, at=self._now())

    def deliveries(
        self,
        *,
        destination: str | None = None,
        state: DeliveryState | None = None,
        StudyInstanceUID: str | None = None,
        SOPInstanceUID: str | None = None,
    ) -> list[Delivery]:
        """The deliveries that fit all that is given, in the order of their queueing."""
        wanted = {
            schema.outbox.c.destination: destination,
            outbox.stands(): state,
            schema.reports.c.StudyInstanceUID: StudyInstanceUID,
            schema.outbox.c.SOPInstanceUID: SOPInstanceUID,
        }
        conditions = [column == value for column, value in wanted.items() if value is not None]
        with self._db.read() as conn:
            return outbox.select(conn, self._root, sa.and_(sa.true(), *conditions))

    def enqueue_study(self, destination: str, kinds: Collection[ObjectKind], StudyInstanceUID: str) -> int:
        """Queue for a destination what it lacks of a study's results that stand; returns how many."""
        with self._db.write() as conn:
            studies.lock(conn, StudyInstanceUID)  # what a decision withdraws at this moment is not queued
            return outbox.enqueue_study(conn, destination, kinds, StudyInstanceUID, at=self._now())

    def report(self, SOPInstanceUID: str) -> Report | None:
        """The object that the node made under a UID, as it was made first; None where there is none any more."""
        with self._db.read() as conn:
            row = outbox.report(conn, SOPInstanceUID)
        try:
            return None if row is None else self._read(row)
        except DamagedError as error:
            _log.error("%s", error)
            return None

    def reports_before(self, StudyInstanceUID: str, revision: int) -> tuple[Report, ...]:
        """The documents that earlier closes of a study brought about, oldest first; no SEG, no overlay."""
        with self._db.read() as conn:
            found = outbox.reports_before(conn, StudyInstanceUID, revision)
        return tuple(self._read(row) for row in found)

    def _read(self, row: sa.Row[Any]) -> Report:
        return Report(
            kind=row.kind,
            SOPClassUID=row.SOPClassUID,
            SOPInstanceUID=row.SOPInstanceUID,
            content=read_kept(self._root / row.path),
        )

    def to_confirm(self, destination: str, limit: int) -> list[Delivery]:
        """What a destination was sent and is to be asked about by now."""
        with self._db.read() as conn:
            condition = commitments.is_to_confirm(destination, self._now())
            return outbox.select(conn, self._root, condition)[:limit]

    def unconfirmed(self, *, sent_before: datetime) -> list[Unconfirmed]:
        """What was sent before a time and is still to be confirmed, by destination."""
        with self._db.read() as conn:
            return commitments.unconfirmed(conn, sent_before=sent_before)

    def waiting(self, *, made_before: datetime) -> list[Waiting]:
        """What was made before a time and still waits to be sent, by destination."""
        with self._db.read() as conn:
            return overview.waiting(conn, made_before=made_before)

    def ask(self, deliveries: list[tuple[Delivery, datetime]], TransactionUID: str) -> list[Delivery]:
        """Note that a destination is about to be asked, and when to ask again if it says nothing.

        Returns
        -------
        list
            Those that no other process asks about, as they are now.
        """
        with self._db.write() as conn:
            for delivery, again_at in deliveries:
                commitments.ask(conn, delivery, TransactionUID, again_at=again_at)
        return self.asked(TransactionUID)

    def asked(self, TransactionUID: str) -> list[Delivery]:
        """The deliveries that were last asked about in a transaction."""
        with self._db.read() as conn:
            return outbox.select(conn, self._root, schema.outbox.c.TransactionUID == TransactionUID)

    def settle(self, verdicts: list[Verdict]) -> None:
        """Carry out what an archive said of several deliveries, all or nothing."""
        with self._db.write() as conn:
            for verdict in verdicts:
                commitments.settle(conn, verdict, at=self._now())

    def send_again(self, deliveries: list[Delivery]) -> int:
        """Queue deliveries for now, whatever became of them; the bytes are those that are kept.

        Those of a study in quarantine or of a rejected object stay as they are, and those that are being sent at
        this moment.

        Returns
        -------
        int
            How many are due now.
        """
        condition = schema.outbox.c.id.in_([delivery.id for delivery in deliveries])
        with self._db.write() as conn:
            return outbox.send_again(conn, condition, at=self._now())
