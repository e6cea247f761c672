"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "instances_aside",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("SOPInstanceUID", sa.String(length=64), nullable=False),
        sa.Column("SOPClassUID", sa.String(length=64), nullable=False),
        sa.Column("StudyInstanceUID", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("source_ae", sa.Text(), nullable=False),
        sa.Column("source_host", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instances_aside")),
        sa.UniqueConstraint("path", name=op.f("uq_instances_aside_path")),
    )
    op.create_index(op.f("ix_instances_aside_SOPInstanceUID"), "instances_aside", ["SOPInstanceUID"], unique=False)
    op.create_index(op.f("ix_instances_aside_sha256"), "instances_aside", ["sha256"], unique=False)
    op.create_table(
        "studies",
        sa.Column("StudyInstanceUID", sa.String(length=64), nullable=False),
        sa.Column("PatientID", sa.Text(), nullable=False),
        sa.Column("source_ae", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("closed_because", sa.String(length=40), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("association_ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("StudyInstanceUID", name=op.f("pk_studies")),
    )
    op.create_index(op.f("ix_studies_state"), "studies", ["state"], unique=False)
    op.create_table(
        "instances",
        sa.Column("SOPInstanceUID", sa.String(length=64), nullable=False),
        sa.Column("SOPClassUID", sa.String(length=64), nullable=False),
        sa.Column("SeriesInstanceUID", sa.String(length=64), nullable=False),
        sa.Column("StudyInstanceUID", sa.String(length=64), nullable=False),
        sa.Column("PatientID", sa.Text(), nullable=False),
        sa.Column("TransferSyntaxUID", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("source_ae", sa.Text(), nullable=False),
        sa.Column("source_host", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(
            ["StudyInstanceUID"], ["studies.StudyInstanceUID"], name=op.f("fk_instances_StudyInstanceUID")
        ),
        sa.PrimaryKeyConstraint("SOPInstanceUID", name=op.f("pk_instances")),
        sa.UniqueConstraint("path", name=op.f("uq_instances_path")),
    )
    op.create_index(op.f("ix_instances_StudyInstanceUID"), "instances", ["StudyInstanceUID"], unique=False)
    op.create_index(op.f("ix_instances_sha256"), "instances", ["sha256"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("StudyInstanceUID", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease", sa.String(length=32), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["StudyInstanceUID"], ["studies.StudyInstanceUID"], name=op.f("fk_jobs_StudyInstanceUID")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("kind", "target", "revision", name=op.f("uq_jobs_kind")),
    )
    op.create_index(op.f("ix_jobs_StudyInstanceUID"), "jobs", ["StudyInstanceUID"], unique=False)
    op.create_index(op.f("ix_jobs_state"), "jobs", ["state"], unique=False)
    op.create_table(
        "reports",
        sa.Column("SOPInstanceUID", sa.String(length=64), nullable=False),
        sa.Column("SOPClassUID", sa.String(length=64), nullable=False),
        sa.Column("StudyInstanceUID", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["StudyInstanceUID"], ["studies.StudyInstanceUID"], name=op.f("fk_reports_StudyInstanceUID")
        ),
        sa.PrimaryKeyConstraint("SOPInstanceUID", name=op.f("pk_reports")),
    )
    op.create_index(op.f("ix_reports_StudyInstanceUID"), "reports", ["StudyInstanceUID"], unique=False)
    op.create_table(
        "analyses",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("SOPInstanceUID", sa.String(length=64), nullable=False),
        sa.Column("engine", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("scalars", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["SOPInstanceUID"], ["instances.SOPInstanceUID"], name=op.f("fk_analyses_SOPInstanceUID")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_analyses")),
        sa.UniqueConstraint("SOPInstanceUID", "engine", name=op.f("uq_analyses_SOPInstanceUID")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("SOPInstanceUID", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["SOPInstanceUID"], ["reports.SOPInstanceUID"], name=op.f("fk_outbox_SOPInstanceUID")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("destination", "SOPInstanceUID", name=op.f("uq_outbox_destination")),
    )
    op.create_index(op.f("ix_outbox_state"), "outbox", ["state"], unique=False)
