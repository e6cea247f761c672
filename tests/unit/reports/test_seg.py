"""Segmentations hold exactly the masks they were made from."""

import ast
import inspect
import re
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from random import Random

import highdicom
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom import Dataset

from echo_node.codes import ObjectKind, Structure, View
from echo_node.errors import ReportError
from echo_node.records import ClipAnalysis, Report, Segmentation
from echo_node.reports import build_reports, build_seg
from echo_node.reports import frames as frames_module
from echo_node.reports import seg as seg_module
from echo_node.reports.clip_seg import segment_number
from echo_node.reports.frames import Masks, encode_item, frame_group, frame_groups, pack
from tests.peers import dciodvfy_errors
from tests.unit.reports.builders import (
    COLUMNS,
    ENGINE,
    MADE_AT,
    ROWS,
    clip,
    edit,
    masks,
    segmentation,
    source,
    unmeasured,
)
from tests.unit.reports.builders import analysis as analysis_of

BINARY, LABELMAP = ObjectKind.SEG, ObjectKind.SEG_LABELMAP


def built(of: Dataset, analysis: ClipAnalysis, kind: ObjectKind = BINARY) -> Report:
    report = build_seg(analysis, of, made_at=MADE_AT, kind=kind)
    assert report is not None
    return report


def read_masks(report: Report, structure: Structure) -> dict[int, Masks]:
    """Masks of a structure by source frame number, as highdicom reads them."""
    seg = highdicom.seg.segread(BytesIO(report.content))
    numbers = [
        n for n in seg.segment_numbers if seg.get_segment_description(n).segment_label == structure.code.meaning
    ]
    found = {}
    for item, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        if item.SegmentIdentificationSequence[0].ReferencedSegmentNumber in numbers:
            image = item.DerivationImageSequence[0].SourceImageSequence[0]
            found[int(image.ReferencedFrameNumber)] = pixels.astype(bool)
    return found


@pytest.mark.parametrize("columns", [COLUMNS, 80])  # frames that start within a byte, and that do not
def test_masks_read_back_pixel_for_pixel(columns: int) -> None:
    of = source(Columns=columns)
    analysis = clip(of, structures=tuple(Structure)[:3])
    report = built(of, analysis)
    for segment in analysis.segmentations:
        found = read_masks(report, segment.structure)
        assert sorted(found) == list(segment.frame_numbers)
        for number, mask in zip(segment.frame_numbers, segment.masks, strict=True):
            np.testing.assert_array_equal(found[number], mask)


def test_highdicom_finds_frames_by_source_frame() -> None:
    of = source()
    analysis = clip(of)
    seg = highdicom.seg.segread(BytesIO(built(of, analysis).content))
    pixels = seg.get_pixels_by_source_frame(
        of.SOPInstanceUID,
        source_frame_numbers=[2, 7],
        ignore_spatial_locations=True,
        assert_missing_frames_are_empty=True,
    )
    for segment, structure in enumerate(analysis.segmentations):
        np.testing.assert_array_equal(pixels[..., segment], structure.masks[[1, 6]])


def test_empty_frames_and_empty_segments_are_left_out() -> None:
    of = source()
    some = masks()
    some[[0, 4, 9]] = False
    analysis = clip(
        of,
        segmentations=(
            segmentation(Structure.LV_CAVITY, mask=some),
            segmentation(Structure.LA, mask=np.zeros_like(some)),
            segmentation(Structure.RV, mask=masks(at=0.8)),
        ),
    )
    ds = pydicom.dcmread(BytesIO(built(of, analysis).content))
    assert [s.SegmentLabel for s in ds.SegmentSequence] == ["Left ventricle", "Right ventricle"]
    assert ds.NumberOfFrames == 17
    assert segment_number(analysis, Structure.RV) == 2
    assert segment_number(analysis, Structure.LA) is None
    # frame 1 has a mask of the right ventricle alone; positions count from the first frame shown
    first = ds.PerFrameFunctionalGroupsSequence[0]
    assert first.FrameContentSequence[0].DimensionIndexValues == [1, 2]
    assert first.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber == 2


def test_nothing_to_show_is_no_object() -> None:
    of = source()
    empty = segmentation(mask=np.zeros((3, ROWS, COLUMNS), bool))
    assert build_seg(clip(of, segmentations=(empty,)), of, made_at=MADE_AT) is None
    assert build_seg(unmeasured(of), of, made_at=MADE_AT) is None


def test_middle_frames_keep_their_numbers() -> None:
    of = source(NumberOfFrames=200)
    part = segmentation(mask=masks(frames=4), first=120)
    found = read_masks(built(of, clip(of, segmentations=(part,))), Structure.LV_CAVITY)
    assert sorted(found) == [120, 121, 122, 123]


@pytest.mark.parametrize(
    "segment",
    [
        segmentation(mask=masks(rows=ROWS + 1)),
        segmentation(mask=masks(), first=2),
        replace(segmentation(), frame_numbers=(1, 2)),
        replace(segmentation(), frame_numbers=(1, *range(1, 10))),
    ],
)
def test_masks_that_do_not_fit_the_source_are_refused(segment: Segmentation) -> None:
    of = source()
    with pytest.raises(ReportError):
        build_seg(clip(of, segmentations=(segment,)), of, made_at=MADE_AT)


def test_same_input_same_bytes_other_masks_other_uid() -> None:
    of = source()
    one, again = built(of, clip(of)), built(of, clip(of))
    assert one == again
    moved = clip(of, segmentations=(segmentation(mask=masks(at=0.52)),))
    other_engine = clip(of, engine=replace(ENGINE, digest="f" * 64))
    uids = {one.SOPInstanceUID, built(of, moved).SOPInstanceUID, built(of, other_engine).SOPInstanceUID}
    assert len(uids) == 3


def test_series_is_one_per_study() -> None:
    first, second = source(), source(uid="1.2.826.0.1.3680043.10.1.1.2.9")
    read = [
        pydicom.dcmread(BytesIO(built(of, clip(of, view=view)).content))
        for of, view in ((first, View.A4C), (second, View.A2C))
    ]
    for keyword in ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "SeriesDate", "SeriesTime"):
        assert read[0][keyword] == read[1][keyword]
    assert read[0].SeriesNumber == 9002
    assert read[0].SOPInstanceUID != read[1].SOPInstanceUID


def test_lossy_source_is_said() -> None:
    of = source(LossyImageCompression="01", LossyImageCompressionRatio=12.5)
    ds = pydicom.dcmread(BytesIO(built(of, clip(of)).content))
    assert (ds.LossyImageCompression, ds.LossyImageCompressionRatio) == ("01", 12.5)


@pytest.mark.parametrize(
    ("spacing_mm", "expected"), [((0.1 + 0.2, 0.6), {"PixelSpacing": [0.3, 0.6], "SliceThickness": 1}), (None, {})]
)
def test_pixel_measures_are_there_and_state_the_calibration_alone(
    spacing_mm: tuple[float, float] | None, expected: dict[str, object]
) -> None:
    of = source()
    ds = pydicom.dcmread(BytesIO(built(of, clip(of, spacing_mm=spacing_mm)).content))
    (shared,) = ds.SharedFunctionalGroupsSequence
    (measures,) = shared.PixelMeasuresSequence
    assert {element.keyword: element.value for element in measures} == expected


def test_fast_encoding_equals_the_plain_one() -> None:
    of = source(NumberOfFrames=1000)
    numbers = [np.array([1, 7, 999]), np.array([7, 12])]
    positions = {1: 1, 7: 2, 12: 3, 999: 4}
    plain = b"".join(
        encode_item(frame_group(of, segment=s, position=positions[n], frame=n))
        for s, frames in enumerate(numbers, start=1)
        for n in frames.tolist()
    )
    assert frame_groups(of, numbers, range(1, 3)) == plain
    shared = b"".join(encode_item(frame_group(of, segment=None, position=p, frame=n)) for n, p in positions.items())
    assert frame_groups(of, [np.array(sorted(positions))], None) == shared


def read_labels(report: Report) -> dict[int, npt.NDArray[np.uint8]]:
    """The label map's frames by source frame number, as highdicom reads them."""
    seg = highdicom.seg.segread(BytesIO(report.content))
    assert seg.segmentation_type.value == "LABELMAP"
    numbers = [
        int(item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)
        for item in seg.PerFrameFunctionalGroupsSequence
    ]
    return dict(zip(numbers, seg.pixel_array, strict=True))


@pytest.mark.parametrize("columns", [COLUMNS, COLUMNS + 1])  # an odd number of bytes, and an even one
def test_a_label_map_reads_back_pixel_for_pixel(columns: int) -> None:
    of = source(Columns=columns, NumberOfFrames=9)
    apart = clip(of, structures=(Structure.LV_CAVITY, Structure.LA))
    disjoint = replace(
        apart,
        segmentations=tuple(
            replace(s, masks=s.masks & (np.arange(columns) % 2 == i)) for i, s in enumerate(apart.segmentations)
        ),
    )
    report = built(of, disjoint, LABELMAP)
    labels = read_labels(report)
    assert sorted(labels) == list(range(1, 10))
    for number, segment in enumerate(disjoint.segmentations, start=1):
        for frame, mask in zip(segment.frame_numbers, segment.masks, strict=True):
            np.testing.assert_array_equal(labels[frame] == number, mask)
    # highdicom's own way: by the source's frames, a channel per segment
    seg = highdicom.seg.segread(BytesIO(report.content))
    pixels = seg.get_pixels_by_source_frame(
        of.SOPInstanceUID, source_frame_numbers=[2, 7], segment_numbers=[1, 2], ignore_spatial_locations=True
    )
    for channel, segment in enumerate(disjoint.segmentations):
        np.testing.assert_array_equal(pixels[..., channel], segment.masks[[1, 6]])


def test_a_label_map_says_what_each_value_means() -> None:
    of = source()
    analysis = clip(of)
    ds = pydicom.dcmread(BytesIO(built(of, analysis, LABELMAP).content))
    assert [(s.SegmentNumber, s.SegmentLabel) for s in ds.SegmentSequence] == [
        (0, "Background"),
        (segment_number(analysis, Structure.LV_CAVITY), "Left ventricle"),
        (segment_number(analysis, Structure.LA), "Left atrium"),
    ]
    assert (ds.PixelPaddingValue, ds.SegmentsOverlap, ds.PhotometricInterpretation) == (0, "NO", "MONOCHROME2")
    first = ds.PerFrameFunctionalGroupsSequence[0]
    assert first.FrameContentSequence[0].DimensionIndexValues == 1
    assert "SegmentIdentificationSequence" not in first


def test_a_pixel_of_two_structures_is_the_firsts_unless_a_person_drew_the_other() -> None:
    of = source()
    wall = segmentation(Structure.LV_MYOCARDIUM, mask=masks(at=0.54))
    both = clip(of, segmentations=(segmentation(mask=masks()), wall))
    assert pydicom.dcmread(BytesIO(built(of, both).content)).SegmentsOverlap == "YES"
    cavity, shared = both.segmentations[0].masks, both.segmentations[0].masks & wall.masks
    report = built(of, both, LABELMAP)
    labels = np.stack([labels for _, labels in sorted(read_labels(report).items())])
    np.testing.assert_array_equal(labels == 1, cavity)
    np.testing.assert_array_equal(labels == 2, wall.masks & ~cavity)
    said = pydicom.dcmread(BytesIO(report.content)).SegmentSequence[2].SegmentDescription
    assert said.startswith(f"{shared.sum()} of its pixels")
    drawn = replace(both, segmentations=(both.segmentations[0], replace(wall, edits=(edit(),), drawn_frames=(2,))))
    labels = np.stack([labels for _, labels in sorted(read_labels(built(of, drawn, LABELMAP)).items())])
    np.testing.assert_array_equal(labels == 2, wall.masks)
    np.testing.assert_array_equal(labels == 1, cavity & ~wall.masks)


def test_structures_that_share_no_pixel_of_a_frame_do_not_overlap() -> None:
    """The same place at different times."""
    of = source()
    early, late = masks(), masks()
    early[5:], late[:5] = False, False
    analysis = clip(of, segmentations=(segmentation(mask=early), segmentation(Structure.LA, mask=late)))
    assert pydicom.dcmread(BytesIO(built(of, analysis).content)).SegmentsOverlap == "NO"
    labels = read_labels(built(of, analysis, LABELMAP))
    for index in range(10):
        np.testing.assert_array_equal(labels[index + 1], early[index] * 1 + late[index] * 2)


def test_a_structure_that_is_hidden_whole_is_still_described() -> None:
    of = source()
    inner = masks() & masks(at=0.51)
    analysis = clip(of, segmentations=(segmentation(mask=masks()), segmentation(Structure.LA, mask=inner)))
    ds = pydicom.dcmread(BytesIO(built(of, analysis, LABELMAP).content))
    assert [s.SegmentNumber for s in ds.SegmentSequence] == [0, 1, 2]
    assert ds.SegmentSequence[2].SegmentDescription.startswith(f"{inner.sum()} of its pixels")


def test_documents_refer_to_the_form_that_is_asked_for() -> None:
    of = source()
    study, sources = analysis_of(clip(of)), {of.SOPInstanceUID: of}
    for kinds, referred in (((BINARY, LABELMAP), BINARY), ((LABELMAP,), LABELMAP)):
        *segs, sr = build_reports(study, sources, kinds=(ObjectKind.SR, *kinds))
        assert [s.kind for s in segs] == list(kinds)
        uid = built(of, clip(of), referred).SOPInstanceUID
        evidence = pydicom.dcmread(BytesIO(sr.content)).CurrentRequestedProcedureEvidenceSequence
        found = [i for study_ in evidence for s in study_.ReferencedSeriesSequence for i in s.ReferencedSOPSequence]
        assert uid in {item.ReferencedSOPInstanceUID for item in found}


@pytest.mark.parametrize("kind", [ObjectKind.SR, ObjectKind.SR_TID5200, ObjectKind.SR_TID5300])
def test_documents_refer_to_no_segmentation_that_nobody_is_sent(kind) -> None:
    of = source()
    (report,) = build_reports(analysis_of(clip(of)), {of.SOPInstanceUID: of}, kinds=(kind,))
    evidence = pydicom.dcmread(BytesIO(report.content)).CurrentRequestedProcedureEvidenceSequence
    found = [i for study in evidence for s in study.ReferencedSeriesSequence for i in s.ReferencedSOPSequence]
    assert {item.ReferencedSOPInstanceUID for item in found} == {of.SOPInstanceUID}


def test_the_writer_knows_nothing_of_the_node() -> None:
    """It is to be offered to others: of the node it imports its own other half."""
    for module in (seg_module, frames_module):
        tree = ast.parse(inspect.getsource(module))
        imported = {
            name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [str(node.module)])
        }
        assert {name for name in imported if name.startswith("echo_node")} <= {"echo_node.reports.frames"}


def test_masks_of_bytes_and_a_plain_header_are_enough() -> None:
    """The stand-alone use of docs/seg.md."""
    of = source()
    description = Dataset()
    description.SegmentLabel, description.SegmentAlgorithmType = "Left ventricle", "MANUAL"
    segment = seg_module.Segment(
        description=description, masks=masks().astype(np.uint8) * 255, frame_numbers=range(1, 11)
    )
    ds = Dataset()
    ds.SOPInstanceUID = "2.25.1"
    content = seg_module.write(ds, of, [segment], seg_module.lay_out(of, [segment]), spacing_mm=(0.4, 0.4))
    np.testing.assert_array_equal(pydicom.dcmread(BytesIO(content)).pixel_array, masks())


def test_the_example_in_the_docs_works(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path("docs/seg.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    shutil.copy(data / "acuson-a4c-65f-jpeg.dcm", tmp_path / "clip.dcm")
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    read = highdicom.seg.segread("seg.dcm")
    assert read.pixel_array.shape == (65, read.Rows, read.Columns)
    assert set(np.argwhere(read.pixel_array[3])[:, 0]) == set(range(100, 150))
    assert dciodvfy_errors(tmp_path / "seg.dcm") == []


def test_a_segment_without_a_pixel_is_refused() -> None:
    of = source()
    nothing = np.zeros((2, ROWS, COLUMNS), bool)
    empty = seg_module.Segment(description=Dataset(), masks=nothing, frame_numbers=(1, 2))
    with pytest.raises(ValueError, match="no pixel"):
        seg_module.lay_out(of, [empty])
    with pytest.raises(ValueError, match="0 segments"):
        seg_module.lay_out(of, [])


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(bool, st.tuples(*[st.integers(1, n) for n in (5, 7, 9)])),
    st.randoms(use_true_random=False),
)
def test_packing_is_one_run_of_bits(mask: Masks, random: Random) -> None:
    shown = np.array([random.random() < 0.7 for _ in mask])
    packed = pack([mask, ~mask], [shown, ~shown])
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")
    expected = np.concatenate([mask[shown].ravel(), ~mask[~shown].ravel()])
    np.testing.assert_array_equal(bits[: expected.size], expected)
    assert not bits[expected.size :].any()
    assert len(packed) % 2 == 0
