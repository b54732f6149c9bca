"""What the Registry remembers of itself, by name (contract J5): such as when something ran last."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, insert, select, update

from bagline.model.times import NEVER, Timestamp
from bagline.services.registry import tables as t
from bagline.services.registry.rows import record_of

ALERTS_LAST_RUN = "fixity alerts last run"

_m = t.internal_metadata.c


class InternalMetadata(Struct, kw_only=True):
    """One thing that is remembered. `created_at`: when it was for the first time."""

    id: int = 0
    key: str = ""
    value: str = ""
    created_at: Timestamp = NEVER
    updated_at: Timestamp = NEVER


def remembered(connection: Connection, key: str) -> InternalMetadata | None:
    """Inside the caller's transaction, as `remember`."""
    row = connection.execute(select(t.internal_metadata).where(_m.key == key)).one_or_none()
    return None if row is None else record_of(row, InternalMetadata)


def remember(connection: Connection, key: str, value: str, now: Timestamp) -> None:
    """In place of what was remembered under that name. Who may meet another who does so holds the
    name by `Database.one_at_a_time`."""
    values = {"value": value, "updated_at": now}
    changed = connection.execute(update(t.internal_metadata).where(_m.key == key).values(values))
    if not changed.rowcount:
        row = values | {"key": key, "created_at": now}
        connection.execute(insert(t.internal_metadata).values(row))
