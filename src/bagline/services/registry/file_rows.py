"""Rows of preserved files: the file, its checksums, its copies, its events, together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, select, update

from bagline.model import times
from bagline.model.premis import PremisEvent
from bagline.model.registry import (
    STATE_ACTIVE,
    Checksum,
    GenericFile,
    RegistryStorageRecord,
)
from bagline.services.registry import tables as t
from bagline.services.registry.rows import add_rows, records_of, row_of

IN_AT_ONCE = 1000


class FileRows:
    """Runs inside the caller's transaction; every write may be repeated."""

    def __init__(self, clock: times.Clock) -> None:
        self.clock = clock

    def load(
        self,
        connection: Connection,
        where: ColumnElement[bool],
        *,
        limit: int | None = None,
        events: bool = True,
        order: Sequence[Column[Any]] = (t.generic_files.c.id,),
    ) -> list[GenericFile]:
        """The files, by `order`, with checksums newest first, storage records and events."""
        query = select(t.generic_files).where(where).order_by(*order).limit(limit)
        files = [file for _, file in records_of(connection.execute(query), GenericFile)]
        ids = [file.id for file in files]
        checksums = self._belongings(connection, t.checksums, ids, Checksum)
        copies = self._belongings(connection, t.storage_records, ids, RegistryStorageRecord)
        premis = self._belongings(connection, t.premis_events, ids, PremisEvent) if events else {}
        for file in files:
            file.checksums = checksums.get(file.id, [])
            file.checksums.sort(key=lambda c: (c.datetime, c.id), reverse=True)
            file.storage_records = copies.get(file.id, [])
            file.premis_events = premis.get(file.id, [])
        return files

    def load_after(
        self, connection: Connection, object_identifier: str, after: str, limit: int
    ) -> list[GenericFile]:
        """Active files of the object, by the bytes of their identifiers, after that one; without
        events. All that begins with the object's name is its own, and lies side by side."""
        column = t.generic_files.c.identifier
        first, beyond = f"{object_identifier}/", f"{object_identifier}0"  # "0" comes after "/"
        where = (column > max(after, first, key=str.encode)) & (column < beyond)
        where &= t.generic_files.c.state == STATE_ACTIVE
        return self.load(connection, where, limit=limit, events=False, order=(column,))

    def load_due(
        self,
        connection: Connection,
        options: Sequence[str],
        before: times.Timestamp,
        after: GenericFile | None,
        limit: int,
    ) -> list[GenericFile]:
        """The next batch of `Registry.files_due` behind `after`, without events. Those without a
        date first: databases do not agree on where they stand in an order."""
        c = t.generic_files.c
        where = (c.state == STATE_ACTIVE) & c.storage_option.in_(list(options))
        if after is None or not times.is_set(after.last_fixity_check):
            never = where & c.last_fixity_check.is_(None) & (c.id > (after.id if after else 0))
            found = self.load(connection, never, limit=limit, events=False)
            if found:
                return found
            after = None
        where &= c.last_fixity_check <= before
        if after is not None:
            moment = after.last_fixity_check
            same = (c.last_fixity_check == moment) & (c.id > after.id)
            where &= (c.last_fixity_check > moment) | same
        order = (c.last_fixity_check, c.id)
        return self.load(connection, where, limit=limit, events=False, order=order)

    def create(self, connection: Connection, files: Sequence[GenericFile]) -> list[GenericFile]:
        """Insert those whose identifier is new; every file comes back with its id."""
        table = t.generic_files
        known = self._ids(connection, [file.identifier for file in files])
        moment = self.clock()
        new = [file for file in files if file.identifier not in known]
        if new:
            add_rows(connection, table, new, same=_made(moment))
            known |= self._ids(connection, [file.identifier for file in new])
        for file in files:
            file.id = known[file.identifier]
        self._add_belongings(connection, new)
        return list(files)

    def update(self, connection: Connection, file: GenericFile) -> None:
        """Replace the row and add what it does not have yet. A raw path stays where none is told:
        other workers know none."""
        table = t.generic_files
        row = row_of(file, table) | {"updated_at": self.clock()}
        row.pop("id")
        row.pop("created_at")
        if not file.raw_path:
            row.pop("raw_path")
        connection.execute(update(table).where(table.c.id == file.id).values(row))
        stored = self.load(connection, table.c.id == file.id)[0]
        urls = {copy.url for copy in stored.storage_records}
        self._save_proofs(connection, file.id, [c for c in file.storage_records if c.url in urls])
        digests = {(c.algorithm, c.digest, _to_micro(c.datetime)) for c in stored.checksums}
        fresh = GenericFile(
            id=file.id,
            institution_id=file.institution_id,
            intellectual_object_id=file.intellectual_object_id,
            storage_records=[c for c in file.storage_records if c.url not in urls],
            checksums=[
                c
                for c in file.checksums
                if (c.algorithm, c.digest, _to_micro(c.datetime)) not in digests
            ],
            premis_events=file.premis_events,
        )
        self._add_belongings(connection, [fresh])

    def _save_proofs(
        self, connection: Connection, file_id: int, copies: Sequence[RegistryStorageRecord]
    ) -> None:
        """Of copies on record: what is newly known of them."""
        table = t.storage_records
        for copy in copies:
            if copy.proven_by:
                connection.execute(
                    update(table)
                    .where(table.c.generic_file_id == file_id, table.c.url == copy.url)
                    .values(
                        proven_by=copy.proven_by,
                        proven_at=copy.proven_at,
                        outcome="",
                        detail="",
                    )
                )

    def add_events(self, connection: Connection, events: Sequence[PremisEvent]) -> None:
        """Insert those whose UUID is new."""
        table = t.premis_events
        known: set[str] = set()
        for start in range(0, len(events), IN_AT_ONCE):
            some = [event.identifier for event in events[start : start + IN_AT_ONCE]]
            known |= set(
                connection.scalars(select(table.c.identifier).where(table.c.identifier.in_(some)))
            )
        new = [event for event in events if event.identifier not in known]
        add_rows(
            connection,
            table,
            new,
            same=_made(self.clock()),
            own=("generic_file_id", "intellectual_object_id"),
            values=((e.generic_file_id or None, e.intellectual_object_id or None) for e in new),
        )

    def _ids(self, connection: Connection, identifiers: Sequence[str]) -> dict[str, int]:
        columns = t.generic_files.c
        found: dict[str, int] = {}
        for start in range(0, len(identifiers), IN_AT_ONCE):
            some = list(identifiers[start : start + IN_AT_ONCE])
            query = select(columns.identifier, columns.id).where(columns.identifier.in_(some))
            found |= {row.identifier: row.id for row in connection.execute(query)}
        return found

    def _belongings(
        self, connection: Connection, table: Any, ids: Sequence[int], kind: Any
    ) -> dict[int, list[Any]]:
        found: dict[int, list[Any]] = defaultdict(list)
        if not ids:
            return found
        query = select(table).where(table.c.generic_file_id.in_(list(ids))).order_by(table.c.id)
        for row, record in records_of(connection.execute(query), kind):
            found[row.generic_file_id].append(record)
        return found

    def _add_belongings(self, connection: Connection, files: Sequence[GenericFile]) -> None:
        moment = self.clock()
        digests = [(c, file.id) for file in files for c in file.checksums]
        copies = [(c, file.id) for file in files for c in file.storage_records]
        add_rows(
            connection,
            t.checksums,
            (checksum for checksum, _ in digests),
            same=_made(moment),
            own=("generic_file_id",),
            values=((file_id,) for _, file_id in digests),
        )
        add_rows(
            connection,
            t.storage_records,
            (copy for copy, _ in copies),
            same={},
            own=("generic_file_id", "place"),
            values=((file_id, place_of(copy.url)) for copy, file_id in copies),
        )
        events: list[PremisEvent] = []
        for file in files:
            for event in file.premis_events:
                event.generic_file_id = file.id
                event.institution_id = file.institution_id
                event.intellectual_object_id = file.intellectual_object_id
                events.append(event)
        self.add_events(connection, events)


def place_of(url: str) -> str:
    """Where a copy's URL says that it lies: up to its key."""
    return url.rpartition("/")[0]


def _made(moment: times.Timestamp) -> dict[str, times.Timestamp]:
    return {"created_at": moment, "updated_at": moment}


def _to_micro(moment: times.Timestamp) -> times.Timestamp:
    if not times.is_set(moment):
        return times.NEVER
    return times.from_datetime(times.to_datetime(moment))
