"""What records of every noun are checked by. Checks are lists of sentences, so that all that is
wrong with a record is said at once.

Nothing is taken on trust from whoever writes: buckets are the institution's, names begin with
its identifier, what a record refers to is of the same institution (contract D). A worker may
do less than a system administrator: what an item is about stays what it was. Nobody deletes
what somebody has not asked to be deleted, and another approved (`deletions`).
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from msgspec import Struct

from bagline.model.registry import (
    STATE_ACTIVE,
    STATE_DELETED,
    GenericFile,
    IntellectualObject,
)
from bagline.model.times import is_set
from bagline.server.api.asking import Asked, BadRequest
from bagline.services.registry.base import Missing

STATES = (STATE_ACTIVE, STATE_DELETED)


def refuse(*faults: Iterable[str]) -> None:
    """Raises BadRequest with everything that is wrong, each fault once."""
    found = list(dict.fromkeys(fault for some in faults for fault in some))
    if found:
        raise BadRequest("; ".join(found))


def needs(record: Struct, *names: str) -> list[str]:
    return [f"{name} is required" for name in names if not getattr(record, name)]


def needs_times(record: Struct, *names: str) -> list[str]:
    return [f"{name} is required" for name in names if not is_set(getattr(record, name))]


def one_of(record: Struct, name: str, allowed: tuple[str, ...]) -> list[str]:
    if getattr(record, name) in allowed:
        return []
    return [f"{name} must be one of {', '.join(allowed)}"]


def is_uuid(record: Struct, name: str) -> list[str]:
    value = getattr(record, name)
    try:
        found = str(UUID(value)) == value.lower()
    except ValueError:
        found = False
    return [] if found else [f"{name} must be a UUID"]


def stays_active(stored: GenericFile | IntellectualObject, state: str) -> list[str]:
    """What is preserved goes by consent alone."""
    if (stored.state, state) == (STATE_ACTIVE, STATE_DELETED):
        return ["state may not become D by a PUT: ask for its deletion, and have it approved"]
    return []


def own_file(asked: Asked, institution_id: int, file_id: int) -> GenericFile:
    """The institution's file. Raises BadRequest."""
    try:
        return asked.catalogue.file(file_id, institution_id)
    except Missing:
        raise BadRequest(f"the institution has no file {file_id}") from None
