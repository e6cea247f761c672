"""What becomes of a received object that says nothing of itself."""

from io import BytesIO

import pydicom
import pytest

from echo_node.codes import ObjectKind, Reason
from echo_node.dicom.incoming import IncomingObject
from echo_node.errors import StoreError
from echo_node.records import Job, JobKind, Report, StudyState
from echo_node.services import receive
from echo_node.services.process import utc_now
from echo_node.store import ClosePolicy, Outcome, Store
from tests.unit.store.builders import sqlite_store

US_MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.3.1"


@pytest.fixture
def store(tmp_path):
    with sqlite_store(tmp_path, now=utc_now) as store:
        yield store


def arrived(store: Store, dataset: bytes, uid: str = "1.2.3"):
    """An object with these bytes for a dataset, as the data path leaves it."""
    incoming = IncomingObject(
        store.incoming,
        SOPClassUID=US_MULTI_FRAME,
        SOPInstanceUID=uid,
        TransferSyntaxUID="1.2.840.10008.1.2.1",
        calling_ae="CART",
        peer_host="127.0.0.1",
        limit=1 << 24,
    )
    incoming.write(memoryview(dataset))
    return incoming.finish()


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        (b"", Reason.MISSING_UID),
        (b"This is no DICOM, whatever the command said." * 20, Reason.NOT_DICOM),
        (b"This is no DICOM, whatever the command said." * 200_000, Reason.NOT_DICOM),
        (b"\xff" * 4000, Reason.NOT_DICOM),
        (b"\x10\x00\x20\x00LO\x02\x007 ", Reason.MISSING_UID),  # a data set without its first groups
        (b"\x08\x00\x18\x00UI\x40\x001.2", Reason.TRUNCATED),
    ],
)
def test_what_is_no_dicom_is_set_aside_with_its_reason(store, caplog, dataset, reason):
    receive.keep(store, arrived(store, dataset))
    (row,) = store.instance_outcomes()
    assert (row.outcome, row.reason) == (Outcome.SET_ASIDE, reason)
    assert (store.incoming.parents[1] / row.detail).read_bytes().endswith(dataset)
    assert "1.2.3 is set aside" in caplog.text


def of_patient(uid: str, **patient: str) -> bytes:
    ds = pydicom.Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = US_MULTI_FRAME, uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2", "1.2.1"
    for keyword, value in patient.items():
        setattr(ds, keyword, value)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, ds, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def leased(store: Store) -> Job:
    job = store.lease(tuple(JobKind), "w", 60)
    assert job is not None
    return job


@pytest.mark.parametrize(
    ("other", "state"),
    [
        ({"PatientID": "7", "PatientBirthDate": "19600102", "PatientName": "A^B"}, StudyState.QUARANTINED),
        ({"PatientID": "8", "PatientBirthDate": "19500102", "PatientName": "A^B"}, StudyState.QUARANTINED),
        ({"PatientID": "7", "PatientBirthDate": "19500102", "PatientName": "C^D"}, StudyState.RECEIVING),
        ({"PatientID": "7", "PatientBirthDate": "", "PatientName": "A^B"}, StudyState.RECEIVING),
        ({"PatientID": "7", "PatientName": "A^B"}, StudyState.RECEIVING),
    ],
)
def test_id_and_birth_date_say_who_a_patient_is_and_the_name_does_not(store, other, state):
    first = {"PatientID": "7", "PatientBirthDate": "19500102", "PatientName": "A^B"}
    receive.keep(store, arrived(store, of_patient("1.2.3", **first), "1.2.3"))
    receive.keep(store, arrived(store, of_patient("1.2.4", **other), "1.2.4"))
    assert len(store.instances("1.2")) == 2
    assert store.study("1.2").state is state


def test_an_overlay_that_an_archive_sends_back_is_no_clip(store):
    """Else each report's overlays would bring about the next report."""
    receive.keep(store, arrived(store, of_patient("1.2.3", PatientID="7"), "1.2.3"))
    store.fail(leased(store), Reason.ANALYSIS_FAILED, "x", retry_at=None)
    store.close_studies(ClosePolicy(quiet_seconds=0, hard_cap_seconds=3600))
    made = Report(kind=ObjectKind.OVERLAY, SOPClassUID=US_MULTI_FRAME, SOPInstanceUID="1.2.4", content=b"x")
    store.complete_study(leased(store), [made], [])
    receive.keep(store, arrived(store, of_patient("1.2.4", PatientID="7"), "1.2.4"))
    assert store.lease(tuple(JobKind), "w", 60) is None
    assert store.study("1.2").state is StudyState.REPORTED
    (row,) = (row for row in store.instance_outcomes("1.2") if row.SOPInstanceUID == "1.2.4")
    assert (row.outcome, row.reason) == (Outcome.KEPT, Reason.OWN_REPORT)


def test_an_association_s_end_that_cannot_be_noted_is_only_logged(store, caplog, monkeypatch):
    def refuse(*_):
        raise StoreError("the database refuses")

    monkeypatch.setattr(store, "note_association_end", refuse)
    receive.note_association_end(store, "CART", frozenset({"1.2"}))
    assert "the end of an association of 'CART' is not noted" in caplog.text
