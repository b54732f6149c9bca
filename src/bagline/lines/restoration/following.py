"""The restoration that follows a thaw by itself: an item of its own, made once (contract J1)."""

from __future__ import annotations

from msgspec import structs

from bagline.model.times import NEVER, is_set, to_datetime
from bagline.model.workitem import (
    ACTION_RESTORE_FILE,
    ACTION_RESTORE_OBJECT,
    STAGE_REQUESTED,
    STATUS_PENDING,
    WorkItem,
)
from bagline.services.registry.base import Registry

MOVED_NOTE = "Moved from Glacier to S3, awaiting restoration"


def following(item: WorkItem) -> WorkItem:
    """What follows the thaw `item`; not yet created."""
    return structs.replace(
        item,
        id=0,
        action=ACTION_RESTORE_FILE if item.is_of_file else ACTION_RESTORE_OBJECT,
        stage=STAGE_REQUESTED,
        status=STATUS_PENDING,
        note=MOVED_NOTE,
        outcome=MOVED_NOTE,
        retry=True,
        needs_admin_review=False,
        node="",
        pid=0,
        queued_at=NEVER,
        stage_started_at=NEVER,
        created_at=NEVER,
        updated_at=NEVER,
        inst_approver="",
        aptrust_approver="",
        deletion_request_id=0,
    )


def opened(registry: Registry, item: WorkItem) -> WorkItem:
    """The one that follows `item`, as it stands: created, if a worker before this one had not
    created it and died; or one that is open for the same thing anyhow. May be repeated. Raises
    Conflict where another open item forbids it."""
    wanted = following(item)
    for known in registry.items_of_bag(item.institution_id, item.name, action=wanted.action):
        if _is_same_thing(wanted, known) and (not known.is_completed or _was_made_of(item, known)):
            return known
    return registry.open_change(wanted, follows=item.id)


def _is_same_thing(wanted: WorkItem, known: WorkItem) -> bool:
    if wanted.generic_file_id and known.generic_file_id:
        return wanted.generic_file_id == known.generic_file_id
    return (wanted.intellectual_object_id, wanted.generic_file_identifier) == (
        known.intellectual_object_id,
        known.generic_file_identifier,
    )


def _was_made_of(item: WorkItem, known: WorkItem) -> bool:
    """By what is copied from the one to the other, and by nobody changed."""
    same_moment = known.date_processed == item.date_processed or (
        is_set(known.date_processed)
        and is_set(item.date_processed)
        and to_datetime(known.date_processed) == to_datetime(item.date_processed)
    )
    return known.id > item.id and known.user == item.user and same_moment
