"""Identifiers of files are in the order of their bytes, as SQLite has them anyhow: so an object's
files lie side by side in the one index that there is, and can be gone through from any of them."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _collate("C")


def downgrade() -> None:
    _collate("default")


def _collate(collation: str) -> None:
    # The table stays as it is; PostgreSQL makes the index anew.
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE generic_files ALTER COLUMN identifier "
            f'SET DATA TYPE TEXT COLLATE "{collation}"'
        )
