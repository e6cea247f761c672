"""The store: what is kept on disk and in the database, each change whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import echo_node.store.analyses as analyses
import echo_node.store.carts as carts
import echo_node.store.codec as codec
import echo_node.store.instances as instances
import echo_node.store.jobs as jobs
import echo_node.store.mark as mark
import echo_node.store.outbox as outbox
import echo_node.store.overview as overview
import echo_node.store.requeue as requeue
import echo_node.store.schema as schema
import echo_node.store.studies as studies
import echo_node.store.sweep as sweep
from echo_node.carts import OwnValue
from echo_node.codes import Reason
from echo_node.errors import LeaseLost, StoreError
from echo_node.records import ClipAnalysis, Delivery, Instance, Job, JobKind, Report, Study
from echo_node.store.aside import Aside
from echo_node.store.carts import Carts
from echo_node.store.database import Database
from echo_node.store.decisions import Decisions
from echo_node.store.delivering import Outbox
from echo_node.store.files import Files, discard, read_kept
from echo_node.store.instances import KeepOutcome, Received
from echo_node.store.overview import InstanceOutcome, StoreStatus, StudyOutcome
from echo_node.store.studies import ClosedStudy, ClosePolicy
from echo_node.store.sweep import Swept

_log = logging.getLogger(__name__)


class Store:
    """Objects, studies, jobs, results; outbox, decisions, carts' numbers, what is set aside are attributes.

    Every method is a transaction of its own, and safe to call from several threads and processes. Any
    may raise StoreError (DiskFull where that is why) and has then changed nothing.

    Parameters
    ----------
    url : str
        SQLAlchemy URL of the database, SQLite or PostgreSQL.
    root : Path
        The storage folder; one file system.
    now : callable
        The clock: an aware datetime.
    max_attempts : int
        A job that was leased so often without an end is dead.
    """

    def __init__(self, url: str, root: Path, *, now: Callable[[], datetime], max_attempts: int = 3) -> None:
        self._files = Files(root)
        self._db = Database(url)
        self._root = root
        self._now = now
        self._max_attempts = max_attempts
        self.outbox = Outbox(self._db, root, now=now)
        self.decisions = Decisions(self._db, self._files, root, now=now)
        self.carts = Carts(self._db, now=now)
        self.aside = Aside(self._db, now=now)

    def migrate(self) -> None:
        """Bring the schema to this version, and see that folder and database belong together: :mod:`.mark`."""
        with self._files.migrating():
            self._db.migrate()
            mark.check(self._files, self._db)

    def dispose(self) -> None:
        """Close every connection and give the incoming folder up."""
        self._db.dispose()
        self._files.close()

    def sweep(self) -> Swept:
        """Tidy up what killed processes left: temporary files, and files without a row.

        A received file without a row is set aside, unless its content is kept by now: the sender tried again.
        """
        return sweep.sweep(self._files, self._db, at=self._now())

    # Receiving

    @property
    def incoming(self) -> Path:
        """The folder for this process's temporary files, on the file system of the spool."""
        return self._files.incoming

    def keep(self, received: Received) -> KeepOutcome:
        """Keep a received object for good. When this returns, a power cut loses nothing of it.

        Parameters
        ----------
        received : Received
            Its file must be fsynced; it is gone from its temporary place afterwards, also on failure.

        Raises
        ------
        DiskFull, StoreError
            It is not kept and must not be acknowledged.
        """
        try:
            with self._db.read() as conn:
                is_known = instances.is_known(conn, received)
            if is_known:
                self._note_again(received)
                return KeepOutcome.DUPLICATE
            with self._files.writing():
                path = self._files.place(received.path, received.sha256)
                outcome = self._record(received, path)
                if outcome is KeepOutcome.DUPLICATE:
                    self._files.drop(path)
            return outcome
        finally:
            discard(received.path)

    def _note_again(self, received: Received) -> None:
        """What is kept is kept: that its study's sender is still at it is worth no failure."""
        try:
            with self._db.write() as conn:
                instances.note_again(conn, received, at=self._now())
        except StoreError as error:
            _log.warning("a known object came again, which the database does not take: %s", error)

    def _record(self, received: Received, path: Path) -> KeepOutcome:
        """A commit that fails may still have happened: the file stays then, and the sweep sees."""
        try:
            with self._db.write() as conn:
                return instances.record(conn, received, path=path, at=self._now())
        except instances.Overtaken:
            with self._db.write() as conn:
                return instances.record(conn, received, path=path, at=self._now())

    def note_association_end(self, source_ae: str, study_uids: Collection[str]) -> None:
        """Note that a sender has hung up after sending of these studies."""
        with self._db.write() as conn:
            studies.note_association_end(conn, source_ae, study_uids, at=self._now())

    def close_studies(self, policy: ClosePolicy) -> list[ClosedStudy]:
        """Close every study that is complete by the policy, and queue its report job with it."""
        now = self._now()
        with self._db.read() as conn:
            due = [(study, studies.why_close(study, policy, now=now)) for study in studies.receiving(conn)]
        closed = []
        for study, because in due:
            if because is not None:
                with self._db.write() as conn:
                    closed.append(studies.close(conn, study, because, at=now))
        return [study for study in closed if study is not None]

    # Jobs

    def lease(self, kinds: Sequence[JobKind], worker: str, seconds: float) -> Job | None:
        """Take the next job for so many seconds; None where there is none.

        A job whose lease ran out is taken again, until its attempts are used up.
        """
        now = self._now()
        with self._db.read() as conn:
            if not jobs.any_free(conn, kinds, at=now):
                return None
        with self._db.write() as conn:
            jobs.bury_worn_out(conn, max_attempts=self._max_attempts, at=now)
            return jobs.lease(conn, kinds, worker=worker, at=now, until=now + timedelta(seconds=seconds))

    def release(self, is_gone: Callable[[str], bool]) -> int:
        """Free the jobs and deliveries of workers that are gone; returns how many.

        Their attempt stays counted: a job that ends every worker is buried in the end.

        Parameters
        ----------
        is_gone : callable
            Tells of a worker's name, as it was given with the lease, whether that worker has ended.
        """
        now = self._now()
        with self._db.write() as conn:
            held = jobs.release(conn, is_gone=is_gone, at=now)
            return held + outbox.release(conn, is_gone=is_gone, at=now)

    def fail(self, job: Job, reason: Reason, detail: str, *, retry_at: datetime | None) -> None:
        """Note that a job failed: it is due again at ``retry_at``, or dead without one or without attempts.

        A dead clip's reason is its outcome, and its study closes without it. Where another worker has
        the job, its failure here changes nothing.
        """
        try:
            with self._db.write() as conn:
                if retry_at is None or job.attempts >= self._max_attempts:
                    jobs.bury(conn, job, reason=reason, detail=detail, at=self._now())
                else:
                    jobs.put_back(conn, job, reason=reason, detail=detail, retry_at=retry_at)
        except LeaseLost:
            _log.warning("job %d failed after its lease was lost", job.id)

    def put_off(self, job: Job, *, until: datetime) -> None:
        """Queue a job that could not be saved again, for later; the attempt does not count.

        Where another worker has the job, nothing is changed.
        """
        try:
            with self._db.write() as conn:
                jobs.put_off(conn, job, until=until)
        except LeaseLost:
            _log.warning("job %d was put off after its lease was lost", job.id)

    def complete_clip(self, job: Job, analysis: ClipAnalysis) -> None:
        """Save a clip's analysis and end its job, both or neither.

        A study that was closed without this clip (hard cap) is opened again.

        Raises
        ------
        LeaseLost
            Another worker has the job; nothing is saved.
        """
        if job.target != analysis.SOPInstanceUID:
            raise ValueError(f"job {job.id} is not for {analysis.SOPInstanceUID}")
        self._complete(job, (analysis,))

    def complete_correction(self, job: Job, corrected: Sequence[ClipAnalysis]) -> None:
        """Save the analyses of the clips that a person's report corrects and end its job, both or neither.

        The study is opened again, so that what follows from the correction is reported.

        Raises
        ------
        LeaseLost
            Another worker has the job; nothing is saved.
        """
        self._complete(job, corrected)

    def _complete(self, job: Job, made: Sequence[ClipAnalysis]) -> None:
        encoded = [codec.encode(analysis) for analysis in made]
        with self._files.writing():
            paths = [None if content is None else self._files.write(content, ".npz") for _, content in encoded]
            with self._db.write() as conn:
                StudyInstanceUID, _ = jobs.where_from(conn, job)
                studies.lock(conn, StudyInstanceUID)
                now = self._now()
                jobs.finish(conn, job, at=now)
                for analysis, (scalars, _), path in zip(made, encoded, paths, strict=True):
                    analyses.save(conn, analysis, scalars=scalars, path=path, at=now)
                studies.reopen(conn, StudyInstanceUID, at=now)

    def refuse_correction(self, job: Job, reason: Reason, detail: str) -> None:
        """End the job of a report that corrects nothing; its row says why. LeaseLost if another worker has it."""
        with self._db.write() as conn:
            jobs.finish(conn, job, at=self._now(), reason=reason, detail=detail)
            instances.refuse(conn, job.target, reason)

    def complete_study(
        self,
        job: Job,
        reports: Sequence[Report],
        deliveries: Sequence[tuple[str, Report]],
        own: Sequence[OwnValue] = (),
        *,
        remark: str = "",
    ) -> None:
        """Save a study's reports, queue them for their destinations and end the job, all or nothing.

        Parameters
        ----------
        reports : sequence of Report
            Where a UID is known already, its first bytes stay.
        deliveries : sequence of (destination name, Report)
            Which destination gets which of the reports.
        own : sequence of OwnValue
            The numbers that no person touched, for comparison with carts.
        remark : str, optional
            What was left out of them.

        Raises
        ------
        LeaseLost
            Another worker has the job, or the study was closed anew or quarantined; nothing is saved.
        """
        with self._files.writing():
            paths = [self._files.write(report.content, ".dcm") for report in reports]
            with self._db.write() as conn:
                uid, revision = jobs.where_from(conn, job)
                studies.lock(conn, uid)
                now = self._now()
                jobs.finish(conn, job, at=now, reason=Reason.OVER_BUDGET if remark else None, detail=remark)
                outbox.add(conn, reports, paths, deliveries, StudyInstanceUID=uid, revision=revision, at=now)
                carts.save_own(conn, own, StudyInstanceUID=uid)
                studies.report(conn, uid)

    # Trying again

    def requeue_jobs(self, StudyInstanceUID: str | None = None) -> dict[JobKind, int]:
        """Give dead jobs a fresh start, of a study or of all; returns how many there were of each kind.

        A report that its study no longer waits for stays dead, as it does in quarantine.
        """
        total = dict.fromkeys(JobKind, 0)
        with self._db.read() as conn:
            uids = requeue.with_dead_jobs(conn) if StudyInstanceUID is None else [StudyInstanceUID]
        for uid in uids:
            with self._db.write() as conn:
                for kind, count in requeue.jobs_of(conn, uid, at=self._now()).items():
                    total[kind] += count
        return total

    def requeue_deliveries(self, destinations: Collection[str], StudyInstanceUID: str | None = None) -> int:
        """Give dead deliveries to these destinations a fresh start, of a study or of all; returns how many.

        Those of a study in quarantine stay dead.
        """
        total = 0
        with self._db.read() as conn:
            found = requeue.with_dead_deliveries(conn, destinations)
        for uid in found if StudyInstanceUID is None else [StudyInstanceUID]:
            with self._db.write() as conn:
                total += requeue.deliveries_of(conn, uid, destinations, at=self._now())
        return total

    # Looking

    def instance(self, SOPInstanceUID: str) -> Instance:
        """A kept object.

        Raises
        ------
        StoreError
            There is none of this UID.
        """
        found = self.find((SOPInstanceUID,))
        if not found:
            raise StoreError(f"instance {SOPInstanceUID} is not known")
        return found[SOPInstanceUID]

    def instances(self, StudyInstanceUID: str) -> tuple[Instance, ...]:
        """A study's kept objects, in the order of receipt."""
        with self._db.read() as conn:
            return instances.select(conn, self._root, schema.instances.c.StudyInstanceUID == StudyInstanceUID)

    def find(self, uids: Collection[str]) -> dict[str, Instance]:
        """The kept objects among these SOPInstanceUIDs."""
        with self._db.read() as conn:
            found = instances.select(conn, self._root, schema.instances.c.SOPInstanceUID.in_(uids))
        return {instance.SOPInstanceUID: instance for instance in found}

    def study(self, StudyInstanceUID: str) -> Study:
        """A study with its objects.

        Raises
        ------
        StoreError
            There is none of this UID.
        """
        with self._db.read() as conn:
            objects = instances.select(conn, self._root, schema.instances.c.StudyInstanceUID == StudyInstanceUID)
            found = studies.select(conn, StudyInstanceUID, objects)
        if found is None:
            raise StoreError(f"study {StudyInstanceUID} is not known")
        return found

    def clip_analyses(self, StudyInstanceUID: str) -> tuple[ClipAnalysis, ...]:
        """The latest analysis of each of a study's clips, in the order of receipt."""
        with self._db.read() as conn:
            rows = analyses.of_study(conn, StudyInstanceUID)
        return tuple(
            codec.decode(scalars, None if path is None else read_kept(self._root / path)) for scalars, path in rows
        )

    def has_made(self, SOPInstanceUID: str) -> bool:
        """Is this a report of the node's own?"""
        with self._db.read() as conn:
            return outbox.has_report(conn, SOPInstanceUID)

    def deliveries(self, StudyInstanceUID: str) -> list[Delivery]:
        """A study's outbox rows, in the order of their queueing."""
        return self.outbox.deliveries(StudyInstanceUID=StudyInstanceUID)

    def status(self) -> StoreStatus:
        """Counts of everything."""
        with self._db.read() as conn:
            return overview.status(conn)

    def study_outcomes(self) -> tuple[StudyOutcome, ...]:
        """Where every study stands, and why it was closed."""
        with self._db.read() as conn:
            return overview.study_outcomes(conn)

    def instance_outcomes(self, StudyInstanceUID: str | None = None) -> tuple[InstanceOutcome, ...]:
        """What became of every object, of one study or of all; those set aside last."""
        with self._db.read() as conn:
            return overview.outcomes(conn, StudyInstanceUID)
