"""The commands for whoever looks after the node. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

import argparse

from echo_node.config import load
from echo_node.errors import ConfigError, EngineError

_Commands = argparse._SubParsersAction  # the type that add_subparsers returns has no public name


def add_check_config(commands: _Commands[argparse.ArgumentParser]) -> None:
    """``echo-node check-config``."""
    parser = commands.add_parser("check-config", help="check the settings, and the engine package that they name")
    parser.set_defaults(run=_check_config)


def add_status(commands: _Commands[argparse.ArgumentParser]) -> None:
    """``echo-node status``."""
    parser = commands.add_parser("status", help="what the node holds and does")
    parser.add_argument("--objects", action="store_true", help="list every study and object with its outcome")
    parser.set_defaults(run=_status)


def _check_config(args: argparse.Namespace) -> int:
    from echo_node.inference.manifest import load_manifest

    config = load(args.config)
    try:
        load_manifest(config.analyse.engine)
    except EngineError as error:
        raise ConfigError(f"{args.config}: analyse.engine: {error}") from error
    print(f"{args.config}: good")
    if not config.deliver.destinations:
        print("note: deliver.destinations is empty: results stay on this node")
    if not config.receive.carts:
        print("note: receive.carts is empty: nobody may store")
    return 0


def _status(args: argparse.Namespace) -> int:
    from echo_node.services.health import print_status

    return print_status(load(args.config), objects=args.objects)
