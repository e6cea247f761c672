"""Plots of results as PNG files. matplotlib belongs to this file; it draws without a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from echo_node.codes import Structure
from echo_node.evaluation.cases import WALLS, Figure
from echo_node.evaluation.confidence import Estimate
from echo_node.evaluation.readings import Reading, Way
from echo_node.evaluation.report import title
from echo_node.evaluation.results import Results
from echo_node.evaluation.scores import Values, agreement, correlation
from echo_node.evaluation.subtasks import EF_WAYS, WALL_WAYS

# Okabe and Ito's colours, told apart by everybody.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
GREY, PALE = "#6B7280", "#E5E7EB"
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
_ON_LABELLED = (Way.LABELLED_BIPLANE, Way.LABELLED)
DPI = 150
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}

Size = tuple[float, float]  # inches


def write_plots(results: Results, folder: Path) -> tuple[Path, ...]:
    """One PNG for each part of the results that has cases; returns what was written."""
    written = []
    with mpl.rc_context(STYLE):
        for name, heading, size, draw in _plots(results):
            canvas = Canvas(figsize=size)
            FigureCanvasAgg(canvas)
            draw(canvas)
            canvas.suptitle(f"{heading}\n{title(results).replace(': ', chr(10), 1)}", fontsize=9)
            path = folder / f"{name}.png"
            canvas.savefig(path, dpi=DPI)
            written.append(path)
    return tuple(written)


def _plots(results: Results) -> Iterator[tuple[str, str, Size, Callable[[Canvas], None]]]:
    """Name, heading, size and how it is drawn, of what there is."""
    if results.confusion is not None:
        side = 3.4 + 0.36 * len(results.confusion.views)
        yield "views", "Views: labelled against named", (side + 0.9, side), lambda c: _confusion(c, results)
    if results.calibration is not None:
        yield (
            "reliability",
            "Is a view as often right as it is certain?",
            (5.6, 6.0),
            lambda c: _reliability(c, results),
        )
    ef = _ways_to_ef(results.readings)
    if ef:
        yield "ejection-fraction", "Ejection fraction", (9.5, 4.6), lambda c: _ejection(c, ef)
    walls = {wall: pairs for wall in WALLS if (pairs := _first_way(results.readings, wall))}
    if walls:
        yield "walls", "Wall measures on a long axis", (10.5, 4.2), lambda c: _walls(c, walls)
    if results.clicks:
        yield "clicks", "Segmentation, corrected click by click", (6.8, 5.0), lambda c: _clicks(c, results)
    if results.refusal is not None and results.refusal.curve is not None:
        yield "refusal", "Pictures without a heart", (9.5, 4.4), lambda c: _refusal(c, results)
    if results.subgroups:
        yield "subgroups", "Subgroups", _subgroup_size(results), lambda c: _subgroups(c, results)


def _measured(readings: Sequence[Reading], figure: Figure, way: Way) -> tuple[Reading, ...]:
    return tuple(r for r in readings if r.figure is figure and r.way is way and r.found is not None)


def _ways_to_ef(readings: Sequence[Reading]) -> dict[Way, tuple[Reading, ...]]:
    """As the node measures; on the labelled frames only where no clip holds a full beat."""
    ways = {way: pairs for way in EF_WAYS if (pairs := _measured(readings, Figure.EF, way))}
    served = {way: pairs for way, pairs in ways.items() if way not in _ON_LABELLED}
    return served or ways


def _first_way(readings: Sequence[Reading], wall: Figure) -> tuple[Reading, ...]:
    """Of the first way that measured any."""
    return next((pairs for way in WALL_WAYS if (pairs := _measured(readings, wall, way))), ())


def _confusion(canvas: Canvas, results: Results) -> None:
    """Shares of each labelled view; the numbers are clips."""
    assert results.confusion is not None
    names, counts = results.confusion.views, np.array(results.confusion.counts)
    shown = [i for i in range(len(names)) if counts[i].any()]
    rows = counts[shown]
    axes = canvas.add_subplot()
    image = axes.imshow(rows / rows.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(rows):
        if count:
            is_dark = count > 0.5 * rows[row].sum()
            axes.text(
                column, row, str(count), ha="center", va="center", fontsize=8, color="white" if is_dark else "black"
            )
    axes.set_xticks(range(len(names)), names, rotation=55, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(shown)), [f"{names[i]} ({counts[i].sum()})" for i in shown])
    axes.set_xlabel("named by the engine")
    axes.set_ylabel("labelled (clips)")
    axes.spines[:].set_visible(False)
    canvas.colorbar(image, ax=axes, label="share of the labelled view", shrink=0.7)


def _reliability(canvas: Canvas, results: Results) -> None:
    assert results.calibration is not None
    bins, error = results.calibration.bins, results.calibration.ece
    upper, lower = canvas.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="as right as certain")
    certain, right = [b.certainty for b in bins], [b.right for b in bins]
    _error_bars(upper, certain, right, colour=BLUE, label="engine, 95 % interval", line="none")
    upper.set(ylim=(-0.02, 1.02), ylabel="share that is right")
    upper.legend(loc="upper left")
    upper.set_title(f"expected calibration error {_with_interval(error, '{:.3f}')}", fontsize=8.5)
    lower.bar([b.low for b in bins], [b.right.n for b in bins], width=[b.high - b.low for b in bins], align="edge",
              color=BLUE, edgecolor="white")  # fmt: skip
    lower.set(xlim=(0, 1), xlabel="certainty of the view that is named", ylabel="clips")
    lower.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    for axes in (upper, lower):
        axes.grid(visible=True)


def _ejection(canvas: Canvas, ways: Mapping[Way, Sequence[Reading]]) -> None:
    """Found against true by every way, and the differences of the first."""
    left, right = canvas.subplots(1, 2)
    ends = _ends(
        [r.true for pairs in ways.values() for r in pairs], [r.found or 0.0 for p in ways.values() for r in p]
    )
    left.plot(ends, ends, color=GREY, linewidth=1, linestyle="--")
    for (way, pairs), colour in zip(ways.items(), COLOURS, strict=False):
        found, true = _pair(pairs)
        mae = float(np.abs(found - true).mean())
        label = f"{way.value}: MAE {mae:.1f}, r {correlation(found, true):.2f}, n {len(pairs)}"
        left.scatter(true, found, s=16, color=colour, alpha=0.75, linewidth=0, label=label)
    left.set(xlim=ends, ylim=ends, aspect="equal", xlabel="true EF, %", ylabel="found EF, %")
    left.legend(loc="lower right", fontsize=7, handletextpad=0.1)
    left.grid(visible=True)
    way, pairs = next(iter(ways.items()))
    _bland_altman(right, pairs, name=f"EF, {way.value}", unit="points")


def _walls(canvas: Canvas, walls: Mapping[Figure, Sequence[Reading]]) -> None:
    axes = canvas.subplots(1, len(walls), squeeze=False)[0]
    for ax, (wall, pairs) in zip(axes, walls.items(), strict=True):
        _bland_altman(ax, pairs, name=f"{wall.label}, {pairs[0].way.value}", unit=wall.unit)


def _bland_altman(axes: Axes, pairs: Sequence[Reading], *, name: str, unit: str) -> None:
    """Differences over means, with bias and limits of agreement."""
    found, true = _pair(pairs)
    middle, apart, limits = (found + true) / 2, found - true, agreement(found, true)
    axes.scatter(middle, apart, s=16, color=BLUE, alpha=0.75, linewidth=0)
    axes.axhline(0, color=GREY, linewidth=0.8)
    for value, words, style in (
        (limits.bias, "bias", "-"), (limits.low, "-1.96 SD", "--"), (limits.high, "+1.96 SD", "--")
    ):  # fmt: skip
        if np.isfinite(value):
            axes.axhline(value, color=RED, linewidth=1.2, linestyle=style)
            axes.annotate(
                f"{words} {round(value, 1) + 0.0:+.1f}", (1, value), xycoords=axes.get_yaxis_transform(),
                xytext=(-2, 3), textcoords="offset points", ha="right", fontsize=7.5, color=RED,
            )  # fmt: skip
    reach = 1.25 * float(np.nanmax([np.abs(apart).max(), abs(limits.low), abs(limits.high), 1.0]))
    axes.set(ylim=(-reach, reach), xlabel=f"mean of found and true, {'%' if unit == 'points' else unit}")
    axes.set_ylabel(f"found less true, {unit}")
    axes.set_title(f"{name} (n {len(pairs)})", fontsize=8.5)
    axes.grid(visible=True)


def _clicks(canvas: Canvas, results: Results) -> None:
    axes = canvas.add_subplot()
    colours = dict(zip((structure.name for structure in Structure), COLOURS, strict=True))
    for place, row in enumerate(results.clicks):
        at = np.arange(len(row.dice)) + 0.06 * (place - (len(results.clicks) - 1) / 2)
        label = f"{row.structure.replace('_', ' ')} (n {row.dice[0].n})"
        _error_bars(axes, at.tolist(), row.dice, colour=colours[row.structure], label=label, line="-")
    axes.set(xlabel="corrective clicks after the structure's name", ylabel="Dice, mean and 95 % interval")
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True)
    axes.legend(loc="lower right", ncols=2, fontsize=8)


def _refusal(canvas: Canvas, results: Results) -> None:
    found = results.refusal
    assert found is not None
    assert found.curve is not None
    assert found.auroc is not None
    left, right = canvas.subplots(1, 2)
    edges = np.linspace(0, 1, 21)
    for values, colour, name in ((found.hearts, BLUE, "hearts"), (found.others, ORANGE, "no heart")):
        weights = np.full(len(values), 1 / len(values))
        left.hist(values, bins=edges, weights=weights, color=colour, alpha=0.65, label=f"{name} (n {len(values)})")
    left.axvline(
        found.threshold, color=GREY, linestyle="--", linewidth=1, label=f"routed from {found.threshold:.2f}"
    )
    left.set(xlim=(0, 1), xlabel="certainty that a heart is shown", ylabel="share of pictures")
    left.legend(loc="upper center")
    right.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    right.step(found.curve.false_positives, found.curve.true_positives, where="post", color=BLUE, linewidth=2)
    right.set(
        xlim=(-0.01, 1),
        ylim=(0, 1.01),
        aspect="equal",
        xlabel="false positives: no heart, taken for one",
        ylabel="true positives: hearts, taken for one",
    )
    right.text(0.97, 0.12, f"AUROC {_with_interval(found.auroc, '{:.3f}')}", ha="right")
    measured = found.measured
    right.text(
        0.97, 0.05, f"measured: {round(measured.value * measured.n)} of {measured.n} without a heart", ha="right"
    )
    for axes in (left, right):
        axes.grid(visible=True)


def _subgroup_size(results: Results) -> Size:
    measures, groups = _measures(results), {(row.axis, row.group) for row in results.subgroups}
    return 2.6 + 2.1 * len(measures), 1.9 + 0.26 * len(groups)


def _measures(results: Results) -> list[str]:
    return list(dict.fromkeys(row.measure for row in results.subgroups))


def _subgroups(canvas: Canvas, results: Results) -> None:
    """A column per figure, a line per group."""
    groups = list(dict.fromkeys((row.axis, row.group) for row in results.subgroups))
    measures = _measures(results)
    columns = canvas.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, measure in zip(columns, measures, strict=True):
        for axis, colour in zip(dict.fromkeys(a for a, _ in groups), COLOURS, strict=False):
            rows = [r for r in results.subgroups if r.measure == measure and r.axis == axis]
            places = [groups.index((r.axis, r.group)) for r in rows]
            for place, row in zip(places, rows, strict=True):
                estimate = row.estimate
                axes.plot(estimate.value, place, "o", color=colour, markersize=5)
                if np.isfinite(estimate.low):
                    axes.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=1.5)
        axes.set_title(measure.replace(" (", "\n("), fontsize=8)
        axes.grid(visible=True, axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(4))
    columns[0].set_yticks(range(len(groups)), [f"{axis}: {group}" for axis, group in groups])
    columns[0].invert_yaxis()


def _error_bars(
    axes: Axes, x: Sequence[float], estimates: Sequence[Estimate], *, colour: str, label: str, line: str = "-"
) -> None:
    values = np.array([e.value for e in estimates])
    bounds = np.array([(e.value - e.low, e.high - e.value) for e in estimates]).T
    axes.errorbar(
        x, values, yerr=np.clip(np.nan_to_num(bounds), 0, None), color=colour, marker="o", markersize=4,
        linestyle=line, linewidth=1.5, elinewidth=1, capsize=2, label=label,
    )  # fmt: skip


def _pair(pairs: Sequence[Reading]) -> tuple[Values, Values]:
    found = np.array([r.found for r in pairs], np.float64)
    return found, np.array([r.true for r in pairs], np.float64)


def _ends(true: Sequence[float], found: Sequence[float]) -> tuple[float, float]:
    low, high = min(*true, *found), max(*true, *found)
    return float(np.floor(low / 5) * 5 - 2), float(np.ceil(high / 5) * 5 + 2)


def _with_interval(estimate: Estimate, form: str) -> str:
    value = form.format(estimate.value)
    if not np.isfinite(estimate.low):
        return value
    return f"{value} ({form.format(estimate.low)} to {form.format(estimate.high)})"
