"""Figures of merit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def balanced_accuracy(predicted: npt.NDArray[np.int64], truth: npt.NDArray[np.int64]) -> float:
    """Mean recall over the classes that occur."""
    return float(np.mean([np.mean(predicted[truth == label] == label) for label in np.unique(truth)]))


def dice(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """Twice the overlap over the sum; 1 where both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 1.0 if total == 0 else 2.0 * int((first & second).sum()) / total
