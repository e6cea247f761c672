"""An edit on the node, from the drawing to what archives are sent."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset

import echo_node
from echo_node.codes import ObjectKind, Structure
from echo_node.config import Backend, Config, Deliver, Destination
from echo_node.decisions import Person
from echo_node.edits import Drawn, Shape
from echo_node.inference.engine import Engine, load_engine
from echo_node.services.analyse import analyse_once
from echo_node.services.decisions import edit, reject
from echo_node.services.process import utc_now
from echo_node.store import ClosePolicy, Store
from tests.unit.reports.builders import referred
from tests.unit.store.builders import received, sqlite_store

SHIPPED = Path(__file__).parents[2] / "engines" / "echoapex-tiny-phantom"
ROSA = Person(name="Reader^Rosa", organization="Heart Clinic")
AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
AT_ONCE = ClosePolicy(quiet_seconds=0, hard_cap_seconds=3600)
OUTLINE = ((110.0, 300.0), (110.0, 340.0), (250.0, 350.0), (260.0, 290.0))


def destination(name: str, *kinds: ObjectKind) -> Destination:
    return Destination(name=name, ae_title=name, host="h", port=104, objects=kinds)


CONFIG = Config(
    deliver=Deliver(
        destinations=(
            destination("PACS", ObjectKind.SR, ObjectKind.SEG),
            destination("PAGES", ObjectKind.PDF),
        )
    )
)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine(SHIPPED, backend=Backend.ONNXRUNTIME_CPU, threads=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with sqlite_store(tmp_path, now=utc_now) as store:
        yield store


@pytest.fixture
def work(store: Store, engine: Engine):
    """Do all that is to be done, and close what is open."""

    def do() -> None:
        for _ in range(2):
            while analyse_once(store, CONFIG, engine):
                pass
            store.close_studies(AT_ONCE)
        while analyse_once(store, CONFIG, engine):
            pass

    return do


@pytest.fixture
def real(store: Store, data: Path, work) -> Dataset:
    """A real clip that is reported."""
    path = data / "acuson-a4c-65f-jpeg.dcm"
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    taken = received(store, ds.SOPInstanceUID, StudyInstanceUID=ds.StudyInstanceUID, content=path.read_bytes())
    store.keep(replace(taken, PatientID=str(ds.PatientID), PatientBirthDate=""))
    work()
    return ds


def sent(store: Store, study: str, name: str) -> list[Dataset]:
    return [pydicom.dcmread(d.path) for d in store.deliveries(study) if d.destination == name]


def is_edit(ds: Dataset) -> bool:
    return ds.SeriesDescription == "Corrections by persons"


def test_after_an_upgrade_reports_refer_to_the_segmentations_that_archives_have(
    store: Store, real: Dataset, data: Path, work, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = real.StudyInstanceUID
    (seg,) = (ds for ds in sent(store, study, "PACS") if ds.Modality == "SEG")
    monkeypatch.setattr(echo_node, "__version__", "99.0.0")
    late = real.SOPInstanceUID[:-1] + ("1" if real.SOPInstanceUID[-1] != "1" else "2")
    content = (data / "acuson-a4c-65f-jpeg.dcm").read_bytes().replace(real.SOPInstanceUID.encode(), late.encode())
    taken = received(store, late, StudyInstanceUID=study, content=content)
    store.keep(replace(taken, PatientID=str(real.PatientID), PatientBirthDate=""))
    work()
    objects = sent(store, study, "PACS")
    report = [ds for ds in objects if ds.Modality == "SR"][-1]
    assert report.SoftwareVersions[0] == "99.0.0"
    segs = {ds.SOPInstanceUID: ds.SeriesInstanceUID for ds in objects if ds.Modality == "SEG"}
    assert len(segs) == 2
    assert segs[seg.SOPInstanceUID] == seg.SeriesInstanceUID
    named = {
        item.ReferencedSOPInstanceUID: series.SeriesInstanceUID
        for series in report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
        if item.ReferencedSOPInstanceUID in segs
    }
    assert named == segs


def test_the_report_of_an_edit_goes_with_what_rests_on_it(store: Store, real: Dataset, work) -> None:
    study = real.StudyInstanceUID
    drawing = Drawn(
        SOPInstanceUID=real.SOPInstanceUID,
        frame_number=5,
        shape=Shape.CONTOUR,
        points=OUTLINE,
        subject=Structure.LV_CAVITY,
    )
    before = len(sent(store, study, "PACS"))
    edits = [
        edit(store, study, [replace(drawing, frame_number=number)], by=ROSA, at=AT, reason="dim")
        for number in (5, 6)
    ]
    work()
    new = sent(store, study, "PACS")[before:]
    report = [ds for ds in new if ds.Modality == "SR" and not is_edit(ds)][-1]
    kept = {ds.SOPInstanceUID: ds for ds in new if is_edit(ds)}
    assert set(kept) == set(edits) <= {*referred(report.CurrentRequestedProcedureEvidenceSequence)}
    for uid, ds in kept.items():
        assert ds == pydicom.dcmread(store.instance(uid).path)
    assert {ds.Modality for ds in sent(store, study, "PAGES")} == {"DOC"}

    rejected = reject(store, CONFIG, study, by=ROSA, at=AT)
    assert not set(edits) & set(rejected.decided)
    edit(store, study, [replace(drawing, frame_number=7)], by=ROSA, at=AT)
    work()
    every = [ds.SOPInstanceUID for ds in sent(store, study, "PACS") if is_edit(ds)]
    assert len(every) == len(set(every)) == 3
