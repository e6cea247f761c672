"""What the analyser does with a structured report: a person's is applied, a cart's read, or it says why not."""

from __future__ import annotations

import logging
from collections import defaultdict

from pydicom import Dataset

from echo_node.codes import Reason
from echo_node.config import Config
from echo_node.correct import correct, frames_needed
from echo_node.dicom.clips import open_clip
from echo_node.edits import Correction
from echo_node.errors import ClipError, CorrectionError
from echo_node.inference.engine import Engine
from echo_node.records import Clip, ClipAnalysis, Instance, Job
from echo_node.reports import (
    corrected_images,
    is_cart_report,
    open_document,
    read_cart_report,
    read_corrections,
)
from echo_node.services.sources import readable_sources
from echo_node.store import Store

_log = logging.getLogger(__name__)


def do_correction(store: Store, config: Config, engine: Engine, job: Job) -> None:
    """Apply a person's report to its study's analyses, all of it or nothing; of a cart's keep the numbers."""
    report = store.instance(job.target)
    try:
        ds = _opened(store, report)
        if is_cart_report(ds):
            _keep_numbers(store, job, report, ds)
            return
        corrected = _corrected(store, config, engine, report, ds)
    except CorrectionError as refusal:
        store.refuse_correction(job, refusal.reason, refusal.detail)
        _log.info("report %s is kept only: %s", job.target, refusal.reason.name)
        return
    store.complete_correction(job, corrected)
    _log.info("report %s: %d clips corrected", job.target, len(corrected))


def _opened(store: Store, report: Instance) -> Dataset:
    if store.has_made(report.SOPInstanceUID):
        raise CorrectionError(Reason.OWN_REPORT, "its UID is one of the node's own results")
    return open_document(report.path)


def _keep_numbers(store: Store, job: Job, report: Instance, ds: Dataset) -> None:
    """A cart's own numbers are kept to be compared; they correct nothing."""
    found = read_cart_report(ds)
    if store.study(report.StudyInstanceUID).PatientID != report.PatientID:
        raise CorrectionError(Reason.OTHER_PATIENT, "the study's images are of another")
    store.carts.complete(job, found)
    _log.info("report %s is a cart's: %d numbers kept", job.target, len(found.values))


def _corrected(store: Store, config: Config, engine: Engine, report: Instance, ds: Dataset) -> list[ClipAnalysis]:
    """The analyses of the clips that a report corrects, corrected."""
    images = store.find(corrected_images(ds))
    by_clip: dict[str, list[Correction]] = defaultdict(list)
    for correction in read_corrections(ds, readable_sources(images.values())):
        by_clip[correction.SOPInstanceUID].append(correction)
    known = {analysis.SOPInstanceUID: analysis for analysis in store.clip_analyses(report.StudyInstanceUID)}
    corrected = []
    for uid, given in by_clip.items():
        if uid not in known:
            raise CorrectionError(Reason.ANALYSIS_FAILED, f"image {uid} was not analysed")
        clip = _clip(images[uid], known[uid], config)
        analysis = correct(known[uid], clip, given, engine)
        if analysis is not known[uid]:
            corrected.append(analysis)
    if not corrected:
        raise CorrectionError(Reason.NO_CORRECTION, "it draws what is there already")
    return corrected


def _clip(image: Instance, analysis: ClipAnalysis, config: Config) -> Clip:
    try:
        source = open_clip(image.path)
        return source.read(frames_needed(analysis, source.NumberOfFrames, config.analyse.max_frames))
    except ClipError as error:
        raise CorrectionError(error.reason, error.detail) from error
