"""Kinds that are drawn by weight."""

from __future__ import annotations

import enum
from typing import TypeVar

import numpy as np


class Weighted(enum.Enum):
    """An enum whose members are drawn by weight; a member's value is its weight, and what it is."""

    @property
    def weight(self) -> float:
        """How often it is drawn, against the others."""
        weight: float = self.value[0]
        return weight


_Kind = TypeVar("_Kind", bound=Weighted)


def draw(kinds: type[_Kind], rng: np.random.Generator) -> _Kind:
    """One of an enum's members by their weights."""
    weights = np.array([kind.weight for kind in kinds])
    return list(kinds)[rng.choice(len(kinds), p=weights / weights.sum())]
