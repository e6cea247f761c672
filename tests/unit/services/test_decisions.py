"""Acceptance and rejection as a page would ask for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset

from echo_node.codes import BY_PERSONS, ObjectKind, Quantity, Reason
from echo_node.config import Config, Deliver, Destination
from echo_node.decisions import DecisionKind, Person
from echo_node.edits import Drawn, Shape
from echo_node.errors import CorrectionError, DecisionError
from echo_node.records import JobKind, StudyState
from echo_node.reports import DOCUMENTS, build_reports, read_corrections, read_source
from echo_node.reports.retired import every_item
from echo_node.services.addresses import addressed, wanted
from echo_node.services.analyse import _decided_before
from echo_node.services.decisions import accept, reject
from echo_node.services.decisions import edit as edit_study
from echo_node.store import Outcome, Store
from tests.unit.reports.builders import analysis, clip, edit, edited, referred, source
from tests.unit.store.builders import POLICY, Clock, measured, received, sqlite_store

ROSA = Person(name="Reader^Rosa", organization="Heart Clinic")
EMIL = Person(name="Reader^Emil", organization="Heart Clinic")
AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def destination(name: str, *kinds: ObjectKind) -> Destination:
    return Destination(name=name, ae_title=name, host="h", port=104, objects=kinds)


CONFIG = Config(
    deliver=Deliver(
        destinations=(
            destination("PACS", ObjectKind.SR, ObjectKind.SEG),
            destination("CVIS", ObjectKind.SR_TID5200, ObjectKind.SR_TID5300),
            destination("PACS2", ObjectKind.SR, ObjectKind.SEG),
        )
    )
)


class House:
    """A store with one study, and how it is reported again."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self.clock, self.of = store, clock, source()
        self.revision = 0
        self.report()

    @property
    def study(self) -> str:
        return self.of.StudyInstanceUID

    def report(self, config: Config = CONFIG) -> None:
        """A clip comes, is analysed, and the study is closed and reported."""
        self.revision += 1
        uid = f"1.2.826.1.{self.revision}"
        self.store.keep(received(self.store, uid, StudyInstanceUID=self.study))
        job = self.store.lease((JobKind.CLIP,), "w", 60)
        assert job is not None
        self.store.complete_clip(job, replace(measured(uid), StudyInstanceUID=self.study))
        self.clock.pass_(121)
        self.store.close_studies(POLICY)
        study = self.store.lease((JobKind.STUDY,), "w", 60)
        assert study is not None
        found = analysis(edited(self.of, edit())) if self.revision == 1 else analysis(clip(self.of))
        known = _decided_before(replace(found, revision=self.revision), self.store)
        reports = build_reports(
            known,
            {self.of.SOPInstanceUID: self.of},
            kinds=wanted(config),
            earlier=self.store.outbox.reports_before(self.study, self.revision),
        )
        self.store.complete_study(study, reports, addressed(reports, config))

    def sent(self, name: str) -> list[Dataset]:
        """What a destination is sent, in the order of its queue."""
        return [pydicom.dcmread(d.path) for d in self.store.deliveries(self.study) if d.destination == name]

    def deliver(self, *names: str) -> None:
        """Destinations take what is queued for them."""
        for name in names or ("PACS", "CVIS", "PACS2"):
            for delivery in self.store.outbox.lease(name, "d", 60, 99):
                self.store.outbox.mark_sent(delivery)

    def accept(self, by: Person = ROSA, **changes):
        self.clock.pass_(1)
        return accept(self.store, CONFIG, self.study, by=by, at=AT, **changes)

    def reject(self, by: Person = ROSA, **changes):
        self.clock.pass_(1)
        return reject(self.store, CONFIG, self.study, by=by, at=AT, **changes)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    clock = Clock()
    with sqlite_store(tmp_path, now=clock) as store:
        yield House(store, clock)


def rejected_by(note: Dataset) -> set[str]:
    return {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in note.ContentSequence
        if "ReferencedSOPSequence" in item
    }


def test_every_destination_gets_the_accepted_form_of_what_it_had(house: House) -> None:
    made = house.accept(reason="fits")
    assert (made.kind, made.revision, made.by, made.reason) == (DecisionKind.ACCEPTED, 1, ROSA, "fits")
    assert len(made.decided) == len(made.made) == 4  # the older form of one waits for a refusal
    for name, documents in {"PACS": 1, "CVIS": 2, "PACS2": 1}.items():
        accepted = [ds for ds in house.sent(name) if ds.get("VerificationFlag") == "VERIFIED"]
        assert len(accepted) == documents
        assert {ds.SOPInstanceUID for ds in accepted} <= set(made.made)
    assert house.store.study(house.study).state is StudyState.REPORTED


def test_accepting_twice_sends_once(house: House) -> None:
    first = house.accept()
    queued = len(house.store.deliveries(house.study))
    assert house.accept() == first
    assert len(house.store.deliveries(house.study)) == queued
    with pytest.raises(DecisionError, match="accepted by"):
        house.accept(EMIL)


def test_an_edit_that_is_accepted_says_both(house: House) -> None:
    house.accept()
    (report,) = (ds for ds in house.sent("PACS") if ds.get("VerificationFlag") == "VERIFIED")
    drawn = {str(item.get("PersonName")) for item in every_item(report)}
    assert edit().observer in drawn
    assert report.VerifyingObserverSequence[0].VerifyingObserverName == ROSA.name


def test_a_late_clip_makes_a_preliminary_document_that_names_the_accepted(house: House) -> None:
    made = house.accept()
    house.report()
    for name in ("PACS", "CVIS"):
        *_, last = (ds for ds in house.sent(name) if "VerificationFlag" in ds)
        assert last.VerificationFlag == "UNVERIFIED"
        (study,) = last.PredecessorDocumentsSequence
        before = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        assert before in made.made
    again = house.accept(EMIL)
    assert (again.revision, again.by) == (2, EMIL)


def test_a_rejection_tells_each_destination_what_it_had(house: House) -> None:
    had = {name: {ds.SOPInstanceUID for ds in house.sent(name)} for name in ("PACS", "CVIS", "PACS2")}
    house.deliver()
    made = house.reject(reason="wrong\npatient position")
    assert made.reason == "wrong patient position"
    assert set(made.decided) >= set().union(*had.values())
    notes = {}
    for name, uids in had.items():
        *_, note = house.sent(name)
        assert (note.Modality, rejected_by(note)) == ("KO", uids)
        notes[name] = note.SOPInstanceUID
    assert notes["PACS"] == notes["PACS2"]  # the same objects, the same note
    assert set(notes.values()) == set(made.made)
    assert len(made.made) == 2
    assert house.reject(reason="another") == made
    with pytest.raises(DecisionError, match="rejected by"):
        house.accept()


def test_what_was_not_sent_is_withdrawn_and_what_may_have_come_is_named(house: House) -> None:
    house.deliver("CVIS")
    for delivery in house.store.outbox.lease("PACS", "d", 60, 1):
        house.store.outbox.mark_failed(delivery, "no answer", next_attempt_at=house.clock())
    tried = {
        d.SOPInstanceUID for d in house.store.deliveries(house.study) if d.destination == "PACS" and d.attempts
    }
    assert len(tried) == 1
    house.reject()
    waiting = [d for name in ("PACS", "PACS2") for d in house.store.outbox.lease(name, "d", 60, 99)]
    assert [(d.destination, pydicom.dcmread(d.path).Modality) for d in waiting] == [("PACS", "KO")]
    assert rejected_by(house.sent("PACS")[-1]) == tried
    assert house.sent("CVIS")[-1].Modality == "KO"


def test_what_was_accepted_before_outlives_the_rejection_of_what_followed(house: House) -> None:
    accepted = house.accept()
    kept = {o.SOPInstanceUID for o in house.store.decisions.results(house.study).objects}
    house.report()
    house.deliver()
    made = house.reject(EMIL)
    assert made.revision == 2
    assert not kept & set(made.decided)
    house.report()
    (sent,) = (ds for ds in house.sent("PACS")[-2:] if ds.Modality == "SR")
    assert {*referred(sent.PredecessorDocumentsSequence)} & set(accepted.made)


def test_who_accepted_takes_it_back_with_all_that_went_out(house: House) -> None:
    accepted = house.accept()
    made = house.reject()
    assert set(accepted.made) | set(accepted.decided) <= set(made.decided)
    house.report()
    report = next(ds for ds in reversed(house.sent("PACS")) if ds.Modality == "SR")
    assert "earlier version" not in str(report)


def test_a_second_rejection_names_only_what_is_new(house: House) -> None:
    first = house.reject()
    house.report()
    second = house.reject()
    assert second.decided
    assert not set(first.decided) & set(second.decided)
    assert not set(first.made) & set(second.decided)


def test_what_was_looked_at_must_be_the_latest(house: House) -> None:
    house.report()
    with pytest.raises(DecisionError, match="revision 2, not 1"):
        house.accept(revision=1)
    assert house.accept(revision=2).revision == 2


def test_a_destination_that_is_gone_is_told_nothing(house: House) -> None:
    house.deliver()
    first, *_ = CONFIG.deliver.destinations
    config = Config(deliver=Deliver(destinations=(first,)))
    reject(house.store, config, house.study, by=ROSA, at=AT + timedelta(hours=1))
    assert [ds.Modality for ds in house.sent("PACS")].count("KO") == 1
    assert [ds.Modality for ds in house.sent("CVIS")].count("KO") == 0


def test_without_a_document_there_is_nothing_to_accept(tmp_path: Path) -> None:
    clock = Clock()
    store = Store(f"sqlite:///{tmp_path / 'node.db'}", tmp_path, now=clock)
    store.migrate()
    house = House(store, clock)
    house.report(Config(deliver=Deliver(destinations=(destination("PACS", ObjectKind.SEG),))))
    with pytest.raises(DecisionError, match="no document"):
        house.accept()
    store.dispose()


def test_documents_are_the_kinds_that_a_person_can_stand_for() -> None:
    of_clips = {ObjectKind.SEG, ObjectKind.SEG_LABELMAP, ObjectKind.OVERLAY}
    assert set(ObjectKind) - of_clips - {*BY_PERSONS} == DOCUMENTS


def drawing(uid: str, **changes) -> Drawn:
    made = Drawn(
        SOPInstanceUID=uid,
        frame_number=2,
        shape=Shape.LINE,
        points=((5.0, 6.0), (20.0, 9.0)),
        subject=Quantity.IVSD,
    )
    return replace(made, **changes)


@pytest.fixture
def real(house: House, data: Path) -> Dataset:
    """A real clip in the house."""
    path = data / "acuson-a4c-65f-jpeg.dcm"
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    taken = received(
        house.store, ds.SOPInstanceUID, StudyInstanceUID=ds.StudyInstanceUID, content=path.read_bytes()
    )
    house.store.keep(replace(taken, PatientID=str(ds.PatientID), PatientBirthDate=""))
    return ds


def test_an_edit_is_a_report_in_the_person_s_name_that_waits_for_the_analyser(house: House, real: Dataset) -> None:
    uid = edit_study(
        house.store, real.StudyInstanceUID, [drawing(real.SOPInstanceUID)], by=ROSA, at=AT, reason="dim"
    )
    kept = pydicom.dcmread(house.store.instance(uid).path)
    (found,) = read_corrections(
        kept, {real.SOPInstanceUID: read_source(house.store.instance(real.SOPInstanceUID).path)}
    )
    assert (found.edit.observer, found.edit.made_at, found.edit.reason) == (ROSA.name, AT, "dim")
    kinds = [job.kind for job in iter(lambda: house.store.lease((JobKind.CLIP,), "w", 60), None)]
    assert kinds == [JobKind.CLIP]
    (outcome,) = (o for o in house.store.instance_outcomes() if o.SOPInstanceUID == uid)
    assert outcome.outcome is Outcome.WAITING
    assert house.store.study(real.StudyInstanceUID).state is StudyState.RECEIVING


def test_what_cannot_be_an_edit_is_refused_and_keeps_nothing(house: House, real: Dataset) -> None:
    study, uid = real.StudyInstanceUID, real.SOPInstanceUID
    before = len(house.store.instance_outcomes())
    refused = {
        Reason.UNKNOWN_CLIP: drawing("1.9"),
        Reason.OUTSIDE_IMAGE: drawing(uid, frame_number=66),
    }
    for reason, given in refused.items():
        with pytest.raises(CorrectionError) as caught:
            edit_study(house.store, study, [given], by=ROSA, at=AT)
        assert caught.value.reason is reason
    with pytest.raises(DecisionError, match="nothing is drawn"):
        edit_study(house.store, study, [], by=ROSA, at=AT)
    with pytest.raises(DecisionError):
        edit_study(house.store, study, [drawing(uid)], by=replace(ROSA, name=""), at=AT)
    assert len(house.store.instance_outcomes()) == before
