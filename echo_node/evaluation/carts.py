"""``echo-node agreement``: the node's numbers beside those that carts sent with the same studies.

A cart's number is no truth: it is another reading, and the difference has the errors of both.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from echo_node.carts import CartReport, CartValue, OwnValue, StudyNumbers
from echo_node.codes import Method, Quantity, Unit, View
from echo_node.errors import EchoNodeError
from echo_node.evaluation.scores import agreement

_COLUMNS = ("engine", "quantity", "method", "view", "unit", "n", "bias", "lower limit", "upper limit", "MAE")
_CSV = ("engine", "quantity", "method", "view", "unit", "own", "cart", "manufacturer", "model")
_NEVER = datetime.min.replace(tzinfo=UTC)

Key = tuple[str, Quantity, Method, View | None, Unit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One quantity of one study, as the node and as the cart has it."""

    own: OwnValue  # the mean, where several clips give the same quantity by the same method
    cart: CartValue
    Manufacturer: str
    ManufacturerModelName: str

    @property
    def key(self) -> Key:
        """What is compared with like."""
        return self.own.engine, self.own.quantity, self.own.method, self.own.view, self.own.unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How far two readings of one quantity agree. NaN where one pair alone has no spread."""

    key: Key
    n: int
    bias: float  # mean of own less cart
    low: float  # 95 % limits of agreement
    high: float
    mae: float


def pairs_of(study: StudyNumbers) -> Iterator[Pair]:
    """The pairs of a study: same quantity, and same method and view where the cart says them.

    Of several reports the latest has the word, quantity by quantity. Where the cart says no method, it is compared
    with the node's first in the order of :class:`Method`: biplane, single plane, ..., the learned EF last.
    """
    latest: dict[CartValue, tuple[CartValue, CartReport]] = {}
    for report in sorted(study.carts, key=lambda r: r.made_at or _NEVER):  # a stable sort: else by receipt
        for value in report.values:
            latest[replace(value, value=0.0)] = value, report
    own = _own(study.own)
    for value, report in latest.values():
        found = next((o for o in own if _fits(o, value)), None)
        if found is not None:
            yield Pair(
                own=found,
                cart=value,
                Manufacturer=report.Manufacturer,
                ManufacturerModelName=report.ManufacturerModelName,
            )


def rows(pairs: Sequence[Pair]) -> list[Row]:
    """Bland and Altman's figures and the mean absolute difference, for each engine and quantity."""
    together: dict[Key, list[Pair]] = defaultdict(list)
    for pair in pairs:
        together[pair.key].append(pair)
    return [_row(key, together[key]) for key in sorted(together, key=_order)]


def print_agreement(studies: Iterable[StudyNumbers], out: Path | None) -> int:
    """Print a table, and write every pair as CSV where a file is named: no UID, no date, no name.

    Raises
    ------
    EchoNodeError
        The file cannot be written.
    """
    pairs = [pair for study in studies for pair in pairs_of(study)]
    for line in _table([_COLUMNS, *map(_shown, rows(pairs))] if pairs else [("no cart's number to compare with",)]):
        print(line)
    if out is not None:
        _write(out, pairs)
    return 0


def _own(values: Sequence[OwnValue]) -> list[OwnValue]:
    """One number for each quantity, method and view: of the latest revision that has any, the mean over clips."""
    together: dict[tuple[Quantity, Method, View | None], list[OwnValue]] = defaultdict(list)
    for value in values:
        together[value.quantity, value.method, value.view].append(value)
    means = []
    for of_kind in together.values():
        last = max(value.revision for value in of_kind)
        newest = [value for value in of_kind if value.revision == last]
        means.append(replace(newest[0], value=float(np.mean([value.value for value in newest]))))
    return sorted(means, key=lambda o: (list(Method).index(o.method), _place(o.view)))


def _place(view: View | None) -> int:
    return -1 if view is None else list(View).index(view)


def _fits(own: OwnValue, cart: CartValue) -> bool:
    return (
        own.quantity is cart.quantity
        and own.unit is cart.unit
        and not cart.otherwise
        and cart.method in (None, own.method)
        and cart.view in (None, own.view)
    )


def _row(key: Key, pairs: Sequence[Pair]) -> Row:
    own, cart = np.array([p.own.value for p in pairs]), np.array([p.cart.value for p in pairs])
    found = agreement(own, cart)
    return Row(
        key=key,
        n=len(pairs),
        bias=found.bias,
        low=found.low,
        high=found.high,
        mae=float(np.abs(own - cart).mean()),
    )


def _order(key: Key) -> tuple[str, int, int, int]:
    engine, quantity, method, view, _ = key
    return engine, list(Quantity).index(quantity), list(Method).index(method), _place(view)


def _names(key: Key) -> tuple[str, ...]:
    engine, quantity, method, view, unit = key
    return engine, quantity.name, method.name, "-" if view is None else view.name, unit.code.value


def _shown(row: Row) -> tuple[str, ...]:
    figures = (row.bias, row.low, row.high, row.mae)
    return *_names(row.key), str(row.n), *("-" if np.isnan(figure) else f"{figure:.1f}" for figure in figures)


def _table(lines: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _write(out: Path, pairs: Sequence[Pair]) -> None:
    """In the order of the numbers, so that the order says nothing of the studies'."""
    ordered = sorted(pairs, key=lambda p: (_order(p.key), p.cart.value, p.own.value))
    try:
        with out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(_CSV)
            for pair in ordered:
                numbers = (f"{pair.own.value:.4f}", f"{pair.cart.value:.4f}")
                writer.writerow((*_names(pair.key), *numbers, pair.Manufacturer, pair.ManufacturerModelName))
    except OSError as error:
        raise EchoNodeError(f"{out}: cannot be written: {error.strerror}") from error
