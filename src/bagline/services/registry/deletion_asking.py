"""Asking for a deletion: what is to go is found, and everything that stands against it told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, insert, select

from bagline.model import times
from bagline.model.deletion import REASON_CHARACTERS, DeletionPolicy, NewDeletion
from bagline.model.registry import STATE_ACTIVE, GenericFile, IntellectualObject
from bagline.model.workitem import ACTION_DELETE, WorkItem
from bagline.problems import shown
from bagline.services.registry import deletion_tables as d
from bagline.services.registry import tables as t
from bagline.services.registry.act_rows import note_row
from bagline.services.registry.base import Conflict, Missing, Unfit
from bagline.services.registry.database import Database
from bagline.services.registry.deletion_checks import open_items_of, subject_with, too_young
from bagline.services.registry.file_rows import FileRows
from bagline.services.registry.listing import LARGEST_ID
from bagline.services.registry.object_rows import load_object
from bagline.services.registry.open_changes import change_of, first_against, why
from bagline.services.registry.restoration_items import bag_of
from bagline.services.registry.users import ApiUser

MOST_AT_ONCE = 1_000
"""Objects and files, in one request."""
NAME_CHARACTERS = 1_000
"""Of a name that is told again."""

_r = d.deletion_requests.c
_LISTED, _WHOLE = d.deletion_requests_generic_files, d.deletion_requests_intellectual_objects


class DeletionAsking:
    """Runs inside the caller's transaction."""

    def __init__(self, database: Database, policy: DeletionPolicy, clock: times.Clock) -> None:
        self._database = database
        self._policy = policy
        self._clock = clock
        self._files = FileRows(clock)

    def write(
        self,
        connection: Connection,
        who: ApiUser,
        wanted: NewDeletion,
        written_by: int | None = None,
    ) -> int:
        """The request's id. Raises Unfit or Conflict, with all there is to say."""
        objects, files = self._named(connection, who.institution_id, wanted)
        conflicts = [
            *self._young(connection, objects, files),
            *self._in_conflict(connection, objects, files),
        ]
        if conflicts:
            raise Conflict(" ".join(dict.fromkeys(conflicts)))
        reason = wanted.reason.strip()
        row = {
            "institution_id": who.institution_id,
            "requested_by_id": who.id,
            "written_by_id": written_by,
            "requested_at": self._clock(),
            "reason": reason,
        }
        table = d.deletion_requests
        made = connection.execute(insert(table).values(row).returning(table)).one()
        named: list[IntellectualObject | GenericFile] = [*objects, *files]
        listed = [each.identifier for each in named]
        note_row(connection, table, None, made, reason=reason, asked_for=listed)
        number: int = made.id
        _list(connection, _LISTED, number, files)
        _list(connection, _WHOLE, number, objects)
        return number

    def hold(self, connection: Connection, objects: Iterable[IntellectualObject]) -> None:
        """Nobody else begins to change any of them: in one order, so that no two wait for each
        other."""
        for name in sorted({change_of(each.institution_id, bag_of(each)) for each in objects}):
            self._database.one_at_a_time(connection, name)

    def _named(
        self, connection: Connection, institution_id: int, wanted: NewDeletion
    ) -> tuple[list[IntellectualObject], list[GenericFile]]:
        """Raises Unfit, which names all that cannot be found, or cannot go."""
        count = len(wanted.objects) + len(wanted.files)
        if not count or count > MOST_AT_ONCE:
            raise Unfit(f"A request is for 1 to {MOST_AT_ONCE:,} objects and files.")
        for key in (*wanted.objects, *wanted.files):
            if isinstance(key, int) and not 0 < key <= LARGEST_ID:
                raise Unfit(f"{key} is no id: ids are from 1 to {LARGEST_ID}.")
        faults: list[str] = []
        objects: dict[int, IntellectualObject] = {}
        for key in wanted.objects:
            column = t.intellectual_objects.c
            where = column.id == key if isinstance(key, int) else column.identifier == key
            object = load_object(connection, where)
            if object is None or object.institution_id != institution_id:
                faults.append(f"there is no object {named(key)}")
            elif object.state != STATE_ACTIVE:
                faults.append(f"the object {named(key)} is deleted")
            else:
                objects[object.id] = object
        files: dict[int, GenericFile] = {}
        for key in wanted.files:
            column = t.generic_files.c
            where = column.id == key if isinstance(key, int) else column.identifier == key
            found = self._files.load(connection, where, events=False)
            if not found or found[0].institution_id != institution_id:
                faults.append(f"there is no file {named(key)}")
            elif found[0].state != STATE_ACTIVE:
                faults.append(f"the file {named(key)} is deleted")
            elif found[0].intellectual_object_id in objects:
                faults.append(f"the file {named(key)} goes with its object: leave it out")
            else:
                files[found[0].id] = found[0]
        if faults:
            raise Unfit("; ".join(faults))
        return list(objects.values()), list(files.values())

    def _young(
        self,
        connection: Connection,
        objects: Sequence[IntellectualObject],
        files: Sequence[GenericFile],
    ) -> Iterator[str]:
        """What `condemn` would hold: an object is as young as its newest file."""
        owners = {file.intellectual_object_id for file in files}
        of = {owner: object_in(connection, owner) for owner in owners}
        parts: list[tuple[IntellectualObject, GenericFile | None]] = [
            *((object, None) for object in objects),
            *((of[file.intellectual_object_id], file) for file in files),
        ]
        for object, file in parts:
            young = too_young(connection, subject_with(object, file), self._policy, self._clock())
            if young:
                yield f"{(file or object).identifier}: {young}."

    def _in_conflict(
        self,
        connection: Connection,
        objects: Sequence[IntellectualObject],
        files: Sequence[GenericFile],
    ) -> Iterator[str]:
        owners = {file.intellectual_object_id for file in files}
        of = {owner: object_in(connection, owner) for owner in owners}
        self.hold(connection, [*objects, *of.values()])
        for object in objects:
            yield from open_against(connection, _probe(object, None), bag_of(object))
            yield from _object_asked_already(connection, object)
            yield from _asked_already(
                connection, _LISTED, _files_of(object.id), f"a file of {object.identifier}"
            )
        for file in files:
            object = of[file.intellectual_object_id]
            yield from open_against(connection, _probe(object, file), bag_of(object))
            about = _LISTED.c.generic_file_id == file.id
            yield from _asked_already(connection, _LISTED, about, file.identifier)
            yield from _object_asked_already(connection, object)


def named(key: str | int) -> str:
    return repr(shown(key, NAME_CHARACTERS) if isinstance(key, str) else key)


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


def _files_of(object_id: int) -> ColumnElement[bool]:
    files = t.generic_files.c
    return _LISTED.c.generic_file_id.in_(
        select(files.id).where(files.intellectual_object_id == object_id)
    )


def _object_asked_already(connection: Connection, object: IntellectualObject) -> Iterator[str]:
    about = _WHOLE.c.intellectual_object_id == object.id
    yield from _asked_already(connection, _WHOLE, about, object.identifier)


def _asked_already(
    connection: Connection, table: Table, about: ColumnElement[bool], what: str
) -> Iterator[str]:
    """Another request that is about it awaits approval."""
    known = connection.scalar(
        select(_r.id)
        .join(table, table.c.deletion_request_id == _r.id)
        .where(about, _r.confirmed_at.is_(None), _r.cancelled_at.is_(None))
        .limit(1)
    )
    if known is not None:
        yield f"Deletion request {known} for {what} awaits approval already."


def _list(connection: Connection, table: Table, number: int, of: Sequence[Any]) -> None:
    (name,) = (n for n in table.c.keys() if n != "deletion_request_id")  # noqa: SIM118
    if of:
        rows = [{"deletion_request_id": number, name: each.id} for each in of]
        connection.execute(insert(table), rows)
