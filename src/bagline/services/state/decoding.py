"""Records out of Redis: an absent or empty one is never taken for a new one."""

from __future__ import annotations

from functools import cache
from typing import TypeVar

import msgspec

from bagline.errors import BrokenState
from bagline.model import wire
from bagline.model.ingest import IngestFile, IngestObject
from bagline.model.workitem import WorkResult
from bagline.units import path_text

R = TypeVar("R", bound=msgspec.Struct)


def decode_record(raw: bytes, kind: type[R], key: object, field: bytes) -> R:
    """Raises BrokenState, naming key and field, when the bytes hold no such record."""
    try:
        record = wire.decode(raw, kind)
    except (ValueError, msgspec.MsgspecError) as error:
        raise broken(key, field, str(error)) from error
    if record == _empty(kind):
        raise broken(key, field, "an empty record")
    return record


@cache
def _empty(kind: type[R]) -> R:
    return kind()


def decode_object(raw: bytes, key: object, field: bytes) -> IngestObject:
    return decode_record(raw, IngestObject, key, field)


def decode_result(raw: bytes, key: object, field: bytes) -> WorkResult:
    return decode_record(raw, WorkResult, key, field)


def decode_file(raw: bytes, key: object, field: bytes, raw_path: bytes) -> IngestFile:
    """The file's record; its path is the field's, byte by byte, not the JSON's."""
    record = decode_record(raw, IngestFile, key, field)
    # Another's pre-fetch keeps a manifest line without a path under a field without one.
    if not record.object_identifier or bool(record.path_in_bag) != bool(raw_path):
        raise broken(key, field, "a file's record without path or object identifier")
    record.path_in_bag = path_text(raw_path)
    return record


def broken(key: object, field: bytes, what: str) -> BrokenState:
    shown = field.decode("utf-8", "backslashreplace")
    return BrokenState(
        f"Redis key {key}, field {shown!r}: {what}; nothing was changed. Keep the key for "
        "whoever looks into it, then requeue the item at Receive"
    )
