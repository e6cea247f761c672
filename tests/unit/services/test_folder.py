"""analyse-folder on what is not as it should be."""

from echo_node.config import load
from echo_node.services.folder import analyse_folder
from tests.unit.inference.engines import SHIPPED
from tests.unit.reports.builders import jpeg_clip, source


def test_a_frame_that_cannot_be_decoded_costs_its_picture_alone(tmp_path, capsys):
    """Frame 21 is in the middle, which the picture shows, and not among those that the view is named from."""
    (tmp_path / "in").mkdir()
    (tmp_path / "config.yaml").write_text(f"analyse:\n  engine: {SHIPPED}\n", encoding="utf-8")
    for number, cut in ((1, 21), (2, 40)):
        of = source(f"1.2.826.{number}", Rows=240, Columns=320, NumberOfFrames=40)
        jpeg_clip(tmp_path / "in" / f"{number}.dcm", of, cut=cut)
    assert analyse_folder(load(tmp_path / "config.yaml"), tmp_path / "in", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "1.dcm: no picture: Pixel data cannot be decoded" in said
    assert (tmp_path / "out" / "study-001" / "results.json").exists()
