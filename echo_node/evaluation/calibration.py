"""Is a view as often right as it is certain? Reliability and expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from echo_node.evaluation.confidence import Estimate, bootstrap, share

BINS = 10  # of equal width over 0 to 1; the last one holds 1 itself

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Clips whose certainty lies in one tenth."""

    low: float
    high: float
    certainty: float  # mean
    right: Estimate  # share


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The reliability curve, without its empty bins, and the error."""

    bins: tuple[Bin, ...]
    ece: Estimate


def calibration(certainties: Sequence[float], hits: Sequence[bool], patients: Sequence[str]) -> Calibration:
    """Of the top answer's probability against whether it is right."""
    certain, right = np.array(certainties, np.float64), np.array(hits, np.bool_)
    place = _bins(certain)
    bins = []
    for index in sorted(set(place.tolist())):
        inside = np.flatnonzero(place == index).tolist()
        bins.append(
            Bin(
                low=index / BINS,
                high=(index + 1) / BINS,
                certainty=float(certain[inside].mean()),
                right=share(right[inside].tolist(), [patients[i] for i in inside]),
            )
        )
    error = bootstrap(lambda chosen: expected_calibration_error(certain[chosen], right[chosen]), patients)
    return Calibration(bins=tuple(bins), ece=error)


def expected_calibration_error(certainties: Values, hits: npt.NDArray[np.bool_]) -> float:
    """Mean gap of certainty and accuracy over the bins, weighted by their clips (Guo 2017, equation 3)."""
    place = _bins(certainties)
    gaps = np.bincount(place, weights=hits - certainties, minlength=BINS)
    return float(np.abs(gaps).sum() / len(certainties))


def _bins(certainties: Values) -> npt.NDArray[np.int64]:
    return np.minimum((certainties * BINS).astype(np.int64), BINS - 1)
