"""Rows of intellectual objects, with the counts and sizes of their files, and how they came in."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import ColumnElement, Connection, case, delete, func, insert, select

from bagline.model.bag_form import BagForm
from bagline.model.registry import STATE_ACTIVE, IntellectualObject
from bagline.services.registry import tables as t
from bagline.services.registry.rows import record_of


def load_object(connection: Connection, where: ColumnElement[bool]) -> IntellectualObject | None:
    """The one object, with its institution's identifier, counts, sizes and bag form."""
    row = connection.execute(
        select(t.intellectual_objects, t.institutions.c.identifier.label("inst"))
        .join(t.institutions)
        .where(where)
    ).one_or_none()
    if row is None:
        return None
    found = record_of(row, IntellectualObject)
    found.institution_identifier = row.inst
    found.bag_form = load_form(connection, found.id)
    count_files(connection, [found])
    return found


def load_form(connection: Connection, object_id: int) -> BagForm | None:
    """How the object's newest bag came in; None where nobody said."""
    query = select(t.bag_forms).where(t.bag_forms.c.intellectual_object_id == object_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return msgspec.convert({str(name): value for name, value in row._mapping.items()}, BagForm)


def save_form(connection: Connection, object_id: int, form: BagForm) -> None:
    """Keep it in place of what was kept of an earlier bag."""
    table = t.bag_forms
    connection.execute(delete(table).where(table.c.intellectual_object_id == object_id))
    values = {"intellectual_object_id": object_id, **msgspec.to_builtins(form)}
    connection.execute(insert(table), [values])


def count_files(connection: Connection, objects: Sequence[IntellectualObject]) -> None:
    """Fill counts and sizes of active files, and of those that are payload; one question."""
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
    # PostgreSQL's sums are decimals, which JSON would carry as text.
    counts = {row[0]: [int(number) for number in row[1:]] for row in connection.execute(query)}
    for object in objects:
        found = counts.get(object.id, [0, 0, 0, 0])
        object.file_count, object.size, object.payload_file_count, object.payload_size = found
