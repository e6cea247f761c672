"""One exam through all validators."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import pydicom

from echo_node.codes import ObjectKind
from echo_node.records import Report
from tests.validation.exams import Exam
from tests.validation.expected import unnamed
from tests.validation.validators import VALIDATORS, Validator, entities

STUDY = "dcentvfy"  # goes over all files of a study together


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a validator said of an object, or of a whole study where ``kind`` is None."""

    exam: str
    kind: ObjectKind | None
    number: int  # of the object in the exam
    validator: str
    lines: tuple[str, ...]

    @property
    def errors(self) -> list[str]:
        """What is not expected."""
        return unnamed(self.validator, self.lines, self.exam, self.kind)

    def __str__(self) -> str:
        if self.errors:
            return f"{len(self.errors)} ERRORS"
        return f"{len(self.lines)} named" if self.lines else "ok"


def validate(exam: Exam, folder: Path, *, names: Collection[str], jobs: int = 2) -> list[Outcome]:
    """Everything of an exam through the validators of these names.

    Parameters
    ----------
    exam : Exam
        With its sources.
    folder : Path
        For files of its own; empty.
    jobs : int, optional
        Programs that run at once.
    """
    tasks = [
        partial(_one, exam, validator, report, number, folder)
        for number, report in enumerate(exam.reports)
        for validator in VALIDATORS
        if validator.name in names and validator.takes(report)
    ]
    programs = [task for task in tasks if task.args[1].name != "reader"]
    here = [task for task in tasks if task.args[1].name == "reader"]  # changes pydicom's settings: one at a time
    for number, report in enumerate(exam.reports):
        _path(folder, number).write_bytes(report.content)
    with ThreadPoolExecutor(jobs) as pool:
        outcomes = list(pool.map(lambda task: task(), programs))
    outcomes += [task() for task in here]
    if STUDY in names:
        study = folder / "study"
        study.mkdir()
        lines = tuple(entities(exam, study))
        outcomes.append(Outcome(exam=exam.name, kind=None, number=-1, validator=STUDY, lines=lines))
    return outcomes


def _path(folder: Path, number: int) -> Path:
    return folder / f"object{number}.dcm"


def _one(exam: Exam, validator: Validator, report: Report, number: int, folder: Path) -> Outcome:
    lines = tuple(validator.findings(_path(folder, number), report))
    return Outcome(exam=exam.name, kind=report.kind, number=number, validator=validator.name, lines=lines)


def lost(exam: Exam) -> list[str]:
    """What an object does not say of patient and study as it was sent."""
    missing = []
    for report in exam.reports:
        ds = pydicom.dcmread(BytesIO(report.content))
        for keyword, value in exam.taken.items():
            said = str(ds.get(keyword) or "")
            if said != value:
                missing.append(f"{report.kind.name} {keyword}: {said!r} instead of {value!r}")
    return missing
