"""How the newest bag of an object came in: bagit.txt, and the algorithms of its manifests."""

import sqlalchemy as sa
from alembic import op

from bagline.services.registry import tables

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bag_forms",
        sa.Column(
            "intellectual_object_id",
            tables.Id,
            sa.ForeignKey("intellectual_objects.id"),
            primary_key=True,
        ),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("encoding", sa.Text(), nullable=False),
        sa.Column("manifests", sa.JSON(), nullable=False),
        sa.Column("tag_manifests", sa.JSON(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("bag_forms")
