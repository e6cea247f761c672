"""The commands that send and try again. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

import argparse

_Commands = argparse._SubParsersAction  # the type that add_subparsers returns has no public name
STATES = ("queued", "failed", "sent", "committed", "dead")  # of DeliveryState, whose module brings NumPy


def add_requeue(commands: _Commands[argparse.ArgumentParser]) -> None:
    """``echo-node requeue``."""
    parser = commands.add_parser("requeue", help="try again what was given up: clips, reports and deliveries")
    parser.add_argument("--study", metavar="UID", help="only what is of this study")
    parser.add_argument("--destination", metavar="NAME", help="only deliveries to this destination")
    parser.set_defaults(run=_requeue)


def add_outbox(commands: _Commands[argparse.ArgumentParser]) -> None:
    """``echo-node outbox``."""
    parser = commands.add_parser("outbox", help="list the results with their destinations and what became of them")
    parser.add_argument("--destination", metavar="NAME", help="only of this destination")
    parser.add_argument("--state", choices=STATES, help="only in this state")
    parser.add_argument("--study", metavar="UID", help="only of this StudyInstanceUID")
    parser.set_defaults(run=_outbox)


def add_resend(commands: _Commands[argparse.ArgumentParser]) -> None:
    """``echo-node resend``."""
    parser = commands.add_parser(
        "resend", help="send results once more, the same bytes, also what was sent already"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--study", metavar="UID", help="all results of this StudyInstanceUID")
    what.add_argument("--object", metavar="UID", help="the result of this SOPInstanceUID")
    text = "to this one alone, of a study also what it lacks (default: all that had it queued)"
    parser.add_argument("--destination", metavar="NAME", help=text)
    parser.set_defaults(run=_resend)


def _requeue(args: argparse.Namespace) -> int:
    from echo_node.services.opened import settings_of_a_node
    from echo_node.services.requeue import requeue

    return requeue(settings_of_a_node(args.config), StudyInstanceUID=args.study, destination=args.destination)


def _outbox(args: argparse.Namespace) -> int:
    from echo_node.records import DeliveryState
    from echo_node.services.opened import settings_of_a_node
    from echo_node.services.outbox import print_outbox

    config = settings_of_a_node(args.config)
    state = None if args.state is None else DeliveryState(args.state)
    return print_outbox(config, destination=args.destination, state=state, StudyInstanceUID=args.study)


def _resend(args: argparse.Namespace) -> int:
    from echo_node.services.opened import settings_of_a_node
    from echo_node.services.outbox import resend

    return resend(
        settings_of_a_node(args.config),
        StudyInstanceUID=args.study,
        SOPInstanceUID=args.object,
        destination=args.destination,
    )
