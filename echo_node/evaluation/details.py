"""What stands behind the sub-tasks: precision, routing, every way to EF, bias and limits of agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from echo_node.codes import View
from echo_node.evaluation import confidence
from echo_node.evaluation.answers import Answer
from echo_node.evaluation.cases import Figure
from echo_node.evaluation.readings import Reading, Way
from echo_node.evaluation.scores import agreement, balanced_accuracy, correlation
from echo_node.evaluation.subtasks import Row, absolute_error

_PHASE = "phase"
_TASKS: Mapping[Figure, str] = {
    **dict.fromkeys((Figure.EF, Figure.EDV, Figure.ESV), "ejection fraction"),
    **dict.fromkeys((Figure.IVSD, Figure.LVIDD, Figure.LVPWD, Figure.LVIDS), "wall measure"),
    **dict.fromkeys((Figure.ED_FRAME, Figure.ES_FRAME), _PHASE),
}


def details(views: Sequence[View], answers: Sequence[Answer], readings: Sequence[Reading]) -> tuple[Row, ...]:
    """Rows in the order of the sub-tasks; what has no cases has no row."""
    named = [a for a in answers if a.labels.view in views and (a.labels.shows_heart or a.prediction is not None)]
    hearts = [a for a in named if a.labels.shows_heart]
    return (
        *(_view_rows(views, named) if named else ()),
        *(_routing_rows(hearts) if hearts else ()),
        *(row for view in views for row in _precision(view, named)),
        *(row for figure in Figure for way in Way for row in _error_rows(readings, figure, way)),
    )


def _view_rows(views: Sequence[View], named: Sequence[Answer]) -> tuple[Row, ...]:
    """Over the views that are labelled, OTHER among them."""
    place = {view: index for index, view in enumerate(views)}
    true = np.array([place[a.labels.view] for a in named if a.labels.view is not None])
    found = np.array([-1 if a.prediction is None else place[a.prediction.view] for a in named])
    patients = [a.labels.patient for a in named]
    balanced = confidence.bootstrap(lambda chosen: balanced_accuracy(found[chosen], true[chosen]), patients)
    plain = confidence.share((found == true).tolist(), patients)
    return (
        Row(task="view", name="all labelled views", measure="balanced accuracy", estimate=balanced),
        Row(task="view", name="all labelled views", measure="accuracy", estimate=plain),
    )


def _routing_rows(hearts: Sequence[Answer]) -> tuple[Row, ...]:
    """How many clips of a heart go to a head, and how many of those as what they are."""
    patients = [a.labels.patient for a in hearts]
    routed = [a for a in hearts if a.is_routed]
    rows = [
        Row(
            task="view",
            name="hearts sent to a head",
            measure="share",
            estimate=confidence.share([a.is_routed for a in hearts], patients),
        )
    ]
    if routed:
        right = [is_right(a) for a in routed]
        rows.append(
            Row(
                task="view",
                name="of those sent to a head",
                measure="right",
                estimate=confidence.share(right, [a.labels.patient for a in routed]),
            )
        )
    return tuple(rows)


def is_right(answer: Answer) -> bool:
    """Is the view that was named the one that is labelled?"""
    return answer.prediction is not None and answer.prediction.view is answer.labels.view


def _precision(view: View, named: Sequence[Answer]) -> tuple[Row, ...]:
    called = [a for a in named if a.prediction is not None and a.prediction.view is view]
    if not called:
        return ()
    hits = confidence.share([is_right(a) for a in called], [a.labels.patient for a in called])
    return (Row(task="view", name=view.name, measure="precision", estimate=hits),)


def _error_rows(readings: Sequence[Reading], figure: Figure, way: Way) -> tuple[Row, ...]:
    tried = [r for r in readings if r.figure is figure and r.way is way]
    if not tried:
        return ()
    patients = [r.labels.patient for r in tried]
    was_measured = confidence.share([r.found is not None for r in tried], patients)
    task = _TASKS[figure]
    name = f"{figure.label}, {way.value}"
    unit = "points" if figure is Figure.EF else figure.unit
    rows = [Row(task=task, name=name, measure="measured share", estimate=was_measured)]
    done = [r for r in tried if r.found is not None]
    if done:
        rows += [
            Row(task=task, name=name, measure=f"{measure}, {unit}" if unit_of else measure, estimate=estimate)
            for measure, unit_of, estimate in _errors(done)
            if task != _PHASE or unit_of  # frame numbers go together in any case
        ]
    return tuple(rows)


def _errors(done: Sequence[Reading]) -> tuple[tuple[str, bool, confidence.Estimate], ...]:
    """Name, whether it has a unit, and estimate of each figure of agreement."""
    patients = [r.labels.patient for r in done]
    found = np.array([r.found for r in done], np.float64)
    true = np.array([r.true for r in done], np.float64)
    return (
        ("MAE", True, absolute_error(done)),
        ("bias", True, confidence.mean((found - true).tolist(), patients)),
        ("lower limit of agreement", True, confidence.bootstrap(
            lambda c: agreement(found[c], true[c]).low, patients)),
        ("upper limit of agreement", True, confidence.bootstrap(
            lambda c: agreement(found[c], true[c]).high, patients)),
        ("correlation", False, confidence.bootstrap(lambda c: correlation(found[c], true[c]), patients)),
    )  # fmt: skip
