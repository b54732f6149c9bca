"""Rows that name keys of preservation buckets (`named_keys.NamedKeys`)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from bagline.model.times import NEVER, Timestamp
from bagline.model.workitem import COMPLETED
from bagline.services.registry import deletion_tables as d
from bagline.services.registry import tables as t
from bagline.services.registry.database import Database
from bagline.services.registry.named_keys import NamedKeys

_c, _f, _i, _g = (
    t.storage_records.c,
    t.generic_files.c,
    t.work_items.c,
    d.file_deletions.c,
)
UUID_CHARACTERS = 36


class SqlNamedKeys(NamedKeys):
    def __init__(self, database: Database) -> None:
        self._database = database
        self._odd: dict[tuple[str, ...], bool] = {}

    def oldest_open(self) -> Timestamp:
        query = select(func.min(_i.created_at), func.min(_i.date_processed)).where(
            _i.status.not_in(COMPLETED)
        )
        with self._database.reading() as connection:
            return min((date for date in connection.execute(query).one() if date), default=NEVER)

    def named(self, places: Sequence[str], keys: Sequence[str]) -> set[str]:
        known = [key for key in keys if _may_be_stored(key)]
        urls = {f"{place}/{key}": key for place in places for key in known}
        uuids = [key for key in known if len(key) <= UUID_CHARACTERS]
        recorded = select(_c.url).join(t.generic_files).where(_f.uuid.in_(uuids))
        doomed = (
            select(_g.urls)
            .join(t.generic_files, _g.generic_file_id == _f.id)
            .where(_g.deleted_at.is_(None), _f.uuid.in_(uuids))
        )
        with self._database.reading() as connection:
            found = set(connection.scalars(recorded))
            found.update(url for some in connection.scalars(doomed) for url in some)
            named = {urls[url] for url in found if url in urls}
            rest = [url for url, key in urls.items() if key not in named]
            if rest and self._has_odd(connection, tuple(places)):
                odd = select(_c.url).where(_c.place.in_(places), _c.url.in_(rest))
                named.update(urls[url] for url in connection.scalars(odd))
        return named

    def _has_odd(self, connection: Connection, places: tuple[str, ...]) -> bool:
        """Whether records there name keys that are not their file's UUID: these have no index, and
        are asked for only then."""
        if places not in self._odd:
            usual = _c.place + "/" + _f.uuid
            query = select(_c.id).join(t.generic_files).where(_c.place.in_(places), _c.url != usual)
            self._odd[places] = connection.scalar(query.limit(1)) is not None
        return self._odd[places]


def _may_be_stored(key: str) -> bool:
    """Whether a database takes it at all."""
    return "\0" not in key and key == key.encode("utf-8", "replace").decode()
