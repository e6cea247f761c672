"""Ways to do one thing, timed in turns so that a busy machine is unkind to all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def race(ways: Mapping[str, Callable[[], object]], *, repeats: int) -> dict[str, float]:
    """Print and return each way's median seconds, and its ratio to the first way's.

    Parameters
    ----------
    ways : mapping
        Names to what is timed; the first is the one that the others are compared with.
    repeats : int
        Rounds; every way runs once in each, after one that is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if number:
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    first = next(iter(medians.values()))
    for name, values in seconds.items():
        spread = f"min {min(values):.3f}, max {max(values):.3f}"
        print(f"{name:34} {medians[name]:8.3f} s   {medians[name] / first:6.2f} x   ({spread})")
    return medians
