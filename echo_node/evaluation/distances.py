"""Wall measures in mm from the four points across a parasternal long axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from echo_node.codes import WallPoint
from echo_node.evaluation.cases import Figure
from echo_node.records import Landmarks

Spacing = tuple[float, float]

SEPTUM = WallPoint.SEPTUM_OUTER, WallPoint.SEPTUM_INNER
CAVITY = WallPoint.SEPTUM_INNER, WallPoint.POSTERIOR_INNER
POSTERIOR = WallPoint.POSTERIOR_INNER, WallPoint.POSTERIOR_OUTER
AT_ED: Mapping[Figure, tuple[WallPoint, WallPoint]] = {
    Figure.IVSD: SEPTUM,
    Figure.LVIDD: CAVITY,
    Figure.LVPWD: POSTERIOR,
}


def distance_mm(landmarks: Landmarks, ends: tuple[WallPoint, WallPoint], spacing_mm: Spacing) -> float:
    """Between two of a frame's points (row, column), by the size of a pixel (row, column)."""
    places = {point: np.array([row, col]) for point, row, col in landmarks.points}
    apart = (places[ends[0]] - places[ends[1]]) * np.array(spacing_mm)
    return float(np.hypot(*apart))


def walls_at(frames: Sequence[Landmarks], number: int, spacing_mm: Spacing) -> Mapping[Figure, float]:
    """The three end-diastolic measures on one frame; empty where the frame has no points."""
    found = next((f for f in frames if f.frame_number == number), None)
    if found is None:
        return {}
    return {wall: distance_mm(found, ends, spacing_mm) for wall, ends in AT_ED.items()}


def diameter_at(frames: Sequence[Landmarks], number: int, spacing_mm: Spacing) -> float | None:
    """The cavity's diameter on one frame; None where the frame has no points."""
    found = next((f for f in frames if f.frame_number == number), None)
    return None if found is None else distance_mm(found, CAVITY, spacing_mm)
