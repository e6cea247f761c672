"""The receiver's own data path under pynetdicom's negotiation.

pynetdicom reads a PDU in pieces of 4 KiB, makes an object of every data value and hands each through two
queues; a clip of 3 MB costs it a tenth of a second. Here C-STORE fragments go from one kept buffer straight
to the file, in the thread that reads the socket, and the answer leaves in one write. Everything else
(C-ECHO, release, abort) is handed to pynetdicom as before.

The same loop bounds what a peer may do: a PDU's length is checked before it is read, and each PDU has a
time within which it must have come. Whatever comes puts the end for silence off, as each PDU does in
pynetdicom; of a data set only what is more than a drip.
"""

from __future__ import annotations

import logging
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pynetdicom.dul import DULServiceProvider

from echo_node.config import Receive
from echo_node.dicom import command
from echo_node.dicom.header import is_uid, read_header
from echo_node.dicom.incoming import IncomingObject, ReceivedObject, TooLarge
from echo_node.dicom.statuses import OUT_OF_RESOURCES
from echo_node.errors import StoreError

if TYPE_CHECKING:
    from pynetdicom.association import Association

_log = logging.getLogger(__name__)

# C-STORE status codes (PS3.4 table B.2-1, PS3.7 annex C)
SUCCESS = 0x0000
DOES_NOT_MATCH_SOP_CLASS = 0xA900
CANNOT_UNDERSTAND = 0xC000

_A_ASSOCIATE_RQ, _P_DATA_TF = 1, 4
_CALLED_AE, _CALLING_AE = slice(10, 26), slice(26, 42)  # of an A-ASSOCIATE-RQ (PS3.8 table 9-11)
_STAND_IN = b"?"  # for a character that no AE title may have
_KNOWN_PDUS = range(1, 8)
_IS_COMMAND, _IS_LAST = 1, 2  # bits of a message control header (PS3.8 E.2)
_LONGEST_OTHER_PDU = 256 << 10  # bytes of an A-ASSOCIATE-RQ with 128 contexts: about 30 KiB
_LONGEST_COMMAND = 16 << 10
_LONGEST_OTHER_DATA = 1 << 20  # bytes of a data set that is not stored
_SLACK = 1 << 10  # over the announced length: some senders count the header in
_MORE_THAN_A_DRIP = 1 << 10  # bytes of a data set within receive.idle_seconds: a sender that is not silent
_LINGER_SECONDS = 0.02  # after an answer the next request mostly follows at once


class Cut(Exception):
    """The connection ends here; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storing:
    """What the data path needs of the receiver."""

    settings: Receive
    incoming: Path
    on_stored: Callable[[ReceivedObject], None]
    on_association_end: Callable[[str, frozenset[str]], None]


class StoringProvider(DULServiceProvider):
    """pynetdicom's upper layer with its reading replaced."""

    def __init__(self, assoc: Association, storing: Storing) -> None:
        super().__init__(assoc)
        self._storing = storing
        self._buffer = bytearray(max((storing.settings.pdu_kib << 10) + _SLACK, _LONGEST_OTHER_PDU))
        self._command = bytearray()
        self._request: command.Command | None = None  # of the C-STORE whose data set is coming
        self._object: IncomingObject | None = None  # None while a refused data set is passed over
        self._refusal: tuple[int, str] | None = None
        self._passed_over = 0  # bytes of a data set that is refused
        self._passed_on = 0  # bytes of a data set that pynetdicom gets
        self._context_id = 0
        self._heard = 0  # bytes since the idle timer was last restarted
        self.called_ae = self.calling_ae = ""  # as they were sent, whatever characters they have
        self.studies: set[str] = set()

    @property
    def is_storing(self) -> bool:
        """Is a data set on its way in?"""
        return self._request is not None

    def run_reactor(self) -> None:
        """Run until the association ends, however it ends; leave no half object."""
        try:
            super().run_reactor()
        finally:
            self._drop_object()
            if self.studies:
                self._storing.on_association_end(self.assoc.requestor.ae_title, frozenset(self.studies))

    def _read_pdu_data(self) -> None:
        """Read one PDU; while a data set is coming, or the next request follows at once, go on."""
        try:
            while self._read_one() and (self.is_storing or self._more_follows()):
                pass
        except Cut as cut:
            _log.warning("association with %s cut: %s", self._peer, cut)
            self._drop_object()
            self._close()
        except (OSError, ValueError) as error:
            cause = getattr(error, "strerror", None) or type(error).__name__
            _log.warning("association with %s lost: %s", self._peer, cause)
            self._drop_object()
            self._close()

    @property
    def _peer(self) -> str:
        return f"{self.assoc.requestor.ae_title!r} at {self._host}"

    @property
    def _host(self) -> str:
        return str(self.assoc.requestor.address)

    @property
    def _connection(self) -> socket.socket:
        assert self.socket is not None
        assert self.socket.socket is not None
        return self.socket.socket

    def _close(self) -> None:
        """Close at once: a peer that broke the rules gets no farewell that could block."""
        if self.socket is not None:
            self.socket.close()
        self.event_queue.put("Evt17")

    def _more_follows(self) -> bool:
        connection = self._connection
        if isinstance(connection, ssl.SSLSocket) and connection.pending():
            return True
        return bool(select.select([connection], [], [], _LINGER_SECONDS)[0])

    def _read_one(self) -> bool:
        """Read and handle one PDU; False where pynetdicom must act on it first."""
        deadline = time.monotonic() + self._seconds_per_pdu
        view = memoryview(self._buffer)
        if not self._fill(view[:6], deadline):
            self._close()
            return False
        kind, _, length = struct.unpack_from(">BBI", self._buffer)
        limit = self._longest(kind)
        if length > limit:
            raise Cut(f"a PDU of type {kind} announces {length} bytes; {limit} are taken")
        if not self._fill(view[6 : 6 + length], deadline):
            raise Cut("the connection ended inside a PDU")
        if kind != _P_DATA_TF or not self.assoc.is_established:
            self._drop_object()
            self._hand_over(bytes(view[: 6 + length]))
            return False
        return self._walk(view[6 : 6 + length])

    @property
    def _seconds_per_pdu(self) -> float:
        settings = self._storing.settings
        return settings.pdu_seconds if self.assoc.is_established else settings.first_pdu_seconds

    def _longest(self, kind: int) -> int:
        """Bytes that a PDU of this type may announce."""
        if kind == _P_DATA_TF:
            return (self._storing.settings.pdu_kib << 10) + _SLACK - 6
        if kind not in _KNOWN_PDUS:
            raise Cut(f"no PDU is of type {kind}")
        return _LONGEST_OTHER_PDU - 6

    def _fill(self, view: memoryview, deadline: float) -> bool:
        """Fill the view; False where the peer closed before its first byte."""
        done = 0
        connection = self._connection
        while done < len(view):
            left = deadline - time.monotonic()
            if left <= 0:
                raise Cut(f"a PDU took longer than {self._seconds_per_pdu:.0f} s")
            connection.settimeout(left)
            try:
                count = connection.recv_into(view[done:])
            except TimeoutError:
                continue
            if count == 0:
                if done:
                    raise Cut("the connection ended inside a PDU")
                return False
            done += count
            self._note_heard(count)
        return True

    def _note_heard(self, count: int) -> None:
        """Put the end for silence off: pynetdicom does so only when a whole object, or several, have come."""
        self._heard += count
        if self._heard >= _MORE_THAN_A_DRIP or not self.is_storing:
            self._idle_timer.restart()
            self._heard = 0

    def _walk(self, body: memoryview) -> bool:
        """Handle every presentation data value of a PDU; False where one went to pynetdicom."""
        position = 0
        is_all_ours = True
        while position < len(body):
            if position + 6 > len(body):
                raise Cut("a data value is cut short")
            length, context_id, control = struct.unpack_from(">IBB", body, position)
            end = position + 4 + length
            if length < 2 or end > len(body):
                raise Cut(f"a data value claims {length} bytes")
            is_all_ours &= self._value(context_id, control, body[position + 6 : end])
            position = end
        return is_all_ours

    def _value(self, context_id: int, control: int, content: memoryview) -> bool:
        """Handle one data value; False where it went to pynetdicom."""
        if control & _IS_COMMAND:
            return self._command_value(context_id, control, content)
        if self._request is None:
            self._passed_on += len(content)
            if self._passed_on > _LONGEST_OTHER_DATA:
                raise Cut("a data set that is not stored is too long")
            self._hand_over(command.data_pdu(context_id, control, content))
            return False
        if context_id != self._context_id:
            raise Cut("a data set changes its presentation context")
        self._take(content)
        if control & _IS_LAST:
            self._answer(*self._conclude())
        return True

    def _command_value(self, context_id: int, control: int, content: memoryview) -> bool:
        if self._request is not None:
            raise Cut("a command came inside a data set")
        self._command += content
        if len(self._command) > _LONGEST_COMMAND:
            raise Cut("a command set is too long")
        if not control & _IS_LAST:
            return True
        raw, self._command = bytes(self._command), bytearray()
        request = command.decode(raw)
        if not request.is_store:
            self._passed_on = 0
            self._hand_over(command.data_pdu(context_id, control, raw))
            return False
        self._context_id = context_id
        self._begin(request)
        return True

    def _begin(self, request: command.Command) -> None:
        """A C-STORE request: open its file, or know already why it is refused."""
        self._request, self._refusal, self._passed_over = request, None, 0
        context = self.assoc._accepted_cx.get(self._context_id)
        if context is None or context.abstract_syntax != request.AffectedSOPClassUID:
            self._refusal = DOES_NOT_MATCH_SOP_CLASS, "SOP Class is not the presentation context's"
        elif not (is_uid(request.AffectedSOPInstanceUID) and is_uid(request.AffectedSOPClassUID)):
            self._refusal = CANNOT_UNDERSTAND, "Affected SOP Instance UID is no UID"
        else:
            self._open(request, str(context.transfer_syntax[0]))

    def _open(self, request: command.Command, transfer_syntax: str) -> None:
        try:
            self._object = IncomingObject(
                self._storing.incoming,
                SOPClassUID=request.AffectedSOPClassUID,
                SOPInstanceUID=request.AffectedSOPInstanceUID,
                TransferSyntaxUID=transfer_syntax,
                calling_ae=self.assoc.requestor.ae_title,
                peer_host=self._host,
                limit=self._storing.settings.max_object_mib << 20,
            )
        except OSError as error:
            self._refuse_for_disk(error)

    def _take(self, content: memoryview) -> None:
        """A fragment: to the file, or passed over where the object is refused already."""
        if self._object is None:
            self._passed_over += len(content)
            if self._passed_over > self._storing.settings.max_object_mib << 20:
                raise Cut("a data set that is refused goes on and on")
            return
        try:
            self._object.write(content)
        except TooLarge as error:  # what follows on the association may well be kept
            self._drop_object_only()
            self._refusal = CANNOT_UNDERSTAND, str(error)
        except OSError as error:
            self._refuse_for_disk(error)

    def _refuse_for_disk(self, error: OSError) -> None:
        _log.error("the disk does not take an object: %s", error.strerror)
        self._drop_object_only()
        self._refusal = OUT_OF_RESOURCES, "Out of resources"

    def _conclude(self) -> tuple[int, str]:
        """The whole data set is here: status and comment of the answer."""
        if self._refusal is not None:
            return self._refusal
        assert self._object is not None
        try:
            received = self._object.finish()
            mismatch = self._mismatch(received)
            if mismatch:
                self._drop_object_only()
                return DOES_NOT_MATCH_SOP_CLASS, mismatch
            self._storing.on_stored(received)
        except OSError as error:
            self._refuse_for_disk(error)
            return OUT_OF_RESOURCES, "Out of resources"
        except StoreError as error:
            _log.error("%s is not kept: %s", self._object.SOPInstanceUID, error)
            self._drop_object_only()
            return OUT_OF_RESOURCES, "Out of resources"
        self._object = None
        return SUCCESS, ""

    def _mismatch(self, received: ReceivedObject) -> str:
        """Does the data set name another class or instance than the command?"""
        header = read_header(received.path)
        if header.StudyInstanceUID:
            self.studies.add(header.StudyInstanceUID)
        if header.SOPClassUID not in ("", received.SOPClassUID):
            return "SOP Class UID differs from the command's"
        if header.SOPInstanceUID not in ("", received.SOPInstanceUID):
            return "SOP Instance UID differs from the command's"
        return ""

    def _answer(self, status: int, comment: str) -> None:
        assert self._request is not None
        if status != SUCCESS:
            _log.warning("C-STORE from %s answered %04X: %s", self._peer, status, comment)
        response = command.store_response(self._request, status, comment)
        self._request = self._object = self._refusal = None
        self._connection.settimeout(self._storing.settings.pdu_seconds)
        self._connection.sendall(command.data_pdu(self._context_id, _IS_COMMAND | _IS_LAST, response))

    def _hand_over(self, pdu: bytes) -> None:
        """Give a PDU to pynetdicom's state machine."""
        if pdu[0] == _A_ASSOCIATE_RQ:
            pdu = self._with_legible_titles(pdu)
        try:
            decoded, event = self._decode_pdu(bytearray(pdu))
        except (ValueError, KeyError, IndexError, struct.error, TypeError, AttributeError) as error:
            raise Cut(f"a PDU cannot be decoded: {type(error).__name__}") from error
        self.event_queue.put(event)
        self._recv_pdu.put(decoded)

    def _with_legible_titles(self, request: bytes) -> bytes:
        """An A-ASSOCIATE-RQ with AE titles that pynetdicom can decode; the gate judges them as they were sent."""
        called, calling = request[_CALLED_AE], request[_CALLING_AE]
        self.called_ae, self.calling_ae = (title.decode("latin-1").strip(" ") for title in (called, calling))
        return request[: _CALLED_AE.start] + _legible(called) + _legible(calling) + request[_CALLING_AE.stop :]

    def _drop_object(self) -> None:
        """The association ends, or another PDU came in mid-store: forget the store."""
        self._drop_object_only()
        self._request = self._refusal = None

    def _drop_object_only(self) -> None:
        if self._object is not None:
            self._object.discard()
            self._object = None


def is_ae_title(text: str) -> bool:
    """May an AE title be so: not blank, ASCII without control characters and backslash (PS3.5 6.2)?"""
    return text.strip(" ") != "" and text.isascii() and text.isprintable() and "\\" not in text


def _legible(title: bytes) -> bytes:
    """The title, with a stand-in for each of its characters if it may not be so."""
    return title if is_ae_title(title.decode("latin-1")) else _STAND_IN * len(title)
