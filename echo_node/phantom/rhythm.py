"""When the heart beats: regularly, with an ectopic beat, or in atrial fibrillation.

Phases run from 0 at end diastole to 1 at the next, in a beat of the patient's usual length. A beat that
comes early cuts the filling short; before one that comes late the heart waits, full.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from echo_node.phantom.heart import Patient, Rhythm, filling

Times = npt.NDArray[np.float64]

_LAST_PHASE = 0.999
_EARLY, _PAUSE = (0.62, 0.8), 2.0  # of an ectopic beat, in usual lengths; with the pause they make two
_FIBRILLATION = 0.2  # standard deviation of the logarithm of a beat's length
_SHORTEST = 0.6


@dataclass(frozen=True, slots=True)
class Beats:
    """Where in its beat each frame lies."""

    phases: Times  # [T]
    levels: Times  # [T], how full the heart was when its beat began: 1 unless the last one was cut short


def beats(times_ms: Times, patient: Patient, *, start: float, rng: np.random.Generator) -> Beats:
    """Phases of frames.

    Parameters
    ----------
    times_ms : float [T]
        Frame times from 0 on, rising.
    patient : Patient
        Its usual beat, and how beats follow each other.
    start : float
        Phase of the first frame.
    rng : numpy Generator
        Of irregular lengths.
    """
    at = start + times_ms / patient.beat_ms  # in usual beats
    lengths = _lengths(patient.rhythm, int(np.ceil(at[-1])) + 3, rng)
    starts = np.concatenate([[np.floor(start)], np.floor(start) + np.cumsum(lengths)])
    levels = [1.0]
    for length in lengths:
        levels.append(filling(min(length, _LAST_PHASE), patient.heart_rate) if length < 1 else 1.0)
    index = np.searchsorted(starts, at, side="right") - 1
    return Beats(np.minimum(at - starts[index], _LAST_PHASE), np.array(levels)[index])


def _lengths(rhythm: Rhythm, count: int, rng: np.random.Generator) -> Times:
    """Lengths of beats in usual ones [count or more]."""
    lengths = np.ones(2 * count)
    if rhythm is Rhythm.ECTOPIC:
        early, place = rng.uniform(*_EARLY), int(rng.integers(0, 2))
        lengths[place : place + 2] = early, _PAUSE - early
    elif rhythm is Rhythm.FIBRILLATION:
        lengths = np.maximum(_SHORTEST, np.exp(rng.normal(0, _FIBRILLATION, 2 * count)))
    return lengths
