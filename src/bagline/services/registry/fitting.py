"""What has room in the Registry's columns: told before a record is saved, all of it at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from sqlalchemy import BigInteger, Integer, String

from bagline.model.premis import PremisEvent
from bagline.model.registry import (
    Checksum,
    GenericFile,
    Institution,
    IntellectualObject,
    RegistryStorageRecord,
)
from bagline.model.times import is_set, to_datetime
from bagline.model.workitem import WorkItem
from bagline.services.registry import tables as t
from bagline.units import MIB

TEXT_CHARACTERS = MIB
"""In one field of an object, a file or an event: a bag's tags may be long."""
NOTE_CHARACTERS = 64 * 1024
"""In one field of a work item."""
LARGEST = {"BIGINT": 2**63 - 1, "INTEGER": 2**31 - 1}
_TABLES = {
    Checksum: t.checksums,
    GenericFile: t.generic_files,
    Institution: t.institutions,
    IntellectualObject: t.intellectual_objects,
    PremisEvent: t.premis_events,
    RegistryStorageRecord: t.storage_records,
    WorkItem: t.work_items,
}


def misfits(record: Struct) -> list[str]:
    """Sentences: which values have no room in their column. Of what belongs to the record
    (a file's checksums) nothing is said."""
    return [fault for column in _TABLES[type(record)].c for fault in _fault(record, column)]


def _fault(record: Struct, column: Any) -> Iterator[str]:
    value = getattr(record, column.name, None)
    kind = column.type
    if isinstance(kind, t.WireTime):
        if value is not None and is_set(value) and not _is_time(value):
            yield f"{column.name} must be a time, such as 2026-01-02T03:04:05Z"
    elif isinstance(kind, String):
        most = kind.length or (NOTE_CHARACTERS if column.table is t.work_items else TEXT_CHARACTERS)
        if value is not None and len(value) > most:
            yield f"{column.name} may have at most {most} characters"
    elif isinstance(kind, (Integer, BigInteger)) and isinstance(value, int):
        most = LARGEST["BIGINT" if isinstance(kind, BigInteger) else "INTEGER"]
        if not 0 <= value <= most:
            yield f"{column.name} must be from 0 to {most}"


def _is_time(value: str) -> bool:
    try:
        moment = to_datetime(value)
        moment.timestamp()
    except (ValueError, OverflowError):
        return False
    return moment.tzinfo is not None and moment.year < 9999
