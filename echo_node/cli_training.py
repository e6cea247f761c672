"""The commands that train. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

_Commands = argparse._SubParsersAction  # the type that add_subparsers returns has no public name


def positive(text: str) -> int:
    """An argument of 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1 is needed")
    return value


def add_pretrain(commands: _Commands[argparse.ArgumentParser]) -> None:
    """``echo-node pretrain``."""
    parser = commands.add_parser(
        "pretrain", help="pretrain an encoder without labels; goes on where it stopped; torchrun starts several"
    )
    parser.add_argument("--run", dest="run_folder", type=Path, required=True, help="folder of the run")
    pictures = parser.add_mutually_exclusive_group()
    pictures.add_argument(
        "--data",
        type=Path,
        help="folder of DICOM files, AVI and MP4, or of .tar shards of pictures; phantoms where left out",
    )
    pictures.add_argument(
        "--fresh",
        action="store_true",
        help="phantoms rendered as they are needed, no two of one patient, by workers or by a GPU without",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--size", choices=("tiny", "small", "base", "large"), default="tiny", help="of a new encoder"
    )
    start.add_argument("--encoder", type=Path, help="folder of an encoder to start from (engines import)")
    parser.add_argument(
        "--steps", type=positive, default=2000, help="updates of the weights (default: %(default)s)"
    )
    parser.add_argument("--batch", type=positive, default=64, help="pictures per process and part of a step")
    parser.add_argument("--accumulate", type=positive, default=1, help="parts of a step (default: %(default)s)")
    parser.add_argument(
        "--prototypes",
        type=positive,
        default=256,
        help="of each head; more for larger batches (default: %(default)s)",
    )
    parser.add_argument("--workers", type=int, default=0, help="processes that read pictures")
    parser.set_defaults(run=_pretrain)


def add_train(commands: _Commands[argparse.ArgumentParser]) -> None:
    """``echo-node train``."""
    parser = commands.add_parser(
        "train", help="train an engine on phantoms, and on labelled clips of one's own; goes on where it stopped"
    )
    parser.add_argument(
        "--run",
        dest="run_folder",
        type=Path,
        default=Path("runs/tiny"),
        help="folder of phantoms, checkpoint and metrics (default: %(default)s)",
    )
    parser.add_argument(
        "--engine", type=Path, required=True, help="folder of the package, named as it is; made or overwritten"
    )
    parser.add_argument("--version", default="0.1.0", help="of the package, as 1.2.3 (default: %(default)s)")
    parser.add_argument(
        "--encoder", type=Path, help="to start from: the folder of a pretraining, or of a package, heads and all"
    )
    parser.add_argument(
        "--steps", type=int, default=8000, help="updates of the encoder of views (default: %(default)s)"
    )
    parser.add_argument(
        "--measuring-steps",
        type=int,
        default=6000,
        help="updates of the second encoder, tuned from the first to what is measured (default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="labelled clips of one's own to learn from beside phantoms: a folder or CSV file as of evaluate --on",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="of the phantoms and all draws: another one is other patients (default: %(default)s)",
    )
    parser.set_defaults(run=_train)


def add_adapt(commands: _Commands[argparse.ArgumentParser]) -> None:
    """``echo-node adapt``."""
    parser = commands.add_parser(
        "adapt", help="tune an encoder to a task: frozen, adapter, LoRA, full; from few and more labelled studies"
    )
    parser.add_argument("encoder", type=Path, metavar="ENCODER", help="folder of an engine, or of a pretraining")
    _add_trials(parser, studies=(1, 5, 10, 50))
    parser.set_defaults(run=_adapt)


def add_worth(commands: _Commands[argparse.ArgumentParser]) -> None:
    """``echo-node worth``."""
    parser = commands.add_parser(
        "worth", help="what pretraining brings: one head on random, supervised and pretrained encoders"
    )
    parser.add_argument("pretrained", type=Path, metavar="PRETRAINED", help="folder of a pretraining")
    parser.add_argument("--supervised", type=Path, help="an engine's folder, of the same encoder's shape")
    _add_trials(parser, studies=(1, 10, 100))
    parser.set_defaults(run=_worth)


def _add_trials(parser: argparse.ArgumentParser, *, studies: Sequence[int]) -> None:
    parser.add_argument("--task", choices=("view", "lv"), required=True, help="views, or the LV cavity")
    parser.add_argument(
        "--run", dest="run_folder", type=Path, required=True, help="folder of the run; goes on where it stopped"
    )
    parser.add_argument(
        "--studies",
        type=positive,
        nargs="+",
        default=studies,
        help="labelled studies to learn from (default: %(default)s)",
    )
    parser.add_argument("--repeats", type=positive, default=3, help="with other studies (default: %(default)s)")
    parser.add_argument("--steps", type=positive, default=80, help="updates of the encoder (default: %(default)s)")
    parser.add_argument("--batch", type=positive, default=16, help="clips of an update (default: %(default)s)")
    parser.add_argument("--unseen", type=positive, default=12, help="studies to judge by (default: %(default)s)")


def _make(*folders: Path) -> None:
    """Make folders, and see that they can be written to: before the work of hours that goes there."""
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder):
            pass


def _pretrain(args: argparse.Namespace) -> int:
    _make(args.run_folder)
    from echo_node.training.dino.stage import pretrain_on

    pretrain_on(
        args.data,
        args.run_folder,
        size=args.size,
        encoder=args.encoder,
        steps=args.steps,
        batch=args.batch,
        accumulate=args.accumulate,
        workers=args.workers,
        fresh=args.fresh,
        prototypes=args.prototypes,
    )
    return 0


def _train(args: argparse.Namespace) -> int:
    from echo_node.inference.manifest import check_name

    check_name(args.engine.resolve().name, args.version)
    _make(args.run_folder, args.engine)
    from echo_node.training.recipe import Recipe
    from echo_node.training.ship import train_and_ship

    steps, measuring_steps = args.steps, args.measuring_steps
    recipe = Recipe(
        encoder=args.encoder, own=args.data, steps=steps, measuring_steps=measuring_steps, seed=args.seed
    )
    train_and_ship(args.run_folder, args.engine, recipe=recipe, version=args.version)
    return 0


def _adapt(args: argparse.Namespace) -> int:
    from echo_node.training.adaptation import AdaptationRecipe, adapt
    from echo_node.training.trial import TrialRecipe

    trial = TrialRecipe(steps=args.steps, batch=args.batch, unseen=args.unseen)
    recipe = AdaptationRecipe(task=args.task, studies=args.studies, repeats=args.repeats, trial=trial)
    adapt(args.run_folder, args.encoder, recipe)
    return 0


def _worth(args: argparse.Namespace) -> int:
    from echo_node.training.trial import TrialRecipe
    from echo_node.training.worth import WorthRecipe, worth

    trial = TrialRecipe(steps=args.steps, batch=args.batch, unseen=args.unseen)
    recipe = WorthRecipe(task=args.task, studies=args.studies, repeats=args.repeats, trial=trial)
    worth(args.run_folder, args.pretrained, args.supervised, recipe)
    return 0
