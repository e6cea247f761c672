"""End diastole, end systole and beats, from a volume curve in time (never from frame counts)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Curve = npt.NDArray[np.float64]

SMOOTHING_MS = 50.0  # full width of the smoothing kernel's central half
SHORTEST_BEAT_MS = 300.0  # 200 beats a minute
SHORTEST_PHASE_MS = 100.0  # between end diastole and end systole: no heart empties or fills sooner
_DEPTH = 0.25  # a trough falls by this share of the curve's whole range, and recovers by it
_FULL_DEPTH = 0.5  # and does one of both by this: else no end diastole beside it was seen
_LEAST_SPAN = 0.03  # of the largest volume: less is no heartbeat but noise
_OF_A_DEVIATION = 0.6745  # the median distance from the mean, of a normal distribution
_HALF_BEAT_MS = 1000.0  # end diastole lies within this of end systole: one beat at 60 a minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One beat: indices into the curve, and the volumes there."""

    ed: int
    es: int
    edv: float
    esv: float

    @property
    def ejection_fraction(self) -> float:
        """Percent."""
        return 100.0 * (self.edv - self.esv) / self.edv


def smooth(volumes: Curve, times_ms: Curve) -> Curve:
    """Gaussian smoothing over time; right for irregular frame times, and at the ends.

    A line is fitted under the kernel at each frame, so that a slope at the clip's ends stays.
    """
    sigma = SMOOTHING_MS / 1.35 / 2
    offset = times_ms[None, :] - times_ms[:, None]  # [T,T]
    weight = np.exp(-0.5 * (offset / sigma) ** 2)
    s0, s1, s2 = (np.sum(weight * offset**k, axis=1) for k in range(3))
    b0, b1 = weight @ volumes, (weight * offset) @ volumes
    determinant = s0 * s2 - s1**2
    safe = determinant > 1e-6 * s0**2
    level: Curve = np.where(safe, (s2 * b0 - s1 * b1) / np.where(safe, determinant, 1.0), b0 / s0)
    return level


def scatter(volumes: Curve, times_ms: Curve) -> float:
    """How much a curve [T] jumps from frame to frame: the standard deviation of a frame's own error.

    By each frame's distance from the line between its neighbours, and robust: a heart's own motion hardly counts.
    """
    share = (times_ms[2:] - times_ms[1:-1]) / (times_ms[2:] - times_ms[:-2])  # of the neighbour before
    apart = volumes[1:-1] - share * volumes[:-2] - (1 - share) * volumes[2:]
    return float(np.median(np.abs(apart) / np.sqrt(1 + share**2 + (1 - share) ** 2))) / _OF_A_DEVIATION


def find_beats(volumes: Curve, times_ms: Curve) -> tuple[Beat, ...]:
    """Beats of a smoothed volume curve.

    A beat is a trough with a fall before it and a recovery after it: a clip that ends in mid-systole
    has not shown its end systole. Its end diastole is the highest volume near it, before or after.

    Parameters
    ----------
    volumes : float [T]
        Smoothed volumes.
    times_ms : float [T]
        Frame times, rising.

    Returns
    -------
    tuple of Beat
        In time order; empty where the clip holds no full cycle.
    """
    span = float(np.ptp(volumes))
    if volumes.size < 3 or span <= _LEAST_SPAN * float(volumes.max()):
        return ()
    if times_ms[-1] - times_ms[0] < SHORTEST_BEAT_MS:
        return ()  # a trough in less than any heart's beat is a mask that wavered
    troughs = _troughs(volumes, times_ms, depth=_DEPTH * span)
    beats = []
    for es in troughs:
        near = np.abs(times_ms - times_ms[es]) <= _HALF_BEAT_MS
        others = [t for t in troughs if t != es]
        near &= _same_side(times_ms, es, others)
        ed = int(np.argmax(np.where(near, volumes, -np.inf)))
        if volumes[ed] - volumes[es] < _FULL_DEPTH * span or abs(times_ms[ed] - times_ms[es]) < SHORTEST_PHASE_MS:
            continue
        beats.append(Beat(ed=ed, es=es, edv=float(volumes[ed]), esv=float(volumes[es])))
    return tuple(beats)


def _same_side(times_ms: Curve, es: int, others: list[int]) -> npt.NDArray[np.bool_]:
    """Frames between the neighbouring troughs."""
    before = max((t for t in others if t < es), default=-1)
    after = min((t for t in others if t > es), default=times_ms.size)
    index = np.arange(times_ms.size)
    return (index > before) & (index < after)


def _troughs(volumes: Curve, times_ms: Curve, *, depth: float) -> list[int]:
    """Lowest points between falls and rises of at least ``depth``, never the first or last frame."""
    found: list[int] = []
    high, low = float(volumes[0]), 0
    falling = False
    for i, volume in enumerate(volumes):
        if not falling:
            high = max(high, float(volume))
            if high - volume >= depth:
                falling, low = True, i
        else:
            if volume < volumes[low]:
                low = i
            if volume - volumes[low] >= depth:
                found.append(low)
                falling, high = False, float(volume)
    return [t for k, t in enumerate(found) if k == 0 or times_ms[t] - times_ms[found[k - 1]] >= SHORTEST_BEAT_MS]
