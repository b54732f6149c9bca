"""A Registry's database with one large object in it, as ingest would have left it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import Table, insert

from bagline.model.registry import Institution, IntellectualObject
from bagline.model.times import Timestamp
from bagline.services.registry import tables as t
from bagline.services.registry.database import Database
from bagline.services.registry.sql import SqlRegistry

ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
PLACES = ("https://s3.us-east-1.example/preserved", "https://s3.us-west-2.example/preserved")
FORMATS = ("image/tiff", "application/pdf", "text/plain", "application/xml")
EVENTS = ("ingestion", "message digest calculation", "identifier assignment", "replication")
FILES_AT_ONCE = 5_000
MOMENT = Timestamp("2026-01-02T03:04:05Z")
INSTITUTION = "test.edu"
LARGE = f"{INSTITUTION}/large"

Rows = Callable[[int], list[dict[str, Any]]]


def fill(url: str, files: int) -> None:
    """An institution, a small object, and one of `files` files with four digests, two copies and
    four events each, beside some of the object's own."""
    database = Database(url)
    database.migrate()
    registry = SqlRegistry(database)
    institution = registry.save_institution(Institution(identifier=INSTITUTION, name="Test"))
    objects = [
        registry.save_intellectual_object(
            IntellectualObject(identifier=name, institution_id=institution.id, title=title)
        )
        for name, title in ((LARGE, "A large bag"), (f"{INSTITUTION}/small", "A small bag"))
    ]
    _own_events(database, institution.id, objects[0].id)
    for first in range(1, files + 1, FILES_AT_ONCE):
        numbers = range(first, min(first + FILES_AT_ONCE, files + 1))
        with database.writing() as connection:
            for table, rows in _tables(institution.id, objects[0].id):
                connection.execute(insert(table), [row for n in numbers for row in rows(n)])
    database.close()


def _own_events(database: Database, institution_id: int, object_id: int) -> None:
    with database.writing() as connection:
        rows = [
            _event(f"object-{kind}", kind, institution_id, object_id, None)
            for kind in ("creation", "ingestion", "identifier assignment", "access assignment")
        ]
        connection.execute(insert(t.premis_events), rows)


def _tables(institution_id: int, object_id: int) -> list[tuple[Table, Rows]]:
    def file(number: int) -> list[dict[str, Any]]:
        return [
            {
                "id": number,
                "created_at": MOMENT,
                "updated_at": MOMENT,
                "file_format": FORMATS[number % len(FORMATS)],
                "identifier": f"{LARGE}/data/folder-{number // 1000:04d}/page-{number:07d}.tif",
                "institution_id": institution_id,
                "intellectual_object_id": object_id,
                "last_fixity_check": MOMENT,
                "size": 4096 + number,
                "state": "A",
                "storage_option": "Standard",
                "uuid": _uuid(f"file-{number}"),
            }
        ]

    def digests(number: int) -> list[dict[str, Any]]:
        body = str(number).encode()
        return [
            {
                "algorithm": name,
                "digest": hashlib.new(name, body).hexdigest(),
                "datetime": MOMENT,
                "generic_file_id": number,
                "created_at": MOMENT,
                "updated_at": MOMENT,
            }
            for name in ALGORITHMS
        ]

    def copies(number: int) -> list[dict[str, Any]]:
        return [
            {
                "generic_file_id": number,
                "url": f"{place}/{_uuid(f'file-{number}')}",
                "place": place,
                "proven_by": "SHA-256 over the bytes that were read back",
                "proven_at": MOMENT,
                "outcome": "proven",
            }
            for place in PLACES
        ]

    def events(number: int) -> list[dict[str, Any]]:
        return [
            _event(f"{number}-{kind}", kind, institution_id, object_id, number) for kind in EVENTS
        ]

    return [
        (t.generic_files, file),
        (t.checksums, digests),
        (t.storage_records, copies),
        (t.premis_events, events),
    ]


def _event(
    name: str, kind: str, institution_id: int, object_id: int, file_id: int | None
) -> dict[str, Any]:
    return {
        "identifier": _uuid(f"event-{name}"),
        "event_type": kind,
        "date_time": MOMENT,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "agent": "Bagline",
        "detail": "Done",
        "object": "Bagline",
        "outcome": "Success",
        "outcome_detail": "sha256:" + "d" * 64,
        "outcome_information": "As it should be",
        "institution_id": institution_id,
        "intellectual_object_id": object_id,
        "generic_file_id": file_id,
    }


def _uuid(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"https://bagline.example/{name}"))
