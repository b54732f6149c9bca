"""Certificates of deletion: what a work item deleted, by whose wish and consent (contract J3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, insert, select

from bagline.model.deletion import Certificate
from bagline.model.times import NEVER, Timestamp
from bagline.model.workitem import WorkItem
from bagline.services.registry import deletion_tables as d
from bagline.services.registry.deletion_checks import DeletionSubject, user_in
from bagline.services.registry.deletion_marks import begun_row, mark_ended

_g = d.file_deletions.c


class DeletionPeople(NamedTuple):
    """By their e-mail."""

    asker: str
    approver: str


def people_of(connection: Connection, item: WorkItem) -> DeletionPeople:
    """Of the request, whatever the item says of them."""
    requests = d.deletion_requests.c
    row = connection.execute(
        select(requests.requested_by_id, requests.confirmed_by_id).where(
            requests.id == item.deletion_request_id
        )
    ).one_or_none()
    asker, approver = (user_in(connection, number) for number in (row or (None, None)))
    return DeletionPeople(
        asker.email if asker else item.user, approver.email if approver else item.inst_approver
    )


def rows_of(item_id: int) -> Any:
    """Of its files, by id."""
    return select(d.file_deletions).where(_g.work_item_id == item_id).order_by(_g.generic_file_id)


def certificate_of(connection: Connection, item_id: int) -> Certificate | None:
    """None where nothing was deleted, or not all."""
    column = d.deletion_certificates.c
    document = connection.scalar(select(column.document).where(column.work_item_id == item_id))
    return msgspec.convert(document, Certificate) if document is not None else None


def certify(
    connection: Connection, item: WorkItem, subject: DeletionSubject, moment: Timestamp
) -> Certificate:
    """It is done; the one that stands already, where there is one."""
    known = certificate_of(connection, item.id)
    if known is not None:
        return known
    requests = d.deletion_requests.c
    request = connection.execute(
        select(d.deletion_requests).where(requests.id == item.deletion_request_id)
    ).one_or_none()
    people, mark = people_of(connection, item), begun_row(connection, item.id)
    files, size, copies, done = 0, 0, 0, NEVER
    for row in connection.execute(rows_of(item.id)):
        files, size, copies = files + 1, size + row.size, copies + len(row.urls)
        done = max(done, row.deleted_at)
    made = Certificate(
        work_item_id=item.id,
        deletion_request_id=item.deletion_request_id,
        institution=subject.object_identifier.partition("/")[0],
        object_identifier=subject.object_identifier,
        generic_file_identifier=item.generic_file_identifier,
        requested_by=people.asker,
        requested_at=request.requested_at if request is not None else NEVER,
        approved_by=people.approver,
        approved_at=request.confirmed_at if request is not None else NEVER,
        reason=request.reason if request is not None else "",
        begun_at=mark.begun_at if mark is not None else moment,
        done_at=done if files else moment,
        files=files,
        bytes=size,
        copies=copies,
        keys_asked_again=mark is not None and not mark.is_anothers,
    )
    connection.execute(
        insert(d.deletion_certificates).values(
            work_item_id=item.id,
            deletion_request_id=item.deletion_request_id,
            institution_id=item.institution_id,
            document=msgspec.to_builtins(made),
        )
    )
    mark_ended(connection, item.id, moment)
    return made
