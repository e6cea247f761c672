"""A clip whose header breaks the standard is measured; its results arrive valid, readable, with nothing lost."""

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.config import disable_value_validation
from pydicom.uid import generate_uid

from echo_node.codes import ObjectKind, View
from echo_node.records import DeliveryState, Report
from echo_node.store import Outcome
from tests.acceptance.conftest import wait_for
from tests.acceptance.test_node import finished, part10, send_with_pynetdicom
from tests.peers import storescp
from tests.validation.validators import VALIDATORS

OBJECTS = ("sr", "sr_tid5200", "sr_tid5300", "seg", "overlay", "pdf")
TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber",
)  # fmt: skip
PLACE = "Xxxxxx^Xxxx"  # as long as the name in Latin-1


def _clip(cine: bytes) -> pydicom.Dataset:
    """A cine of a study of its own."""
    ds = pydicom.dcmread(BytesIO(cine))
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    return ds


def _without_type_2(ds: pydicom.Dataset) -> bytes:
    for keyword in TYPE_2:
        ds.pop(keyword, None)
    return part10(ds)


def _undeclared(ds: pydicom.Dataset) -> bytes:
    """Latin-1 that is not declared, control characters, a date that does not exist, private elements."""
    ds.pop("SpecificCharacterSet", None)
    with disable_value_validation():
        ds.PatientName, ds.StudyDescription, ds.StudyDate = PLACE, "Echo\r\nfollow-up", "20261345"
        ds.add_new(0x00111001, "LO", "nobody's")
        content = part10(ds)
    return content.replace(PLACE.encode(), "Müller^Jörg".encode("latin-1"))


def _wrong_vrs(ds: pydicom.Dataset) -> bytes:
    """VRs that are as long as the right ones, and a wrong character set."""
    ds.SpecificCharacterSet, ds.PatientName, ds.PatientID = "ISO_IR 192", PLACE, "P-9"
    content = part10(ds).replace(PLACE.encode(), "Müller^Jörg".encode("latin-1"))
    for tag, right, wrong in (
        (b"\x10\0\x10\0", b"PN", b"LO"),
        (b"\x10\0\x20\0", b"LO", b"CS"),
        (b"\x08\0\x20\0", b"DA", b"SH"),
    ):
        assert tag + right in content
        content = content.replace(tag + right, tag + wrong, 1)
    return content


HEADERS = {
    _without_type_2: dict.fromkeys(TYPE_2, ""),
    _undeclared: {"PatientName": "Müller^Jörg", "StudyDescription": "Echo follow-up", "StudyDate": ""},
    _wrong_vrs: {"PatientName": "Müller^Jörg", "PatientID": "P-9"},
}


@pytest.mark.peer("storescp")
@pytest.mark.parametrize("spoil", HEADERS, ids=lambda spoil: spoil.__name__)
def test_results_of_a_bad_header_arrive_in_order(make_node, cines, spoil, tmp_path: Path):
    (tmp_path / "pacs").mkdir()
    with storescp(tmp_path / "pacs", "+xa", "+B") as port:
        pacs = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": port, "objects": list(OBJECTS)}
        node = make_node(destinations=[pacs])
        path = tmp_path / "sent.dcm"
        path.write_bytes(spoil(_clip(cines[View.A4C])))
        send_with_pynetdicom(node, [path])
        (outcome,) = wait_for(lambda: finished(node, 1), seconds=400).values()
        assert outcome.outcome is Outcome.MEASURED
        wait_for(lambda: _all_sent(node), seconds=400)
    contents = [file.read_bytes() for file in (tmp_path / "pacs").iterdir()]
    assert len(contents) == len(OBJECTS)
    for content in contents:
        ds = pydicom.dcmread(BytesIO(content))
        assert {keyword: str(ds[keyword].value or "") for keyword in HEADERS[spoil]} == HEADERS[spoil]
        assert not any(element.tag.is_private for element in ds)
        assert _errors(ds, content, tmp_path / "object.dcm") == []
    assert "Müller" not in node.log
    assert "ended with status" not in node.log


def _all_sent(node) -> bool:
    with node.store() as store:
        states = [delivery.state for delivery in store.outbox.deliveries()]
    return len(states) == len(OBJECTS) and set(states) == {DeliveryState.SENT}


def _errors(ds: pydicom.Dataset, content: bytes, path: Path) -> list[str]:
    """What dciodvfy holds to be an error."""
    report = Report(
        kind=ObjectKind.SR, SOPClassUID=ds.SOPClassUID, SOPInstanceUID=ds.SOPInstanceUID, content=content
    )
    (dciodvfy,) = (validator for validator in VALIDATORS if validator.name == "dciodvfy")
    return [line for line in dciodvfy.findings(path, report) if line.startswith("Error")]
