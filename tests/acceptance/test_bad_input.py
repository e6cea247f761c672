"""Every bad object is kept, has its row with the exact coded reason, and the node goes on."""

import struct
from io import BytesIO
from pathlib import Path

import pydicom
import simplejpeg
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import generate_uid

from echo_node.codes import Reason, View
from echo_node.dicom import scu
from echo_node.store import Outcome
from tests.acceptance.conftest import wait_for
from tests.acceptance.test_node import dataset_bytes, finished, part10, send_with_pynetdicom
from tests.integration.test_receive import associated, data_pdu, store_request

TEXT = b"This is no data set.\n" * 5000


# The reason that each kind of bad input must have, exactly, and the view of the clip that is spoilt for it:
# a still or uncalibrated clip gets that far only on a view that is measured.
BAD_INPUT = {
    "truncated": (View.PSAX_PM, Reason.TRUNCATED),
    "zero frames": (View.PSAX_PM, Reason.IMPOSSIBLE_SIZE),
    "2^31 frames": (View.PSAX_PM, Reason.IMPOSSIBLE_SIZE),
    "no study": (View.PSAX_PM, Reason.MISSING_UID),
    "wrong transfer syntax": (View.PSAX_PM, Reason.UNREADABLE),
    "not an image": (View.PSAX_PM, Reason.NOT_AN_IMAGE),
    "one frame": (View.A4C, Reason.SINGLE_FRAME),
    "no calibration": (View.PLAX, Reason.NO_CALIBRATION),
    "colour box": (View.A4C, Reason.NOT_TWO_D),
}
LONG, MOST_FRAMES = "2,000 frames", 80  # of which the middle ones are measured


def _spoil(kind: str, ds: pydicom.Dataset) -> None:
    """Make a dataset one kind of bad input."""
    if kind == "zero frames":
        ds.NumberOfFrames = 0
    elif kind == "2^31 frames":
        ds.NumberOfFrames = 2**31
    elif kind == "no study":
        del ds.StudyInstanceUID
    elif kind == "not an image":
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = pydicom.uid.EncapsulatedPDFStorage
    elif kind == "wrong transfer syntax":
        ds.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
    elif kind == "one frame":
        ds.PixelData = encapsulate(_frames(ds)[:1])
        ds.NumberOfFrames = 1
    elif kind == "no calibration":
        del ds.SequenceOfUltrasoundRegions
    elif kind == "colour box":
        ds.PixelData = encapsulate([_with_colour_box(frame) for frame in _frames(ds)])
    elif kind == LONG:
        frames = [_small(frame) for frame in _frames(ds)]
        ds.PixelData = encapsulate([frames[n % len(frames)] for n in range(2000)])
        ds.NumberOfFrames = 2000


def _frames(ds: pydicom.Dataset) -> list[bytes]:
    return list(generate_frames(ds.PixelData, number_of_frames=int(ds.NumberOfFrames)))


def _small(jpeg: bytes) -> bytes:
    """The same frame in fewer bytes."""
    return simplejpeg.encode_jpeg(simplejpeg.decode_jpeg(jpeg), quality=30, colorsubsampling="422")


def _with_colour_box(jpeg: bytes) -> bytes:
    """The same frame with flow in its middle: towards the probe in red, away from it in blue."""
    frame = simplejpeg.decode_jpeg(jpeg, colorspace="RGB")
    rows, columns = frame.shape[:2]
    box = frame[rows // 3 : rows // 2, columns * 2 // 5 : columns * 3 // 5]
    half = box.shape[1] // 2
    box[:, :half], box[:, half:] = (220, 40, 30), (40, 60, 220)
    return simplejpeg.encode_jpeg(frame, quality=90, colorsubsampling="422")


def _spoilt(kind: str, cine: bytes, folder: Path) -> scu.Outgoing:
    """A file of one kind of bad input, with UIDs of its own."""
    ds = pydicom.dcmread(BytesIO(cine))
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID = generate_uid()
    _spoil(kind, ds)
    content = part10(ds)
    if kind == "truncated":
        content = content[:-200_000]
    path = folder / f"{kind.replace(' ', '-')}.dcm"
    path.write_bytes(content)
    return scu.Outgoing(str(ds.SOPClassUID), str(ds.SOPInstanceUID), path)


def _send_no_data_set(node) -> str:
    """Text in the place of a data set, which no real SCU sends; returns the instance that it claims to be."""
    uid = generate_uid()
    with associated(node) as raw:
        raw.sendall(store_request(uid) + data_pdu(2, TEXT))
        assert struct.pack("<HHI", 0, 0x900, 2) + b"\0\0" in raw.recv(4096)  # success
    return uid


def test_bad_input_is_kept_with_its_reason_and_the_node_goes_on(make_node, cines, tmp_path):
    node = make_node(max_frames=MOST_FRAMES)
    folder = tmp_path / "bad"
    folder.mkdir()
    items = {kind: _spoilt(kind, cines[view], folder) for kind, (view, _) in BAD_INPUT.items()}
    long = _spoilt(LONG, cines[View.A4C], folder)
    send_with_pynetdicom(node, [item.path for item in (*items.values(), long)])
    text = _send_no_data_set(node)
    outcomes = wait_for(lambda: finished(node, len(items) + 2), seconds=400)
    for kind, (_, reason) in BAD_INPUT.items():
        outcome = outcomes[items[kind].SOPInstanceUID]
        assert outcome.reason is reason, kind
        assert dataset_bytes(node.kept_at(outcome)) == dataset_bytes(items[kind].path), kind
    assert outcomes[text].reason is Reason.NOT_DICOM
    assert node.kept_at(outcomes[text]).read_bytes().endswith(TEXT)
    assert outcomes[long.SOPInstanceUID].outcome is Outcome.MEASURED
    assert dataset_bytes(node.kept_at(outcomes[long.SOPInstanceUID])) == dataset_bytes(long.path)
    assert _frames_measured(node, outcomes[long.SOPInstanceUID]) == tuple(range(961, 961 + MOST_FRAMES))
    assert node.run("status").returncode == 1  # something was set aside: a person should look
    late = _spoilt("zero frames", cines[View.PSAX_PM], tmp_path)
    send_with_pynetdicom(node, [late.path])  # and it still receives, and analyses
    after = wait_for(lambda: finished(node, len(items) + 3))
    assert after[late.SOPInstanceUID].reason is Reason.IMPOSSIBLE_SIZE
    assert "ended with status" not in node.log
    assert "PHANTOM" not in node.log
    assert "Phantom^" not in node.log


def _frames_measured(node, outcome) -> tuple[int, ...]:
    with node.store() as store:
        (analysis,) = store.clip_analyses(outcome.StudyInstanceUID)
    (numbers,) = {s.frame_numbers for s in analysis.segmentations}
    return numbers
