"""Copies that are being put right: an ingest of their object stores nothing meanwhile."""

import sqlalchemy as sa
from alembic import op

from bagline.services.registry import tables

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "copy_repairs",
        sa.Column("storage_record_id", tables.Id, nullable=False),
        sa.Column("intellectual_object_id", tables.Id, nullable=False),
        sa.Column("held_by", sa.String(length=36), nullable=False),
        sa.Column("held_until", tables.WireTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("storage_record_id", name=op.f("pk_copy_repairs")),
    )
    op.create_index(
        op.f("ix_copy_repairs_intellectual_object_id"), "copy_repairs", ["intellectual_object_id"]
    )

    op.create_index(
        "ix_storage_records_bad",
        "storage_records",
        ["place", "proven_at"],
        sqlite_where=tables.BAD_COPIES,
        postgresql_where=tables.BAD_COPIES,
    )

    for name in ("unanswered", "reserved"):
        column = sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
        op.add_column("fixity_runs", column)
    # In the order in which copies are taken; of those that were never proven by their id.
    op.drop_index("ix_storage_records_place_proven_at", table_name="storage_records")
    op.create_index(
        op.f("ix_storage_records_place_proven_at_id"),
        "storage_records",
        ["place", "proven_at", "id"],
    )
    op.add_column("fixity_runs", sa.Column("cost", sa.Float(), nullable=False, server_default="0"))
    op.add_column(
        "fixity_runs",
        sa.Column("currency", sa.String(length=10), nullable=False, server_default=""),
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_storage_records_place_proven_at_id"), table_name="storage_records")
    op.create_index("ix_storage_records_place_proven_at", "storage_records", ["place", "proven_at"])
    for name in ("currency", "cost", "reserved", "unanswered"):
        op.drop_column("fixity_runs", name)
    op.drop_index("ix_storage_records_bad", table_name="storage_records")
    op.drop_table("copy_repairs")
