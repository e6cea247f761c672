"""``make validate``: a table of exams, objects and validators, and what is wrong below it."""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from tests.conftest import DATA
from tests.validation.exams import PLANS, make
from tests.validation.expected import NAMED, Named, table
from tests.validation.run import STUDY, Outcome, lost, validate
from tests.validation.validators import VALIDATORS

_NAMES = [validator.name for validator in VALIDATORS]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 where anything is wrong."""
    parser = argparse.ArgumentParser(prog="make validate", description=__doc__)
    parser.add_argument("--exam", default="", help="only those whose names have this in them")
    parser.add_argument("--without", action="append", default=[], choices=_NAMES, help="a validator to leave out")
    parser.add_argument("--table", action="store_true", help="print what is named and explained, and end")
    options = parser.parse_args(arguments)
    if options.table:
        print(table())
        return 0
    names = [name for name in (*_NAMES, STUDY) if name not in options.without]
    exams = [name for name in PLANS if options.exam in name]
    print(f"| exam | object | {' | '.join(names)} |\n{'| --- ' * (len(names) + 2)}|")
    outcomes: list[Outcome] = []
    wrong: list[str] = []
    for name in exams:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, of exams that are bad on purpose
            exam = make(name, Path(folder), DATA)
            (Path(folder) / "objects").mkdir()
            said = validate(exam, Path(folder) / "objects", names=names)
        _show(said, names)
        wrong += [f"{name}: {text}" for text in lost(exam)]
        outcomes += said
    wrong += [f"{o.exam}, {o.kind}, {o.validator}: {line}" for o in outcomes for line in o.errors]
    if exams == list(PLANS):
        wrong += [
            f"named, but never said: {n.validator}: {n.says}" for n in NAMED if not _was_said(n, outcomes, names)
        ]
    validated = sum(outcome.kind is not None for outcome in outcomes)
    print(f"\n{len(exams)} exams, {validated} validations of objects, {len(wrong)} errors", *wrong, sep="\n")
    return bool(wrong)


def _show(said: Sequence[Outcome], names: Sequence[str]) -> None:
    """A row per object, then one for the study."""
    ordered = sorted(said, key=lambda outcome: outcome.number % 1000)
    for _, group in groupby(ordered, key=lambda outcome: outcome.number % 1000):
        of = {outcome.validator: outcome for outcome in group}
        first = next(iter(of.values()))
        kind = "the study" if first.kind is None else first.kind.value
        cells = [str(of.get(name, "")) for name in names]
        print(f"| {first.exam} | {kind} | {' | '.join(cells)} |", flush=True)


def _was_said(named: Named, outcomes: Sequence[Outcome], names: Sequence[str]) -> bool:
    return named.validator not in names or any(
        named.fits(o.validator, line, o.exam, o.kind) for o in outcomes for line in o.lines
    )


if __name__ == "__main__":
    sys.exit(main())
