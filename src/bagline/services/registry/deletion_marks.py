"""Which deletions have begun: a row that only what begins them writes. An item's outcome says it
too, for other tools, and is kept true by this: whoever saves an item of a deletion is held to it.
"""

from __future__ import annotations

from typing import Any

from msgspec import structs
from sqlalchemy import Connection, Select, insert, select, update
from sqlalchemy.engine import Row

from bagline.model.deletion import DeletionPolicy
from bagline.model.ingest import bag_name
from bagline.model.times import Timestamp, is_set
from bagline.model.workitem import (
    ACTION_DELETE,
    COMPLETED,
    OUTCOME_CHANGING,
    OWN_NODE,
    STATUS_CANCELLED,
    STATUS_FAILED,
    STATUS_STARTED,
    STATUS_SUCCESS,
    WorkItem,
)
from bagline.services.registry import deletion_tables as d
from bagline.services.registry import tables as t
from bagline.services.registry.base import Conflict, NotAllowed
from bagline.services.registry.database import Database
from bagline.services.registry.deletion_checks import (
    against,
    is_after,
    not_agreed,
    subject_of,
    waits_until,
)
from bagline.services.registry.item_rows import bags_items, item_query, items_in
from bagline.services.registry.open_changes import of_bag
from bagline.services.registry.rows import ROW_ID, record_of

_b = d.begun_deletions.c


def begun_row(connection: Connection, item_id: int) -> Row[Any] | None:
    """`is_anothers`, `begun_at`, `ended_at`; None where it has not begun."""
    query = select(d.begun_deletions).where(_b.work_item_id == item_id)
    return connection.execute(query).one_or_none()


def is_in_hand(connection: Connection, item_id: int) -> bool:
    """Whether it has begun, and not ended."""
    row = begun_row(connection, item_id)
    return row is not None and not is_set(row.ended_at)


def mark_begun(
    connection: Connection, item: WorkItem, moment: Timestamp, *, is_anothers: bool
) -> None:
    """From now on it only goes forward."""
    if begun_row(connection, item.id) is None:
        row = insert(d.begun_deletions).values(
            work_item_id=item.id,
            institution_id=item.institution_id,
            is_anothers=is_anothers,
            begun_at=moment,
        )
        connection.execute(row)
    else:
        connection.execute(_changed(item.id).values(is_anothers=is_anothers))
    connection.execute(
        update(t.work_items)
        .where(t.work_items.c.id == item.id)
        .values(outcome=OUTCOME_CHANGING, updated_at=moment)
    )


def mark_ended(connection: Connection, item_id: int, moment: Timestamp) -> None:
    connection.execute(_changed(item_id).values(ended_at=moment))
    items = t.work_items.c
    says_begun = (items.id == item_id) & (items.outcome == OUTCOME_CHANGING)
    connection.execute(update(t.work_items).where(says_begun).values(outcome=""))


def begun_of_bag(connection: Connection, institution_id: int, bag: str) -> WorkItem | None:
    """The deletion of the bag's object, or of a file of it, that is in hand."""
    items: Select[Any] = bags_items(institution_id, bag).limit(None)
    query = items.join(d.begun_deletions, _b.work_item_id == t.work_items.c.id)
    found = of_bag(items_in(connection, query.where(_b.ended_at.is_(None))), bag)
    return structs.replace(found[0], outcome=OUTCOME_CHANGING) if found else None


def outcome_held(
    connection: Connection, item: WorkItem, policy: DeletionPolicy, now: Timestamp
) -> str:
    """With which outcome the item of a deletion may be saved: that it has begun is not forgotten,
    and not said of one that has not. Raises Conflict for an end that is none, and for what goes on
    after one."""
    row = connection.execute(item_query(locked=True), {ROW_ID: item.id}).one_or_none()
    if row is None:
        return item.outcome
    stored, begun = record_of(row, WorkItem), begun_row(connection, item.id)
    goes_on = item.status not in COMPLETED
    if begun is None:
        if stored.status in COMPLETED and goes_on:
            _check_consent(connection, item)
        if _another_begins(connection, item, policy, now):
            mark_begun(connection, item, now, is_anothers=True)
        else:
            return item.outcome if item.outcome != OUTCOME_CHANGING else stored.outcome
    elif is_set(begun.ended_at):
        if stored.status in COMPLETED and item.status != stored.status:
            raise Conflict(f"The deletion of work item {item.id} is done, and ended.")
        return item.outcome if item.outcome != OUTCOME_CHANGING else stored.outcome
    elif item.status == STATUS_SUCCESS:
        raise Conflict(f"The deletion of work item {item.id} is not done: it has no certificate.")
    elif item.status == STATUS_CANCELLED or (
        item.status == STATUS_FAILED and not begun.is_anothers
    ):
        raise Conflict(
            f"The deletion of work item {item.id} has begun: copies are gone, and it can only go "
            "forward."
        )
    return OUTCOME_CHANGING


def _check_consent(connection: Connection, item: WorkItem) -> None:
    """Of one that was ended. Raises Conflict where nobody stands behind it any more."""
    refused = not_agreed(connection, item)
    if refused:
        raise Conflict(f"Work item {item.id} cannot go on: {refused}. Ask for the deletion anew.")


def _another_begins(
    connection: Connection, item: WorkItem, policy: DeletionPolicy, now: Timestamp
) -> bool:
    """Another's worker takes copies away as soon as it works, and says no more than that; one that
    says that it begins is asked what `condemn` asks."""
    if item.status != STATUS_STARTED:
        return False
    if item.outcome == OUTCOME_CHANGING:
        return not against(connection, item, subject_of(connection, item), policy, now)
    is_anothers = policy.beside_others and not item.node.startswith(OWN_NODE)
    if not is_anothers or not_agreed(connection, item):
        return False
    return not is_after(waits_until(connection, item.deletion_request_id), now)


def deleting_item(
    connection: Connection,
    file_id: int,
    object_id: int,
    policy: DeletionPolicy,
    now: Timestamp,
) -> WorkItem:
    """The Delete item, approved and in work, by which another's worker may call something deleted:
    the file's own, else its object's. It has begun from then on. Raises NotAllowed."""
    c = t.work_items.c
    about = (c.generic_file_id == 0) & (c.intellectual_object_id == object_id)
    if file_id:
        about |= c.generic_file_id == file_id
    query = (
        select(t.work_items)
        .where(c.action == ACTION_DELETE, c.status == STATUS_STARTED, about)
        .order_by(c.generic_file_id.desc(), c.updated_at.desc(), c.id.desc())
    )
    for item in items_in(connection, query):
        subject = subject_of(connection, item)
        begun = begun_row(connection, item.id)
        if subject is None or (begun is not None and is_set(begun.ended_at)):
            continue
        if not item.inst_approver:
            raise NotAllowed(f"Work item {item.id} names nobody who approved the deletion.")
        refused = not_agreed(connection, item, has_begun=begun is not None)
        if not refused and begun is None:
            found = against(connection, item, subject, policy, now)
            refused = "; ".join([*found.withdrawn, *found.held, *found.busy])
        if refused:
            raise NotAllowed(f"Work item {item.id}: {refused}.")
        if begun is None:
            mark_begun(connection, item, now, is_anothers=True)
        return item
    raise NotAllowed("There is no Delete item, approved and Started, about this.")


def is_deletion(item: WorkItem) -> bool:
    """Whether it stands on record, and is about a deletion."""
    return bool(item.id) and item.action == ACTION_DELETE


class SqlBegun:
    _database: Database

    def begun_deletion(self, institution_id: int, name: str) -> WorkItem | None:
        """See `base.Registry`."""
        with self._database.reading() as connection:
            return begun_of_bag(connection, institution_id, bag_name(name))


def _changed(item_id: int) -> Any:
    return update(d.begun_deletions).where(_b.work_item_id == item_id)
