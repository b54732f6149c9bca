"""Requests for deletion: asked by one person, reviewed and approved by another, or refused
(contract J3, mended). What the API answers; nobody else writes these.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from msgspec import structs
from sqlalchemy import Connection, func, select, update
from sqlalchemy.engine import Row

from bagline.model import times
from bagline.model.deletion import (
    DeletionPolicy,
    DeletionRequest,
    NewDeletion,
    RequestPerson,
    RequestSubject,
    Review,
)
from bagline.model.deletion_wording import recallable
from bagline.model.registry import (
    GenericFile,
    Institution,
    IntellectualObject,
)
from bagline.model.times import Timestamp, is_set, later
from bagline.model.workitem import (
    ACTION_DELETE,
    STATUS_CANCELLED,
    WorkItem,
)
from bagline.services.registry import deletion_tables as d
from bagline.services.registry import tables as t
from bagline.services.registry.act_rows import note_row, noting_row
from bagline.services.registry.base import Conflict, Missing, NotAllowed
from bagline.services.registry.database import Database
from bagline.services.registry.deletion_asking import (
    DeletionAsking,
    check_reason,
    object_in,
    open_against,
)
from bagline.services.registry.deletion_checks import (
    against_agreeing,
    is_after,
    may_approve,
    may_ask,
    subject_with,
    user_in,
)
from bagline.services.registry.deletion_marks import begun_row
from bagline.services.registry.file_rows import FileRows
from bagline.services.registry.item_rows import bags_items, items_in
from bagline.services.registry.open_changes import of_bag
from bagline.services.registry.restoration_items import bag_of, deletion_item
from bagline.services.registry.rows import adding, record_of, row_of
from bagline.services.registry.users import INST_ADMIN, ApiUser

TOKEN_BYTES = 32
TOKEN_LIVES = timedelta(hours=1)
NOT_THE_SAME = (
    "Somebody else must approve it: another administrator of the institution{or_ours}. "
    "Who asked may only recall it."
)

_r = d.deletion_requests.c


class DeletionRequests:
    """Thread-safe. People are held to their institution; what is another's is as if it were not
    there. Raises the seam's Missing, Conflict and Unfit, and NotAllowed."""

    def __init__(
        self,
        database: Database,
        policy: DeletionPolicy,
        *,
        clock: times.Clock = times.now,
    ) -> None:
        self._database = database
        self._policy = policy
        self._clock = clock
        self._files = FileRows(clock)
        self._asking = DeletionAsking(database, policy, clock)

    def ask(
        self, asker: ApiUser, wanted: NewDeletion, *, written_by: ApiUser | None = None
    ) -> DeletionRequest:
        """Write down what is to go. Everything that stands against it is told at once: Unfit where
        the request makes no sense, Conflict where something is open, or too young to go.
        `written_by`: somebody on behalf of who asks; they cannot approve it."""
        with self._database.writing() as connection:
            who = user_in(connection, asker.id)
            if who is None or not may_ask(who, who.institution_id):
                raise NotAllowed("Only an administrator of the institution asks for deletions.")
            check_reason(wanted.reason)
            writer = written_by.id if written_by is not None else None
            number = self._asking.write(connection, who, wanted, writer)
            return self._load(connection, number)

    def administrator(self, user_id: int, institution_id: int) -> ApiUser | None:
        """The institution's active administrator of that id."""
        with self._database.reading() as connection:
            found = user_in(connection, user_id)
        return found if may_ask(found, institution_id) else None

    def find(self, request_id: int, own: int | None = None) -> DeletionRequest:
        """Raises Missing."""
        with self._database.reading() as connection:
            found = self._load(connection, request_id)
        if own is not None and found.institution_id != own:
            raise Missing
        return found

    def review(self, reviewer: ApiUser, request_id: int) -> Review:
        """What goes, and a token with which this person, and nobody else, may approve it once, for
        an hour. It takes the place of one that was given before."""
        with self._database.writing() as connection:
            row, who = self._open(connection, reviewer, request_id)
            self._check_approver(connection, row, who)
            token = secrets.token_urlsafe(TOKEN_BYTES)
            until = later(self._clock(), TOKEN_LIVES)
            with noting_row(connection, d.deletion_requests, row.id):
                connection.execute(
                    update(d.deletion_requests)
                    .where(_r.id == row.id)
                    .values(
                        encrypted_confirmation_token=_hashed(token),
                        reviewer_id=who.id,
                        token_until=until,
                    )
                )
            return Review(request=self._load(connection, row.id), token=token, until=until)

    def approve(
        self, approver: ApiUser, request_id: int, token: str
    ) -> tuple[DeletionRequest, list[WorkItem]]:
        """Consent, and an item a file and an object, all in one step; those that are due now. What
        has to wait says until when in `queued_at`, so that no other queue takes it before, and is
        published by the reconciler. The token is used up."""
        with self._database.writing() as connection:
            row, who = self._open(connection, approver, request_id)
            self._check_approver(connection, row, who)
            is_right = hmac.compare_digest(row.encrypted_confirmation_token, _hashed(token))
            if not token or not is_right or row.reviewer_id != who.id:
                raise NotAllowed("The token is not one that you were given for this request.")
            moment = self._clock()
            if not is_after(row.token_until, moment):
                raise NotAllowed("The token has run out: review the request again.")
            request = self._load(connection, row.id)
            begins_at = later(moment, timedelta(days=self._policy.waiting_days))
            values = {
                "confirmed_by_id": who.id,
                "confirmed_at": moment,
                "begins_at": begins_at,
                "encrypted_confirmation_token": "",
                "reviewer_id": 0,
                "token_until": None,
            }
            with noting_row(connection, d.deletion_requests, row.id):
                changed = update(d.deletion_requests).where(_r.id == row.id).values(values)
                connection.execute(changed)
            items = self._make_items(connection, request, who.email, moment)
            if is_after(begins_at, moment):
                note = recallable(who.email, begins_at, row.id)
                _make_wait(connection, items, queued_at=begins_at, note=note)
                items = []
            return self._load(connection, row.id), items

    def cancel(self, person: ApiUser, request_id: int, reason: str) -> DeletionRequest:
        """Refuse it, or recall what was approved: items that were not begun are cancelled. Raises
        Conflict where all of them have begun."""
        with self._database.writing() as connection:
            row = _row(connection, request_id, locked=True)
            who = user_in(connection, person.id)
            if who is None or (who.is_member and row.institution_id != who.institution_id):
                raise Missing
            if not may_approve(who, row.institution_id):
                raise NotAllowed("Only an administrator refuses or recalls deletions.")
            check_reason(reason)
            if is_set(row.cancelled_at):
                raise Conflict(f"Deletion request {row.id} was refused or recalled already.")
            self._cancel_items(connection, row, who.email)
            with noting_row(connection, d.deletion_requests, row.id, reason=reason.strip()):
                connection.execute(
                    update(d.deletion_requests)
                    .where(_r.id == row.id)
                    .values(
                        cancelled_by_id=who.id,
                        cancelled_at=self._clock(),
                        cancel_reason=reason.strip(),
                        encrypted_confirmation_token="",
                        reviewer_id=0,
                    )
                )
            return self._load(connection, row.id)

    # -- approving

    def _open(
        self, connection: Connection, person: ApiUser, request_id: int
    ) -> tuple[Row[Any], ApiUser]:
        """The request that still waits for a word, and the person as they stand now."""
        row = _row(connection, request_id, locked=True)
        who = user_in(connection, person.id)
        if who is None or (who.is_member and row.institution_id != who.institution_id):
            raise Missing
        if not may_approve(who, row.institution_id):
            raise NotAllowed("Only an administrator approves deletions.")
        if is_set(row.cancelled_at):
            raise Conflict(f"Deletion request {row.id} was refused or recalled.")
        if is_set(row.confirmed_at):
            raise Conflict(f"Deletion request {row.id} is approved already.")
        return row, who

    def _check_approver(self, connection: Connection, row: Row[Any], who: ApiUser) -> None:
        """Two people, and both may still. Raises NotAllowed or Conflict."""
        asker = user_in(connection, row.requested_by_id)
        if not may_ask(asker, row.institution_id):
            raise Conflict(
                "Who asked for it is no active administrator of the institution now: refuse it, "
                "and ask anew."
            )
        others = self._other_admins(connection, row)
        if who.id == row.written_by_id:
            raise NotAllowed(
                "You wrote this request down for who asks: somebody else must approve it."
            )
        if who.id == row.requested_by_id:
            if others or not self._policy.lone_admin:
                or_ours = "" if others else ", or a system administrator where it has no other"
                raise NotAllowed(NOT_THE_SAME.format(or_ours=or_ours))
        elif not who.is_member and others:
            raise NotAllowed(
                "An administrator of the institution approves it: it has others than who asked."
            )

    def _other_admins(self, connection: Connection, row: Row[Any]) -> int:
        users = t.api_users.c
        query = select(func.count()).where(
            users.institution_id == row.institution_id,
            users.role == INST_ADMIN,
            users.enabled,
            users.id != row.requested_by_id,
        )
        return connection.execute(query).scalar_one()

    def _make_items(
        self, connection: Connection, request: DeletionRequest, approver: str, moment: Timestamp
    ) -> list[WorkItem]:
        """Raises Conflict, and nothing is approved, where an open item stands against one."""
        institution = _institution(connection, request.institution_id)
        made: list[WorkItem] = []
        conflicts: list[str] = []
        parts = list(self._parts(connection, request))
        self._asking.hold(connection, [object for object, _ in parts])
        for object, file in parts:
            bag = bag_of(object)
            ingests = of_bag(items_in(connection, bags_items(object.institution_id, bag)), bag)
            item = deletion_item(
                institution,
                object,
                file,
                ingests,
                request=request,
                approver=approver,
                moment=moment,
            )
            conflicts += open_against(connection, item, bag)
            subject = subject_with(object, file)
            conflicts += [
                f"{(file or object).identifier}: {hindrance}."
                for hindrance in against_agreeing(connection, item, subject, self._policy, moment)
            ]
            made.append(item)
        if conflicts:
            raise Conflict(" ".join(dict.fromkeys(conflicts)))
        return [self._insert(connection, item, moment) for item in made]

    def _parts(
        self, connection: Connection, request: DeletionRequest
    ) -> Iterator[tuple[IntellectualObject, GenericFile | None]]:
        for named in request.intellectual_objects:
            yield object_in(connection, named.id), None
        for named in request.generic_files:
            (file,) = self._files.load(connection, t.generic_files.c.id == named.id, events=False)
            yield object_in(connection, file.intellectual_object_id), file

    def _insert(self, connection: Connection, item: WorkItem, moment: Timestamp) -> WorkItem:
        row = row_of(item, t.work_items) | {"created_at": moment, "updated_at": moment}
        row.pop("id")
        made = connection.execute(adding(t.work_items), row).one()
        note_row(connection, t.work_items, None, made)
        return record_of(made, WorkItem)

    def _cancel_items(self, connection: Connection, row: Row[Any], who: str) -> None:
        if not is_set(row.confirmed_at):
            return
        items = t.work_items.c
        query = select(t.work_items).where(
            items.deletion_request_id == row.id, items.action == ACTION_DELETE
        )
        found = items_in(connection, query.with_for_update())
        waiting = [
            item
            for item in found
            if not item.is_completed and begun_row(connection, item.id) is None
        ]
        if not waiting:
            raise Conflict(
                f"Deletion request {row.id} cannot be recalled: all of it has begun, or ended."
            )
        values = {
            "status": STATUS_CANCELLED,
            "retry": False,
            "note": f"Recalled by {who}: nothing was deleted",
            "outcome": "Deletion cancelled",
            "updated_at": self._clock(),
        }
        for item in waiting:
            with noting_row(connection, t.work_items, item.id):
                changed = update(t.work_items).where(items.id == item.id).values(values)
                connection.execute(changed)

    def _load(self, connection: Connection, request_id: int) -> DeletionRequest:
        row = _row(connection, request_id, locked=False)
        people = {
            name: _person(connection, row._mapping[f"{name}_id"])
            for name in ("requested_by", "confirmed_by", "cancelled_by")
        }
        found = structs.replace(record_of(row, DeletionRequest), **people)
        files, objects = t.generic_files, t.intellectual_objects
        listed, whole = d.deletion_requests_generic_files, d.deletion_requests_intellectual_objects
        found.generic_files = [
            RequestSubject(id=each.id, identifier=each.identifier)
            for each in connection.execute(
                select(files.c.id, files.c.identifier)
                .join(listed, listed.c.generic_file_id == files.c.id)
                .where(listed.c.deletion_request_id == row.id)
                .order_by(files.c.identifier)
            )
        ]
        found.intellectual_objects = [
            RequestSubject(id=each.id, identifier=each.identifier)
            for each in connection.execute(
                select(objects.c.id, objects.c.identifier)
                .join(whole, whole.c.intellectual_object_id == objects.c.id)
                .where(whole.c.deletion_request_id == row.id)
                .order_by(objects.c.identifier)
            )
        ]
        items = t.work_items.c
        found.work_items = list(
            connection.scalars(
                select(items.id)
                .where(items.deletion_request_id == row.id, items.action == ACTION_DELETE)
                .order_by(items.id)
            )
        )
        return found


def _make_wait(connection: Connection, items: Sequence[WorkItem], **values: str) -> None:
    ids = [item.id for item in items]
    changed = update(t.work_items).where(t.work_items.c.id.in_(ids)).values(values)
    connection.execute(changed)


def _row(connection: Connection, request_id: int, *, locked: bool) -> Row[Any]:
    """Raises Missing."""
    query = select(d.deletion_requests).where(_r.id == request_id)
    row = connection.execute(query.with_for_update() if locked else query).one_or_none()
    if row is None:
        raise Missing
    return row


def _institution(connection: Connection, institution_id: int) -> Institution:
    row = connection.execute(
        select(t.institutions).where(t.institutions.c.id == institution_id)
    ).one()
    return record_of(row, Institution)


def _person(connection: Connection, user_id: int | None) -> RequestPerson:
    found = user_in(connection, user_id)
    return RequestPerson(id=found.id, email=found.email) if found is not None else RequestPerson()


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
