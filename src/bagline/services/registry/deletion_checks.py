"""What stands against a deletion: asked in the transaction that begins it, and before.

Consent is only good for what was there when it was asked, from people who still may give it
(contract J3, mended).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from bagline.model.deletion import Against, DeletionPolicy
from bagline.model.registry import STATE_ACTIVE
from bagline.model.times import NEVER, Timestamp, is_set, later, to_datetime
from bagline.model.workitem import (
    ACTION_INGEST,
    COMPLETED,
    STATUS_SUCCESS,
    WorkItem,
)
from bagline.services.registry import deletion_tables as d
from bagline.services.registry import tables as t
from bagline.services.registry.item_rows import bags_items, items_in
from bagline.services.registry.open_changes import in_conflict, of_bag
from bagline.services.registry.users import INST_ADMIN, SYS_ADMIN, ApiUser

_f, _o = t.generic_files.c, t.intellectual_objects.c


class DeletionSubject(NamedTuple):
    """The object whose files go, and whether it goes itself; else the one file."""

    institution_id: int
    object_id: int
    object_identifier: str
    bag: str
    """The name that its work items have, without `.tar`."""
    object_state: str
    storage_option: str
    file_id: int
    file_state: str
    created_at: Timestamp
    """Of the file, else of the object."""

    @property
    def is_file(self) -> bool:
        return bool(self.file_id)


def subject_of(connection: Connection, item: WorkItem) -> DeletionSubject | None:
    """What the item is about; None where the Registry has no such thing of its institution."""
    file = None
    if item.generic_file_id:
        columns = (_f.id, _f.state, _f.created_at, _f.intellectual_object_id)
        of_institution = _f.institution_id == item.institution_id
        file = connection.execute(
            select(*columns).where(_f.id == item.generic_file_id, of_institution)
        ).one_or_none()
        if file is None:
            return None
    object_id = file.intellectual_object_id if file is not None else item.intellectual_object_id
    row = connection.execute(
        select(t.intellectual_objects).where(
            _o.id == object_id, _o.institution_id == item.institution_id
        )
    ).one_or_none()
    if row is None:
        return None
    return subject_with(row, file)


def subject_with(object: Any, file: Any | None) -> DeletionSubject:
    """Of their rows, or records."""
    return DeletionSubject(
        institution_id=object.institution_id,
        object_id=object.id,
        object_identifier=object.identifier,
        bag=object.bag_name or object.identifier.partition("/")[2],
        object_state=object.state,
        storage_option=object.storage_option,
        file_id=file.id if file is not None else 0,
        file_state=file.state if file is not None else "",
        created_at=file.created_at if file is not None else object.created_at,
    )


def against(
    connection: Connection,
    item: WorkItem,
    subject: DeletionSubject | None,
    policy: DeletionPolicy,
    now: Timestamp,
) -> Against:
    """Everything that stands against it now. The item is one that its worker has begun."""
    if subject is None:
        return Against(held=["the Registry has no such object or file of its institution"])
    return Against(
        withdrawn=[*_people(connection, item), *overtaken(connection, item, subject)],
        held=list(_time(connection, subject, policy, now)),
        busy=[*_recallable(connection, item, now), *_busy(connection, item, subject, now)],
    )


def against_agreeing(
    connection: Connection,
    item: WorkItem,
    subject: DeletionSubject,
    policy: DeletionPolicy,
    now: Timestamp,
) -> Iterator[str]:
    """What became of it since it was asked for: told to who would approve."""
    for newer in overtaken(connection, item, subject):
        yield f"{newer}: refuse the request, and ask anew"
    yield from _time(connection, subject, policy, now)


def retained_until(created_at: Timestamp, days: int) -> Timestamp:
    """When what is kept at least so many days may go."""
    return later(created_at, timedelta(days=days)) if is_set(created_at) else created_at


def may_ask(user: ApiUser | None, institution_id: int) -> bool:
    return (
        user is not None
        and user.enabled
        and user.role == INST_ADMIN
        and user.institution_id == institution_id
    )


def may_approve(user: ApiUser | None, institution_id: int) -> bool:
    """Whether somebody may agree to what another asked for."""
    is_admin = user is not None and user.enabled and user.role == SYS_ADMIN
    return is_admin or may_ask(user, institution_id)


def user_in(connection: Connection, user_id: int | None) -> ApiUser | None:
    if not user_id:
        return None
    row = connection.execute(select(t.api_users).where(t.api_users.c.id == user_id)).one_or_none()
    if row is None:
        return None
    return ApiUser(
        id=row.id,
        email=row.email,
        role=row.role,
        institution_id=row.institution_id or 0,
        enabled=row.enabled,
    )


def open_items_of(connection: Connection, institution_id: int, bag: str) -> list[WorkItem]:
    query = bags_items(institution_id, bag).where(t.work_items.c.status.not_in(COMPLETED))
    query = query.limit(None)
    return of_bag(items_in(connection, query), bag)


def not_agreed(connection: Connection, item: WorkItem, *, has_begun: bool = False) -> str:
    """Why its request is no consent; "" where two people stand behind it. What has begun goes on
    when the rest of its request is recalled."""
    table = d.deletion_requests
    row = connection.execute(
        select(table).where(table.c.id == item.deletion_request_id)
    ).one_or_none()
    if row is None or row.institution_id != item.institution_id:
        return f"there is no deletion request {item.deletion_request_id} of its institution"
    if is_set(row.cancelled_at) and not has_begun:
        return f"deletion request {row.id} was refused or recalled"
    if not is_set(row.confirmed_at) or not row.requested_by_id or not row.confirmed_by_id:
        return f"nobody has approved deletion request {row.id}"
    if not _is_listed(connection, item):
        return f"deletion request {row.id} is not about this"
    return ""


def lock_request(connection: Connection, request_id: int) -> None:
    """Until the transaction ends nobody approves or recalls it."""
    table = d.deletion_requests.c
    connection.execute(select(table.id).where(table.id == request_id).with_for_update())


def _is_listed(connection: Connection, item: WorkItem) -> bool:
    """Whether what the item is about is what was agreed on: items can be made by hand."""
    if item.generic_file_id:
        files = d.deletion_requests_generic_files.c
        where = (files.generic_file_id == item.generic_file_id) & (
            files.deletion_request_id == item.deletion_request_id
        )
        return connection.scalar(select(files.generic_file_id).where(where)) is not None
    objects = d.deletion_requests_intellectual_objects.c
    where = (objects.intellectual_object_id == item.intellectual_object_id) & (
        objects.deletion_request_id == item.deletion_request_id
    )
    return connection.scalar(select(objects.intellectual_object_id).where(where)) is not None


def _people(connection: Connection, item: WorkItem) -> Iterator[str]:
    """Both agree still, and may."""
    refused = not_agreed(connection, item)
    if refused:
        yield refused
        return
    table = d.deletion_requests.c
    row = connection.execute(
        select(table.requested_by_id, table.confirmed_by_id).where(
            table.id == item.deletion_request_id
        )
    ).one()
    asker, approver = user_in(connection, row[0]), user_in(connection, row[1])
    if not may_ask(asker, item.institution_id):
        yield f"{item.user or 'who asked for it'} is no active administrator of the institution now"
    if not may_approve(approver, item.institution_id):
        yield f"{item.inst_approver or 'who approved it'} may not approve deletions any more"
    named = (item.user, item.inst_approver)
    known = (asker.email if asker else "", approver.email if approver else "")
    if asker is not None and approver is not None and named != known:
        yield f"the item names other people than deletion request {item.deletion_request_id}"


def overtaken(connection: Connection, item: WorkItem, subject: DeletionSubject) -> Iterator[str]:
    """A newer version was ingested after the request: nobody agreed to lose that one."""
    table = d.deletion_requests
    asked_at = connection.scalar(
        select(table.c.requested_at).where(table.c.id == item.deletion_request_id)
    )
    bag = subject.bag
    query = bags_items(item.institution_id, bag).where(
        t.work_items.c.action == ACTION_INGEST, t.work_items.c.status == STATUS_SUCCESS
    )
    for ingest in of_bag(items_in(connection, query), bag):
        if asked_at is not None and is_after(ingest.updated_at, asked_at):
            yield (
                f"work item {ingest.id} ingested a newer version of {subject.object_identifier} "
                "after the request"
            )
            return
    if asked_at is not None and _is_newer(connection, subject, asked_at):
        yield f"files of {subject.object_identifier} were recorded after the request"


def _is_newer(connection: Connection, subject: DeletionSubject, asked_at: Timestamp) -> bool:
    """Whether one that would go was first recorded, or given other digests, after that: also by an
    ingest that never came to a good end."""
    where = (_f.state == STATE_ACTIVE) & (
        _f.id == subject.file_id
        if subject.is_file
        else _f.intellectual_object_id == subject.object_id
    )
    digests = t.checksums.c
    queries = (
        select(_f.id).where(where, _f.created_at > asked_at),
        select(_f.id)
        .join(t.checksums, digests.generic_file_id == _f.id)
        .where(where, digests.created_at > asked_at),
    )
    return any(connection.scalar(query.limit(1)) is not None for query in queries)


def _recallable(connection: Connection, item: WorkItem, now: Timestamp) -> Iterator[str]:
    until = waits_until(connection, item.deletion_request_id)
    if is_set(until) and is_after(until, now):
        yield f"deletion request {item.deletion_request_id} can be recalled until {until}"


def waits_until(connection: Connection, request_id: int) -> Timestamp:
    """NEVER where it is not approved, or there is none."""
    table = d.deletion_requests.c
    return connection.scalar(select(table.begins_at).where(table.id == request_id)) or NEVER


def _time(
    connection: Connection, subject: DeletionSubject, policy: DeletionPolicy, now: Timestamp
) -> Iterator[str]:
    if subject.is_file and subject.file_state != STATE_ACTIVE:
        yield "the file is deleted already"
    elif not subject.is_file and subject.object_state != STATE_ACTIVE:
        yield "the object is deleted already"
    young = too_young(connection, subject, policy, now)
    if young:
        yield young


def too_young(
    connection: Connection, subject: DeletionSubject, policy: DeletionPolicy, now: Timestamp
) -> str:
    """Until when it is kept at least, where that has not passed: of an object also its files."""
    days = policy.days_of(subject.storage_option)
    if not days:
        return ""
    moments = [subject.created_at]
    if not subject.is_file:
        newest = connection.scalar(
            select(_f.created_at)
            .where(_f.intellectual_object_id == subject.object_id, _f.state == STATE_ACTIVE)
            .order_by(_f.created_at.desc())
            .limit(1)
        )
        moments += [newest] if newest else []
    until = max((retained_until(m, days) for m in moments if is_set(m)), default=now)
    if not is_after(until, now):
        return ""
    return (
        f"what lies in {subject.storage_option} is kept at least {days} days: it may go from "
        f"{until} on"
    )


def _busy(
    connection: Connection, item: WorkItem, subject: DeletionSubject, now: Timestamp
) -> Iterator[str]:
    for other in open_items_of(connection, item.institution_id, subject.bag):
        if other.id != item.id and in_conflict(item, other):
            yield f"work item {other.id} ({other.action}) is open for {subject.object_identifier}"
    held = t.copy_repairs.c
    until = connection.scalar(
        select(held.held_until)
        .where(held.intellectual_object_id == subject.object_id, held.held_until > now)
        .limit(1)
    )
    if until:
        yield f"a copy of {subject.object_identifier} is being repaired"


def is_after(one: Timestamp, other: Timestamp) -> bool:
    return to_datetime(one) > to_datetime(other)
