"""A person accepts and rejects on the command line, the archive gets what follows; a cart's numbers come along."""

import csv
from io import BytesIO

import pydicom
import pytest

from echo_node.records import StudyState
from echo_node.services.simulate import send_exam
from echo_node.store import Outcome
from tests.acceptance.conftest import wait_for
from tests.acceptance.test_node import _destination, _objects, peer_of, send_with_pynetdicom
from tests.peers import dciodvfy_errors, orthanc
from tests.unit.reports.cart_reports import IVSD, LVIDD, cart_report, findings, num

KINDS = ["sr", "sr_tid5200", "seg", "pdf"]
WHO = ("--by", "Reader^Rosa", "--organization", "Heart Clinic")


def _of(archive) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(BytesIO(content), stop_before_pixels=True) for content in _objects(archive)]


def _is_reported(node, study) -> bool:
    with node.store() as store:
        return store.study(study).state is StudyState.REPORTED


@pytest.mark.peer("Orthanc")
def test_accepted_then_taken_back_and_compared_with_the_cart(make_node, two_views, tmp_path):
    study = two_views[0].ds.StudyInstanceUID
    cart = cart_report(
        findings(num(IVSD, 1.0, "cm"), num(LVIDD, 4.8, "cm")),
        StudyInstanceUID=study,
        **{k: two_views[0].ds.get(k) for k in ("PatientID", "PatientName", "PatientBirthDate")},
    )
    path = tmp_path / "cart.dcm"
    pydicom.dcmwrite(path, cart, enforce_file_format=True)
    with orthanc(tmp_path) as archive:
        node = make_node(destinations=[{**_destination(archive), "objects": KINDS}])
        send_with_pynetdicom(node, [path])  # before any clip
        assert not any(send_exam(two_views, to=peer_of(node), calling_ae="CART"))
        before = wait_for(lambda: [ds for ds in _of(archive) if "VerificationFlag" in ds], seconds=900)
        wait_for(lambda: _is_reported(node, study), seconds=300)
        assert {ds.VerificationFlag for ds in before} == {"UNVERIFIED"}
        assert node.outcomes()[cart.SOPInstanceUID].outcome is Outcome.READ

        for _ in range(2):  # the second time changes nothing
            accepted = node.run("accept", study, *WHO, "--id", "4711^99HC^Cardiologist", "--reason", "as by eye")
            assert accepted.returncode == 0, accepted.stderr
            assert "accepted at" in accepted.stdout
        verified = wait_for(lambda: _verified(archive, 3), seconds=300)
        assert {ds.Modality for ds in verified} == {"SR", "DOC"}
        for n, ds in enumerate(ds for ds in verified if ds.Modality == "SR"):
            ds.save_as(tmp_path / f"{n}.dcm")
            assert dciodvfy_errors(tmp_path / f"{n}.dcm") == []
            assert ds.VerifyingObserverSequence[0].VerifyingObserverName == "Reader^Rosa"

        other = node.run("reject", study, "--by", "Reader^Emil", "--organization", "Heart Clinic")
        assert other.returncode == 1
        assert "accepted by Reader^Rosa" in other.stderr
        taken_back = node.run("reject", study, *WHO, "--reason", "the wrong patient's")
        assert taken_back.returncode == 0, taken_back.stderr
        (note,) = wait_for(lambda: [ds for ds in _of(archive) if ds.Modality == "KO"], seconds=300)
        items = [item for item in note.ContentSequence if "ReferencedSOPSequence" in item]
        named = {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in items}
        assert named == {ds.SOPInstanceUID for ds in _of(archive)} - {note.SOPInstanceUID}
        assert len(node.run("decisions", "--study", study).stdout.splitlines()) == 2

        _check_agreement(node, tmp_path)
        assert "Rosa" not in node.log


def _verified(archive, count):
    found = [ds for ds in _of(archive) if ds.get("VerificationFlag") == "VERIFIED"]
    return found if len(found) == count else []


def _check_agreement(node, folder) -> None:
    out = folder / "pairs.csv"
    said = node.run("agreement", "--csv", str(out))
    assert said.returncode == 0, said.stderr
    with out.open(encoding="utf-8") as file:
        pairs = {row["quantity"]: row for row in csv.DictReader(file)}
    assert {(p["cart"], p["manufacturer"]) for p in pairs.values()} == {
        ("10.0000", "Acme Ultrasound"),
        ("48.0000", "Acme Ultrasound"),
    }
    assert all(quantity in said.stdout for quantity in ("IVSD", "LVIDD"))
