"""Between records and rows: a column and a field of one name hold one thing."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import fields
from sqlalchemy import Row, Table

R = TypeVar("R", bound=Struct)


@cache
def _field_names(kind: type[Struct]) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind))


def row_of(record: Struct, table: Table) -> dict[str, Any]:
    """The values of every column of the table that the record has a field for."""
    names = _field_names(type(record))
    return {column.name: getattr(record, column.name) for column in table.c if column.name in names}


def record_of(row: Row[Any], kind: type[R]) -> R:
    """The record in the row; fields without a column keep their defaults, NULL too."""
    names = _field_names(kind)
    values = {k: v for k, v in row._mapping.items() if k in names and v is not None}
    return kind(**values)
