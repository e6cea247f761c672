"""Numbers of carts, and the node's own to compare them with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

import echo_node.store.jobs as jobs
from echo_node.carts import CartReport, CartValue, OwnValue, StudyNumbers
from echo_node.records import Job, StudyState
from echo_node.store.database import Database
from echo_node.store.schema import (
    cart_predecessors,
    cart_reports,
    cart_values,
    instances,
    own_values,
    releases,
    studies,
)

_NUMBER = ("quantity", "method", "view", "value", "unit")


class Carts:
    """What carts measured; every method is a transaction of its own, as in :class:`Store`.

    Parameters
    ----------
    db : Database
        The store's.
    now : callable
        The clock: an aware datetime.
    """

    def __init__(self, db: Database, *, now: Callable[[], datetime]) -> None:
        self._db = db
        self._now = now

    def complete(self, job: Job, report: CartReport) -> None:
        """Keep what a cart's report says and end its job, both or neither.

        The study stays as it is: nothing of it follows from a cart's numbers.

        Raises
        ------
        LeaseLost
            Another worker has the job; nothing is kept.
        """
        with self._db.write() as conn:
            now = self._now()
            StudyInstanceUID, _ = jobs.where_from(conn, job)
            jobs.finish(conn, job, at=now)
            uid = report.SOPInstanceUID
            conn.execute(
                sa.insert(cart_reports).values(
                    SOPInstanceUID=uid,
                    StudyInstanceUID=StudyInstanceUID,
                    Manufacturer=report.Manufacturer,
                    ManufacturerModelName=report.ManufacturerModelName,
                    made_at=report.made_at,
                    read_at=now,
                )
            )
            before = [{"SOPInstanceUID": uid, "predecessor": p} for p in dict.fromkeys(report.predecessors)]
            _insert(conn, cart_predecessors, before)
            values = [
                {"SOPInstanceUID": uid, "otherwise": v.otherwise, **{name: getattr(v, name) for name in _NUMBER}}
                for v in report.values
            ]
            _insert(conn, cart_values, values)

    def compared(self) -> tuple[StudyNumbers, ...]:
        """Every study that a cart has reported on, but for those in quarantine and reports of other patients.

        Reports that a later one names as replaced are left out, whichever came first.
        """
        with self._db.read() as conn:
            own = defaultdict(list)
            for row in conn.execute(_own()).mappings():
                own[row["StudyInstanceUID"]].append(
                    OwnValue(**{name: row[name] for name in (*_NUMBER, "revision", "engine")})
                )
            values = defaultdict(list)
            for row in conn.execute(sa.select(cart_values).order_by(cart_values.c.id)).mappings():
                values[row["SOPInstanceUID"]].append(
                    CartValue(**{name: row[name] for name in (*_NUMBER, "otherwise")})
                )
            reports = defaultdict(list)
            for found in conn.execute(_standing()):
                reports[found.StudyInstanceUID].append(_report(found, values[found.SOPInstanceUID]))
        return tuple(StudyNumbers(carts=tuple(of_study), own=tuple(own[uid])) for uid, of_study in reports.items())


def save_own(conn: sa.Connection, own: Sequence[OwnValue], *, StudyInstanceUID: str) -> None:
    """Write down the numbers of a study's revision."""
    rows = [
        {
            "StudyInstanceUID": StudyInstanceUID,
            **{name: getattr(value, name) for name in (*_NUMBER, "revision", "engine")},
        }
        for value in own
    ]
    _insert(conn, own_values, rows)


def _insert(conn: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        conn.execute(sa.insert(table), rows)


def _standing() -> sa.Select[Any]:
    """Reports that nothing has replaced, of the study's own patient."""
    later = cart_reports.alias("later")
    is_replaced = sa.exists().where(
        cart_predecessors.c.predecessor == cart_reports.c.SOPInstanceUID,
        later.c.SOPInstanceUID == cart_predecessors.c.SOPInstanceUID,
        later.c.StudyInstanceUID == cart_reports.c.StudyInstanceUID,
    )
    return (
        sa.select(cart_reports)
        .join(instances, instances.c.SOPInstanceUID == cart_reports.c.SOPInstanceUID)
        .join(studies, studies.c.StudyInstanceUID == cart_reports.c.StudyInstanceUID)
        .where(
            ~is_replaced,
            instances.c.PatientID == studies.c.PatientID,
            instances.c.reason.is_(None),
            studies.c.state != StudyState.QUARANTINED,
        )
        .order_by(instances.c.received_at, cart_reports.c.SOPInstanceUID)
    )


def _own() -> sa.Select[Any]:
    """The node's numbers, but for another patient's, of before the study's release from quarantine."""
    is_others = sa.exists().where(
        releases.c.StudyInstanceUID == own_values.c.StudyInstanceUID,
        releases.c.is_other_patient,
        releases.c.revision >= own_values.c.revision,
    )
    return sa.select(own_values).where(~is_others).order_by(own_values.c.id)


def _report(row: sa.Row[Any], values: Sequence[CartValue]) -> CartReport:
    return CartReport(
        SOPInstanceUID=row.SOPInstanceUID,
        Manufacturer=row.Manufacturer,
        ManufacturerModelName=row.ManufacturerModelName,
        made_at=row.made_at,
        predecessors=(),  # they are left out already
        values=tuple(values),
    )
