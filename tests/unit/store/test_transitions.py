"""Whatever happens in whatever order: every clip ends, every study can be reported, nothing is done twice."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import hypothesis.strategies as st
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from echo_node.codes import Reason
from echo_node.errors import LeaseLost
from echo_node.records import DeliveryState, Job, JobKind, StudyState
from echo_node.store import JobState, KeepOutcome, Outcome, Store
from echo_node.store.jobs import UNFINISHED
from echo_node.store.schema import jobs
from tests.unit.store.builders import POLICY, Clock, failed, received, report

LEASE_SECONDS = 600
STUDIES = ("1.5.1", "1.5.2")


class Node(RuleBasedStateMachine):
    """Carts, workers and a clock at work on one store; the model counts what must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        self.clock = Clock()
        self.store = Store(f"sqlite:///{root / 'node.db'}", root, now=self.clock)
        self.store.migrate()
        self.kept: dict[str, str] = {}  # SOPInstanceUID -> StudyInstanceUID
        self.held: list[Job] = []  # by workers that may be slower than their lease
        self.completed: set[int] = set()
        self.revisions = dict.fromkeys(STUDIES, 0)

    def teardown(self) -> None:
        self.store.dispose()
        self.folder.cleanup()

    @rule(study=st.sampled_from(STUDIES), number=st.integers(1, 4))
    def receive(self, study: str, number: int) -> None:
        uid = f"{study}.{number}"
        outcome = self.store.keep(received(self.store, uid, StudyInstanceUID=study))
        assert outcome is (KeepOutcome.DUPLICATE if uid in self.kept else KeepOutcome.NEW)
        self.kept[uid] = study

    @rule(seconds=st.sampled_from([1, 61, 121, LEASE_SECONDS + 1, 3601]))
    def wait(self, seconds: int) -> None:
        self.clock.pass_(seconds)

    @rule()
    def lease(self) -> None:
        job = self.store.lease(tuple(JobKind), "w", LEASE_SECONDS)
        if job is not None:
            assert job.id not in self.completed
            self.held.append(job)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.held))
        self.held.remove(job)
        try:
            self._do(job)
        except LeaseLost:
            return
        assert job.id not in self.completed
        self.completed.add(job.id)

    def _do(self, job: Job) -> None:
        if job.kind is JobKind.CLIP:
            self.store.complete_clip(job, failed(job.target, StudyInstanceUID=self.kept[job.target]))
        else:
            made = report(f"2.25.{job.id}")
            self.store.complete_study(job, [made], [("PACS", made)])

    @precondition(lambda self: self.held)
    @rule(data=st.data(), again=st.booleans())
    def fail(self, data: st.DataObject, again: bool) -> None:
        job = data.draw(st.sampled_from(self.held))
        self.held.remove(job)
        retry_at = self.clock.time + timedelta(seconds=30) if again else None
        self.store.fail(job, Reason.ANALYSIS_FAILED, "x", retry_at=retry_at)

    @rule()
    def close(self) -> None:
        for closed in self.store.close_studies(POLICY):
            self.revisions[closed.StudyInstanceUID] += 1
            assert closed.revision == self.revisions[closed.StudyInstanceUID]

    @rule()
    def requeue(self) -> None:
        before = self.store.status().jobs
        again = self.store.requeue_jobs()
        after = self.store.status().jobs
        for kind in JobKind:
            assert before.get((kind, JobState.DEAD), 0) - after.get((kind, JobState.DEAD), 0) == again[kind]

    @invariant()
    def each_study_has_at_most_one_report_to_be_written(self) -> None:
        is_unfinished = sa.and_(jobs.c.kind == JobKind.STUDY, jobs.c.state.in_(UNFINISHED))
        with self.store._db.read() as conn:
            targets = conn.scalars(sa.select(jobs.c.target).where(is_unfinished)).all()
        assert len(targets) == len(set(targets))

    @invariant()
    def what_is_reported_has_its_report_in_the_outbox(self) -> None:
        reported = self.store.status().studies.get(StudyState.REPORTED, 0)
        queued = self.store.status().deliveries.get(("PACS", DeliveryState.QUEUED), 0)
        done = self.store.status().jobs.get((JobKind.STUDY, JobState.DONE), 0)
        assert reported <= queued == done

    @invariant()
    def every_object_is_accounted_for(self) -> None:
        rows = self.store.instance_outcomes()
        assert {row.SOPInstanceUID for row in rows} == set(self.kept)
        counts = self.store.status().jobs
        waiting = sum(counts.get((JobKind.CLIP, s), 0) for s in (JobState.QUEUED, JobState.LEASED))
        assert sum(row.outcome is Outcome.WAITING for row in rows) == waiting

    @precondition(lambda self: self.kept)
    @rule()
    def left_to_itself_everything_ends(self) -> None:
        """The node as it runs when nothing more comes: every study ends reported, or with a dead job."""
        self.held.clear()
        for _ in range(4):
            self.clock.pass_(3601)
            self.close()
            while job := self.store.lease(tuple(JobKind), "w", LEASE_SECONDS):
                self._do(job)
                self.completed.add(job.id)
        status = self.store.status()
        assert set(status.studies) <= {StudyState.REPORTED, StudyState.CLOSED}
        assert status.oldest_job_at is None
        dead = status.jobs.get((JobKind.STUDY, JobState.DEAD), 0)
        assert status.studies.get(StudyState.CLOSED, 0) <= dead


TestTransitions = Node.TestCase
TestTransitions.settings = settings(
    max_examples=6,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
