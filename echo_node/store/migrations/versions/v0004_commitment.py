"""The outbox knows whether an archive has confirmed what it was sent."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What was sent before is not asked about: nobody knows whether the archive would answer."""
    op.add_column("outbox", sa.Column("confirm_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("outbox", sa.Column("asks", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("outbox", sa.Column("TransactionUID", sa.String(length=64), nullable=True))
    op.add_column("outbox", sa.Column("committed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_outbox_TransactionUID"), "outbox", ["TransactionUID"], unique=False)
