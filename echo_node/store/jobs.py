"""Statements on jobs: what is to be done, and who holds the lease on it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime

import sqlalchemy as sa

from echo_node.codes import Reason
from echo_node.errors import LeaseLost
from echo_node.records import Job, JobKind
from echo_node.store.database import insert_or_ignore
from echo_node.store.schema import JobState, instances, jobs

UNFINISHED = (JobState.QUEUED, JobState.LEASED)
_WANTS_A_CLIP = (Reason.UNKNOWN_CLIP, Reason.ANALYSIS_FAILED)  # why a correction is refused, but not for good


def fresh(at: datetime) -> dict[str, object]:
    """The values of a job that begins anew."""
    new = {"state": JobState.QUEUED, "attempts": 0, "created_at": at, "due_at": at}
    return new | {"finished_at": None, "reason": None, "detail": ""}


def add(
    conn: sa.Connection, kind: JobKind, target: str, *, StudyInstanceUID: str, revision: int, at: datetime
) -> None:
    """Queue a job, once per kind, target and revision."""
    conn.execute(
        insert_or_ignore(conn, jobs).values(
            kind=kind,
            target=target,
            revision=revision,
            StudyInstanceUID=StudyInstanceUID,
            state=JobState.QUEUED,
            attempts=0,
            due_at=at,
            created_at=at,
            detail="",
        )
    )


def lease(
    conn: sa.Connection, kinds: Sequence[JobKind], *, worker: str, at: datetime, until: datetime
) -> Job | None:
    """Take the next job that is due or whose holder's lease ran out."""
    next_id = conn.scalar(
        sa.select(jobs.c.id)
        .where(jobs.c.kind.in_(kinds), _is_free(at), _is_in_turn())
        # Reports first: they are short, and all that they wait for is done.
        .order_by(sa.case((jobs.c.kind == JobKind.STUDY, 0), else_=1), jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if next_id is None:
        return None
    row = conn.execute(
        sa.update(jobs)
        .where(jobs.c.id == next_id)
        .values(
            state=JobState.LEASED,
            attempts=jobs.c.attempts + 1,
            lease=secrets.token_hex(16),
            leased_until=until,
            worker=worker,
        )
        .returning(jobs)
    ).one()
    return Job(id=row.id, kind=row.kind, target=row.target, attempts=row.attempts, lease=row.lease)


def any_free(conn: sa.Connection, kinds: Sequence[JobKind], *, at: datetime) -> bool:
    """Is there anything to lease? Asked first: an idle worker's question takes no write lock."""
    return (
        conn.scalar(sa.select(jobs.c.id).where(jobs.c.kind.in_(kinds), _is_free(at), _is_in_turn()).limit(1))
        is not None
    )


def _is_free(at: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(
        sa.and_(jobs.c.state == JobState.QUEUED, jobs.c.due_at <= at),
        sa.and_(jobs.c.state == JobState.LEASED, jobs.c.leased_until <= at),
    )


def _is_in_turn() -> sa.ColumnElement[bool]:
    """A correction waits for its study's clips and for the corrections before it: it is made to what they gave."""
    before = jobs.alias("before")
    is_before = sa.or_(
        before.c.kind == JobKind.CLIP, sa.and_(before.c.kind == JobKind.CORRECTION, before.c.id < jobs.c.id)
    )
    waits = sa.exists().where(
        before.c.StudyInstanceUID == jobs.c.StudyInstanceUID, before.c.state.in_(UNFINISHED), is_before
    )
    return sa.or_(jobs.c.kind != JobKind.CORRECTION, sa.not_(waits))


def take_up_corrections(conn: sa.Connection, StudyInstanceUID: str, *, at: datetime) -> int:
    """Queue anew the corrections that were refused for want of a clip; returns how many.

    They came before the clip, or the clip's own job was given up.
    """
    wants = sa.select(jobs.c.target).where(
        jobs.c.StudyInstanceUID == StudyInstanceUID,
        jobs.c.kind == JobKind.CORRECTION,
        jobs.c.state == JobState.DONE,
        jobs.c.reason.in_(_WANTS_A_CLIP),
    )
    conn.execute(sa.update(instances).where(instances.c.SOPInstanceUID.in_(wants)).values(reason=None))
    taken_up = sa.update(jobs).where(jobs.c.kind == JobKind.CORRECTION, jobs.c.target.in_(wants))
    return conn.execute(taken_up.values(fresh(at))).rowcount


def bury_worn_out(conn: sa.Connection, *, max_attempts: int, at: datetime) -> None:
    """End the jobs whose last permitted attempt never came back: they kill their workers."""
    conn.execute(
        sa.update(jobs)
        .where(jobs.c.state == JobState.LEASED, jobs.c.leased_until <= at, jobs.c.attempts >= max_attempts)
        .values(
            state=JobState.DEAD,
            lease=None,
            finished_at=at,
            reason=Reason.ANALYSIS_FAILED,
            detail="every attempt ended its worker",
        )
    )


def release(conn: sa.Connection, *, is_gone: Callable[[str], bool], at: datetime) -> int:
    """End the leases of workers that are gone; returns how many."""
    held = conn.execute(sa.select(jobs.c.id, jobs.c.worker).where(jobs.c.state == JobState.LEASED)).all()
    gone = [row.id for row in held if is_gone(row.worker)]
    conn.execute(sa.update(jobs).where(jobs.c.id.in_(gone)).values(leased_until=at))
    return len(gone)


def finish(conn: sa.Connection, job: Job, *, at: datetime, reason: Reason | None = None, detail: str = "") -> None:
    """Mark a job done, with the reason where it came to nothing; LeaseLost where another worker has it."""
    _update_held(conn, job, state=JobState.DONE, lease=None, finished_at=at, reason=reason, detail=detail)


def put_back(conn: sa.Connection, job: Job, *, reason: Reason, detail: str, retry_at: datetime) -> None:
    """Queue a failed job for another attempt; LeaseLost where another worker has it."""
    _update_held(conn, job, state=JobState.QUEUED, lease=None, due_at=retry_at, reason=reason, detail=detail)


def put_off(conn: sa.Connection, job: Job, *, until: datetime) -> None:
    """Queue a job as if this attempt had not been; LeaseLost where another worker has it."""
    _update_held(conn, job, state=JobState.QUEUED, lease=None, due_at=until, attempts=jobs.c.attempts - 1)


def bury(conn: sa.Connection, job: Job, *, reason: Reason, detail: str, at: datetime) -> None:
    """End a failed job; LeaseLost where another worker has it."""
    _update_held(conn, job, state=JobState.DEAD, lease=None, finished_at=at, reason=reason, detail=detail)


def supersede(conn: sa.Connection, StudyInstanceUID: str, *, at: datetime) -> None:
    """End a study's unfinished report jobs: whoever holds one loses its lease."""
    conn.execute(
        sa.update(jobs)
        .where(
            jobs.c.StudyInstanceUID == StudyInstanceUID,
            jobs.c.kind == JobKind.STUDY,
            jobs.c.state.in_(UNFINISHED),
        )
        .values(state=JobState.SUPERSEDED, lease=None, finished_at=at)
    )


def where_from(conn: sa.Connection, job: Job) -> tuple[str, int]:
    """A job's StudyInstanceUID and revision."""
    row = conn.execute(sa.select(jobs.c.StudyInstanceUID, jobs.c.revision).where(jobs.c.id == job.id)).one()
    return row.StudyInstanceUID, row.revision


def _update_held(conn: sa.Connection, job: Job, **values: object) -> None:
    held = sa.and_(jobs.c.id == job.id, jobs.c.state == JobState.LEASED, jobs.c.lease == job.lease)
    if conn.execute(sa.update(jobs).where(held).values(**values)).rowcount != 1:
        raise LeaseLost(f"job {job.id}: another worker has it, or it is over")
