"""Are pictures without a heart refused?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from echo_node.evaluation import confidence
from echo_node.evaluation.answers import Answer
from echo_node.evaluation.confidence import Estimate
from echo_node.evaluation.scores import Curve, auroc, roc


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRow:
    """One kind of picture without a heart."""

    kind: str
    pictures: int
    reached_view_head: int
    routed: int  # sent to a head
    measured: int  # and a number came out
    refusals: tuple[tuple[str, int], ...]  # reason and how often


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The view head's certainty of a heart on hearts and others, and what the pipeline measured."""

    auroc: Estimate | None  # None where one of the two sides is empty
    curve: Curve | None
    hearts: tuple[float, ...]  # certainty that a heart is shown
    others: tuple[float, ...]
    threshold: float  # from which the engine's views are routed
    measured: Estimate  # share of pictures without a heart
    kinds: tuple[KindRow, ...]


def refusal(answers: Sequence[Answer], *, threshold: float) -> Refusal | None:
    """None where no picture is labelled as no heart."""
    others = [a for a in answers if not a.labels.shows_heart]
    if not others:
        return None
    asked = [a for a in answers if a.prediction is not None and a.labels.view is not None]
    certain = np.array([a.heart_certainty for a in asked])
    is_heart = np.array([a.labels.shows_heart for a in asked])
    hearts, rest = certain[is_heart], certain[~is_heart]
    has_both = bool(hearts.size and rest.size)
    area = confidence.bootstrap(
        lambda c: auroc(certain[c][is_heart[c]], certain[c][~is_heart[c]]), [a.labels.patient for a in asked]
    ) if has_both else None  # fmt: skip
    return Refusal(
        auroc=area,
        curve=roc(hearts, rest) if has_both else None,
        hearts=tuple(hearts.tolist()),
        others=tuple(rest.tolist()),
        threshold=threshold,
        measured=confidence.share([a.is_measured for a in others], [a.labels.patient for a in others]),
        kinds=_kinds(others),
    )


def _kinds(others: Sequence[Answer]) -> tuple[KindRow, ...]:
    names = sorted({a.labels.kind or "not named" for a in others})
    rows = []
    for name in names:
        same = [a for a in others if (a.labels.kind or "not named") == name]
        reasons = Counter(a.refusal for a in same if a.refusal)
        rows.append(
            KindRow(
                kind=name,
                pictures=len(same),
                reached_view_head=sum(a.prediction is not None for a in same),
                routed=sum(a.is_routed for a in same),
                measured=sum(a.is_measured for a in same),
                refusals=tuple(sorted(reasons.items())),
            )
        )
    return tuple(rows)
