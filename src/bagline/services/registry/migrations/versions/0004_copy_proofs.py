"""By what each copy of a preserved file was last known to be sound, and when."""

import sqlalchemy as sa
from alembic import op

from bagline.services.registry import tables

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "storage_records",
        sa.Column("proven_by", sa.String(length=60), nullable=False, server_default=""),
    )
    op.add_column(
        "storage_records",
        sa.Column("proven_at", tables.WireTime(timezone=True), nullable=True),
    )


def downgrade() -> None:
    op.drop_column("storage_records", "proven_at")
    op.drop_column("storage_records", "proven_by")
