"""The plot of an experiment: score over labelled studies, a line for each way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from echo_node.evaluation.plots import COLOURS, DPI, STYLE

_STYLES = ("-", "--", ":", "-.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One way's scores."""

    label: str
    group: str  # lines of one group share a colour where there are several groups
    studies: Sequence[int]
    means: Sequence[float]
    deviations: Sequence[float]


def write_curves(lines: Sequence[Line], path: Path, *, title: str, figure: str, caveat: str) -> None:
    """Draw the lines with one standard deviation either way."""
    groups = list(dict.fromkeys(line.group for line in lines))
    with mpl.rc_context(STYLE):
        canvas = Figure(figsize=(6.8, 5.2), layout="constrained")
        FigureCanvasAgg(canvas)
        axes = canvas.add_subplot()
        for number, line in enumerate(lines):
            place = groups.index(line.group)
            within = [other.label for other in lines if other.group == line.group].index(line.label)
            colour, style = (number, "-") if len(groups) == 1 else (place, _STYLES[within % len(_STYLES)])
            axes.errorbar(
                line.studies, line.means, yerr=line.deviations, label=line.label, marker="o", markersize=4,
                color=COLOURS[colour % len(COLOURS)], linestyle=style, linewidth=1.6, elinewidth=1, capsize=2,
            )  # fmt: skip
        counts = sorted({count for line in lines for count in line.studies})
        axes.set_xscale("log")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set(xlabel="labelled studies", ylabel=f"{figure}, mean and standard deviation")
        axes.grid(visible=True)
        canvas.legend(
            loc="outside lower center", ncols=len(groups) if len(groups) > 1 else 2, handlelength=4, fontsize=8
        )
        canvas.suptitle(f"{title}\n{caveat}", fontsize=9)
        canvas.savefig(path, dpi=DPI)
