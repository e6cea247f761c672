"""Every command of the node. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from echo_node import __version__
from echo_node.cli_admin import add_aside, add_check_config, add_status
from echo_node.cli_delivery import add_outbox, add_requeue, add_resend
from echo_node.cli_results import add_results
from echo_node.cli_training import add_adapt, add_pretrain, add_train, add_worth
from echo_node.config import Backend, Config, checked_ae_title, load
from echo_node.errors import ConfigError, EchoNodeError

if TYPE_CHECKING:
    from echo_node.inference.plans import PlanCache

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
    except OSError as error:
        if error.filename is None or args.run in (_serve, _service):  # of no file or folder that was named
            raise
        print(f"echo-node: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="echo-node", description="An inference node for echocardiography.")
    parser.add_argument("--version", action="version", version=f"echo-node {__version__}")
    default = Path(os.environ.get(CONFIG_VARIABLE, "config.yaml"))
    text = f"settings (default: ${CONFIG_VARIABLE} or ./config.yaml)"
    parser.add_argument("--config", type=Path, default=default, help=text)
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
    add_pretrain(commands)
    add_train(commands)
    add_adapt(commands)
    add_worth(commands)
    _add_evaluate(commands)
    _add_demo(commands)
    _let_config_follow(commands)
    return parser


def _let_config_follow(commands: _Commands[argparse.ArgumentParser]) -> None:
    """``--config`` may stand behind a command too."""
    for command in commands.choices.values():
        command.add_argument("--config", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        for action in command._actions:
            if isinstance(action, argparse._SubParsersAction):
                _let_config_follow(action)


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
    text = "calling AE title (default: %(default)s)"
    parser.add_argument("--calling", type=_ae_title, default="PHANTOMCART", help=text)
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
    text = "folder of the engine package (default: %(default)s)"
    parser.add_argument("--engine", type=Path, default=Config().analyse.engine, help=text)
    parser.set_defaults(run=_demo)


def _peer(text: str) -> tuple[str, str, int]:
    """``AE@host:port`` as its three parts."""
    title, at, address = text.partition("@")
    host, colon, port = address.rpartition(":")
    if not (title and at and host and colon and port.isdigit() and 0 < int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not AE@HOST:PORT, like ECHONODE@127.0.0.1:11112")
    return _ae_title(title), host.strip("[]"), int(port)


def _ae_title(text: str) -> str:
    """As in config.yaml."""
    try:
        return checked_ae_title(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


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

    from echo_node.services.process import Stop, log_end, set_up_logging

    config = _settings(args)
    set_up_logging(config)
    status: int = import_module(f"echo_node.services.{args.service}").run(config, Stop().listen())
    log_end(args.service)
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
    from echo_node.services.engines import verify

    backend = Backend(args.backend)
    return verify(args.package, backend=backend, plans=_plans(args, backend))


def _plans(args: argparse.Namespace, backend: Backend) -> PlanCache | None:
    """What a backend serves from: TensorRT from the node's cache, others from the package alone."""
    from echo_node.services.engines import plan_cache

    return plan_cache(_settings(args)) if backend is Backend.TENSORRT else None


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


def _evaluate(args: argparse.Namespace) -> int:
    for package in ("matplotlib", "nibabel", "tqdm"):
        if find_spec(package) is None:
            raise EchoNodeError(f"evaluate needs {package}: pip install 'echo-node[train]'")
    from echo_node.evaluation.command import evaluate_package

    backend, plans = Backend(args.backend), _plans(args, Backend(args.backend))
    results = evaluate_package(
        args.engine, args.on, args.out, patients=args.patients, seed=args.seed, backend=backend, plans=plans
    )
    return 1 if results.faults else 0


def _demo(args: argparse.Namespace) -> int:
    from echo_node.services.demo import demo

    return demo(args.out, seed=args.seed, engine=args.engine)
