"""What a person wants to know: counts, and the stated outcome of every object."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

import echo_node.store.jobs as job_statements
import echo_node.store.outbox as deliveries
from echo_node.codes import Reason
from echo_node.records import CloseReason, DeliveryState, JobKind, StudyState
from echo_node.store.analyses import latest
from echo_node.store.schema import (
    JobState,
    cart_reports,
    instances,
    instances_aside,
    jobs,
    outbox,
    releases,
    studies,
)
from echo_node.store.studies import OpenStudy, receiving


class Outcome(enum.Enum):
    """What became of an object."""

    WAITING = "waiting for its analysis"
    MEASURED = "measured"
    NOT_MEASURED = "not measured"
    APPLIED = "its corrections are applied"
    READ = "its numbers are kept for comparison"
    KEPT = "kept, not for analysis"
    SET_ASIDE = "set aside for a person to look at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a person said of something, and when."""

    by: str
    reason: str  # empty where none was given
    at: datetime  # UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceOutcome:
    """An object and what became of it."""

    SOPClassUID: str
    SOPInstanceUID: str
    StudyInstanceUID: str
    outcome: Outcome
    reason: Reason | None  # why it is not measured, kept only, or set aside
    detail: str  # for people; no patient data
    number: int | None = None  # of one that is set aside: its UIDs may be missing, or those of another
    acknowledged: Word | None = None  # who has looked at it since


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOutcome:
    """A study, and why it was closed or is held back."""

    StudyInstanceUID: str
    state: StudyState
    revision: int  # 0 until first closed
    closed_because: CloseReason | None  # the latest close
    closed_at: datetime | None  # UTC, of the same
    reason: Reason | None  # why it is in quarantine
    remark: str = ""  # what its latest report leaves out
    released: Word | None = None  # who last let it out of quarantine


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """Counts; what is zero is left out."""

    studies: Mapping[StudyState, int]
    jobs: Mapping[tuple[JobKind, JobState], int]
    deliveries: Mapping[tuple[str, DeliveryState], int]  # by destination
    instances: int
    set_aside: int
    unseen: int  # of these, at which nobody has looked yet
    open_studies: Sequence[OpenStudy]  # the oldest first
    oldest_job_at: datetime | None  # UTC, when the first of those that are not finished was queued
    unreported: Mapping[str, str]  # why the report failed for good, by StudyInstanceUID
    shortened: int  # studies whose latest report leaves something out
    given_up: Mapping[tuple[str, str], int]  # dead deliveries but what is withheld, by destination and last error


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What a destination has not got for long."""

    destination: str
    objects: int
    since: datetime  # UTC, when the first of them was made
    error: str  # of that one, the latest; empty where it was never tried


def status(conn: sa.Connection) -> StoreStatus:
    """Count everything."""
    count = sa.func.count()
    by_study = conn.execute(sa.select(studies.c.state, count).group_by(studies.c.state))
    by_job = conn.execute(sa.select(jobs.c.kind, jobs.c.state, count).group_by(jobs.c.kind, jobs.c.state))
    by_delivery = conn.execute(
        sa.select(outbox.c.destination, deliveries.stands().label("stands"), count).group_by(
            outbox.c.destination, "stands"
        )
    )
    unfinished = jobs.c.state.in_(job_statements.UNFINISHED)
    return StoreStatus(
        studies={row[0]: row[1] for row in by_study},
        jobs={(kind, state): n for kind, state, n in by_job},
        deliveries={(destination, state): n for destination, state, n in by_delivery},
        instances=conn.scalar(sa.select(count).select_from(instances)) or 0,
        set_aside=conn.scalar(sa.select(count).select_from(instances_aside)) or 0,
        unseen=conn.scalar(sa.select(count).where(instances_aside.c.acknowledged_at.is_(None))) or 0,
        open_studies=receiving(conn),
        oldest_job_at=conn.scalar(sa.select(sa.func.min(jobs.c.created_at)).where(unfinished)),
        unreported=_unreported(conn),
        shortened=_shortened(conn),
        given_up=_given_up(conn),
    )


_LATEST_REPORT = sa.and_(studies.c.StudyInstanceUID == jobs.c.target, studies.c.revision == jobs.c.revision)


def _leaves_out() -> sa.ColumnElement[bool]:
    return sa.and_(jobs.c.state == JobState.DONE, jobs.c.reason == Reason.OVER_BUDGET)


def _shortened(conn: sa.Connection) -> int:
    """How many studies' latest reports leave something out."""
    count = sa.select(sa.func.count()).select_from(jobs).join(studies, _LATEST_REPORT)
    return conn.scalar(count.where(jobs.c.kind == JobKind.STUDY, _leaves_out())) or 0


def _unreported(conn: sa.Connection) -> dict[str, str]:
    """The studies whose latest report came to nothing, but for those that get another or must get none."""
    rows = conn.execute(
        sa.select(jobs.c.target, jobs.c.reason, jobs.c.detail)
        .join(studies, _LATEST_REPORT)
        .where(
            jobs.c.kind == JobKind.STUDY,
            jobs.c.state == JobState.DEAD,
            studies.c.state == StudyState.CLOSED,
        )
        .order_by(jobs.c.id)
    )
    return {uid: f"{reason.code.meaning} ({detail})" for uid, reason, detail in rows}


def _given_up(conn: sa.Connection) -> dict[tuple[str, str], int]:
    rows = conn.execute(
        sa.select(outbox.c.destination, outbox.c.last_error, sa.func.count())
        .where(outbox.c.state == DeliveryState.DEAD, ~deliveries.is_withheld())
        .group_by(outbox.c.destination, outbox.c.last_error)
    )
    return {(destination, error): count for destination, error, count in rows}


def waiting(conn: sa.Connection, *, made_before: datetime) -> list[Waiting]:
    """What was made before a time and still waits, by destination.

    What a person has sent anew waits from then on, until it is tried.
    """
    is_late = sa.or_(outbox.c.attempts > 0, outbox.c.next_attempt_at < made_before)
    late = (
        sa.select(outbox.c.destination, sa.func.count().label("objects"), sa.func.min(outbox.c.id).label("first"))
        .where(outbox.c.state == DeliveryState.QUEUED, outbox.c.created_at < made_before, is_late)
        .group_by(outbox.c.destination)
        .subquery()
    )
    rows = conn.execute(
        sa.select(late.c.destination, late.c.objects, outbox.c.created_at, outbox.c.last_error)
        .join(outbox, outbox.c.id == late.c.first)
        .order_by(late.c.destination)
    )
    return [Waiting(destination=name, objects=n, since=since, error=error) for name, n, since, error in rows]


def study_outcomes(conn: sa.Connection) -> tuple[StudyOutcome, ...]:
    """Every study, in the order in which they opened, or opened again."""
    columns = (studies.c[field.name] for field in fields(StudyOutcome) if field.name in studies.c)
    remark = sa.case((_leaves_out(), jobs.c.detail), else_="").label("remark")
    rows = conn.execute(
        sa.select(*columns, remark)
        .outerjoin(jobs, sa.and_(_LATEST_REPORT, jobs.c.kind == JobKind.STUDY))
        .order_by(studies.c.opened_at, studies.c.StudyInstanceUID)
    )
    released = {  # a later one takes an earlier one's place
        row.StudyInstanceUID: Word(by=row.name, reason=row.reason, at=row.made_at)
        for row in conn.execute(sa.select(releases).order_by(releases.c.id))
    }
    return tuple(StudyOutcome(**row, released=released.get(row["StudyInstanceUID"])) for row in rows.mappings())


def outcomes(conn: sa.Connection, StudyInstanceUID: str | None) -> tuple[InstanceOutcome, ...]:
    """Every object's outcome, of one study or of all, in the order of receipt; those set aside last."""
    newest = latest()
    kept = (
        sa.select(
            instances.c.SOPClassUID,
            instances.c.SOPInstanceUID,
            instances.c.StudyInstanceUID,
            instances.c.reason,
            studies.c.reason.label("quarantine"),
            jobs.c.kind.label("job_kind"),
            jobs.c.state.label("job"),
            jobs.c.reason.label("failure"),
            jobs.c.detail.label("failure_detail"),
            newest.c.outcome,
            newest.c.detail,
            cart_reports.c.read_at,
        )
        .join(studies, studies.c.StudyInstanceUID == instances.c.StudyInstanceUID)
        .outerjoin(jobs, sa.and_(jobs.c.kind != JobKind.STUDY, jobs.c.target == instances.c.SOPInstanceUID))
        .outerjoin(newest, newest.c.SOPInstanceUID == instances.c.SOPInstanceUID)
        .outerjoin(cart_reports, cart_reports.c.SOPInstanceUID == instances.c.SOPInstanceUID)
        .order_by(instances.c.received_at, instances.c.SOPInstanceUID)
    )
    of_study: sa.ColumnElement[bool] = sa.true()
    if StudyInstanceUID is not None:
        kept = kept.where(instances.c.StudyInstanceUID == StudyInstanceUID)
        of_study = instances_aside.c.StudyInstanceUID == StudyInstanceUID
    return (*(_outcome(row) for row in conn.execute(kept).mappings()), *aside(conn, of_study))


def aside(conn: sa.Connection, condition: sa.ColumnElement[bool]) -> tuple[InstanceOutcome, ...]:
    """The outcomes of the objects set aside that fit a condition, by their numbers."""
    rows = conn.execute(sa.select(instances_aside).where(condition).order_by(instances_aside.c.id))
    return tuple(_aside(row) for row in rows.mappings())


def _outcome(row: sa.RowMapping) -> InstanceOutcome:
    if row["reason"] is not None:
        outcome, reason, detail = Outcome.KEPT, row["reason"], row["failure_detail"] or ""
    elif row["quarantine"] is not None:
        outcome, reason, detail = Outcome.SET_ASIDE, row["quarantine"], "the study is in quarantine"
    elif row["job"] is None:
        outcome, reason, detail = Outcome.KEPT, None, ""
    elif row["job"] is JobState.DEAD:
        outcome, reason, detail = Outcome.NOT_MEASURED, row["failure"], row["failure_detail"]
    elif row["job"] is JobState.DONE and row["job_kind"] is JobKind.CORRECTION:
        outcome, reason, detail = Outcome.APPLIED if row["read_at"] is None else Outcome.READ, None, ""
    elif row["job"] is JobState.DONE:
        outcome = Outcome.MEASURED if row["outcome"] is None else Outcome.NOT_MEASURED
        reason, detail = row["outcome"], row["detail"]
    else:
        outcome, reason, detail = Outcome.WAITING, None, row["failure_detail"]
    return InstanceOutcome(
        SOPClassUID=row["SOPClassUID"],
        SOPInstanceUID=row["SOPInstanceUID"],
        StudyInstanceUID=row["StudyInstanceUID"],
        outcome=outcome,
        reason=reason,
        detail=detail,
    )


def _aside(row: sa.RowMapping) -> InstanceOutcome:
    seen = None
    if row["acknowledged_at"] is not None:
        seen = Word(by=row["acknowledged_by"], reason=row["acknowledged_because"], at=row["acknowledged_at"])
    return InstanceOutcome(
        SOPClassUID=row["SOPClassUID"],
        SOPInstanceUID=row["SOPInstanceUID"],
        StudyInstanceUID=row["StudyInstanceUID"],
        outcome=Outcome.SET_ASIDE,
        reason=row["reason"],
        detail=row["path"],
        number=row["id"],
        acknowledged=seen,
    )
