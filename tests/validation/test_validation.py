"""Validators that others wrote find nothing in what the node sends but what is named and explained.

``make validate`` runs all of it; here PixelMed, which takes seconds an object, sees two exams.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from echo_node.codes import ObjectKind
from tests.validation.exams import KINDS, PLANS, Exam, make
from tests.validation.expected import NAMED, table
from tests.validation.run import STUDY, Outcome, lost, validate
from tests.validation.validators import VALIDATORS, Validator

FAST = ("dciodvfy", "reader", "dsrdump", STUDY)
BY_PIXELMED = ("accepted by a person", "a person's correction")
PAGE = Path(__file__).parents[2] / "docs" / "validation.md"


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exam]:
    """A function that makes an exam, once."""
    exams: dict[str, Exam] = {}

    def get(name: str) -> Exam:
        if name not in exams:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pydicom's, of exams that are bad on purpose
                exams[name] = make(name, tmp_path_factory.mktemp("exam"), data)
        return exams[name]

    return get


@pytest.fixture(scope="module")
def said(made: Callable[[str], Exam], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Outcome]]:
    """A function that gives what the fast validators say of an exam, once."""
    outcomes: dict[str, list[Outcome]] = {}

    def get(name: str) -> list[Outcome]:
        if name not in outcomes:
            outcomes[name] = validate(made(name), tmp_path_factory.mktemp("objects"), names=FAST)
        return outcomes[name]

    return get


@pytest.mark.peer("dsrdump", "dcmconv")
@pytest.mark.parametrize("name", PLANS)
def test_validators_find_no_error(name: str, said: Callable[[str], list[Outcome]]) -> None:
    outcomes = said(name)
    assert {outcome.validator for outcome in outcomes} == {*FAST}
    assert [f"{o.kind}, {o.validator}: {line}" for o in outcomes for line in o.errors] == []


@pytest.mark.parametrize("name", PLANS)
def test_objects_say_of_patient_and_study_what_was_sent(name: str, made: Callable[[str], Exam]) -> None:
    assert lost(made(name)) == []


@pytest.mark.peer("pixelmed", "java")
@pytest.mark.parametrize("kind", [ObjectKind.SR, ObjectKind.SR_TID5200])
@pytest.mark.parametrize("name", BY_PIXELMED)
def test_pixelmed_finds_no_error(name: str, kind: ObjectKind, made: Callable[[str], Exam], tmp_path: Path) -> None:
    exam = made(name)
    latest = [report for report in exam.reports if report.kind is kind][-1:]
    (outcome,) = validate(replace(exam, reports=tuple(latest)), tmp_path, names=["PixelMed"])
    assert outcome.errors == []


def test_an_exam_has_objects_of_every_kind(made: Callable[[str], Exam]) -> None:
    assert {report.kind for report in made("single clip").reports} == {*KINDS}


@pytest.mark.peer("dsrdump", "dcmconv")
def test_everything_that_is_named_is_still_said(said: Callable[[str], list[Outcome]]) -> None:
    outcomes = [outcome for name in PLANS for outcome in said(name)]
    stale = [
        f"{named.validator}: {named.says}"
        for named in NAMED
        if named.validator in FAST and not any(named.fits(*o) for o in _lines(outcomes))
    ]
    assert stale == []


def _lines(outcomes: list[Outcome]) -> Iterator[tuple[str, str, str, ObjectKind | None]]:
    return ((o.validator, line, o.exam, o.kind) for o in outcomes for line in o.lines)


def test_the_page_names_what_is_named_here() -> None:
    assert table() in PAGE.read_text(encoding="utf-8")


SPOILT = {
    "dciodvfy": (b"UNVERIFIED", b"NOTVERIFED"),
    "reader": (b"CONTAINS", b"CONTAINZ"),
    "dsrdump": (b"SEPARATE", b"SEPARATD"),
    "PixelMed": (b"HAS CONCEPT MOD", b"HAS OBS CONTEXT"),
}


@pytest.mark.peer("dsrdump", "pixelmed", "java")
@pytest.mark.parametrize("validator", VALIDATORS, ids=lambda v: v.name)
def test_each_validator_would_find_an_error(
    validator: Validator, made: Callable[[str], Exam], tmp_path: Path
) -> None:
    """The tests above can fail."""
    exam = made("nothing measured")
    report = next(report for report in exam.reports if report.kind is ObjectKind.SR)
    spoilt = replace(report, content=report.content.replace(*SPOILT[validator.name]))
    assert spoilt.content != report.content
    (outcome,) = validate(replace(exam, reports=(spoilt,)), tmp_path, names=[validator.name])
    assert outcome.errors != []


def test_dcentvfy_would_find_an_object_of_another_patient(made: Callable[[str], Exam], tmp_path: Path) -> None:
    exam = made("single clip")
    first = exam.reports[0]
    spoilt = replace(first, content=first.content.replace(b"Phantom^Paula", b"Phantom^Peter"))
    (outcome,) = validate(replace(exam, reports=(spoilt, *exam.reports[1:])), tmp_path, names=[STUDY])
    assert any("PatientName" in line for line in outcome.errors)
