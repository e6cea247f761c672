"""Results as text for people, as CSV and as JSON."""

from __future__ import annotations

import csv
import dataclasses
import enum
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from echo_node.evaluation.confidence import Estimate
from echo_node.evaluation.refusal import Refusal
from echo_node.evaluation.results import Results
from echo_node.evaluation.subgroups import GroupRow
from echo_node.evaluation.subtasks import Row

Table = Sequence[Sequence[str]]

_HEADER = ("task", "sub-task", "figure", "value", "95 % interval", "clips", "patients")


def title(results: Results) -> str:
    """Engine, data, and what the figures are not."""
    engine = results.engine
    return f"{engine.name} {engine.version} on {results.source}: {results.caveat}"


def sections(results: Results) -> Iterator[tuple[str, Table]]:
    """Heading and table of each part; the table's first row is its header."""
    yield "The 28 sub-tasks", (_HEADER, *map(_cells, results.subtasks))
    yield "Calibration of the view", tuple(_calibration(results))
    yield "Pictures without a heart", tuple(_kinds(results.refusal))
    if results.refusal is not None:
        yield "Refusal", (_HEADER[2:], *_refusal(results.refusal))
    if results.clicks:
        header = ("structure", *(f"{k} clicks" for k in range(len(results.clicks[0].dice))), "clips")
        rows = ((row.structure, *map(_value, row.dice), str(row.dice[0].n)) for row in results.clicks)
        yield "Dice after corrective clicks", (header, *rows)
    if results.subgroups:
        yield "Subgroups, with 95 % intervals", tuple(_subgroups(results.subgroups))
    yield "Details", (_HEADER, *map(_cells, results.details))


def as_text(results: Results) -> str:
    """For a terminal."""
    parts = [title(results), _counts(results)]
    for heading, rows in sections(results):
        if heading != "Details":  # they are in the files
            parts.append(f"{heading}\n{_aligned(rows)}")
    return "\n\n".join(parts)


def as_markdown(results: Results) -> str:
    """For a repository; each heading repeats what the figures are not."""
    return "\n\n".join((f"# {title(results)}", _counts(results), *_tables(results, "##"))) + "\n"


def for_card(results: Results) -> str:
    """For an engine's card: all but the details."""
    return "\n\n".join((_counts(results), *_tables(results, "###", without={"Details"})))


def _tables(results: Results, level: str, *, without: Set[str] = frozenset()) -> Iterator[str]:
    for heading, (header, *rows) in sections(results):
        if heading not in without:
            lines = (header, ["---"] * len(header), *rows)
            table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
            yield f"{level} {heading} ({results.caveat})\n\n{table}"


def as_csv(results: Results) -> str:
    """Sub-tasks, details and subgroups, a figure a line, in full precision."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["data", "section", "task", "name", "figure", "value", "low", "high", "clips", "patients", "missing"]
    )
    data = f"{results.source}: {results.caveat}"
    for section, rows in (("sub-tasks", results.subtasks), ("details", results.details)):
        for row in rows:
            writer.writerow([data, section, row.task, row.name, row.measure, *_plain(row.estimate), row.missing])
    for group in results.subgroups:
        writer.writerow([data, "subgroups", group.axis, group.group, group.measure, *_plain(group.estimate), ""])
    return out.getvalue()


def as_json(results: Results) -> str:
    """Everything, the single readings too."""
    return json.dumps({"title": title(results)} | _jsonable(results), indent=1, allow_nan=False)


def as_mapping(results: Results) -> Mapping[str, float]:
    """Names to figures, as an engine's manifest and card hold them; what was not measured is not there."""
    figures = {"patients": float(results.patients)}
    for row in (*results.details, *results.subtasks):
        if row.estimate is not None:
            figures[_key(row)] = row.estimate.value
    if results.calibration is not None:
        figures["view_calibration_error"] = results.calibration.ece.value
    if results.refusal is not None:
        figures["no_heart_measured_share"] = results.refusal.measured.value
        if results.refusal.auroc is not None:
            figures["no_heart_auroc"] = results.refusal.auroc.value
    return {name: round(value, 4) for name, value in figures.items() if math.isfinite(value)}


def _key(row: Row) -> str:
    words = f"{row.task} {row.name} {row.measure}".lower()
    return "_".join("".join(c if c.isalnum() else " " for c in words).split())


def _counts(results: Results) -> str:
    unread = f"; no sector was found in {results.unread} clips of hearts" if results.unread else ""
    faults = "".join(f"\nNot read: {fault}" for fault in results.faults)
    return f"{results.patients} patients, {results.clips} clips{unread}. Research use, not for diagnosis.{faults}"


def _cells(row: Row) -> tuple[str, ...]:
    if row.estimate is None:
        return row.task, row.name, row.measure, row.missing, "", "", ""
    return row.task, row.name, row.measure, *_numbers(row.estimate, row.measure)


def _numbers(estimate: Estimate, measure: str = "") -> tuple[str, str, str, str]:
    return _value(estimate, measure), _interval(estimate, measure), str(estimate.n), str(estimate.patients)


def _value(estimate: Estimate, measure: str = "") -> str:
    return _number(estimate.value, _decimals(measure))


def _interval(estimate: Estimate, measure: str = "") -> str:
    bounds = (estimate.low, estimate.high)
    if not all(map(math.isfinite, bounds)):
        return ""
    return " to ".join(_number(bound, _decimals(measure)) for bound in bounds)


def _decimals(measure: str) -> int:
    """Of what has a unit ("MAE, mm") a hundredth, of shares and coefficients a thousandth."""
    return 2 if ", " in measure else 3


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if math.isfinite(value) else "not defined"


def _plain(estimate: Estimate | None) -> list[float | int | str]:
    if estimate is None:
        return [""] * 5
    bounds = [v if math.isfinite(v) else "" for v in (estimate.value, estimate.low, estimate.high)]
    return [*bounds, estimate.n, estimate.patients]


def _calibration(results: Results) -> Iterator[Sequence[str]]:
    yield ("certainty", "mean certainty", "right", "95 % interval", "clips")
    if results.calibration is None:
        yield ("no label", "", "", "", "")
        return
    for row in results.calibration.bins:
        label = f"{row.low:.1f} to {row.high:.1f}"
        yield (label, _number(row.certainty, 3), _value(row.right), _interval(row.right), str(row.right.n))
    error = results.calibration.ece
    yield ("expected calibration error", "", _value(error), _interval(error), str(error.n))


def _kinds(found: Refusal | None) -> Iterator[Sequence[str]]:
    yield ("kind", "pictures", "reached the view head", "sent to a head", "measured", "refused as")
    if found is None:
        yield ("no label", "", "", "", "", "")
        return
    for row in found.kinds:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in row.refusals)
        counts = (row.pictures, row.reached_view_head, row.routed, row.measured)
        yield (row.kind, *map(str, counts), reasons)


def _refusal(found: Refusal) -> Iterator[Sequence[str]]:
    yield ("share of pictures without a heart that are measured", *_numbers(found.measured))
    if found.auroc is not None:
        yield ("AUROC of the certainty that a heart is shown", *_numbers(found.auroc))


def _subgroups(rows: Sequence[GroupRow]) -> Iterator[Sequence[str]]:
    """A line per group, a column per figure."""
    measures = list(dict.fromkeys(row.measure for row in rows))
    yield ("by", "group", *measures, "patients")
    for axis, group in dict.fromkeys((row.axis, row.group) for row in rows):
        found = {row.measure: row.estimate for row in rows if (row.axis, row.group) == (axis, group)}
        cells = (_cell(found[measure], measure) if measure in found else "" for measure in measures)
        yield (axis, group, *cells, str(max(e.patients for e in found.values())))


def _cell(estimate: Estimate, measure: str) -> str:
    return f"{_value(estimate, measure)} ({_interval(estimate, measure) or 'one patient'})"


def _aligned(rows: Table) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _jsonable(value: Any) -> Any:
    """Records as plain JSON values: enums by name, what is not finite as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, Mapping):
        return {_jsonable(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
