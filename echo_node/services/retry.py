"""When a failed delivery is tried again: a pure policy that returns a decision."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from echo_node.config import Deliver

_JITTER = 0.1  # so that a hundred objects do not return in one instant


@dataclass(frozen=True, slots=True)
class Again:
    """Try again at this time."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A person must look."""

    because: str


def after_failure(attempts: int, *, settings: Deliver, now: datetime, rng: random.Random) -> Again | GiveUp:
    """Decide after the ``attempts``-th failure that a retry might mend.

    The wait doubles from ``first_retry_seconds`` up to ``max_retry_seconds``, plus or minus a tenth.
    """
    if attempts >= settings.max_attempts:
        return GiveUp(f"{attempts} attempts failed")
    doubled = settings.first_retry_seconds * 2.0 ** min(attempts - 1, 30)
    wait = min(doubled, settings.max_retry_seconds) * rng.uniform(1 - _JITTER, 1 + _JITTER)
    return Again(now + timedelta(seconds=wait))
