"""The paths of files in their bags, where the identifier does not say them byte for byte."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "generic_files", sa.Column("raw_path", sa.Text(), nullable=False, server_default="")
    )


def downgrade() -> None:
    op.drop_column("generic_files", "raw_path")
