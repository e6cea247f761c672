"""Where on an image a statement belongs: spatial coordinates for SR (PS3.3 C.18.6).

Coordinates are (column, row); 0, 0 is the outer corner of the first pixel, so that its centre is at
0.5, 0.5 (PS3.3 C.18.6.1.2).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from echo_node.codes import WallPoint
from echo_node.records import Landmarks

MAX_POINTS = 128
_TISSUE = 1  # RegionSpatialFormat 2D (PS3.3 C.8.5.5.1.1)

Points = npt.NDArray[np.float64]


def contour(mask: npt.NDArray[np.bool_]) -> Points:
    """The outline of the largest part of a mask as a closed line.

    Parameters
    ----------
    mask : bool array [H,W]
        With at least one pixel.

    Returns
    -------
    float array [N,2]
        Pixel centres along the outline, at most ``MAX_POINTS``; the last point is the first one.
    """
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=cv2.contourArea)
    tolerance = 0.5  # pixels: half a pixel moves no measurement
    points = cv2.approxPolyDP(outline, tolerance, closed=True)
    while len(points) >= MAX_POINTS:
        tolerance *= 1.5
        points = cv2.approxPolyDP(outline, tolerance, closed=True)
    points = points.reshape(-1, 2)
    return np.vstack([points, points[:1]]) + 0.5


def line(landmarks: Landmarks, ends: tuple[WallPoint, WallPoint], source: Dataset) -> Points:
    """The straight line between two points of a frame, kept inside the image.

    Returns
    -------
    float array [2,2]
    """
    places = {point: (col + 0.5, row + 0.5) for point, row, col in landmarks.points}
    corner = (float(source.get("Columns") or 1), float(source.get("Rows") or 1))
    return np.clip(np.array([places[end] for end in ends], np.float64), 0.0, corner)


def sector_point(source: Dataset) -> Points:
    """A point in the ultrasound of an image, or in its middle where no region is given.

    Returns
    -------
    float array [1,2]
    """
    columns, rows = float(source.get("Columns") or 1), float(source.get("Rows") or 1)
    for region in source.get("SequenceOfUltrasoundRegions", []):
        corners = [region.get(f"RegionLocation{corner}") for corner in ("MinX0", "MaxX1", "MinY0", "MaxY1")]
        if region.get("RegionSpatialFormat") != _TISSUE or None in corners:
            continue
        left, right, top, bottom = corners
        point = np.array([[(left + right + 1) / 2, (top + bottom + 1) / 2]])
        if 0 <= point[0, 0] <= columns and 0 <= point[0, 1] <= rows:
            return point
    return np.array([[columns / 2, rows / 2]])
