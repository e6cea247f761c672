"""Sending: C-STORE of files as they are, and C-ECHO."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from echo_node.codes import Reason
from echo_node.dicom.header import read_header
from echo_node.errors import AssociationRejected, DeliveryError, DeliveryRefused, DeliveryUnreachable
from echo_node.identity import IMPLEMENTATION_NAME, IMPLEMENTATION_UID

_log = logging.getLogger(__name__)

_MOST_CONTEXTS = 128  # of one association (PS3.8 9.3.2.2)
_WARNINGS = frozenset((0xB000, 0xB006, 0xB007))  # stored, with a remark (PS3.4 table B.2-1)
_OUT_OF_RESOURCES = range(0xA700, 0xA800)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An application entity on the network."""

    ae_title: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A Part 10 file to be sent as it is."""

    SOPClassUID: str
    SOPInstanceUID: str
    path: Path


def send(
    objects: Sequence[Outgoing],
    *,
    to: Peer,
    calling_ae: str,
    connect_seconds: float = 10,
    response_seconds: float = 60,
) -> list[DeliveryError | None]:
    """Send objects in one association, each in its own transfer syntax.

    Returns
    -------
    list
        None for each object that the peer has, else the error. A file that cannot be read is refused here, and
        keeps none of the others back.

    Raises
    ------
    DeliveryUnreachable
        There is no association: nothing was sent.
    """
    syntaxes = [_transfer_syntax(item.path) for item in objects]
    pairs = zip((o.SOPClassUID for o in objects), syntaxes, strict=True)
    contexts = list(dict.fromkeys((kind, syntax) for kind, syntax in pairs if isinstance(syntax, str)))
    if not contexts:
        return [syntax if isinstance(syntax, DeliveryError) else None for syntax in syntaxes]
    ae = application_entity(calling_ae, connect_seconds, response_seconds)
    for class_uid, syntax in contexts[:_MOST_CONTEXTS]:
        ae.add_requested_context(class_uid, syntax)
    with _associated(ae, to) as assoc:
        return [
            _send_one(assoc, item, syntax) if isinstance(syntax, str) else syntax
            for item, syntax in zip(objects, syntaxes, strict=True)
        ]


def _transfer_syntax(path: Path) -> str | DeliveryRefused:
    """A file's transfer syntax, or why it cannot be sent."""
    try:
        header = read_header(path)
    except OSError as error:
        return DeliveryRefused(f"its file cannot be read: {error.strerror}")
    if header.reason is Reason.NOT_DICOM:
        return DeliveryRefused("its file is damaged")
    return header.TransferSyntaxUID or ExplicitVRLittleEndian


def echo(to: Peer, *, calling_ae: str, seconds: float = 5) -> None:
    """C-ECHO.

    Raises
    ------
    AssociationRejected
        The peer is there, and lets us not in.
    DeliveryError
        The peer does not answer well.
    """
    ae = application_entity(calling_ae, seconds, seconds)
    ae.add_requested_context(Verification)
    with _associated(ae, to) as assoc:
        status = assoc.send_c_echo()
        if not status or status.Status != 0:
            raise DeliveryUnreachable(f"{to.ae_title} at {to.host}:{to.port} answered C-ECHO with a failure")


def application_entity(calling_ae: str, connect_seconds: float, response_seconds: float) -> AE:
    """What the sender says of itself when it negotiates."""
    _config.STORE_SEND_CHUNKED_DATASET = True  # files go out as their bytes are, never encoded anew
    ae = AE(ae_title=calling_ae)
    ae.implementation_class_uid = IMPLEMENTATION_UID
    ae.implementation_version_name = IMPLEMENTATION_NAME
    ae.connection_timeout = connect_seconds
    ae.acse_timeout = connect_seconds
    ae.dimse_timeout = response_seconds
    ae.network_timeout = response_seconds
    return ae


@contextmanager
def _associated(ae: AE, to: Peer) -> Iterator[Association]:
    assoc = ae.associate(to.host, to.port, ae_title=to.ae_title)
    where = f"{to.ae_title} at {to.host}:{to.port}"
    if assoc.is_rejected:
        raise AssociationRejected(f"{where} rejects the association")
    if not assoc.is_established:
        raise DeliveryUnreachable(f"no association with {where}")
    try:
        yield assoc
    finally:
        if assoc.is_established:
            assoc.release()


def _send_one(assoc: Association, item: Outgoing, syntax: str) -> DeliveryError | None:
    if not assoc.is_established:
        return DeliveryUnreachable("the association ended before this object")
    is_offered = any(
        c.abstract_syntax == item.SOPClassUID and syntax in c.transfer_syntax for c in assoc.accepted_contexts
    )
    if not is_offered:
        return DeliveryRefused(f"the peer does not take {item.SOPClassUID} in {UID(syntax).name}")
    try:
        answer = assoc.send_c_store(item.path)
    except (OSError, ValueError, RuntimeError) as error:
        return DeliveryUnreachable(f"C-STORE broke off: {type(error).__name__}")
    if "Status" not in answer:
        return DeliveryUnreachable("no answer to C-STORE")
    return judged(int(answer.Status))


def judged(status: int) -> DeliveryError | None:
    """What a C-STORE status means for the outbox (PS3.4 table B.2-1)."""
    if status == 0 or status in _WARNINGS:
        return None
    if status in _OUT_OF_RESOURCES:
        return DeliveryUnreachable(f"C-STORE answered {status:04X}: out of resources")
    return DeliveryRefused(f"C-STORE answered {status:04X}")
