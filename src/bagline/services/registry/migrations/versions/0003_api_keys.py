"""Several keys a user: made, used and revoked each at its time. The role `worker` needs no
change of the schema."""

import sqlalchemy as sa
from alembic import op

from bagline.services.registry import tables

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


_keys = sa.table("api_keys", sa.column("user_id"), sa.column("key_hash"), sa.column("created_at"))


def upgrade() -> None:
    # SQLite changes a table by making it anew, which nothing may refer to meanwhile.
    query = sa.text("SELECT id, key_hash, created_at FROM api_users")
    known = [tuple(row) for row in op.get_bind().execute(query)]
    with op.batch_alter_table("api_users") as table:
        table.drop_column("key_hash")
    op.create_table(
        "api_keys",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("user_id", tables.Id, nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("last_used_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("revoked_at", tables.WireTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["api_users.id"], name=op.f("fk_api_keys_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
    )
    op.create_index(op.f("ix_api_keys_user_id"), "api_keys", ["user_id"], unique=False)
    if known:
        names = ("user_id", "key_hash", "created_at")
        op.bulk_insert(_keys, [dict(zip(names, row, strict=True)) for row in known])


def downgrade() -> None:
    # Of several keys the newest stays; a user without one gets a hash that no key has.
    query = sa.text("SELECT user_id, key_hash FROM api_keys WHERE revoked_at IS NULL ORDER BY id")
    known = {row[0]: row[1] for row in op.get_bind().execute(query)}
    op.drop_index(op.f("ix_api_keys_user_id"), table_name="api_keys")
    op.drop_table("api_keys")
    with op.batch_alter_table("api_users") as table:
        table.add_column(
            sa.Column("key_hash", sa.String(length=64), nullable=False, server_default="")
        )
    for user_id, key_hash in known.items():
        op.execute(
            sa.text("UPDATE api_users SET key_hash = :hash WHERE id = :id").bindparams(
                hash=key_hash, id=user_id
            )
        )
