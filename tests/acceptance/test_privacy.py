"""What a cart says of a patient stands in no log and in no status."""

import copy
from pathlib import Path

import pydicom
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import generate_uid

from echo_node.codes import Reason
from echo_node.dicom import scu
from echo_node.store import Outcome
from tests.acceptance.conftest import wait_for
from tests.acceptance.test_node import peer_of
from tests.peers import free_port

TEXT = (
    "AccessionNumber", "AdditionalPatientHistory", "ContentDate", "DerivationDescription", "DeviceSerialNumber",
    "ImageComments", "InstitutionAddress", "InstitutionName", "IssuerOfPatientID", "Manufacturer",
    "NameOfPhysiciansReadingStudy", "Occupation", "OperatorsName", "OtherPatientIDs", "OtherPatientNames",
    "PatientAddress", "PatientAge", "PatientBirthDate", "PatientBirthTime", "PatientComments", "PatientID",
    "PatientName", "PatientSex", "PatientTelephoneNumbers", "PerformingPhysicianName", "ProtocolName",
    "ReferringPhysicianName", "RequestingPhysician", "SeriesDate", "SeriesDescription", "SeriesTime",
    "SoftwareVersions", "StationName", "StudyComments", "StudyDate", "StudyDescription", "StudyID", "StudyTime",
    "TimezoneOffsetFromUTC",
)  # fmt: skip
NUMBERS = ("CineRate", "FrameTime", "InstanceNumber", "PatientSize", "PatientWeight")
FRAMES = 10


def marked(template: pydicom.Dataset, start: int) -> pydicom.Dataset:
    """A copy with UIDs of its own and a canary in every text, fit for its VR or not."""
    ds = copy.deepcopy(template)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for number, keyword in enumerate(TEXT, start):
        ds.add_new(keyword, dictionary_VR(keyword), f"CANARY{number:04d}")
    step = pydicom.Dataset()
    step.RequestedProcedureDescription = step.RequestedProcedureID = step.AccessionNumber = "CANARYSEQ"
    ds.RequestAttributesSequence = [step]
    ds.private_block(0x0099, "CANARYBLOCK", create=True).add_new(1, "LO", "CANARYPRIVATE")
    return ds


def short_clip(path: Path) -> pydicom.Dataset:
    """Some frames of a real apical view."""
    ds = pydicom.dcmread(path)
    ds.pop(0xFFFEE0DD, None)  # a delimiter too many, which cannot be written
    frames = list(generate_frames(ds.PixelData, number_of_frames=int(ds.NumberOfFrames)))[:FRAMES]
    ds.NumberOfFrames, ds.PixelData = FRAMES, encapsulate(frames)
    return ds


def test_no_canary_is_in_any_log_or_status(make_node, data, tmp_path):
    archive = {"name": "away", "ae_title": "AWAY", "host": "127.0.0.1", "port": free_port()}
    node = make_node(destinations=[archive], log_level="debug")
    template = short_clip(data / "acuson-a4c-65f-jpeg.dcm")
    with disable_value_validation():
        good, coding, numbers, *mixed = (marked(template, 1000 * n) for n in range(5))
        coding.PhotometricInterpretation = "CANARYCS"
        for keyword in NUMBERS:
            numbers.add_new(keyword, "LO", "CANARYNUMBER")
        for ds in mixed:
            ds.StudyInstanceUID = mixed[0].SOPInstanceUID
        changed = copy.deepcopy(good)
        changed.ImageComments = "CANARYAGAIN"
        objects = [good, coding, numbers, *mixed, changed]
        for ds in (good, coding, numbers):
            ds.StudyInstanceUID = ds.SOPInstanceUID
        changed.StudyInstanceUID = good.StudyInstanceUID
        paths = [tmp_path / f"{number}.dcm" for number in range(len(objects))]
        for path, ds in zip(paths, objects, strict=True):
            pydicom.dcmwrite(path, ds, enforce_file_format=True)
    outgoing = [scu.Outgoing(ds.SOPClassUID, ds.SOPInstanceUID, p) for ds, p in zip(objects, paths, strict=True)]
    assert scu.send(outgoing, to=peer_of(node), calling_ae="CART") == [None] * len(objects)
    outcomes = wait_for(lambda: all_done(node, len(objects) - 1), seconds=400)
    assert {Reason.MIXED_PATIENTS, Reason.UNKNOWN_CODING, Reason.SAME_UID_OTHER_CONTENT} <= {
        outcome.reason for outcome in outcomes.values()
    }
    wait_for(lambda: "again at" in node.log, seconds=240)  # the archive is away
    shown = [node.run("status"), node.run("status", "--objects")]
    assert node.stop() == 0
    for text in (node.log, *(done.stdout + done.stderr for done in shown)):
        assert "CANARY" not in text
    assert "Traceback" not in node.log


def all_done(node, count):
    """The outcomes once none waits; the object that was set aside shares the UID of another."""
    outcomes = node.outcomes()
    done = [o for o in outcomes.values() if o.outcome is not Outcome.WAITING]
    return outcomes if len(done) == count else None
