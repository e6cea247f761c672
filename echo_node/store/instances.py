"""Statements on received objects, and on those that are set aside."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

import echo_node.store.jobs as jobs
import echo_node.store.studies as studies
from echo_node.codes import Reason
from echo_node.errors import StoreError
from echo_node.patients import patient_of
from echo_node.records import Instance, JobKind
from echo_node.store.database import insert_or_ignore
from echo_node.store.schema import instances, instances_aside

_UID = re.compile(r"[0-9.]{1,64}")  # VR UI, PS3.5 9.1; leading zeros are met and let pass


class KeepOutcome(enum.Enum):
    """What became of a received object."""

    NEW = "new"
    DUPLICATE = "known with the same content"
    SET_ASIDE = "kept for a person to look at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An object in a temporary file, fsynced. UIDs that it lacks are empty."""

    SOPClassUID: str
    SOPInstanceUID: str
    SeriesInstanceUID: str
    StudyInstanceUID: str
    PatientID: str
    PatientBirthDate: str
    TransferSyntaxUID: str
    path: Path
    sha256: str  # of the dataset: file meta information may differ between two sendings
    size: int  # bytes, the whole file
    source_ae: str
    source_host: str
    reason: Reason | None  # why it is not to be analysed, where something is wrong with it
    job: JobKind | None  # what is to be done with it; None for what is kept only


class Overtaken(StoreError):
    """Another process stored the same UID at the same moment; a second try sees its row."""


def is_known(conn: sa.Connection, received: Received) -> bool:
    """Is this object, by UID and content, already here or aside?"""
    kept = sa.select(instances.c.path).where(
        instances.c.SOPInstanceUID == _plain(received.SOPInstanceUID), instances.c.sha256 == received.sha256
    )
    aside = sa.select(instances_aside.c.path).where(
        instances_aside.c.SOPInstanceUID == _plain(received.SOPInstanceUID),
        instances_aside.c.sha256 == received.sha256,
        instances_aside.c.reason != Reason.UNACKNOWLEDGED,
    )
    return conn.execute(sa.union_all(kept, aside)).first() is not None


def note_again(conn: sa.Connection, received: Received, *, at: datetime) -> None:
    """Note that a known object has come again: where it is of a study, its sender has not fallen quiet."""
    if received.job is JobKind.CORRECTION:  # it does not hold its study open, as little as when it came first
        return
    StudyInstanceUID = conn.scalar(
        sa.select(instances.c.StudyInstanceUID).where(
            instances.c.SOPInstanceUID == _plain(received.SOPInstanceUID), instances.c.sha256 == received.sha256
        )
    )
    if StudyInstanceUID is not None:
        studies.go_on(conn, StudyInstanceUID, source_ae=_plain(received.source_ae), at=at)


def record(conn: sa.Connection, received: Received, *, path: Path, at: datetime) -> KeepOutcome:
    """Write all rows that a placed file brings about.

    Raises
    ------
    Overtaken
        The same UID was stored by another process within this transaction; nothing is written.
    """
    if is_known(conn, received):
        return KeepOutcome.DUPLICATE
    # Asked once: between two statements another process may commit the same object.
    taken_by = conn.scalar(
        sa.select(instances.c.sha256).where(instances.c.SOPInstanceUID == _plain(received.SOPInstanceUID))
    )
    if taken_by == received.sha256:
        return KeepOutcome.DUPLICATE
    # The sender tried again after a kill: this copy takes the place of the unacknowledged one.
    conn.execute(
        sa.delete(instances_aside).where(
            instances_aside.c.sha256 == received.sha256, instances_aside.c.reason == Reason.UNACKNOWLEDGED
        )
    )
    if not _is_identified(received):
        return _set_aside(conn, received, received.reason or Reason.MISSING_UID, path=path, at=at)
    if taken_by is not None:
        return _set_aside(conn, received, Reason.SAME_UID_OTHER_CONTENT, path=path, at=at)
    _insert(conn, received, path=path, at=at)
    if received.job is not None and received.reason is None:
        if received.job is JobKind.CLIP:
            studies.reopen(conn, received.StudyInstanceUID, at=at)
            jobs.take_up_corrections(conn, received.StudyInstanceUID, at=at)
        jobs.add(
            conn,
            received.job,
            received.SOPInstanceUID,
            StudyInstanceUID=received.StudyInstanceUID,
            revision=0,
            at=at,
        )
    return KeepOutcome.NEW


def _insert(conn: sa.Connection, received: Received, *, path: Path, at: datetime) -> None:
    patient = patient_of(received.PatientID, received.PatientBirthDate)
    # A correction neither holds a study open nor quarantines it: whether it is of this patient, its job finds out.
    arrive = studies.create if received.job is JobKind.CORRECTION else studies.receive
    arrive(
        conn,
        received.StudyInstanceUID,
        patient=patient,
        source_ae=_plain(received.source_ae),
        at=at,
    )
    inserted = conn.execute(
        insert_or_ignore(conn, instances)
        .values(
            SOPInstanceUID=received.SOPInstanceUID,
            SOPClassUID=received.SOPClassUID,
            SeriesInstanceUID=received.SeriesInstanceUID,
            StudyInstanceUID=received.StudyInstanceUID,
            PatientID=patient.PatientID,
            TransferSyntaxUID=_plain(received.TransferSyntaxUID),
            path=str(path),
            sha256=received.sha256,
            size=received.size,
            source_ae=_plain(received.source_ae),
            source_host=_plain(received.source_host),
            received_at=at,
            reason=received.reason,
        )
        .returning(instances.c.SOPInstanceUID)
    )
    if inserted.first() is None:
        raise Overtaken(f"{received.SOPInstanceUID} was stored at the same moment")


def _set_aside(conn: sa.Connection, received: Received, reason: Reason, *, path: Path, at: datetime) -> KeepOutcome:
    conn.execute(
        sa.insert(instances_aside).values(
            SOPInstanceUID=_plain(received.SOPInstanceUID),
            SOPClassUID=_plain(received.SOPClassUID),
            StudyInstanceUID=_plain(received.StudyInstanceUID),
            path=str(path),
            sha256=received.sha256,
            size=received.size,
            source_ae=_plain(received.source_ae),
            source_host=_plain(received.source_host),
            received_at=at,
            reason=reason,
        )
    )
    return KeepOutcome.SET_ASIDE


def refuse(conn: sa.Connection, SOPInstanceUID: str, reason: Reason) -> None:
    """Note why a kept object is of no use."""
    conn.execute(sa.update(instances).where(instances.c.SOPInstanceUID == SOPInstanceUID).values(reason=reason))


def set_aside_unacknowledged(conn: sa.Connection, path: Path, *, size: int, at: datetime) -> bool:
    """Give a file that a kill left without a row one; False where its content is kept already."""
    sha256 = path.name.partition("-")[0]
    for table in (instances, instances_aside):
        if conn.execute(sa.select(table.c.path).where(table.c.sha256 == sha256)).first() is not None:
            return False
    conn.execute(
        sa.insert(instances_aside).values(
            SOPInstanceUID="",
            SOPClassUID="",
            StudyInstanceUID="",
            path=str(path),
            sha256=sha256,
            size=size,
            source_ae="",
            source_host="",
            received_at=at,
            reason=Reason.UNACKNOWLEDGED,
        )
    )
    return True


def select(conn: sa.Connection, root: Path, condition: sa.ColumnElement[bool]) -> tuple[Instance, ...]:
    """The kept objects that fit a condition, in the order of receipt."""
    rows = conn.execute(
        sa.select(*(c for c in instances.c if c.name != "source_host"))
        .where(condition)
        .order_by(instances.c.received_at, instances.c.SOPInstanceUID)
    )
    return tuple(Instance(**{**row, "path": root / row["path"]}) for row in rows.mappings())


def _is_identified(received: Received) -> bool:
    uids = (
        received.SOPClassUID,
        received.SOPInstanceUID,
        received.SeriesInstanceUID,
        received.StudyInstanceUID,
    )
    return received.reason is not Reason.MISSING_UID and all(_UID.fullmatch(uid) for uid in uids)


def _plain(text: str) -> str:
    """What a sender says, made fit for a column."""
    return "".join(c for c in text if c.isprintable())[:64]
