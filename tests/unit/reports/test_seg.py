"""Segmentations hold exactly the masks they were made from."""

from dataclasses import replace
from io import BytesIO
from random import Random

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom import Dataset

from echo_node.codes import Structure, View
from echo_node.errors import ReportError
from echo_node.records import ClipAnalysis, Report, Segmentation
from echo_node.reports import build_seg
from echo_node.reports.frames import Masks, encode_item, frame_group, frame_groups, pack
from echo_node.reports.seg import segment_number
from tests.unit.reports.builders import (
    COLUMNS,
    ENGINE,
    MADE_AT,
    ROWS,
    clip,
    masks,
    segmentation,
    source,
    unmeasured,
)


def built(of: Dataset, analysis: ClipAnalysis) -> Report:
    report = build_seg(analysis, of, made_at=MADE_AT)
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
    assert frame_groups(of, numbers) == plain


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
