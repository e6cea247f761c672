"""A clip with its findings drawn on its frames."""

from dataclasses import replace
from io import BytesIO
from itertools import pairwise

import cv2
import numpy as np
import pydicom
import pytest
import simplejpeg
from pydicom import Dataset
from pydicom.encaps import generate_frames

from echo_node.codes import BY_PERSONS, ObjectKind, Reason, Structure
from echo_node.errors import ClipError
from echo_node.pictures import COLOURS, plan_overlay
from echo_node.reports import build_reports
from echo_node.reports.overlay import build_overlay
from tests.unit.reports.builders import (
    ED,
    ES,
    FRAMES,
    MADE_AT,
    FakeCine,
    analysis,
    cine,
    clip,
    long_axis,
    segmentation,
    source,
    unmeasured,
)

BIG = {"Rows": 480, "Columns": 640}


def region() -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat = item.RegionDataType = 1
    item.RegionFlags = 2
    item.RegionLocationMinX0, item.RegionLocationMinY0 = 100, 0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = 500, 400
    item.ReferencePixelX0, item.ReferencePixelY0 = 200, 3
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = 0.031, 0.029
    return item


def overlay(of: Dataset, **changes) -> Dataset:
    report = build_overlay(clip(of), of, cine(of, **changes), made_at=MADE_AT)
    assert report is not None
    assert report.kind is ObjectKind.OVERLAY
    return pydicom.dcmread(BytesIO(report.content))


def test_a_viewers_calipers_and_its_speed_are_those_of_the_source():
    of = source(**BIG, FrameTime="33.3", SequenceOfUltrasoundRegions=[region()])
    ds = overlay(of)
    assert ds.SequenceOfUltrasoundRegions[0] == region()
    assert (ds.Rows, ds.Columns, ds.NumberOfFrames) == (480, 640, FRAMES)
    assert ds.FrameTime == 33.3
    assert ds.FrameIncrementPointer == 0x00181063


def test_a_time_for_each_frame_is_kept():
    steps = [0.0, *(20.0 + n for n in range(FRAMES - 1))]
    ds = overlay(source(**BIG, FrameTimeVector=steps))
    assert list(ds.FrameTimeVector) == steps
    assert ds.FrameIncrementPointer == 0x00181065


def test_a_rate_becomes_a_frame_time():
    ds = overlay(source(**BIG, CineRate="50"), times_ms=np.arange(FRAMES) * 20.0)
    assert ds.FrameTime == 20
    assert "FrameTimeVector" not in ds


def test_a_region_that_lacks_what_calipers_need_is_left_out():
    broken = region()
    del broken.PhysicalDeltaX
    assert "SequenceOfUltrasoundRegions" not in overlay(source(**BIG, SequenceOfUltrasoundRegions=[broken]))


def test_it_says_what_it_is_and_what_it_was_made_from():
    of = source(**BIG)
    ds = overlay(of)
    assert list(ds.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == of.SOPInstanceUID
    assert ds.BurnedInAnnotation == "YES"
    assert ds.SeriesNumber == 9005
    assert ds.PatientName == of.PatientName


@pytest.mark.parametrize(
    ("before", "ratios", "methods"),
    [
        ({"LossyImageCompression": "00"}, 1, ["ISO_10918_1"]),
        ({}, 1, ["ISO_10918_1"]),
        (
            {
                "LossyImageCompression": "01",
                "LossyImageCompressionRatio": "12.5",
                "LossyImageCompressionMethod": "ISO_15444_1",
            },
            2,
            ["ISO_15444_1", "ISO_10918_1"],
        ),
        ({"LossyImageCompression": "01", "LossyImageCompressionRatio": "12.5"}, 1, ["ISO_10918_1"]),
    ],
)
def test_every_lossy_step_is_said_in_pairs(before, ratios, methods):
    ds = overlay(source(**BIG, **before))
    assert ds.LossyImageCompression == "01"
    stated = np.atleast_1d(ds.LossyImageCompressionRatio).tolist()
    assert len(stated) == ratios
    coded = sum(len(f) for f in generate_frames(ds.PixelData, number_of_frames=FRAMES))
    assert float(stated[-1]) == pytest.approx(480 * 640 * 3 * FRAMES / coded, rel=0.01)
    assert np.atleast_1d(ds.LossyImageCompressionMethod).tolist() == methods


def test_frames_differ_from_the_source_only_where_something_was_drawn():
    of = source(**BIG)
    frames, plan = cine(of), plan_overlay(clip(of), cine(of))
    coded = list(generate_frames(overlay(of).PixelData, number_of_frames=FRAMES))
    for number, content in enumerate(coded, start=1):
        before = frames.frames[number - 1]
        after = simplejpeg.decode_jpeg(content)
        drawn = plan.draw(before, number)
        assert np.abs(after.astype(int) - drawn).mean() < 3
        changed = (drawn != before).any(axis=-1).astype(np.uint8)
        untouched = cv2.dilate(changed, np.ones((33, 33), np.uint8)) == 0
        assert changed.any()
        assert untouched.mean() > 0.3
        assert np.abs(after.astype(int) - before)[untouched].max() <= 24  # chroma beside the white name
        assert (frames.frames[number - 1] == cine(of).frames[number - 1]).all()  # drawn on a copy


def test_outlines_lie_on_the_edge_of_the_mask():
    of = source(**BIG)
    found = clip(of, structures=(Structure.LV_CAVITY,))
    plan = plan_overlay(found, cine(of))
    drawn = plan.draw(cine(of).frames[4], 5)
    is_outline = (np.abs(drawn.astype(int) - COLOURS[Structure.LV_CAVITY]).max(axis=-1) < 40) & cine(of).sector
    mask = found.segmentations[0].masks[4].astype(np.uint8)
    edge = cv2.dilate(mask, np.ones((5, 5), np.uint8)) - cv2.erode(mask, np.ones((5, 5), np.uint8))
    assert is_outline.any()
    assert not (is_outline & (edge == 0)).any()


@pytest.mark.parametrize("size", [(480, 640), (720, 960), (600, 800)])
def test_words_and_curve_cover_no_ultrasound_where_there_is_room(size):
    of = source(Rows=size[0], Columns=size[1])
    frames = cine(of)
    plan = plan_overlay(clip(of), frames)
    boxes = np.zeros(size, int)
    for top, left, height, width in (plan.words, plan.curve):
        boxes[top : top + height, left : left + width] += 1
    assert boxes.max() == 1  # nor each other
    assert not (boxes.astype(bool) & frames.sector).any()
    assert not (boxes.astype(bool) & (frames.frames.max(axis=(0, 3)) > 24)).any()  # nor the cart's own words


def test_a_picture_that_is_all_ultrasound_is_drawn_on_all_the_same():
    of = source()
    everywhere = np.ones((of.Rows, of.Columns), bool)
    assert overlay(of, sector=everywhere).NumberOfFrames == FRAMES


def test_the_curve_has_a_mark_that_moves():
    of = source(**BIG)
    times = np.arange(FRAMES) * 30.0
    curve = replace(clip(of).curve, volumes_ml=np.linspace(120, 50, FRAMES), times_ms=times)
    plan = plan_overlay(clip(of, curve=curve), cine(of, times_ms=times))
    black = np.zeros((480, 640, 3), np.uint8)
    top, left, height, width = plan.curve
    columns = []
    for number in (1, 4, 7, 10):
        panel = plan.draw(black, number)[top : top + height, left : left + width]
        tall = (panel.min(axis=-1) > 150).sum(axis=0)
        columns.append(int(tall.argmax()))
    assert all(before < after for before, after in pairwise(columns))


def test_wall_lines_stand_on_their_own_frames_alone():
    of = source(**BIG)
    plan = plan_overlay(long_axis(of), cine(of))
    beside = np.ones((480, 640), bool)
    for top, left, height, width in (plan.words, plan.curve):
        beside[top : top + height, left : left + width] = False

    def is_marked(number: int) -> bool:
        before = cine(of).frames[number - 1]
        return bool(((plan.draw(before, number) != before).any(axis=-1) & beside).any())

    assert [number for number in range(1, FRAMES + 1) if is_marked(number)] == [ED, ES]


def test_the_same_findings_give_the_same_object_and_others_another():
    of = source(**BIG)
    first, again = (build_overlay(clip(of), of, cine(of), made_at=MADE_AT) for _ in range(2))
    assert first == again
    fewer = clip(of, structures=(Structure.LV_CAVITY,))
    other = build_overlay(fewer, of, cine(of), made_at=MADE_AT)
    assert other.SOPInstanceUID != first.SOPInstanceUID


@pytest.mark.parametrize("times_ms", [None, np.arange(float(FRAMES))])
def test_nothing_is_made_of_a_clip_without_findings_or_times(times_ms):
    of = source(**BIG)
    found = clip(of) if times_ms is None else unmeasured(of)
    assert build_overlay(found, of, cine(of, times_ms=times_ms), made_at=MADE_AT) is None
    empty = replace(segmentation(mask=np.zeros((FRAMES, 480, 640), bool)))
    nothing = clip(of, segmentations=(empty,))
    assert build_overlay(nothing, of, cine(of), made_at=MADE_AT) is None


def test_no_frame_is_decoded_unless_pictures_are_asked_for():
    of = source(**BIG)

    def frames(_uid):
        raise AssertionError("decoded")

    kinds = (ObjectKind.SR, ObjectKind.SEG)
    study = analysis(clip(of))
    assert {r.kind for r in build_reports(study, {of.SOPInstanceUID: of}, kinds=kinds, frames=frames)} == set(kinds)


def test_a_page_decodes_only_what_it_shows():
    of = source(**BIG)
    frames = cine(of)
    build_reports(analysis(clip(of)), {of.SOPInstanceUID: of}, kinds=(ObjectKind.PDF,), frames=lambda _: frames)
    assert frames.decoded == [ED - 1, ES - 1]


def test_a_frame_that_cannot_be_decoded_costs_the_overlay_and_nothing_else():
    class Broken(FakeCine):
        def colours(self, indices):
            if len(indices) == FRAMES:
                raise ClipError(Reason.UNREADABLE, "ValueError of the decoder")
            return super().colours(indices)

    of = source(**BIG)
    made = cine(of)
    broken = Broken(frames=made.frames, sector=made.sector, times_ms=made.times_ms)
    reports = build_reports(
        analysis(clip(of)), {of.SOPInstanceUID: of}, kinds=tuple(ObjectKind), frames=lambda _: broken
    )
    assert {r.kind for r in reports} == set(ObjectKind) - {ObjectKind.OVERLAY, *BY_PERSONS}
