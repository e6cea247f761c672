"""Reports say of which kind they are."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_SEG = "1.2.840.10008.5.1.4.1.1.66.4"


def upgrade() -> None:
    """Until now there were two, each with its SOP class. The default stays: SQLite drops none in place."""
    op.add_column("reports", sa.Column("kind", sa.String(length=40), nullable=False, server_default="SR"))
    reports = sa.table("reports", sa.column("kind"), sa.column("SOPClassUID"))
    op.execute(reports.update().where(reports.c.SOPClassUID == _SEG).values(kind="SEG"))
