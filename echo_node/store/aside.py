"""What is set aside, and what persons do about it: objects are acknowledged, studies released from quarantine."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

import echo_node.store.overview as overview
import echo_node.store.studies as studies
from echo_node.codes import Reason
from echo_node.errors import DecisionError
from echo_node.patients import Patient, are_several
from echo_node.records import JobKind, StudyState
from echo_node.store.database import Database
from echo_node.store.jobs import fresh
from echo_node.store.overview import InstanceOutcome
from echo_node.store.schema import JobState, instances, instances_aside, jobs, releases, reports
from echo_node.store.schema import studies as study_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A person's word on whose a study in quarantine is."""

    StudyInstanceUID: str
    PatientID: str
    PatientBirthDate: str | None  # YYYYMMDD; None where no object of the patient states one
    chosen: frozenset[str]  # SOPInstanceUIDs of this patient's objects
    others: frozenset[str]  # SOPInstanceUIDs of all else that came under the study
    by: str
    reason: str


class Aside:
    """What waits for a person to look at; every method is a transaction of its own, as in :class:`Store`.

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

    def acknowledge(self, numbers: Collection[int] | None, *, by: str, reason: str) -> tuple[InstanceOutcome, ...]:
        """Note who has looked at objects that are set aside; whoever was first stands.

        Parameters
        ----------
        numbers : collection of int or None
            Which of them; None: all at which nobody has looked.
        by, reason : str
            Who, and why; the reason may be empty.

        Returns
        -------
        tuple of InstanceOutcome
            What is known of these objects by now.

        Raises
        ------
        DecisionError
            A number is none of an object that is set aside; nothing is noted.
        """
        with self._db.write() as conn:
            open_ones = sa.select(instances_aside.c.id).where(instances_aside.c.acknowledged_at.is_(None))
            wanted = set(conn.scalars(open_ones)) if numbers is None else set(numbers)
            meant = instances_aside.c.id.in_(wanted)
            unknown = wanted - set(conn.scalars(sa.select(instances_aside.c.id).where(meant)))
            if unknown:
                raise DecisionError(f"no object number {min(unknown)} is set aside: see status --objects")
            conn.execute(
                sa.update(instances_aside)
                .where(meant, instances_aside.c.acknowledged_at.is_(None))
                .values(acknowledged_by=by, acknowledged_because=reason, acknowledged_at=self._now())
            )
            return overview.aside(conn, meant)

    def release(self, release: Release) -> None:
        """Let a study out of quarantine: what is not of the patient is set out, and it closes anew.

        What was made of it until now is sent no more, but for what the next report is made of again.

        Raises
        ------
        DecisionError
            The study is not known or not in quarantine, or other objects came than were looked at; nothing is
            changed.
        """
        uid, now = release.StudyInstanceUID, self._now()
        with self._db.write() as conn:
            former = studies.lock(conn, uid)
            found = sa.select(study_rows.c.state, study_rows.c.revision)
            row = conn.execute(found.where(study_rows.c.StudyInstanceUID == uid)).one_or_none()
            if row is None or former is None:
                raise DecisionError(f"study {uid} is not known")
            if row.state is not StudyState.QUARANTINED:
                raise DecisionError(f"study {uid} is not in quarantine: it is {row.state.value}")
            known = sa.select(instances.c.SOPInstanceUID).where(instances.c.StudyInstanceUID == uid)
            if set(conn.scalars(known)) != release.chosen | release.others:
                raise DecisionError(f"study {uid}: more of it came at this moment; release it again")
            patient = Patient(PatientID=release.PatientID, PatientBirthDate=release.PatientBirthDate)
            _set_out(conn, release.others, at=now)
            _take_in(conn, release.chosen, at=now)
            conn.execute(sa.update(reports).where(reports.c.StudyInstanceUID == uid).values(is_withdrawn=True))
            conn.execute(
                sa.insert(releases).values(
                    StudyInstanceUID=uid,
                    revision=row.revision,
                    PatientID=patient.PatientID,
                    PatientBirthDate=patient.PatientBirthDate,
                    is_other_patient=are_several((former, patient)),
                    name=release.by,
                    reason=release.reason,
                    made_at=now,
                )
            )
            studies.release(conn, uid, patient, at=now)

    def others_until(self, StudyInstanceUID: str) -> int:
        """The last revision whose results are another patient's than the study's by now; 0 where none is."""
        found = sa.select(sa.func.max(releases.c.revision)).where(
            releases.c.StudyInstanceUID == StudyInstanceUID, releases.c.is_other_patient
        )
        with self._db.read() as conn:
            return conn.scalar(found) or 0


def _set_out(conn: sa.Connection, others: Collection[str], *, at: datetime) -> None:
    """Keep objects without use: whoever analyses one of them loses its lease."""
    conn.execute(
        sa.update(instances)
        .where(instances.c.SOPInstanceUID.in_(others), instances.c.reason.is_(None))
        .values(reason=Reason.ANOTHER_PATIENTS)
    )
    conn.execute(
        sa.update(jobs)
        .where(
            jobs.c.target.in_(others),
            jobs.c.kind != JobKind.STUDY,
            jobs.c.state.in_((JobState.QUEUED, JobState.LEASED, JobState.DEAD)),
        )
        .values(state=JobState.SUPERSEDED, lease=None, finished_at=at, reason=None, detail="")
    )


def _take_in(conn: sa.Connection, chosen: Collection[str], *, at: datetime) -> None:
    """Use again what an earlier release set out, and reports that were refused as another patient's."""
    refused = (Reason.ANOTHER_PATIENTS, Reason.OTHER_PATIENT)
    uids = conn.scalars(
        sa.update(instances)
        .where(instances.c.SOPInstanceUID.in_(chosen), instances.c.reason.in_(refused))
        .values(reason=None)
        .returning(instances.c.SOPInstanceUID)
    ).all()
    is_undone = sa.or_(
        jobs.c.state == JobState.SUPERSEDED,
        sa.and_(jobs.c.state == JobState.DONE, jobs.c.reason == Reason.OTHER_PATIENT),
    )
    conn.execute(
        sa.update(jobs).where(jobs.c.target.in_(uids), jobs.c.kind != JobKind.STUDY, is_undone).values(fresh(at))
    )
