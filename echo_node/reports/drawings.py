"""Spatial coordinates of a measurement group as shapes on frames (PS3.3 C.18.6).

Coordinates are (column, row) here; 0, 0 is the outer corner of the first pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.multival import MultiValue

import echo_node.reports.coded as coded
from echo_node.codes import Code
from echo_node.edits import Shape

_IMAGE_REGION = Code("111030", "DCM", "Image Region")
_CLOSED = 0.5  # pixels between first and last point of a closed line; they should be the same
_RIGHT_ANGLE = 0.02  # cosine of what still counts as one

Points = npt.NDArray[np.float64]  # [N,2], column and row


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A shape on an image, and the frames that its reference names."""

    SOPInstanceUID: str
    frame_numbers: tuple[int, ...]
    shape: Shape
    points: tuple[tuple[float, float], ...]


def drawings(group: Dataset) -> Iterator[Drawing]:
    """What is drawn in a measurement group, below its numbers or beside them.

    Other coordinates beside the numbers are passed over: some viewers write there where a label stands.
    """
    for item in group.get("ContentSequence") or []:
        if item.get("ValueType") == "SCOORD" and _is_region(item):
            yield from _drawing(item)
        elif item.get("ValueType") == "NUM":
            for child in item.get("ContentSequence") or []:
                if child.get("ValueType") == "SCOORD":
                    yield from _drawing(child)


def _is_region(item: Dataset) -> bool:
    names = item.get("ConceptNameCodeSequence") or []
    return not names or coded.is_code(names[0], _IMAGE_REGION)


def _drawing(item: Dataset) -> Iterator[Drawing]:
    data = item.get("GraphicData")
    flat = np.array(data if isinstance(data, MultiValue | list) else [], np.float64)
    read = _READERS.get(str(item.get("GraphicType") or ""))
    images = [child for child in item.get("ContentSequence") or [] if child.get("ValueType") == "IMAGE"]
    if read is None or not images or flat.size < 2 or flat.size % 2 or not np.isfinite(flat).all():
        return
    found = read(flat.reshape(-1, 2))
    if found is not None:
        reference = images[0].ReferencedSOPSequence[0]
        frames = reference.get("ReferencedFrameNumber")
        shape, points = found
        yield Drawing(
            SOPInstanceUID=str(reference.ReferencedSOPInstanceUID),
            frame_numbers=tuple(
                int(n) for n in (frames if isinstance(frames, MultiValue) else [frames] if frames else [])
            ),
            shape=shape,
            points=tuple((float(x), float(y)) for x, y in points),
        )


def _point(points: Points) -> tuple[Shape, Points]:
    """A viewer's arrow is a point with a second one for its tail."""
    return Shape.FOREGROUND, points[:1]


def _points(points: Points) -> tuple[Shape, Points]:
    return Shape.FOREGROUND, points


def _polyline(points: Points) -> tuple[Shape, Points] | None:
    """Closed it is a box or an outline; open and with two points a length, with more nothing that is known."""
    if len(points) > 3 and np.linalg.norm(points[0] - points[-1]) <= _CLOSED:
        corners = points[:-1]
        return _box(corners) if _is_rectangle(corners) else (Shape.CONTOUR, corners)
    is_line = len(points) == 2 and bool((points[0] != points[1]).any())
    return (Shape.LINE, points) if is_line else None


def _is_rectangle(corners: Points) -> bool:
    if len(corners) != 4:
        return False
    sides = np.roll(corners, -1, axis=0) - corners
    lengths = np.linalg.norm(sides, axis=1)
    if not lengths.all():
        return False
    cosines = np.einsum("nk,nk->n", sides, np.roll(sides, -1, axis=0)) / (lengths * np.roll(lengths, -1))
    return bool((np.abs(cosines) < _RIGHT_ANGLE).all())


def _circle(points: Points) -> tuple[Shape, Points] | None:
    """Centre, and a point on the circle."""
    if len(points) != 2 or (points[0] == points[1]).all():
        return None
    radius = float(np.linalg.norm(points[1] - points[0]))
    return _box(np.stack([points[0] - radius, points[0] + radius]))


def _ellipse(points: Points) -> tuple[Shape, Points] | None:
    """Both ends of the major axis, then of the minor one."""
    if len(points) != 4:
        return None
    half = np.array([points[1] - points[0], points[3] - points[2]]) / 2  # [2,2]
    reach = np.linalg.norm(half, axis=0)  # of an ellipse whose axes may lie askew
    middle = (points[0] + points[1]) / 2
    return _box(np.stack([middle - reach, middle + reach])) if reach.all() else None


def _box(points: Points) -> tuple[Shape, Points]:
    """No ventricle is an ellipse or a rectangle: such a shape says where it lies, not what its outline is."""
    return Shape.BOX, np.stack([points.min(axis=0), points.max(axis=0)])


_READERS: Mapping[str, Callable[[Points], tuple[Shape, Points] | None]] = {
    "POINT": _point,
    "MULTIPOINT": _points,
    "POLYLINE": _polyline,
    "CIRCLE": _circle,
    "ELLIPSE": _ellipse,
}
