"""The retry policy."""

import random
from datetime import UTC, datetime

import pytest

from echo_node.config import Deliver
from echo_node.services.retry import Again, GiveUp, after_failure

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
SETTINGS = Deliver(first_retry_seconds=10, max_retry_seconds=3600, max_attempts=12)


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 10), (2, 20), (3, 40), (9, 2560), (10, 3600), (11, 3600)])
def test_the_wait_doubles_up_to_its_limit(attempts, seconds):
    decision = after_failure(attempts, settings=SETTINGS, now=NOW, rng=random.Random(1))
    assert isinstance(decision, Again)
    assert (decision.at - NOW).total_seconds() == pytest.approx(seconds, rel=0.1)


def test_waits_are_spread():
    rng = random.Random(1)
    waits = {after_failure(5, settings=SETTINGS, now=NOW, rng=rng).at for _ in range(20)}
    assert len(waits) == 20


def test_the_last_attempt_gives_up():
    assert isinstance(after_failure(12, settings=SETTINGS, now=NOW, rng=random.Random(1)), GiveUp)
