"""The commands for results: accepted, rejected, compared. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from echo_node.codes import Code
    from echo_node.decisions import Decision

_Commands = argparse._SubParsersAction  # the type that add_subparsers returns has no public name


def add_results(commands: _Commands[argparse.ArgumentParser]) -> None:
    """``echo-node accept``, ``reject``, ``decisions`` and ``agreement``."""
    texts = {
        "accept": "stand for a study's results: its documents go out again, VERIFIED",
        "reject": "withdraw a study's results: the destinations are told which objects are rejected",
    }
    for name, text in texts.items():
        _add_decision(commands.add_parser(name, help=text), name)
    listing = commands.add_parser("decisions", help="who accepted or rejected which results, and why")
    listing.add_argument("--study", metavar="UID", help="only of this StudyInstanceUID")
    listing.set_defaults(run=_decisions)
    agreement = commands.add_parser("agreement", help="how far the node's numbers agree with the carts' own")
    agreement.add_argument("--csv", type=Path, metavar="FILE", help="write every pair, without patients' identity")
    agreement.set_defaults(run=_agreement)


def _add_decision(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("study", metavar="STUDY_UID", help="StudyInstanceUID")
    parser.add_argument("--by", required=True, metavar="FAMILY^GIVEN", help="who decides, as DICOM writes names")
    parser.add_argument("--organization", required=True, metavar="NAME", help="that this person answers to")
    parser.add_argument(
        "--id", metavar="VALUE^SCHEME^MEANING", help="the person's code there, 4711^99HOSPITAL^Cardiologist say"
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="in words; it goes out with the results")
    parser.add_argument("--revision", type=int, metavar="N", help="what was looked at (default: the latest)")
    parser.set_defaults(run=_decide, action=name)


def _decide(args: argparse.Namespace) -> int:
    from echo_node.decisions import Person
    from echo_node.services import decisions
    from echo_node.services.opened import opened_store, settings_of_a_node
    from echo_node.services.process import utc_now

    config = settings_of_a_node(args.config)
    decide = decisions.accept if args.action == "accept" else decisions.reject
    by = Person(name=args.by, organization=args.organization, code=_code(args.id))
    with opened_store(config) as store:
        made = decide(store, config, args.study, by=by, at=utc_now(), reason=args.reason, revision=args.revision)
    print(_line(made))
    return 0


def _code(text: str | None) -> Code | None:
    from echo_node.codes import Code
    from echo_node.errors import ConfigError

    if text is None:
        return None
    parts = text.split("^")
    if len(parts) != 3:
        raise ConfigError(f"--id {text!r}: not VALUE^SCHEME^MEANING")
    return Code(*parts)


def _decisions(args: argparse.Namespace) -> int:
    from echo_node.services.opened import opened_store, settings_of_a_node

    with opened_store(settings_of_a_node(args.config)) as store:
        found = store.decisions.every() if args.study is None else store.decisions.of_study(args.study)
    for decision in found:
        print(_line(decision))
    return 0


def _line(decision: Decision) -> str:
    reason = f": {decision.reason}" if decision.reason else ""
    return (
        f"study {decision.StudyInstanceUID}  revision {decision.revision}  {decision.kind.value} at "
        f"{decision.made_at:%Y-%m-%d %H:%M:%S} UTC by {decision.by.name} ({decision.by.organization})"
        f"  of {len(decision.decided)} objects, {len(decision.made)} made{reason}"
    )


def _agreement(args: argparse.Namespace) -> int:
    from echo_node.evaluation.carts import print_agreement
    from echo_node.services.opened import opened_store, settings_of_a_node

    with opened_store(settings_of_a_node(args.config)) as store:
        studies = store.carts.compared()
    return print_agreement(studies, args.csv)
