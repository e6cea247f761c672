"""Ultrasound regions: which part of the picture is what, and how long a pixel is (PS3.3 C.8.5.5)."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset

from echo_node.codes import ImageMode

_CENTIMETRES = 3  # PhysicalUnitsXDirection
_MM_RANGE = (0.02, 5.0)  # of a believable pixel


class SpatialFormat(enum.IntEnum):
    """RegionSpatialFormat (C.8.5.5.1.1)."""

    NONE = 0
    TWO_D = 1
    M_MODE = 2
    SPECTRAL = 3


class DataType(enum.IntEnum):
    """RegionDataType (C.8.5.5.1.2), those that decide a mode."""

    TISSUE = 1
    COLOUR_FLOW = 2
    PW_DOPPLER = 3
    CW_DOPPLER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One region, its box clipped to nothing yet."""

    left: int
    top: int
    right: int  # inclusive
    bottom: int  # inclusive
    spatial_format: int
    data_type: int
    spacing_mm: tuple[float, float] | None

    def fits(self, rows: int, cols: int) -> bool:
        """Does it lie inside the picture, give or take a pixel?"""
        is_ordered = self.right > self.left and self.bottom > self.top
        return is_ordered and self.left >= 0 and self.top >= 0 and self.right <= cols and self.bottom <= rows


def parse(items: Sequence[Dataset]) -> tuple[Region, ...]:
    """Regions of SequenceOfUltrasoundRegions; those without a box are passed over."""
    regions = []
    for item in items:
        try:
            regions.append(_region(item))
        except (AttributeError, TypeError, ValueError):
            continue
    return tuple(regions)


def two_d(regions: Sequence[Region]) -> Region | None:
    """The largest two-dimensional region."""
    flat = [r for r in regions if r.spatial_format == SpatialFormat.TWO_D]
    return max(flat, key=lambda r: (r.right - r.left) * (r.bottom - r.top), default=None)


def mode(regions: Sequence[Region]) -> ImageMode | None:
    """The mode that the regions state, or None where they state none."""
    kinds = {(r.spatial_format, r.data_type) for r in regions}
    if any(data == DataType.CW_DOPPLER for _, data in kinds):
        return ImageMode.CW_DOPPLER
    if any(shape == SpatialFormat.SPECTRAL for shape, _ in kinds):
        return ImageMode.PW_DOPPLER
    if any(shape == SpatialFormat.M_MODE for shape, _ in kinds):
        return ImageMode.M_MODE
    if any(data == DataType.COLOUR_FLOW for _, data in kinds):
        return ImageMode.COLOUR_FLOW
    return ImageMode.TWO_D if any(shape == SpatialFormat.TWO_D for shape, _ in kinds) else None


def _region(item: Dataset) -> Region:
    return Region(
        left=int(item.RegionLocationMinX0),
        top=int(item.RegionLocationMinY0),
        right=int(item.RegionLocationMaxX1),
        bottom=int(item.RegionLocationMaxY1),
        spatial_format=int(item.RegionSpatialFormat),
        data_type=int(item.get("RegionDataType") or 0),
        spacing_mm=_spacing(item),
    )


def _spacing(item: Dataset) -> tuple[float, float] | None:
    """Height and width of a pixel in mm; a negative delta is a direction, not a length."""
    units = item.get("PhysicalUnitsXDirection"), item.get("PhysicalUnitsYDirection")
    if units != (_CENTIMETRES, _CENTIMETRES):
        return None
    deltas = item.get("PhysicalDeltaY"), item.get("PhysicalDeltaX")
    if None in deltas:
        return None
    height, width = (abs(float(delta)) * 10 for delta in deltas)
    low, high = _MM_RANGE
    return (height, width) if low <= height <= high and low <= width <= high else None
