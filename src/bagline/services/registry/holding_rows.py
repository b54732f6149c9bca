"""Rows as people look for them (`holding_book.Holdings`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from bagline.model import times
from bagline.model.copy_checks import CopyState
from bagline.model.holdings import (
    BY_DIGEST,
    BY_NAME,
    BY_TITLE,
    DIGEST_BEGINS,
    FILE,
    MOST_AT_ONCE,
    OBJECT,
    EventsWanted,
    FilesWanted,
    HeldFile,
    HeldObject,
    Hit,
    ObjectsWanted,
    PlacesHeld,
    PlacesWanted,
    TextWanted,
    Totals,
    TotalsWanted,
)
from bagline.model.premis import PremisEvent
from bagline.model.registry import STATE_ACTIVE, GenericFile
from bagline.services.registry import tables as t
from bagline.services.registry.copy_rows import SqlCopies
from bagline.services.registry.database import Database
from bagline.services.registry.holding_book import Holdings
from bagline.services.registry.holding_sums import places_of, totals_of
from bagline.services.registry.rows import record_of

_o, _f, _i = t.intellectual_objects.c, t.generic_files.c, t.institutions.c
_e, _d = t.premis_events.c, t.checksums.c


class SqlHoldings(Holdings):
    """Thread-safe."""

    def __init__(self, database: Database, copies: SqlCopies) -> None:
        self._database = database
        self._copies = copies

    def objects(self, wanted: ObjectsWanted) -> list[HeldObject]:
        query = select(t.intellectual_objects).where(
            *_same(
                (_o.institution_id, wanted.institution_id),
                (_o.storage_option, wanted.storage_option),
                (_o.state, wanted.state),
            )
        )
        if wanted.begins:
            query = query.where(_o.identifier.startswith(wanted.begins, autoescape=True))
        if wanted.contains:
            query = query.where(
                _o.identifier.icontains(wanted.contains, autoescape=True)
                | _o.title.icontains(wanted.contains, autoescape=True)
            )
        if times.is_set(wanted.since):
            query = query.where(_o.created_at >= wanted.since)
        if wanted.after:
            query = query.where(_o.identifier > wanted.after)
        query = query.order_by(_o.identifier).limit(_at_most(wanted.limit))
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
            counted = [] if wanted.is_bare else [row.id for row in rows]
            counts = _counts(connection, counted)
        return [_held_object(row, *counts.get(row.id, (0, 0))) for row in rows]

    def files(self, wanted: FilesWanted) -> list[HeldFile]:
        path = func.substr(_f.identifier, len(wanted.object) + 2)
        with self._database.reading() as connection:
            if _owner(connection, wanted.object, wanted.institution_id) is None:
                return []
            first = f"{wanted.object}/{wanted.begins}"
            # One bound, not two: of two the database may begin at the earlier.
            is_behind = wanted.after >= first
            query = select(t.generic_files).where(
                _f.identifier > wanted.after if is_behind else _f.identifier >= first,
                _f.identifier < _beyond(first),
                *_same((_f.file_format, wanted.file_format), (_f.state, wanted.state)),
            )
            if wanted.contains:
                query = query.where(path.icontains(wanted.contains, autoescape=True))
            if wanted.ends:
                query = query.where(path.iendswith(wanted.ends, autoescape=True))
            query = query.order_by(_f.identifier).limit(_at_most(wanted.limit))
            rows = connection.execute(query).all()
            digests = _digests(connection, [row.id for row in rows])
        return [_held_file(row, digests.get(row.id, {})) for row in rows]

    def find(self, wanted: TextWanted) -> list[Hit]:
        if not wanted.text:
            return []
        with self._database.reading() as connection:
            if wanted.may_be_digest and _has_digest(connection, wanted):
                return _with_digest(connection, wanted)
            limit = _at_most(wanted.limit)
            found: list[Hit] = []
            if wanted.after.count("/") < 2:
                found = _objects_with(connection, wanted, limit)
            if len(found) < limit:
                found += _files_with(connection, wanted, limit - len(found))
        return found

    def events(self, wanted: EventsWanted) -> list[PremisEvent]:
        with self._database.reading() as connection:
            whose = _subject(connection, wanted)
            if not whose:
                return []
            query = (
                select(
                    t.premis_events,
                    _f.identifier.label("generic_file_identifier"),
                    _o.identifier.label("intellectual_object_identifier"),
                )
                .select_from(
                    t.premis_events.outerjoin(t.generic_files).outerjoin(
                        t.intellectual_objects, _e.intellectual_object_id == _o.id
                    )
                )
                .where(
                    *whose,
                    _e.id > wanted.after,
                    *_same((_e.event_type, wanted.event_type), (_e.outcome, wanted.outcome)),
                )
                .order_by(_e.id)
                .limit(_at_most(wanted.limit))
            )
            return [record_of(row, PremisEvent) for row in connection.execute(query)]

    def totals(self, wanted: TotalsWanted) -> Totals:
        with self._database.reading() as connection:
            return totals_of(connection, wanted)

    def places(self, wanted: PlacesWanted) -> PlacesHeld:
        with self._database.reading() as connection:
            owner = _owner(connection, wanted.object, wanted.institution_id)
            if owner is None:
                return PlacesHeld()
            return places_of(connection, owner, is_all=wanted.is_all)

    def copies(self, file: GenericFile) -> list[CopyState]:
        return [
            CopyState(
                generic_file_id=copy.file_id,
                url=copy.url,
                asked_at=copy.asked_at,
                outcome=copy.outcome,
                detail=copy.detail,
                proven_at=copy.proven_at,
                proven_by=copy.proven_by,
            )
            for copy in self._copies.of_file(file.id)
        ]

    def count_events(self, file_id: int) -> int:
        query = select(func.count()).where(_e.generic_file_id == file_id)
        with self._database.reading() as connection:
            return int(connection.scalar(query) or 0)


def _same(*pairs: tuple[Any, Any]) -> list[ColumnElement[bool]]:
    """Conditions of the columns for which something is wanted."""
    return [column == value for column, value in pairs if value]


def _at_most(limit: int) -> int:
    return max(1, min(limit, MOST_AT_ONCE))


def _beyond(first: str) -> str:
    """What comes after all that begins so, by bytes."""
    return first[:-1] + chr(ord(first[-1]) + 1)


def _owner(connection: Connection, identifier: str, institution_id: int) -> int | None:
    query = select(_o.id).where(
        _o.identifier == identifier, *_same((_o.institution_id, institution_id))
    )
    return connection.scalar(query)


def _subject(connection: Connection, wanted: EventsWanted) -> list[ColumnElement[bool]]:
    """Conditions of its events; none where there is no such object or file."""
    if wanted.identifier.count("/") > 1:
        query = select(_f.id).where(
            _f.identifier == wanted.identifier, *_same((_f.institution_id, wanted.institution_id))
        )
        file_id = connection.scalar(query)
        return [] if file_id is None else [_e.generic_file_id == file_id]
    owner = _owner(connection, wanted.identifier, wanted.institution_id)
    if owner is None:
        return []
    of_object = _e.intellectual_object_id == owner
    return [of_object] if wanted.with_files else [of_object, _e.generic_file_id.is_(None)]


def _counts(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Active files and their bytes, by object: by the index alone."""
    if not ids:
        return {}
    query = (
        select(_f.intellectual_object_id, func.count(), func.coalesce(func.sum(_f.size), 0))
        .where(_f.intellectual_object_id.in_(ids), _f.state == STATE_ACTIVE)
        .group_by(_f.intellectual_object_id)
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in connection.execute(query)}


def _digests(connection: Connection, ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """The newest digests by algorithm, by file."""
    found: dict[int, dict[str, str]] = defaultdict(dict)
    query = (
        select(_d.generic_file_id, _d.algorithm, _d.digest)
        .where(_d.generic_file_id.in_(ids))
        .order_by(_d.datetime, _d.id)
    )
    for file_id, algorithm, digest in connection.execute(query):
        found[file_id][algorithm] = digest
    return found


def _has_digest(connection: Connection, wanted: TextWanted) -> bool:
    query = select(_d.id).join(t.generic_files).where(*_begins_so(wanted)).limit(1)
    return connection.scalar(query) is not None


def _begins_so(wanted: TextWanted) -> list[ColumnElement[bool]]:
    digest = wanted.text.lower()
    return [
        t.beginning_of_digest == digest[:DIGEST_BEGINS],
        _d.digest.startswith(digest, autoescape=True),
        *_same((_f.institution_id, wanted.institution_id), (_f.state, wanted.state)),
    ]


def _with_digest(connection: Connection, wanted: TextWanted) -> list[Hit]:
    query = (
        select(_f.identifier, _f.size, _f.state, func.min(_d.digest).label("digest"))
        .select_from(t.checksums.join(t.generic_files))
        .where(*_begins_so(wanted))
        .group_by(_d.generic_file_id, _f.identifier, _f.size, _f.state)
        .order_by(_d.generic_file_id)
        .limit(_at_most(wanted.limit))
    )
    if wanted.after:
        before = select(_f.id).where(_f.identifier == wanted.after).scalar_subquery()
        query = query.where(_d.generic_file_id > before)
    return [
        Hit(
            kind=FILE,
            identifier=row.identifier,
            by=BY_DIGEST,
            digest=row.digest,
            size=row.size,
            state=row.state,
        )
        for row in connection.execute(query)
    ]


def _objects_with(connection: Connection, wanted: TextWanted, limit: int) -> list[Hit]:
    bag = func.substr(_o.identifier, func.length(_i.identifier) + 2)
    in_name = bag.icontains(wanted.text, autoescape=True)
    query = (
        select(t.intellectual_objects, in_name.label("in_name"))
        .join(t.institutions)
        .where(
            in_name | _o.title.icontains(wanted.text, autoescape=True),
            *_same((_o.institution_id, wanted.institution_id), (_o.state, wanted.state)),
        )
        .order_by(_o.identifier)
        .limit(limit)
    )
    if wanted.after:
        query = query.where(_o.identifier > wanted.after)
    rows = connection.execute(query).all()
    counts = _counts(connection, [row.id for row in rows])
    return [
        Hit(
            kind=OBJECT,
            identifier=row.identifier,
            by=BY_NAME if row.in_name else BY_TITLE,
            title=row.title,
            size=counts.get(row.id, (0, 0))[1],
            state=row.state,
        )
        for row in rows
    ]


def _files_with(connection: Connection, wanted: TextWanted, limit: int) -> list[Hit]:
    """The first condition needs only the index of identifiers: most files are passed over by it."""
    path = func.substr(_f.identifier, func.length(_o.identifier) + 2)
    query = (
        select(_f.identifier, _f.size, _f.state)
        .join(t.intellectual_objects, _f.intellectual_object_id == _o.id)
        .where(
            _f.identifier.icontains(wanted.text, autoescape=True),
            path.icontains(wanted.text, autoescape=True),
            *_same((_f.institution_id, wanted.institution_id), (_f.state, wanted.state)),
        )
        .order_by(_f.identifier)
        .limit(limit)
    )
    if wanted.after.count("/") > 1:
        query = query.where(_f.identifier > wanted.after)
    return [
        Hit(kind=FILE, identifier=row.identifier, size=row.size, state=row.state)
        for row in connection.execute(query)
    ]


def _held_object(row: Row[Any], files: int, size: int) -> HeldObject:
    return HeldObject(
        identifier=row.identifier,
        title=row.title,
        institution=row.identifier.partition("/")[0],
        institution_id=row.institution_id,
        storage_option=row.storage_option,
        state=row.state,
        files=files,
        bytes=size,
        first_ingested=row.created_at,
        updated_at=row.updated_at,
    )


def _held_file(row: Row[Any], digests: dict[str, str]) -> HeldFile:
    return HeldFile(
        identifier=row.identifier,
        size=row.size,
        file_format=row.file_format,
        state=row.state,
        storage_option=row.storage_option,
        uuid=row.uuid,
        first_ingested=row.created_at,
        last_fixity_check=row.last_fixity_check,
        digests=digests,
    )
