"""Objects that were restored to nowhere, and what that showed."""

import sqlalchemy as sa
from alembic import op

from bagline.services.registry import tables

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "spot_tests",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("institution_id", tables.Id, nullable=False),
        sa.Column("object_identifier", sa.Text(), nullable=False),
        sa.Column("began_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("ended_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("held_until", tables.WireTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("problems", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["institution_id"],
            ["institutions.id"],
            name=op.f("fk_spot_tests_institution_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spot_tests")),
    )
    op.create_index(op.f("ix_spot_tests_institution_id"), "spot_tests", ["institution_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_spot_tests_institution_id"), table_name="spot_tests")
    op.drop_table("spot_tests")
