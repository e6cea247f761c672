"""What becomes of a received object that says nothing of itself."""

import pytest

from echo_node.codes import Reason
from echo_node.dicom.incoming import IncomingObject
from echo_node.errors import StoreError
from echo_node.services import receive
from echo_node.services.process import utc_now
from echo_node.store import Outcome, Store

US_MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.3.1"


@pytest.fixture
def store(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'node.db'}", tmp_path, now=utc_now)
    store.migrate()
    yield store
    store.dispose()


def arrived(store: Store, dataset: bytes):
    """An object with these bytes for a dataset, as the data path leaves it."""
    incoming = IncomingObject(
        store.incoming,
        SOPClassUID=US_MULTI_FRAME,
        SOPInstanceUID="1.2.3",
        TransferSyntaxUID="1.2.840.10008.1.2.1",
        calling_ae="CART",
        peer_host="127.0.0.1",
        limit=1 << 20,
    )
    incoming.write(memoryview(dataset))
    return incoming.finish()


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        (b"", Reason.MISSING_UID),
        (b"This is no DICOM, whatever the command said." * 20, Reason.TRUNCATED),
        (b"\xff" * 4000, Reason.TRUNCATED),
    ],
)
def test_what_is_no_dicom_is_set_aside_with_its_reason(store, caplog, dataset, reason):
    receive.keep(store, arrived(store, dataset))
    (row,) = store.instance_outcomes()
    assert (row.outcome, row.reason) == (Outcome.SET_ASIDE, reason)
    assert (store.incoming.parents[1] / row.detail).read_bytes().endswith(dataset)
    assert "1.2.3 is set aside" in caplog.text


def test_an_association_s_end_that_cannot_be_noted_is_only_logged(store, caplog, monkeypatch):
    def refuse(*_):
        raise StoreError("the database refuses")

    monkeypatch.setattr(store, "note_association_end", refuse)
    receive.note_association_end(store, "CART", frozenset({"1.2"}))
    assert "the end of an association of 'CART' is not noted" in caplog.text
