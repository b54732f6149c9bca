"""Requests for deletion, what of each file goes, and the certificates of what went."""

import sqlalchemy as sa
from alembic import op

from bagline.services.registry import tables

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def _id(name: str, *, nullable: bool = False, default: str | None = None) -> "sa.Column[int]":
    return sa.Column(name, tables.Id, nullable=nullable, server_default=default)


def _time(name: str) -> "sa.Column[str]":
    return sa.Column(name, tables.WireTime(timezone=True), nullable=True)


def _words(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def _refers(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=op.f(f"fk_{table}_{column}"))


def upgrade() -> None:
    name = "deletion_requests"
    op.create_table(
        name,
        _id("id"),
        _id("institution_id"),
        _id("requested_by_id", nullable=True),
        _time("requested_at"),
        sa.Column(
            "encrypted_confirmation_token", sa.String(length=64), nullable=False, server_default=""
        ),
        _id("reviewer_id", default="0"),
        _time("token_until"),
        _id("confirmed_by_id", nullable=True),
        _time("confirmed_at"),
        _id("cancelled_by_id", nullable=True),
        _time("cancelled_at"),
        _time("begins_at"),
        _words("reason"),
        _words("cancel_reason"),
        _refers(name, "institution_id", "institutions"),
        _refers(name, "requested_by_id", "api_users"),
        _refers(name, "confirmed_by_id", "api_users"),
        _refers(name, "cancelled_by_id", "api_users"),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
    )
    op.create_index(op.f(f"ix_{name}_institution_id"), name, ["institution_id"])
    for table, column in (
        ("generic_files", "generic_file_id"),
        ("intellectual_objects", "intellectual_object_id"),
    ):
        listed = f"{name}_{table}"
        op.create_table(
            listed,
            _id("deletion_request_id"),
            _id(column),
            _refers(listed, "deletion_request_id", name),
            _refers(listed, column, table),
            sa.PrimaryKeyConstraint("deletion_request_id", column, name=op.f(f"pk_{listed}")),
        )
        op.create_index(op.f(f"ix_{listed}_{column}"), listed, [column])
    op.create_table(
        "file_deletions",
        _id("work_item_id"),
        _id("generic_file_id"),
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digests", sa.JSON(), nullable=False),
        sa.Column("urls", sa.JSON(), nullable=False),
        _time("doomed_at"),
        _time("deleted_at"),
        _refers("file_deletions", "work_item_id", "work_items"),
        _refers("file_deletions", "generic_file_id", "generic_files"),
        sa.PrimaryKeyConstraint("work_item_id", "generic_file_id", name=op.f("pk_file_deletions")),
    )
    in_hand = sa.text("deleted_at IS NULL")
    op.create_index(
        "ix_file_deletions_in_hand",
        "file_deletions",
        ["generic_file_id"],
        sqlite_where=in_hand,
        postgresql_where=in_hand,
    )
    op.create_table(
        "deletion_certificates",
        _id("work_item_id"),
        _id("deletion_request_id"),
        _id("institution_id"),
        sa.Column("document", sa.JSON(), nullable=False),
        _refers("deletion_certificates", "work_item_id", "work_items"),
        _refers("deletion_certificates", "institution_id", "institutions"),
        sa.PrimaryKeyConstraint("work_item_id", name=op.f("pk_deletion_certificates")),
    )
    op.create_index(
        op.f("ix_deletion_certificates_deletion_request_id"),
        "deletion_certificates",
        ["deletion_request_id"],
    )


def downgrade() -> None:
    for name in (
        "deletion_certificates",
        "file_deletions",
        "deletion_requests_intellectual_objects",
        "deletion_requests_generic_files",
        "deletion_requests",
    ):
        op.drop_table(name)
