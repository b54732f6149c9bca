"""Rows of preserved files: the file, its checksums, its copies, its events, together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update

from bagline.model import times
from bagline.model.premis import PremisEvent
from bagline.model.registry import Checksum, GenericFile, RegistryStorageRecord
from bagline.services.registry import tables as t
from bagline.services.registry.rows import record_of, row_of

IN_AT_ONCE = 1000


class FileRows:
    """Runs inside the caller's transaction; every write may be repeated."""

    def __init__(self, clock: times.Clock) -> None:
        self._clock = clock

    def load(
        self,
        connection: Connection,
        where: ColumnElement[bool],
        *,
        limit: int | None = None,
        events: bool = True,
    ) -> list[GenericFile]:
        """The files, by id, with checksums newest first, storage records and events."""
        table = t.generic_files
        query = select(table).where(where).order_by(table.c.id).limit(limit)
        files = [record_of(row, GenericFile) for row in connection.execute(query)]
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

    def create(self, connection: Connection, files: Sequence[GenericFile]) -> list[GenericFile]:
        """Insert those whose identifier is new; every file comes back with its id."""
        table = t.generic_files
        known = self._ids(connection, [file.identifier for file in files])
        moment = self._clock()
        new = [file for file in files if file.identifier not in known]
        if new:
            rows = []
            for file in new:
                row = row_of(file, table) | {"created_at": moment, "updated_at": moment}
                row.pop("id")
                rows.append(row)
            connection.execute(insert(table), rows)
            known |= self._ids(connection, [file.identifier for file in new])
        for file in files:
            file.id = known[file.identifier]
        self._add_belongings(connection, new)
        return list(files)

    def update(self, connection: Connection, file: GenericFile) -> None:
        """Replace the row and add what it does not have yet."""
        table = t.generic_files
        row = row_of(file, table) | {"updated_at": self._clock()}
        row.pop("id")
        row.pop("created_at")
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
                    .values(proven_by=copy.proven_by, proven_at=copy.proven_at)
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
        moment = self._clock()
        rows = []
        for event in events:
            if event.identifier in known:
                continue
            row = row_of(event, table) | {"created_at": moment, "updated_at": moment}
            row.pop("id")
            row["generic_file_id"] = event.generic_file_id or None
            row["intellectual_object_id"] = event.intellectual_object_id or None
            rows.append(row)
        if rows:
            connection.execute(insert(table), rows)

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
        for row in connection.execute(query):
            found[row.generic_file_id].append(record_of(row, kind))
        return found

    def _add_belongings(self, connection: Connection, files: Sequence[GenericFile]) -> None:
        moment = self._clock()
        digests: list[dict[str, Any]] = []
        copies: list[dict[str, Any]] = []
        events: list[PremisEvent] = []
        for file in files:
            for checksum in file.checksums:
                row = row_of(checksum, t.checksums)
                row |= {"generic_file_id": file.id, "created_at": moment, "updated_at": moment}
                row.pop("id")
                digests.append(row)
            for copy in file.storage_records:
                row = row_of(copy, t.storage_records) | {"generic_file_id": file.id}
                row.pop("id")
                copies.append(row)
            for event in file.premis_events:
                event.generic_file_id = file.id
                event.institution_id = file.institution_id
                event.intellectual_object_id = file.intellectual_object_id
                events.append(event)
        if digests:
            connection.execute(insert(t.checksums), digests)
        if copies:
            connection.execute(insert(t.storage_records), copies)
        self.add_events(connection, events)


def _to_micro(moment: times.Timestamp) -> times.Timestamp:
    if not times.is_set(moment):
        return times.NEVER
    return times.from_datetime(times.to_datetime(moment))
