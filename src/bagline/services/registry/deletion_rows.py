"""Rows of deletions that are carried out (`deletion_book.Deletions`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.engine import Row

from bagline.model import times
from bagline.model.deletion import Against, Certificate, DeletionPolicy, DoomedFile
from bagline.model.deletion_wording import deletion_wording
from bagline.model.named_uuids import named_uuid
from bagline.model.premis import PremisEvent
from bagline.model.registry import STATE_ACTIVE, STATE_DELETED, GenericFile
from bagline.model.times import Timestamp, is_set
from bagline.model.workitem import ACTION_DELETE, STATUS_STARTED, WorkItem
from bagline.services.registry import deletion_tables as d
from bagline.services.registry import tables as t
from bagline.services.registry.act_rows import note, noting_row
from bagline.services.registry.base import Conflict, Missing, Unfit
from bagline.services.registry.database import Database
from bagline.services.registry.deletion_book import AT_ONCE, Deletions
from bagline.services.registry.deletion_certifying import (
    DeletionPeople,
    certificate_of,
    certify,
    people_of,
    rows_of,
)
from bagline.services.registry.deletion_checks import (
    DeletionSubject,
    against,
    lock_request,
    not_agreed,
    subject_of,
    waits_until,
)
from bagline.services.registry.deletion_marks import (
    begun_row,
    deleting_item,
    is_in_hand,
    mark_begun,
)
from bagline.services.registry.file_rows import FileRows
from bagline.services.registry.item_rows import item_query
from bagline.services.registry.open_changes import change_of
from bagline.services.registry.rows import ROW_ID, record_of

_f, _o, _g = t.generic_files.c, t.intellectual_objects.c, d.file_deletions.c
DELETION = "deletion"
"""The events' type."""


class SqlDeletions(Deletions):
    def __init__(
        self,
        database: Database,
        *,
        policy: DeletionPolicy = DeletionPolicy(),  # noqa: B008 (never changed)
        clock: times.Clock = times.now,
    ) -> None:
        self.policy = policy
        self._database = database
        self._clock = clock
        self._files = FileRows(clock)

    def begins_at(self, request_id: int) -> Timestamp:
        with self._database.reading() as connection:
            return waits_until(connection, request_id)

    def against(self, item_id: int) -> Against:
        with self._database.reading() as connection:
            item = _item(connection, item_id, locked=False)
            if begun_row(connection, item_id) is not None:
                return Against()
            subject = subject_of(connection, item)
            return against(connection, item, subject, self.policy, self._clock())

    def condemn(self, item_id: int) -> Against:
        with self._database.writing() as connection:
            item = self._held(connection, item_id)
            mark = begun_row(connection, item_id)
            if mark is not None and (is_set(mark.ended_at) or not mark.is_anothers):
                return Against()
            subject, moment = subject_of(connection, item), self._clock()
            # What another's worker has begun goes on without a question.
            found = Against()
            if mark is None or subject is None:
                found = against(connection, item, subject, self.policy, moment)
            if item.action != ACTION_DELETE or item.status != STATUS_STARTED:
                return Against(held=[*found.held, "it is no Delete item that a worker has begun"])
            if found:
                return found
            assert subject is not None
            with noting_row(connection, t.work_items, item_id):
                for files in self._files_of(connection, subject):
                    _write_down(connection, item_id, files, doomed_at=moment)
                mark_begun(connection, item, moment, is_anothers=False)
            return Against()

    def _held(self, connection: Connection, item_id: int) -> WorkItem:
        """The item, which nobody else begins, recalls or saves now. What is locked is locked in one
        order everywhere: the request, the bag, the item. Raises Missing."""
        item = _item(connection, item_id, locked=False)
        lock_request(connection, item.deletion_request_id)
        subject = subject_of(connection, item)
        bag = subject.bag if subject else item.name
        self._database.one_at_a_time(connection, change_of(item.institution_id, bag))
        return _item(connection, item_id)

    def _files_of(
        self, connection: Connection, subject: DeletionSubject
    ) -> Iterator[list[GenericFile]]:
        """Active ones, by id."""
        where = _f.id == subject.file_id
        if not subject.is_file:
            where = _f.intellectual_object_id == subject.object_id
        last = 0
        while True:
            some = self._files.load(
                connection,
                where & (_f.id > last) & (_f.state == STATE_ACTIVE),
                limit=AT_ONCE,
                events=False,
            )
            if not some:
                return
            yield some
            last = some[-1].id

    def doomed(self, item_id: int, *, limit: int = AT_ONCE) -> list[DoomedFile]:
        query = rows_of(item_id).where(_g.deleted_at.is_(None)).limit(limit)
        with self._database.reading() as connection:
            return [record_of(row, DoomedFile) for row in connection.execute(query)]

    def are_gone(self, item_id: int, file_ids: Sequence[int]) -> None:
        if len(file_ids) > AT_ONCE:
            raise ValueError(f"at most {AT_ONCE} files a call, got {len(file_ids)}")
        with self._database.writing() as connection:
            item = _item(connection, item_id)
            query = rows_of(item_id).where(
                _g.deleted_at.is_(None), _g.generic_file_id.in_(list(file_ids))
            )
            rows = connection.execute(query.with_for_update()).all()
            self._mark_files(connection, item, rows)
            after = {"files gone": len(rows), "first": rows[0].identifier} if rows else {}
            if rows:
                subject = f"work item {item_id}"
                note(connection, subject, institution_id=item.institution_id, after=after)

    def conclude(self, item_id: int) -> Certificate:
        with self._database.writing() as connection:
            item = self._held(connection, item_id)
            known = certificate_of(connection, item_id)
            if known is not None:
                return known
            left = connection.scalar(
                select(func.count()).where(_g.work_item_id == item_id, _g.deleted_at.is_(None))
            )
            if left:
                raise Conflict(f"Copies of {left:,} files may still stand.")
            subject = subject_of(connection, item)
            if subject is None:
                raise Missing
            self._check_concluded(connection, item, subject)
            if not item.generic_file_id and subject.object_state == STATE_ACTIVE:
                with noting_row(connection, t.intellectual_objects, subject.object_id):
                    self._delete_object(connection, item, subject)
            return certify(connection, item, subject, self._clock())

    def _check_concluded(
        self, connection: Connection, item: WorkItem, subject: DeletionSubject
    ) -> None:
        """Raises Conflict, unless it was begun by consent and everything of it is deleted."""
        if not is_in_hand(connection, item.id):
            raise Conflict(f"Work item {item.id} is no deletion that has begun.")
        refused = not_agreed(connection, item, has_begun=True)
        if refused:
            raise Conflict(f"Work item {item.id}: {refused}.")
        is_active = _f.id == subject.file_id
        if not subject.is_file:
            is_active = _f.intellectual_object_id == subject.object_id
        left = connection.scalar(select(func.count()).where(is_active, _f.state == STATE_ACTIVE))
        if left:
            raise Conflict(f"{left:,} files that it is about are active.")

    def certificate(self, item_id: int) -> Certificate | None:
        with self._database.reading() as connection:
            return certificate_of(connection, item_id)

    def deleted(self, item_id: int, *, after: int = 0) -> Iterator[list[DoomedFile]]:
        last = after
        while True:
            query = rows_of(item_id).where(_g.generic_file_id > last).limit(AT_ONCE)
            with self._database.reading() as connection:
                found = [record_of(row, DoomedFile) for row in connection.execute(query)]
            if not found:
                return
            yield found
            last = found[-1].generic_file_id

    # -- what an API's DELETE does, for another's worker that took the copies away before

    def delete_file(self, file: GenericFile) -> None:
        """Raises Conflict or NotAllowed."""
        with self._database.writing() as connection:
            owner = file.intellectual_object_id
            item = deleting_item(connection, file.id, owner, self.policy, self._clock())
            if file.state != STATE_ACTIVE:
                raise Conflict("File is already in deleted state")
            _write_down(connection, item.id, [file], doomed_at=self._clock())
            query = rows_of(item.id).where(_g.generic_file_id == file.id, _g.deleted_at.is_(None))
            with noting_row(connection, t.generic_files, file.id):
                self._mark_files(connection, item, connection.execute(query).all())
            if item.generic_file_id:
                self._certify_once(connection, item)

    def delete_object(self, object_id: int) -> None:
        """Raises Conflict or NotAllowed, and Unfit while it has active files."""
        with self._database.writing() as connection:
            item = deleting_item(connection, 0, object_id, self.policy, self._clock())
            subject = subject_of(connection, item)
            if subject is None or subject.object_state != STATE_ACTIVE:
                raise Conflict("Object is already in deleted state")
            is_active = (_f.intellectual_object_id == object_id) & (_f.state == STATE_ACTIVE)
            if connection.scalar(select(_f.id).where(is_active).limit(1)) is not None:
                raise Unfit("The object has active files: delete these first.")
            with noting_row(connection, t.intellectual_objects, object_id):
                self._delete_object(connection, item, subject)
            self._certify_once(connection, item)

    def _certify_once(self, connection: Connection, item: WorkItem) -> None:
        subject = subject_of(connection, item)
        if subject is not None:
            certify(connection, item, subject, self._clock())

    def _delete_object(
        self, connection: Connection, item: WorkItem, subject: DeletionSubject
    ) -> None:
        values = {"state": STATE_DELETED, "updated_at": self._clock()}
        where = _o.id == subject.object_id
        connection.execute(update(t.intellectual_objects).where(where).values(values))
        event = self._event(item, "object", subject.object_identifier, people_of(connection, item))
        event.intellectual_object_id = subject.object_id
        self._files.add_events(connection, [event])

    def _mark_files(self, connection: Connection, item: WorkItem, rows: Sequence[Row[Any]]) -> None:
        ids = [row.generic_file_id for row in rows]
        if not ids:
            return
        _check_as_written_down(connection, rows)
        moment = self._clock()
        copies, repairs = t.storage_records, t.copy_repairs
        of_files = copies.c.generic_file_id.in_(ids)
        held = select(copies.c.id).where(of_files)
        connection.execute(delete(repairs).where(repairs.c.storage_record_id.in_(held)))
        connection.execute(delete(copies).where(of_files))
        values = {"state": STATE_DELETED, "updated_at": moment}
        connection.execute(update(t.generic_files).where(_f.id.in_(ids)).values(values))
        connection.execute(
            update(d.file_deletions)
            .where(_g.work_item_id == item.id, _g.generic_file_id.in_(ids))
            .values(deleted_at=moment)
        )
        objects = dict(
            connection.execute(select(_f.id, _f.intellectual_object_id).where(_f.id.in_(ids))).all()
        )
        events, people = [], people_of(connection, item)
        for row in rows:
            event = self._event(item, "file", row.uuid, people)
            event.generic_file_id = row.generic_file_id
            event.intellectual_object_id = objects[row.generic_file_id]
            events.append(event)
        self._files.add_events(connection, events)

    def _event(self, item: WorkItem, what: str, name: str, people: DeletionPeople) -> PremisEvent:
        words = deletion_wording(is_older=self.policy.is_older_wording)
        return PremisEvent(
            identifier=named_uuid("deletion of", what, item.id, name),
            event_type=DELETION,
            date_time=self._clock(),
            agent=words.agent,
            object=words.object,
            detail=words.file_detail if what == "file" else words.object_detail,
            outcome="Success",
            outcome_detail=people.asker,
            outcome_information=words.information(what, people.asker, people.approver),
            institution_id=item.institution_id,
        )


def _item(connection: Connection, item_id: int, *, locked: bool = True) -> WorkItem:
    """Raises Missing."""
    row = connection.execute(item_query(locked=locked), {ROW_ID: item_id}).one_or_none()
    if row is None:
        raise Missing
    return record_of(row, WorkItem)


def _check_as_written_down(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    """No file has become another, or gained a copy that nobody took away. Raises Conflict."""
    ids = [row.generic_file_id for row in rows]
    uuids: dict[int, str] = dict(
        connection.execute(select(_f.id, _f.uuid).where(_f.id.in_(ids))).all()
    )
    copies = t.storage_records.c
    urls = {(row.generic_file_id, url) for row in rows for url in row.urls}
    stands = select(copies.generic_file_id, copies.url).where(copies.generic_file_id.in_(ids))
    newer = [
        f"{url} of file {number}"
        for number, url in connection.execute(stands)
        if (number, url) not in urls
    ]
    newer += [row.identifier for row in rows if uuids.get(row.generic_file_id) != row.uuid]
    if newer:
        raise Conflict(f"It was stored anew after its deletion had begun: {', '.join(newer[:5])}")


def _write_down(
    connection: Connection, item_id: int, files: Sequence[GenericFile], *, doomed_at: Timestamp
) -> None:
    query = select(_g.generic_file_id).where(
        _g.work_item_id == item_id, _g.generic_file_id.in_([file.id for file in files])
    )
    known = set(connection.scalars(query))
    rows = [
        {
            "work_item_id": item_id,
            "generic_file_id": file.id,
            "identifier": file.identifier,
            "uuid": file.uuid,
            "size": file.size,
            "digests": {
                algorithm: file.newest_digest(algorithm)
                for algorithm in sorted({each.algorithm for each in file.checksums})
            },
            "urls": [copy.url for copy in file.storage_records],
            "doomed_at": doomed_at,
            "deleted_at": None,
        }
        for file in files
        if file.id not in known
    ]
    if rows:
        connection.execute(insert(d.file_deletions), rows)
