"""Persons' decisions on results: rows that are added and never changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

import echo_node.store.jobs as jobs
import echo_node.store.outbox as outbox
import echo_node.store.schema as schema
import echo_node.store.studies as studies
from echo_node.codes import Code, ObjectKind
from echo_node.decisions import Decision, DecisionKind, Person
from echo_node.errors import DecisionError
from echo_node.records import Delivery, JobKind, Report, StudyState
from echo_node.store.database import Database
from echo_node.store.files import Files
from echo_node.store.schema import decision_objects, decisions, reports
from echo_node.store.schema import jobs as job_rows
from echo_node.store.schema import studies as study_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeObject:
    """An object that the node made of a study."""

    kind: ObjectKind
    SOPClassUID: str
    SOPInstanceUID: str
    revision: int
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What there is to decide on: a study's objects, oldest first, and the revision that they have come to."""

    revision: int
    objects: tuple[MadeObject, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a decision brings about: documents, and which destination gets which of them."""

    reports: Sequence[Report]
    deliveries: Sequence[tuple[str, Report]]


class Decisions:
    """Who accepted or rejected what; every method is a transaction of its own, as in :class:`Store`.

    Parameters
    ----------
    db : Database
        The store's.
    files : Files
        The store's.
    root : Path
        The storage folder.
    now : callable
        The clock: an aware datetime.
    """

    def __init__(self, db: Database, files: Files, root: Path, *, now: Callable[[], datetime]) -> None:
        self._db = db
        self._files = files
        self._root = root
        self._now = now

    def of_study(self, StudyInstanceUID: str) -> tuple[Decision, ...]:
        """A study's decisions, oldest first."""
        with self._db.read() as conn:
            return _select(conn, decisions.c.StudyInstanceUID == StudyInstanceUID)

    def every(self) -> tuple[Decision, ...]:
        """All decisions, oldest first."""
        with self._db.read() as conn:
            return _select(conn, sa.true())

    def results(self, StudyInstanceUID: str) -> Results:
        """What a person can decide on.

        Raises
        ------
        DecisionError
            The study is not known, is in quarantine, or its results are being made anew.
        """
        with self._db.read() as conn:
            revision = _decidable(conn, StudyInstanceUID)
            rows = conn.execute(
                sa.select(reports)
                .where(reports.c.StudyInstanceUID == StudyInstanceUID)
                .order_by(reports.c.revision, reports.c.made_at, reports.c.SOPInstanceUID)
            ).all()
        objects = tuple(
            MadeObject(
                kind=row.kind,
                SOPClassUID=row.SOPClassUID,
                SOPInstanceUID=row.SOPInstanceUID,
                revision=row.revision,
                path=self._root / row.path,
            )
            for row in rows
        )
        return Results(revision=revision, objects=objects)

    def save(self, decision: Decision, make: Callable[[Sequence[Delivery]], Made]) -> Decision:
        """Write a decision down, keep the documents that say so and queue them, all or nothing.

        What is rejected and still waits for a destination is not sent any more.

        Parameters
        ----------
        decision : Decision
            On the study's latest results; what it has made is not known yet.
        make : callable
            From the deliveries of the objects decided on, as they stand for good or are sent at this moment, to
            the documents that say so.

        Returns
        -------
        Decision
            The one that stands: this one, or the same person's of the same kind from before.

        Raises
        ------
        DecisionError
            Another decision stands, or these are not the study's latest results any more.
        """
        uid = decision.StudyInstanceUID
        with self._files.writing(), self._db.write() as conn:
            studies.lock(conn, uid)
            check_revision(uid, _decidable(conn, uid), decision.revision)
            before = earlier_decision(_select(conn, decisions.c.StudyInstanceUID == uid), decision)
            if before is not None:
                return before
            if decision.kind is DecisionKind.REJECTED:
                outbox.withdraw(conn, decision.decided)
            of_these = schema.outbox.c.SOPInstanceUID.in_(decision.decided)
            made = make(outbox.select(conn, self._root, of_these))
            paths = [self._files.write(report.content, ".dcm") for report in made.reports]
            now, revision = self._now(), decision.revision
            outbox.add(conn, made.reports, paths, made.deliveries, StudyInstanceUID=uid, revision=revision, at=now)
            saved = replace(decision, made=tuple(sorted(report.SOPInstanceUID for report in made.reports)))
            _insert(conn, saved)
        return saved


def earlier_decision(existing: Sequence[Decision], wanted: Decision) -> Decision | None:
    """The same person's same decision on the same results, or None where the way is free. Pure.

    Parameters
    ----------
    existing : sequence of Decision
        The study's, oldest first.
    wanted : Decision
        What a person decides now.

    Raises
    ------
    DecisionError
        A decision that stands forbids this one: it is another person's, or a rejection, which is final.
    """
    of_results = [d for d in existing if d.revision == wanted.revision]
    if not of_results:
        return None
    last = of_results[-1]
    if last.kind is wanted.kind and last.by.is_same(wanted.by):
        return last
    said = f"{last.kind.value} by {last.by.name} ({last.by.organization}) at {last.made_at:%Y-%m-%d %H:%M:%S} UTC"
    where = f"study {wanted.StudyInstanceUID}, revision {wanted.revision}: {said}"
    if last.kind is DecisionKind.REJECTED:
        raise DecisionError(f"{where}; correct it: what follows are new results, which can be accepted")
    if not last.by.is_same(wanted.by):
        raise DecisionError(f"{where}; that person alone can take it back, by rejecting")
    return None


def check_revision(StudyInstanceUID: str, found: int, wanted: int) -> None:
    """DecisionError where a person decides on results that are not the latest."""
    if found != wanted:
        raise DecisionError(
            f"study {StudyInstanceUID}: its results are by now of revision {found}, not {wanted}: look at them"
        )


def _decidable(conn: sa.Connection, StudyInstanceUID: str) -> int:
    """The revision of a study whose results are there, and final as far as anything has come."""
    row = conn.execute(
        sa.select(study_rows.c.state, study_rows.c.revision).where(
            study_rows.c.StudyInstanceUID == StudyInstanceUID
        )
    ).one_or_none()
    if row is None:
        raise DecisionError(f"study {StudyInstanceUID} is not known")
    if row.state is StudyState.QUARANTINED:
        raise DecisionError(f"study {StudyInstanceUID} is in quarantine: it has no results")
    unfinished = sa.select(job_rows.c.id).where(
        job_rows.c.StudyInstanceUID == StudyInstanceUID,
        job_rows.c.kind.in_((JobKind.CLIP, JobKind.CORRECTION)),
        job_rows.c.state.in_(jobs.UNFINISHED),
    )
    if row.state is not StudyState.REPORTED or conn.scalar(unfinished.limit(1)) is not None:
        raise DecisionError(f"study {StudyInstanceUID}: its results are being made; decide once they are there")
    revision: int = row.revision
    return revision


def _insert(conn: sa.Connection, decision: Decision) -> None:
    code = decision.by.code
    number = conn.execute(
        sa.insert(decisions)
        .values(
            StudyInstanceUID=decision.StudyInstanceUID,
            revision=decision.revision,
            kind=decision.kind,
            name=decision.by.name,
            organization=decision.by.organization,
            code_value=None if code is None else code.value,
            code_scheme=None if code is None else code.scheme,
            code_meaning=None if code is None else code.meaning,
            reason=decision.reason,
            made_at=decision.made_at,
        )
        .returning(decisions.c.id)
    ).scalar_one()
    rows = [
        {"decision": number, "SOPInstanceUID": uid, "is_made": is_made}
        for is_made, uids in ((False, decision.decided), (True, decision.made))
        for uid in uids
    ]
    if rows:
        conn.execute(sa.insert(decision_objects), rows)


def _select(conn: sa.Connection, condition: sa.ColumnElement[bool]) -> tuple[Decision, ...]:
    rows = conn.execute(sa.select(decisions).where(condition).order_by(decisions.c.id)).all()
    objects: dict[tuple[int, bool], list[str]] = {}
    found = sa.select(decision_objects).join(decisions, decisions.c.id == decision_objects.c.decision)
    for row in conn.execute(found.where(condition).order_by(decision_objects.c.SOPInstanceUID)):
        objects.setdefault((row.decision, row.is_made), []).append(row.SOPInstanceUID)
    return tuple(
        Decision(
            StudyInstanceUID=row.StudyInstanceUID,
            revision=row.revision,
            kind=row.kind,
            by=Person(
                name=row.name,
                organization=row.organization,
                code=None if row.code_value is None else Code(row.code_value, row.code_scheme, row.code_meaning),
            ),
            reason=row.reason,
            made_at=row.made_at,
            decided=tuple(objects.get((row.id, False), ())),
            made=tuple(objects.get((row.id, True), ())),
        )
        for row in rows
    )
