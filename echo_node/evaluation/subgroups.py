"""The same figures by quality, vendor look and EF band: does an engine fail somebody?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from echo_node.codes import Structure
from echo_node.evaluation import confidence
from echo_node.evaluation.answers import Answer
from echo_node.evaluation.cases import EF_BANDS, QUALITIES, WALLS, Axis, Figure, Labels
from echo_node.evaluation.confidence import Estimate
from echo_node.evaluation.details import is_right
from echo_node.evaluation.readings import Reading, Way
from echo_node.evaluation.subtasks import absolute_error

# Per clip, for quality belongs to a clip. On the labelled frames only where no clip holds a full beat.
_PLANES = ("disks, one plane", (Way.A4C, Way.A2C))
_LABELLED = ("disks on the labelled frames", (Way.LABELLED,))
_HEAD = ("EF head", (Way.HEAD,))
_ORDER = (*QUALITIES, *EF_BANDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """A figure of one group of clips."""

    axis: str
    group: str
    measure: str
    estimate: Estimate


def subgroups(answers: Sequence[Answer], readings: Sequence[Reading]) -> tuple[GroupRow, ...]:
    """Every figure of every group that has cases."""
    hearts = [a for a in answers if a.labels.shows_heart]  # one in which no sector was found is missed
    rows: list[GroupRow] = []
    for axis in Axis:
        groups = {group for a in hearts if (group := a.labels.group(axis)) is not None}
        for group in sorted(groups, key=lambda name: (_ORDER.index(name) if name in _ORDER else -1, name)):
            inside = _member(axis, group)
            clips = [a for a in hearts if inside(a.labels)]
            numbers = [r for r in readings if inside(r.labels) and r.found is not None]
            rows += [
                GroupRow(axis=axis.value, group=group, measure=measure, estimate=estimate)
                for measure, estimate in (*_of_clips(clips), *_of_numbers(numbers))
            ]
    return tuple(rows)


def _member(axis: Axis, group: str) -> Callable[[Labels], bool]:
    return lambda labels: labels.group(axis) == group


def _of_clips(clips: Sequence[Answer]) -> list[tuple[str, Estimate]]:
    labelled = [a for a in clips if a.labels.view is not None]
    found = []
    if labelled:
        hits = [is_right(a) for a in labelled]
        found.append(("view accuracy", confidence.share(hits, [a.labels.patient for a in labelled])))
    for structure in (Structure.LV_CAVITY, Structure.LV_MYOCARDIUM):
        outlined = [a for a in clips if structure in a.overlaps]
        if outlined:
            values = [a.overlaps[structure] for a in outlined]
            estimate = confidence.mean(values, [a.labels.patient for a in outlined])
            found.append((f"Dice of {structure.name.replace('_', ' ')}", estimate))
    return found


def _of_numbers(numbers: Sequence[Reading]) -> list[tuple[str, Estimate]]:
    found = []
    has_beats = any(r.way in _PLANES[1] for r in numbers)
    for name, ways in (_PLANES if has_beats else _LABELLED, _HEAD):
        chosen = [r for r in numbers if r.figure is Figure.EF and r.way in ways]
        if chosen:
            found.append((f"MAE of EF, points ({name})", absolute_error(chosen)))
    for figure in WALLS:
        chosen = [r for r in numbers if r.figure is figure and r.way is Way.OWN]
        if chosen:
            found.append((f"MAE of {figure.label}, mm", absolute_error(chosen)))
    return found
