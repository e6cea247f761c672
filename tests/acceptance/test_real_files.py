"""Every real file, from three real senders: each kept byte for byte, each with its own outcome."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pydicom
import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info

from echo_node.codes import Reason
from echo_node.records import StudyState
from echo_node.store import InstanceOutcome, Outcome
from tests.acceptance.conftest import wait_for
from tests.acceptance.test_node import dataset_bytes, send_with_pynetdicom, settled
from tests.peers import storescp

OTHER = Outcome.NOT_MEASURED, Reason.NOT_A_STANDARD_VIEW
FLOW = Outcome.NOT_MEASURED, Reason.NOT_TWO_D
DOUBLE = Outcome.SET_ASIDE, Reason.SAME_UID_OTHER_CONTENT
OUTCOMES = {
    "GH364.dcm": OTHER,
    "JPGLosslessP14SV1_1s_1f_8b.dcm": (
        Outcome.NOT_MEASURED,
        Reason.SINGLE_FRAME,
    ),  # high parasternal, taken for PLAX
    "OBXXXX1A_expb_2frame.dcm": OTHER,
    "US-YBR_FULL_422-EVRLE.dcm": OTHER,
    "US1_J2KI.dcm": FLOW,
    "US1_J2KR.dcm": FLOW,
    "US1_UNCR.dcm": FLOW,
    "color-pl.dcm": FLOW,
    "color-px.dcm": DOUBLE,  # of color-pl.dcm
    "examples_palette.dcm": DOUBLE,  # of OBXXXX1A_expb_2frame.dcm
    "gdcm-US-ALOKA-16.dcm": OTHER,
    "no-pixel-spacing.dcm": (Outcome.NOT_MEASURED, Reason.NO_SECTOR),
}
# The one place where several outcomes are right: how sure of a real apical view an engine is, and whether it sees a
# whole beat in the second one's few frames, is the engine's affair.
APICAL = {"acuson-a4c-65f-jpeg.dcm", "examples_ybr_color.dcm"}
MEASURED_OR_UNCERTAIN = {
    (Outcome.MEASURED, None),
    (Outcome.NOT_MEASURED, Reason.LOW_CONFIDENCE),
    (Outcome.NOT_MEASURED, Reason.NO_FULL_CYCLE),
}

# Neither DCMTK's parser nor pynetdicom's storescu gets through these two: the node's own SCU sends them. It goes by
# the File Meta Information, which of the second names another instance than the dataset: it gets a right one.
NOT_FOR_DCMTK = {"acuson-a4c-65f-jpeg.dcm", "GH364.dcm"}
MISNAMED = "GH364.dcm"

# What storescu is told to propose: as a cart does, each class in each of its transfer syntaxes.
CLASSES = "1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"
SYNTAXES = (
    "LittleEndianExplicit", "LittleEndianImplicit", "BigEndianExplicit", "JPEGBaseline",
    "JPEGLossless:Non-hierarchical-1stOrderPrediction", "JPEG2000", "JPEG2000LosslessOnly", "RLELossless",
)  # fmt: skip


def storescu(folder: Path) -> list[str]:
    contexts = [(kind, n) for kind in CLASSES for n in range(len(SYNTAXES))]
    lines = [
        "[[TransferSyntaxes]]",
        *(f"[Syntax{n}]\nTransferSyntax1 = {name}" for n, name in enumerate(SYNTAXES)),
        "[[PresentationContexts]]",
        "[Cart]",
        *(f"PresentationContext{i} = {kind}\\Syntax{n}" for i, (kind, n) in enumerate(contexts, start=1)),
        "[[Profiles]]",
        "[Cart]",
        "PresentationContexts = Cart",
    ]
    config = folder / "storescu.cfg"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["/usr/bin/storescu", "-xf", str(config), "Cart"]


def dcmsend(_: Path) -> list[str]:
    return ["/usr/bin/dcmsend"]


def send(command: Sequence[str], port: int, paths: Sequence[Path]) -> None:
    done = subprocess.run(
        [*command, "-aet", "DCMTK", "-aec", "ECHONODE", "127.0.0.1", str(port), *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def as_dcmtk_sends(command: Sequence[str], path: Path, port: int, folder: Path) -> bytes:
    """A file's data set as DCMTK's receiver, which keeps every bit, has it of DCMTK's sender.

    The sender writes a data set anew: lengths, padding and byte order may differ from the file's, pixels may not.
    """
    send(command, port, [path])
    (kept,) = folder.iterdir()
    assert pixels(kept) == pixels(path), path.name
    content = dataset_bytes(kept)
    kept.unlink()
    return content


def pixels(path: Path) -> bytes:
    ds = pydicom.dcmread(path)
    return ds.PixelData if ds.file_meta.TransferSyntaxUID.is_compressed else ds.pixel_array.tobytes()


def well_named(path: Path, folder: Path) -> Path:
    """The same data set below a File Meta Information that names its instance."""
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    assert ds.file_meta.MediaStorageSOPInstanceUID != ds.SOPInstanceUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta = DicomBytesIO()
    write_file_meta_info(meta, ds.file_meta)
    copy = folder / path.name
    copy.write_bytes(bytes(128) + b"DICM" + meta.getvalue() + dataset_bytes(path))
    return copy


def outcomes_of(node, count: int) -> tuple[InstanceOutcome, ...] | None:
    """Every object's outcome, those of one UID each with its own, once there are so many and none waits."""
    with node.store() as store:
        found = store.instance_outcomes()
    return found if len(found) == count and all(o.outcome is not Outcome.WAITING for o in found) else None


@pytest.mark.parametrize(
    "sender",
    [
        pytest.param(storescu, marks=pytest.mark.peer("storescu", "storescp")),
        pytest.param(dcmsend, marks=pytest.mark.peer("dcmsend", "storescp")),
        pytest.param(None, id="the node's own SCU"),
    ],
)
def test_every_real_file_is_kept_as_it_was_sent_and_has_its_outcome(make_node, data, tmp_path, sender):
    files = {path.name: path for path in sorted(data.glob("*.dcm"))}
    assert files.keys() == OUTCOMES.keys() | APICAL
    files[MISNAMED] = well_named(files[MISNAMED], tmp_path)
    own = [path for name, path in files.items() if sender is None or name in NOT_FOR_DCMTK]
    sent = {dataset_bytes(path): path.name for path in own}
    node = make_node()
    send_with_pynetdicom(node, own)
    if sender is not None:
        command, by_dcmtk = sender(tmp_path), [path for path in files.values() if path not in own]
        folder = tmp_path / "reference"
        folder.mkdir()
        with storescp(folder, "+xa", "+B", "--promiscuous") as port:
            sent |= {as_dcmtk_sends(command, path, port, folder): path.name for path in by_dcmtk}
        send(command, node.port, by_dcmtk)
        assert node.log.count("association of 'DCMTK'") == 1
    found = {
        sent[dataset_bytes(node.kept_at(outcome))]: (outcome.outcome, outcome.reason)  # else the bytes differ
        for outcome in wait_for(lambda: outcomes_of(node, len(files)), seconds=400)
    }
    assert {found.pop(name) for name in APICAL} <= MEASURED_OR_UNCERTAIN
    assert found == OUTCOMES
    assert wait_for(lambda: settled(node)).keys() == {StudyState.REPORTED}
    assert node.process.poll() is None
