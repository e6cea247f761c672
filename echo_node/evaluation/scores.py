"""Figures of merit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def balanced_accuracy(predicted: npt.NDArray[np.int64], truth: npt.NDArray[np.int64]) -> float:
    """Mean recall over the classes that occur."""
    return float(np.mean([np.mean(predicted[truth == label] == label) for label in np.unique(truth)]))


def dice(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """Twice the overlap over the sum; 1 where both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 1.0 if total == 0 else 2.0 * int((first & second).sum()) / total


def auroc(positives: Values, negatives: Values) -> float:
    """The chance that a positive scores above a negative, ties counting half (Mann-Whitney's U over n m).

    NaN where one of the two is empty.
    """
    if not (positives.size and negatives.size):
        return float("nan")
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, side="left")
    up_to = np.searchsorted(ordered, positives, side="right")
    return float((below + up_to).mean() / (2 * negatives.size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A receiver operating characteristic."""

    false_positives: tuple[float, ...]  # rate, rising
    true_positives: tuple[float, ...]


def roc(positives: Values, negatives: Values) -> Curve:
    """Rates at every threshold, from none accepted to all."""
    thresholds = np.unique(np.concatenate([positives, negatives]))[::-1]
    return Curve(
        false_positives=(0.0, *(float((negatives >= t).mean()) for t in thresholds)),
        true_positives=(0.0, *(float((positives >= t).mean()) for t in thresholds)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Bland and Altman's: the mean difference and where 95 % of differences lie (Lancet 1986;1:307)."""

    bias: float
    low: float
    high: float


def agreement(found: Values, true: Values) -> Agreement:
    """Found against true; limits at 1.96 sample standard deviations, NaN for a single pair."""
    apart = found - true
    bias = float(apart.mean())
    spread = 1.96 * float(apart.std(ddof=1)) if apart.size > 1 else float("nan")
    return Agreement(bias=bias, low=bias - spread, high=bias + spread)


def correlation(found: Values, true: Values) -> float:
    """Pearson's r; NaN where either does not vary."""
    if found.size < 2 or np.ptp(found) == 0 or np.ptp(true) == 0:
        return float("nan")
    return float(np.corrcoef(found, true)[0, 1])
