"""Storage commitment by the push model, as its SCU (PS3.4 annex J)."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from echo_node.dicom.header import is_uid
from echo_node.dicom.scu import Outgoing, Peer, application_entity, associated
from echo_node.errors import DeliveryRefused, DeliveryUnreachable, StoreError

_log = logging.getLogger(__name__)

_TRANSACTIONS = uuid.UUID("0d3a5f3e-9c1b-5d55-8f6e-3f0b6a2c9e41")
_REQUEST_COMMITMENT = 1  # Action Type ID (PS3.4 J.3.2)
_ALL_COMMITTED, _SOME_FAILED = 1, 2  # Event Type ID (PS3.4 J.3.3)
# Answers to N-EVENT-REPORT (PS3.7 10.1.1.1.8)
_SUCCESS, _PROCESSING_FAILURE, _NO_SUCH_EVENT, _INVALID_VALUE = 0x0000, 0x0110, 0x0113, 0x0115


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentResult:
    """What an archive says of the objects of one request."""

    TransactionUID: str
    committed: frozenset[str]  # SOP Instance UIDs
    failed: Mapping[str, int]  # FailureReason (PS3.3 C.14.1.1) by SOP Instance UID


OnResult = Callable[[str, CommitmentResult], None]  # the archive's AE title, and what it says


def request(
    objects: Sequence[Outgoing],
    TransactionUID: str,
    *,
    to: Peer,
    calling_ae: str,
    on_result: OnResult,
    seconds: tuple[float, float, float],
) -> bool:
    """Ask an archive to commit itself to objects; True where it answered on the same association.

    Parameters
    ----------
    objects : sequence of Outgoing
        What it was sent.
    TransactionUID : str
        Of this request alone; must be on disk already, for the answer may come to another process.
    on_result : callable
        Called with the answer before it is acknowledged. Raises StoreError where it could not be kept.
    seconds : tuple of float
        For the connection, for each response, and for the answer before the association is released. Later
        it comes on an association of the archive's own.

    Raises
    ------
    DeliveryError
        The archive was not asked, or does not take the request.
    """
    connect, response, wait = seconds
    ae = application_entity(calling_ae, connect, response)
    ae.add_requested_context(StorageCommitmentPushModel)
    came = threading.Event()

    def on_event(event: evt.Event) -> tuple[int, None]:
        status = take(event, to.ae_title, on_result)
        came.set()
        return status

    with associated(ae, to, [(evt.EVT_N_EVENT_REPORT, on_event)]) as assoc:
        if not assoc.is_established:
            raise DeliveryRefused("the peer does not take Storage Commitment")
        status, _ = assoc.send_n_action(
            _reference(objects, TransactionUID),
            _REQUEST_COMMITMENT,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        if "Status" not in status:
            raise DeliveryUnreachable("no answer to the request for commitment")
        if status.Status != _SUCCESS:
            raise DeliveryUnreachable(f"the request for commitment was answered {int(status.Status):04X}")
        return came.wait(wait)


def transaction_uid(*parts: str) -> str:
    """The UID of the request that these parts name: a version 5 UUID as a decimal integer (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_TRANSACTIONS, '|'.join(parts)).int}"


def _reference(objects: Sequence[Outgoing], TransactionUID: str) -> Dataset:
    """The Action Information (PS3.4 table J.3-1)."""
    ds = Dataset()
    ds.TransactionUID = TransactionUID
    ds.ReferencedSOPSequence = []
    for item in objects:
        reference = Dataset()
        reference.ReferencedSOPClassUID = item.SOPClassUID
        reference.ReferencedSOPInstanceUID = item.SOPInstanceUID
        ds.ReferencedSOPSequence.append(reference)
    return ds


def take(event: evt.Event, ae_title: str, on_result: OnResult) -> tuple[int, None]:
    """Take an N-EVENT-REPORT; the status of its answer is success only when what it says is kept."""
    return _status(event, ae_title, on_result), None


def _status(event: evt.Event, ae_title: str, on_result: OnResult) -> int:
    if event.event_type not in (_ALL_COMMITTED, _SOME_FAILED):
        return _NO_SUCH_EVENT
    try:
        result = read_result(event.event_information)
    except ValueError as error:
        _log.warning("an answer of %s on commitment is not understood: %s", ae_title, error)
        return _INVALID_VALUE
    try:
        on_result(ae_title, result)
    except StoreError as error:
        _log.error("an answer of %s on commitment is not kept: %s", ae_title, error)
        return _PROCESSING_FAILURE
    return _SUCCESS


def read_result(ds: Dataset) -> CommitmentResult:
    """Read the Event Information (PS3.4 table J.3-2).

    Raises
    ------
    ValueError
        It names no transaction, or an item no object.
    """
    transaction = str(ds.get("TransactionUID", ""))
    if not is_uid(transaction):
        raise ValueError("no Transaction UID")
    committed = frozenset(_uid(item) for item in ds.get("ReferencedSOPSequence") or ())
    failed = {
        _uid(i): int(i.get("FailureReason") or _PROCESSING_FAILURE) for i in ds.get("FailedSOPSequence") or ()
    }
    return CommitmentResult(TransactionUID=transaction, committed=committed - failed.keys(), failed=failed)


def _uid(item: Dataset) -> str:
    uid = str(item.get("ReferencedSOPInstanceUID", ""))
    if not is_uid(uid):
        raise ValueError("an item without Referenced SOP Instance UID")
    return uid
