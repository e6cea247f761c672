"""An experiment's tables: JSON with every trial, CSV and Markdown with means and spread, and a plot."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from echo_node.models.adapters import Tuning
from echo_node.training.curves import Line, write_curves
from echo_node.training.trial import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What a table shows."""

    title: str
    figure: str  # what is scored
    caveat: str  # what the figures are not
    columns: Mapping[int, str]  # studies to what they are called


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A way of tuning an encoder, with one number of studies, over its repeats."""

    start: str
    tuning: Tuning
    studies: int
    repeats: int
    mean: float
    deviation: float | None  # between repeats; None for one
    lowest: float
    highest: float
    encoder: int  # parameters of the encoder that learned
    head: int
    share: float  # of the encoder's parameters that learned, or were added and learned


def summaries(outcomes: Sequence[Outcome]) -> list[Summary]:
    """In the order in which the outcomes come."""
    groups: dict[tuple[str, Tuning, int], list[Outcome]] = {}
    for outcome in outcomes:
        cell = outcome.cell
        groups.setdefault((cell.start, cell.tuning, cell.studies), []).append(outcome)
    return [_summary(group) for group in groups.values()]


def _summary(group: Sequence[Outcome]) -> Summary:
    first, scores = group[0], np.array([outcome.score for outcome in group])
    return Summary(
        start=first.cell.start,
        tuning=first.cell.tuning,
        studies=first.cell.studies,
        repeats=len(group),
        mean=float(scores.mean()),
        deviation=float(scores.std(ddof=1)) if len(group) > 1 else None,
        lowest=float(scores.min()),
        highest=float(scores.max()),
        encoder=first.encoder,
        head=first.head,
        share=first.encoder / first.whole,
    )


def write_tables(outcomes: Sequence[Outcome], heading: Heading, folder: Path) -> None:
    """Write ``table.json``, ``table.csv``, ``table.md`` and ``curves.png``."""
    rows = summaries(outcomes)
    (folder / "table.json").write_text(_as_json(outcomes, rows, heading), encoding="utf-8")
    (folder / "table.csv").write_text(_as_csv(rows, heading), encoding="utf-8")
    (folder / "table.md").write_text(as_markdown(rows, heading), encoding="utf-8")
    lines = [
        Line(
            label=_label(start, tuning, one_start=len({row.start for row in rows}) == 1),
            group=start,
            studies=[row.studies for row in same],
            means=[row.mean for row in same],
            deviations=[row.deviation or 0.0 for row in same],
        )
        for (start, tuning), same in _lines(rows).items()
    ]
    write_curves(lines, folder / "curves.png", title=heading.title, figure=heading.figure, caveat=heading.caveat)


def as_markdown(rows: Sequence[Summary], heading: Heading) -> str:
    """A line for each way, a column for each number of studies."""
    counts = sorted({row.studies for row in rows})
    names = [heading.columns.get(n, _studies(n)) for n in counts]
    header = ["encoder", "tuning", "parameters that learn", "of the encoder's", "head", *names]
    body = [
        [
            start,
            tuning.value,
            f"{same[0].encoder:,}",
            f"{same[0].share:.1%}",
            f"{same[0].head:,}",
            *(_score(next((row for row in same if row.studies == n), None)) for n in counts),
        ]
        for (start, tuning), same in _lines(rows).items()
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *body])
    repeats = max(row.repeats for row in rows)
    return (
        f"# {heading.title}\n\n{heading.figure}: mean ± standard deviation of {repeats} repeats, which draw the "
        f"studies and the head anew. {heading.caveat}.\n\n{table}\n"
    )


def _lines(rows: Sequence[Summary]) -> dict[tuple[str, Tuning], list[Summary]]:
    """Rows of one way, by rising number of studies."""
    lines: dict[tuple[str, Tuning], list[Summary]] = {}
    for row in sorted(rows, key=lambda row: row.studies):
        lines.setdefault((row.start, row.tuning), []).append(row)
    order = list(dict.fromkeys((row.start, row.tuning) for row in rows))
    return {way: lines[way] for way in order}


def _score(row: Summary | None) -> str:
    if row is None:
        return ""
    return f"{row.mean:.3f}" if row.deviation is None else f"{row.mean:.3f} ± {row.deviation:.3f}"


def _studies(count: int) -> str:
    return "1 study" if count == 1 else f"{count} studies"


def _label(start: str, tuning: Tuning, *, one_start: bool) -> str:
    return tuning.value if one_start else f"{start}, {tuning.value}"


def _as_json(outcomes: Sequence[Outcome], rows: Sequence[Summary], heading: Heading) -> str:
    plain = {
        **asdict(heading),
        "rows": [asdict(row) | {"tuning": row.tuning.value} for row in rows],
        "trials": [asdict(o) | {"cell": asdict(o.cell) | {"tuning": o.cell.tuning.value}} for o in outcomes],
    }
    return json.dumps(plain, indent=1) + "\n"


def _as_csv(rows: Sequence[Summary], heading: Heading) -> str:
    out = io.StringIO()
    fields = list(asdict(rows[0]))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["data", "figure", *fields])
    for row in rows:
        values = asdict(row) | {"tuning": row.tuning.value}
        plain = ("" if values[name] is None else values[name] for name in fields)
        writer.writerow([heading.caveat, heading.figure, *plain])
    return out.getvalue()
