"""The commands for whoever looks after the node. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

from echo_node.config import load
from echo_node.errors import ConfigError

_Commands = argparse._SubParsersAction  # the type that add_subparsers returns has no public name
_ALL = "all"


def add_check_config(commands: _Commands[argparse.ArgumentParser]) -> None:
    """``echo-node check-config``."""
    parser = commands.add_parser("check-config", help="check the settings, and what they name")
    parser.set_defaults(run=_check_config)


def add_status(commands: _Commands[argparse.ArgumentParser]) -> None:
    """``echo-node status``."""
    parser = commands.add_parser("status", help="what the node holds and does")
    parser.add_argument("--objects", action="store_true", help="list every study and object with its outcome")
    parser.set_defaults(run=_status)


def add_aside(commands: _Commands[argparse.ArgumentParser]) -> None:
    """``echo-node acknowledge`` and ``release``."""
    seen = commands.add_parser("acknowledge", help="note that somebody has looked at objects that are set aside")
    seen.add_argument(
        "objects", nargs="+", metavar="OBJECT", help=f"number, from status --objects; {_ALL}: whatever nobody saw"
    )
    seen.add_argument("--by", required=True, metavar="NAME", help="who has looked")
    seen.add_argument("--reason", default="", metavar="TEXT", help="what came of it, in words")
    seen.set_defaults(run=_acknowledge)
    release = commands.add_parser("release", help="let a study out of quarantine, once it is known whose it is")
    release.add_argument("study", metavar="STUDY_UID", help="StudyInstanceUID")
    release.add_argument("--patient", required=True, metavar="PatientID", help="whose objects are reported")
    release.add_argument(
        "--birth-date", metavar="YYYYMMDD", help="of the patient, where two came under one PatientID"
    )
    release.add_argument("--by", required=True, metavar="NAME", help="who found out")
    release.add_argument("--reason", required=True, metavar="TEXT", help="how, in words")
    release.set_defaults(run=_release)


def _check_config(args: argparse.Namespace) -> int:
    from echo_node.services.check import faults_of, notes_on

    config = load(args.config)
    faults, notes = faults_of(config, args.config), notes_on(config, args.config)
    if not faults:
        print(f"{args.config}: good")
    for note in notes:
        print(f"note: {note}")
    if faults:
        raise ConfigError("\n".join(faults))
    return 0


def _status(args: argparse.Namespace) -> int:
    from echo_node.services.health import print_status
    from echo_node.services.opened import settings_of_a_node

    return print_status(settings_of_a_node(args.config), objects=args.objects)


def _acknowledge(args: argparse.Namespace) -> int:
    from echo_node.services.aside import acknowledge
    from echo_node.services.health import object_line
    from echo_node.services.opened import opened_store, settings_of_a_node

    numbers = _numbers(args.objects)
    with opened_store(settings_of_a_node(args.config)) as store:
        seen = acknowledge(store, numbers, by=args.by, reason=args.reason)
    for outcome in seen:
        print(object_line(outcome))
    return 0


def _numbers(words: Sequence[str]) -> list[int] | None:
    if list(words) == [_ALL]:
        return None
    for word in words:
        if not (word.isascii() and word.isdecimal() and len(word) < 10):
            raise ConfigError(f"{word!r} is neither a number from status --objects nor {_ALL!r} alone")
    return [int(word) for word in words]


def _release(args: argparse.Namespace) -> int:
    from echo_node.services.aside import release
    from echo_node.services.opened import opened_store, settings_of_a_node

    with opened_store(settings_of_a_node(args.config)) as store:
        made = release(
            store,
            args.study,
            PatientID=args.patient,
            PatientBirthDate=args.birth_date,
            by=args.by,
            reason=args.reason,
        )
        sent = Counter(d.destination for d in store.deliveries(args.study) if d.sent_at is not None)
    chosen, others = len(made.chosen), len(made.others)
    print(f"study {args.study}: released; {chosen} objects are this patient's, {others} are kept and not used")
    print("it closes again, and is reported, once its clips are analysed")
    for destination, count in sent.items():
        print(f"note: {destination} has {count} results from before; have those of the other patient removed there")
    return 0
