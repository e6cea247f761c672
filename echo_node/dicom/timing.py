"""Frame times from Frame Time, Frame Time Vector or Cine Rate (PS3.3 C.7.6.5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from echo_node.dicom.elements import Elements

_BELIEVABLE_MS = (1.0, 1000.0)  # between frames: 1000 to 1 a second


def frame_times(elements: Elements, frames: int) -> npt.NDArray[np.float64] | None:
    """Times [T] in ms from the first frame; None where nothing believable is stated.

    Frame Time Vector holds one interval per frame, the first of them 0.
    """
    vector = elements.numbers("FrameTimeVector")
    if len(vector) == frames and frames > 1 and all(_is_believable(step) for step in vector[1:]):
        return np.asarray(np.cumsum([0.0, *vector[1:]]), np.float64)
    step = next(iter(elements.numbers("FrameTime")), 0.0)
    rates = (elements.numbers(name) for name in ("CineRate", "RecommendedDisplayFrameRate"))
    steps = [step, *(1000 / rate[0] for rate in rates if rate and rate[0] > 0)]
    good = next((s for s in steps if _is_believable(s)), None)
    return None if good is None else np.asarray(np.arange(frames) * good, np.float64)


def _is_believable(step: float) -> bool:
    return _BELIEVABLE_MS[0] <= step <= _BELIEVABLE_MS[1]
