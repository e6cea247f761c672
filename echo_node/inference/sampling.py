"""Which frames of a clip are looked at: decoding and encoding are what costs."""

from __future__ import annotations

import numpy as np

VIEW_FRAMES = 8  # spread over the clip: systole and diastole are both among them


def spread(total: int, wanted: int = VIEW_FRAMES) -> tuple[int, ...]:
    """Up to ``wanted`` indices, evenly over ``total`` frames."""
    return tuple(np.unique(np.linspace(0, total - 1, min(wanted, total)).round().astype(int)).tolist())


def middle(total: int, wanted: int) -> tuple[int, ...]:
    """Up to ``wanted`` consecutive indices from the middle of ``total`` frames."""
    first = max(0, (total - wanted) // 2)
    return tuple(range(first, min(total, first + wanted)))
