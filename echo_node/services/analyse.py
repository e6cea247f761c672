"""The analyser: clips to views, masks and measurements; studies to reports."""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from types import FrameType

from pydicom import Dataset

from echo_node.carts import OwnValue
from echo_node.codes import ObjectKind, Reason
from echo_node.config import Config
from echo_node.decisions import DecisionKind, standing_acceptance
from echo_node.dicom.clips import open_clip
from echo_node.errors import EchoNodeError, LeaseLost, StoreError
from echo_node.inference.engine import Engine
from echo_node.pipeline import Rules, analyse_clip, summarise_study
from echo_node.records import DRAWN_HERE, Analysis, Instance, Job, JobKind, Report
from echo_node.reports import Budget, Results, build_results, edits_of
from echo_node.services.addresses import addressed, wanted
from echo_node.services.corrections import do_correction
from echo_node.services.engines import open_engine
from echo_node.services.opened import opened_store
from echo_node.services.process import POLL_SECONDS, Stop, is_gone, utc_now, where, worker_name
from echo_node.services.sources import readable_sources
from echo_node.store import Store

_log = logging.getLogger(__name__)

_STORE_PAUSE = timedelta(seconds=30)  # a full disk or a locked database is no fault of the clip
# What a library raises on input that it does not expect. Anything else ends this process, and the next one
# tries the job again.
_FAILURES = (
    EchoNodeError, ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip


class _DrainIsOver(BaseException):
    """The time that a job in hand has once the process is to stop is over."""


def run(config: Config, stop: Stop) -> int:
    """Analyse until told to stop; a job in hand is finished first, or after the drain time put back.

    A job that outlasts its lease ends this process by SIGALRM: whatever hung it is gone with it, the
    supervisor starts the next one, and the job is leased again until its attempts are used up.
    """
    engine = open_engine(config)
    _bound_drain(stop, config.receive.drain_seconds)
    with opened_store(config) as store, suppress(_DrainIsOver):
        store.release(is_gone)
        _log.info("engine %s %s on %s", engine.identity.name, engine.identity.version, engine.identity.backend)
        while not stop.is_set():
            if not analyse_once(store, config, engine):
                stop.wait(POLL_SECONDS)
    return 0


def _bound_drain(stop: Stop, seconds: float) -> None:
    """See to it that SIGUSR1 ends a job so long after the process was told to stop."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise _DrainIsOver

    def watch() -> None:
        while not stop.wait(POLL_SECONDS):
            pass
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGUSR1)

    signal.signal(signal.SIGUSR1, interrupt)
    threading.Thread(target=watch, daemon=True).start()


def analyse_once(store: Store, config: Config, engine: Engine) -> bool:
    """Do the next job; False where there was none."""
    seconds = config.analyse.lease_seconds
    job = store.lease(tuple(JobKind), worker_name(), seconds)
    if job is None:
        return False
    signal.alarm(math.ceil(seconds))
    try:
        if job.kind is JobKind.CLIP:
            _do_clip(store, config, engine, job)
        elif job.kind is JobKind.CORRECTION:
            do_correction(store, config, engine, job)
        else:
            _do_study(store, config, engine, job)
    except _DrainIsOver:
        _log.warning("job %d on %s is put back: it outlasted the drain", job.id, job.target)
        store.put_off(job, until=utc_now())
        raise
    except LeaseLost:
        _log.warning("job %d: its lease ran out; another worker has it", job.id)
    except StoreError as error:
        _log.error("job %d on %s is put off: %s", job.id, job.target, error)
        store.put_off(job, until=utc_now() + _STORE_PAUSE)
    except _FAILURES as error:
        _log.error("job %d on %s failed: %s", job.id, job.target, where(error))
        store.fail(job, Reason.ANALYSIS_FAILED, type(error).__name__, retry_at=utc_now())
    finally:
        signal.alarm(0)
    return True


def _do_clip(store: Store, config: Config, engine: Engine, job: Job) -> None:
    instance = store.instance(job.target)
    analysis = analyse_clip(
        instance.path,
        SOPInstanceUID=instance.SOPInstanceUID,
        StudyInstanceUID=instance.StudyInstanceUID,
        engine=engine,
        rules=Rules(routing=config.routing, max_frames=config.analyse.max_frames),
    )
    store.complete_clip(job, analysis)
    view = "none" if analysis.prediction is None else analysis.prediction.view.name
    outcome = "measured" if analysis.outcome is None else analysis.outcome.name
    _log.info("clip %s: view %s, %s", job.target, view, outcome)


def _do_study(store: Store, config: Config, engine: Engine, job: Job) -> None:
    study = store.study(job.target)
    assert study.closed_at is not None, "a study whose report is due has been closed"
    analysis = _decided_before(
        summarise_study(
            job.target,
            store.clip_analyses(job.target),
            revision=study.revision,
            engine=engine,
            made_at=study.closed_at,
        ),
        store,
    )
    paths = {instance.SOPInstanceUID: instance.path for instance in study.instances}
    results = build_results(
        analysis,
        _sources(analysis, study.instances),
        kinds=wanted(config),
        frames=lambda uid: open_clip(paths[uid]),
        earlier=store.outbox.reports_before(job.target, study.revision),
        budget=budget(config),
        kept=store.outbox.report,
    )
    reports = (*_edits(analysis, study.instances), *results.reports)
    deliveries = addressed(reports, config)
    store.complete_study(job, reports, deliveries, _own(analysis), remark=_remark(results))
    if results.withheld:
        _log.warning("study %s: %s", job.target, _remark(results))
    queued = len({report.SOPInstanceUID for _, report in deliveries})
    _log.info("study %s: revision %d, %d objects queued", job.target, study.revision, queued)


def budget(config: Config) -> Budget:
    """How much may be sent of a study."""
    return Budget(max_clips=config.results.max_clips, max_bytes=config.results.max_mib << 20)


def _remark(results: Results) -> str:
    if not results.withheld:
        return ""
    return f"{len(results.withheld)} clips have no segmentation or overlay: over results.max_clips or max_mib"


def _decided_before(analysis: Analysis, store: Store) -> Analysis:
    """An analysis that knows what persons have decided on earlier revisions."""
    decisions = store.decisions.of_study(analysis.StudyInstanceUID)
    others = store.aside.others_until(analysis.StudyInstanceUID)
    own = [decision for decision in decisions if decision.revision > others]  # none on another patient's results
    rejections = sum(decision.kind is DecisionKind.REJECTED for decision in decisions)
    return replace(analysis, acceptance=standing_acceptance(own), rejections=rejections)


def _edits(analysis: Analysis, instances: tuple[Instance, ...]) -> list[Report]:
    """The reports of what persons drew on the node, where results rest on them: no archive has these."""
    named = {edit.SOPInstanceUID for edit in edits_of(analysis)}
    return [
        Report(
            kind=ObjectKind.EDIT,
            SOPClassUID=instance.SOPClassUID,
            SOPInstanceUID=instance.SOPInstanceUID,
            content=instance.path.read_bytes(),
        )
        for instance in instances
        if instance.SOPInstanceUID in named and instance.source_ae == DRAWN_HERE
    ]


def _own(analysis: Analysis) -> list[OwnValue]:
    """The numbers that no person touched."""
    return [
        OwnValue(
            quantity=m.quantity,
            method=m.method,
            view=m.view,
            value=float(m.value),
            unit=m.unit,
            revision=analysis.revision,
            engine=f"{analysis.engine.name} {analysis.engine.version}",
        )
        for m in analysis.measurements
        if not m.edits
    ]


def _sources(analysis: Analysis, instances: tuple[Instance, ...]) -> Mapping[str, Dataset]:
    """The headers of the analysed objects that can be read: what the reports refer to."""
    analysed = {clip.SOPInstanceUID for clip in analysis.clips}
    return readable_sources(i for i in instances if i.SOPInstanceUID in analysed)
