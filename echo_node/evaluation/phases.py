"""End diastole and end systole: the frames that were found beside those that are labelled."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from echo_node.evaluation.cases import Figure, Labels
from echo_node.evaluation.readings import Reading, Way
from echo_node.measure.beats import Curve, find_beats
from echo_node.records import Clip, DiameterCurve, NotMeasured, VolumeCurve

_NEARLY = 0.1  # of the range of volumes
_SAME = 0.01  # of it: less is no difference between frames
Cycle = tuple[int, int]  # frame numbers of end diastole and end systole


def from_curve(
    labels: Labels,
    way: Way,
    clip: Clip,
    curve: VolumeCurve | DiameterCurve | None,
    missing: Sequence[NotMeasured],
) -> tuple[Reading, ...]:
    """The frames of the beat that was measured, or of the one nearest to the only beat that is labelled."""
    if curve is None:
        why = missing[0].reason.code.meaning if missing else ""
        return _readings(labels, way, None, (), why)
    lengths = curve.volumes_ml if isinstance(curve, VolumeCurve) else curve.diameters_mm
    numbers = clip.frame_numbers
    beats = [(numbers[beat.ed], numbers[beat.es]) for beat in find_beats(lengths, curve.times_ms)]
    measured = curve.ed_frame, curve.es_frame
    return _readings(labels, way, measured, [measured, *beats], "")


def from_estimate(labels: Labels, way: Way, found: Cycle | None, why: str = "") -> tuple[Reading, ...]:
    """The frames of an estimate, which may be of any beat: they are judged where every beat is labelled."""
    return _readings(labels, way, found, (), why) if labels.ed_frames else ()


def every_phase(volumes: Curve, times_ms: Curve) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices of every end diastole and end systole of a true curve [T], as far as the clip shows them.

    A heart that is isovolumic is as large, or as small, on several frames: each is one. Where a clip is cut the
    first or last frame is one of both if its volume is nearly that of one. Without a full beat there is none.
    """
    troughs = [beat.es for beat in find_beats(volumes, times_ms)]
    nothing = np.array([], np.int64)
    if not troughs:
        return nothing, nothing
    last, span = len(volumes) - 1, float(np.ptp(volumes))
    stretches = pairwise([0, *troughs, last + 1])
    peaks = np.array([first + int(volumes[first:end].argmax()) for first, end in stretches])
    before, after = int(volumes[: peaks[0] + 1].argmin()), int(peaks[-1] + volumes[peaks[-1] :].argmin())
    cut = [t for t in (before, after) if volumes[t] <= volumes.min() + _NEARLY * span]
    is_full = ~np.isin(peaks, (0, last)) | (volumes[peaks] >= volumes.max() - _NEARLY * span)
    troughs = [*troughs, *cut]
    return _alike(volumes, peaks[is_full], by=_SAME * span), _alike(volumes, troughs, by=_SAME * span)


def _alike(volumes: Curve, frames: Sequence[int] | npt.NDArray[np.int64], *, by: float) -> npt.NDArray[np.int64]:
    """Frames, and those beside them whose volume is the same."""
    found = np.zeros(len(volumes), np.bool_)
    for frame in frames:
        other = np.flatnonzero(np.abs(volumes - volumes[frame]) > by)
        found[max(other[other < frame], default=-1) + 1 : min(other[other > frame], default=len(volumes))] = True
    return np.flatnonzero(found)


def _readings(
    labels: Labels, way: Way, measured: Cycle | None, beats: Sequence[Cycle], why: str
) -> tuple[Reading, ...]:
    readings = []
    one, every = (labels.ed_frame, labels.es_frame), (labels.ed_frames, labels.es_frames)
    for place, figure in enumerate((Figure.ED_FRAME, Figure.ES_FRAME)):
        true, found = one[place], None if measured is None else measured[place]
        if found is not None and every[place]:
            true = _nearest(every[place], found)
        elif found is not None and true is not None:
            found = _nearest([beat[place] for beat in beats], true)
        if true is not None:
            readings.append(Reading(labels=labels, figure=figure, way=way, true=true, found=found, reason=why))
    return tuple(readings)


def _nearest(frames: Sequence[int], to: int) -> int:
    return min(frames, key=lambda frame: abs(frame - to))
