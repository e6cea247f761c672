"""``echo-node adapt``: what each way of tuning an encoder to a task costs in parameters and brings in accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from echo_node.evaluation.phantoms import CAVEAT
from echo_node.models.adapters import Tuning
from echo_node.models.starting_point import WEIGHTS, read_encoder
from echo_node.training.experiment import Experiment, run_experiment, weights_of
from echo_node.training.tables import Heading, as_markdown, summaries
from echo_node.training.tasks import TASKS
from echo_node.training.trial import Cell, Outcome, TrialRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptationRecipe:
    """Which table."""

    task: str  # of TASKS
    tunings: Sequence[Tuning] = tuple(Tuning)
    studies: Sequence[int] = (1, 5, 10, 50)
    repeats: int = 3
    trial: TrialRecipe = field(default_factory=TrialRecipe)


def adapt(out: Path, encoder: Path, recipe: AdaptationRecipe) -> Sequence[Outcome]:
    """Tune an encoder to a task in every way, from the labels of few and more studies.

    Parameters
    ----------
    out : Path
        Folder of the run. Studies are rendered beside it, where other experiments find them.
    encoder : Path
        Folder of an engine package, a pretraining, or another encoder to start from.
    recipe : AdaptationRecipe

    Raises
    ------
    EngineError
        The folder holds no encoder.
    EchoNodeError
        The run's folder holds the trials of another recipe.
    """
    task, name = TASKS[recipe.task], encoder.resolve().name
    experiment = Experiment(
        heading=Heading(
            title=f"Tuning {name} to {task.figure}",
            figure=task.figure,
            caveat=CAVEAT.capitalize(),
            columns={},
        ),
        task=task,
        cells=[
            Cell(start=name, tuning=tuning, studies=count, repeat=repeat)
            for count in sorted(recipe.studies)
            for tuning in recipe.tunings
            for repeat in range(recipe.repeats)
        ],
        encoders={name: read_encoder(encoder)},
        weights={name: weights_of(encoder, WEIGHTS)},
        recipe=recipe.trial,
    )
    outcomes = run_experiment(experiment, out, out.parent / "studies")
    print(as_markdown(summaries(outcomes), experiment.heading))
    return outcomes
