"""The desk: reads and writes of the API, in transactions over the SQL Registry.

Every method takes the institution the asker is held to (`own`, None: all of them); what
belongs to another institution is as if it were not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, case, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from bagline.model import times
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
from bagline.model.workitem import STATUS_CANCELLED, WorkItem
from bagline.lines.ingest.line import INGEST_LINE, ONLY_FORWARD
from bagline.server.answers import BadRequest, Conflict, Missing
from bagline.services.registry import listing as lists
from bagline.services.registry import tables as t
from bagline.services.registry.database import Database
from bagline.services.registry.files import FileRows
from bagline.services.registry.listing import Listing, Page
from bagline.services.registry.rows import record_of, row_of
from bagline.services.registry.sql import SqlRegistry

R = TypeVar("R", bound=Struct)
FIXITY_CHECK = "fixity check"


class Desk:
    """What the handlers work with. Thread-safe. `options`: the storage options known here."""

    def __init__(
        self,
        database: Database,
        registry: SqlRegistry,
        options: tuple[str, ...],
        *,
        clock: times.Clock = times.now,
    ) -> None:
        self.registry = registry
        self.options = options
        self._database = database
        self._clock = clock
        self._files = FileRows(clock)

    # -- lists
    def list_rows(
        self, listing: Listing, kind: type[R], wanted: Page, own: int | None
    ) -> tuple[list[R], int]:
        """A page of rows as records, and how many there are on all pages."""
        with self._database.reading() as connection:
            conditions = self._conditions(listing, wanted, own)
            total = lists.count(connection, conditions, listing.table)
            query = lists.paged(select(listing.table).where(*conditions), wanted)
            return [record_of(row, kind) for row in connection.execute(query)], total

    def list_objects(self, wanted: Page, own: int | None) -> tuple[list[IntellectualObject], int]:
        """The same for objects, with their counts and sizes."""
        found, total = self.list_rows(lists.OBJECTS, IntellectualObject, wanted, own)
        with self._database.reading() as connection:
            _count_files(connection, found)
        return found, total

    def list_files(self, wanted: Page, own: int | None) -> tuple[list[GenericFile], int]:
        """The same for files, with checksums, storage records and events."""
        with self._database.reading() as connection:
            conditions = self._conditions(lists.FILES, wanted, own)
            total = lists.count(connection, conditions, t.generic_files)
            query = lists.paged(select(t.generic_files.c.id).where(*conditions), wanted)
            ids = list(connection.scalars(query))
            files = self._files.load(connection, t.generic_files.c.id.in_(ids))
        places = {row_id: place for place, row_id in enumerate(ids)}
        return sorted(files, key=lambda file: places[file.id]), total

    def list_events(self, wanted: Page, own: int | None) -> tuple[list[PremisEvent], int]:
        """The same for events, with the identifiers of what they are about."""
        with self._database.reading() as connection:
            conditions = self._conditions(lists.EVENTS, wanted, own)
            total = lists.count(connection, conditions, t.premis_events)
            return self._events(connection, conditions, wanted), total

    def _conditions(
        self, listing: Listing, wanted: Page, own: int | None
    ) -> list[ColumnElement[bool]]:
        held = [] if own is None else [listing.institution(own)]
        return [*wanted.conditions, *held]

    def _events(
        self, connection: Connection, conditions: Sequence[Any], wanted: Page
    ) -> list[PremisEvent]:
        files, objects = t.generic_files.c, t.intellectual_objects.c
        query = (
            select(
                t.premis_events,
                files.identifier.label("generic_file_identifier"),
                objects.identifier.label("intellectual_object_identifier"),
            )
            .select_from(
                t.premis_events.outerjoin(t.generic_files).outerjoin(
                    t.intellectual_objects,
                    t.premis_events.c.intellectual_object_id == objects.id,
                )
            )
            .where(*conditions)
        )
        return [record_of(r, PremisEvent) for r in connection.execute(lists.paged(query, wanted))]

    # -- one row
    def institution(self, key: str, own: int | None) -> Institution:
        """By id or identifier. Raises Missing."""
        found = self.registry.institution(int(key) if _is_id(key) else key)
        if found is None or (own is not None and found.id != own):
            raise Missing
        return found

    def item(self, item_id: int, own: int | None) -> WorkItem:
        """Raises Missing."""
        found = self.registry.work_item(item_id)
        if found is None or (own is not None and found.institution_id != own):
            raise Missing
        return found

    def object(self, key: str, own: int | None) -> IntellectualObject:
        """By id or identifier. Raises Missing."""
        column = t.intellectual_objects.c
        where = column.id == int(key) if _is_id(key) else column.identifier == key
        with self._database.reading() as connection:
            row = connection.execute(
                select(t.intellectual_objects, t.institutions.c.identifier.label("inst"))
                .join(t.institutions)
                .where(where)
            ).one_or_none()
            if row is None or (own is not None and row.institution_id != own):
                raise Missing
            found = record_of(row, IntellectualObject)
            found.institution_identifier = row.inst
            _count_files(connection, [found])
        return found

    def file(self, key: str, own: int | None) -> GenericFile:
        """By id or identifier. Raises Missing."""
        column = t.generic_files.c
        where = column.id == int(key) if _is_id(key) else column.identifier == key
        with self._database.reading() as connection:
            found = self._files.load(connection, where)
        if not found or (own is not None and found[0].institution_id != own):
            raise Missing
        return found[0]

    def object_or_none(self, object_id: int) -> IntellectualObject | None:
        """The row alone, without counts."""
        query = select(t.intellectual_objects).where(t.intellectual_objects.c.id == object_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else record_of(row, IntellectualObject)

    def has_item(self, conditions: Sequence[ColumnElement[bool]]) -> bool:
        """Whether there is such a work item."""
        query = select(t.work_items.c.id).where(*conditions).limit(1)
        with self._database.reading() as connection:
            return connection.scalar(query) is not None

    def event(self, key: str, own: int | None) -> PremisEvent:
        """By id or UUID. Raises Missing."""
        column = t.premis_events.c
        where = column.id == int(key) if _is_id(key) else column.identifier == key.lower()
        held = [] if own is None else [column.institution_id == own]
        with self._database.reading() as connection:
            found = self._events(connection, [where, *held], Page((), (column.id,), 1, 1))
        if not found:
            raise Missing
        return found[0]

    # -- writes
    def save_item(
        self, item: WorkItem, unless_status: Sequence[str] = (), *, unless_changed: bool = False
    ) -> WorkItem:
        """Create it (id 0) or replace the whole row. Raises BadRequest, or Conflict for what
        can only go forward, and is to be cancelled."""
        if item.id and item.status == STATUS_CANCELLED:
            stored = self.registry.work_item(item.id)
            if stored is not None and INGEST_LINE.must_go_forward(stored, self.registry):
                raise Conflict(ONLY_FORWARD)
        with _integrity():
            return self.registry.save_work_item(
                item, unless_status=unless_status, unless_changed=unless_changed
            )

    def open_item(self, item: WorkItem) -> WorkItem:
        """Create it, or the one of its bucket and name that is open. Raises BadRequest."""
        with _integrity():
            return self.registry.open_work_item(item)

    def save_institution(self, institution: Institution) -> Institution:
        """Create it (id 0) or replace the whole row. Raises BadRequest or Conflict; no two
        institutions have one bucket."""
        named = {institution.receiving_bucket, institution.restore_bucket} - {""}
        for other in self.registry.institutions():
            shared = named & {other.receiving_bucket, other.restore_bucket}
            if other.id != institution.id and shared:
                raise Conflict(f"The bucket {min(shared)} is {other.identifier}'s.")
        with _integrity():
            return self.registry.save_institution(institution)

    def create_object(self, object: IntellectualObject) -> IntellectualObject:
        """Raises Conflict when the identifier is taken."""
        if self.registry.intellectual_object(object.identifier) is not None:
            raise Conflict(f"There is already an object {object.identifier}.")
        with _integrity():
            return self.registry.save_intellectual_object(object)

    def update_object(self, object: IntellectualObject) -> IntellectualObject:
        """Replace the row; an active row's storage option stays (contract D)."""
        with _integrity():
            return self.registry.save_intellectual_object(object)

    def delete_object(self, object: IntellectualObject) -> IntellectualObject:
        """Mark it deleted. Raises BadRequest while it has active files."""
        columns = t.generic_files.c
        active = (columns.intellectual_object_id == object.id) & (columns.state == STATE_ACTIVE)
        with self._database.writing() as connection:
            if lists.count(connection, [active], t.generic_files):
                raise BadRequest("The object has active files: delete these first.")
            self._mark_deleted(connection, t.intellectual_objects, object.id)
        return self.object(str(object.id), None)

    def create_files(self, files: Sequence[GenericFile]) -> list[GenericFile]:
        """All or none. Raises Conflict when an identifier is taken."""
        known = self.registry.files([file.identifier for file in files])
        if known:
            names = ", ".join(sorted(known)[:3])
            raise Conflict(f"{len(known)} of these files exist already: {names}")
        with _integrity():
            self.registry.create_files(files)
        found = self.registry.files([file.identifier for file in files])
        return [found[file.identifier] for file in files]

    def update_file(self, file: GenericFile) -> GenericFile:
        """Replace the row, add what is new of checksums, storage records and events."""
        with _integrity():
            return self.registry.update_file(file)

    def delete_file(self, file: GenericFile) -> GenericFile:
        """Mark it deleted."""
        with self._database.writing() as connection:
            self._mark_deleted(connection, t.generic_files, file.id)
        return self.file(str(file.id), None)

    def create_event(self, event: PremisEvent) -> PremisEvent:
        """Raises Conflict when the UUID is taken. A fixity check sets the file's time of it."""
        event.generic_file_id, event.intellectual_object_id = self._parents(event)
        column = t.premis_events.c
        with _integrity(), self._database.writing() as connection:
            if connection.scalar(select(column.id).where(column.identifier == event.identifier)):
                raise Conflict(f"There is already an event {event.identifier}.")
            self._files.add_events(connection, [event])
            if event.event_type == FIXITY_CHECK and event.generic_file_id:
                connection.execute(
                    update(t.generic_files)
                    .where(t.generic_files.c.id == event.generic_file_id)
                    .values(last_fixity_check=event.date_time)
                )
        return self.event(event.identifier, None)

    def create_checksum(self, checksum: Checksum) -> Checksum:
        """Raises BadRequest when there is no such file."""
        moment = self._clock()
        row = row_of(checksum, t.checksums) | {"created_at": moment, "updated_at": moment}
        return self._insert(t.checksums, row, Checksum)

    def create_copy(self, copy: RegistryStorageRecord) -> RegistryStorageRecord:
        """Raises BadRequest when there is no such file, Conflict when it has that URL."""
        row = row_of(copy, t.storage_records)
        return self._insert(t.storage_records, row, RegistryStorageRecord)

    def _insert(self, table: Any, row: dict[str, Any], kind: type[R]) -> R:
        row.pop("id")
        with _integrity(), self._database.writing() as connection:
            made = connection.execute(insert(table).values(row).returning(table)).one()
            return record_of(made, kind)

    def _mark_deleted(self, connection: Connection, table: Any, row_id: int) -> None:
        values = {"state": STATE_DELETED, "updated_at": self._clock()}
        connection.execute(update(table).where(table.c.id == row_id).values(values))

    def _parents(self, event: PremisEvent) -> tuple[int, int]:
        """Ids of the file and the object the event names. Raises BadRequest."""
        file_id, object_id = event.generic_file_id, event.intellectual_object_id
        try:
            if event.generic_file_identifier and not file_id:
                file_id = self.file(event.generic_file_identifier, event.institution_id).id
            if event.intellectual_object_identifier and not object_id:
                object_id = self.object(
                    event.intellectual_object_identifier, event.institution_id
                ).id
            if file_id:
                file = self.file(str(file_id), event.institution_id)
                object_id = object_id or file.intellectual_object_id
                if file.intellectual_object_id != object_id:
                    raise Missing
            if object_id:
                self.object(str(object_id), event.institution_id)
        except Missing:
            raise BadRequest("The event is about no file or object of its institution.") from None
        return file_id, object_id


@contextmanager
def _integrity() -> Iterator[None]:
    """Unique and foreign keys that were hurt, as answers."""
    try:
        yield
    except IntegrityError as fault:
        text = str(fault.orig).lower()
        if "unique" in text or "duplicate" in text:
            raise Conflict("There is already such a record.") from None
        raise BadRequest("The record refers to one that does not exist.") from None


def _is_id(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) < 19


def _count_files(connection: Connection, objects: Sequence[IntellectualObject]) -> None:
    """Fill counts and sizes of active files, and of those that are payload."""
    if not objects:
        return
    files, owners = t.generic_files.c, t.intellectual_objects.c
    is_payload = (
        func.substr(files.identifier, func.length(owners.identifier) + 1, len("/data/")) == "/data/"
    )
    query = (
        select(
            files.intellectual_object_id,
            func.count(),
            func.coalesce(func.sum(files.size), 0),
            func.coalesce(func.sum(case((is_payload, 1), else_=0)), 0),
            func.coalesce(func.sum(case((is_payload, files.size), else_=0)), 0),
        )
        .join(t.intellectual_objects, files.intellectual_object_id == owners.id)
        .where(
            files.intellectual_object_id.in_([object.id for object in objects]),
            files.state == STATE_ACTIVE,
        )
        .group_by(files.intellectual_object_id)
    )
    counts = {row[0]: [int(number) for number in row[1:]] for row in connection.execute(query)}
    for object in objects:
        found = counts.get(object.id, [0, 0, 0, 0])
        object.file_count, object.size, object.payload_file_count, object.payload_size = found
