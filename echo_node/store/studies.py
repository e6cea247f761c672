"""Statements on studies: opened by what arrives, closed by policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

import echo_node.store.jobs as jobs
from echo_node.codes import Reason
from echo_node.patients import Patient, are_several
from echo_node.records import CloseReason, DeliveryState, Instance, JobKind, Study, StudyState
from echo_node.store.database import insert_or_ignore
from echo_node.store.schema import instances, outbox, reports, studies
from echo_node.store.schema import jobs as job_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosePolicy:
    """When a study is complete. All times in seconds."""

    quiet_seconds: float  # nothing has come for so long
    quiet_by_cart: Mapping[str, float] = field(default_factory=dict)  # the same, by the sender's AE title
    on_association_end: bool = False  # close when the cart hangs up, not when it falls quiet
    hard_cap_seconds: float  # close after this whatever still comes or is still analysed
    grace_seconds: float = 5.0  # after an association's end: another one may go on with the study


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedStudy:
    """A study that was closed just now."""

    StudyInstanceUID: str
    because: CloseReason
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStudy:
    """What the decision to close rests on."""

    StudyInstanceUID: str
    source_ae: str
    opened_at: datetime
    last_received_at: datetime
    association_ended_at: datetime | None
    unfinished_jobs: int


def why_close(study: OpenStudy, policy: ClosePolicy, *, now: datetime) -> CloseReason | None:
    """Why a study is to be closed now, or None where it is to wait. Pure."""
    if (now - study.opened_at).total_seconds() >= policy.hard_cap_seconds:
        return CloseReason.HARD_CAP
    if study.unfinished_jobs:
        return None
    ended = study.association_ended_at
    if policy.on_association_end and ended and (now - ended).total_seconds() >= policy.grace_seconds:
        return CloseReason.ASSOCIATION_END
    quiet = policy.quiet_by_cart.get(study.source_ae, policy.quiet_seconds)
    return CloseReason.QUIET if (now - study.last_received_at).total_seconds() >= quiet else None


def lock(conn: sa.Connection, StudyInstanceUID: str) -> Patient | None:
    """Hold the study's row until the transaction ends; returns its patient.

    Every transaction takes the study before its jobs, so that none waits for another in a ring.
    """
    row = conn.execute(
        sa.select(studies.c.PatientID, studies.c.PatientBirthDate)
        .where(studies.c.StudyInstanceUID == StudyInstanceUID)
        .with_for_update()
    ).one_or_none()
    return None if row is None else Patient(PatientID=row.PatientID, PatientBirthDate=row.PatientBirthDate)


def create(
    conn: sa.Connection,
    StudyInstanceUID: str,
    *,
    patient: Patient,
    source_ae: str,
    at: datetime,
) -> None:
    """Create a study that is not there yet; one that is stays as it is."""
    conn.execute(
        insert_or_ignore(conn, studies).values(
            StudyInstanceUID=StudyInstanceUID,
            PatientID=patient.PatientID,
            PatientBirthDate=patient.PatientBirthDate,
            source_ae=source_ae,
            state=StudyState.RECEIVING,
            revision=0,
            opened_at=at,
            last_received_at=at,
        )
    )


def receive(
    conn: sa.Connection,
    StudyInstanceUID: str,
    *,
    patient: Patient,
    source_ae: str,
    at: datetime,
) -> None:
    """Create a study, or note that more of it has come; a second patient quarantines it.

    Whose it is, its first object says that is no correction: those are refused where they are another's.
    """
    create(conn, StudyInstanceUID, patient=patient, source_ae=source_ae, at=at)
    known = lock(conn, StudyInstanceUID)
    assert known is not None, "inserted or found above"
    if not _has_more_than_corrections(conn, StudyInstanceUID):
        known = patient
    conn.execute(
        sa.update(studies)
        .where(studies.c.StudyInstanceUID == StudyInstanceUID)
        .values(
            source_ae=source_ae,
            last_received_at=at,
            association_ended_at=None,
            PatientID=known.PatientID,
            PatientBirthDate=known.PatientBirthDate or patient.PatientBirthDate,
        )
    )
    if are_several((known, patient)):
        quarantine(conn, StudyInstanceUID, Reason.MIXED_PATIENTS, at=at)


def go_on(conn: sa.Connection, StudyInstanceUID: str, *, source_ae: str, at: datetime) -> None:
    """Note that the sender of an open study is still at it; one that is closed stays closed."""
    conn.execute(
        sa.update(studies)
        .where(studies.c.StudyInstanceUID == StudyInstanceUID, studies.c.state == StudyState.RECEIVING)
        .values(source_ae=source_ae, last_received_at=at, association_ended_at=None)
    )


def _has_more_than_corrections(conn: sa.Connection, StudyInstanceUID: str) -> bool:
    corrections = sa.select(job_rows.c.target).where(
        job_rows.c.StudyInstanceUID == StudyInstanceUID, job_rows.c.kind == JobKind.CORRECTION
    )
    others = sa.select(instances.c.SOPInstanceUID).where(
        instances.c.StudyInstanceUID == StudyInstanceUID, instances.c.SOPInstanceUID.not_in(corrections)
    )
    return conn.scalar(others.limit(1)) is not None


def reopen(conn: sa.Connection, StudyInstanceUID: str, *, at: datetime) -> None:
    """Open a closed study for what came late, so that it closes again with a higher revision."""
    conn.execute(
        sa.update(studies)
        .where(
            studies.c.StudyInstanceUID == StudyInstanceUID,
            studies.c.state.in_((StudyState.CLOSED, StudyState.REPORTED)),
        )
        .values(state=StudyState.RECEIVING, opened_at=at)
    )


def quarantine(conn: sa.Connection, StudyInstanceUID: str, reason: Reason, *, at: datetime) -> None:
    """Keep a study from being reported, and what is reported but unsent from being sent."""
    conn.execute(
        sa.update(studies)
        .where(studies.c.StudyInstanceUID == StudyInstanceUID)
        .values(state=StudyState.QUARANTINED, reason=reason)
    )
    jobs.supersede(conn, StudyInstanceUID, at=at)
    its_reports = sa.select(reports.c.SOPInstanceUID).where(reports.c.StudyInstanceUID == StudyInstanceUID)
    conn.execute(
        sa.update(outbox)
        .where(outbox.c.SOPInstanceUID.in_(its_reports), outbox.c.state == DeliveryState.QUEUED)
        .values(state=DeliveryState.DEAD, last_error=reason.code.meaning)
    )


def release(conn: sa.Connection, StudyInstanceUID: str, patient: Patient, *, at: datetime) -> None:
    """Open a study in quarantine again, as this patient's."""
    conn.execute(
        sa.update(studies)
        .where(studies.c.StudyInstanceUID == StudyInstanceUID)
        .values(
            PatientID=patient.PatientID,
            PatientBirthDate=patient.PatientBirthDate,
            state=StudyState.RECEIVING,
            reason=None,
            opened_at=at,
        )
    )


def note_association_end(conn: sa.Connection, source_ae: str, uids: Collection[str], *, at: datetime) -> None:
    """Note that the sender of these studies has hung up."""
    conn.execute(
        sa.update(studies)
        .where(
            studies.c.StudyInstanceUID.in_(uids),
            studies.c.source_ae == source_ae,
            studies.c.state == StudyState.RECEIVING,
        )
        .values(association_ended_at=at)
    )


def receiving(conn: sa.Connection) -> list[OpenStudy]:
    """The studies that are open, the oldest first."""
    rows = conn.execute(_open_studies().order_by(studies.c.opened_at)).mappings()
    return [OpenStudy(**row) for row in rows]


def _open_studies() -> sa.Select[Any]:
    unfinished = (
        sa.select(sa.func.count())
        .where(
            job_rows.c.StudyInstanceUID == studies.c.StudyInstanceUID,
            job_rows.c.kind.in_((JobKind.CLIP, JobKind.CORRECTION)),
            job_rows.c.state.in_(jobs.UNFINISHED),
        )
        .scalar_subquery()
    )
    return sa.select(
        studies.c.StudyInstanceUID,
        studies.c.source_ae,
        studies.c.opened_at,
        studies.c.last_received_at,
        studies.c.association_ended_at,
        unfinished.label("unfinished_jobs"),
    ).where(studies.c.state == StudyState.RECEIVING)


def close(conn: sa.Connection, seen: OpenStudy, because: CloseReason, *, at: datetime) -> ClosedStudy | None:
    """Close a study and queue its report, unless something has happened to it since it was seen."""
    lock(conn, seen.StudyInstanceUID)
    this = _open_studies().where(studies.c.StudyInstanceUID == seen.StudyInstanceUID)
    row = conn.execute(this).mappings().one_or_none()
    if row is None or OpenStudy(**row) != seen:
        return None
    revision: int = conn.execute(
        sa.update(studies)
        .where(studies.c.StudyInstanceUID == seen.StudyInstanceUID)
        .values(
            state=StudyState.CLOSED,
            revision=studies.c.revision + 1,
            closed_because=because,
            closed_at=at,
        )
        .returning(studies.c.revision)
    ).scalar_one()
    jobs.supersede(conn, seen.StudyInstanceUID, at=at)
    jobs.add(
        conn,
        JobKind.STUDY,
        seen.StudyInstanceUID,
        StudyInstanceUID=seen.StudyInstanceUID,
        revision=revision,
        at=at,
    )
    return ClosedStudy(StudyInstanceUID=seen.StudyInstanceUID, because=because, revision=revision)


def report(conn: sa.Connection, StudyInstanceUID: str) -> None:
    """Mark a study reported, unless it was opened again meanwhile.

    One that was closed anew is no matter here: that has superseded the job whose report this is.
    """
    conn.execute(
        sa.update(studies)
        .where(studies.c.StudyInstanceUID == StudyInstanceUID, studies.c.state == StudyState.CLOSED)
        .values(state=StudyState.REPORTED)
    )


def select(conn: sa.Connection, StudyInstanceUID: str, objects: tuple[Instance, ...]) -> Study | None:
    """A study, with the objects that it holds."""
    row = conn.execute(sa.select(studies).where(studies.c.StudyInstanceUID == StudyInstanceUID)).one_or_none()
    if row is None:
        return None
    return Study(
        StudyInstanceUID=row.StudyInstanceUID,
        PatientID=row.PatientID,
        source_ae=row.source_ae,
        state=row.state,
        closed_because=row.closed_because,
        revision=row.revision,
        closed_at=row.closed_at,
        instances=objects,
    )
