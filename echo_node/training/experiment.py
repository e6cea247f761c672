"""Many trials that make a table: each kept as soon as it is done, so that a run goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from echo_node.errors import EchoNodeError
from echo_node.inference.manifest import FileEntry
from echo_node.models.adapters import Tuning
from echo_node.models.vit import VisionTransformer
from echo_node.training import studies
from echo_node.training.tables import Heading, write_tables
from echo_node.training.tasks import Examples, Task, as_they_are, looks_at
from echo_node.training.trial import Cell, Outcome, Start, TrialRecipe, run_trial, untouched

RECIPE, RESULTS = "recipe.json", "trials.jsonl"
_HEADS = 2  # the tasks': trials with other heads are other trials
_KNOWN, _UNSEEN = 3, 4  # seeds of the studies; training and pretraining use 1 and 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What is compared, on what."""

    heading: Heading
    task: Task
    cells: Sequence[Cell]
    encoders: Mapping[str, VisionTransformer]  # by the name that the cells know, all of one shape
    weights: Mapping[str, str]  # what tells the encoders apart from others of the same names
    recipe: TrialRecipe


def run_experiment(experiment: Experiment, out: Path, phantoms: Path) -> Sequence[Outcome]:
    """Run the trials that the folder lacks, and write the tables.

    Parameters
    ----------
    experiment : Experiment
    out : Path
        Folder of recipe, trials, tables and plot.
    phantoms : Path
        Folder of the rendered studies, which experiments share.

    Raises
    ------
    EchoNodeError
        The folder holds the trials of another recipe or of other encoders.
    """
    out.mkdir(parents=True, exist_ok=True)
    _same_recipe(experiment, out / RECIPE)
    kept = {outcome.cell: outcome for outcome in read_outcomes(out / RESULTS)}
    missing = [cell for cell in experiment.cells if cell not in kept]
    bench = _Bench(experiment, phantoms)
    for cell in tqdm(missing, desc=experiment.task.name, unit="trial"):
        kept[cell] = bench.run(cell)
        _write_outcomes(list(kept.values()), out / RESULTS)
    outcomes = [kept[cell] for cell in experiment.cells]
    write_tables(outcomes, experiment.heading, out)
    return outcomes


def weights_of(folder: Path, file: str) -> str:
    """The sum of a file, by which it is known again."""
    return FileEntry.of(folder / file).sha256


class _Bench:
    """The examples, and the encoders that were asked for so far with what they say of them."""

    def __init__(self, experiment: Experiment, phantoms: Path) -> None:
        self._experiment, self._phantoms = experiment, phantoms
        self._examples: tuple[Examples, Examples] | None = None
        self._starts: dict[str, Start] = {}

    def run(self, cell: Cell) -> Outcome:
        """One trial."""
        task, recipe = self._experiment.task, self._experiment.recipe
        encoder = self._experiment.encoders[cell.start]
        known, unseen = self._load(encoder.shape.image_size)
        if cell.start not in self._starts:
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            self._starts[cell.start] = untouched(encoder.to(device), task, known, unseen, recipe)
        return run_trial(cell, self._starts[cell.start], task, known, unseen, recipe)

    def _load(self, size: int) -> tuple[Examples, Examples]:
        """Known and unseen examples, made when first asked for."""
        if self._examples is None:
            task, recipe = self._experiment.task, self._experiment.recipe
            count = max(cell.studies for cell in self._experiment.cells)
            known = studies.load(self._phantoms, seed=_KNOWN, studies=count, frames=recipe.frames)
            unseen = studies.load(self._phantoms, seed=_UNSEEN, studies=recipe.unseen, frames=recipe.frames)
            self._examples = (
                looks_at(known.showing(task.views), size=size, looks=recipe.looks, seed=recipe.seed),
                as_they_are(unseen.showing(task.views), size=size),
            )
        return self._examples


def _same_recipe(experiment: Experiment, path: Path) -> None:
    """Trials of one folder were made alike: with more cells it may go on, with another recipe it may not."""
    now = {
        "task": experiment.task.name,
        "studies": max(cell.studies for cell in experiment.cells),  # of which the smaller cells' are drawn
        "heads": _HEADS,
        "weights": dict(experiment.weights),
        "recipe": asdict(experiment.recipe),
    }
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before != now:
            differs = ", ".join(_differing(before, now))
            raise EchoNodeError(f"{path}: the trials in this folder differ in {differs}; choose another --run")
        return
    _write(path, json.dumps(now, indent=1) + "\n")


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of what two mappings do not have alike, down to the last."""
    names = []
    for name in sorted({*before, *now}):
        first, second = before.get(name), now.get(name)
        if isinstance(first, dict) and isinstance(second, dict):
            names += [f"{name}.{inner}" for inner in _differing(first, second)]
        elif first != second:
            names.append(name)
    return names


def read_outcomes(path: Path) -> list[Outcome]:
    """The trials that a folder holds."""
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Outcome(cell=Cell(**(row.pop("cell") | {"tuning": Tuning(row.pop("tuning"))})), **row) for row in rows]


def _write_outcomes(outcomes: Sequence[Outcome], path: Path) -> None:
    lines = []
    for outcome in outcomes:
        row = asdict(outcome)
        tuning = row["cell"].pop("tuning")
        lines.append(json.dumps({"tuning": tuning.value, **row}))
    _write(path, "\n".join(lines) + "\n")


def _write(path: Path, text: str) -> None:
    half = path.with_suffix(".half")
    half.write_text(text, encoding="utf-8")
    half.replace(path)
