"""What was found at each copy, and when it was looked at last; the runs that looked."""

import sqlalchemy as sa
from alembic import op

from bagline.services.registry import tables

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("place", sa.Text(), nullable=False, server_default=""),
        sa.Column("asked_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=False, server_default=""),
        sa.Column("detail", sa.Text(), nullable=False, server_default=""),
        sa.Column("taken_until", tables.WireTime(timezone=True), nullable=True),
    ):
        op.add_column("storage_records", column)
    # A key is a UUID: 36 characters after the last slash.
    op.execute(
        "UPDATE storage_records SET place = substr(url, 1, length(url) - 37) WHERE length(url) > 37"
    )
    op.create_index(
        op.f("ix_storage_records_place_proven_at"), "storage_records", ["place", "proven_at"]
    )
    op.create_table(
        "fixity_runs",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("began_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("ended_at", tables.WireTime(timezone=True), nullable=True),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("asked", "proven", "bad", "repaired", "passed_over", "bytes", "requests")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fixity_runs")),
    )


def downgrade() -> None:
    op.drop_table("fixity_runs")
    op.drop_index(op.f("ix_storage_records_place_proven_at"), table_name="storage_records")
    for name in ("taken_until", "detail", "outcome", "asked_at", "place"):
        op.drop_column("storage_records", name)
