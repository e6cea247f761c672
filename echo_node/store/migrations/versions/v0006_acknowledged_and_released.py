"""Persons' words on what is set aside: objects acknowledged, studies released from quarantine."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nobody has acknowledged or released anything before. The default stays: SQLite drops none in place."""
    op.add_column("instances_aside", sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("instances_aside", sa.Column("acknowledged_by", sa.Text(), nullable=True))
    op.add_column("instances_aside", sa.Column("acknowledged_because", sa.Text(), nullable=True))
    op.add_column("reports", sa.Column("is_withdrawn", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "releases",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("StudyInstanceUID", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("PatientID", sa.Text(), nullable=False),
        sa.Column("PatientBirthDate", sa.String(length=8), nullable=True),
        sa.Column("is_other_patient", sa.Boolean(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["StudyInstanceUID"], ["studies.StudyInstanceUID"], name=op.f("fk_releases_StudyInstanceUID")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_releases")),
    )
    op.create_index(op.f("ix_releases_StudyInstanceUID"), "releases", ["StudyInstanceUID"], unique=False)
