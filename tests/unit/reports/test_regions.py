"""Outlines and points in the coordinates of PS3.3 C.18.6.1.2."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from pydicom import Dataset

from echo_node.reports.regions import MAX_POINTS, Points, contour, sector_point
from tests.unit.reports.builders import source


def filled(points: Points, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Pixels inside an outline, its own pixels included."""
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [np.round(points - 0.5).astype(np.int32)], 1)
    return canvas.astype(bool)


def test_rectangle_gives_its_corner_pixels_centres() -> None:
    mask = np.zeros((20, 30), bool)
    mask[5:11, 7:19] = True
    points = contour(mask)
    assert {tuple(p) for p in points} == {(7.5, 5.5), (18.5, 5.5), (18.5, 10.5), (7.5, 10.5)}
    np.testing.assert_array_equal(points[0], points[-1])


def test_outline_of_a_ragged_region_is_short_and_true() -> None:
    y, x = np.mgrid[:600, :800]
    angle = np.arctan2(y - 300, x - 400)
    mask = np.hypot(y - 300, x - 400) < 200 + 15 * np.sin(23 * angle)
    points = contour(mask)
    assert len(points) <= MAX_POINTS
    drawn = filled(points, mask.shape)
    assert 2 * (drawn & mask).sum() / (drawn.sum() + mask.sum()) > 0.98


def test_largest_part_is_taken() -> None:
    mask = np.zeros((40, 40), bool)
    mask[2:5, 2:5] = mask[10:30, 10:30] = True
    assert contour(mask)[:, 0].min() == 10.5


def test_single_pixel_has_a_closed_outline() -> None:
    mask = np.zeros((8, 8), bool)
    mask[3, 4] = True
    np.testing.assert_array_equal(contour(mask), [[4.5, 3.5], [4.5, 3.5]])


def test_point_lies_in_the_tissue_region() -> None:
    region = Dataset()
    region.RegionSpatialFormat = 1
    region.RegionLocationMinX0, region.RegionLocationMaxX1 = 10, 29
    region.RegionLocationMinY0, region.RegionLocationMaxY1 = 4, 13
    point = sector_point(source(SequenceOfUltrasoundRegions=[region]))
    np.testing.assert_array_equal(point, [[20.0, 9.0]])


@pytest.mark.parametrize("corner", [None, 5000])
def test_impossible_region_gives_the_middle(corner: int | None) -> None:
    region = Dataset()
    region.RegionSpatialFormat = 1
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = region.RegionLocationMaxY1 = 0
    if corner is not None:
        region.RegionLocationMaxX1 = corner
    of = source(SequenceOfUltrasoundRegions=[region])
    np.testing.assert_array_equal(sector_point(of), [[of.Columns / 2, of.Rows / 2]])
