"""The mark that the storage folder bears too: see ``store.mark``."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No mark yet: the first start gives both the same."""
    op.create_table(
        "marks",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_marks")),
    )
