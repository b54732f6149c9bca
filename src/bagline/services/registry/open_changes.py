"""Which open work items of a bag forbid another one, and which ingest an object must be left to.

Two may go on side by side where none changes what the other reads: ingests (their line has its own
rule), restorations of two files, a file's and its object's. An ingest stands against a restoration
only while it overwrites preserved bytes, against a deletion always.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bagline.model.ingest import bag_name
from bagline.model.workitem import (
    ACTION_DELETE,
    ACTION_INGEST,
    OUTCOME_CHANGING,
    STAGE_CLEANUP,
    STATUS_SUCCESS,
    WorkItem,
)


def change_of(institution_id: int, bag: str) -> str:
    """What who begins to change the bag's object holds meanwhile (`Database.one_at_a_time`)."""
    return f"change of {institution_id}/{bag}"


def of_bag(items: Iterable[WorkItem], name: str) -> list[WorkItem]:
    """Those of the bag: names come with and without `.tar`, and with the number of a part."""
    bag = bag_name(name)
    return [item for item in items if bag_name(item.name) == bag]


def first_against(new: WorkItem, items: Iterable[WorkItem], follows: int) -> WorkItem | None:
    """The first of the bag's items that forbids the new one. Not the one with the id `follows`:
    the new one takes its place."""
    for item in items:
        if not item.is_completed and item.id not in (follows, new.id) and in_conflict(new, item):
            return item
    return None


def why(other: WorkItem) -> str:
    """What to say to who is refused."""
    what = "file" if other.is_of_file else "object"
    return (
        f"Work item {other.id} ({other.action}, {other.status} at {other.stage}) is open for this "
        f"{what}: ask again when it has ended."
    )


def in_conflict(one: WorkItem, other: WorkItem) -> bool:
    """Whether two items of one bag may not be open at one time."""
    ingests = [item for item in (one, other) if item.action == ACTION_INGEST]
    deletes = ACTION_DELETE in (one.action, other.action)
    if ingests:
        return len(ingests) == 1 and (deletes or ingests[0].changes_copies)
    if one.is_of_file and other.is_of_file:
        return _is_same_file(one, other)
    return deletes or not (one.is_of_file or other.is_of_file)


def _is_same_file(one: WorkItem, other: WorkItem) -> bool:
    if one.generic_file_id and other.generic_file_id:
        return one.generic_file_id == other.generic_file_id
    return one.generic_file_identifier == other.generic_file_identifier


def deleting(items: Iterable[WorkItem]) -> WorkItem | None:
    """The deletion that has begun, and not ended: files of it may have lost copies."""
    for item in items:
        is_begun = item.action == ACTION_DELETE and item.outcome == OUTCOME_CHANGING
        if is_begun and item.status != STATUS_SUCCESS:
            return item
    return None


def does(item: WorkItem, identifier: str) -> str:
    """What an item that changes the object is doing to it, for who waits."""
    what = "deleting files" if item.action == ACTION_DELETE else "storing a newer version"
    return f"work item {item.id} is {what} of {identifier}"


def changing(items: Sequence[WorkItem]) -> WorkItem | None:
    """Of a bag's items, newest first: a deletion that has begun; else the ingest that may have left
    bytes in preservation which are newer than their digests. One that is open; else the newest,
    unless a later one has recorded the object. Those that ended before they stored anything say
    nothing."""
    begun = deleting(items)
    if begun is not None:
        return begun
    ingests = [item for item in items if item.action == ACTION_INGEST]
    for item in ingests:
        if item.changes_copies and not item.is_completed:
            return item
    for item in ingests:
        if item.changes_copies:
            return item
        if item.status == STATUS_SUCCESS or item.stage == STAGE_CLEANUP:
            return None
    return None
