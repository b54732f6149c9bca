"""The Registry in a SQL database: SQLite on one machine, PostgreSQL in a fleet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import Connection, Table, select

from bagline.errors import Refused
from bagline.model import times
from bagline.model.bag_form import BagForm
from bagline.model.deletion import DeletionPolicy
from bagline.model.ingest import bag_name
from bagline.model.premis import PremisEvent
from bagline.model.registry import (
    STATE_ACTIVE,
    GenericFile,
    Institution,
    IntellectualObject,
)
from bagline.model.workitem import COMPLETED, WorkItem
from bagline.problems import Problem
from bagline.services.registry import tables as t
from bagline.services.registry.act_rows import note_files, note_row, noting_row, row_before
from bagline.services.registry.alert_rows import SqlAlerts
from bagline.services.registry.base import (
    Begin,
    Begun,
    Conflict,
    Registry,
    WorkItemFilter,
)
from bagline.services.registry.copy_rows import SqlCopies
from bagline.services.registry.database import Database
from bagline.services.registry.deletion_marks import SqlBegun, is_deletion, outcome_held
from bagline.services.registry.deletion_rows import SqlDeletions
from bagline.services.registry.file_rows import FileRows
from bagline.services.registry.holding_rows import SqlHoldings
from bagline.services.registry.item_rows import (
    bags_items,
    check_change,
    item_query,
    items_in,
    others_query,
    replace_problems,
)
from bagline.services.registry.object_rows import load_form, load_object, save_form
from bagline.services.registry.open_changes import change_of, of_bag
from bagline.services.registry.outliving_rows import SqlOutliving
from bagline.services.registry.rows import ROW_ID, adding, changing, record_of, row_of
from bagline.services.registry.spot_rows import SqlSpotTests

FILES_PER_CALL = 1000
Saved = TypeVar("Saved", Institution, WorkItem, IntellectualObject)


class SqlRegistry(SqlOutliving, SqlBegun, Registry):
    """See `base.Registry`. `clock` gives created_at and updated_at."""

    def __init__(
        self,
        database: Database,
        *,
        clock: times.Clock = times.now,
        policy: DeletionPolicy = DeletionPolicy(),  # noqa: B008 (never changed)
    ) -> None:
        self._database = database
        self._clock = clock
        self._policy = policy
        self._deletions = SqlDeletions(database, policy=policy, clock=clock)
        self._files = FileRows(clock)
        self._copies = SqlCopies(database, clock=clock)
        self._spot_tests = SqlSpotTests(database)
        self._alerts = SqlAlerts(database)
        self._holdings = SqlHoldings(database, self._copies)

    # -- institutions
    def institutions(self) -> list[Institution]:
        query = select(t.institutions).order_by(t.institutions.c.name, t.institutions.c.id)
        with self._database.reading() as connection:
            return [record_of(row, Institution) for row in connection.execute(query)]

    def institution(self, id_or_identifier: int | str) -> Institution | None:
        columns = t.institutions.c
        column = columns.id if isinstance(id_or_identifier, int) else columns.identifier
        with self._database.reading() as connection:
            query = select(t.institutions).where(column == id_or_identifier)
            row = connection.execute(query).one_or_none()
        return None if row is None else record_of(row, Institution)

    def save_institution(self, institution: Institution) -> Institution:
        with self._database.writing() as connection:
            return self._save(connection, t.institutions, institution, Institution)

    # -- work items
    def work_item(self, item_id: int) -> WorkItem | None:
        with self._database.reading() as connection:
            row = connection.execute(item_query(locked=False), {ROW_ID: item_id}).one_or_none()
        return None if row is None else record_of(row, WorkItem)

    def work_items(self, wanted: WorkItemFilter, *, limit: int = 1000) -> list[WorkItem]:
        columns = t.work_items.c
        query = select(t.work_items)
        for column, value in (
            (columns.institution_id, wanted.institution_id),
            (columns.name, wanted.name),
            (columns.etag, wanted.etag),
            (columns.action, wanted.action),
            (columns.stage, wanted.stage),
            (columns.retry, wanted.retry),
        ):
            if value is not None:
                query = query.where(column == value)
        if wanted.statuses is not None:
            query = query.where(columns.status.in_(list(wanted.statuses)))
        if wanted.is_queued is not None:
            unqueued = columns.queued_at.is_(None)
            query = query.where(~unqueued if wanted.is_queued else unqueued)
        query = query.order_by(columns.date_processed.desc(), columns.id.desc()).limit(limit)
        with self._database.reading() as connection:
            return [record_of(row, WorkItem) for row in connection.execute(query)]

    def begin_work_item(
        self,
        item_id: int,
        begin: Begin,
        *,
        with_others: bool = True,
    ) -> Begun | None:
        with self._database.writing() as connection:
            row = connection.execute(item_query(locked=True), {ROW_ID: item_id}).one_or_none()
            if row is None:
                return None
            item = record_of(row, WorkItem)
            like = {
                "name": item.name,
                "institution_id": item.institution_id,
                "action": item.action,
                ROW_ID: item_id,
            }
            found = connection.execute(others_query(), like) if with_others else ()
            others = [record_of(other, WorkItem) for other in found]
            if not begin(item, others):
                return Begun(item, others, False)
            return Begun(self._save(connection, t.work_items, item, WorkItem), others, True)

    def save_work_item(
        self,
        item: WorkItem,
        *,
        unless_status: Sequence[str] = (),
        unless_changed: bool = False,
        problems: Sequence[Problem] | None = None,
    ) -> WorkItem:
        with self._database.writing() as connection:
            if not item.id:
                self._hold_bag(connection, item)
            if item.id and (unless_status or unless_changed or problems is not None):
                stored = connection.execute(
                    item_query(locked=True), {ROW_ID: item.id}
                ).one_or_none()
                if problems is not None:
                    replace_problems(connection, item.id, problems)
                if stored is not None and (
                    stored.status in unless_status
                    or (unless_changed and stored.updated_at != item.updated_at)
                ):
                    return record_of(stored, WorkItem)
            return self._save(connection, t.work_items, item, WorkItem)

    def open_work_item(self, item: WorkItem) -> WorkItem:
        columns = t.work_items.c
        query = select(t.work_items).where(
            columns.action == item.action,
            columns.bucket == item.bucket,
            columns.name == item.name,
            columns.status.not_in(COMPLETED),
        )
        with self._database.writing() as connection:
            self._database.one_at_a_time(connection, f"{item.bucket}/{item.name}")
            self._hold_bag(connection, item)
            stored = connection.execute(query.order_by(columns.id.desc()).limit(1)).one_or_none()
            if stored is not None:
                return record_of(stored, WorkItem)
            return self._save(connection, t.work_items, item, WorkItem)

    def items_of_bag(self, institution_id: int, name: str, *, action: str = "") -> list[WorkItem]:
        query = bags_items(institution_id, name)
        if action:
            query = query.where(t.work_items.c.action == action)
        with self._database.reading() as connection:
            return of_bag(items_in(connection, query), name)

    def open_change(self, item: WorkItem, *, follows: int = 0) -> WorkItem:
        """One that has ended (its id is not 0) is opened again, if nobody has saved it since it was
        read."""
        with self._database.writing() as connection:
            check_change(connection, item, self._hold_bag(connection, item), follows)
            if item.id:
                stored = connection.execute(item_query(locked=True), {ROW_ID: item.id}).one()
                if stored.updated_at != item.updated_at:
                    raise Conflict(f"Work item {item.id} was saved meanwhile: ask again.")
            return self._save(connection, t.work_items, item, WorkItem)

    # -- objects
    def intellectual_object(self, identifier: str) -> IntellectualObject | None:
        with self._database.reading() as connection:
            return load_object(connection, t.intellectual_objects.c.identifier == identifier)

    def save_intellectual_object(self, object: IntellectualObject) -> IntellectualObject:
        columns = t.intellectual_objects.c
        with self._database.writing() as connection:
            if not object.id:
                known = connection.scalar(
                    select(columns.id).where(columns.identifier == object.identifier)
                )
                object.id = known or 0
            row = self._save(connection, t.intellectual_objects, object, IntellectualObject)
            if object.bag_form is not None:
                save_form(connection, row.id, object.bag_form)
            saved = load_object(connection, columns.identifier == object.identifier)
        assert saved is not None
        return saved

    def bag_form(self, object_id: int) -> BagForm | None:
        with self._database.reading() as connection:
            return load_form(connection, object_id)

    @property
    def copies(self) -> SqlCopies:
        return self._copies

    @property
    def spot_tests(self) -> SqlSpotTests:
        return self._spot_tests

    @property
    def deletions(self) -> SqlDeletions:
        return self._deletions

    @property
    def alerts(self) -> SqlAlerts:
        return self._alerts

    @property
    def holdings(self) -> SqlHoldings:
        return self._holdings

    # -- files
    def files(
        self, identifiers: Sequence[str], *, with_events: bool = True
    ) -> dict[str, GenericFile]:
        found: dict[str, GenericFile] = {}
        with self._database.reading() as connection:
            for start in range(0, len(identifiers), FILES_PER_CALL):
                some = list(identifiers[start : start + FILES_PER_CALL])
                column = t.generic_files.c.identifier
                for file in self._files.load(connection, column.in_(some), events=with_events):
                    found[file.identifier] = file
        return found

    def file(self, file_id: int) -> GenericFile | None:
        where = t.generic_files.c.id == file_id
        with self._database.reading() as connection:
            found = self._files.load(connection, where, events=False)
        return found[0] if found else None

    def files_due(
        self, options: Sequence[str], *, checked_before: times.Timestamp
    ) -> Iterator[list[GenericFile]]:
        asked, batch = (options, checked_before), list[GenericFile]()
        while True:
            last = batch[-1] if batch else None
            with self._database.reading() as connection:
                batch = self._files.load_due(connection, *asked, last, FILES_PER_CALL)
            if not batch:
                return
            yield batch

    def finds_files(self) -> bool:
        return True

    def iter_object_files(
        self, object_id: int, *, with_deleted: bool = False
    ) -> Iterator[list[GenericFile]]:
        last = 0
        columns = t.generic_files.c
        while True:
            where = (columns.intellectual_object_id == object_id) & (columns.id > last)
            if not with_deleted:
                where &= columns.state == STATE_ACTIVE
            with self._database.reading() as connection:
                batch = self._files.load(connection, where, limit=FILES_PER_CALL, events=False)
            if not batch:
                return
            last = batch[-1].id
            yield batch

    def files_in_order(self, object_id: int, *, after: str = "") -> Iterator[list[GenericFile]]:
        while batch := self.files_after(object_id, after):
            yield batch
            after = batch[-1].identifier

    def files_after(
        self, object_id: int, after: str, limit: int = FILES_PER_CALL
    ) -> list[GenericFile]:
        """The next batch of `files_in_order`; none of an object that does not exist."""
        columns = t.intellectual_objects.c
        with self._database.reading() as connection:
            owner = connection.scalar(select(columns.identifier).where(columns.id == object_id))
            if owner is None:
                return []
            return self._files.load_after(connection, owner, after, min(limit, FILES_PER_CALL))

    def create_files(self, files: Sequence[GenericFile]) -> list[GenericFile]:
        if len(files) > FILES_PER_CALL:
            raise ValueError(f"at most {FILES_PER_CALL} files a call, got {len(files)}")
        with self._database.writing() as connection:
            made = self._files.create(connection, files)
            note_files(connection, made)
            return made

    def update_file(
        self,
        file: GenericFile,
        *,
        recorded_urls: Sequence[str] = (),  # noqa: ARG002 (they stand in the database)
    ) -> GenericFile:
        with self._database.writing() as connection:
            with noting_row(connection, t.generic_files, file.id):
                self._files.update(connection, file)
            where = t.generic_files.c.id == file.id
            return self._files.load(connection, where)[0]

    # -- events
    def create_events(self, events: Sequence[PremisEvent]) -> list[PremisEvent]:
        names = [event.identifier for event in events]
        column = t.premis_events.c.identifier
        with self._database.writing() as connection:
            self._files.add_events(connection, list(events))
            rows = connection.execute(select(t.premis_events).where(column.in_(names)))
            stored = {row.identifier: record_of(row, PremisEvent) for row in rows}
        return [stored[name] for name in names]

    def events(self, *, object_id: int = 0, file_id: int = 0) -> list[PremisEvent]:
        columns = t.premis_events.c
        query = select(t.premis_events).order_by(columns.date_time, columns.id)
        if file_id:
            query = query.where(columns.generic_file_id == file_id)
        else:
            query = query.where(
                columns.intellectual_object_id == object_id, columns.generic_file_id.is_(None)
            )
        with self._database.reading() as connection:
            return [record_of(row, PremisEvent) for row in connection.execute(query)]

    def ping(self) -> Mapping[str, str]:
        engine = self._database.engine
        with self._database.reading() as connection:
            version = connection.dialect.server_version_info
        return {
            "product": engine.dialect.name,
            "version": ".".join(str(part) for part in version or ()),
            "schema": self._database.schema(),
        }

    def try_write(self) -> bool:
        self._database.try_write()
        return True

    def close(self) -> None:
        self._database.close()

    # -- how
    def _hold_bag(self, connection: Connection, item: WorkItem) -> str:
        """Its name. Items of one bag are begun one at a time: a deletion that begins sees them."""
        bag = bag_name(item.name)
        self._database.one_at_a_time(connection, change_of(item.institution_id, bag))
        return bag

    def _save(
        self, connection: Connection, table: Table, record: Saved, kind: type[Saved]
    ) -> Saved:
        moment = self._clock()
        values = row_of(record, table) | {"updated_at": moment}
        values.pop("id", None)
        if isinstance(record, WorkItem) and is_deletion(record):
            values["outcome"] = outcome_held(connection, record, self._policy, moment)
        before = row_before(connection, table, record.id)
        if record.id:
            values.pop("created_at", None)
            row = connection.execute(changing(table), values | {ROW_ID: record.id}).one_or_none()
            if row is None:
                raise Refused(f"the Registry has no {table.name} row {record.id}")
        else:
            values["created_at"] = moment
            row = connection.execute(adding(table), values).one()
        note_row(connection, table, before, row)
        return record_of(row, kind)
