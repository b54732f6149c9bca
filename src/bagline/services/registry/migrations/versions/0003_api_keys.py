"""Several keys a user: made, used and revoked each at its time. The role `worker` needs no
change of the schema."""

import sqlalchemy as sa
from alembic import op

from bagline.services.registry import tables

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
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
    op.execute(
        "INSERT INTO api_keys (user_id, key_hash, created_at) "
        "SELECT id, key_hash, created_at FROM api_users"
    )
    with op.batch_alter_table("api_users") as table:
        table.drop_column("key_hash")


def downgrade() -> None:
    with op.batch_alter_table("api_users") as table:
        table.add_column(
            sa.Column("key_hash", sa.String(length=64), nullable=False, server_default="")
        )
    op.execute(
        "UPDATE api_users SET key_hash = (SELECT key_hash FROM api_keys WHERE user_id = "
        "api_users.id AND revoked_at IS NULL ORDER BY api_keys.id DESC LIMIT 1) "
        "WHERE id IN (SELECT user_id FROM api_keys WHERE revoked_at IS NULL)"
    )
    op.drop_index(op.f("ix_api_keys_user_id"), table_name="api_keys")
    op.drop_table("api_keys")
