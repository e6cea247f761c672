"""A person's drawings come from the archive, and what follows from them goes back there."""

import re
import subprocess
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest

from echo_node.codes import Quantity, Reason, Structure, View
from echo_node.config import Backend
from echo_node.dicom.clips import open_clip
from echo_node.evaluation.scores import dice
from echo_node.inference.engine import load_engine
from echo_node.inference.prompts import Point, PointKind, Prompts
from echo_node.measure.drawn import fill
from echo_node.records import StudyState
from echo_node.reports import normalise, read_report
from echo_node.reports.regions import contour
from echo_node.services.simulate import send_exam
from echo_node.store import Outcome
from tests.acceptance.conftest import ENGINE, Node, wait_for
from tests.acceptance.test_node import _destination, _objects, peer_of
from tests.peers import Orthanc, dciodvfy_errors, orthanc
from tests.unit.reports.drawn import LV, OBSERVER, drawn, group, number, region

IVSD = ("18154-5", "LN", "Interventricular Septum Diastolic Thickness")


@dataclass
class House:
    """A node, its archive, and the exam that both have."""

    node: Node
    archive: Orthanc
    exam: list
    folder: Path

    @property
    def study(self) -> str:
        return self.exam[0].ds.StudyInstanceUID

    def source(self, view: View) -> pydicom.Dataset:
        return normalise(next(item.ds for item in self.exam if item.clip.view is view))

    def analysis(self, view: View):
        with self.node.store() as store:
            found = store.clip_analyses(self.study)
        uid = self.source(view).SOPInstanceUID
        return next(clip for clip in found if clip.SOPInstanceUID == uid)

    def readings(self) -> list:
        return [r for r in map(read_report, _objects(self.archive)) if r is not None]

    def objects(self) -> list[pydicom.Dataset]:
        return [pydicom.dcmread(BytesIO(content)) for content in _objects(self.archive)]

    def segmentations(self) -> list[pydicom.Dataset]:
        return [ds for ds in self.objects() if ds.Modality == "SEG"]

    def send(self, *reports: pydicom.Dataset) -> None:
        """As a PACS does that routes what a workstation saved."""
        for ds in reports:
            path = self.folder / f"{ds.SOPInstanceUID}.dcm"
            pydicom.dcmwrite(path, ds, enforce_file_format=True)
            self.send_file(path)

    def send_file(self, path: Path) -> None:
        command = [
            "/usr/bin/storescu",
            "-R",
            "-aet",
            "PACS",
            "-aec",
            "ECHONODE",
            "127.0.0.1",
            str(self.node.port),
        ]
        sent = subprocess.run([*command, path], capture_output=True, text=True, check=False)
        assert sent.returncode == 0, sent.stderr

    def ended(self, *reports: pydicom.Dataset) -> dict:
        """The outcomes of some reports, once they have one."""
        outcomes = self.node.outcomes()
        found = {ds.SOPInstanceUID: outcomes.get(ds.SOPInstanceUID) for ds in reports}
        is_open = any(o is None or o.outcome is Outcome.WAITING for o in found.values())
        return {} if is_open else found


@pytest.fixture
def house(make_node, two_views, tmp_path):
    """A study that was analysed and reported."""
    with orthanc(tmp_path) as archive:
        node = make_node(destinations=[_destination(archive)])
        house = House(node, archive, two_views, tmp_path)
        assert not any(send_exam(two_views, to=peer_of(node), calling_ae="CART"))
        wait_for(house.readings, seconds=300)
        yield house


def septum(of, *, frame=3) -> pydicom.Dataset:
    line = region("POLYLINE", [(60, 50), (60, 70)], of, frame)
    return drawn(group(number(line, IVSD)), of=of)


@pytest.mark.peer("Orthanc", "storescu")
def test_an_outline_and_a_line_come_back_in_a_superseding_report(house):
    (first,) = house.readings()
    apical, plax = house.source(View.A4C), house.source(View.PLAX)
    before = house.analysis(View.A4C)
    frame = before.curve.ed_frame
    outline = contour(np.roll(_mask_of(before, frame), 4, axis=1))
    by_hand = drawn(group(number(region("POLYLINE", outline, apical, frame)), site=LV), of=apical)
    measured = septum(plax)
    house.send(by_hand, measured)

    wanted = {by_hand.SOPInstanceUID, measured.SOPInstanceUID}
    last = wait_for(
        lambda: next((r for r in house.readings() if wanted == _named(r)), None),
        seconds=300,
    )
    edits = {m.quantity: m.edits for m in last.measurements if m.edits}
    assert {e.observer for of in edits.values() for e in of} == {OBSERVER}
    (of_septum,) = (m for m in last.measurements if m.quantity is Quantity.IVSD)
    assert of_septum.value == pytest.approx(20 * house.analysis(View.PLAX).spacing_mm[0], abs=1e-3)
    for quantity in (Quantity.LVEF, Quantity.LV_EDV, Quantity.LV_ESV):
        assert [e.SOPInstanceUID for e in edits[quantity]] == [by_hand.SOPInstanceUID]

    _check_superseded(house, first, last)
    _check_segmentation(house, apical, frame, outline)
    outcomes = house.node.outcomes()
    assert {outcomes[uid].outcome for uid in wanted} == {Outcome.APPLIED}
    assert OBSERVER.split("^")[0] not in house.node.log


@pytest.mark.peer("Orthanc", "storescu")
def test_a_box_and_a_point_prompt_the_engine_and_come_back_as_a_segmentation(house):
    """The archive gets, pixel for pixel, what the engine outlines in that box and without that point."""
    apical, before = house.source(View.A4C), house.analysis(View.A4C)
    frame = before.curve.ed_frame
    rows, cols = np.nonzero(_mask_of(before, frame))
    top, bottom, left, right = (float(v) for v in (rows.min(), rows.max() - 20, cols.min() + 10, cols.max()))
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]) + 0.5
    box = region("POLYLINE", corners, apical, frame)
    point = region("POINT", [(left + 0.5, bottom + 0.5)], apical, frame)
    drawing = drawn(
        group(number(box), site=LV, tool="Cornerstone3DTools@^0.1.0:RectangleROI"),
        group(number(point), label="LV background", tool="Cornerstone3DTools@^0.1.0:Probe"),
        of=apical,
    )
    house.send(drawing)
    uid = drawing.SOPInstanceUID
    last = wait_for(lambda: next((r for r in house.readings() if {uid} == _named(r)), None), seconds=300)
    assert {e.observer for m in last.measurements for e in m.edits} == {OBSERVER}

    found = [ds for ds in house.segmentations() if _source_of(ds) == apical.SOPInstanceUID]
    (seg,) = (ds for ds in found if "SourceInstanceSequence" in ds)
    assert [item.ReferencedSOPInstanceUID for item in seg.SourceInstanceSequence] == [uid]
    assert seg.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    asked = Prompts.box(top=top, left=left, bottom=bottom, right=right).points
    prompts = Prompts(points=(*asked, Point(bottom, left, PointKind.BACKGROUND)))
    expected = _outlined(house, apical, frame, prompts)
    assert dice(expected, _mask_of(before, frame)) < 0.99, "it is another outline"
    np.testing.assert_array_equal(_sent_mask(seg, frame), expected)


def _outlined(house, source, frame, prompts) -> np.ndarray:
    """What the engine outlines on a frame of the clip."""
    engine = load_engine(ENGINE, backend=Backend.ONNXRUNTIME_CPU, threads=1)
    with house.node.store() as store:
        clip = open_clip(store.instance(source.SOPInstanceUID).path)
    segmentations = house.analysis(View.A4C).segmentations
    numbers = next(s for s in segmentations if s.structure is Structure.LV_CAVITY).frame_numbers
    (cavity,) = engine.segment(clip.read(tuple(n - 1 for n in numbers)), (Structure.LV_CAVITY,), prompts)
    return cavity.masks[numbers.index(frame)]


def _mask_of(analysis, frame) -> np.ndarray:
    cavity = next(s for s in analysis.segmentations if s.structure is Structure.LV_CAVITY)
    return cavity.masks[cavity.frame_numbers.index(frame)]


def _sent_mask(seg, frame) -> np.ndarray:
    """The cavity's mask of a frame, as a segmentation has it."""
    groups = seg.PerFrameFunctionalGroupsSequence
    (place,) = (i for i, item in enumerate(groups) if _frame_of(item) == frame and _segment_of(item) == 1)
    return seg.pixel_array[place].astype(bool)


def _named(reading) -> set:
    return {edit.SOPInstanceUID for m in reading.measurements for edit in m.edits}


def _check_superseded(house, first, last) -> None:
    """The chain of predecessors leads from the last report to the first, and each is valid."""
    found = {}
    for n, content in enumerate(_objects(house.archive)):
        ds = pydicom.dcmread(BytesIO(content))
        (house.folder / f"out{n}.dcm").write_bytes(content)
        if ds.Modality in ("SR", "SEG"):
            assert dciodvfy_errors(house.folder / f"out{n}.dcm") == []
        found[ds.SOPInstanceUID] = ds
    uid, seen = last.SOPInstanceUID, []
    while uid != first.SOPInstanceUID:
        seen.append(uid)
        (study,) = found[uid].PredecessorDocumentsSequence
        uid = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        assert uid not in seen


def _check_segmentation(house, source, frame, outline) -> None:
    """A second segmentation of the clip, whose mask of that frame is what was drawn."""
    found = [ds for ds in house.segmentations() if _source_of(ds) == source.SOPInstanceUID]
    (corrected,) = (ds for ds in found if ds.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC")
    assert len({ds.SOPInstanceUID for ds in found}) == len(found) >= 2
    expected = fill([(y - 0.5, x - 0.5) for x, y in outline[:-1]], (source.Rows, source.Columns))
    np.testing.assert_array_equal(_sent_mask(corrected, frame), expected)


def _source_of(ds) -> str:
    image = ds.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    return image.ReferencedSOPInstanceUID


def _frame_of(item) -> int:
    return int(item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)


def _segment_of(item) -> int:
    return int(item.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


@pytest.mark.peer("Orthanc", "storescu")
def test_what_is_refused_is_kept_with_its_reason_and_changes_nothing(house):
    plax = house.source(View.PLAX)
    stranger = normalise(plax)
    stranger.SOPInstanceUID = f"{plax.SOPInstanceUID}.9"
    elsewhere = septum(plax)
    elsewhere.StudyInstanceUID = "1.2.826.0.1.9.9"
    somebody = septum(plax)
    somebody.PatientID = "OTHER"
    reasons = {
        Reason.UNKNOWN_CLIP: septum(stranger),
        Reason.OTHER_STUDY: elsewhere,
        Reason.OTHER_PATIENT: somebody,
        Reason.OUTSIDE_IMAGE: septum(plax, frame=9999),
    }
    house.send(*reasons.values())
    outcomes = wait_for(lambda: house.ended(*reasons.values()), seconds=120)
    for reason, ds in reasons.items():
        row = outcomes[ds.SOPInstanceUID]
        assert (row.outcome, row.reason) == (Outcome.KEPT, reason)
    said = house.node.run("status", "--objects").stdout
    for reason, ds in reasons.items():
        assert re.search(rf"{re.escape(ds.SOPInstanceUID)}  kept.*: {reason.code.meaning} \(", said)
    _send_own_back(house)
    with house.node.store() as store:
        study = store.study(house.study)
    assert (study.state, study.revision) == (StudyState.REPORTED, 1)
    assert len(house.readings()) == 1


def _send_own_back(house) -> None:
    """A PACS that sends on whatever it gets must not start a loop."""
    own = next(c for c in _objects(house.archive) if read_report(c) is not None)
    path = house.folder / "own.dcm"
    path.write_bytes(own)
    house.send_file(path)
    ds = pydicom.dcmread(path)
    row = wait_for(lambda: house.ended(ds), seconds=120)[ds.SOPInstanceUID]
    assert (row.outcome, row.reason) == (Outcome.KEPT, Reason.OWN_REPORT)
