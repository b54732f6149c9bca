"""The catalogue: what the API reads and writes, each in one transaction over the database.

What takes `own` is held to that institution (None: to none); what belongs to another is as if
it were not there. Raises the seam's Missing, Conflict and Unfit, beside Unreachable and Refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from bagline.model import times
from bagline.model.premis import PremisEvent
from bagline.model.registry import (
    Checksum,
    GenericFile,
    Institution,
    IntellectualObject,
    RegistryStorageRecord,
)
from bagline.model.workitem import (
    ACTION_THAW,
    STATUS_CANCELLED,
    WorkItem,
)
from bagline.services.registry import listing as lists
from bagline.services.registry import tables as t
from bagline.services.registry.act_rows import note_row
from bagline.services.registry.base import Conflict, Missing, Registry, Unfit
from bagline.services.registry.database import Database
from bagline.services.registry.deletion_requests import DeletionRequests
from bagline.services.registry.file_rows import FileRows, place_of
from bagline.services.registry.listing import Listing, Page
from bagline.services.registry.object_rows import count_files, load_object
from bagline.services.registry.rows import record_of, row_of
from bagline.services.registry.sql import SqlRegistry

R = TypeVar("R", bound=Struct)
FIXITY_CHECK = "fixity check"

Cancelling = Callable[[WorkItem, Registry], str]
"""Why the stored item may not be cancelled, in words; "" when it may."""


class Catalogue:
    """Thread-safe. `registry` does what is the same for workers and for the API;
    `deletion_requests` is what people do about deletions."""

    def __init__(
        self,
        database: Database,
        registry: SqlRegistry,
        *,
        against_cancelling: Cancelling,
        clock: times.Clock = times.now,
    ) -> None:
        self.registry = registry
        policy = registry.deletions.policy
        self.deletion_requests = DeletionRequests(database, policy, clock=clock)
        self._database = database
        self._against_cancelling = against_cancelling
        self._clock = clock
        self._files = FileRows(clock)

    # -- lists
    def page(
        self,
        listing: Listing[R],
        wanted: Page,
        own: int | None = None,
        reader: int | None = None,
    ) -> tuple[list[R], int]:
        """A page of records, and how many there are on all pages: objects with counts and
        sizes, files with all that belongs to them, events with identifiers of their subjects.
        What is people's is held to the `reader`, a user (None: to none)."""
        conditions = [*wanted.conditions, *listing.held(own, reader)]
        with self._database.reading() as connection:
            total = lists.count(connection, conditions, listing.table)
            return self._records(connection, listing, conditions, wanted), total

    def _records(
        self, connection: Connection, listing: Listing[Any], conditions: Sequence[Any], wanted: Page
    ) -> list[Any]:
        if listing is lists.FILES:
            return self._files_of_page(connection, conditions, wanted)
        query: Any = _with_subjects() if listing is lists.EVENTS else select(listing.table)
        rows = connection.execute(lists.paged(query.where(*conditions), wanted))
        found = [record_of(row, listing.record) for row in rows]
        if listing is lists.OBJECTS:
            count_files(connection, found)
        return found

    def _files_of_page(
        self, connection: Connection, conditions: Sequence[Any], wanted: Page
    ) -> list[GenericFile]:
        query = lists.paged(select(t.generic_files.c.id).where(*conditions), wanted)
        ids = list(connection.scalars(query))
        files = self._files.load(connection, t.generic_files.c.id.in_(ids))
        places = {row_id: place for place, row_id in enumerate(ids)}
        return sorted(files, key=lambda file: places[file.id])

    # -- one row
    def institution(self, key: str | int, own: int | None = None) -> Institution:
        """By id or identifier. Raises Missing."""
        found = self.registry.institution(int(key) if _is_id(key) else key)
        if found is None or (own is not None and found.id != own):
            raise Missing
        return found

    def item(self, item_id: int, own: int | None = None) -> WorkItem:
        """Raises Missing."""
        return _held(self.registry.work_item(item_id), own)

    def object(self, key: str | int, own: int | None = None) -> IntellectualObject:
        """By id or identifier. Raises Missing."""
        columns = t.intellectual_objects.c
        where = columns.id == int(key) if _is_id(key) else columns.identifier == str(key)
        with self._database.reading() as connection:
            return _held(load_object(connection, where), own)

    def file(self, key: str | int, own: int | None = None) -> GenericFile:
        """By id or identifier. Raises Missing."""
        columns = t.generic_files.c
        where = columns.id == int(key) if _is_id(key) else columns.identifier == str(key)
        with self._database.reading() as connection:
            found = self._files.load(connection, where)
        return _held(found[0] if found else None, own)

    def event(self, key: str, own: int | None = None) -> PremisEvent:
        """By id or UUID. Raises Missing."""
        columns = t.premis_events.c
        where = columns.id == int(key) if _is_id(key) else columns.identifier == key.lower()
        with self._database.reading() as connection:
            row = connection.execute(_with_subjects().where(where)).one_or_none()
        return _held(None if row is None else record_of(row, PremisEvent), own)

    def checksum(self, checksum_id: int, own: int | None = None) -> Checksum:
        """Raises Missing."""
        listing = lists.CHECKSUMS
        query = select(listing.table).where(listing.table.c.id == checksum_id)
        if own is not None:
            query = query.where(listing.institution(own))
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise Missing
        return record_of(row, Checksum)

    # -- questions
    def bare_object(self, object_id: int) -> IntellectualObject | None:
        """The row alone, without counts."""
        query = select(t.intellectual_objects).where(t.intellectual_objects.c.id == object_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else record_of(row, IntellectualObject)

    def had_bucket(self, institution_id: int, bucket: str) -> bool:
        """Whether an item of the institution was ever in that bucket."""
        columns = t.work_items.c
        return self._has_item(columns.institution_id == institution_id, columns.bucket == bucket)

    def was_thawed(self, institution_id: int, object_id: int) -> bool:
        """Whether there was a Glacier Restore of the object."""
        columns = t.work_items.c
        return self._has_item(
            columns.action == ACTION_THAW,
            columns.institution_id == institution_id,
            columns.intellectual_object_id == object_id,
            columns.intellectual_object_id != 0,
        )

    def _has_item(self, *conditions: ColumnElement[bool]) -> bool:
        query = select(t.work_items.c.id).where(*conditions).limit(1)
        with self._database.reading() as connection:
            return connection.scalar(query) is not None

    # -- writes
    def save_item(
        self, item: WorkItem, unless_status: Sequence[str] = (), *, unless_changed: bool = False
    ) -> WorkItem:
        """Create it (id 0) or replace the whole row. Raises Unfit, or Conflict for what can
        only go forward, and is to be cancelled."""
        if item.id and item.status == STATUS_CANCELLED:
            stored = self.registry.work_item(item.id)
            why = self._against_cancelling(stored, self.registry) if stored is not None else ""
            if why:
                raise Conflict(why)
        with _integrity():
            return self.registry.save_work_item(
                item, unless_status=unless_status, unless_changed=unless_changed
            )

    def open_item(self, item: WorkItem) -> WorkItem:
        """Create it, or the one of its bucket and name that is open. Raises Unfit."""
        with _integrity():
            return self.registry.open_work_item(item)

    def against_cancelling(self, item: WorkItem) -> str:
        """Why the item may not be ended where it is, in words; "" when it may."""
        return self._against_cancelling(item, self.registry)

    def open_change(self, item: WorkItem, follows: int = 0) -> WorkItem:
        """Create it (id 0) or open it again, unless an open one stands against it. Raises Conflict
        or Unfit."""
        with _integrity():
            return self.registry.open_change(item, follows=follows)

    def save_institution(self, institution: Institution) -> Institution:
        """Create it (id 0) or replace the whole row. Raises Unfit or Conflict; no two
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
        return self.update_object(object)

    def update_object(self, object: IntellectualObject) -> IntellectualObject:
        """Replace the row. Raises Unfit or Conflict."""
        with _integrity():
            return self.registry.save_intellectual_object(object)

    def delete_object(self, object: IntellectualObject) -> IntellectualObject:
        """Mark it deleted, by its approved Delete item. Raises Unfit, Conflict or NotAllowed."""
        self.registry.deletions.delete_object(object.id)
        return self.object(object.id)

    def create_files(self, files: Sequence[GenericFile]) -> list[GenericFile]:
        """All or none. Raises Conflict when an identifier is taken."""
        if not files:
            return []
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
        """Mark it deleted, by its approved Delete item. Raises Conflict or NotAllowed."""
        self.registry.deletions.delete_file(file)
        return self.file(file.id)

    def create_event(self, event: PremisEvent) -> PremisEvent:
        """Raises Conflict when the UUID is taken, Unfit when it is about nothing of its
        institution. A fixity check sets the file's time of it."""
        event.generic_file_id, event.intellectual_object_id = self._parents(event)
        column = t.premis_events.c
        with _integrity(), self._database.writing() as connection:
            if connection.scalar(select(column.id).where(column.identifier == event.identifier)):
                raise Conflict(f"There is already an event {event.identifier}.")
            self._files.add_events(connection, [event])
            found = select(t.premis_events).where(column.identifier == event.identifier)
            note_row(connection, t.premis_events, None, connection.execute(found).one())
            if event.event_type == FIXITY_CHECK and event.generic_file_id:
                connection.execute(
                    update(t.generic_files)
                    .where(t.generic_files.c.id == event.generic_file_id)
                    .values(last_fixity_check=event.date_time)
                )
        return self.event(event.identifier)

    def create_checksum(self, checksum: Checksum) -> Checksum:
        """Raises Unfit when there is no such file."""
        moment = self._clock()
        row = row_of(checksum, t.checksums) | {"created_at": moment, "updated_at": moment}
        return self._insert(t.checksums, row, Checksum)

    def create_copy(self, copy: RegistryStorageRecord) -> RegistryStorageRecord:
        """Raises Unfit when there is no such file, Conflict when it has that URL."""
        row = row_of(copy, t.storage_records) | {"place": place_of(copy.url)}
        return self._insert(t.storage_records, row, RegistryStorageRecord)

    def _insert(self, table: Any, row: dict[str, Any], kind: type[R]) -> R:
        row.pop("id")
        with _integrity(), self._database.writing() as connection:
            made = connection.execute(insert(table).values(row).returning(table)).one()
            note_row(connection, table, None, made)
            return record_of(made, kind)

    def _parents(self, event: PremisEvent) -> tuple[int, int]:
        """Ids of the file and the object the event names. Raises Unfit."""
        own, object_key = event.institution_id, event.intellectual_object_identifier
        file_id, object_id = event.generic_file_id, event.intellectual_object_id
        try:
            if event.generic_file_identifier and not file_id:
                file_id = self.file(event.generic_file_identifier, own).id
            if object_key and not object_id:
                object_id = self.object(object_key, own).id
            if file_id:
                file = self.file(file_id, own)
                object_id = object_id or file.intellectual_object_id
                if file.intellectual_object_id != object_id:
                    raise Missing
            if object_id:
                self.object(object_id, own)
        except Missing:
            raise Unfit("The event is about no file or object of its institution.") from None
        return file_id, object_id


@contextmanager
def _integrity() -> Iterator[None]:
    """Unique and foreign keys that were hurt, as the seam's errors."""
    try:
        yield
    except IntegrityError as fault:
        text = str(fault.orig).lower()
        if "unique" in text or "duplicate" in text:
            raise Conflict("There is already such a record.") from None
        raise Unfit("The record refers to one that does not exist.") from None


H = TypeVar("H", WorkItem, IntellectualObject, GenericFile, PremisEvent)


def _held(found: H | None, own: int | None) -> H:
    if found is None or (own is not None and found.institution_id != own):
        raise Missing
    return found


def _is_id(key: str | int) -> bool:
    text = str(key)
    return text.isascii() and text.isdigit() and len(text) < 19


def _with_subjects() -> Any:
    """Events with the identifiers of what they are about."""
    files, objects = t.generic_files.c, t.intellectual_objects.c
    return select(
        t.premis_events,
        files.identifier.label("generic_file_identifier"),
        objects.identifier.label("intellectual_object_identifier"),
    ).select_from(
        t.premis_events.outerjoin(t.generic_files).outerjoin(
            t.intellectual_objects, t.premis_events.c.intellectual_object_id == objects.id
        )
    )
