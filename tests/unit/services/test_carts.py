"""What the analyser does with a cart's own report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import SimplifiedAdultEchoSRStorage

from echo_node.codes import Quantity, Reason
from echo_node.config import Config
from echo_node.dicom.scp import ReceivedObject
from echo_node.records import StudyState
from echo_node.services import analyse
from echo_node.services.process import utc_now
from echo_node.services.receive import keep
from echo_node.store import InstanceOutcome, Outcome, Store
from tests.unit.reports.cart_reports import EF, IVSD, cart_report, findings, num
from tests.unit.store.builders import sqlite_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with sqlite_store(tmp_path, now=utc_now) as store:
        yield store


def receive(store: Store, ds: Dataset) -> InstanceOutcome:
    """The report comes by C-STORE, and the analyser takes it up; returns what became of it."""
    path = store.incoming / ds.SOPInstanceUID
    pydicom.dcmwrite(path, ds, enforce_file_format=True)
    received = ReceivedObject(
        SOPClassUID=ds.SOPClassUID,
        SOPInstanceUID=ds.SOPInstanceUID,
        TransferSyntaxUID=ds.file_meta.TransferSyntaxUID,
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        size=path.stat().st_size,
        calling_ae="CART",
        peer_host="127.0.0.1",
    )
    keep(store, received)
    assert analyse.analyse_once(store, Config(), None)  # type: ignore[arg-type]  # a cart's report needs no engine
    return next(o for o in store.instance_outcomes() if o.SOPInstanceUID == ds.SOPInstanceUID)


def test_its_numbers_are_kept_and_nothing_else_happens(store: Store) -> None:
    ds = cart_report(findings(num(EF, 62, "%"), num(IVSD, 1.1, "cm")))
    outcome = receive(store, ds)
    assert (outcome.outcome, outcome.reason) == (Outcome.READ, None)
    (study,) = store.carts.compared()
    assert {v.quantity: v.value for v in study.carts[0].values} == {Quantity.LVEF: 62.0, Quantity.IVSD: 11.0}
    assert (store.study(ds.StudyInstanceUID).state, study.own) == (StudyState.RECEIVING, ())
    assert store.deliveries(ds.StudyInstanceUID) == []


def test_a_simplified_report_and_one_without_a_known_number_are_no_errors(store: Store) -> None:
    simplified = cart_report(findings(num(EF, 62, "%")), SOPClassUID=SimplifiedAdultEchoSRStorage)
    doppler = cart_report(findings(num(("20352-1", "LN", "Mean velocity"), 1.1, "m/s")))
    for ds in (simplified, doppler):
        assert receive(store, ds).outcome is Outcome.READ
    assert [len(report.values) for study in store.carts.compared() for report in study.carts] == [1, 0]


def test_another_patient_s_report_is_refused_and_compared_with_nothing(store: Store) -> None:
    receive(store, cart_report(findings(num(EF, 62, "%"))))
    outcome = receive(store, cart_report(findings(num(EF, 20, "%")), PatientID="OTHER"))
    assert (outcome.outcome, outcome.reason) == (Outcome.KEPT, Reason.OTHER_PATIENT)
    assert [r.values[0].value for study in store.carts.compared() for r in study.carts] == [62.0]
