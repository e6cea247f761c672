"""The node as a whole, with real peers: DCMTK sends, Orthanc receives, processes are killed."""

import json
import re
import subprocess
import tempfile
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from echo_node.codes import Reason
from echo_node.dicom import scu
from echo_node.dicom.header import read_header
from echo_node.records import StudyState
from echo_node.reports import read_report
from echo_node.services.process import utc_now
from echo_node.services.simulate import known_exam, send_exam
from echo_node.store import Outcome
from tests.acceptance.conftest import wait_for
from tests.peers import dciodvfy_errors, orthanc

ORTHANC_NAME = "archive"
# DCMTK's own parser refuses this file; the node's own SCU sends it as its bytes are.
NOT_FOR_DCMTK = "acuson-a4c-65f-jpeg.dcm"
# Its File Meta Information names another instance than its dataset: refused with A900, see test_receive.
MISNAMED = "GH364.dcm"


def real_files(data: Path) -> list[Path]:
    return [path for path in sorted(data.glob("*.dcm")) if path.name != MISNAMED]


def dataset_bytes(path: Path) -> bytes:
    """Everything behind the File Meta Information."""
    content = path.read_bytes()
    ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[])
    length = ds.file_meta.FileMetaInformationGroupLength
    return content[144 + length :]


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


@pytest.mark.peer("dcmsend")
def test_real_files_by_dcmsend_are_kept_each_with_its_outcome(make_node, data):
    node = make_node()
    files = [p for p in real_files(data) if p.name != NOT_FOR_DCMTK]
    done = subprocess.run(
        ["/usr/bin/dcmsend", "-aec", "ECHONODE", "127.0.0.1", str(node.port), *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    send_with_pynetdicom(node, [data / NOT_FOR_DCMTK])
    # color-pl and color-px carry one SOP Instance UID with different bytes: the second is set aside.
    outcomes = wait_for(lambda: finished(node, len(real_files(data)) - _doubles(data)))
    with node.store() as store:
        kept = {uid: store.instance(uid) for uid, o in outcomes.items() if o.outcome is not Outcome.SET_ASIDE}
    for path in real_files(data):
        uid = read_header(path).SOPInstanceUID
        if uid in kept and read_header(path).TransferSyntaxUID == kept[uid].TransferSyntaxUID:
            assert uid in outcomes
            if _is_only_one(data, uid):
                assert pixels(kept[uid].path) == pixels(path), path.name
    cardiac = {read_header(data / n).SOPInstanceUID for n in ("acuson-a4c-65f-jpeg.dcm", "examples_ybr_color.dcm")}
    measured = {uid for uid, o in outcomes.items() if o.outcome is Outcome.MEASURED}
    assert measured <= cardiac
    assert wait_for(lambda: settled(node)).keys() == {StudyState.REPORTED}
    assert node.process.poll() is None


def _doubles(data) -> int:
    uids = [read_header(path).SOPInstanceUID for path in real_files(data)]
    return len(uids) - len(set(uids))


def _is_only_one(data, uid) -> bool:
    return [read_header(path).SOPInstanceUID for path in real_files(data)].count(uid) == 1


def pixels(path: Path) -> bytes:
    """DCMTK writes a dataset anew before it sends: lengths and padding may change, pixels may not."""
    return pydicom.dcmread(path).PixelData


def test_real_files_sent_as_they_are_stay_as_they_are(make_node, data):
    node = make_node()
    files = [p for p in real_files(data) if _is_only_one(data, read_header(p).SOPInstanceUID)]
    send_with_pynetdicom(node, files)
    wait_for(lambda: finished(node, len(files)))
    with node.store() as store:
        for path in files:
            kept = store.instance(read_header(path).SOPInstanceUID)
            assert dataset_bytes(kept.path) == dataset_bytes(path), path.name


@pytest.mark.peer("Orthanc", "dsrdump", "storescu")
def test_an_exam_comes_back_from_the_archive_as_it_was_measured(make_node, tmp_path):
    with orthanc(tmp_path) as archive:
        node = make_node(destinations=[_destination(archive)])
        _, exam = known_exam(1, start=utc_now())
        study = exam[0].ds.StudyInstanceUID
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for number, item in enumerate(exam):
                paths.append(Path(folder) / f"{number}.dcm")
                pydicom.dcmwrite(paths[-1], item.ds, enforce_file_format=True)
            sent = subprocess.run(
                [
                    "/usr/bin/storescu",
                    "-xy",
                    "-aec",
                    "ECHONODE",
                    "127.0.0.1",
                    str(node.port),
                    *map(str, paths),
                ],
                capture_output=True,
                text=True,
                check=False,
            )
        assert sent.returncode == 0, sent.stderr
        wait_for(lambda: _report(archive), seconds=240)
        reading = _report(archive)
        with node.store() as store:
            clips = store.clip_analyses(study)
        measured = {(m.quantity, m.view): m.value for clip in clips for m in clip.measurements}
        sr = {(m.quantity, m.view): m.value for m in reading.measurements}
        assert measured, "nothing was measured on the phantom"
        for key, value in measured.items():
            assert sr[key] == pytest.approx(value, abs=1e-3)
        _check_segmentations(archive, clips)
        _check_validity(archive, tmp_path)


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


def _check_segmentations(archive, clips) -> None:
    """Each SEG's frames refer to frames of its clip, and there is one per measured clip."""
    segmented = {clip.SOPInstanceUID: clip for clip in clips if clip.segmentations}
    found = {}
    for content in _objects(archive):
        ds = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
        if ds.Modality == "SEG":
            source = ds.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
            found[source.ReferencedSOPInstanceUID] = ds
    assert set(found) == set(segmented)
    for uid, ds in found.items():
        numbers = {
            int(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)
            for group in ds.PerFrameFunctionalGroupsSequence
        }
        assert numbers <= set(segmented[uid].segmentations[0].frame_numbers)


def _check_validity(archive, folder: Path) -> None:
    for number, content in enumerate(_objects(archive)):
        path = folder / f"{number}.dcm"
        path.write_bytes(content)
        assert dciodvfy_errors(path) == []
        if read_report(content) is not None:
            dump = subprocess.run(["/usr/bin/dsrdump", "-Ee", path], capture_output=True, text=True, check=False)
            assert dump.returncode == 0
            assert not re.search(r"^E:", dump.stderr, re.MULTILINE)


def test_a_killed_analyser_and_deliverer_lose_and_double_nothing(make_node, tmp_path):
    with orthanc(tmp_path) as archive:
        node = make_node(destinations=[_destination(archive)])
        _, exam = known_exam(2, start=utc_now())
        assert not any(send_exam(exam, to=peer_of(node), calling_ae="CART"))
        for service in ("analyse", "deliver", "schedule", "analyse"):
            wait_for(lambda s=service: node.children(s))
            node.kill(service)
        wait_for(lambda: _report(archive), seconds=240)
        with node.store() as store:
            wait_for(lambda: store.study(exam[0].ds.StudyInstanceUID).state is StudyState.REPORTED)
        reports = [r for r in map(read_report, _objects(archive)) if r is not None]
        assert len(reports) == 1


def test_a_receiver_that_is_stopped_drains_and_the_node_ends_well(make_node):
    node = make_node()
    _, exam = known_exam(3, start=utc_now())
    assert not any(send_exam(exam[:2], to=peer_of(node), calling_ae="CART"))
    assert node.stop() == 0
    assert len(node.outcomes()) == 2


def part10(ds: pydicom.Dataset) -> bytes:
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def test_two_patients_in_one_study_are_quarantined_and_one_of_them_is_released(make_node, tmp_path):
    node = make_node()
    cine = part10(known_exam(5, start=utc_now())[1][2].ds)
    study, paths = generate_uid(), []
    for patient in ("CANARY-A", "CANARY-B"):
        ds = pydicom.dcmread(BytesIO(cine))
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
    assert (other.reason, own.outcome) == (Reason.ANOTHER_PATIENTS, Outcome.MEASURED)
    assert "released from quarantine at " in node.run("status", "--objects").stdout
    assert "CANARY" not in node.log


def test_who_has_looked_at_an_object_that_is_set_aside_quiets_status(make_node, tmp_path):
    node = make_node()
    ds = known_exam(5, start=utc_now())[1][2].ds
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
