"""A study's PatientBirthDate, by which two patients under one ID are told apart."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0001: studies that are there state none until more of them comes."""
    op.add_column("studies", sa.Column("PatientBirthDate", sa.String(length=8), nullable=True))
