"""That a deletion has begun stands in a row of its own; who wrote a request down for somebody."""

import sqlalchemy as sa
from alembic import op

from bagline.services.registry import tables

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

CHANGING = "Preserved copies are being changed"
"""The outcome of a deletion that had begun."""


def upgrade() -> None:
    name = "begun_deletions"
    op.create_table(
        name,
        sa.Column("work_item_id", tables.Id, nullable=False),
        sa.Column("institution_id", tables.Id, nullable=False),
        sa.Column("is_anothers", sa.Boolean(), nullable=False),
        sa.Column("begun_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("ended_at", tables.WireTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f(f"fk_{name}_work_item_id")
        ),
        sa.ForeignKeyConstraint(
            ["institution_id"], ["institutions.id"], name=op.f(f"fk_{name}_institution_id")
        ),
        sa.PrimaryKeyConstraint("work_item_id", name=op.f(f"pk_{name}")),
    )
    in_hand = sa.text("ended_at IS NULL")
    op.create_index(
        "ix_begun_deletions_in_hand",
        name,
        ["institution_id"],
        sqlite_where=in_hand,
        postgresql_where=in_hand,
    )
    op.execute(
        sa.text(
            "INSERT INTO begun_deletions "
            "(work_item_id, institution_id, is_anothers, begun_at, ended_at) "
            "SELECT id, institution_id, :no, updated_at, "
            "CASE WHEN EXISTS (SELECT 1 FROM deletion_certificates "
            "WHERE work_item_id = work_items.id) THEN updated_at END "
            "FROM work_items WHERE action = 'Delete' AND (outcome = :changing "
            "OR EXISTS (SELECT 1 FROM deletion_certificates WHERE work_item_id = work_items.id) "
            "OR EXISTS (SELECT 1 FROM file_deletions WHERE work_item_id = work_items.id))"
        ).bindparams(sa.bindparam("no", False, sa.Boolean()), changing=CHANGING)
    )
    with op.batch_alter_table("deletion_requests") as batch:
        batch.add_column(sa.Column("written_by_id", tables.Id, nullable=True))
        batch.create_foreign_key(
            op.f("fk_deletion_requests_written_by_id"), "api_users", ["written_by_id"], ["id"]
        )


def downgrade() -> None:
    with op.batch_alter_table("deletion_requests") as batch:
        batch.drop_constraint(op.f("fk_deletion_requests_written_by_id"), type_="foreignkey")
        batch.drop_column("written_by_id")
    op.drop_table("begun_deletions")
