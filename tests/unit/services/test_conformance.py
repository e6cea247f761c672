"""The conformance statement says what the configuration and the code say."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydicom.uid import ExplicitVRLittleEndian

import echo_node
from echo_node.codes import LOCAL_SCHEME, ObjectKind, Quantity, Reason, View
from echo_node.config import Config
from echo_node.dicom import scu
from echo_node.reports import example
from echo_node.services.conformance import sending, statement
from echo_node.services.conformance.markdown import page, table
from echo_node.services.conformance.objects import READ
from echo_node.services.receive import _purpose
from tests.statements import rows

CONFIGURED = Config.model_validate(
    {
        "node": {"database": "postgresql+psycopg://user:secret@db.example/node", "storage": "/private/spool"},
        "receive": {
            "ae_title": "NODE1",
            "host": "::1",
            "port": 10400,
            "carts": [{"ae_title": "VIVID1", "hosts": ["192.0.2.7", "198.51.100.0/24"]}],
            "max_associations": 7,
            "pdu_kib": 64,
            "idle_seconds": 42.5,
        },
        "deliver": {
            "calling_ae_title": "SENDER",
            "destinations": [
                {
                    "name": "pacs",
                    "ae_title": "PACS",
                    "host": "pacs.example",
                    "port": 104,
                    "commitment": "request",
                },
                {"name": "lab", "ae_title": "LAB", "host": "192.0.2.20", "port": 105, "objects": ["sr"]},
                {
                    "name": "cloud",
                    "url": "https://cloud.example/dicom-web",
                    "token_file": "/private/token",
                    "objects": ["sr_tid5200", "seg"],
                    "seg_transfer_syntax": "deflated",
                },
            ],
        },
    }
)


@pytest.fixture(scope="module")
def text() -> str:
    return statement(CONFIGURED)


def test_titles_addresses_and_limits_are_the_configured_ones(text):
    assert rows(text, "4.4.1 AE title") == [
        ["receive", "NODE1", "::1", "10400"],
        ["deliver", "SENDER", "any of the machine", "any"],
        ["destination pacs", "PACS", "pacs.example", "104"],
        ["destination lab", "LAB", "192.0.2.20", "105"],
        ["destination cloud", "none: STOW-RS", "https://cloud.example/dicom-web", "of the URL"],
    ]
    assert rows(text, "7.2 Association level") == [
        ["VIVID1", "192.0.2.7, 198.51.100.0/24", "storage"],
        ["PACS", "of pacs.example", "storage commitment"],
    ]
    policies = dict(rows(text, "4.2.1.2 Association policies"))
    assert policies["associations at once"] == "7"
    assert policies["maximum length of a received PDU"] == f"{64 << 10} bytes"
    assert ["receive.idle_seconds", "42.5", "300"] in rows(text, "4.4.2 Parameters")
    assert "listens on ::1 (IPv6)" in text


def test_each_destination_is_proposed_what_it_is_sent(text):
    proposed = list(dict.fromkeys((row[0], row[1]) for row in rows(text, "Table 4.2-7")))
    assert proposed == [
        ("pacs", "Comprehensive 3D SR Storage"),
        ("pacs", "Comprehensive SR Storage"),
        ("pacs", "Segmentation Storage"),
        ("pacs", "Key Object Selection Document Storage"),
        ("lab", "Comprehensive 3D SR Storage"),
        ("lab", "Comprehensive SR Storage"),
        ("lab", "Key Object Selection Document Storage"),
    ]


def test_each_web_service_is_stored_what_it_is_sent(text):
    assert [(row[0], row[1], row[3]) for row in rows(text, "Table 4.2-10")] == [
        ("cloud", "Comprehensive SR Storage", "Explicit VR Little Endian"),
        ("cloud", "Segmentation Storage", "Deflated Explicit VR Little Endian"),
        ("cloud", "Segmentation Storage", "Explicit VR Little Endian"),
        ("cloud", "Key Object Selection Document Storage", "Explicit VR Little Endian"),
    ]


def test_a_node_that_sends_over_the_web_alone_proposes_nothing():
    cloud = CONFIGURED.deliver.destinations[-1:]
    deliver = CONFIGURED.deliver.model_copy(update={"destinations": cloud})
    made = {
        report.kind: SimpleNamespace(SOPClassUID=report.SOPClassUID, TransferSyntaxUID=ExplicitVRLittleEndian)
        for report in example.full(1).reports
    }
    told = page(sending.deliver_entity(CONFIGURED.model_copy(update={"deliver": deliver}), made))
    assert "by default" not in told
    assert "None: no destination is sent to by C-STORE, all have a `url` (section 4.2.2.5)." in told
    assert {row[0] for row in rows(told, "Table 4.2-10")} == {"cloud"}


def test_what_is_kept_only_is_what_the_receiver_does_nothing_with(text):
    store = SimpleNamespace(has_made=lambda _: False)
    for heading, is_used in (("Table 4.2-1", True), ("Table 4.2-2", False)):
        for row in rows(text, f"{heading}: "):
            job, _ = _purpose(store, SimpleNamespace(SOPClassUID=row[1], SOPInstanceUID="1.2"))
            assert (job is not None) == is_used, row
    persons = [row for row in rows(text, "Table 4.2-1: ") if row[4].startswith("what a person drew")]
    assert [row[0] for row in persons] == [
        "Enhanced SR Storage",
        "Comprehensive SR Storage",
        "Comprehensive 3D SR Storage",
        "Extensible SR Storage",
        "Simplified Adult Echo SR Storage",
    ]
    assert {row[3] for row in rows(text, "Table 1-1") if "SR Storage" in row[0]} == {"Yes"}


def test_archives_that_report_on_commitment_are_told(text):
    (told,) = [line for line in text.split("\n\n") if line.startswith("An archive that is no cart")]
    assert "(pacs)" in told
    assert "NODE1 or SENDER" in " ".join(told.split())


def test_neither_secrets_nor_folders_are_told(text):
    assert "secret" not in text
    assert "db.example" not in text
    assert "/private" not in text


def test_every_status_is_treated_as_the_sender_treats_it(text):
    told = {}
    for statuses, treatment in rows(text, "Table 4.2-8"):
        first, *last = (int(part, 16) for part in statuses.split(" to "))
        told |= dict.fromkeys(range(first, (last or [first])[0] + 1), treatment)
    assert sorted(told) == list(range(0x10000))
    for status in (
        0x0000, 0x0001, 0x0110, 0x0111, 0x0122, 0x0124, 0xA700, 0xA7FF, 0xA900, 0xB000, 0xB001, 0xB006, 0xC000,
        0xFFFF,
    ):  # fmt: skip
        error = scu.judged(status)
        expected = "the destination has it" if error is None else ""
        assert told[status].startswith(expected)
        if error is not None:
            assert told[status].startswith("sent again") == (not isinstance(error, scu.DeliveryRefused))


def test_all_codes_and_every_private_one_are_listed(text):
    codes = {(row[0], row[1]) for row in rows(text, "8.3.1 Context groups", tables=10)}
    for member in (*View, *Quantity, *Reason):
        assert (member.code.value, member.code.scheme) in codes
    private = {row[0] for row in rows(text, "8.3.3 Private code")}
    assert private == {value for value, scheme in codes if scheme == LOCAL_SCHEME}


def test_attributes_that_are_read_are_all_told():
    """Every keyword that the code asks a received object for, found in its text."""
    code = "".join(path.read_text() for path in (Path(echo_node.__file__).parent / "dicom").glob("*.py"))
    asked = set(re.findall(r'elements\.(?:text|integer|numbers|sequence|raw)\("(\w+)"', code))
    assert len(asked) > 10
    assert asked <= READ.keys()


def test_created_objects_say_what_is_fixed_copied_and_made(text):
    report = {row[0]: row for row in rows(text, "8.1.1.1 Comprehensive", tables=20)}
    assert report["SeriesNumber"][3:] == ["ALWAYS", "FIXED", "9001"]
    assert report["PatientName"][3:5] == ["VNAP", "COPY"]
    assert report["SeriesDate"][3:] == ["ANAP", "COPY", "StudyDate"]
    assert report["SOPInstanceUID"][3:5] == ["ALWAYS", "AUTO"]
    assert report["TimezoneOffsetFromUTC"][3:5] == ["ALWAYS", "EITHER"]
    segmentation = {row[0]: row for row in rows(text, "8.1.1.2 Segmentation", tables=20)}
    assert segmentation["SegmentationType"][3:] == ["ALWAYS", "FIXED", "BINARY"]
    assert segmentation["Rows"][3:5] == ["ALWAYS", "COPY"]
    assert segmentation["NumberOfFrames"][4] == "AUTO"
    tree = [row[3] for row in rows(text, "Content tree of `sr`")]
    assert "(112040, DCM, Tracking Unique Identifier)" in tree
    assert "(111001, DCM, Algorithm Name)" in tree


def test_every_kind_of_object_is_described(text):
    headings = re.findall(r"^##### (8\.1\.1\.\d+) .+$", text, re.MULTILINE)
    assert headings == [f"8.1.1.{n}" for n in range(1, 16)]
    for kind in ObjectKind:
        assert re.search(rf"^##### 8\.1\.1\.\d+ \w.*, `{kind.value}`$", text, re.MULTILINE), kind
    older = {row[0]: row[5] for row in rows(text, ", `sr_comprehensive`", tables=1)}
    assert older["SOPClassUID"] == "1.2.840.10008.5.1.4.1.1.88.33"
    assert not older.keys() & {"PatientName", "SeriesNumber"}
    labels = {row[0]: row[5] for row in rows(text, ", `seg_labelmap`", tables=1)}
    assert (labels["SegmentationType"], labels["BitsAllocated"], labels["PixelPaddingValue"]) == (
        "LABELMAP",
        "8",
        "0",
    )
    overlay = {row[0]: row[5] for row in rows(text, ", `overlay`", tables=20)}
    assert (overlay["BurnedInAnnotation"], overlay["SeriesNumber"]) == ("YES", "9005")
    page_ = {row[0]: row[5] for row in rows(text, ", `pdf`", tables=20)}
    assert page_["MIMETypeOfEncapsulatedDocument"] == "application/pdf"
    simplified = [row[3] for row in rows(text, "Content tree of `sr_tid5300`")]
    assert "(125301, DCM, Pre-coordinated Measurements)" in simplified


def test_no_patient_of_the_examples_is_named(text):
    assert not re.search(r"\bName\d|\bID\d|Referrer\d|2\.25\.[123]\.1", text)


def test_links_lead_to_headings(text):
    headings = re.findall(r"^##+ (.+)$", text, re.MULTILINE)
    assert len(headings) == len(set(headings) | {"Extended negotiation", "Storage"})
    for name, target in re.findall(r"- \[(.+)\]\(#(.+)\)", text):
        assert name in headings
        assert target == re.sub(r"[^a-z0-9 -]", "", name.lower()).replace(" ", "-")


def test_a_bar_in_a_cell_does_not_end_it():
    assert table(("a",), [("x|y",)]) == "| a |\n| --- |\n| x&#124;y |"


def test_paragraphs_are_filled_and_tables_are_not():
    long = "word " * 60
    first, second = page([long, "| " + long]).rstrip("\n").split("\n\n")
    assert max(map(len, first.splitlines())) <= 116
    assert len(second.splitlines()) == 1
