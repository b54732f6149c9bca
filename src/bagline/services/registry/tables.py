"""The Registry's tables. Names and meanings of columns are contract D's.

Times are stored as UTC with microseconds; the zero time is NULL. Sizes are bytes.
`work_item_problems`, `ingest_reports`, `bag_forms`, `copy_repairs`, `fixity_runs`, `spot_tests`,
`api_users` and `api_keys` are Bagline's own, and so is of `storage_records` all but the URL.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    literal_column,
    text,
)
from sqlalchemy.types import TypeDecorator

from bagline.model.times import NEVER, Timestamp, from_datetime, is_set, to_datetime


class WireTime(TypeDecorator[Timestamp]):
    """`Timestamp` in the records, a UTC date and time in the database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None or not is_set(value):
            return None
        moment = to_datetime(value).astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: Any, dialect: Dialect) -> Timestamp:  # noqa: ARG002
        return NEVER if value is None else from_datetime(value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts up only an INTEGER key; PostgreSQL wants room for more than 2^31.
Id = BigInteger().with_variant(Integer, "sqlite")


def _text(name: str, length: int = 255) -> Column[str]:
    return Column(name, String(length), nullable=False, default="")


def _time(name: str) -> Column[Timestamp]:
    return Column(name, WireTime)


institutions = Table(
    "institutions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("identifier", String(255), nullable=False, unique=True),
    _text("name"),
    _text("state", 1),
    _text("type", 40),
    _text("receiving_bucket"),
    _text("restore_bucket"),
    Column("otp_enabled", Boolean, nullable=False, default=False),
    _time("created_at"),
    _time("updated_at"),
)

work_items = Table(
    "work_items",
    metadata,
    Column("id", Id, primary_key=True),
    _text("aptrust_approver"),
    _text("action", 40),
    _time("bag_date"),
    _text("bucket"),
    _time("created_at"),
    _time("date_processed"),
    Column("deletion_request_id", Id, nullable=False, default=0),
    _text("etag", 80),
    Column("generic_file_id", Id, nullable=False, default=0),
    Column("generic_file_identifier", Text, nullable=False, default=""),
    _text("inst_approver"),
    Column("institution_id", Id, ForeignKey("institutions.id"), nullable=False),
    Column("intellectual_object_id", Id, nullable=False, default=0),
    Column("name", Text, nullable=False),
    Column("needs_admin_review", Boolean, nullable=False, default=False),
    _text("node"),
    Column("note", Text, nullable=False, default=""),
    Column("object_identifier", Text, nullable=False, default=""),
    Column("outcome", Text, nullable=False, default=""),
    Column("pid", Integer, nullable=False, default=0),
    _time("queued_at"),
    Column("retry", Boolean, nullable=False, default=True),
    Column("size", BigInteger, nullable=False, default=0),
    _text("stage", 60),
    _time("stage_started_at"),
    _text("status", 20),
    _text("storage_option", 60),
    _time("updated_at"),
    _text("user"),
    Index(None, "institution_id", "name"),
    Index(None, "status", "stage"),
)

work_item_problems = Table(
    "work_item_problems",
    metadata,
    Column("work_item_id", Id, ForeignKey("work_items.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    _text("code", 12),
    _text("severity", 12),
    Column("subject", Text, nullable=False),
    Column("message", Text, nullable=False),
)

ingest_reports = Table(
    "ingest_reports",
    metadata,
    Column("work_item_id", Id, ForeignKey("work_items.id"), primary_key=True),
    Column("report", JSON, nullable=False),
)

intellectual_objects = Table(
    "intellectual_objects",
    metadata,
    Column("id", Id, primary_key=True),
    _text("access", 20),
    Column("alt_identifier", Text, nullable=False, default=""),
    Column("bag_group_identifier", Text, nullable=False, default=""),
    Column("bagit_profile_identifier", Text, nullable=False, default=""),
    Column("bag_name", Text, nullable=False, default=""),
    _time("created_at"),
    Column("description", Text, nullable=False, default=""),
    _text("etag", 80),
    Column("identifier", Text, nullable=False, unique=True),
    Column("internal_sender_description", Text, nullable=False, default=""),
    Column("internal_sender_identifier", Text, nullable=False, default=""),
    Column("institution_id", Id, ForeignKey("institutions.id"), nullable=False),
    Column("source_organization", Text, nullable=False, default=""),
    _text("state", 1),
    _text("storage_option", 60),
    Column("title", Text, nullable=False, default=""),
    _time("updated_at"),
)

bag_forms = Table(
    "bag_forms",
    metadata,
    Column("intellectual_object_id", Id, ForeignKey("intellectual_objects.id"), primary_key=True),
    Column("version", Text, nullable=False),
    Column("encoding", Text, nullable=False),
    Column("manifests", JSON, nullable=False),
    Column("tag_manifests", JSON, nullable=False),
)

generic_files = Table(
    "generic_files",
    metadata,
    Column("id", Id, primary_key=True),
    _time("created_at"),
    _text("file_format"),
    _time("file_modified"),
    # In the order of its bytes, in PostgreSQL too (COLLATE "C").
    Column("identifier", Text, nullable=False, unique=True),
    Column("institution_id", Id, ForeignKey("institutions.id"), nullable=False),
    Column("intellectual_object_id", Id, ForeignKey("intellectual_objects.id"), nullable=False),
    _time("last_fixity_check"),
    _time("mtime"),
    Column("size", BigInteger, nullable=False, default=0),
    _text("state", 1),
    _text("storage_option", 60),
    _time("updated_at"),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("raw_path", Text, nullable=False, default="", server_default=""),
    # An object's files in order, and with these columns it also counts them by itself.
    Index("ix_generic_files_counted", "intellectual_object_id", "id", "state", "size"),
)

checksums = Table(
    "checksums",
    metadata,
    Column("id", Id, primary_key=True),
    _text("algorithm", 20),
    _text("digest", 128),
    _time("datetime"),
    Column("generic_file_id", Id, ForeignKey("generic_files.id"), nullable=False, index=True),
    _time("created_at"),
    _time("updated_at"),
)

# Its numbers are part of the statement: an index of an expression is not found by parameters.
beginning_of_digest = func.substr(checksums.c.digest, literal_column("1"), literal_column("16"))
"""By which files are found by a digest, or its beginning (`holdings.DIGEST_BEGINS`)."""
Index("ix_checksums_digest_begins", beginning_of_digest, checksums.c.generic_file_id)

BAD_COPIES = text("outcome IN ('missing', 'wrong', 'unreadable')")
"""As the index of them has it (`copy_checks.BAD`)."""

storage_records = Table(
    "storage_records",
    metadata,
    Column("id", Id, primary_key=True),
    Column("generic_file_id", Id, ForeignKey("generic_files.id"), nullable=False),
    Column("url", Text, nullable=False),
    _text("proven_by", 60),
    _time("proven_at"),
    # `url` up to the key.
    Column("place", Text, nullable=False, default="", server_default=""),
    _time("asked_at"),
    Column("outcome", String(20), nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default=""),
    _time("taken_until"),
    UniqueConstraint("generic_file_id", "url"),
    Index(None, "place", "proven_at", "id"),
    Index(
        "ix_storage_records_bad",
        "place",
        "proven_at",
        sqlite_where=BAD_COPIES,
        postgresql_where=BAD_COPIES,
    ),
)

# A copy that is being put right from another one: its object is left alone until then.
copy_repairs = Table(
    "copy_repairs",
    metadata,
    Column("storage_record_id", Id, primary_key=True),
    Column("intellectual_object_id", Id, nullable=False, index=True),
    _text("held_by", 36),
    _time("held_until"),
)

fixity_runs = Table(
    "fixity_runs",
    metadata,
    Column("id", Id, primary_key=True),
    _time("began_at"),
    _time("ended_at"),
    Column("asked", BigInteger, nullable=False, default=0),
    Column("proven", BigInteger, nullable=False, default=0),
    Column("bad", BigInteger, nullable=False, default=0),
    Column("repaired", BigInteger, nullable=False, default=0),
    Column("passed_over", BigInteger, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("requests", BigInteger, nullable=False, default=0),
    Column("unanswered", BigInteger, nullable=False, server_default="0"),
    Column("reserved", BigInteger, nullable=False, server_default="0"),
    Column("cost", Float, nullable=False, server_default="0"),
    Column("currency", String(10), nullable=False, server_default=""),
)

NOT_OF_FILES = text("generic_file_id IS NULL")
FAILED_CHECKS = text("event_type = 'fixity check' AND outcome = 'Failed'")

premis_events = Table(
    "premis_events",
    metadata,
    Column("id", Id, primary_key=True),
    Column("agent", Text, nullable=False, default=""),
    _time("created_at"),
    _time("date_time"),
    Column("detail", Text, nullable=False, default=""),
    _text("event_type", 60),
    Column("generic_file_id", Id, ForeignKey("generic_files.id"), index=True),
    Column("identifier", String(36), nullable=False, unique=True),
    Column("institution_id", Id, ForeignKey("institutions.id"), nullable=False),
    Column("intellectual_object_id", Id, ForeignKey("intellectual_objects.id")),
    Column("object", Text, nullable=False, default=""),
    Column("outcome_detail", Text, nullable=False, default=""),
    Column("outcome_information", Text, nullable=False, default=""),
    _text("outcome", 20),
    _time("updated_at"),
    Index(None, "intellectual_object_id", "id"),
    # An object has few of its own, and hundreds of thousands of its files.
    Index(
        "ix_premis_events_of_objects",
        "intellectual_object_id",
        "id",
        sqlite_where=NOT_OF_FILES,
        postgresql_where=NOT_OF_FILES,
    ),
    Index(
        "ix_premis_events_failed_fixity",
        "date_time",
        sqlite_where=FAILED_CHECKS,
        postgresql_where=FAILED_CHECKS,
    ),
)

spot_tests = Table(
    "spot_tests",
    metadata,
    Column("id", Id, primary_key=True),
    Column("institution_id", Id, ForeignKey("institutions.id"), nullable=False, index=True),
    Column("object_identifier", Text, nullable=False, default=""),
    _time("began_at"),
    _time("ended_at"),
    _time("held_until"),
    _text("outcome", 20),
    Column("files", BigInteger, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("problems", JSON, nullable=False),
)

api_users = Table(
    "api_users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("email", String(255), nullable=False, unique=True),
    _text("role", 20),
    Column("institution_id", Id, ForeignKey("institutions.id")),
    Column("enabled", Boolean, nullable=False, default=True),
    _time("created_at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("api_users.id"), nullable=False, index=True),
    Column("key_hash", String(64), nullable=False, unique=True),
    _time("created_at"),
    _time("last_used_at"),
    _time("revoked_at"),
)

internal_metadata = Table(
    "internal_metadata",
    metadata,
    Column("id", Id, primary_key=True),
    Column("key", String(255), nullable=False, unique=True),
    Column("value", Text, nullable=False),
    _time("created_at"),
    _time("updated_at"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Id, primary_key=True),
    # None: of all institutions.
    Column("institution_id", Id, ForeignKey("institutions.id"), index=True),
    _text("type", 60),
    _text("subject", 255),
    Column("content", Text, nullable=False, default=""),
    _time("created_at"),
)

alerts_users = Table(
    "alerts_users",
    metadata,
    Column("alert_id", Id, ForeignKey("alerts.id"), primary_key=True),
    Column("user_id", Id, ForeignKey("api_users.id"), primary_key=True, index=True),
    _time("sent_at"),
    _time("read_at"),
)

alerts_premis_events = Table(
    "alerts_premis_events",
    metadata,
    Column("alert_id", Id, ForeignKey("alerts.id"), primary_key=True),
    Column("premis_event_id", Id, ForeignKey("premis_events.id"), primary_key=True, index=True),
)
