"""Orthanc and dcmqrscp take every kind of object, by both transports, and give each back as it was sent.

dcmqrscp speaks no DICOMweb: C-STORE in, C-GET and C-MOVE out. Orthanc is stored to by C-STORE and by STOW-RS,
and read by WADO-RS and REST.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    SimplifiedAdultEchoSRStorage,
)

from echo_node.codes import ObjectKind
from echo_node.dicom import scu, stow
from echo_node.dicom.scu import Outgoing, Peer
from echo_node.records import Report
from tests.peers import Orthanc, by_wado_rs, dcmqrscp, free_port, orthanc
from tests.validation.exams import make

# What an archive adds is in the file meta information, where dcmqrscp and Orthanc write their own names: not in
# the data set, of which all is compared.
# DCMTK takes and sends one syntax beside the uncompressed ones, which an option names.
PREFERENCES = {
    ExplicitVRLittleEndian: "+x=", JPEGBaseline8Bit: "+xy", JPEGLSLossless: "+xt",
    DeflatedExplicitVRLittleEndian: "+xd",
}  # fmt: skip
NEWER_THAN_THE_PEERS = {
    "1.2.840.10008.5.1.4.1.1.66.7"
}  # Label Map Segmentation: refused by C-STORE; Orthanc takes it by STOW-RS
# DCMTK 3.6.7 proposes less than 128 contexts, and not this class: dcmqrscp keeps it, and cannot send it again.
NOT_PROPOSED = {SimplifiedAdultEchoSRStorage}
NAMES = "accepted by a person", "rejected by a person", "a person's drawings on the node", "ISO 2022 IR 87"


@pytest.fixture(scope="module")
def objects(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, ...]:
    """Every kind of object, with all sorts of numbers, accepted and rejected, and some with Japanese names."""
    found: dict[str, Report] = {}
    for name in NAMES:
        for report in make(name, tmp_path_factory.mktemp("exam"), data).reports:
            found.setdefault(report.SOPInstanceUID, report)
    assert {report.kind for report in found.values()} == {*ObjectKind}
    return tuple(found.values())


@pytest.fixture(scope="module")
def outgoing(objects: Sequence[Report], tmp_path_factory: pytest.TempPathFactory) -> list[Outgoing]:
    folder = tmp_path_factory.mktemp("outgoing")
    items = []
    for report in objects:
        path = folder / report.SOPInstanceUID
        path.write_bytes(report.content)
        items.append(Outgoing(report.SOPClassUID, report.SOPInstanceUID, path))
    return items


def same(sent: Sequence[Report], kept: Mapping[str, Dataset]) -> None:
    """Every object is there once, with every attribute and every byte of its pixels as it was sent."""
    assert kept.keys() == {report.SOPInstanceUID for report in sent}
    for report in sent:
        made, back = pydicom.dcmread(BytesIO(report.content)), kept[report.SOPInstanceUID]
        assert back.file_meta.TransferSyntaxUID == made.file_meta.TransferSyntaxUID, report.kind
        assert [e.tag for e in back] == [e.tag for e in made], report.kind
        for element in made:
            assert back[element.tag] == element, (report.kind, element.keyword)


def by_uid(contents: Sequence[bytes]) -> dict[str, Dataset]:
    read = [pydicom.dcmread(BytesIO(content)) for content in contents]
    kept: dict[str, Dataset] = {str(ds.SOPInstanceUID): ds for ds in read}
    assert len(kept) == len(read)  # none came twice
    return kept


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("archive")) as running:
        yield running


@pytest.mark.peer("Orthanc")
@pytest.mark.parametrize("transport", ["C-STORE", "STOW-RS"])
def test_orthanc_keeps_every_object_as_it_was_sent(
    transport: str, archive: Orthanc, objects: Sequence[Report], outgoing: list[Outgoing]
) -> None:
    for name in json.loads(archive.get("/instances")):
        archive.delete(f"/instances/{name}")
    sent = objects
    if transport == "C-STORE":
        outgoing = [item for item in outgoing if item.SOPClassUID not in NEWER_THAN_THE_PEERS]
        sent = [report for report in objects if report.SOPClassUID not in NEWER_THAN_THE_PEERS]
        to = Peer(ae_title=archive.ae_title, host="127.0.0.1", port=archive.dicom_port)
        errors = scu.send(outgoing, to=to, calling_ae="ECHONODE", response_seconds=300)
    else:
        errors = stow.send(outgoing, to=stow.Service(url=f"{archive.url}/dicom-web"), response_seconds=300)
    assert [error for error in errors if error is not None] == []
    names = json.loads(archive.get("/instances"))
    same(sent, by_uid([archive.get(f"/instances/{name}/file") for name in names]))
    studies = {str(pydicom.dcmread(item.path, stop_before_pixels=True).StudyInstanceUID) for item in outgoing}
    same(sent, by_uid(by_wado_rs(archive, studies)))


@pytest.mark.peer("dcmqrscp", "getscu", "movescu")
def test_dcmqrscp_keeps_every_object_as_it_was_sent(
    objects: Sequence[Report], outgoing: list[Outgoing], tmp_path: Path
) -> None:
    taken = [item for item in outgoing if item.SOPClassUID not in NEWER_THAN_THE_PEERS]
    syntaxes = {
        item: pydicom.dcmread(item.path, stop_before_pixels=True).file_meta.TransferSyntaxUID for item in taken
    }
    for number, syntax in enumerate(sorted(set(syntaxes.values()))):
        items = [item for item in taken if syntaxes[item] == syntax]
        sent = [report for report in objects if report.SOPInstanceUID in {item.SOPInstanceUID for item in items}]
        folder = tmp_path / f"archive{number}"
        folder.mkdir()
        mover, preference = free_port(), PREFERENCES[syntax]
        with dcmqrscp(folder, preference, preference.replace("+", "-"), movers={"MOVER": mover}) as port:
            errors = scu.send(items, to=Peer(ae_title="QR", host="127.0.0.1", port=port), calling_ae="ECHONODE")
            assert [error for error in errors if error is not None] == []
            study = str(pydicom.dcmread(items[0].path, stop_before_pixels=True).StudyInstanceUID)
            query = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}", "127.0.0.1", str(port)]
            same(sent, by_uid(kept_by_dcmqrscp(folder)))
            back = [report for report in sent if report.SOPClassUID not in NOT_PROPOSED]
            known = ["-S", "-aec", "QR", preference, "+B"]
            for program, more in (
                ("getscu", []),
                ("movescu", ["-aet", "MOVER", "-aem", "MOVER", "+P", str(mover)]),
            ):
                target = folder / program
                target.mkdir()
                command = [f"/usr/bin/{program}", *more, *known, *query]
                done = subprocess.run(command, cwd=target, check=False, timeout=600)
                assert len(back) < len(sent) or done.returncode == 0
                same(back, by_uid([path.read_bytes() for path in target.iterdir()]))


def kept_by_dcmqrscp(folder: Path) -> list[bytes]:
    """The files of its archive."""
    return [path.read_bytes() for path in (folder / "qr").iterdir() if path.name != "index.dat"]
