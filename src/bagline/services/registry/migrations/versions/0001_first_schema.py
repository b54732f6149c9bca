"""The first schema."""

import sqlalchemy as sa
from alembic import op

from bagline.services.registry import tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "institutions",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("identifier", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=1), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("receiving_bucket", sa.String(length=255), nullable=False),
        sa.Column("restore_bucket", sa.String(length=255), nullable=False),
        sa.Column("otp_enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("updated_at", tables.WireTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_institutions")),
        sa.UniqueConstraint("identifier", name=op.f("uq_institutions_identifier")),
    )
    op.create_table(
        "intellectual_objects",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("access", sa.String(length=20), nullable=False),
        sa.Column("alt_identifier", sa.Text(), nullable=False),
        sa.Column("bag_group_identifier", sa.Text(), nullable=False),
        sa.Column("bagit_profile_identifier", sa.Text(), nullable=False),
        sa.Column("bag_name", sa.Text(), nullable=False),
        sa.Column("created_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("etag", sa.String(length=80), nullable=False),
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("internal_sender_description", sa.Text(), nullable=False),
        sa.Column("internal_sender_identifier", sa.Text(), nullable=False),
        sa.Column("institution_id", tables.Id, nullable=False),
        sa.Column("source_organization", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=1), nullable=False),
        sa.Column("storage_option", sa.String(length=60), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("updated_at", tables.WireTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["institution_id"],
            ["institutions.id"],
            name=op.f("fk_intellectual_objects_institution_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intellectual_objects")),
        sa.UniqueConstraint("identifier", name=op.f("uq_intellectual_objects_identifier")),
    )
    op.create_table(
        "work_items",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("aptrust_approver", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("bag_date", tables.WireTime(timezone=True), nullable=True),
        sa.Column("bucket", sa.String(length=255), nullable=False),
        sa.Column("created_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("date_processed", tables.WireTime(timezone=True), nullable=True),
        sa.Column("deletion_request_id", tables.Id, nullable=False),
        sa.Column("etag", sa.String(length=80), nullable=False),
        sa.Column("generic_file_id", tables.Id, nullable=False),
        sa.Column("generic_file_identifier", sa.Text(), nullable=False),
        sa.Column("inst_approver", sa.String(length=255), nullable=False),
        sa.Column("institution_id", tables.Id, nullable=False),
        sa.Column("intellectual_object_id", tables.Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("needs_admin_review", sa.Boolean(), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("object_identifier", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("queued_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("retry", sa.Boolean(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.String(length=60), nullable=False),
        sa.Column("stage_started_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("storage_option", sa.String(length=60), nullable=False),
        sa.Column("updated_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("user", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["institution_id"], ["institutions.id"], name=op.f("fk_work_items_institution_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_items")),
    )
    op.create_index(
        op.f("ix_work_items_institution_id_name"),
        "work_items",
        ["institution_id", "name"],
        unique=False,
    )
    op.create_index(
        op.f("ix_work_items_status_stage"), "work_items", ["status", "stage"], unique=False
    )
    op.create_table(
        "generic_files",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("created_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("file_format", sa.String(length=255), nullable=False),
        sa.Column("file_modified", tables.WireTime(timezone=True), nullable=True),
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("institution_id", tables.Id, nullable=False),
        sa.Column("intellectual_object_id", tables.Id, nullable=False),
        sa.Column("last_fixity_check", tables.WireTime(timezone=True), nullable=True),
        sa.Column("mtime", tables.WireTime(timezone=True), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=1), nullable=False),
        sa.Column("storage_option", sa.String(length=60), nullable=False),
        sa.Column("updated_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["institution_id"], ["institutions.id"], name=op.f("fk_generic_files_institution_id")
        ),
        sa.ForeignKeyConstraint(
            ["intellectual_object_id"],
            ["intellectual_objects.id"],
            name=op.f("fk_generic_files_intellectual_object_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_generic_files")),
        sa.UniqueConstraint("identifier", name=op.f("uq_generic_files_identifier")),
        sa.UniqueConstraint("uuid", name=op.f("uq_generic_files_uuid")),
    )
    op.create_index(
        op.f("ix_generic_files_intellectual_object_id"),
        "generic_files",
        ["intellectual_object_id"],
        unique=False,
    )
    op.create_table(
        "ingest_reports",
        sa.Column("work_item_id", tables.Id, nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_ingest_reports_work_item_id")
        ),
        sa.PrimaryKeyConstraint("work_item_id", name=op.f("pk_ingest_reports")),
    )
    op.create_table(
        "work_item_problems",
        sa.Column("work_item_id", tables.Id, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=12), nullable=False),
        sa.Column("severity", sa.String(length=12), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_work_item_problems_work_item_id")
        ),
        sa.PrimaryKeyConstraint("work_item_id", "position", name=op.f("pk_work_item_problems")),
    )
    op.create_table(
        "checksums",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("algorithm", sa.String(length=20), nullable=False),
        sa.Column("digest", sa.String(length=128), nullable=False),
        sa.Column("datetime", tables.WireTime(timezone=True), nullable=True),
        sa.Column("generic_file_id", tables.Id, nullable=False),
        sa.Column("created_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("updated_at", tables.WireTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["generic_file_id"], ["generic_files.id"], name=op.f("fk_checksums_generic_file_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checksums")),
    )
    op.create_index(
        op.f("ix_checksums_generic_file_id"), "checksums", ["generic_file_id"], unique=False
    )
    op.create_table(
        "premis_events",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("created_at", tables.WireTime(timezone=True), nullable=True),
        sa.Column("date_time", tables.WireTime(timezone=True), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("event_type", sa.String(length=60), nullable=False),
        sa.Column("generic_file_id", tables.Id, nullable=True),
        sa.Column("identifier", sa.String(length=36), nullable=False),
        sa.Column("institution_id", tables.Id, nullable=False),
        sa.Column("intellectual_object_id", tables.Id, nullable=True),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("outcome_detail", sa.Text(), nullable=False),
        sa.Column("outcome_information", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("updated_at", tables.WireTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["generic_file_id"], ["generic_files.id"], name=op.f("fk_premis_events_generic_file_id")
        ),
        sa.ForeignKeyConstraint(
            ["institution_id"], ["institutions.id"], name=op.f("fk_premis_events_institution_id")
        ),
        sa.ForeignKeyConstraint(
            ["intellectual_object_id"],
            ["intellectual_objects.id"],
            name=op.f("fk_premis_events_intellectual_object_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_premis_events")),
        sa.UniqueConstraint("identifier", name=op.f("uq_premis_events_identifier")),
    )
    op.create_index(
        op.f("ix_premis_events_generic_file_id"), "premis_events", ["generic_file_id"], unique=False
    )
    op.create_index(
        op.f("ix_premis_events_intellectual_object_id"),
        "premis_events",
        ["intellectual_object_id"],
        unique=False,
    )
    op.create_table(
        "storage_records",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("generic_file_id", tables.Id, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["generic_file_id"],
            ["generic_files.id"],
            name=op.f("fk_storage_records_generic_file_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storage_records")),
        sa.UniqueConstraint(
            "generic_file_id", "url", name=op.f("uq_storage_records_generic_file_id_url")
        ),
    )


def downgrade() -> None:
    op.drop_table("storage_records")
    op.drop_index(op.f("ix_premis_events_intellectual_object_id"), table_name="premis_events")
    op.drop_index(op.f("ix_premis_events_generic_file_id"), table_name="premis_events")
    op.drop_table("premis_events")
    op.drop_index(op.f("ix_checksums_generic_file_id"), table_name="checksums")
    op.drop_table("checksums")
    op.drop_table("work_item_problems")
    op.drop_table("ingest_reports")
    op.drop_index(op.f("ix_generic_files_intellectual_object_id"), table_name="generic_files")
    op.drop_table("generic_files")
    op.drop_index(op.f("ix_work_items_status_stage"), table_name="work_items")
    op.drop_index(op.f("ix_work_items_institution_id_name"), table_name="work_items")
    op.drop_table("work_items")
    op.drop_table("intellectual_objects")
    op.drop_table("institutions")
