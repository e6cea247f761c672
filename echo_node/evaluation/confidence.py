"""95 % intervals: the bootstrap over patients, and Wilson's for shares of independent clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

RESAMPLES = 1000
_PERCENTILES = (2.5, 97.5)
_Z = 1.959964  # of the normal distribution at 97.5 %
_SEED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure with its 95 % interval; NaN bounds where there is too little to tell."""

    value: float
    low: float
    high: float
    n: int
    patients: int


def bootstrap(statistic: Callable[[Indices], float], patients: Sequence[str]) -> Estimate:
    """The percentile interval of a statistic, patients being drawn with replacement.

    Clips of one patient are drawn together, for they are not independent. The seed is fixed: the same
    answers give the same interval.

    Parameters
    ----------
    statistic : callable
        From indices into the answers to the figure; NaN where they cannot give it.
    patients : sequence of str
        Of each answer.

    Notes
    -----
    With a single patient, or where a resample never gives a figure, the bounds are NaN.
    """
    names, owner = np.unique(np.array(patients), return_inverse=True)
    everything = np.arange(len(owner))
    value = statistic(everything)
    if len(names) < 2:
        return Estimate(value=value, low=np.nan, high=np.nan, n=len(owner), patients=len(names))
    groups = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])
    rng = np.random.default_rng(_SEED)
    drawn = rng.integers(len(names), size=(RESAMPLES, len(names)))
    values = np.array([statistic(np.concatenate([groups[g] for g in one])) for one in drawn])
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, _PERCENTILES) if values.size else (np.nan, np.nan)
    return Estimate(value=value, low=float(low), high=float(high), n=len(owner), patients=len(names))


def mean(values: Sequence[float], patients: Sequence[str]) -> Estimate:
    """A mean with its bootstrap interval."""
    array = np.asarray(values, np.float64)
    return bootstrap(lambda chosen: float(array[chosen].mean()), patients)


def share(hits: Sequence[bool], patients: Sequence[str]) -> Estimate:
    """A share: Wilson's interval where every patient has one clip, else the bootstrap's over patients.

    Where all are alike the bootstrap knows no doubt; then Wilson's, with one trial per patient.
    """
    names = set(patients)
    if len(names) == len(hits):
        return wilson(hits, patients)
    if 0 < sum(hits) < len(hits):
        return mean([float(hit) for hit in hits], patients)
    return replace(wilson([hits[0]] * len(names), [*names]), n=len(hits))


def wilson(hits: Sequence[bool], patients: Sequence[str]) -> Estimate:
    """A share with Wilson's score interval, which holds at 0 and 1 too (Wilson, JASA 1927;22:209)."""
    n, p = len(hits), float(np.mean(hits))
    middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * np.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    low, high = max(0.0, float(middle - half)), min(1.0, float(middle + half))
    return Estimate(value=p, low=low, high=high, n=n, patients=len(set(patients)))
