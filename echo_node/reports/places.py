"""Where on a clip a group of the SR belongs: a point, the ventricle's outline, or a line between two points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from highdicom import sr
from pydicom import Dataset
from pydicom.uid import UltrasoundImageStorage

import echo_node.reports.regions as regions
from echo_node.codes import Quantity, Structure, WallPoint
from echo_node.records import ClipAnalysis

Ends = tuple[WallPoint, WallPoint]

LINES: Mapping[Quantity, Ends] = {  # what is measured along a line of its own
    Quantity.IVSD: (WallPoint.SEPTUM_OUTER, WallPoint.SEPTUM_INNER),
    Quantity.LVIDD: (WallPoint.SEPTUM_INNER, WallPoint.POSTERIOR_INNER),
    Quantity.LVPWD: (WallPoint.POSTERIOR_INNER, WallPoint.POSTERIOR_OUTER),
    Quantity.LVIDS: (WallPoint.SEPTUM_INNER, WallPoint.POSTERIOR_INNER),
}
ACROSS: Ends = (WallPoint.SEPTUM_OUTER, WallPoint.POSTERIOR_OUTER)  # what comes of all three diastolic lines


def point(clip: ClipAnalysis, source: Dataset) -> sr.ImageRegion:
    """A point in the ultrasound: what is said holds for the whole image."""
    total = int(source.get("NumberOfFrames") or 1)
    frame = (total + 1) // 2 if clip.cycle is None else clip.cycle[0]
    return _region(sr.GraphicTypeValues.POINT, regions.sector_point(source), source, frame)


def outline(clip: ClipAnalysis, source: Dataset, frame: int | None) -> sr.ImageRegion:
    """The ventricle on a frame, at end diastole say; a point where there is no mask of it."""
    cavity = next((s for s in clip.segmentations if s.structure is Structure.LV_CAVITY), None)
    if frame is None or cavity is None or frame not in cavity.frame_numbers:
        return point(clip, source)
    mask = cavity.masks[cavity.frame_numbers.index(frame)]
    if not mask.any():
        return point(clip, source)
    return _region(sr.GraphicTypeValues.POLYLINE, regions.contour(mask), source, frame)


def wall_line(clip: ClipAnalysis, source: Dataset, quantity: Quantity) -> sr.ImageRegion:
    """The line that a quantity was read off, a person's or else the node's; a point where only some were drawn.

    The node's is at end systole for LVIDs and else at end diastole.
    """
    drawn = next((line for line in clip.lines if line.quantity is quantity), None)
    if drawn is not None:
        ends = np.array(drawn.ends)[:, ::-1] + 0.5
        return _region(sr.GraphicTypeValues.POLYLINE, ends, source, drawn.frame_number)
    if clip.diameters is None:
        return point(clip, source)
    is_systolic = quantity is Quantity.LVIDS
    frame = clip.diameters.es_frame if is_systolic else clip.diameters.ed_frame
    found = next(landmarks for landmarks in clip.landmarks if landmarks.frame_number == frame)
    line = regions.line(found, LINES.get(quantity, ACROSS), source)
    return _region(sr.GraphicTypeValues.POLYLINE, line, source, frame)


def frame_numbers(source: Dataset, frames: Sequence[int]) -> list[int] | None:
    """Frame numbers are for multi-frame images only (PS3.3 10.3): by what is in them, and by their class."""
    has_several = int(source.get("NumberOfFrames") or 1) > 1
    return list(frames) if has_several and source.SOPClassUID != UltrasoundImageStorage else None


def _region(
    graphic_type: sr.GraphicTypeValues, points: regions.Points, source: Dataset, frame: int
) -> sr.ImageRegion:
    image = sr.SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID, frame_numbers(source, (frame,)))
    return sr.ImageRegion(graphic_type, np.asarray(points, np.float32), image)
