"""Asking for a deletion: what is to go is found, and everything that stands against it told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from bagline.model import times
from bagline.model.deletion import REASON_CHARACTERS, DeletionPolicy, NewDeletion
from bagline.model.registry import STATE_ACTIVE, GenericFile, IntellectualObject
from bagline.model.workitem import ACTION_DELETE, WorkItem
from bagline.services.registry import deletion_tables as d
from bagline.services.registry import tables as t
from bagline.services.registry.act_rows import note_row
from bagline.services.registry.base import Conflict, Missing, Unfit
from bagline.services.registry.database import Database
from bagline.services.registry.deletion_checks import is_after, open_items_of, retained_until
from bagline.services.registry.file_rows import FileRows
from bagline.services.registry.object_rows import load_object
from bagline.services.registry.open_changes import change_of, first_against, why
from bagline.services.registry.restoration_items import bag_of
from bagline.services.registry.users import ApiUser

MOST_AT_ONCE = 1_000
"""Objects and files, in one request."""

_r = d.deletion_requests.c


class DeletionAsking:
    """Runs inside the caller's transaction."""

    def __init__(self, database: Database, policy: DeletionPolicy, clock: times.Clock) -> None:
        self._database = database
        self._policy = policy
        self._clock = clock
        self._files = FileRows(clock)

    def write(self, connection: Connection, who: ApiUser, wanted: NewDeletion) -> int:
        """The request's id. Raises Unfit or Conflict, with all there is to say."""
        objects, files = self._named(connection, who.institution_id, wanted)
        conflicts = [
            *self._young(objects, files),
            *self._in_conflict(connection, objects, files),
        ]
        if conflicts:
            raise Conflict(" ".join(dict.fromkeys(conflicts)))
        row = {
            "institution_id": who.institution_id,
            "requested_by_id": who.id,
            "requested_at": self._clock(),
            "reason": wanted.reason.strip(),
        }
        table = d.deletion_requests
        made = connection.execute(insert(table).values(row).returning(table)).one()
        named: list[IntellectualObject | GenericFile] = [*objects, *files]
        listed = [each.identifier for each in named]
        note_row(connection, table, None, made, asked_for=listed)
        number: int = made.id
        _list(connection, d.deletion_requests_generic_files, number, files)
        _list(connection, d.deletion_requests_intellectual_objects, number, objects)
        return number

    def hold(self, connection: Connection, object: IntellectualObject) -> None:
        name = change_of(object.institution_id, bag_of(object))
        self._database.one_at_a_time(connection, name)

    def _named(
        self, connection: Connection, institution_id: int, wanted: NewDeletion
    ) -> tuple[list[IntellectualObject], list[GenericFile]]:
        """Raises Unfit, which names all that cannot be found, or cannot go."""
        count = len(wanted.objects) + len(wanted.files)
        if not count or count > MOST_AT_ONCE:
            raise Unfit(f"A request is for 1 to {MOST_AT_ONCE:,} objects and files.")
        faults: list[str] = []
        objects: dict[int, IntellectualObject] = {}
        for key in wanted.objects:
            column = t.intellectual_objects.c
            where = column.id == key if isinstance(key, int) else column.identifier == key
            object = load_object(connection, where)
            if object is None or object.institution_id != institution_id:
                faults.append(f"there is no object {key!r}")
            elif object.state != STATE_ACTIVE:
                faults.append(f"the object {key!r} is deleted")
            else:
                objects[object.id] = object
        files: dict[int, GenericFile] = {}
        for key in wanted.files:
            column = t.generic_files.c
            where = column.id == key if isinstance(key, int) else column.identifier == key
            found = self._files.load(connection, where, events=False)
            if not found or found[0].institution_id != institution_id:
                faults.append(f"there is no file {key!r}")
            elif found[0].state != STATE_ACTIVE:
                faults.append(f"the file {key!r} is deleted")
            elif found[0].intellectual_object_id in objects:
                faults.append(f"the file {key!r} goes with its object: leave it out")
            else:
                files[found[0].id] = found[0]
        if faults:
            raise Unfit("; ".join(faults))
        return list(objects.values()), list(files.values())

    def _young(
        self, objects: Sequence[IntellectualObject], files: Sequence[GenericFile]
    ) -> Iterator[str]:
        every: list[IntellectualObject | GenericFile] = [*objects, *files]
        for each in every:
            days = self._policy.days_of(each.storage_option)
            until = retained_until(each.created_at, days)
            if days and is_after(until, self._clock()):
                yield (
                    f"{each.identifier}: what lies in {each.storage_option} is kept at least "
                    f"{days} days; it may go from {until} on."
                )

    def _in_conflict(
        self,
        connection: Connection,
        objects: Sequence[IntellectualObject],
        files: Sequence[GenericFile],
    ) -> Iterator[str]:
        for object in objects:
            self.hold(connection, object)
            yield from open_against(connection, _probe(object, None), bag_of(object))
            yield from _asked_already(
                connection, d.deletion_requests_intellectual_objects, object.id, object.identifier
            )
        owners = {file.intellectual_object_id for file in files}
        of = {owner: object_in(connection, owner) for owner in owners}
        for file in files:
            object = of[file.intellectual_object_id]
            yield from open_against(connection, _probe(object, file), bag_of(object))
            yield from _asked_already(
                connection, d.deletion_requests_generic_files, file.id, file.identifier
            )


def check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > REASON_CHARACTERS or not reason.isprintable():
        raise Unfit(
            f"reason is required: one line of at most {REASON_CHARACTERS:,} characters, for "
            "whoever asks later"
        )


def object_in(connection: Connection, object_id: int) -> IntellectualObject:
    found = load_object(connection, t.intellectual_objects.c.id == object_id)
    if found is None:
        raise Missing
    return found


def open_against(connection: Connection, item: WorkItem, bag: str) -> Iterator[str]:
    standing = first_against(item, open_items_of(connection, item.institution_id, bag), 0)
    if standing is not None:
        yield why(standing)


def _probe(object: IntellectualObject, file: GenericFile | None) -> WorkItem:
    """What the item would be, as far as others stand against it."""
    return WorkItem(
        action=ACTION_DELETE,
        institution_id=object.institution_id,
        name=bag_of(object),
        intellectual_object_id=object.id,
        generic_file_id=file.id if file else 0,
        generic_file_identifier=file.identifier if file else "",
    )


def _asked_already(
    connection: Connection, table: Table, number: int, identifier: str
) -> Iterator[str]:
    """Another request for the same thing waits for its approval."""
    column = table.c[next(n for n in table.c.keys() if n != "deletion_request_id")]  # noqa: SIM118
    known = connection.scalar(
        select(_r.id)
        .join(table, table.c.deletion_request_id == _r.id)
        .where(column == number, _r.confirmed_at.is_(None), _r.cancelled_at.is_(None))
        .limit(1)
    )
    if known is not None:
        yield f"Deletion request {known} for {identifier} awaits approval already."


def _list(connection: Connection, table: Table, number: int, of: Sequence[Any]) -> None:
    (name,) = (n for n in table.c.keys() if n != "deletion_request_id")  # noqa: SIM118
    if of:
        rows = [{"deletion_request_id": number, name: each.id} for each in of]
        connection.execute(insert(table), rows)
