"""A storage SCP of pynetdicom's: it takes what it is told to, in the transfer syntaxes that it is told to."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO

from pydicom.filewriter import write_file_meta_info
from pynetdicom import AE, evt

from tests.peers import free_port


@dataclass
class StoragePeer:
    """A running SCP and the Part 10 files that it was sent."""

    port: int
    status: int = 0x0000
    # accepted in negotiation, then refused object by object
    refused_syntaxes: tuple[str, ...] = ()
    refusal: int = 0xC000
    refused_classes: tuple[str, ...] = ()
    received: list[bytes] = field(default_factory=list)

    def store(self, event):
        if event.context.transfer_syntax in self.refused_syntaxes:
            return self.refusal
        if event.request.AffectedSOPClassUID in self.refused_classes:
            return 0x0122
        buffer = BytesIO()
        buffer.write(b"\0" * 128 + b"DICM")
        write_file_meta_info(buffer, event.file_meta)
        buffer.write(event.request.DataSet.getvalue())
        self.received.append(buffer.getvalue())
        return self.status


@contextmanager
def storage_peer(contexts, **settings):
    """Start an SCP for pairs of a SOP class and its transfer syntaxes; ``settings`` are fields of StoragePeer."""
    peer = StoragePeer(free_port(), **settings)
    ae = AE(ae_title="PEER")
    for SOPClassUID, syntaxes in contexts:
        ae.add_supported_context(SOPClassUID, list(syntaxes))
    server = ae.start_server(("127.0.0.1", peer.port), block=False, evt_handlers=[(evt.EVT_C_STORE, peer.store)])
    try:
        yield peer
    finally:
        server.shutdown()
