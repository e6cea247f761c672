"""Statements that give a fresh start to what was given up: dead jobs and dead deliveries."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

import echo_node.store.jobs as job_statements
import echo_node.store.outbox as deliveries
import echo_node.store.studies as studies
from echo_node.records import DeliveryState, JobKind, StudyState
from echo_node.store.schema import JobState, jobs, outbox, reports
from echo_node.store.schema import studies as study_rows


def with_dead_jobs(conn: sa.Connection) -> list[str]:
    """The studies that have a dead job."""
    found = sa.select(jobs.c.StudyInstanceUID).where(jobs.c.state == JobState.DEAD).distinct()
    return list(conn.scalars(found.order_by(jobs.c.StudyInstanceUID)))


def with_dead_deliveries(conn: sa.Connection, destinations: Collection[str]) -> list[str]:
    """The studies that have a dead delivery to one of these destinations."""
    found = (
        sa.select(reports.c.StudyInstanceUID)
        .join(outbox, outbox.c.SOPInstanceUID == reports.c.SOPInstanceUID)
        .where(outbox.c.state == DeliveryState.DEAD, outbox.c.destination.in_(destinations))
        .distinct()
    )
    return list(conn.scalars(found.order_by(reports.c.StudyInstanceUID)))


def jobs_of(conn: sa.Connection, StudyInstanceUID: str, *, at: datetime) -> dict[JobKind, int]:
    """Queue a study's dead jobs anew; returns how many there were of each kind.

    A report is written again only where it is the one that the study still waits for: an open study gets
    its next report when it closes, one in quarantine none. A clip that is measured now opens its study, as does
    a correction that is applied; one that was refused for want of such a clip is tried with it.
    """
    studies.lock(conn, StudyInstanceUID)
    awaited = sa.exists().where(
        study_rows.c.StudyInstanceUID == jobs.c.StudyInstanceUID,
        study_rows.c.revision == jobs.c.revision,
        study_rows.c.state == StudyState.CLOSED,
    )
    renewed = {
        kind: conn.execute(
            sa.update(jobs)
            .where(
                jobs.c.StudyInstanceUID == StudyInstanceUID,
                jobs.c.kind == kind,
                jobs.c.state == JobState.DEAD,
                awaited if kind is JobKind.STUDY else sa.true(),
            )
            .values(job_statements.fresh(at))
        ).rowcount
        for kind in JobKind
    }
    if renewed[JobKind.CLIP]:
        renewed[JobKind.CORRECTION] += job_statements.take_up_corrections(conn, StudyInstanceUID, at=at)
    return renewed


def deliveries_of(
    conn: sa.Connection, StudyInstanceUID: str, destinations: Collection[str], *, at: datetime
) -> int:
    """Queue a study's dead deliveries anew, but for one in quarantine; returns how many there were."""
    studies.lock(conn, StudyInstanceUID)
    of_study = sa.select(reports.c.SOPInstanceUID).where(reports.c.StudyInstanceUID == StudyInstanceUID)
    dead = sa.and_(
        outbox.c.state == DeliveryState.DEAD,
        outbox.c.destination.in_(destinations),
        outbox.c.SOPInstanceUID.in_(of_study),
    )
    return deliveries.send_again(conn, dead, at=at)
