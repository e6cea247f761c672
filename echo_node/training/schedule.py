"""What changes over a run, as functions of the share of it that is over."""

from __future__ import annotations

import math


def cosine(start: float, end: float, share: float) -> float:
    """From ``start`` at share 0 to ``end`` at 1, along half a cosine."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, share))))


def warmed_up(peak: float, end: float, *, share: float, warm_up: float) -> float:
    """Linearly from 0 to ``peak`` over the warm-up's share, then a cosine down to ``end``."""
    if share < warm_up:
        return peak * share / warm_up
    return cosine(peak, end, (share - warm_up) / (1 - warm_up))


def ramp(start: float, end: float, *, share: float, until: float) -> float:
    """Linearly from ``start`` to ``end`` at share ``until``; constant after."""
    return end if share >= until else start + (end - start) * share / until
