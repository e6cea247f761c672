"""The receiver: carts' objects to disk and database, in a process that nothing else can slow."""

from __future__ import annotations

import logging
import random

from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ExtensibleSRStorage,
    SimplifiedAdultEchoSRStorage,
)

from echo_node.codes import Reason
from echo_node.config import Commitment, Config, Destination
from echo_node.dicom.clips import ULTRASOUND_IMAGES
from echo_node.dicom.header import read_header
from echo_node.dicom.scp import Archives, ReceivedObject, StorageSCP
from echo_node.errors import StoreError
from echo_node.records import JobKind
from echo_node.services.confirm import take_result
from echo_node.services.opened import opened_store
from echo_node.services.peers import peer_of
from echo_node.services.process import POLL_SECONDS, Stop, utc_now
from echo_node.store import KeepOutcome, Received, Store

# SR classes whose documents can hold what a person drew, or a cart measured (PS3.3 A.35)
REPORTS = (
    EnhancedSRStorage,
    ComprehensiveSRStorage,
    Comprehensive3DSRStorage,
    ExtensibleSRStorage,
    SimplifiedAdultEchoSRStorage,
)

_log = logging.getLogger(__name__)


def run(config: Config, stop: Stop) -> int:
    """Receive until told to stop; stores in flight are finished first."""
    with opened_store(config) as store:
        store.sweep()
        receiver = StorageSCP(
            config.receive,
            incoming=store.incoming,
            on_stored=lambda received: keep(store, received),
            on_association_end=lambda ae, studies: note_association_end(store, ae, studies),
            archives=archives(store, config),
        )
        receiver.start()
        _log.info("listening as %s on port %d", config.receive.ae_title, config.receive.port)
        try:
            while not stop.wait(POLL_SECONDS):
                pass
            seconds = config.receive.drain_seconds
            _log.info("stopping: no new associations; stores under way may take %.0f s", seconds)
            receiver.drain(seconds)
        finally:
            receiver.stop()
    return 0


def asked_to_commit(config: Config) -> list[Destination]:
    """The destinations that may say on an association of their own what they keep."""
    return [d for d in config.deliver.destinations if d.commitment is Commitment.REQUEST]


def archives(store: Store, config: Config) -> Archives:
    """Who the receiver lets in beside the carts, and what it does with what they say."""
    rng = random.Random()
    return Archives(
        peers=tuple(peer_of(destination) for destination in asked_to_commit(config)),
        calling_ae=config.deliver.calling_ae_title,
        on_result=lambda ae, result: take_result(store, config, ae, result, now=utc_now, rng=rng),
    )


def keep(store: Store, received: ReceivedObject) -> None:
    """Commit one received object; C-STORE answers success when this returns."""
    header = read_header(received.path)
    job, reason = _purpose(store, received)
    outcome = store.keep(
        Received(
            SOPClassUID=received.SOPClassUID,
            SOPInstanceUID=received.SOPInstanceUID,
            SeriesInstanceUID=header.SeriesInstanceUID,
            StudyInstanceUID=header.StudyInstanceUID,
            PatientID=header.PatientID,
            PatientBirthDate=header.PatientBirthDate,
            TransferSyntaxUID=received.TransferSyntaxUID,
            path=received.path,
            sha256=received.sha256,
            size=received.size,
            source_ae=received.calling_ae,
            source_host=received.peer_host,
            reason=header.reason or reason,
            job=job,
        )
    )
    if outcome is KeepOutcome.SET_ASIDE:
        _log.error("%s is set aside; status --objects says why", received.SOPInstanceUID)
    else:
        _log.info("%s from %s: %s", received.SOPInstanceUID, received.calling_ae, outcome.name)


def _purpose(store: Store, received: ReceivedObject) -> tuple[JobKind | None, Reason | None]:
    """What is done with an object, or why nothing is."""
    if received.SOPClassUID in REPORTS:
        return JobKind.CORRECTION, None
    if received.SOPClassUID not in ULTRASOUND_IMAGES:
        return None, Reason.NOT_AN_IMAGE
    if store.has_made(received.SOPInstanceUID):  # an archive that sends persons' reports may send overlays back
        return None, Reason.OWN_REPORT
    return JobKind.CLIP, None


def note_association_end(store: Store, ae_title: str, studies: frozenset[str]) -> None:
    """Tell the store that a cart has hung up; a study of which it is not told closes by its quiet time."""
    try:
        store.note_association_end(ae_title, studies)
    except StoreError as error:
        _log.error("the end of an association of %r is not noted: %s", ae_title, error)
