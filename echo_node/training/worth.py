"""``echo-node worth``: what pretraining brings, where few labels are known and where many are.

The same heads on three encoders of one shape: one with random weights, one that learned from labels, and one
pretrained without any. Each is probed as it is, and tuned whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from echo_node.errors import EngineError
from echo_node.evaluation.phantoms import CAVEAT
from echo_node.models.adapters import Tuning
from echo_node.models.starting_point import WEIGHTS, read_encoder
from echo_node.models.vit import VisionTransformer
from echo_node.training.experiment import Experiment, run_experiment, weights_of
from echo_node.training.tables import Heading, as_markdown, summaries
from echo_node.training.tasks import TASKS
from echo_node.training.trial import Cell, Outcome, TrialRecipe

RANDOM, SUPERVISED, PRETRAINED = "random", "supervised", "pretrained"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorthRecipe:
    """Which table."""

    task: str  # of TASKS
    tunings: Sequence[Tuning] = (Tuning.FROZEN, Tuning.FULL)
    studies: Sequence[int] = (1, 10, 100)  # the largest has all labels
    repeats: int = 3
    trial: TrialRecipe = field(default_factory=TrialRecipe)


def worth(out: Path, pretrained: Path, supervised: Path | None, recipe: WorthRecipe) -> Sequence[Outcome]:
    """Fit a task to each encoder from shares of the labels.

    Parameters
    ----------
    out : Path
        Folder of the run. Studies are rendered beside it, where other experiments find them.
    pretrained : Path
        Folder of a pretraining.
    supervised : Path, optional
        Folder of an encoder of the same shape that learned from labels, as in an engine package.
    recipe : WorthRecipe

    Raises
    ------
    EngineError
        A folder holds no encoder, or the encoders' shapes differ.
    EchoNodeError
        The run's folder holds the trials of another recipe.
    """
    folders = {SUPERVISED: supervised} if supervised else {}
    folders[PRETRAINED] = pretrained
    encoders = _encoders(folders, recipe.trial.seed)
    task, most = TASKS[recipe.task], max(recipe.studies)
    experiment = Experiment(
        heading=Heading(
            title=f"What pretraining is worth: {task.figure} by share of the labels",
            figure=task.figure,
            caveat=CAVEAT.capitalize(),
            columns={count: f"{count / most:.0%} ({count} of {most} studies)" for count in recipe.studies},
        ),
        task=task,
        cells=[
            Cell(start=start, tuning=tuning, studies=count, repeat=repeat)
            for start in encoders
            for tuning in recipe.tunings
            for count in sorted(recipe.studies)
            for repeat in range(recipe.repeats)
        ],
        encoders=encoders,
        weights={name: weights_of(folder, WEIGHTS) for name, folder in folders.items()},
        recipe=recipe.trial,
    )
    outcomes = run_experiment(experiment, out, out.parent / "studies")
    print(as_markdown(summaries(outcomes), experiment.heading))
    return outcomes


def _encoders(folders: dict[str, Path], seed: int) -> dict[str, VisionTransformer]:
    """Those of the folders, and a random one of their shape before them."""
    found = {name: read_encoder(folder) for name, folder in folders.items()}
    shape = found[PRETRAINED].shape
    for name, encoder in found.items():
        if encoder.shape != shape:
            raise EngineError(f"{folders[name]}: is {encoder.shape}; {folders[PRETRAINED]} is {shape}")
    torch.manual_seed(seed)
    return {RANDOM: VisionTransformer(shape), **found}
