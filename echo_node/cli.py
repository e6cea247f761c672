"""Every command of the node. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from echo_node import __version__
from echo_node.cli_admin import add_aside, add_check_config, add_status
from echo_node.cli_delivery import add_outbox, add_requeue, add_resend
from echo_node.cli_results import add_results
from echo_node.config import Backend, Config, load
from echo_node.errors import ConfigError, EchoNodeError

CONFIG_VARIABLE = "ECHO_NODE_CONFIG"

_SERVICES = {
    "receive": "take objects from carts (the storage SCP)",
    "analyse": "analyse clips and write reports",
    "deliver": "send results to the destinations",
    "schedule": "close studies when they are complete",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0 well, 1 failed, 2 wrong usage or configuration."""
    args = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = args.run
    try:
        return run(args)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except EchoNodeError as error:
        print(f"echo-node: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="echo-node", description="An inference node for echocardiography.")
    parser.add_argument("--version", action="version", version=f"echo-node {__version__}")
    parser.add_argument(
        "--config",
        type=Path,
        default=Path(os.environ.get(CONFIG_VARIABLE, "config.yaml")),
        help=f"settings (default: ${CONFIG_VARIABLE} or ./config.yaml)",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    commands.add_parser("serve", help="run the whole node").set_defaults(run=_serve)
    for name, text in _SERVICES.items():
        commands.add_parser(name, help=text).set_defaults(run=_service, service=name)
    add_check_config(commands)
    add_status(commands)
    add_aside(commands)
    add_requeue(commands)
    add_outbox(commands)
    add_resend(commands)
    add_results(commands)
    conformance = commands.add_parser("conformance", help="the DICOM conformance statement of these settings")
    conformance.add_argument("--out", type=Path, help="file to write (default: standard output)")
    conformance.set_defaults(run=_conformance)
    _add_analyse_folder(commands)
    _add_simulate(commands)
    _add_engines(commands)
    _add_pretrain(commands)
    _add_train(commands)
    _add_adapt(commands)
    _add_worth(commands)
    _add_evaluate(commands)
    _add_demo(commands)
    return parser


_Commands = argparse._SubParsersAction  # the type that add_subparsers returns has no public name


def _add_analyse_folder(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "analyse-folder", help="analyse DICOM files without a network: SR, SEG, JSON and a PNG per clip"
    )
    parser.add_argument("folder", type=Path, help="searched for DICOM files, also below")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.set_defaults(run=_analyse_folder)


def _add_simulate(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("simulate", help="be a cart: send a phantom patient's exam")
    parser.add_argument("--to", type=_peer, required=True, metavar="AE@HOST:PORT")
    parser.add_argument("--calling", default="PHANTOMCART", help="calling AE title (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed is the same patient")
    parser.set_defaults(run=_simulate)


def _add_engines(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("engines", help="list, verify and describe engine packages")
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the packages below a folder")
    listing.add_argument("folder", type=Path, nargs="?", default=Path("engines"), help="default: %(default)s")
    listing.set_defaults(run=_list_engines)
    verify = actions.add_parser("verify", help="every file's sum, every graph's golden values, on this machine")
    verify.add_argument("package", type=Path, help="folder of the package")
    verify.add_argument(
        "--backend", choices=[b.value for b in Backend], default=Backend.ONNXRUNTIME_CPU.value, help="runtime"
    )
    verify.set_defaults(run=_verify_engine)
    compiling = actions.add_parser("compile", help="build and try TensorRT plans for this machine's GPU")
    compiling.add_argument("package", type=Path, help="folder of the package")
    compiling.set_defaults(run=_compile_engine)
    importing = actions.add_parser(
        "import", help="a package from your ONNX graphs, or a start for training from a published encoder"
    )
    source = importing.add_mutually_exclusive_group(required=True)
    source.add_argument("source", type=Path, nargs="?", help="YAML that names the graphs (docs/engines.md)")
    source.add_argument("--checkpoint", type=Path, help="DINOv2's or DINOv3's .pth or .safetensors; needs torch")
    importing.add_argument("--out", type=Path, required=True, help="folder to make")
    importing.set_defaults(run=_import_engine)
    card = actions.add_parser("card", help="what an engine is for, its data, figures and limits")
    card.add_argument("package", type=Path, help="folder of the package")
    card.set_defaults(run=_engine_card)


def _add_pretrain(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "pretrain", help="pretrain an encoder without labels; goes on where it stopped; torchrun starts several"
    )
    parser.add_argument("--run", dest="run_folder", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--data",
        type=Path,
        help="folder of DICOM files, or of .tar shards of pictures; phantoms where left out",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--size", choices=("tiny", "small", "base", "large"), default="tiny", help="of a new encoder"
    )
    start.add_argument("--encoder", type=Path, help="folder of an encoder to start from (engines import)")
    parser.add_argument("--steps", type=int, default=2000, help="updates of the weights (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="pictures per process and part of a step")
    parser.add_argument("--accumulate", type=int, default=1, help="parts of a step (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="processes that read pictures")
    parser.set_defaults(run=_pretrain)


def _add_train(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("train", help="train the default engine on phantoms; goes on where it stopped")
    parser.add_argument(
        "--run",
        dest="run_folder",
        type=Path,
        default=Path("runs/tiny"),
        help="folder of phantoms, checkpoint and metrics (default: %(default)s)",
    )
    parser.add_argument("--engine", type=Path, required=True, help="folder of the package, made or overwritten")
    parser.add_argument(
        "--encoder", type=Path, help="to start from: the folder of a pretraining, or of a package, heads and all"
    )
    parser.add_argument("--steps", type=int, default=12_000, help="updates of the weights (default: %(default)s)")
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="of the phantoms and all draws: another one is other patients (default: %(default)s)",
    )
    parser.set_defaults(run=_train)


def _add_adapt(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "adapt", help="tune an encoder to a task: frozen, adapter, LoRA, full; from few and more labelled studies"
    )
    parser.add_argument("encoder", type=Path, metavar="ENCODER", help="folder of an engine, or of a pretraining")
    _add_trials(parser, studies=(1, 5, 10, 50))
    parser.set_defaults(run=_adapt)


def _add_worth(commands: _Commands[argparse.ArgumentParser]) -> None:
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
        type=int,
        nargs="+",
        default=studies,
        help="labelled studies to learn from (default: %(default)s)",
    )
    parser.add_argument("--repeats", type=int, default=3, help="with other studies (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=80, help="updates of the encoder (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="pictures of an update (default: %(default)s)")
    parser.add_argument("--unseen", type=int, default=12, help="studies to judge by (default: %(default)s)")


def _add_evaluate(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "evaluate", help="an engine's figures with intervals, subgroups, calibration, refusal and plots"
    )
    parser.add_argument("engine", type=Path, metavar="ENGINE", help="folder of the engine package")
    parser.add_argument(
        "--on",
        default="phantoms",
        metavar="phantoms|no-hearts|FOLDER",
        help="simulated patients, their pictures without a heart alone (four of each patient), or your labelled "
        "clips: EchoNet-Dynamic's or CAMUS's layout, or labels.csv",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("evaluation"), help="folder for tables and plots (default: %(default)s)"
    )
    parser.add_argument(
        "--patients", type=int, help="at most so many (default: 30; of no-hearts 250; of a folder all)"
    )
    parser.add_argument("--seed", type=int, default=1000, help="of the phantoms (default: %(default)s)")
    parser.add_argument(
        "--backend", choices=[b.value for b in Backend], default=Backend.ONNXRUNTIME_CPU.value, help="runtime"
    )
    parser.set_defaults(run=_evaluate)


def _add_demo(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("demo", help="a node, a cart and an archive on loopback")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed is the same patient")
    parser.set_defaults(run=_demo)


def _peer(text: str) -> tuple[str, str, int]:
    """``AE@host:port`` as its three parts."""
    title, at, address = text.partition("@")
    host, colon, port = address.rpartition(":")
    if not (title and at and host and colon and port.isdigit() and 0 < int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not AE@HOST:PORT, like ECHONODE@127.0.0.1:11112")
    if len(title) > 16:
        raise argparse.ArgumentTypeError(f"{title!r} is longer than the 16 characters of an AE title")
    return title, host.strip("[]"), int(port)


def _settings(args: argparse.Namespace) -> Config:
    return load(args.config)


def _serve(args: argparse.Namespace) -> int:
    from echo_node.services.process import Stop, set_up_logging
    from echo_node.services.supervisor import supervise

    config = _settings(args)
    set_up_logging(config)
    return supervise(config, args.config.resolve(), Stop().listen())


def _service(args: argparse.Namespace) -> int:
    from importlib import import_module

    from echo_node.services.process import Stop, set_up_logging

    config = _settings(args)
    set_up_logging(config)
    status: int = import_module(f"echo_node.services.{args.service}").run(config, Stop().listen())
    return status


def _conformance(args: argparse.Namespace) -> int:
    from echo_node.services.conformance import write_statement

    return write_statement(_settings(args), args.out)


def _analyse_folder(args: argparse.Namespace) -> int:
    from echo_node.services.folder import analyse_folder

    return analyse_folder(_settings(args), args.folder, args.out)


def _simulate(args: argparse.Namespace) -> int:
    from echo_node.services.simulate import simulate

    return simulate(args.to, calling_ae=args.calling, seed=args.seed)


def _list_engines(args: argparse.Namespace) -> int:
    from echo_node.services.engines import list_engines

    return list_engines(args.folder)


def _verify_engine(args: argparse.Namespace) -> int:
    from echo_node.services.engines import plan_cache, verify

    backend = Backend(args.backend)
    plans = plan_cache(_settings(args)) if backend is Backend.TENSORRT else None
    return verify(args.package, backend=backend, plans=plans)


def _compile_engine(args: argparse.Namespace) -> int:
    from echo_node.services.engines import compile_plans, plan_cache

    return compile_plans(args.package, plan_cache(_settings(args)))


def _import_engine(args: argparse.Namespace) -> int:
    if args.checkpoint is not None:
        from echo_node.training.start import import_encoder

        return import_encoder(args.checkpoint, args.out)
    from echo_node.services.engines import import_graphs

    return import_graphs(args.source, args.out)


def _engine_card(args: argparse.Namespace) -> int:
    from echo_node.services.engines import show_card

    return show_card(args.package)


def _pretrain(args: argparse.Namespace) -> int:
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
    )
    return 0


def _train(args: argparse.Namespace) -> int:
    from echo_node.training.recipe import Recipe
    from echo_node.training.ship import train_and_ship

    recipe = Recipe(encoder=args.encoder, steps=args.steps, seed=args.seed)
    train_and_ship(args.run_folder, args.engine, recipe=recipe)
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


def _evaluate(args: argparse.Namespace) -> int:
    for package in ("matplotlib", "nibabel", "tqdm"):
        if find_spec(package) is None:
            raise EchoNodeError(f"evaluate needs {package}: pip install 'echo-node[train]'")
    from echo_node.evaluation.command import evaluate_package

    backend = Backend(args.backend)
    evaluate_package(args.engine, args.on, args.out, patients=args.patients, seed=args.seed, backend=backend)
    return 0


def _demo(args: argparse.Namespace) -> int:
    from echo_node.services.demo import demo

    return demo(args.out, seed=args.seed)
