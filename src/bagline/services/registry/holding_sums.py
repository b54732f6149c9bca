"""Sums over what is preserved, made by the database: one row a sum comes here, never one a file."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, Integer, String, case, cast, func, literal, select, union_all

from bagline.model.holdings import PlaceHeld, PlacesHeld, Total, Totals, TotalsWanted
from bagline.model.registry import STATE_ACTIVE
from bagline.services.registry import tables as t
from bagline.services.registry.holding_book import FILES_LOOKED_AT

_o, _f, _i, _c = (
    t.intellectual_objects.c,
    t.generic_files.c,
    t.institutions.c,
    t.storage_records.c,
)
SUMMED_BY = ("institution", "storage_option", "format", "month")


def totals_of(connection: Connection, wanted: TotalsWanted) -> Totals:
    """The files are gone through once, and what is found of them is grouped four ways."""
    grouped = _grouped(connection, wanted)
    queries = [
        select(
            literal(kind).label("kind"),
            cast(grouped.c[kind], String).label("name"),
            func.sum(grouped.c.files).label("files"),
            func.sum(grouped.c.bytes).label("bytes"),
        ).group_by(grouped.c[kind])
        for kind in SUMMED_BY
    ]
    sums: dict[str, list[Total]] = defaultdict(list)
    for row in connection.execute(union_all(*queries)):
        sums[row.kind].append(
            Total(name=row.name or "", files=int(row.files), bytes=int(row.bytes))
        )
    names = {
        str(row.id): row.identifier for row in connection.execute(select(_i.id, _i.identifier))
    }
    for total in sums["institution"]:
        total.name = names.get(total.name, total.name)
    return Totals(
        objects=_count_objects(connection, wanted),
        files=sum(total.files for total in sums["institution"]),
        bytes=sum(total.bytes for total in sums["institution"]),
        institutions=_largest_first(sums["institution"]),
        storage_options=_largest_first(sums["storage_option"]),
        formats=_largest_first(sums["format"]),
        months=sorted(sums["month"], key=lambda total: total.name),
    )


def _grouped(connection: Connection, wanted: TotalsWanted) -> Any:
    month: Any = func.substr(_f.created_at, 1, len("2026-01"), type_=String)
    if connection.dialect.name == "postgresql":
        month = func.to_char(func.timezone("UTC", _f.created_at), "YYYY-MM", type_=String)
    key = (
        _f.institution_id.label("institution"),
        _f.storage_option.label("storage_option"),
        _f.file_format.label("format"),
        month.label("month"),
    )
    return (
        select(
            *key, func.count().label("files"), func.coalesce(func.sum(_f.size), 0).label("bytes")
        )
        .where(_f.state == STATE_ACTIVE, *_wanted(_f, wanted))
        .group_by(*key)
        .cte("grouped")
    )


def _count_objects(connection: Connection, wanted: TotalsWanted) -> int:
    query = select(func.count()).where(_o.state == STATE_ACTIVE, *_wanted(_o, wanted))
    return int(connection.scalar(query) or 0)


def _wanted(columns: Any, wanted: TotalsWanted) -> list[Any]:
    found = [columns.institution_id == wanted.institution_id] if wanted.institution_id else []
    if wanted.storage_option:
        found.append(columns.storage_option == wanted.storage_option)
    return found


def _largest_first(totals: list[Total]) -> list[Total]:
    return sorted(totals, key=lambda total: (-total.bytes, total.name))


def places_of(connection: Connection, object_id: int, *, is_all: bool) -> PlacesHeld:
    """See `Holdings.places`."""
    of_object = (_f.intellectual_object_id == object_id, _f.state == STATE_ACTIVE)
    looked = select(_f.id).where(*of_object).order_by(_f.id)
    ids = (looked if is_all else looked.limit(FILES_LOOKED_AT)).subquery()
    count, last = connection.execute(select(func.count(), func.max(ids.c.id))).one()
    beyond = connection.scalar(looked.where(_f.id > (last or 0)).limit(1))
    unproven = case((_c.proven_at.is_(None), 1), else_=0)
    query = (
        select(
            _c.place,
            func.count().label("copies"),
            cast(func.sum(unproven), Integer).label("unproven"),
            func.min(_c.proven_at).label("oldest"),
        )
        .select_from(t.storage_records.join(t.generic_files))
        .where(*of_object, _f.id <= (last or 0))
        .group_by(_c.place)
        .order_by(_c.place)
    )
    found = {
        row.place: PlaceHeld(
            place=row.place, copies=row.copies, unproven=row.unproven, oldest=row.oldest
        )
        for row in connection.execute(query)
    }
    # By the index of bad copies, which are few; the sum keeps the database from the object's.
    is_of_object = (_f.intellectual_object_id + 0 == object_id, _f.state == STATE_ACTIVE)
    bad = (
        select(_c.place, func.count())
        .select_from(t.storage_records.join(t.generic_files))
        .where(t.BAD_COPIES, *is_of_object)
        .group_by(_c.place)
    )
    for place, copies in connection.execute(bad):
        found.setdefault(place, PlaceHeld(place=place)).bad = copies
    return PlacesHeld(files=count, is_all=beyond is None, places=list(found.values()))
