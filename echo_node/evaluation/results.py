"""From a source of cases to everything that is told of an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from echo_node.codes import Structure, View
from echo_node.errors import EchoNodeError
from echo_node.evaluation import confidence
from echo_node.evaluation.answers import Answer, answer_patient
from echo_node.evaluation.calibration import Calibration, calibration
from echo_node.evaluation.cases import Source
from echo_node.evaluation.clicks import CLICKS
from echo_node.evaluation.confidence import Estimate
from echo_node.evaluation.details import details, is_right
from echo_node.evaluation.readings import Reading
from echo_node.evaluation.refusal import Refusal, refusal
from echo_node.evaluation.subgroups import GroupRow, subgroups
from echo_node.evaluation.subtasks import Row, subtasks
from echo_node.inference.engine import Engine
from echo_node.records import EngineIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Labelled views by named views, in numbers of clips."""

    views: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]  # a row per labelled view, a column per named one


@dataclass(frozen=True, slots=True, kw_only=True)
class ClicksRow:
    """Dice of one structure after 0, 1, ... clicks."""

    structure: str
    dice: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything that is told; no pixels."""

    source: str
    caveat: str
    engine: EngineIdentity
    patients: int
    clips: int
    unread: int  # clips of a heart in which the reader found no sector: they count as missed
    faults: tuple[str, ...]  # why clips could not be read at all: they do not count
    subtasks: tuple[Row, ...]
    details: tuple[Row, ...]
    subgroups: tuple[GroupRow, ...]
    calibration: Calibration | None
    refusal: Refusal | None
    clicks: tuple[ClicksRow, ...]
    confusion: Confusion | None
    readings: tuple[Reading, ...]


def evaluate(engine: Engine, source: Source, *, progress: Callable[[str], object]) -> Results:
    """Show the engine every case and judge its answers.

    Parameters
    ----------
    engine : Engine
        A loaded package.
    source : Source
        Labelled clips, patient after patient.
    progress : callable
        Told each patient's name when it is done.

    Raises
    ------
    EchoNodeError
        The source has no case.
    """
    answers, readings = list[Answer](), list[Reading]()
    for patient, cases in groupby(source.cases, key=lambda case: case.labels.patient):
        found, both = answer_patient(engine, cases)
        answers += found
        readings += [r for a in found for r in a.readings]
        readings += both
        progress(patient)
    if all(a.fault for a in answers):
        raise EchoNodeError(answers[0].fault if answers else f"{source.name}: holds no case to evaluate on")
    return judge(engine, source, answers, readings)


def judge(engine: Engine, source: Source, answers: Sequence[Answer], readings: Sequence[Reading]) -> Results:
    """All figures of all answers."""
    faults = tuple(a.fault for a in answers if a.fault)
    answers = [a for a in answers if not a.fault]
    named = [a for a in answers if a.labels.view in engine.views and a.prediction is not None]
    return Results(
        source=source.name,
        caveat=source.caveat,
        engine=engine.identity,
        patients=len({a.labels.patient for a in answers}),
        clips=len(answers),
        unread=sum(a.labels.shows_heart and a.prediction is None for a in answers),
        faults=faults,
        subtasks=subtasks(engine, answers, readings),
        details=details(engine.views, answers, readings),
        subgroups=subgroups(answers, readings),
        calibration=_calibration(named) if named else None,
        refusal=refusal(answers, threshold=engine.view_threshold),
        clicks=_clicks(answers),
        confusion=_confusion(engine.views, named) if named else None,
        readings=tuple(readings),
    )


def _calibration(named: Sequence[Answer]) -> Calibration:
    certain = [a.prediction.probability for a in named if a.prediction is not None]
    return calibration(certain, [is_right(a) for a in named], [a.labels.patient for a in named])


def _confusion(views: Sequence[View], named: Sequence[Answer]) -> Confusion:
    counts = np.zeros((len(views), len(views)), np.int64)
    for answer in named:
        assert answer.prediction is not None
        assert answer.labels.view is not None
        counts[views.index(answer.labels.view), views.index(answer.prediction.view)] += 1
    return Confusion(views=tuple(v.name for v in views), counts=tuple(tuple(row) for row in counts.tolist()))


def _clicks(answers: Sequence[Answer]) -> tuple[ClicksRow, ...]:
    rows = []
    for structure in Structure:
        clicked = [a for a in answers if structure in a.clicks]
        if clicked:
            patients, curves = [a.labels.patient for a in clicked], [a.clicks[structure] for a in clicked]
            dice = tuple(confidence.mean([curve[k] for curve in curves], patients) for k in range(CLICKS + 1))
            rows.append(ClicksRow(structure=structure.name, dice=dice))
    return tuple(rows)
