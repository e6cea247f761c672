"""Sending: C-STORE of files as they are, and C-ECHO."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from echo_node.codes import Reason
from echo_node.dicom.header import read_header
from echo_node.dicom.recode import recoded, uncompressed
from echo_node.dicom.statuses import failure, may_be_of_the_syntax
from echo_node.errors import (
    AssociationRejected,
    ClassRefused,
    DeliveryError,
    DeliveryRefused,
    DeliveryUnreachable,
)
from echo_node.identity import IMPLEMENTATION_NAME, IMPLEMENTATION_UID

_log = logging.getLogger(__name__)

_MOST_CONTEXTS = 128  # of one association (PS3.8 9.3.2.2)
_WARNINGS = frozenset((0xB000, 0xB006, 0xB007))  # stored, with a remark (PS3.4 table B.2-1)
_CLASS_NOT_SUPPORTED = 0x03  # result of a presentation context (PS3.8 table 9-18)
_UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
# An object in one of these can go in the uncompressed ones (PS3.5 10).
_RECODABLE = (*_UNCOMPRESSED, JPEGBaseline8Bit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An application entity on the network."""

    ae_title: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A Part 10 file to be sent as it is, or rather in another transfer syntax where the peer takes that."""

    SOPClassUID: str
    SOPInstanceUID: str
    path: Path
    preferred: str | None = None  # what recode.preferred says


def send(
    objects: Sequence[Outgoing],
    *,
    to: Peer,
    calling_ae: str,
    connect_seconds: float = 10,
    response_seconds: float = 60,
) -> list[DeliveryError | None]:
    """Send objects in one association, each in its own transfer syntax, as its bytes are.

    What is uncompressed or JPEG baseline is encoded anew for a peer that takes its class in another uncompressed
    syntax only, or in the one that is preferred for it: the same dataset. What is compressed otherwise goes as it
    is, or not at all. An object that is refused in its preferred syntax is sent once more in its own.

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
    contexts = _contexts(objects, syntaxes)
    if not contexts:
        return [syntax if isinstance(syntax, DeliveryError) else None for syntax in syntaxes]
    ae = application_entity(calling_ae, connect_seconds, response_seconds)
    for class_uid, syntax in contexts[:_MOST_CONTEXTS]:
        ae.add_requested_context(class_uid, syntax)
    with associated(ae, to) as assoc:
        return [
            _send_one(assoc, item, syntax) if isinstance(syntax, str) else syntax
            for item, syntax in zip(objects, syntaxes, strict=True)
        ]


def _contexts(objects: Sequence[Outgoing], syntaxes: Sequence[str | DeliveryRefused]) -> list[tuple[str, str]]:
    """SOP class and transfer syntax of each context: one syntax each, so that the peer answers on every one."""
    own = [(o.SOPClassUID, s) for o, s in zip(objects, syntaxes, strict=True) if isinstance(s, str)]
    preferred = [(o.SOPClassUID, o.preferred) for o in objects if o.preferred is not None]
    other = [(kind, alternative) for kind, syntax in own for alternative in encodings(syntax)[1:]]
    return list(dict.fromkeys(own + preferred + other)) if own else []


def encodings(syntax: str, preferred: str | None = None) -> list[str]:
    """The transfer syntaxes in which an object can go, the preferred one first, then its own."""
    others = _UNCOMPRESSED if syntax in _RECODABLE else ()
    first = [] if preferred is None else [preferred]
    return [*first, syntax, *(str(other) for other in others if other != syntax)]


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
    with associated(ae, to) as assoc:
        status = assoc.send_c_echo() if assoc.is_established else None
        if not status or status.Status != 0:
            raise DeliveryUnreachable(f"{to.ae_title} at {to.host}:{to.port} answered C-ECHO with a failure")


def application_entity(calling_ae: str, connect_seconds: float, response_seconds: float) -> AE:
    """What the sender says of itself, with the time that a peer has to let us in and to answer."""
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
def associated(ae: AE, to: Peer, handlers: Sequence[Any] = ()) -> Iterator[Association]:
    """An association; one that has ended already where the peer took none of its contexts."""
    where = f"{to.ae_title} at {to.host}:{to.port}"
    try:
        assoc = ae.associate(to.host, to.port, ae_title=to.ae_title, evt_handlers=list(handlers))
    except OSError as error:  # the name does not resolve
        raise DeliveryUnreachable(f"{where}: {error.strerror or error}") from error
    except ValueError as error:  # the name cannot be one, or the title
        raise DeliveryUnreachable(f"{where}: {error}") from error
    if assoc.is_rejected:
        raise AssociationRejected(f"{where} rejects the association")
    if not assoc.is_established and not assoc.rejected_contexts:
        raise DeliveryUnreachable(f"no association with {where}")
    if assoc.is_established:
        threading.Thread(target=_let_go, args=(assoc,), daemon=True).start()
    try:
        yield assoc
    finally:
        if assoc.is_established:
            assoc.release()


def _let_go(assoc: Association) -> None:
    """Let go whoever waits for the association's thread to pause, once that has ended.

    Where it ends in the moment in which a request or the release begins, pynetdicom 3.0 would wait for ever.
    """
    assoc.join()
    assoc._is_paused = True


def _send_one(assoc: Association, item: Outgoing, syntax: str) -> DeliveryError | None:
    accepted = {str(c.transfer_syntax[0]) for c in assoc.accepted_contexts if c.abstract_syntax == item.SOPClassUID}
    possible = [encoding for encoding in encodings(syntax, item.preferred) if encoding in accepted]
    if not possible:
        return _not_taken(assoc, item, syntax)
    error = _store(assoc, item, possible[0], own=syntax)
    if possible[0] == item.preferred and len(possible) > 1 and may_be_of_the_syntax(error):
        _log.warning("%s in %s: %s; sent uncompressed", item.SOPInstanceUID, UID(item.preferred).name, error)
        return _store(assoc, item, possible[1], own=syntax)
    return error


def _store(assoc: Association, item: Outgoing, encoding: str, *, own: str) -> DeliveryError | None:
    """Send an object in one of its transfer syntaxes."""
    if not assoc.is_established:
        return DeliveryUnreachable("the association ended before this object")
    try:
        if encoding == own:
            answer = assoc.send_c_store(item.path)
        else:
            is_preferred = encoding == item.preferred
            answer = assoc.send_c_store(recoded(item.path, encoding) if is_preferred else uncompressed(item.path))
    except (OSError, ValueError, RuntimeError) as error:
        return DeliveryUnreachable(f"C-STORE broke off: {type(error).__name__}")
    if "Status" not in answer:
        return DeliveryUnreachable("no answer to C-STORE")
    return judged(int(answer.Status))


def _not_taken(assoc: Association, item: Outgoing, syntax: str) -> ClassRefused:
    """Why no presentation context of an object stands."""
    kind = UID(item.SOPClassUID).name
    results = {c.result for c in assoc.rejected_contexts if c.abstract_syntax == item.SOPClassUID}
    if results == {_CLASS_NOT_SUPPORTED}:
        return ClassRefused(f"the peer does not take {kind}")
    names = " nor ".join(UID(encoding).name for encoding in encodings(syntax, item.preferred))
    return ClassRefused(f"the peer does not take {kind} in {names}")


def judged(status: int) -> DeliveryError | None:
    """What a C-STORE status means for the outbox (PS3.4 table B.2-1)."""
    if status == 0 or status in _WARNINGS:
        return None
    return failure(status, f"C-STORE answered {status:04X}")
