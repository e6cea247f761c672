"""What several tests with peers send."""

from __future__ import annotations

from pathlib import Path

import pytest

from echo_node.dicom import scu
from echo_node.reports import build_reports, read_source
from tests.unit.reports.builders import analysis, clip


@pytest.fixture(scope="module")
def result_files(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[scu.Outgoing]:
    """An SR and a SEG of a real clip, as files."""
    of = read_source(data / "acuson-a4c-65f-jpeg.dcm")
    folder = tmp_path_factory.mktemp("reports")
    items = []
    for report in build_reports(analysis(clip(of)), {of.SOPInstanceUID: of}):
        path = folder / f"{report.SOPInstanceUID}.dcm"
        path.write_bytes(report.content)
        items.append(scu.Outgoing(report.SOPClassUID, report.SOPInstanceUID, path))
    assert len(items) == 2
    return items
