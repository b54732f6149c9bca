"""Rows of acts (`acts`): noted while a transaction writes, added before it commits.

Nothing here changes a row, and the database's triggers let nobody (migration 0012).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import structs
from sqlalchemy import JSON, Column, Connection, Index, Row, String, Table, Text, insert, select

from bagline.model.act import Act
from bagline.model.registry import GenericFile
from bagline.services.registry import tables as t
from bagline.services.registry.acts import OpenAct, open_act
from bagline.services.registry.rows import row_of

NOTED = "bagline_noted"
"""The execution option of a writing connection with what was noted of its transaction."""
TEXT_CHARACTERS = 4_000
"""What is kept of one text of a record."""
SECRET = ("hash", "token", "secret", "password")
"""No column with one of these in its name is kept."""
SUBJECTS = {
    "work_items": "work item {id}",
    "institutions": "institution {identifier}",
    "intellectual_objects": "object {identifier}",
    "generic_files": "file {identifier}",
    "premis_events": "event {identifier}",
    "checksums": "checksum {id}",
    "storage_records": "copy {url}",
    "api_users": "user {email}",
}
"""What a row is called, by its table; others by the table's name, such as `deletion request 3`."""

acts = Table(
    "acts",
    t.metadata,
    Column("id", t.Id, primary_key=True),
    Column("at", t.WireTime, nullable=False),
    Column("who", Text, nullable=False),
    Column("role", String(40), nullable=False),
    Column("origin", Text, nullable=False),
    Column("act", String(60), nullable=False),
    Column("subject", Text, nullable=False),
    Column("institution_id", t.Id, nullable=False),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
    Column("reason", Text, nullable=False),
    Index(None, "at"),
    Index(None, "institution_id", "id"),
    # File names are too long for PostgreSQL's usual index.
    Index(None, "subject", postgresql_using="hash"),
)


@dataclass(frozen=True)
class _Noted:
    of: OpenAct
    row: Act


def note(
    connection: Connection,
    subject: str,
    *,
    institution_id: int = 0,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    act: str = "",
    reason: str = "",
) -> None:
    """What this transaction does to the subject belongs to the act that is open; without one
    nothing is done. `before`, `after`: JSON-able, without secrets. `act`: a better name of it.
    `reason`: what the subject says of it, where the act has none of its own."""
    opened = open_act()
    if opened is None:
        return
    person = opened.person
    row = Act(
        at=opened.clock(),
        who=person.who,
        role=person.role,
        origin=person.origin,
        act=act or opened.what,
        subject=subject,
        institution_id=institution_id,
        before=_kept(before),
        after=_kept(after),
        reason=person.reason or reason,
    )
    connection.get_execution_options()[NOTED].append(_Noted(opened, row))


def row_before(connection: Connection, table: Table, row_id: int) -> Mapping[str, Any] | None:
    """The row as it stands, for `note_row`; None where no act is open, or there is none."""
    if open_act() is None or not row_id:
        return None
    query = select(table).where(table.c.id == row_id).with_for_update()
    row = connection.execute(query).one_or_none()
    return None if row is None else _mapping(row)


def note_row(
    connection: Connection,
    table: Table,
    before: Mapping[str, Any] | None,
    row: Row[Any],
    *,
    act: str = "",
    reason: str = "",
    **beside: Any,
) -> None:
    """The row was that before, and is this now; `beside`: what else there is to say of it now."""
    if open_act() is None:
        return
    after = _mapping(row)
    note(
        connection,
        _subject(table, after),
        institution_id=_institution_of(connection, table, after),
        before=before,
        after={**after, **beside},
        act=act,
        reason=reason,
    )


@contextmanager
def noting_row(
    connection: Connection,
    table: Table,
    row_id: int,
    *,
    act: str = "",
    reason: str = "",
    **beside: Any,
) -> Iterator[None]:
    """The block changes the row, or what belongs to it (`beside`, as `note_row` has it)."""
    before = row_before(connection, table, row_id)
    yield
    if before is not None:
        row = connection.execute(select(table).where(table.c.id == row_id)).one()
        note_row(connection, table, before, row, act=act, reason=reason, **beside)


def note_files(connection: Connection, files: Sequence[GenericFile]) -> None:
    """The files were added: one act of each object, with their count."""
    if open_act() is None:
        return
    objects = t.intellectual_objects
    for object_id in sorted({file.intellectual_object_id for file in files}):
        row = connection.execute(select(objects).where(objects.c.id == object_id)).one()
        some = [file for file in files if file.intellectual_object_id == object_id]
        note(
            connection,
            _subject(objects, _mapping(row)),
            institution_id=row.institution_id,
            after={"files": len(some), "first": some[0].identifier, "last": some[-1].identifier},
        )


def add_acts(connection: Connection, noted: Sequence[_Noted]) -> None:
    """The rows of what was noted and is not told yet. To be called before the commit."""
    new: dict[tuple[int, str], Act] = {}
    for each in noted:
        if each.row.subject not in each.of.told:
            name = id(each.of), each.row.subject
            new[name] = _merged(new[name], each.row) if name in new else each.row
    if new:
        rows = [row_of(row, acts) for row in new.values()]
        for row in rows:
            row.pop("id")
        connection.execute(insert(acts), rows)


def were_told(noted: Sequence[_Noted]) -> None:
    """The transaction has committed."""
    for each in noted:
        each.of.told.add(each.row.subject)


def _merged(first: Act, then: Act) -> Act:
    """What one transaction did to one subject in two steps."""
    after = {**(first.after or {}), **(then.after or {})}
    return structs.replace(first, after=after or None)


def _mapping(row: Row[Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row._mapping.items()}


def _subject(table: Table, row: Mapping[str, Any]) -> str:
    usual = table.name.removesuffix("s").replace("_", " ") + " {id}"
    return SUBJECTS.get(table.name, usual).format(**row)


def _institution_of(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    if table is t.institutions:
        return int(row["id"])
    if "institution_id" in row or "generic_file_id" not in row:
        return int(row.get("institution_id") or 0)
    files = t.generic_files.c
    query = select(files.institution_id).where(files.id == row["generic_file_id"])
    return int(connection.scalar(query) or 0)


def _kept(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        str(name): _bounded(value)
        for name, value in row.items()
        if not any(word in name for word in SECRET)
    }


def _bounded(value: Any) -> Any:
    """Long texts cut; of what is no text, such as a report, the beginning of its JSON."""
    if isinstance(value, (dict, list)):
        text = msgspec.json.encode(value).decode()
        return value if len(text) <= TEXT_CHARACTERS else f"{text[:TEXT_CHARACTERS]}…"
    if isinstance(value, str) and len(value) > TEXT_CHARACTERS:
        return f"{value[:TEXT_CHARACTERS]}…"
    return value
