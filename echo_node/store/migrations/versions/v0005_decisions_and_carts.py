"""Persons' decisions on results, and the numbers of carts beside the node's own."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What was reported before has no numbers here: they come with a study's next report."""
    _decisions()
    _carts()
    _own()


def _uid(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=64), nullable=nullable)


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer(), nullable=False),
        _uid("StudyInstanceUID"),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("organization", sa.Text(), nullable=False),
        sa.Column("code_value", sa.Text(), nullable=True),
        sa.Column("code_scheme", sa.Text(), nullable=True),
        sa.Column("code_meaning", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["StudyInstanceUID"], ["studies.StudyInstanceUID"], name=op.f("fk_decisions_StudyInstanceUID")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
        sa.UniqueConstraint("StudyInstanceUID", "revision", "kind", name=op.f("uq_decisions_StudyInstanceUID")),
    )
    op.create_table(
        "decision_objects",
        sa.Column("decision", sa.Integer(), nullable=False),
        _uid("SOPInstanceUID"),
        sa.Column("is_made", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["decision"], ["decisions.id"], name=op.f("fk_decision_objects_decision")),
        sa.ForeignKeyConstraint(
            ["SOPInstanceUID"], ["reports.SOPInstanceUID"], name=op.f("fk_decision_objects_SOPInstanceUID")
        ),
        sa.PrimaryKeyConstraint("decision", "SOPInstanceUID", name=op.f("pk_decision_objects")),
    )


def _carts() -> None:
    op.create_table(
        "cart_reports",
        _uid("SOPInstanceUID"),
        _uid("StudyInstanceUID"),
        sa.Column("Manufacturer", sa.Text(), nullable=False),
        sa.Column("ManufacturerModelName", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["SOPInstanceUID"], ["instances.SOPInstanceUID"], name=op.f("fk_cart_reports_SOPInstanceUID")
        ),
        sa.ForeignKeyConstraint(
            ["StudyInstanceUID"], ["studies.StudyInstanceUID"], name=op.f("fk_cart_reports_StudyInstanceUID")
        ),
        sa.PrimaryKeyConstraint("SOPInstanceUID", name=op.f("pk_cart_reports")),
    )
    op.create_index(op.f("ix_cart_reports_StudyInstanceUID"), "cart_reports", ["StudyInstanceUID"], unique=False)
    op.create_table(
        "cart_predecessors",
        _uid("SOPInstanceUID"),
        _uid("predecessor"),
        sa.ForeignKeyConstraint(
            ["SOPInstanceUID"], ["cart_reports.SOPInstanceUID"], name=op.f("fk_cart_predecessors_SOPInstanceUID")
        ),
        sa.PrimaryKeyConstraint("SOPInstanceUID", "predecessor", name=op.f("pk_cart_predecessors")),
    )
    op.create_index(op.f("ix_cart_predecessors_predecessor"), "cart_predecessors", ["predecessor"], unique=False)
    op.create_table(
        "cart_values",
        sa.Column("id", sa.Integer(), nullable=False),
        _uid("SOPInstanceUID"),
        *_number(),
        sa.Column("otherwise", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["SOPInstanceUID"], ["cart_reports.SOPInstanceUID"], name=op.f("fk_cart_values_SOPInstanceUID")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cart_values")),
    )
    op.create_index(op.f("ix_cart_values_SOPInstanceUID"), "cart_values", ["SOPInstanceUID"], unique=False)


def _own() -> None:
    op.create_table(
        "own_values",
        sa.Column("id", sa.Integer(), nullable=False),
        _uid("StudyInstanceUID"),
        sa.Column("revision", sa.Integer(), nullable=False),
        *_number(),
        sa.Column("engine", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["StudyInstanceUID"], ["studies.StudyInstanceUID"], name=op.f("fk_own_values_StudyInstanceUID")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_own_values")),
    )
    op.create_index(op.f("ix_own_values_StudyInstanceUID"), "own_values", ["StudyInstanceUID"], unique=False)


def _number() -> list[sa.Column[Any]]:
    return [
        sa.Column("quantity", sa.String(length=40), nullable=False),
        sa.Column("method", sa.String(length=40), nullable=True),
        sa.Column("view", sa.String(length=40), nullable=True),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("unit", sa.String(length=40), nullable=False),
    ]
