"""Rows of copies: taken to be looked at, and what was found (`copy_book.Copies`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.engine import Row

from bagline.model import times
from bagline.model.copy_checks import (
    BAD,
    PROVEN,
    CopyCheck,
    CopySeen,
    FixityRun,
    KeptCopy,
    PlaceTotals,
)
from bagline.model.premis import PremisEvent
from bagline.model.registry import STATE_ACTIVE, Checksum
from bagline.services.registry import tables as t
from bagline.services.registry.act_rows import note
from bagline.services.registry.copy_book import AHEAD, Copies, CopyFilter
from bagline.services.registry.copy_statements import (
    ASKED_NOW,
    NOTED_BAD,
    NOTED_PROVEN,
    PROVEN_NOW,
    WERE_BAD,
    found,
    noted,
)
from bagline.services.registry.database import Database
from bagline.services.registry.file_rows import FileRows
from bagline.services.registry.rows import record_of, records_of, row_of

_c, _f, _o, _r, _h = (
    t.storage_records.c,
    t.generic_files.c,
    t.intellectual_objects.c,
    t.fixity_runs.c,
    t.copy_repairs.c,
)
IN_AT_ONCE = 1_000


class SqlCopies(Copies):
    def __init__(self, database: Database, *, clock: times.Clock = times.now) -> None:
        self._database = database
        self._files = FileRows(clock)

    def totals(self) -> list[PlaceTotals]:
        key = (_c.place, _f.storage_option, _f.institution_id)
        query = (
            select(
                *key,
                func.count(),
                func.coalesce(func.sum(_f.size), 0),
                func.coalesce(func.sum(case((_c.proven_at.is_(None), 1), else_=0)), 0),
                func.coalesce(func.sum(case((_c.outcome.in_(BAD), 1), else_=0)), 0),
                func.min(_c.proven_at),
            )
            .join(t.generic_files)
            .where(_f.state == STATE_ACTIVE)
            .group_by(*key)
            .order_by(*key)
        )
        with self._database.reading() as connection:
            return [
                PlaceTotals(
                    place=row[0],
                    storage_option=row[1],
                    institution_id=row[2],
                    copies=int(row[3]),
                    bytes=int(row[4]),
                    unproven=int(row[5]),
                    bad=int(row[6]),
                    oldest=row[7] or times.NEVER,
                )
                for row in connection.execute(query)
            ]

    def overdue(
        self,
        before: times.Timestamp,
        *,
        now: times.Timestamp,
        asked_before: times.Timestamp | None = None,
    ) -> dict[str, tuple[int, int]]:
        query = (
            select(_c.place, func.count(), func.coalesce(func.sum(_f.size), 0))
            .select_from(t.storage_records.join(t.generic_files))
            .where(
                _f.state == STATE_ACTIVE,
                or_(_c.proven_at.is_(None), _c.proven_at <= before, _c.proven_at > _far(now)),
                *((_not_asked(asked_before, _far(now)),) if asked_before else ()),
            )
            .group_by(_c.place)
        )
        with self._database.reading() as connection:
            return {row[0]: (int(row[1]), int(row[2])) for row in connection.execute(query)}

    def take(
        self,
        place: str,
        wanted: CopyFilter,
        *,
        limit: int,
        now: times.Timestamp,
        asked_before: times.Timestamp,
        until: times.Timestamp,
    ) -> list[KeptCopy]:
        with self._database.reading() as connection:  # of most places none waits
            if not any(
                connection.scalar(query.limit(1))
                for query in self._free(place, wanted, now, asked_before)
            ):
                return []
        with self._database.writing() as connection:
            ids: list[int] = []
            for query in self._free(place, wanted, now, asked_before):
                if len(ids) < limit:
                    some = query.limit(limit - len(ids))
                    ids += connection.scalars(
                        some.with_for_update(skip_locked=True, of=t.storage_records)
                    )
            found = self._load(connection, _c.id.in_(ids)) if ids else []
            if ids:
                taken = update(t.storage_records).where(_c.id.in_(ids)).values(taken_until=until)
                connection.execute(taken)
        return sorted(found, key=lambda copy: (copy.proven_at, copy.id))

    def _free(
        self,
        place: str,
        wanted: CopyFilter,
        now: times.Timestamp,
        asked_before: times.Timestamp,
    ) -> list[Select[tuple[int]]]:
        """Those that were bad; then those without a date (databases do not agree on where they
        stand in an order), those whose date means nothing, and the others."""
        far = _far(now)
        query = (
            select(_c.id)
            .join(t.generic_files)
            .where(
                _c.place == place,
                _f.state == STATE_ACTIVE,
                or_(_c.taken_until.is_(None), _c.taken_until <= now, _c.taken_until > far),
            )
            .order_by(_c.proven_at, _c.id)
        )
        if wanted.institution_id is not None:
            query = query.where(_f.institution_id == wanted.institution_id)
        if wanted.storage_option is not None:
            query = query.where(_f.storage_option == wanted.storage_option)
        last = min(wanted.proven_before, far) if times.is_set(wanted.proven_before) else far
        bad_before = max(asked_before, wanted.bad_asked_before)
        bad = query.where(_c.outcome.in_(WERE_BAD), _not_asked(bad_before, far))
        good = query.where(_c.outcome.not_in(WERE_BAD), _not_asked(asked_before, far))
        dates = (_c.proven_at.is_(None), _c.proven_at > far, _c.proven_at <= last)
        return [bad, *(good.where(date) for date in dates)]

    def give_back(self, copies: Sequence[KeptCopy], until: times.Timestamp) -> None:
        self._hold(copies, until, None)

    def keep(
        self, copies: Sequence[KeptCopy], until: times.Timestamp, longer: times.Timestamp
    ) -> None:
        self._hold(copies, until, longer)

    def _hold(
        self, copies: Sequence[KeptCopy], until: times.Timestamp, longer: times.Timestamp | None
    ) -> None:
        with self._database.writing() as connection:
            for start in range(0, len(copies), IN_AT_ONCE):
                ids = [copy.id for copy in copies[start : start + IN_AT_ONCE]]
                held = update(t.storage_records).where(_c.id.in_(ids), _c.taken_until == until)
                connection.execute(held.values(taken_until=longer))

    def save(
        self,
        checks: Sequence[CopyCheck],
        events: Sequence[PremisEvent] = (),
        run: FixityRun | None = None,
    ) -> None:
        with self._database.writing() as connection:
            if run is not None:
                row = row_of(run, t.fixity_runs)
                connection.execute(update(t.fixity_runs).where(_r.id == row.pop("id")).values(row))
            for is_proven in (True, False):
                some = [found(c) for c in checks if (c.outcome == PROVEN) is is_proven]
                if some:
                    connection.execute(PROVEN_NOW if is_proven else ASKED_NOW, some)
            self._date_files(connection, sorted({check.copy.file_id for check in checks}))
            self._files.add_events(connection, list(events))
            for check in checks:
                was = {"outcome": check.copy.outcome, "detail": check.copy.detail}
                note(
                    connection,
                    f"copy {check.copy.url}",
                    institution_id=check.copy.institution_id,
                    before=was,
                    after={"outcome": check.outcome, "detail": check.detail},
                )

    def _date_files(self, connection: Connection, ids: Sequence[int]) -> None:
        """A file was last proven when the copy was that waits longest."""
        for start in range(0, len(ids), IN_AT_ONCE):
            some = ids[start : start + IN_AT_ONCE]
            oldest = (
                select(func.min(_c.proven_at)).where(_c.generic_file_id == _f.id).scalar_subquery()
            )
            lacks = (
                select(_c.id).where(_c.generic_file_id == _f.id, _c.proven_at.is_(None)).exists()
            )
            connection.execute(
                update(t.generic_files)
                .where(_f.id.in_(some), ~lacks)
                .values(last_fixity_check=func.coalesce(oldest, _f.last_fixity_check))
            )

    def note(self, seen: Sequence[CopySeen]) -> None:
        with self._database.writing() as connection:
            for is_proven in (True, False):
                some = [noted(each) for each in seen if (each.outcome == PROVEN) is is_proven]
                if some:
                    connection.execute(NOTED_PROVEN if is_proven else NOTED_BAD, some)
            proven = sorted({each.uuid for each in seen if each.outcome == PROVEN})
            ids: list[int] = []
            for start in range(0, len(proven), IN_AT_ONCE):
                known = select(_f.id).where(_f.uuid.in_(proven[start : start + IN_AT_ONCE]))
                ids += connection.scalars(known)
            self._date_files(connection, ids)

    def of_file(self, file_id: int) -> list[KeptCopy]:
        with self._database.reading() as connection:
            return self._load(connection, _c.generic_file_id == file_id)

    def bad(self, *, limit: int = 1_000, offset: int = 0) -> list[KeptCopy]:
        with self._database.reading() as connection:
            return self._load(connection, _c.outcome.in_(WERE_BAD), limit=limit, offset=offset)

    def _load(
        self,
        connection: Connection,
        where: ColumnElement[bool],
        *,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[KeptCopy]:
        query = (
            select(
                t.storage_records,
                _f.identifier,
                _f.uuid,
                _f.size,
                _f.institution_id,
                _f.storage_option,
                _o.id.label("object_id"),
                _o.identifier.label("object_identifier"),
                _o.bag_name,
            )
            .join(t.generic_files, _c.generic_file_id == _f.id)
            .join(t.intellectual_objects, _f.intellectual_object_id == _o.id)
            .where(where, _f.state == STATE_ACTIVE)
            .order_by(_c.proven_at, _c.id)
            .limit(limit)
            .offset(offset)
        )
        rows = list(connection.execute(query))
        digests = self._digests(connection, sorted({row.generic_file_id for row in rows}))
        return [_copy(row, digests[row.generic_file_id]) for row in rows]

    def _digests(self, connection: Connection, ids: Sequence[int]) -> dict[int, dict[str, str]]:
        """The newest of each algorithm, by file."""
        found: dict[int, dict[str, str]] = defaultdict(dict)
        table = t.checksums
        for start in range(0, len(ids), IN_AT_ONCE):
            query = (
                select(table)
                .where(table.c.generic_file_id.in_(ids[start : start + IN_AT_ONCE]))
                .order_by(table.c.datetime, table.c.id)
            )
            for row, checksum in records_of(connection.execute(query), Checksum):
                found[row.generic_file_id][checksum.algorithm] = checksum.digest
        return found

    def hold_for_repair(
        self, copy: KeptCopy, holder: str, *, now: times.Timestamp, until: times.Timestamp
    ) -> bool:
        values = {"held_by": holder, "held_until": until}
        mine = _h.storage_record_id == copy.id
        with self._database.writing() as connection:
            locked = select(_c.id).where(_c.id == copy.id).with_for_update()
            if connection.scalar(locked) is None:
                return False
            held = connection.execute(select(t.copy_repairs).where(mine)).one_or_none()
            if held is None:
                row = {"storage_record_id": copy.id, "intellectual_object_id": copy.object_id}
                connection.execute(insert(t.copy_repairs).values(row | values))
            elif held.held_by != holder and now < held.held_until <= _far(now):
                return False
            else:
                connection.execute(update(t.copy_repairs).where(mine).values(values))
        return True

    def free_from_repair(self, copy: KeptCopy, holder: str) -> None:
        mine = and_(_h.storage_record_id == copy.id, _h.held_by == holder)
        with self._database.writing() as connection:
            connection.execute(delete(t.copy_repairs).where(mine))

    def repaired_until(self, object_identifier: str, *, now: times.Timestamp) -> times.Timestamp:
        query = (
            select(func.max(_h.held_until))
            .join(t.intellectual_objects, _h.intellectual_object_id == _o.id)
            .where(
                _o.identifier == object_identifier, _h.held_until > now, _h.held_until <= _far(now)
            )
        )
        with self._database.reading() as connection:
            return connection.scalar(query) or times.NEVER

    def save_run(self, run: FixityRun) -> FixityRun:
        row = row_of(run, t.fixity_runs)
        number = row.pop("id")
        with self._database.writing() as connection:
            if number:
                connection.execute(update(t.fixity_runs).where(_r.id == number).values(row))
            else:
                made = insert(t.fixity_runs).values(row).returning(_r.id)
                run.id = connection.execute(made).scalar_one()
        return run

    def runs(self, *, since: times.Timestamp = times.NEVER, limit: int = 100) -> list[FixityRun]:
        query = select(t.fixity_runs).order_by(_r.began_at.desc(), _r.id.desc()).limit(limit)
        if times.is_set(since):
            query = query.where(_r.began_at > since)
        with self._database.reading() as connection:
            return [record_of(row, FixityRun) for row in connection.execute(query)]


def _not_asked(since: times.Timestamp, far: times.Timestamp) -> ColumnElement[bool]:
    """Nobody looked since then; what a clock that ran ahead said means nothing."""
    return or_(_c.asked_at.is_(None), _c.asked_at <= since, _c.asked_at > far)


def _far(now: times.Timestamp) -> times.Timestamp:
    return times.from_datetime(times.to_datetime(now) + AHEAD)


def _copy(row: Row[Any], digests: dict[str, str]) -> KeptCopy:
    return KeptCopy(
        id=row.id,
        url=row.url,
        place=row.place,
        file_id=row.generic_file_id,
        identifier=row.identifier,
        uuid=row.uuid,
        size=row.size,
        institution_id=row.institution_id,
        object_id=row.object_id,
        object_identifier=row.object_identifier,
        bag_name=row.bag_name,
        storage_option=row.storage_option,
        digests=digests,
        proven_at=row.proven_at or times.NEVER,
        proven_by=row.proven_by,
        asked_at=row.asked_at or times.NEVER,
        outcome=row.outcome,
        detail=row.detail,
    )
