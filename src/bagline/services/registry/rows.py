"""Between records and rows: a column and a field of one name hold one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import repeat
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import fields
from sqlalchemy import (
    Connection,
    CursorResult,
    Dialect,
    Row,
    Table,
    bindparam,
    insert,
    update,
)

ROW_ID = "row_id"
"""The parameter of a statement that is about one row."""
R = TypeVar("R", bound=Struct)
DIALECTS = 8


@cache
def _field_names(kind: type[Struct]) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind))


@cache
def _shared_names(kind: type[Struct], table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.c if column.name in _field_names(kind))


def row_of(record: Struct, table: Table) -> dict[str, Any]:
    """The values of every column of the table that the record has a field for."""
    return {name: getattr(record, name) for name in _shared_names(type(record), table)}


def record_of(row: Row[Any], kind: type[R]) -> R:
    """The record in the row; fields without a column keep their defaults, NULL too."""
    names = _field_names(kind)
    values = {k: v for k, v in row._mapping.items() if k in names and v is not None}
    return kind(**values)


def records_of(rows: CursorResult[Any], kind: type[R]) -> list[tuple[Row[Any], R]]:
    """Each row with the record in it. Cheaper than `record_of` for many."""
    names = _field_names(kind)
    places = [(at, name) for at, name in enumerate(rows.keys()) if name in names]
    return [
        (row, kind(**{name: row[at] for at, name in places if row[at] is not None})) for row in rows
    ]


class _Insertion(NamedTuple):
    """A statement in the driver's own words, and how a value of each column goes to it."""

    statement: str
    names: Sequence[str]
    """In the order of the statement's places; of named ones in any."""
    processors: Sequence[Callable[[Any], Any] | None]
    is_positional: bool


@lru_cache(maxsize=16 * DIALECTS)
def _insertion(table: Table, names: tuple[str, ...], dialect: Dialect) -> _Insertion:
    compiled = insert(table).compile(dialect=dialect, column_keys=list(names))
    order = compiled.positiontup if compiled.positional else names
    assert order is not None
    assert set(order) == set(names), "every column without a value has the database's default"
    processors = [table.c[n].type.dialect_impl(dialect).bind_processor(dialect) for n in order]
    return _Insertion(str(compiled), tuple(order), processors, bool(compiled.positional))


def add_rows(
    connection: Connection,
    table: Table,
    records: Iterable[Struct],
    *,
    same: Mapping[str, Any],
    own: Sequence[str] = (),
    values: Iterable[Sequence[Any]] = (),
) -> None:
    """Add a row for each record but for its id. `same` are values that all of them have;
    `own` names columns of which each has its own in `values`.

    As the driver takes them: for thousands of rows the statement's own way costs several times
    what they cost.
    """
    records = list(records)
    if not records:
        return
    given = {*same, *own, "id"}
    names = tuple(n for n in _shared_names(type(records[0]), table) if n not in given)
    made = _insertion(table, (*names, *same, *own), connection.dialect)
    columns: dict[str, Iterable[Any]] = {name: map(attrgetter(name), records) for name in names}
    columns |= {name: repeat(value, len(records)) for name, value in same.items()}
    columns |= zip(own, zip(*values, strict=True), strict=True) if own else {}
    in_order = [
        columns[name] if process is None else _processed(columns[name], process)
        for name, process in zip(made.names, made.processors, strict=True)
    ]
    rows: list[Any] = list(zip(*in_order, strict=True))
    if not made.is_positional:
        rows = [dict(zip(made.names, row, strict=True)) for row in rows]
    connection.exec_driver_sql(made.statement, rows)


def _processed(column: Iterable[Any], process: Callable[[Any], Any]) -> Iterator[Any]:
    """Many rows of a batch share a moment: each value is gone through once."""
    once = cache(process)
    return (once(value) for value in column)


# Made once: to make a statement of many columns anew costs more than to run it.


@cache
def changing(table: Table) -> Any:
    """Replaces the row ROW_ID by the values given with it; answers the row."""
    return update(table).where(table.c.id == bindparam(ROW_ID)).returning(*table.c)


@cache
def adding(table: Table) -> Any:
    """Adds a row of the values given with it; answers the row."""
    return insert(table).returning(*table.c)
