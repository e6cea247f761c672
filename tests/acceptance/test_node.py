"""The node as a whole, with real peers: DCMTK sends, Orthanc receives, processes are killed."""

import json
import re
import subprocess
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid
from pynetdicom.dsutils import split_dataset

from echo_node.codes import Method, Quantity, Reason, View
from echo_node.dicom import scu
from echo_node.dicom.header import read_header
from echo_node.records import DeliveryState, StudyState
from echo_node.reports import read_report
from echo_node.store import Outcome
from tests.acceptance.conftest import wait_for
from tests.peers import by_wado_rs, dciodvfy_errors, orthanc

ORTHANC_NAME = "archive"


def dataset_bytes(path: Path) -> bytes:
    """Everything behind the File Meta Information, whose own word for its length may be wrong."""
    _, offset = split_dataset(path)
    return path.read_bytes()[offset:]


def peer_of(node) -> scu.Peer:
    return scu.Peer(ae_title="ECHONODE", host="127.0.0.1", port=node.port)


def outgoing(paths) -> list[scu.Outgoing]:
    headers = [(read_header(path), path) for path in paths]
    return [scu.Outgoing(h.SOPClassUID, h.SOPInstanceUID, path) for h, path in headers]


def send_with_pynetdicom(node, paths) -> None:
    assert scu.send(outgoing(paths), to=peer_of(node), calling_ae="CART") == [None] * len(paths)


def finished(node, count):
    outcomes = node.outcomes()
    done = [o for o in outcomes.values() if o.outcome is not Outcome.WAITING]
    return outcomes if len(done) == count else None


def settled(node):
    """How many studies stand in which state, once none is being received or reported on."""
    with node.store() as store:
        studies = {state: n for state, n in store.status().studies.items() if n}
    return None if studies.keys() & {StudyState.RECEIVING, StudyState.CLOSED} else studies


@pytest.mark.peer("Orthanc", "dsrdump", "storescu")
def test_an_exam_comes_back_from_the_archive_as_it_was_measured(make_node, exam, tmp_path):
    study = exam[0].dataset().StudyInstanceUID
    with orthanc(tmp_path) as archive:
        node = make_node(destinations=[_destination(archive)])
        sent = subprocess.run(
            [
                "/usr/bin/storescu",
                "-xy",
                "-aec",
                "ECHONODE",
                "127.0.0.1",
                str(node.port),
                *(str(file.path) for file in exam),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert sent.returncode == 0, sent.stderr
        wait_for(lambda: _report(archive), seconds=240)
        wait_for(lambda: _all_sent(node))
        with node.store() as store:
            clips = store.clip_analyses(study)
        contents = by_wado_rs(archive, {study})
    (reading,) = (r for r in map(read_report, contents) if r is not None)
    measured = {(m.quantity, m.view, m.method): m.value for clip in clips for m in clip.measurements}
    assert (Quantity.LVEF, View.A4C, Method.DISKS_SINGLE_PLANE) in measured
    assert (Quantity.LVEF, View.A4C, Method.LEARNED) in measured
    sr = {(m.quantity, m.view, m.method): m.value for m in reading.measurements}
    assert len(sr) == len(reading.measurements)
    for key, value in measured.items():
        assert sr[key] == pytest.approx(value, abs=1e-3), key
    _check_segmentations(contents, clips)
    _check_validity(contents, tmp_path)


def _all_sent(node) -> bool:
    with node.store() as store:
        return {delivery.state for delivery in store.outbox.deliveries()} == {DeliveryState.SENT}


def _destination(archive) -> dict:
    return {
        "name": ORTHANC_NAME,
        "ae_title": archive.ae_title,
        "host": "127.0.0.1",
        "port": archive.dicom_port,
    }


def _objects(archive) -> list[bytes]:
    return [archive.get(f"/instances/{name}/file") for name in json.loads(archive.get("/instances"))]


def _report(archive):
    return next((r for r in map(read_report, _objects(archive)) if r is not None), None)


def _check_segmentations(contents, clips) -> None:
    """Highdicom reads each clip's masks as the pipeline made them, on every frame, and no others."""
    segmented = {clip.SOPInstanceUID: clip for clip in clips if clip.segmentations}
    assert segmented
    found = [ds for ds in (pydicom.dcmread(BytesIO(content)) for content in contents) if ds.Modality == "SEG"]
    assert len(found) == len(segmented)
    for seg in map(highdicom.seg.Segmentation.from_dataset, found):
        ((_, _, uid),) = seg.get_source_image_uids()
        masks = {s.structure.code.value: s for s in segmented.pop(uid).segmentations if s.masks.any()}
        kinds = [seg.get_segment_description(n).segmented_property_type.value for n in seg.segment_numbers]
        assert sorted(kinds) == sorted(masks)
        for number, kind in zip(seg.segment_numbers, kinds, strict=True):
            read = seg.get_pixels_by_source_frame(
                uid,
                masks[kind].frame_numbers,
                segment_numbers=[number],
                assert_missing_frames_are_empty=True,
            )
            np.testing.assert_array_equal(read[..., 0].astype(bool), masks[kind].masks, strict=True)
        assert seg.NumberOfFrames == sum(s.masks.any(axis=(1, 2)).sum() for s in masks.values())


def _check_validity(contents, folder: Path) -> None:
    for number, content in enumerate(contents):
        path = folder / f"{number}.dcm"
        path.write_bytes(content)
        assert dciodvfy_errors(path) == []
        if read_report(content) is not None:
            dump = subprocess.run(["/usr/bin/dsrdump", "-Ee", path], capture_output=True, text=True, check=False)
            assert dump.returncode == 0
            assert not re.search(r"^E:", dump.stderr, re.MULTILINE)


@pytest.mark.peer("Orthanc")
def test_a_killed_analyser_and_deliverer_lose_and_double_nothing(make_node, exam, tmp_path):
    with orthanc(tmp_path) as archive:
        node = make_node(destinations=[_destination(archive)])
        send_with_pynetdicom(node, [file.path for file in exam])
        for service in ("analyse", "deliver", "schedule", "analyse"):
            wait_for(lambda s=service: node.children(s))
            node.kill(service)
        wait_for(lambda: _report(archive), seconds=240)
        with node.store() as store:
            wait_for(lambda: store.study(exam[0].dataset().StudyInstanceUID).state is StudyState.REPORTED)
        reports = [r for r in map(read_report, _objects(archive)) if r is not None]
        assert len(reports) == 1


def test_a_receiver_that_is_stopped_drains_and_the_node_ends_well(make_node, exam):
    node = make_node()
    send_with_pynetdicom(node, [file.path for file in exam[:2]])
    assert node.stop() == 0
    assert len(node.outcomes()) == 2
    log = (node.folder / "node.log").read_text(encoding="utf-8")
    steps = ("stopping: the services finish", "stopping: no new associations", ": receive stopped\n")
    assert [log.index(step) for step in steps] == sorted(log.index(step) for step in steps)
    assert log.endswith(": stopped\n")


def part10(ds: pydicom.Dataset) -> bytes:
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def test_two_patients_in_one_study_are_quarantined_and_one_of_them_is_released(make_node, exam, tmp_path):
    node = make_node()
    study, paths = generate_uid(), []
    for patient in ("CANARY-A", "CANARY-B"):
        ds = exam[2].dataset()
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.StudyInstanceUID, ds.PatientID = study, patient
        paths.append(tmp_path / f"{patient}.dcm")
        pydicom.dcmwrite(paths[-1], ds, enforce_file_format=True)
    send_with_pynetdicom(node, paths)
    with node.store() as store:
        wait_for(lambda: store.study(study).state is StudyState.QUARANTINED)
    assert {o.reason for o in node.outcomes().values()} == {Reason.MIXED_PATIENTS}
    who = ("--by", "Rosa Reader", "--reason", "the ward knows")
    wrong = node.run("release", study, "--patient", "CANARY-C", *who)
    assert (wrong.returncode, "none of its 2 objects is of the PatientID" in wrong.stderr) == (1, True)
    assert node.run("release", study, "--patient", "CANARY-B", *who).returncode == 0
    with node.store() as store:
        wait_for(lambda: store.study(study).state is StudyState.REPORTED, seconds=400)
        assert store.study(study).PatientID == "CANARY-B"
    other, own = (node.outcomes()[read_header(path).SOPInstanceUID] for path in paths)
    assert (other.outcome, other.reason) == (Outcome.KEPT, Reason.ANOTHER_PATIENTS)
    assert own.outcome in (Outcome.MEASURED, Outcome.NOT_MEASURED)  # which, is the engine's business
    assert "released from quarantine at " in node.run("status", "--objects").stdout
    assert "CANARY" not in node.log


def test_who_has_looked_at_an_object_that_is_set_aside_quiets_status(make_node, exam, tmp_path):
    node = make_node()
    ds = exam[2].dataset()
    for number in (1, 2):
        ds.InstanceNumber = number
        pydicom.dcmwrite(tmp_path / "sent.dcm", ds, enforce_file_format=True)
        send_with_pynetdicom(node, [tmp_path / "sent.dcm"])
    before = node.run("status", "--objects")
    assert before.returncode == 1
    assert "LOOK: 1 objects are set aside" in before.stdout
    assert ", number 1: SOP Instance UID is known with other content (" in before.stdout
    assert node.run("acknowledge", "2", "--by", "Rosa").returncode == 1
    assert node.run("acknowledge", "first", "--by", "Rosa").returncode == 2
    seen = node.run("acknowledge", "1", "--by", "Rosa", "--reason", "sent twice")
    assert (seen.returncode, "UTC by Rosa: sent twice" in seen.stdout) == (0, True)
    after = node.run("status")
    assert (after.returncode, "1 set aside, 1 of them acknowledged" in after.stdout) == (0, True)


@pytest.mark.peer("echoscu")
def test_a_refused_association_is_logged_with_its_reason(make_node):
    node = make_node(carts=[{"ae_title": "VIVID1", "hosts": ["127.0.0.0/8"]}])
    refused = subprocess.run(
        ["/usr/bin/echoscu", "-aet", "OTHER", "-aec", "ECHONODE", "127.0.0.1", str(node.port)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode != 0
    assert "Calling AE Title Not Recognized" in refused.stderr
    wait_for(lambda: "'OTHER' at 127.0.0.1 rejected: no cart of receive.carts" in node.log)
