"""The spool, the database and the outbox: all that knows SQLAlchemy and where files lie."""

from echo_node.store.aside import Release
from echo_node.store.commitments import Unconfirmed, Verdict
from echo_node.store.decisions import Made, MadeObject, Results, check_revision, earlier_decision
from echo_node.store.instances import KeepOutcome, Received
from echo_node.store.jobs import UNFINISHED
from echo_node.store.overview import InstanceOutcome, Outcome, StoreStatus, StudyOutcome, Waiting, Word
from echo_node.store.schema import JobState
from echo_node.store.store import Store
from echo_node.store.studies import ClosedStudy, ClosePolicy, why_close
from echo_node.store.sweep import Swept

__all__ = [
    "UNFINISHED",
    "ClosePolicy",
    "ClosedStudy",
    "InstanceOutcome",
    "JobState",
    "KeepOutcome",
    "Made",
    "MadeObject",
    "Outcome",
    "Received",
    "Release",
    "Results",
    "Store",
    "StoreStatus",
    "StudyOutcome",
    "Swept",
    "Unconfirmed",
    "Verdict",
    "Waiting",
    "Word",
    "check_revision",
    "earlier_decision",
    "why_close",
]
