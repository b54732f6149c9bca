"""The Registry's tables of deletions. `deletion_requests` and its lists are contract J3's; what of
a file goes (`file_deletions`) and the certificates are Bagline's own."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    String,
    Table,
    Text,
    text,
)

from bagline.services.registry.tables import Id, WireTime, metadata

IN_HAND = text("deleted_at IS NULL")


def _time(name: str) -> Column[str]:
    return Column(name, WireTime)


def _person(name: str) -> Column[int]:
    return Column(name, Id, ForeignKey("api_users.id"))


def _words(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


deletion_requests = Table(
    "deletion_requests",
    metadata,
    Column("id", Id, primary_key=True),
    Column("institution_id", Id, ForeignKey("institutions.id"), nullable=False, index=True),
    _person("requested_by_id"),
    # Who wrote it down, where that was somebody on their behalf.
    _person("written_by_id"),
    _time("requested_at"),
    # Of the token that the reviewer named beside it was given, until it is used.
    Column("encrypted_confirmation_token", String(64), nullable=False, server_default=""),
    Column("reviewer_id", Id, nullable=False, server_default="0"),
    _time("token_until"),
    _person("confirmed_by_id"),
    _time("confirmed_at"),
    _person("cancelled_by_id"),
    _time("cancelled_at"),
    _time("begins_at"),
    _words("reason"),
    _words("cancel_reason"),
)

deletion_requests_generic_files = Table(
    "deletion_requests_generic_files",
    metadata,
    Column("deletion_request_id", Id, ForeignKey("deletion_requests.id"), primary_key=True),
    Column("generic_file_id", Id, ForeignKey("generic_files.id"), primary_key=True, index=True),
)

deletion_requests_intellectual_objects = Table(
    "deletion_requests_intellectual_objects",
    metadata,
    Column("deletion_request_id", Id, ForeignKey("deletion_requests.id"), primary_key=True),
    Column(
        "intellectual_object_id",
        Id,
        ForeignKey("intellectual_objects.id"),
        primary_key=True,
        index=True,
    ),
)

# That a deletion has begun, and so only goes forward: whatever its work item says.
begun_deletions = Table(
    "begun_deletions",
    metadata,
    Column("work_item_id", Id, ForeignKey("work_items.id"), primary_key=True),
    Column("institution_id", Id, ForeignKey("institutions.id"), nullable=False),
    # Another's worker takes copies away by itself, and tells it afterwards.
    Column("is_anothers", Boolean, nullable=False),
    _time("begun_at"),
    _time("ended_at"),
    Index(
        "ix_begun_deletions_in_hand",
        "institution_id",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)

# One row a file of a deletion that has begun; without `deleted_at` some of its copies may stand.
file_deletions = Table(
    "file_deletions",
    metadata,
    Column("work_item_id", Id, ForeignKey("work_items.id"), primary_key=True),
    Column("generic_file_id", Id, ForeignKey("generic_files.id"), primary_key=True),
    Column("identifier", Text, nullable=False),
    Column("uuid", String(36), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("digests", JSON, nullable=False),
    Column("urls", JSON, nullable=False),
    _time("doomed_at"),
    _time("deleted_at"),
    Index(
        "ix_file_deletions_in_hand",
        "generic_file_id",
        sqlite_where=IN_HAND,
        postgresql_where=IN_HAND,
    ),
)

deletion_certificates = Table(
    "deletion_certificates",
    metadata,
    Column("work_item_id", Id, ForeignKey("work_items.id"), primary_key=True),
    Column("deletion_request_id", Id, nullable=False, index=True),
    Column("institution_id", Id, ForeignKey("institutions.id"), nullable=False),
    Column("document", JSON, nullable=False),
)
