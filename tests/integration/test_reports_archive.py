"""An archive takes what the node makes and gives it back unchanged."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import cv2
import highdicom
import numpy as np
import numpy.typing as npt
import pydicom
import pytest

from echo_node.codes import ObjectKind, Structure
from echo_node.dicom.clips import open_clip
from echo_node.pictures import plan_overlay
from echo_node.records import Report
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
    reports = build_reports(
        analysis(clip(of, structures=(Structure.LV_CAVITY, Structure.LA))),
        {of.SOPInstanceUID: of},
        kinds=tuple(kind for kind in ObjectKind if kind is not ObjectKind.SEG_LABELMAP),  # see test_seg_syntaxes
        frames=lambda _: open_clip(data / "acuson-a4c-65f-jpeg.dcm"),
    )
    folder = tmp_path_factory.mktemp("sent")
    for number, report in enumerate(reports):
        (folder / f"{number}.dcm").write_bytes(report.content)
    command = ["/usr/bin/storescu", "-R", "-aec", archive.ae_title, "127.0.0.1", str(archive.dicom_port)]
    plain = [n for n, report in enumerate(reports) if report.kind is not ObjectKind.OVERLAY]
    for proposed, numbers in (("-xe", plain), ("-xy", set(range(len(reports))) - {*plain})):
        files = [folder / f"{number}.dcm" for number in sorted(numbers)]
        subprocess.run([*command, proposed, *files], check=True, timeout=60)
    return reports


@pytest.mark.peer("Orthanc", "storescu")
def test_objects_come_back_unchanged(archive: Orthanc, sent: tuple[Report, ...]) -> None:
    for report in sent:
        kept = pydicom.dcmread(BytesIO(stored(archive, report.SOPInstanceUID)))
        made = pydicom.dcmread(BytesIO(report.content))
        assert kept == made


@pytest.mark.peer("Orthanc", "storescu")
def test_masks_and_numbers_read_back_from_the_archive(archive: Orthanc, sent: tuple[Report, ...]) -> None:
    seg, *others = sent
    before, after = (highdicom.seg.segread(BytesIO(c)) for c in (seg.content, stored(archive, seg.SOPInstanceUID)))
    np.testing.assert_array_equal(after.pixel_array, before.pixel_array)
    documents = [report for report in others if report.kind.name.startswith("SR")]
    assert len(documents) == 5
    for report in documents:
        assert read_report(stored(archive, report.SOPInstanceUID)) == read_report(report.content) is not None


@pytest.mark.peer("Orthanc", "storescu")
def test_dicomweb_lists_one_series_of_each_kind(archive: Orthanc, sent: tuple[Report, ...]) -> None:
    study = pydicom.dcmread(BytesIO(sent[0].content)).StudyInstanceUID
    answer = archive.get(f"/dicom-web/studies/{study}/series", accept="application/dicom+json")
    series = {(s["00080060"]["Value"][0], s["00200011"]["Value"][0]) for s in json.loads(answer)}
    assert series == {("SR", 9001), ("SEG", 9002), ("SR", 9003), ("SR", 9004), ("US", 9005), ("DOC", 9006)}


@pytest.mark.peer("Orthanc", "storescu")
def test_the_archive_gives_an_overlay_back_as_the_clip_that_it_was_drawn_on(
    archive: Orthanc, sent: tuple[Report, ...], data: Path, tmp_path: Path
) -> None:
    """Where nothing was drawn, it differs from the source by what JPEG loses; its calibration and times stay."""
    overlay = next(report for report in sent if report.kind is ObjectKind.OVERLAY)
    path = tmp_path / "overlay.dcm"
    path.write_bytes(stored(archive, overlay.SOPInstanceUID))
    after, before = open_clip(path), open_clip(data / "acuson-a4c-65f-jpeg.dcm")
    assert after.NumberOfFrames == before.NumberOfFrames
    assert after.spacing_mm == before.spacing_mm
    assert after.times_ms is not None
    assert before.times_ms is not None
    np.testing.assert_allclose(after.times_ms, before.times_ms)
    plan = plan_overlay(clip(read_source(before.path), structures=(Structure.LV_CAVITY, Structure.LA)), before)
    for index in (0, 30, 64):
        source, shown = next(before.colours([index])), next(after.colours([index]))
        untouched = far_from((plan.draw(source, index + 1) != source).any(axis=-1))
        difference = np.abs(source.astype(int) - shown)[untouched]
        assert untouched.mean() > 0.4
        assert difference.mean() < 2
        assert np.quantile(difference, 0.999) < 24  # edges of the maker's coloured text


@pytest.mark.peer("Orthanc", "storescu")
def test_the_archive_gives_the_page_back(archive: Orthanc, sent: tuple[Report, ...]) -> None:
    page = next(report for report in sent if report.kind is ObjectKind.PDF)
    answer = archive.get(f"/instances/{identifier_of(archive, page.SOPInstanceUID)}/pdf")
    made = pydicom.dcmread(BytesIO(page.content))
    assert answer[: made.EncapsulatedDocumentLength] == made.EncapsulatedDocument[: made.EncapsulatedDocumentLength]
    assert answer.startswith(b"%PDF")


def far_from(drawn: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Pixels that share no JPEG block with a drawn one."""
    return cv2.dilate(drawn.astype(np.uint8), np.ones((33, 33), np.uint8)) == 0


def stored(archive: Orthanc, SOPInstanceUID: str) -> bytes:
    """The Part 10 file that the archive keeps of an object."""
    return archive.get(f"/instances/{identifier_of(archive, SOPInstanceUID)}/file")


def identifier_of(archive: Orthanc, SOPInstanceUID: str) -> str:
    """The archive's own name of an object."""
    for identifier in json.loads(archive.get("/instances")):
        if json.loads(archive.get(f"/instances/{identifier}"))["MainDicomTags"]["SOPInstanceUID"] == SOPInstanceUID:
            return str(identifier)
    raise LookupError(SOPInstanceUID)
