"""Septum, cavity and posterior wall of a parasternal long-axis clip (Lang 2015, section 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from echo_node.codes import Method, Quantity, Reason, View, WallPoint
from echo_node.measure.beats import Beat, Curve, find_beats, smooth
from echo_node.measure.plausibility import LEAST_POINT_PROBABILITY, Fault, check_points, check_walls
from echo_node.measure.results import WALLS, Recipe, WallResult, refused
from echo_node.records import Clip, DiameterCurve, Landmarks, Measurement, NotMeasured, Source

_NORMAL_OVER_MEDIAN = 1.4826  # standard deviation over median absolute deviation of a normal distribution
LINES = {Quantity.IVSD: 0, Quantity.LVIDD: 1, Quantity.LVPWD: 2, Quantity.LVIDS: 1}  # along the four points

Lengths = npt.NDArray[np.float64]  # [T,3] mm: septum, cavity, posterior wall
Known = npt.NDArray[np.bool_]  # [T], where the points can be believed


def measure_walls(clip: Clip, landmarks: Sequence[Landmarks]) -> WallResult:
    """IVSd, LVIDd and LVPWd at end diastole, LVIDs at end systole, averaged over the beats.

    End diastole and end systole are where the smoothed internal diameter is largest and smallest.

    Parameters
    ----------
    clip : Clip
        Its frame times and spacing.
    landmarks : sequence of Landmarks
        The four wall points of every frame of the clip, in its order.

    Notes
    -----
    The uncertainty is repeatability: scatter of a length from frame to frame, and its spread over beats.
    It says nothing of a systematic error of the points.
    """
    if clip.times_ms is None:
        return _nothing(Fault(Reason.NO_TIMING, "frame times are missing"))
    if clip.spacing_mm is None:
        return _nothing(Fault(Reason.NO_CALIBRATION, "walls need a pixel spacing"))
    places = _places_mm(landmarks, clip.spacing_mm)
    certain = np.array([found.probability >= LEAST_POINT_PROBABILITY for found in landmarks], np.bool_)
    ordered = _in_order(places)
    fault = check_points(certain, ordered)
    if fault is not None:
        return _nothing(fault)
    walls = _Walls.over_time(places, clip.times_ms, certain & ordered)
    beats = find_beats(walls.smoothed[:, 1], clip.times_ms)
    if not beats:
        return _nothing(Fault(Reason.NO_FULL_CYCLE, "no systole lies wholly inside the clip"))
    return _result(clip, landmarks, walls, beats)


def _result(clip: Clip, landmarks: Sequence[Landmarks], walls: _Walls, beats: Sequence[Beat]) -> WallResult:
    """What a clip with at least one beat gives; its points are kept where it was measured."""
    assert clip.times_ms is not None
    eds, ess = ([walls.nearest(i) for i in indices] for indices in zip(*((b.ed, b.es) for b in beats), strict=True))
    middle = int(np.argsort(walls.smoothed[eds, 1], kind="stable")[(len(beats) - 1) // 2])
    diameters = DiameterCurve(
        diameters_mm=walls.smoothed[:, 1],
        times_ms=clip.times_ms,
        ed_frame=clip.frame_numbers[eds[middle]],
        es_frame=clip.frame_numbers[ess[middle]],
    )
    used = tuple(landmarks[i] for i in sorted({*eds, *ess}))
    at = {quantity: sorted(set(ess if quantity is Quantity.LVIDS else eds)) for quantity in WALLS}
    values = {quantity: float(walls.smoothed[at[quantity], LINES[quantity]].mean()) for quantity in WALLS}
    fault = check_walls(values, noise=walls.noise(1))
    if fault is not None:
        return WallResult(diameters=diameters, landmarks=used, not_measured=_refused(fault))
    measured = tuple(_measurement(clip, walls, quantity, values[quantity], at[quantity]) for quantity in WALLS)
    return WallResult(diameters=diameters, landmarks=used, measurements=measured)


def _measurement(clip: Clip, walls: _Walls, quantity: Quantity, value: float, at: Sequence[int]) -> Measurement:
    source = Source(SOPInstanceUID=clip.SOPInstanceUID, frame_numbers=tuple(clip.frame_numbers[i] for i in at))
    recipe = Recipe(method=Method.DIRECT, view=View.PLAX, sources=(source,))
    return recipe.measurement(quantity, value, uncertainty=walls.repeatability(LINES[quantity], at))


@dataclass(frozen=True, slots=True)
class _Walls:
    """The three lengths over a clip."""

    raw: Lengths
    smoothed: Lengths
    known: Known
    times_ms: Curve

    @classmethod
    def over_time(cls, places: npt.NDArray[np.float64], times_ms: Curve, known: Known) -> _Walls:
        """Lengths between neighbouring points [T,4,2] (mm), gaps filled in time, then smoothed."""
        raw = np.linalg.norm(np.diff(places, axis=1), axis=2)  # [T,3]
        filled = (np.interp(times_ms, times_ms[known], line[known]) for line in raw.T)
        return cls(raw, np.stack([smooth(line, times_ms) for line in filled], axis=1), known, times_ms)

    def nearest(self, index: int) -> int:
        """The frame nearest in time whose points can be believed."""
        known = np.flatnonzero(self.known)
        return int(known[np.argmin(np.abs(self.times_ms[known] - self.times_ms[index]))])

    def noise(self, line: int) -> float:
        """Scatter of a length from frame to frame, in mm.

        From second differences of the raw length, whose spread is that of one frame times the root of 6
        and which a beating heart hardly moves; their median, for the frames of fastest motion are few.
        What smoothing takes off would be less, the slower the frames, and so is no measure of it.
        """
        bends = np.diff(self.raw[self.known, line], n=2)
        return float(_NORMAL_OVER_MEDIAN * np.median(np.abs(bends)) / np.sqrt(6))

    def repeatability(self, line: int, at: Sequence[int]) -> float:
        """Scatter from frame to frame, and spread over some frames, in mm."""
        return float(np.hypot(self.noise(line), np.std(self.smoothed[list(at), line])))


def _places_mm(landmarks: Sequence[Landmarks], spacing_mm: tuple[float, float]) -> npt.NDArray[np.float64]:
    """The four points of every frame [T,4,2] as (down, right) in mm, in their order along the line."""
    places = [{point: (row, col) for point, row, col in found.points} for found in landmarks]
    pixels = np.array([[at[point] for point in WallPoint] for at in places], np.float64)  # [T,4,2]
    return np.asarray(pixels * np.array(spacing_mm), np.float64)


def _in_order(places: npt.NDArray[np.float64]) -> Known:
    """Does each point lie farther along the line than the one before it [T]?"""
    line = places[:, -1] - places[:, 0]
    along = np.einsum("tpk,tk->tp", places, line)
    return np.asarray(np.all(np.diff(along, axis=1) > 0, axis=1), np.bool_)


def _nothing(fault: Fault) -> WallResult:
    return WallResult(not_measured=_refused(fault))


def _refused(fault: Fault) -> tuple[NotMeasured, ...]:
    return refused(WALLS, fault, view=View.PLAX, method=Method.DIRECT)
