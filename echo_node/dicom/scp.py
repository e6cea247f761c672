"""The storage SCP: who may associate, what is accepted, and how it starts and ends."""

from __future__ import annotations

import ipaddress
import logging
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pynetdicom import AE, build_context, evt
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    Verification,
)
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from echo_node.config import Cart, Receive
from echo_node.dicom.commitment import OnResult, take
from echo_node.dicom.contexts import storage_contexts
from echo_node.dicom.data_path import Storing, StoringProvider, is_ae_title
from echo_node.dicom.incoming import ReceivedObject
from echo_node.dicom.scu import Peer
from echo_node.errors import ConfigError
from echo_node.identity import IMPLEMENTATION_NAME, IMPLEMENTATION_UID

__all__ = ["Archives", "ReceivedObject", "StorageSCP", "application_entity"]

_log = logging.getLogger(__name__)

# A-ASSOCIATE-RJ: result, source, reason (PS3.8 table 9-21)
CALLING_AE_NOT_RECOGNISED = (1, 1, 3)
CALLED_AE_NOT_RECOGNISED = (1, 1, 7)
LOCAL_LIMIT_EXCEEDED = (2, 3, 2)
_POLL_SECONDS = 0.05

Rejection = tuple[int, int, int]


def application_entity(settings: Receive) -> AE:
    """What the receiver says of itself when it negotiates; storage contexts come with each association."""
    ae = AE(ae_title=settings.ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_UID
    ae.implementation_version_name = IMPLEMENTATION_NAME
    ae.maximum_pdu_size = settings.pdu_kib << 10
    ae.maximum_associations = settings.max_associations + 1  # the gate refuses first, and says why
    ae.acse_timeout = settings.first_pdu_seconds
    ae.network_timeout = settings.idle_seconds
    ae.add_supported_context(Verification)
    return ae


@dataclass(frozen=True, slots=True, kw_only=True)
class Archives:
    """Who may say on an association of its own that it commits itself to what it was sent."""

    peers: tuple[Peer, ...]
    calling_ae: str  # as which we asked: an archive may call us so
    on_result: OnResult

    def admits(self, *, calling: str, host: str) -> bool:
        """Is this one of them, at its own address?"""
        return any(p.ae_title == calling and _is_at(host, p.host) for p in self.peers)


class StorageSCP:
    """Verification and every storage class, on one port.

    Parameters
    ----------
    settings : Receive
        The receive section of config.yaml.
    incoming : Path
        Folder for temporary files, on the file system of the spool.
    on_stored : callable
        Called with each whole object, fsynced, before its sender is answered. When it returns, the
        answer is success. It raises ``StoreError`` where the object could not be kept.
    on_association_end : callable
        Called with the calling AE title and the studies that the association stored.
    tls : ssl.SSLContext, optional
        Where given, every connection must speak TLS.
    archives : Archives, optional
        Who may report on storage commitment. None: nobody.
    """

    def __init__(
        self,
        settings: Receive,
        *,
        incoming: Path,
        on_stored: Callable[[ReceivedObject], None],
        on_association_end: Callable[[str, frozenset[str]], None] = lambda *_: None,
        tls: ssl.SSLContext | None = None,
        archives: Archives | None = None,
    ) -> None:
        self._settings = settings
        self.is_draining = False
        self._archives = archives
        self._gate = Gate(settings, incoming, archives)
        self._storing = Storing(
            settings=settings,
            incoming=incoming,
            on_stored=on_stored,
            on_association_end=on_association_end,
        )
        self._tls = tls
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen, in a thread of its own.

        Raises
        ------
        ConfigError
            The address or port cannot be listened on.
        """
        settings = self._settings
        ae = application_entity(settings)
        try:
            self._server = _Server(
                ae,
                (settings.host, settings.port),
                settings.ae_title,
                ae.supported_contexts,
                ssl_context=self._tls,
                evt_handlers=[(evt.EVT_ACCEPTED, _log_contexts), (evt.EVT_N_EVENT_REPORT, self._on_event)],
                request_handler=_Handler,
            )
        except OSError as error:
            where = f"receive.host {settings.host}, receive.port {settings.port}"
            raise ConfigError(f"{where}: cannot be listened on: {error.strerror}") from error
        self._server.equip(self._storing, self._gate)
        ae._servers.append(self._server)
        self._thread = threading.Thread(target=self._server.serve_forever, name="scp", daemon=True)
        self._thread.start()

    def drain(self, seconds: float) -> None:
        """Refuse new associations, and let stores in flight finish for so long."""
        self._gate.is_open = False
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and any(p.is_storing for p in self._providers()):
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Close the port and end every association."""
        if self._server is None:
            return
        self._gate.is_open = False
        associations = list(self._server.active_associations)
        self._server.shutdown()
        for assoc in associations:
            assoc.abort()
        self._server = None

    def _on_event(self, event: evt.Event) -> tuple[int, None]:
        """N-EVENT-REPORT: its context was accepted from an archive only."""
        assert self._archives is not None
        return take(event, str(event.assoc.requestor.ae_title), self._archives.on_result)

    def _providers(self) -> list[StoringProvider]:
        associations = [] if self._server is None else list(self._server.active_associations)
        return [a.dul for a in associations if isinstance(a.dul, StoringProvider)]


class Gate:
    """Who may associate: by AE title, address, free disk and drain."""

    def __init__(self, settings: Receive, spool: Path, archives: Archives | None = None) -> None:
        self._settings, self._spool, self._archives = settings, spool, archives
        self.is_open = True

    def is_cart(self, *, calling: str, called: str, host: str) -> bool:
        """May it store?"""
        is_known = any(_admits(cart, calling=calling, host=host) for cart in self._settings.carts)
        return is_known and called == self._settings.ae_title

    def is_archive(self, *, calling: str, called: str, host: str) -> bool:
        """May it report on storage commitment?"""
        archives = self._archives
        if archives is None or called not in (self._settings.ae_title, archives.calling_ae):
            return False
        return archives.admits(calling=calling, host=host)

    def rejection(self, *, calling: str, called: str, host: str, active: int) -> tuple[Rejection, str] | None:
        """Why an association is rejected, or None; it is one of the active ones itself."""
        settings = self._settings
        if not self.is_open:
            return LOCAL_LIMIT_EXCEEDED, "the node is stopping"
        is_cart = any(_admits(cart, calling=calling, host=host) for cart in settings.carts)
        if not is_cart and self.is_archive(calling=calling, called=called, host=host):
            return None  # it says what it keeps: that takes no room
        if called != settings.ae_title:
            return CALLED_AE_NOT_RECOGNISED, f"called AE title {called!r}; this is {settings.ae_title!r}"
        if not is_ae_title(calling):
            return CALLING_AE_NOT_RECOGNISED, f"its calling AE title {_fault(calling)}"
        if not is_cart:
            return CALLING_AE_NOT_RECOGNISED, "no cart of receive.carts has this AE title and address"
        if active > settings.max_associations:
            return LOCAL_LIMIT_EXCEEDED, f"{active - 1} associations; receive.max_associations are taken"
        free = shutil.disk_usage(self._spool).free >> 20
        if free < settings.min_free_disk_mib:
            return LOCAL_LIMIT_EXCEEDED, f"{free} MiB free; receive.min_free_disk_mib is higher"
        return None


def _admits(cart: Cart, *, calling: str, host: str) -> bool:
    if cart.ae_title is not None and cart.ae_title != calling:
        return False
    address = ipaddress.ip_address(host.removeprefix("::ffff:"))
    return any(address in ipaddress.ip_network(network, strict=False) for network in cart.hosts)


def _fault(title: str) -> str:
    """What is wrong with an AE title that may not be, and what to do."""
    if not title:
        return "is blank; set one on the cart"
    return "holds a character that none may (control character, backslash, non-ASCII); set another on the cart"


class _Server(ThreadedAssociationServer):
    """pynetdicom's server, which hands each connection to a thread before anything is read from it."""

    storing: Storing
    gate: Gate
    daemon_threads = True
    request_queue_size = 128

    def equip(self, storing: Storing, gate: Gate) -> None:
        """Set what each connection needs."""
        self.storing, self.gate = storing, gate
        self._waiting: set[tuple[str, int]] = set()  # address and port of who has no association yet
        self._lock = threading.Lock()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept only: a TLS handshake here would let one silent peer stop the whole server."""
        assert self.socket is not None
        connection, address = self.socket.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def verify_request(self, _request: Any, client_address: Any) -> bool:
        """Bound the connections per address before a thread is spent on one."""
        host = str(client_address[0])
        most = self.storing.settings.max_associations_per_host
        with self._lock:
            peers = set(self._waiting)  # first: who leaves it is among the associations by then
        peers.update((str(a.requestor.address), a.requestor.port) for a in self.active_associations)
        if sum(1 for address, _ in peers if address == host) < most:
            return True
        _log.warning("connection from %s refused: it has %d; max_associations_per_host", host, most)
        return False

    def process_request(self, request: Any, client_address: Any) -> None:
        """Count the connection before its thread starts: the next one may be here sooner."""
        with self._lock:
            self._waiting.add(client_address[:2])
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self._forget(client_address)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The handshake, bounded in time, then the association."""
        try:
            connection = self._handshaken(request)
        except OSError as error:
            _log.warning("TLS handshake with %s failed: %s", client_address[0], type(error).__name__)
            self.shutdown_request(request)
        else:
            super().process_request_thread(connection, client_address)
        finally:
            self._forget(client_address)

    def _forget(self, client_address: Any) -> None:
        with self._lock:
            self._waiting.discard(client_address[:2])

    def _handshaken(self, connection: socket.socket) -> socket.socket:
        if self.ssl_context is None:
            return connection
        connection.settimeout(self.storing.settings.first_pdu_seconds)
        return self.ssl_context.wrap_socket(connection, server_side=True)


class _Handler(RequestHandler):
    """Makes an association with our data path and our gate."""

    def _create_association(self) -> Association:
        assoc = super()._create_association()
        assert isinstance(self.server, _Server)
        assert assoc.dul.socket is not None
        provider = StoringProvider(assoc, self.server.storing)
        provider.socket = assoc.dul.socket
        provider.event_queue = assoc.dul.event_queue  # it holds that the transport is open
        assoc.dul = provider
        assoc.acse = _Acceptor(assoc, self.server.gate)
        for name in ("acse_timeout", "network_timeout"):  # these set timers of the provider
            setattr(assoc, name, getattr(self.server.ae, name))
        return assoc


class _Acceptor(ACSE):
    """Asks the gate before pynetdicom negotiates."""

    def __init__(self, assoc: Association, gate: Gate) -> None:
        super().__init__(assoc)
        self._gate = gate

    def _negotiate_as_acceptor(self) -> None:
        assert isinstance(self.assoc.dul, StoringProvider)
        calling, called = self.assoc.dul.calling_ae, self.assoc.dul.called_ae
        request: Any = self.requestor.primitive
        host = str(self.requestor.address)
        active = len(self.assoc.ae.active_associations)
        refused = self._gate.rejection(calling=calling, called=called, host=host, active=active)
        if refused is None:
            who = {"calling": calling, "called": called, "host": host}
            contexts = list(self.acceptor.supported_contexts)
            if self._gate.is_cart(**who):
                contexts += storage_contexts(request.presentation_context_definition_list)
            if self._gate.is_archive(**who):
                contexts.append(_commitment_context())
            self.acceptor.supported_contexts = contexts
            super()._negotiate_as_acceptor()
            return
        (result, source, reason), why = refused
        _log.warning("association of %r at %s rejected: %s", calling, host, why)
        self.requestor.ae_title = request.calling_ae_title
        self.send_reject(result, source, reason)
        evt.trigger(self.assoc, evt.EVT_REJECTED, {})
        self.assoc.kill()


def _is_at(address: str, name: str) -> bool:
    """Is this one of a host's addresses?"""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(name, None)}
    except OSError:
        return False
    return address.removeprefix("::ffff:") in found


def _commitment_context() -> PresentationContext:
    """Storage commitment with the caller as its SCP, by role selection (PS3.7 D.3.3.4)."""
    context = build_context(StorageCommitmentPushModel)
    context.scu_role, context.scp_role = False, True
    return context


def _log_contexts(event: evt.Event) -> None:
    """Name what an accepted association may not send, and why."""
    assoc = event.assoc
    who = f"{assoc.requestor.ae_title!r} at {assoc.requestor.address}"
    _log.info("association of %s accepted: %d contexts", who, len(assoc.accepted_contexts))
    for context in assoc.rejected_contexts:
        _log.warning("%s: context for %s rejected: %s", who, context.abstract_syntax, context.status)
