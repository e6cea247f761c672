"""A study of two patients is released, and objects are acknowledged, as a page would ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pydicom
import pytest
from pydicom import Dataset

from echo_node.codes import Reason, Structure
from echo_node.config import Config
from echo_node.decisions import DecisionKind, Person
from echo_node.errors import DecisionError, StoreError
from echo_node.records import StudyState
from echo_node.reports import read_source
from echo_node.services import analyse
from echo_node.services.aside import acknowledge, release
from echo_node.services.decisions import accept
from echo_node.services.process import utc_now
from echo_node.services.receive import keep
from echo_node.store import ClosePolicy, Outcome, Store
from tests.unit.reports.builders import ENGINE, STUDY, clip, header, referred
from tests.unit.services.test_receive import arrived
from tests.unit.store.builders import sqlite_store

PACS = {"name": "PACS", "ae_title": "PACS", "host": "192.0.2.1", "port": 104}
CONFIG = Config.model_validate({"deliver": {"destinations": [PACS]}})
AT_ONCE = ClosePolicy(quiet_seconds=0, hard_cap_seconds=3600)
ANNA = {"PatientID": "CANARY-A", "PatientName": "A^Anna", "PatientBirthDate": "19500102"}
BERTA = {"PatientID": "CANARY-B", "PatientName": "B^Berta", "PatientBirthDate": "19610304"}


class House:
    """A store that receives, and an analyser that outlines a ventricle on whatever comes."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def receive(self, number: int, **patient: str | None) -> str:
        ds = header(f"1.2.3.{number}", **patient)
        buffer = BytesIO()
        pydicom.dcmwrite(buffer, ds, implicit_vr=False, little_endian=True)
        keep(self.store, arrived(self.store, buffer.getvalue(), ds.SOPInstanceUID))
        return str(ds.SOPInstanceUID)

    def work(self) -> None:
        """Analyse, close and report whatever can be."""
        engine = SimpleNamespace(identity=ENGINE, finds_walls=False)
        for _ in (1, 2):
            while analyse.analyse_once(self.store, CONFIG, engine):  # type: ignore[arg-type]
                pass
            self.store.close_studies(AT_ONCE)

    def release(self, PatientID: str, born: str | None = None, **said: str):
        words = {"by": "Rosa Reader", "reason": "asked the ward", **said}
        return release(self.store, STUDY, PatientID=PatientID, PatientBirthDate=born, **words)

    def sent(self) -> dict[str, list[Dataset]]:
        """What is due for the archive, which takes it, by modality."""
        found: dict[str, list[Dataset]] = {}
        for delivery in self.store.outbox.lease("PACS", "d", 60, 99):
            ds = pydicom.dcmread(delivery.path)
            found.setdefault(ds.Modality, []).append(ds)
            self.store.outbox.mark_sent(delivery)
        return found

    def state(self) -> StudyState:
        return self.store.study(STUDY).state


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    outline = (Structure.LV_CAVITY,)
    monkeypatch.setattr(analyse, "analyse_clip", lambda path, **_: clip(read_source(path), structures=outline))
    with sqlite_store(tmp_path, now=utc_now) as store:
        yield House(store)


def named(objects: dict[str, list[Dataset]]) -> set[tuple[str, str, str]]:
    return {
        (str(ds.PatientID), str(ds.PatientName), str(ds.PatientBirthDate))
        for of_kind in objects.values()
        for ds in of_kind
    }


def clips_of(report: Dataset) -> set[str]:
    """What a report refers to, but for segmentations."""
    return {u for u in referred(report.CurrentRequestedProcedureEvidenceSequence) if u.startswith("1.2.3.")}


def test_a_report_that_went_out_is_superseded_by_that_of_the_chosen_patient_s_clips(house: House) -> None:
    first = house.receive(1, **ANNA)
    house.work()
    (before,) = house.sent()["SR"]
    house.receive(2, **BERTA)
    late = house.receive(3, **ANNA)
    assert house.state() is StudyState.QUARANTINED
    made = house.release("CANARY-A")
    assert (made.chosen, len(made.others)) == ({first, late}, 1)
    house.work()
    sent = house.sent()
    assert named(sent) == {tuple(ANNA[k] for k in ("PatientID", "PatientName", "PatientBirthDate"))}
    (report,), segs = sent["SR"], sent["SEG"]
    assert clips_of(report) == {first, late}
    (replaced,) = report.PredecessorDocumentsSequence
    named_before = replaced.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert named_before == before.SOPInstanceUID
    assert len(segs) == 1  # the archive has that of the first clip
    assert house.state() is StudyState.REPORTED


def test_what_was_not_sent_yet_goes_as_the_chosen_patient_s_or_not_at_all(house: House) -> None:
    house.receive(1, **ANNA)
    house.work()
    second = house.receive(2, **BERTA)
    house.work()
    assert house.sent() == {}
    house.release("CANARY-B")
    house.work()
    sent = house.sent()
    assert named(sent) == {tuple(BERTA[k] for k in ("PatientID", "PatientName", "PatientBirthDate"))}
    assert [clips_of(report) for report in sent["SR"]] == [{second}]
    assert len(sent["SEG"]) == 1


def test_the_segmentation_of_the_chosen_clip_that_waited_goes_with_the_new_report(house: House) -> None:
    house.receive(1, **ANNA)
    house.work()
    house.receive(2, **BERTA)
    house.release("CANARY-A")
    house.work()
    sent = house.sent()
    assert {kind: len(objects) for kind, objects in sent.items()} == {"SR": 1, "SEG": 1}
    segmentation = sent["SEG"][0].SOPInstanceUID
    evidence = sent["SR"][0].CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert segmentation in {i.ReferencedSOPInstanceUID for s in evidence for i in s.ReferencedSOPSequence}


@pytest.mark.parametrize(("patient", "stands"), [("CANARY-A", True), ("CANARY-B", False)])
def test_an_acceptance_of_another_patient_s_results_does_not_stand(
    house: House, patient: str, stands: bool
) -> None:
    house.receive(1, **ANNA)
    house.work()
    by = Person(name="Reader^Rosa", organization="Heart Clinic")
    assert accept(house.store, CONFIG, STUDY, by=by, at=utc_now()).kind is DecisionKind.ACCEPTED
    house.sent()
    house.receive(2, **BERTA)
    house.release(patient)
    house.work()
    (report,) = house.sent()["SR"]
    assert ("it stands until a person accepts" in report.to_json()) is stands


def test_two_birth_dates_under_one_id_are_told_apart_by_the_headers(house: House) -> None:
    first = house.receive(1, **ANNA)
    house.receive(2, **{**ANNA, "PatientBirthDate": "19500103"})
    house.receive(3, **{**ANNA, "PatientBirthDate": None})  # whose, nobody knows
    with pytest.raises(DecisionError, match="state 2 birth dates"):
        house.release("CANARY-A")
    with pytest.raises(DecisionError, match="no object of this PatientID states this birth date"):
        house.release("CANARY-A", "19500104")
    with pytest.raises(DecisionError, match="no date"):
        house.release("CANARY-A", "2 January 1950")
    made = house.release("CANARY-A", "19500102")
    assert (made.PatientBirthDate, made.chosen, len(made.others)) == ("19500102", {first}, 2)
    assert house.state() is StudyState.RECEIVING
    house.receive(4, **{**ANNA, "PatientBirthDate": "19500103"})
    assert house.state() is StudyState.QUARANTINED


def test_an_object_without_a_birth_date_is_its_patient_s_where_there_is_one(house: House) -> None:
    both = {house.receive(1, **{**ANNA, "PatientBirthDate": None}), house.receive(2, **ANNA)}
    house.receive(3, **BERTA)
    made = house.release("CANARY-A ")
    assert (made.PatientBirthDate, made.chosen) == ("19500102", both)


def test_refusals_name_no_patient_and_change_nothing(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.receive(1, **ANNA)
    house.receive(2, **BERTA)
    for patient, said, why in (
        ("CANARY-C", {}, "none of its 2 objects is of the PatientID that was given"),
        ("CANARY-A", {"by": " \t"}, "nobody is named"),
        ("CANARY-A", {"reason": "\x07 "}, "no reason"),
    ):
        with pytest.raises(DecisionError, match=why) as refusal:
            house.release(patient, **said)
        assert "CANARY" not in str(refusal.value)
    assert house.state() is StudyState.QUARANTINED
    assert {o.reason for o in house.store.instance_outcomes()} == {Reason.MIXED_PATIENTS}
    house.release("CANARY-A")
    assert "CANARY" not in caplog.text
    with pytest.raises(DecisionError, match="not in quarantine"):
        house.release("CANARY-A")


def test_a_file_that_is_gone_is_named(house: House) -> None:
    uid = house.receive(1, **ANNA)
    house.receive(2, **BERTA)
    house.store.instance(uid).path.unlink()
    with pytest.raises(StoreError, match="cannot be read: No such file"):
        house.release("CANARY-A")
    assert house.state() is StudyState.QUARANTINED


def test_who_acknowledges_is_named_on_one_line(house: House) -> None:
    keep(house.store, arrived(house.store, b""))
    with pytest.raises(DecisionError, match="nobody is named"):
        acknowledge(house.store, None, by="\n")
    (seen,) = acknowledge(house.store, None, by="Rosa\nReader\x1b[2J", reason=" the  cart\n was new ")
    assert seen.outcome is Outcome.SET_ASIDE
    assert seen.acknowledged is not None
    assert (seen.acknowledged.by, seen.acknowledged.reason) == ("Rosa Reader[2J", "the cart was new")
