"""C-STORE to peers that take a class in some transfer syntaxes only."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pydicom
import pytest
import simplejpeg
from pydicom.encaps import generate_frames
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from echo_node.dicom import scu
from echo_node.dicom.header import read_header
from echo_node.errors import DeliveryRefused
from tests.integration.storage_peer import storage_peer
from tests.integration.test_receive import small
from tests.peers import storescp


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    folder = tmp_path / "kept"
    folder.mkdir()
    return folder


def send(items, port: int):
    return scu.send(items, to=scu.Peer(ae_title="ANY", host="127.0.0.1", port=port), calling_ae="ECHONODE")


def only_by_uid(folder: Path) -> dict[str, pydicom.Dataset]:
    found = [pydicom.dcmread(path) for path in folder.iterdir()]
    assert len({ds.SOPInstanceUID for ds in found}) == len(found)
    return {ds.SOPInstanceUID: ds for ds in found}


def as_json(ds: pydicom.Dataset) -> dict:
    """A dataset without its VR of Pixel Data: Implicit VR knows OW only (PS3.5 A.1)."""
    content = ds.to_json_dict()
    content.get("7FE00010", {}).pop("vr", None)
    return content


@pytest.mark.peer("storescp")
def test_a_peer_that_takes_implicit_vr_alone_gets_the_same_dataset(result_files, kept):
    with storescp(kept, "+xi") as port:
        assert send(result_files, port) == [None, None]
    received = only_by_uid(kept)
    for item in result_files:
        came, made = received[item.SOPInstanceUID], pydicom.dcmread(item.path)
        assert came.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
        assert as_json(came) == as_json(made)


@pytest.mark.peer("storescp")
def test_a_peer_that_takes_all_gets_the_bytes_as_they_are(result_files, kept):
    with storescp(kept, "+xe", "+B") as port:  # +B: written as received
        assert send(result_files, port) == [None, None]
    files = {path.read_bytes()[-2000:] for path in kept.iterdir()}
    assert files == {item.path.read_bytes()[-2000:] for item in result_files}


@pytest.mark.peer("storescp")
def test_an_object_in_implicit_vr_goes_to_a_peer_that_prefers_another(tmp_path, kept):
    item = small(tmp_path / "x.dcm")
    ds = pydicom.dcmread(item.path)
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    pydicom.dcmwrite(item.path, ds, implicit_vr=True, little_endian=True)
    with storescp(kept, "+xe") as port:
        assert send([item], port) == [None]
    assert only_by_uid(kept)["1.2.3.4"].file_meta.TransferSyntaxUID == ImplicitVRLittleEndian


def outgoing(path: Path) -> scu.Outgoing:
    header = read_header(path)
    return scu.Outgoing(header.SOPClassUID, header.SOPInstanceUID, path)


@pytest.mark.peer("storescp")
def test_a_clip_in_jpeg_baseline_goes_decoded_where_that_is_not_taken(kept, data):
    path = data / "examples_ybr_color.dcm"
    with storescp(kept, "+xi") as port:
        assert send([outgoing(path)], port) == [None]
    made = pydicom.dcmread(path)
    came = only_by_uid(kept)[made.SOPInstanceUID]
    assert (came.file_meta.TransferSyntaxUID, came.PhotometricInterpretation) == (ImplicitVRLittleEndian, "RGB")
    assert (came.LossyImageCompression, came.NumberOfFrames) == ("01", made.NumberOfFrames)
    coded = list(generate_frames(made.PixelData, number_of_frames=made.NumberOfFrames))
    for index in (0, made.NumberOfFrames - 1):
        reference = simplejpeg.decode_jpeg(coded[index], colorspace="RGB").astype(int)
        assert abs(came.pixel_array[index] - reference).max() <= 8  # two ways to widen the colours
    for ds in (came, made):
        ds.remove_private_tags()  # whose VR an implicit one does not know
    del came.PixelData, made.PixelData, came.PhotometricInterpretation, made.PhotometricInterpretation
    came.pop("PlanarConfiguration", None)
    made.pop("PlanarConfiguration", None)
    assert as_json(came) == as_json(made)


@pytest.mark.peer("storescp")
def test_what_is_compressed_otherwise_is_refused_clearly_and_holds_no_other_back(result_files, kept, data):
    with storescp(kept, "+xi") as port:
        refused, *others = send([outgoing(data / "US1_J2KR.dcm"), *result_files], port)
    assert isinstance(refused, DeliveryRefused)
    assert (
        str(refused)
        == "the peer does not take Ultrasound Image Storage in JPEG 2000 Image Compression (Lossless Only)"
    )
    assert others == [None, None]


@pytest.mark.peer("storescp")
def test_a_class_that_is_not_taken_at_all_is_named(result_files, kept, tmp_path):
    profile = tmp_path / "storescp.cfg"
    profile.write_text(
        "[[TransferSyntaxes]]\n[Any]\nTransferSyntax1 = LocalEndianExplicit\n"
        "[[PresentationContexts]]\n[StorageSCP]\n"
        "PresentationContext1 = UltrasoundMultiframeImageStorage\\Any\n"
        "[[Profiles]]\n[Default]\nPresentationContexts = StorageSCP\n",
        encoding="utf-8",
    )
    with storescp(kept, "-xf", str(profile), "Default") as port:
        errors = send(result_files, port)
    assert {str(e) for e in errors} == {
        "the peer does not take Comprehensive 3D SR Storage",
        "the peer does not take Segmentation Storage",
    }


@pytest.mark.parametrize("ask", [None, "send_c_echo"])
def test_an_association_whose_thread_ends_as_it_is_used_holds_nobody_up(ask):
    """What pynetdicom's ``kill`` does, and the other thread then, where both come at one moment."""

    def use() -> None:
        ae = scu.application_entity("ECHONODE", 5, 1)
        ae.add_requested_context(Verification)
        peer = scu.Peer(ae_title="PEER", host="127.0.0.1", port=archive.port)
        with scu.associated(ae, peer) as assoc:
            assoc._reactor_checkpoint.clear()
            while not assoc._is_paused:
                time.sleep(0.001)
            assoc._kill = True
            assoc._reactor_checkpoint.set()
            assoc.join()
            if ask is not None:
                getattr(assoc, ask)()

    with storage_peer([(Verification, [ImplicitVRLittleEndian])]) as archive:
        user = threading.Thread(target=use, daemon=True)
        user.start()
        user.join(60)
        assert not user.is_alive()
