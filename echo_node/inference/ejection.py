"""The ejection fraction head's input and output: which frames it looks at, and what it says of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from echo_node.records import Clip, EjectionEstimate

MOST_FRAMES = 32
LONGEST_S = 2.2  # of what is looked at: MOST_FRAMES are then 15 a second, the fewest that were taught

Times = npt.NDArray[np.float64]


def looked_at(times_ms: Times) -> tuple[int, ...]:
    """Indices of up to :data:`MOST_FRAMES` frames, spread by time over the middle of a clip.

    Parameters
    ----------
    times_ms : [T]
        Growing.
    """
    middle, half = (times_ms[0] + times_ms[-1]) / 2, 500 * LONGEST_S
    first, last = max(times_ms[0], middle - half), min(times_ms[-1], middle + half)
    wanted = np.linspace(first, last, MOST_FRAMES)
    nearest = np.abs(times_ms[:, None] - wanted).argmin(axis=0)
    return tuple(np.unique(nearest).tolist())


def read_estimate(said: npt.NDArray[np.float32], indices: tuple[int, ...], clip: Clip) -> EjectionEstimate:
    """The head's output as a record.

    Parameters
    ----------
    said : [2+T]
        EF as a share, the logarithm of its variance, and the relative volume of every frame looked at.
    indices : tuple of int
        These frames, [T].
    clip : Clip
        With times.
    """
    assert clip.times_ms is not None
    times, volumes = clip.times_ms[list(indices)], said[2:].astype(np.float64)
    ed, es = (int(np.abs(clip.times_ms - _peak(times, curve)).argmin()) for curve in (volumes, -volumes))
    return EjectionEstimate(
        SOPInstanceUID=clip.SOPInstanceUID,
        ef=float(np.clip(100 * said[0], 0, 100)),
        uncertainty=float(100 * np.exp(said[1] / 2)),
        ed_frame=clip.frame_numbers[ed],
        es_frame=clip.frame_numbers[es],
    )


def _peak(times: Times, curve: npt.NDArray[np.float64]) -> float:
    """When a curve is highest: the top of the parabola through its highest value and both neighbours."""
    top = int(curve.argmax())
    if top in (0, len(curve) - 1):
        return float(times[top])
    before, after = times[top - 1] - times[top], times[top + 1] - times[top]
    down, up = curve[top - 1] - curve[top], curve[top + 1] - curve[top]  # neither above 0
    bend = down * after - up * before
    if bend == 0:  # flat
        return float(times[top])
    return float(times[top] + np.clip((down * after**2 - up * before**2) / (2 * bend), before, after))
