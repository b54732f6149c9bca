"""Records against hand-written documents in the wire's form, both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Struct

from bagline.model import wire
from bagline.model.ingest import (
    IngestChecksum,
    IngestFile,
    IngestObject,
    StorageRecord,
    Tag,
    bag_name,
)
from bagline.model.premis import PremisEvent
from bagline.model.registry import GenericFile, Institution, IntellectualObject
from bagline.model.times import NEVER
from bagline.model.workitem import ProcessingError, WorkItem, WorkResult

ZERO = "0001-01-01T00:00:00Z"

OBJECT = {
    "copied_to_staging_at": ZERO,
    "deleted_from_receiving_at": ZERO,
    "etag": "77aa",
    "file_count": 3,
    "has_fetch_txt": False,
    "institution": "example.edu",
    "institution_id": 12,
    "is_reingest": False,
    "manifests": ["sha256"],
    "parsable_tag_files": ["bagit.txt"],
    "recheck_registry_identifiers": False,
    "s3_bucket": "receiving.example.edu",
    "s3_key": "maps.tar",
    "saved_to_registry_at": ZERO,
    "serialization": "application/tar",
    "should_delete_from_receiving": False,
    "size": 2048,
    "storage_option": "Standard",
    "tag_files": ["bagit.txt"],
    "tag_manifests": [],
    "tags": [{"tag_file": "bagit.txt", "tag_name": "BagIt-Version", "value": "1.0"}],
}

FILE = {
    "checksums": [
        {
            "algorithm": "md5",
            "datetime": "2026-03-04T05:06:07.123456789Z",
            "digest": "900150983cd24fb0d6963f7d28e17f72",
            "source": "ingest",
        }
    ],
    "copied_to_staging_at": ZERO,
    "file_format": "text/plain",
    "file_modified": "2025-06-07T08:09:10+02:00",
    "format_identified_at": "2026-03-04T05:06:07.5Z",
    "format_identified_by": "ext map",
    "format_match_type": "extension",
    "institution_id": 12,
    "is_reingest": False,
    "mtime": "2025-06-07T08:09:10Z",
    "needs_save": True,
    "object_identifier": "example.edu/maps",
    "path_in_bag": "data/abc.txt",
    "registry_urls": [],
    "saved_to_registry_at": ZERO,
    "size": 3,
    "storage_option": "Standard",
    "storage_records": [
        {
            "bucket": "preservation-va",
            "error": "",
            "etag": "cd",
            "provider": "AWS",
            "size": 3,
            "stored_at": "2026-03-04T05:07:00Z",
            "url": "https://s3.us-east-1.amazonaws.com/preservation-va/u",
            "verified_at": ZERO,
        }
    ],
    "uuid": "7f3a9d52-5a3e-4b7e-9d5e-0a9f6f6b2c11",
}

RESULT = {
    "attempt": 2,
    "operation": "ingest02_bag_validation",
    "host": "worker-3",
    "pid": 44,
    "started_at": "2026-03-04T05:06:07.25Z",
    "finished_at": ZERO,
    "errors": [
        {
            "Identifier": "example.edu/maps",
            "IsFatal": True,
            "Message": "no",
            "Source": "validator",
            "Stack": "",
            "WorkItemID": 5,
        }
    ],
}

EVENT = {
    "agent": "a",
    "created_at": ZERO,
    "date_time": "2026-03-04T05:06:07Z",
    "detail": "d",
    "event_type": "ingestion",
    "identifier": "7f3a9d52-5a3e-4b7e-9d5e-0a9f6f6b2c12",
    "institution_id": 12,
    "intellectual_object_id": 0,
    "intellectual_object_identifier": "",
    "object": "o",
    "outcome_detail": "x",
    "outcome_information": "y",
    "outcome": "Success",
    "updated_at": ZERO,
}

ITEM = {
    "id": 5,
    "aptrust_approver": "",
    "action": "Ingest",
    "bag_date": "2026-03-04T05:06:07Z",
    "bucket": "receiving.example.edu",
    "created_at": "2026-03-04T05:06:08.000123Z",
    "date_processed": "2026-03-04T05:06:08Z",
    "deletion_request_id": 0,
    "etag": "77aa",
    "generic_file_id": 0,
    "generic_file_identifier": "",
    "inst_approver": "",
    "institution_id": 12,
    "intellectual_object_id": 0,
    "name": "maps.tar",
    "needs_admin_review": False,
    "node": "worker-3",
    "note": "Item has started stage ingest01_prefetch",
    "object_identifier": "",
    "outcome": "Item is pending ingest",
    "pid": 44,
    "queued_at": ZERO,
    "retry": True,
    "size": 2048,
    "stage": "Receive",
    "stage_started_at": "2026-03-04T05:06:09Z",
    "status": "Started",
    "storage_option": "",
    "updated_at": "2026-03-04T05:06:09Z",
    "user": "system@example.edu",
}

GENERIC_FILE = {
    "checksums": [
        {
            "id": 8,
            "algorithm": "sha256",
            "digest": "ab" * 32,
            "datetime": "2026-03-04T05:06:07Z",
            "generic_file_id": 6,
            "created_at": ZERO,
            "updated_at": ZERO,
        }
    ],
    "created_at": ZERO,
    "file_format": "text/plain",
    "file_modified": ZERO,
    "id": 6,
    "identifier": "example.edu/maps/data/abc.txt",
    "institution_id": 12,
    "intellectual_object_id": 9,
    "last_fixity_check": "2026-03-04T05:06:07Z",
    "mtime": "2025-06-07T08:09:10Z",
    "premis_events": [EVENT],
    "size": 3,
    "state": "A",
    "storage_option": "Standard",
    "storage_records": [{"generic_file_id": 6, "id": 3, "url": "https://s3.example/u"}],
    "updated_at": ZERO,
    "uuid": "7f3a9d52-5a3e-4b7e-9d5e-0a9f6f6b2c11",
}

INTELLECTUAL_OBJECT = {
    "access": "consortia",
    "alt_identifier": "alt",
    "bag_group_identifier": "",
    "bagit_profile_identifier": "https://example.org/profile.json",
    "bag_name": "maps",
    "created_at": ZERO,
    "description": "Maps",
    "etag": "77aa",
    "file_count": 4,
    "size": 99,
    "id": 9,
    "identifier": "example.edu/maps",
    "internal_sender_description": "",
    "internal_sender_identifier": "",
    "institution_identifier": "example.edu",
    "institution_id": 12,
    "payload_file_count": 1,
    "payload_size": 3,
    "source_organization": "Example",
    "state": "A",
    "storage_option": "Standard",
    "title": "Maps",
    "updated_at": ZERO,
}

INSTITUTION = {
    "id": 12,
    "identifier": "example.edu",
    "name": "Example",
    "state": "A",
    "type": "MemberInstitution",
    "receiving_bucket": "receiving.example.edu",
    "restore_bucket": "restore.example.edu",
    "otp_enabled": False,
    "created_at": ZERO,
    "updated_at": ZERO,
}

DOCUMENTS: list[tuple[dict[str, Any], type[Struct]]] = [
    (OBJECT, IngestObject),
    (FILE, IngestFile),
    (RESULT, WorkResult),
    (EVENT, PremisEvent),
    (ITEM, WorkItem),
    (GENERIC_FILE, GenericFile),
    (INTELLECTUAL_OBJECT, IntellectualObject),
    (INSTITUTION, Institution),
]


@pytest.mark.parametrize(
    ("document", "kind"),
    DOCUMENTS,
    ids=[kind.__name__ for _, kind in DOCUMENTS],
)
def test_a_document_survives_reading_and_writing(
    document: dict[str, Any], kind: type[Struct]
) -> None:
    record = wire.decode(json.dumps(document).encode(), kind)
    assert json.loads(wire.encode(record)) == document


@pytest.mark.parametrize(
    ("record", "always"),
    [
        (IngestFile(), {"checksums", "path_in_bag", "registry_urls", "storage_records", "size"}),
        (IngestObject(), {"manifests", "tags", "file_count", "saved_to_registry_at"}),
        (IngestChecksum(), {"algorithm", "datetime", "digest", "source"}),
        (StorageRecord(), {"bucket", "error", "etag", "provider", "size", "stored_at", "url"}),
        (WorkItem(), {"name", "pid", "queued_at", "retry", "intellectual_object_id"}),
        (GenericFile(), {"id", "checksums", "premis_events", "storage_records", "uuid"}),
        (IntellectualObject(), {"id", "alt_identifier", "file_count", "payload_size"}),
        (Institution(), {"identifier", "otp_enabled", "receiving_bucket"}),
        (Tag(), {"tag_file", "tag_name", "value"}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Struct) else "",
)
def test_empty_values_are_written_where_the_wire_has_them(record: Struct, always: set[str]) -> None:
    assert always <= set(json.loads(wire.encode(record)))


def test_empty_optional_values_are_left_out() -> None:
    written = set(json.loads(wire.encode(IngestFile())))
    assert not written & {"id", "error_message", "file_format", "institution_id", "premis_events"}
    assert not {"etag", "id", "institution", "size"} & set(json.loads(wire.encode(IngestObject())))


def test_zero_times_are_always_written() -> None:
    document = json.loads(wire.encode(IngestObject()))
    assert document["copied_to_staging_at"] == ZERO == NEVER


def test_null_lists_read_as_empty_and_errors_are_written_as_null() -> None:
    record = wire.decode(b'{"manifests":null,"tags":null,"size":null}', IngestObject)
    assert record.manifests == []
    assert record.tags == []
    assert json.loads(wire.encode(WorkResult()))["errors"] is None


def test_unknown_fields_are_ignored() -> None:
    record = wire.decode(b'{"size":7,"from_the_future":{"a":[1]}}', IngestFile)
    assert record.size == 7


def test_nine_fractional_digits_are_kept() -> None:
    raw = b'{"algorithm":"md5","datetime":"2026-01-01T00:00:00.000000001Z","digest":"","source":""}'
    assert b"00.000000001Z" in wire.encode(wire.decode(raw, IngestChecksum))


def test_processing_errors_are_capitalised() -> None:
    document = json.loads(wire.encode(ProcessingError(work_item_id=3, is_fatal=True)))
    assert set(document) == {
        "Identifier",
        "IsFatal",
        "Message",
        "Source",
        "Stack",
        "WorkItemID",
    }


def test_markup_and_line_separators_are_escaped() -> None:
    raw = wire.encode(Tag(value="<a&b>\u2028\u2029"))
    assert b"\\u003ca\\u0026b\\u003e\\u2028\\u2029" in raw


def test_bytes_that_are_not_utf_8_become_the_replacement_character() -> None:
    raw = wire.encode(IngestFile(path_in_bag=b"data/\xff".decode("utf-8", "surrogateescape")))
    assert json.loads(raw)["path_in_bag"] == "data/\ufffd"
    assert json.loads(wire.encode({"data/\udcff": "FIFO"})) == {"data/\ufffd": "FIFO"}


def test_the_registry_knows_a_name_that_is_not_utf_8_by_its_bytes() -> None:
    path = b"data/\xc3\xa9\xe9\\x".decode("utf-8", "surrogateescape")
    file = IngestFile(object_identifier="test.edu/bag", path_in_bag=path)
    assert file.identifier == "test.edu/bag/data/é\\xe9\\x"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("maps.tar", "maps"),
        ("maps.b01.of12.tar", "maps"),
        ("maps.v2.tar", "maps.v2"),
        ("maps.of12.tar", "maps.of12"),
        ("maps", "maps"),
        ("a.tar.tar", "a.tar"),
    ],
)
def test_a_bag_has_one_name_everywhere(key: str, name: str) -> None:
    assert bag_name(key) == name
    assert IngestObject(institution="example.edu", s3_key=key).identifier == f"example.edu/{name}"
