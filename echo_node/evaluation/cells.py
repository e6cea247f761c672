"""CSV files that people wrote: a cell that cannot be used is named by file, line and column."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from echo_node.errors import LabelError


@dataclass(frozen=True, slots=True)
class Cells:
    """One line of a table; an empty cell is None."""

    path: Path
    line: int
    cells: Mapping[str, str]

    def text(self, column: str) -> str | None:
        """As it stands."""
        return self.cells.get(column, "").strip() or None

    def wanted(self, column: str) -> str:
        """A text that must be there."""
        text = self.text(column)
        if text is None:
            raise self.fault(column, "is empty, and is needed")
        return text

    def number(self, column: str, *, low: float, high: float) -> float | None:
        """A number from ``low`` to ``high``."""
        text = self.text(column)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            raise self.fault(column, f"{text!r} is no number") from None
        if not low <= value <= high:  # NaN is refused too
            raise self.fault(column, f"{text} is outside {low:g} to {high:g}")
        return value

    def whole(self, column: str, *, low: int, high: int) -> int | None:
        """A whole number from ``low`` to ``high``."""
        value = self.number(column, low=low, high=high)
        if value is not None and value != int(value):
            raise self.fault(column, f"{value:g} is no whole number")
        return None if value is None else int(value)

    def choice(self, column: str, allowed: Collection[str]) -> str | None:
        """One of some words."""
        text = self.text(column)
        if text is not None and text not in allowed:
            raise self.fault(column, f"{text!r} is none of {', '.join(allowed)}")
        return text

    def fault(self, column: str, words: str) -> LabelError:
        """The error of a cell."""
        return LabelError(f"{self.path}, line {self.line}, column {column}: {words}")


def read_table(path: Path, *, needed: Sequence[str], allowed: Collection[str] | None = None) -> list[Cells]:
    """Every line below the header.

    Parameters
    ----------
    path : Path
        A CSV file in UTF-8, with a header.
    needed : sequence of str
        Columns that must be there.
    allowed : collection of str, optional
        All columns that may be there; left out, others are passed over.

    Raises
    ------
    LabelError
        No such file, not UTF-8, a column missing or unknown, a line too long.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            _check_columns(path, columns, needed=needed, allowed=allowed)
            rows = []
            for cells in reader:
                if None in cells:
                    raise LabelError(f"{path}, line {reader.line_num}: more cells than the {len(columns)} columns")
                rows.append(Cells(path, reader.line_num, {k: v or "" for k, v in cells.items()}))
    except OSError as error:
        raise LabelError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"{path}: is not UTF-8 at byte {error.start}") from error
    return rows


def _check_columns(
    path: Path, columns: Sequence[str], *, needed: Sequence[str], allowed: Collection[str] | None
) -> None:
    missing = [name for name in needed if name not in columns]
    if missing:
        raise LabelError(f"{path}, line 1: column {', '.join(missing)} is missing; there are {', '.join(columns)}")
    unknown = [] if allowed is None else [name for name in columns if name not in allowed]
    if unknown:
        raise LabelError(f"{path}, line 1: column {', '.join(unknown)} is none of {', '.join(allowed or ())}")
