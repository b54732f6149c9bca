"""What a row must be before it is saved (contract D). All faults of a record at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import BigInteger, Integer, String, Table

from bagline.model.premis import PremisEvent
from bagline.model.registry import (
    STATE_ACTIVE,
    STATE_DELETED,
    Checksum,
    GenericFile,
    Institution,
    IntellectualObject,
    RegistryStorageRecord,
)
from bagline.model.times import is_set, to_datetime
from bagline.model.workitem import WorkItem
from bagline.problems import ERROR, WARNING, Problem
from bagline.server.answers import BadRequest
from bagline.services.registry import tables as t

ACTIONS = ("Delete", "Glacier Restore", "Ingest", "Restore File", "Restore Object")
STATUSES = ("Cancelled", "Failed", "Pending", "Started", "Success", "Suspended")
STAGES = (
    "Available in S3",
    "Cleanup",
    "Copy To Staging",
    "Fetch",
    "Format Identification",
    "Package",
    "Receive",
    "Record",
    "Reingest Check",
    "Requested",
    "Resolve",
    "Restoring",
    "Storage Validation",
    "Store",
    "Unpack",
    "Validate",
)
EVENT_TYPES = (
    "access assignment",
    "creation",
    "deletion",
    "fixity check",
    "identifier assignment",
    "ingestion",
    "message digest calculation",
    "replication",
    "validation",
)
OUTCOMES = ("Failure", "Success")
ACCESS = ("consortia", "institution", "restricted")
STATES = (STATE_ACTIVE, STATE_DELETED)
TEXT_CHARACTERS = 1024 * 1024
"""In one field of an object, a file or an event: a bag's tags may be long."""
NOTE_CHARACTERS = 64 * 1024
"""In one field of a work item."""
PROBLEM_CHARACTERS = 16 * 1024
LARGEST = {"BIGINT": 2**63 - 1, "INTEGER": 2**31 - 1}
_EVENT_TEXTS = ("agent", "detail", "event_type", "identifier", "object", "outcome")
_BUCKET = re.compile("[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")
_HEX = re.compile("[0-9a-f]{32,128}")


def check_item(item: WorkItem) -> None:
    """Raises BadRequest with everything that is wrong."""
    _refuse(
        _fits(item, t.work_items),
        _needs(item, "name", "bucket", "institution_id"),
        _times(item, "bag_date", "date_processed"),
        _one_of(item, "action", ACTIONS),
        _one_of(item, "stage", STAGES),
        _one_of(item, "status", STATUSES),
        [] if 32 <= len(item.etag) <= 40 else ["etag must have 32 to 40 characters"],
        [] if "@" in item.user else ["user must be an e-mail address"],
    )


def check_object(object: IntellectualObject, options: tuple[str, ...]) -> None:
    """Raises BadRequest with everything that is wrong."""
    _refuse(
        _fits(object, t.intellectual_objects),
        _needs(object, "title", "identifier", "institution_id"),
        _one_of(object, "access", ACCESS),
        _one_of(object, "state", STATES),
        _one_of(object, "storage_option", options),
    )


def check_file(file: GenericFile, options: tuple[str, ...]) -> None:
    """The file and all that comes with it. Raises BadRequest with everything that is wrong."""
    _refuse(
        _fits(file, t.generic_files),
        _needs(file, "file_format", "identifier", "institution_id", "intellectual_object_id"),
        _one_of(file, "state", STATES),
        _one_of(file, "storage_option", options),
        _uuid(file, "uuid"),
        *(checksum_faults(checksum) for checksum in file.checksums),
        *(copy_faults(copy) for copy in file.storage_records),
        *(event_faults(event, whole=True) for event in file.premis_events),
    )


def check_event(event: PremisEvent) -> None:
    """Raises BadRequest with everything that is wrong."""
    _refuse(event_faults(event, whole=False), _needs(event, "institution_id"))


def check_institution(institution: Institution) -> None:
    """Raises BadRequest with everything that is wrong."""
    _refuse(
        _fits(institution, t.institutions),
        _needs(institution, "identifier", "name"),
        _one_of(institution, "state", STATES),
        _bucket(institution, "receiving_bucket"),
        _bucket(institution, "restore_bucket"),
        [] if "/" not in institution.identifier else ["identifier may not have a slash"],
    )


def check_checksum(checksum: Checksum) -> None:
    """Raises BadRequest with everything that is wrong."""
    _refuse(checksum_faults(checksum), _needs(checksum, "generic_file_id"))


def check_copy(copy: RegistryStorageRecord) -> None:
    """Raises BadRequest with everything that is wrong."""
    _refuse(copy_faults(copy), _needs(copy, "generic_file_id"))


def event_faults(event: PremisEvent, *, whole: bool) -> list[str]:
    """`whole`: no text may be empty, as the Registry asks of events inside a file."""
    needed = _EVENT_TEXTS if whole else ("identifier",)
    return [
        *_fits(event, t.premis_events),
        *_needs(event, *needed),
        *_uuid(event, "identifier"),
        *_one_of(event, "event_type", EVENT_TYPES),
        *_one_of(event, "outcome", OUTCOMES),
        *_times(event, "date_time"),
    ]


def checksum_faults(checksum: Checksum) -> list[str]:
    faults = [*_fits(checksum, t.checksums), *_needs(checksum, "algorithm")]
    if not _HEX.fullmatch(checksum.digest):
        faults.append("digest must be lower-case hex")
    return faults


def copy_faults(copy: RegistryStorageRecord) -> list[str]:
    return [*_fits(copy, t.storage_records), *_needs(copy, "url")]


def check_problems(problems: Sequence[Problem]) -> None:
    """Raises BadRequest with everything that is wrong."""
    faults = [fault for problem in problems for fault in _problem_faults(problem)]
    _refuse(faults)


def _problem_faults(problem: Problem) -> Iterator[str]:
    if not 0 < len(problem.code) <= 12:
        yield "code must have 1 to 12 characters"
    if problem.severity not in (ERROR, WARNING):
        yield f"severity must be one of {ERROR}, {WARNING}"
    if max(len(problem.subject), len(problem.message)) > PROBLEM_CHARACTERS:
        yield f"subject and message may have at most {PROBLEM_CHARACTERS} characters"


def _refuse(*faults: list[str]) -> None:
    found = list(dict.fromkeys(fault for some in faults for fault in some))
    if found:
        raise BadRequest("; ".join(found))


def _fits(record: Struct, table: Table) -> list[str]:
    """Whether every value has room in its column."""
    return [fault for column in table.c for fault in _fault(record, column)]


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
        moment = to_datetime(value)  # type: ignore[arg-type]
        moment.timestamp()
    except (ValueError, OverflowError):
        return False
    return moment.tzinfo is not None and moment.year < 9999


def _needs(record: Struct, *names: str) -> list[str]:
    return [f"{name} is required" for name in names if not getattr(record, name)]


def _times(record: Struct, *names: str) -> list[str]:
    return [f"{name} is required" for name in names if not is_set(getattr(record, name))]


def _one_of(record: Struct, name: str, allowed: tuple[str, ...]) -> list[str]:
    if getattr(record, name) in allowed:
        return []
    return [f"{name} must be one of {', '.join(allowed)}"]


def _bucket(record: Struct, name: str) -> list[str]:
    value = getattr(record, name)
    return [] if not value or _BUCKET.fullmatch(value) else [f"{name} is no bucket's name"]


def _uuid(record: Struct, name: str) -> list[str]:
    value = getattr(record, name)
    try:
        is_uuid = str(UUID(value)) == value.lower()
    except ValueError:
        is_uuid = False
    return [] if is_uuid else [f"{name} must be a UUID"]
