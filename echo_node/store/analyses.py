"""Statements on clip analyses: one row per object and engine."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from echo_node.records import ClipAnalysis
from echo_node.store.schema import analyses, instances


def save(conn: sa.Connection, analysis: ClipAnalysis, *, scalars: str, path: Path | None, at: datetime) -> None:
    """Put an analysis in the place of the same engine's former one."""
    conn.execute(
        sa.delete(analyses).where(
            analyses.c.SOPInstanceUID == analysis.SOPInstanceUID,
            analyses.c.engine == analysis.engine.digest,
        )
    )
    conn.execute(
        sa.insert(analyses).values(
            SOPInstanceUID=analysis.SOPInstanceUID,
            engine=analysis.engine.digest,
            outcome=analysis.outcome,
            detail=analysis.detail,
            scalars=scalars,
            path=None if path is None else str(path),
            made_at=at,
        )
    )


def latest() -> sa.Subquery:
    """The newest analysis of each object."""
    newest = (
        sa.select(analyses.c.SOPInstanceUID, sa.func.max(analyses.c.id).label("id"))
        .group_by(analyses.c.SOPInstanceUID)
        .subquery()
    )
    return sa.select(analyses).join(newest, analyses.c.id == newest.c.id).subquery("latest")


def of_study(conn: sa.Connection, StudyInstanceUID: str) -> list[tuple[str, str | None]]:
    """Scalars and array file of each analysed object of a study, in the order of receipt.

    Without those of another patient, which a release from quarantine set out.
    """
    newest = latest()
    rows = conn.execute(
        sa.select(newest.c.scalars, newest.c.path)
        .join(instances, instances.c.SOPInstanceUID == newest.c.SOPInstanceUID)
        .where(instances.c.StudyInstanceUID == StudyInstanceUID, instances.c.reason.is_(None))
        .order_by(instances.c.received_at, instances.c.SOPInstanceUID)
    )
    return [(row.scalars, row.path) for row in rows]
