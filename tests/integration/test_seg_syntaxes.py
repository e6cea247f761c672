"""Segmentations go compressed to peers that take them so, and uncompressed to all others."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    ComprehensiveSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    SegmentationStorage,
)

from echo_node.codes import ObjectKind, SegTransferSyntax, Structure
from echo_node.dicom import recode, scu, stow
from echo_node.errors import DeliveryRefused, DeliveryUnreachable
from echo_node.reports import build_reports, read_source
from tests.integration.storage_peer import storage_peer
from tests.integration.test_stow import Server
from tests.peers import Orthanc, dcmqrscp, orthanc, storescp
from tests.unit.reports.builders import analysis, clip

BINARY, LABELMAP = ObjectKind.SEG, ObjectKind.SEG_LABELMAP
COMPRESSED = [
    (BINARY, SegTransferSyntax.DEFLATED),
    (LABELMAP, SegTransferSyntax.DEFLATED),
    (LABELMAP, SegTransferSyntax.JPEG_LS),
]


@pytest.fixture(scope="module")
def segs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[ObjectKind, scu.Outgoing]:
    """Both forms of a real clip's segmentation, as files."""
    of = read_source(data / "acuson-a4c-65f-jpeg.dcm")
    folder = tmp_path_factory.mktemp("segs")
    study = analysis(clip(of, structures=(Structure.LV_CAVITY, Structure.LV_MYOCARDIUM, Structure.LA)))
    items = {}
    for report in build_reports(study, {of.SOPInstanceUID: of}, kinds=(BINARY, LABELMAP)):
        path = folder / f"{report.kind.value}.dcm"
        path.write_bytes(report.content)
        items[report.kind] = scu.Outgoing(report.SOPClassUID, report.SOPInstanceUID, path)
    return items


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    folder = tmp_path / "kept"
    folder.mkdir()
    return folder


def wanting(item: scu.Outgoing, syntax: SegTransferSyntax) -> scu.Outgoing:
    preferred = recode.preferred(item.SOPClassUID, syntax)
    return scu.Outgoing(item.SOPClassUID, item.SOPInstanceUID, item.path, preferred)


def send(item: scu.Outgoing, port: int, *, ae_title: str = "ANY"):
    (error,) = scu.send([item], to=scu.Peer(ae_title=ae_title, host="127.0.0.1", port=port), calling_ae="ECHONODE")
    return error


def assert_same(came: bytes, item: scu.Outgoing) -> None:
    """The same dataset, and highdicom reads the same pixels out of it."""
    after, before = pydicom.dcmread(BytesIO(came)), pydicom.dcmread(item.path)
    np.testing.assert_array_equal(highdicom.seg.segread(BytesIO(came)).pixel_array, before.pixel_array)
    for ds in (after, before):
        del ds.PixelData
    assert after == before


def only(folder: Path) -> bytes:
    (path,) = (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".dat")
    return path.read_bytes()


def syntax_of(content: bytes) -> str:
    return str(pydicom.dcmread(BytesIO(content), stop_before_pixels=True).file_meta.TransferSyntaxUID)


@pytest.mark.peer("storescp")
def test_dcmtk_takes_a_binary_one_deflated(segs, kept):
    item = wanting(segs[BINARY], SegTransferSyntax.DEFLATED)
    with storescp(kept, "+xd", "+B") as port:  # +B: written as received
        assert send(item, port) is None
    came = only(kept)
    assert syntax_of(came) == DeflatedExplicitVRLittleEndian
    assert len(came) < item.path.stat().st_size / 5
    assert_same(came, item)


@pytest.mark.peer("storescp")
def test_a_peer_without_deflate_gets_it_uncompressed(segs, kept):
    item = wanting(segs[BINARY], SegTransferSyntax.DEFLATED)
    with storescp(kept, "+xe", "+B") as port:
        assert send(item, port) is None
    assert syntax_of(only(kept)) == ExplicitVRLittleEndian
    assert_same(only(kept), item)


@pytest.mark.peer("dcmqrscp")
def test_dcmtks_archive_takes_it_in_whichever_it_knows(segs, tmp_path):
    item = wanting(segs[BINARY], SegTransferSyntax.DEFLATED)
    with dcmqrscp(tmp_path) as port:
        assert send(item, port, ae_title="QR") is None
    assert_same(only(tmp_path / "qr"), item)


@pytest.mark.peer("storescp")
@pytest.mark.parametrize(
    ("syntax", "option"), [(SegTransferSyntax.DEFLATED, "+xd"), (SegTransferSyntax.JPEG_LS, "+xt")]
)
def test_dcmtk_takes_a_label_map_where_it_takes_unknown_classes(segs, kept, syntax, option):
    item = wanting(segs[LABELMAP], syntax)
    with storescp(kept, "-pm", option, "+B") as port:
        assert send(item, port) is None
    assert syntax_of(only(kept)) == item.preferred
    assert len(only(kept)) < item.path.stat().st_size / 20
    assert_same(only(kept), item)


@pytest.mark.peer("storescp")
def test_dcmtk_refuses_a_label_map_as_it_stands(segs, kept):
    with storescp(kept, "+xd") as port:
        error = send(wanting(segs[LABELMAP], SegTransferSyntax.DEFLATED), port)
    assert isinstance(error, DeliveryRefused)
    assert list(kept.iterdir()) == []


@pytest.mark.peer("Orthanc")
def test_orthanc_keeps_a_deflated_one_and_gives_it_back(segs, tmp_path):
    item = wanting(segs[BINARY], SegTransferSyntax.DEFLATED)
    with orthanc(tmp_path) as archive:
        assert send(item, archive.dicom_port) is None
        by_c_store = only_instance(archive)
        archive.delete(f"/instances/{json.loads(archive.get('/instances'))[0]}")
        assert stow.send([item], to=stow.Service(url=f"{archive.url}/dicom-web")) == [None]
        by_stow = only_instance(archive)
    for came in (by_c_store, by_stow):
        assert syntax_of(came) == DeflatedExplicitVRLittleEndian
        assert_same(came, item)


@pytest.mark.peer("Orthanc")
@pytest.mark.parametrize("syntax", [SegTransferSyntax.UNCOMPRESSED, SegTransferSyntax.JPEG_LS])
def test_orthanc_takes_a_label_map_over_the_web_alone(segs, tmp_path, syntax):
    """1.10.1 negotiates only the storage classes that it has a list of."""
    item = wanting(segs[LABELMAP], syntax)
    with orthanc(tmp_path) as archive:
        assert isinstance(send(item, archive.dicom_port), DeliveryRefused)
        assert stow.send([item], to=stow.Service(url=f"{archive.url}/dicom-web")) == [None]
        came = only_instance(archive)
    assert syntax_of(came) == (item.preferred or ExplicitVRLittleEndian)
    assert_same(came, item)


@pytest.mark.parametrize("status", [0xC000, 0x0110])
@pytest.mark.parametrize(("kind", "syntax"), COMPRESSED)
def test_what_is_refused_compressed_goes_uncompressed_in_the_same_association(segs, kind, syntax, status):
    """A peer that negotiates a transfer syntax and cannot read it after all."""
    item = wanting(segs[kind], syntax)
    assert item.preferred is not None
    contexts = [(item.SOPClassUID, [item.preferred, ExplicitVRLittleEndian])]
    with storage_peer(contexts, refused_syntaxes=(item.preferred,), refusal=status) as peer:
        assert send(item, peer.port) is None
    (came,) = peer.received
    assert came[-5000:] == item.path.read_bytes()[-5000:]
    assert syntax_of(came) == ExplicitVRLittleEndian
    with storage_peer(contexts[:1]) as peer:
        assert send(item, peer.port) is None
    assert_same(peer.received[0], item)
    assert syntax_of(peer.received[0]) == item.preferred


def test_a_peer_of_one_compressed_syntax_alone_that_refuses_is_believed(segs):
    item = wanting(segs[LABELMAP], SegTransferSyntax.JPEG_LS)
    with storage_peer([(item.SOPClassUID, [JPEGLSLossless])], refused_syntaxes=(JPEGLSLossless,)) as peer:
        error = send(item, peer.port)
    assert isinstance(error, DeliveryRefused)
    assert "C000" in str(error)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(0xC122, DeliveryRefused), (0x0110, DeliveryUnreachable)],  # of the syntax (PS3.18 I.2.2); of who knows what
)
def test_a_web_server_that_refuses_the_syntax_gets_it_uncompressed(segs, reason, expected):
    item = wanting(segs[BINARY], SegTransferSyntax.DEFLATED)
    server = Server()
    try:
        server.answer(409, failed=item.SOPInstanceUID, reason=reason)
        (error,) = stow.send([item], to=stow.Service(url=server.url))
        assert isinstance(error, expected)
        compressed, plain = (body for _, body in server.requests)
        assert len(compressed) < len(plain) / 5
        assert item.path.read_bytes() in plain
        server.requests.clear()
        server.answer(503)
        stow.send([item], to=stow.Service(url=server.url))
        assert len(server.requests) == 1  # that says nothing of the object
    finally:
        server.stop()


def test_binary_ones_are_not_coded_in_jpeg_ls():
    """One that was queued before a destination changed to label maps."""
    assert recode.preferred(SegmentationStorage, SegTransferSyntax.JPEG_LS) is None
    assert recode.preferred(ComprehensiveSRStorage, SegTransferSyntax.DEFLATED) is None


def only_instance(archive: Orthanc) -> bytes:
    (name,) = json.loads(archive.get("/instances"))
    return archive.get(f"/instances/{name}/file")
