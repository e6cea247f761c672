"""Which destination gets which object."""

from __future__ import annotations

from collections.abc import Sequence

from echo_node.codes import FALLBACKS, ObjectKind
from echo_node.config import Config, Destination
from echo_node.records import Report

# What names the reports of persons that it rests on; a page and an overlay clip do not.
_NAMES_EDITS = frozenset(ObjectKind) - {ObjectKind.OVERLAY, ObjectKind.PDF}


def wanted(config: Config) -> frozenset[ObjectKind]:
    """What any destination takes, and the older forms of it, which may be asked for when it is sent."""
    asked = frozenset(kind for destination in config.deliver.destinations for kind in destination.objects)
    return asked | {older for kind, older in FALLBACKS.items() if kind in asked}


def taken_by(destination: Destination) -> frozenset[ObjectKind]:
    """What a destination gets: what it asks for, and the reports of persons that this names."""
    asked = frozenset(destination.objects)
    return asked if _NAMES_EDITS.isdisjoint(asked) else asked | {ObjectKind.EDIT}


def addressed(reports: Sequence[Report], config: Config) -> list[tuple[str, Report]]:
    """Pairs of a destination's name and an object that it takes."""
    return [
        (destination.name, report)
        for destination in config.deliver.destinations
        for report in reports
        if report.kind in taken_by(destination)
    ]
