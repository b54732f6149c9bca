"""What people look for is found by an index: an object's own events, a digest, and how many files
an object has. Two indexes make way for wider ones that begin as they did."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

NOT_OF_FILES = sa.text("generic_file_id IS NULL")
OWNER = "intellectual_object_id"


def upgrade() -> None:
    op.create_index("ix_generic_files_counted", "generic_files", [OWNER, "id", "state", "size"])
    op.drop_index(f"ix_generic_files_{OWNER}", "generic_files")
    op.create_index(f"ix_premis_events_{OWNER}_id", "premis_events", [OWNER, "id"])
    op.drop_index(f"ix_premis_events_{OWNER}", "premis_events")
    op.create_index(
        "ix_premis_events_of_objects",
        "premis_events",
        [OWNER, "id"],
        sqlite_where=NOT_OF_FILES,
        postgresql_where=NOT_OF_FILES,
    )
    beginning = sa.text("substr(digest, 1, 16)")
    op.create_index("ix_checksums_digest_begins", "checksums", [beginning, "generic_file_id"])


def downgrade() -> None:
    op.drop_index("ix_checksums_digest_begins", "checksums")
    op.drop_index("ix_premis_events_of_objects", "premis_events")
    op.create_index(f"ix_premis_events_{OWNER}", "premis_events", [OWNER])
    op.drop_index(f"ix_premis_events_{OWNER}_id", "premis_events")
    op.create_index(f"ix_generic_files_{OWNER}", "generic_files", [OWNER])
    op.drop_index("ix_generic_files_counted", "generic_files")
