"""The tables. A change here needs a migration beside it; a test holds the two against each other.

Paths are relative to the storage root, times are UTC, enums are stored by name.
"""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from echo_node.codes import Method, ObjectKind, Quantity, Reason, Unit, View
from echo_node.decisions import DecisionKind
from echo_node.records import CloseReason, DeliveryState, JobKind, StudyState


class JobState(enum.Enum):
    """Where a job stands."""

    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    DEAD = "dead"  # out of attempts; its reason stands in its row
    SUPERSEDED = "superseded"  # its study was closed anew or quarantined before it was done


class UTCDateTime(sa.types.TypeDecorator[datetime]):
    """An aware datetime in UTC; SQLite, which knows no zones, holds it naive."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """To the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, _dialect: Any) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _name_of(kind: type[enum.Enum]) -> sa.Enum:
    return sa.Enum(kind, native_enum=False, create_constraint=False, length=40)


def _uid() -> sa.String:
    return sa.String(64)  # VR UI, PS3.5 6.2


metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

marks = sa.Table("marks", metadata, sa.Column("id", sa.String(32), primary_key=True))  # one row: store.mark

studies = sa.Table(
    "studies",
    metadata,
    sa.Column("StudyInstanceUID", _uid(), primary_key=True),
    sa.Column("PatientID", sa.Text, nullable=False),
    sa.Column("PatientBirthDate", sa.String(8)),  # the first that an object stated, YYYYMMDD
    sa.Column("source_ae", sa.Text, nullable=False),  # the latest sender
    sa.Column("state", _name_of(StudyState), nullable=False, index=True),
    sa.Column("reason", _name_of(Reason)),  # why it is in quarantine
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("closed_because", _name_of(CloseReason)),
    sa.Column("closed_at", UTCDateTime),  # the latest close
    sa.Column("opened_at", UTCDateTime, nullable=False),  # first instance, or what opened it again
    sa.Column("last_received_at", UTCDateTime, nullable=False),
    sa.Column("association_ended_at", UTCDateTime),  # None once anything more has come
)

instances = sa.Table(
    "instances",
    metadata,
    sa.Column("SOPInstanceUID", _uid(), primary_key=True),
    sa.Column("SOPClassUID", _uid(), nullable=False),
    sa.Column("SeriesInstanceUID", _uid(), nullable=False),
    sa.Column("StudyInstanceUID", sa.ForeignKey(studies.c.StudyInstanceUID), nullable=False, index=True),
    sa.Column("PatientID", sa.Text, nullable=False),
    sa.Column("TransferSyntaxUID", _uid(), nullable=False),
    sa.Column("path", sa.Text, nullable=False, unique=True),
    sa.Column("sha256", sa.String(64), nullable=False, index=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("source_ae", sa.Text, nullable=False),
    sa.Column("source_host", sa.Text, nullable=False),
    sa.Column("received_at", UTCDateTime, nullable=False),
    sa.Column("reason", _name_of(Reason)),
)

# Objects that are kept for a person to look at: their UIDs may be missing, wrong or taken.
instances_aside = sa.Table(
    "instances_aside",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("SOPInstanceUID", _uid(), nullable=False, index=True),
    sa.Column("SOPClassUID", _uid(), nullable=False),
    sa.Column("StudyInstanceUID", _uid(), nullable=False),
    sa.Column("path", sa.Text, nullable=False, unique=True),
    sa.Column("sha256", sa.String(64), nullable=False, index=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("source_ae", sa.Text, nullable=False),
    sa.Column("source_host", sa.Text, nullable=False),
    sa.Column("received_at", UTCDateTime, nullable=False),
    sa.Column("reason", _name_of(Reason), nullable=False),
    sa.Column("acknowledged_at", UTCDateTime),  # None: nobody has looked at it yet
    sa.Column("acknowledged_by", sa.Text),
    sa.Column("acknowledged_because", sa.Text),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("kind", _name_of(JobKind), nullable=False),
    sa.Column("target", _uid(), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),  # of the study, for a STUDY job; 0 for a CLIP job
    sa.Column("StudyInstanceUID", sa.ForeignKey(studies.c.StudyInstanceUID), nullable=False, index=True),
    sa.Column("state", _name_of(JobState), nullable=False, index=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_at", UTCDateTime, nullable=False),
    sa.Column("lease", sa.String(32)),
    sa.Column("leased_until", UTCDateTime),
    sa.Column("worker", sa.Text),  # the latest, for people
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("finished_at", UTCDateTime),
    sa.Column("reason", _name_of(Reason)),  # of the latest failure
    sa.Column("detail", sa.Text, nullable=False),
    sa.UniqueConstraint("kind", "target", "revision"),
)

analyses = sa.Table(
    "analyses",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("SOPInstanceUID", sa.ForeignKey(instances.c.SOPInstanceUID), nullable=False),
    sa.Column("engine", sa.String(64), nullable=False),  # digest
    sa.Column("outcome", _name_of(Reason)),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("scalars", sa.Text, nullable=False),  # JSON
    sa.Column("path", sa.Text),  # .npz of the arrays, or None where there are none
    sa.Column("made_at", UTCDateTime, nullable=False),
    sa.UniqueConstraint("SOPInstanceUID", "engine"),
)

reports = sa.Table(
    "reports",
    metadata,
    sa.Column("SOPInstanceUID", _uid(), primary_key=True),
    sa.Column("kind", _name_of(ObjectKind), nullable=False, server_default=ObjectKind.SR.name),
    sa.Column("SOPClassUID", _uid(), nullable=False),
    sa.Column("StudyInstanceUID", sa.ForeignKey(studies.c.StudyInstanceUID), nullable=False, index=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("made_at", UTCDateTime, nullable=False),
    # made before its study was released from quarantine, and not again since: it is sent no more
    sa.Column("is_withdrawn", sa.Boolean, nullable=False, server_default=sa.false()),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("SOPInstanceUID", sa.ForeignKey(reports.c.SOPInstanceUID), nullable=False),
    sa.Column("state", _name_of(DeliveryState), nullable=False, index=True),
    sa.Column("attempts", sa.Integer, nullable=False),  # also fences off a sender whose lease ran out
    sa.Column("next_attempt_at", UTCDateTime, nullable=False),
    sa.Column("leased_until", UTCDateTime),
    sa.Column("worker", sa.Text),
    sa.Column("last_error", sa.Text, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("sent_at", UTCDateTime),
    sa.Column("confirm_at", UTCDateTime),
    sa.Column("asks", sa.Integer, nullable=False, server_default="0"),
    sa.Column("TransactionUID", _uid(), index=True),
    sa.Column("committed_at", UTCDateTime),
    sa.UniqueConstraint("destination", "SOPInstanceUID"),
)

# Who accepted or rejected which results, and why. Rows are added, never changed.
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("StudyInstanceUID", sa.ForeignKey(studies.c.StudyInstanceUID), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),  # of the results
    sa.Column("kind", _name_of(DecisionKind), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("organization", sa.Text, nullable=False),
    sa.Column("code_value", sa.Text),
    sa.Column("code_scheme", sa.Text),
    sa.Column("code_meaning", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("made_at", UTCDateTime, nullable=False),
    sa.UniqueConstraint("StudyInstanceUID", "revision", "kind"),
)

decision_objects = sa.Table(
    "decision_objects",
    metadata,
    sa.Column("decision", sa.ForeignKey(decisions.c.id), primary_key=True),
    sa.Column("SOPInstanceUID", sa.ForeignKey(reports.c.SOPInstanceUID), primary_key=True),
    sa.Column("is_made", sa.Boolean, nullable=False),  # brought about by the decision, or else decided on
)

# Who released which study from quarantine, for which patient, and why. Rows are added, never changed.
releases = sa.Table(
    "releases",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("StudyInstanceUID", sa.ForeignKey(studies.c.StudyInstanceUID), nullable=False, index=True),
    sa.Column("revision", sa.Integer, nullable=False),  # to which the study had come
    sa.Column("PatientID", sa.Text, nullable=False),
    sa.Column("PatientBirthDate", sa.String(8)),
    sa.Column("is_other_patient", sa.Boolean, nullable=False),  # than that of the results until then
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("made_at", UTCDateTime, nullable=False),
)


def _number() -> list[sa.Column[Any]]:
    """What was measured, how, where, and how much."""
    return [
        sa.Column("quantity", _name_of(Quantity), nullable=False),
        sa.Column("method", _name_of(Method)),
        sa.Column("view", _name_of(View)),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("unit", _name_of(Unit), nullable=False),
    ]


# Structured reports in which carts say what was measured on them
cart_reports = sa.Table(
    "cart_reports",
    metadata,
    sa.Column("SOPInstanceUID", sa.ForeignKey(instances.c.SOPInstanceUID), primary_key=True),
    sa.Column("StudyInstanceUID", sa.ForeignKey(studies.c.StudyInstanceUID), nullable=False, index=True),
    sa.Column("Manufacturer", sa.Text, nullable=False),
    sa.Column("ManufacturerModelName", sa.Text, nullable=False),
    sa.Column("made_at", UTCDateTime),  # None where the report does not say
    sa.Column("read_at", UTCDateTime, nullable=False),
)

cart_predecessors = sa.Table(
    "cart_predecessors",
    metadata,
    sa.Column("SOPInstanceUID", sa.ForeignKey(cart_reports.c.SOPInstanceUID), primary_key=True),
    sa.Column("predecessor", _uid(), primary_key=True, index=True),  # it may come later, or never
)

cart_values = sa.Table(
    "cart_values",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("SOPInstanceUID", sa.ForeignKey(cart_reports.c.SOPInstanceUID), nullable=False, index=True),
    *_number(),
    sa.Column("otherwise", sa.Text, nullable=False),  # a method, view or mode that the node does not have
)

# What the node measured and no person touched, for every revision that was reported
own_values = sa.Table(
    "own_values",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("StudyInstanceUID", sa.ForeignKey(studies.c.StudyInstanceUID), nullable=False, index=True),
    sa.Column("revision", sa.Integer, nullable=False),
    *_number(),
    sa.Column("engine", sa.Text, nullable=False),  # name and version
)
