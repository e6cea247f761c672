"""The 28 sub-tasks of EchoApex (arXiv 2410.11092): 18 views, 6 structures, 3 wall measures, EF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from echo_node.codes import Structure, View
from echo_node.evaluation import confidence
from echo_node.evaluation.answers import Answer
from echo_node.evaluation.cases import WALLS, Figure
from echo_node.evaluation.confidence import Estimate
from echo_node.evaluation.readings import Reading, Way
from echo_node.inference.engine import Engine

VIEWS = tuple(view for view in View if view is not View.OTHER)
NO_HEAD, NO_LABEL, NOT_MEASURED = "no head", "no label", "none measured"

_LEAST_OF_MOST = 0.3  # of the numbers of the way that has most: biplane has one where one plane has two
# EF is that of the first way which gave enough: both planes, one of them, without an outline, or the
# labelled frames where clips hold no full beat.
EF_WAYS = (Way.BIPLANE, Way.A4C, Way.A2C, Way.HEAD, Way.LABELLED_BIPLANE, Way.LABELLED)
WALL_WAYS = (Way.LABELLED_ED, Way.OWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure, or the words that say why there is none."""

    task: str
    name: str
    measure: str
    estimate: Estimate | None = None
    missing: str = ""


def subtasks(engine: Engine, answers: Sequence[Answer], readings: Sequence[Reading]) -> tuple[Row, ...]:
    """One row each, in the order of the codes."""
    return (
        *(_view(engine, answers, view) for view in VIEWS),
        *(_structure(engine, answers, structure) for structure in Structure),
        *(_wall(engine, readings, figure) for figure in WALLS),
        _ejection(engine, readings),
    )


def _view(engine: Engine, answers: Sequence[Answer], view: View) -> Row:
    row = Row(task="view", name=view.name, measure="recall")
    if view not in engine.views:
        return _without(row, NO_HEAD)
    shown = [a for a in answers if a.labels.view is view]
    if not shown:
        return _without(row, NO_LABEL)
    hits = [a.prediction is not None and a.prediction.view is view for a in shown]
    return _with(row, confidence.share(hits, [a.labels.patient for a in shown]))


def _structure(engine: Engine, answers: Sequence[Answer], structure: Structure) -> Row:
    row = Row(task="segmentation", name=structure.name, measure="Dice")
    if structure not in engine.structures:
        return _without(row, NO_HEAD)
    shown = [a for a in answers if structure in a.overlaps]
    if not shown:
        return _without(row, NO_LABEL)
    values = [a.overlaps[structure] for a in shown]
    return _with(row, confidence.mean(values, [a.labels.patient for a in shown]))


def _wall(engine: Engine, readings: Sequence[Reading], figure: Figure) -> Row:
    row = Row(task="wall measure", name=figure.label, measure="MAE, mm")
    return row_of_errors(row, readings, figure, WALL_WAYS) if engine.finds_walls else _without(row, NO_HEAD)


def _ejection(engine: Engine, readings: Sequence[Reading]) -> Row:
    row = Row(task="ejection fraction", name="EF", measure="MAE, points")
    has_head = engine.estimates_ejection or Structure.LV_CAVITY in engine.structures
    return row_of_errors(row, readings, Figure.EF, EF_WAYS) if has_head else _without(row, NO_HEAD)


def row_of_errors(row: Row, readings: Sequence[Reading], figure: Figure, ways: Sequence[Way]) -> Row:
    """The mean absolute error by the first way that measured about as many as any other."""
    tried = [r for r in readings if r.figure is figure and r.way in ways]
    if not tried:
        return _without(row, NO_LABEL)
    measured_by = {way: [r for r in tried if r.way is way and r.found is not None] for way in ways}
    most = max(len(measured) for measured in measured_by.values())
    for way, measured in measured_by.items():
        if measured and len(measured) >= _LEAST_OF_MOST * most:
            named = Row(task=row.task, name=f"{row.name}, {way.value}", measure=row.measure)
            return _with(named, absolute_error(measured))
    return _without(row, NOT_MEASURED)


def absolute_error(measured: Sequence[Reading]) -> Estimate:
    """Mean absolute error of what was measured."""
    return confidence.mean([abs(r.error) for r in measured], [r.labels.patient for r in measured])


def _with(row: Row, estimate: Estimate) -> Row:
    return Row(task=row.task, name=row.name, measure=row.measure, estimate=estimate)


def _without(row: Row, missing: str) -> Row:
    return Row(task=row.task, name=row.name, measure=row.measure, missing=missing)
