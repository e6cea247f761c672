"""What a person decides on a study's results: accepted or rejected, by whom, when and why.

A record of a decision is written once and never changed; a later one stands beside it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from echo_node.codes import Code


class DecisionKind(enum.Enum):
    """What was decided."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who decides: the name as PN, the organization that they answer to, their code there where it is given."""

    name: str
    organization: str
    code: Code | None = None

    def is_same(self, other: Person) -> bool:
        """Is this the same person? By the codes where both have one, else by the names."""
        if self.code is not None and other.code is not None:
            return (self.code.value, self.code.scheme) == (other.code.value, other.code.scheme)
        return _plain(self.name) == _plain(other.name)


def _plain(name: str) -> str:
    """A name without the empty components that PN allows at its end (PS3.5 6.2.1)."""
    return "=".join(group.rstrip("^ ").casefold() for group in name.split("=")).rstrip("=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A person's decision on the results of one revision of a study."""

    StudyInstanceUID: str
    revision: int
    kind: DecisionKind
    by: Person
    reason: str  # in words; empty where none was given
    made_at: datetime  # UTC
    decided: tuple[str, ...]  # SOPInstanceUIDs of the objects that it is about
    made: tuple[str, ...]  # SOPInstanceUIDs of the documents that say so


def standing_acceptance(decisions: Sequence[Decision]) -> Decision | None:
    """The latest acceptance that nobody has taken back; the sequence is a study's, oldest first."""
    taken_back = {d.revision for d in decisions if d.kind is DecisionKind.REJECTED}
    accepted = [d for d in decisions if d.kind is DecisionKind.ACCEPTED and d.revision not in taken_back]
    return accepted[-1] if accepted else None
