"""An archive takes what the node makes and gives it back unchanged."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest

from echo_node.codes import Structure
from echo_node.records import ObjectKind, Report
from echo_node.reports import build_reports, read_report, read_source
from tests.peers import Orthanc, orthanc
from tests.unit.reports.builders import analysis, clip


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("archive")) as running:
        yield running


@pytest.fixture(scope="module")
def sent(archive: Orthanc, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, ...]:
    """The objects made from a real clip, stored by DCMTK's storescu.

    Not the clip itself: DCMTK refuses it for a sequence that its maker closed wrongly.
    """
    of = read_source(data / "acuson-a4c-65f-jpeg.dcm")
    study = analysis(clip(of, structures=(Structure.LV_CAVITY, Structure.LA)))
    reports = build_reports(study, {of.SOPInstanceUID: of}, kinds=tuple(ObjectKind))
    folder = tmp_path_factory.mktemp("sent")
    for number, report in enumerate(reports):
        (folder / f"{number}.dcm").write_bytes(report.content)
    command = ["/usr/bin/storescu", "-xe", "-R", "-aec", archive.ae_title, "127.0.0.1"]
    subprocess.run([*command, str(archive.dicom_port), *sorted(folder.iterdir())], check=True, timeout=60)
    return reports


@pytest.mark.peer("Orthanc", "storescu")
def test_objects_come_back_unchanged(archive: Orthanc, sent: tuple[Report, ...]) -> None:
    for report in sent:
        kept = pydicom.dcmread(BytesIO(stored(archive, report.SOPInstanceUID)))
        made = pydicom.dcmread(BytesIO(report.content))
        assert kept == made


@pytest.mark.peer("Orthanc", "storescu")
def test_masks_and_numbers_read_back_from_the_archive(archive: Orthanc, sent: tuple[Report, ...]) -> None:
    kept = [stored(archive, report.SOPInstanceUID) for report in sent]
    before, after = (highdicom.seg.segread(BytesIO(c)) for c in (sent[0].content, kept[0]))
    np.testing.assert_array_equal(after.pixel_array, before.pixel_array)
    for document, report in zip(kept[1:], sent[1:], strict=True):
        assert read_report(document) == read_report(report.content) is not None


@pytest.mark.peer("Orthanc", "storescu")
def test_dicomweb_lists_one_series_of_each_kind(archive: Orthanc, sent: tuple[Report, ...]) -> None:
    study = pydicom.dcmread(BytesIO(sent[0].content)).StudyInstanceUID
    answer = archive.get(f"/dicom-web/studies/{study}/series", accept="application/dicom+json")
    series = {(s["00080060"]["Value"][0], s["00200011"]["Value"][0]) for s in json.loads(answer)}
    assert series == {("SR", 9001), ("SEG", 9002), ("SR", 9003), ("SR", 9004)}


def stored(archive: Orthanc, SOPInstanceUID: str) -> bytes:
    """The Part 10 file that the archive keeps of an object."""
    for identifier in json.loads(archive.get("/instances")):
        content = archive.get(f"/instances/{identifier}/file")
        if pydicom.dcmread(BytesIO(content), stop_before_pixels=True).SOPInstanceUID == SOPInstanceUID:
            return content
    raise LookupError(SOPInstanceUID)
