"""Work items, the problems of their bags, and their reports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from bagline.model.registry import Institution
from bagline.model.times import Timestamp
from bagline.model.workitem import (
    ACTION_DELETE,
    ACTION_INGEST,
    ACTION_RESTORE_FILE,
    ACTION_RESTORE_OBJECT,
    ACTION_THAW,
    STAGE_RECEIVE,
    STATUS_CANCELLED,
    STATUS_PENDING,
    STATUS_STARTED,
    WorkItem,
)
from bagline.problems import ERROR, WARNING, Problem
from bagline.server.api.asking import Asked, BadRequest, Denied, must_be_of
from bagline.server.api.checking import needs, needs_times, one_of, refuse
from bagline.server.api.routing import Routes
from bagline.services.registry.acts import acting
from bagline.services.registry.base import Missing
from bagline.services.registry.fitting import misfits
from bagline.services.registry.listing import ITEMS
from bagline.services.registry.users import ApiUser

AFTER_THAWING = (ACTION_RESTORE_FILE, ACTION_RESTORE_OBJECT)
ACTIONS = (ACTION_DELETE, ACTION_THAW, ACTION_INGEST, *AFTER_THAWING)
STATUSES = ("Cancelled", "Failed", "Pending", "Started", "Success", "Suspended")
STAGES = (
    "Available in S3",
    "Cleanup",
    "Copy To Staging",
    "Fetch",
    "Format Identification",
    "Package",
    "Receive",
    "Record",
    "Reingest Check",
    "Requested",
    "Resolve",
    "Restoring",
    "Storage Validation",
    "Store",
    "Unpack",
    "Validate",
)
ABOUT = (
    "action", "aptrust_approver", "bucket", "deletion_request_id", "etag", "inst_approver",
    "name", "user",
)  # fmt: skip
"""What a worker leaves as it is in an item."""
READ_ONLY = ("generic_file_id", "generic_file_identifier")
VIEWED = (*READ_ONLY, "object_identifier", "storage_option")
"""What an item is about. Older workers do not send all of it back: nothing is said of such a field,
not that it is empty."""
MOST_DIGITS = 18
BAG_NAME_BYTES = 1_024
"""As S3 has it for keys."""
PROBLEMS_AT_ONCE = 20_000
PROBLEM_CHARACTERS = 16 * 1024
UNLESS_STATUS = "if-status-not"
"""Header of Bagline's own: the row is not changed while it has one of these statuses."""
UNLESS_CHANGED = "if-updated-at"
"""The same: nor where it was saved since then."""
UNLESS_OPEN = "if-none-open"
"""The same: where an item of that bucket and name is open, it is the answer, and none is made."""
UNLESS_CHANGE_OPEN = "if-no-open-change"
"""The same: a 409 while an open item of the bag stands against it, but for the one whose id it
holds (0: for none)."""

ROUTES = Routes()
ROUTES.list(ITEMS)


@ROUTES.get("/items/show/{id}", answers=WorkItem)
def show_item(asked: Asked) -> WorkItem:
    """A work item."""
    return asked.catalogue.item(asked.id, asked.own)


@ROUTES.post("/items/create/{institution_id}", takes=WorkItem, answers=WorkItem, act="item added")
def create_item(asked: Asked) -> WorkItem:
    """Add a work item."""
    item = asked.new(WorkItem)
    must_be_of(asked.institution, item)
    _name_by_ids(asked, item)
    _check(item)
    if asked.user.is_worker:
        _check_workers_item(asked, item)
    refuse(
        _name_faults(asked.user, item),
        _bucket_faults(asked, asked.institution, item),
        _reference_faults(asked, asked.institution, item, WorkItem()),
    )
    if UNLESS_CHANGE_OPEN in asked.headers:
        return asked.catalogue.open_change(item, _followed(asked, item))
    if asked.headers.get(UNLESS_OPEN):
        return asked.catalogue.open_item(item)
    return asked.catalogue.save_item(item)


@ROUTES.put("/items/update/{id}", takes=WorkItem, answers=WorkItem, act="item changed")
def update_item(asked: Asked) -> WorkItem:
    """Replace a work item. With the header If-Status-Not (statuses, separated by commas) a row
    of such a status stays and is answered."""
    item = asked.changed(WorkItem)
    stored = asked.catalogue.item(item.id)
    if item.institution_id != stored.institution_id:
        raise BadRequest("institution_id must stay what it is")
    for name in VIEWED:
        setattr(item, name, getattr(item, name) or getattr(stored, name))
    _name_by_ids(asked, item)
    _check(item, stored)
    _check_changes(asked, stored, item)
    statuses = [word.strip() for word in asked.headers.get(UNLESS_STATUS, "").split(",")]
    known_since = asked.headers.get(UNLESS_CHANGED, "")
    if known_since:
        item.updated_at = Timestamp(known_since)
    with acting(asked.person, _act_upon(stored, item)):
        return asked.catalogue.save_item(
            item, [status for status in statuses if status], unless_changed=bool(known_since)
        )


@ROUTES.get("/items/problems/{id}", answers=list[Problem], own=True)
def show_problems(asked: Asked) -> dict[str, Any]:
    """What is wrong with a work item's bag."""
    item = asked.catalogue.item(asked.id, asked.own)
    return {"results": asked.catalogue.registry.problems(item.id)}


@ROUTES.put(
    "/items/problems/{id}",
    takes=list[Problem],
    answers=list[Problem],
    own=True,
    act="problems saved",
)
def save_problems(asked: Asked) -> dict[str, Any]:
    """Replace what is wrong with a work item's bag."""
    item = asked.catalogue.item(asked.id)
    problems = asked.records(Problem, PROBLEMS_AT_ONCE)
    refuse(fault for problem in problems for fault in _problem_faults(problem))
    asked.catalogue.registry.save_problems(item.id, problems)
    return {"results": problems}


@ROUTES.get("/items/report/{id}", answers=dict[str, Any], own=True)
def show_report(asked: Asked) -> dict[str, Any]:
    """A work item's ingest report."""
    item = asked.catalogue.item(asked.id, asked.own)
    return asked.catalogue.registry.report(item.id) or {}


@ROUTES.put(
    "/items/report/{id}", takes=dict[str, Any], answers=dict[str, Any], own=True, act="report saved"
)
def save_report(asked: Asked) -> dict[str, Any]:
    """Replace a work item's ingest report."""
    item = asked.catalogue.item(asked.id)
    report = asked.document()
    asked.catalogue.registry.save_report(item.id, report)
    return report


def _act_upon(stored: WorkItem, item: WorkItem) -> str:
    """What a person does who saves it like that: `bagline cancel` and `bagline requeue` do it over
    this route, too."""
    if item.status == STATUS_CANCELLED and stored.status != STATUS_CANCELLED:
        return "cancel"
    if item.status == STATUS_PENDING and stored.status not in (STATUS_PENDING, STATUS_STARTED):
        return "requeue"
    return "item changed"


def _name_by_ids(asked: Asked, item: WorkItem) -> None:
    """Fill in what an item's ids say of its file and its object, where only they were sent."""
    if item.generic_file_id and not item.generic_file_identifier:
        with suppress(Missing):
            file = asked.catalogue.file(item.generic_file_id, item.institution_id)
            item.generic_file_identifier = file.identifier
    if item.intellectual_object_id and not item.object_identifier:
        found = asked.catalogue.bare_object(item.intellectual_object_id)
        if found is not None and found.institution_id == item.institution_id:
            item.object_identifier = found.identifier
            item.storage_option = item.storage_option or found.storage_option


def _check(item: WorkItem, stored: WorkItem | None = None) -> None:
    """What every item must be. A stored ETag is not judged anew: an object that was moved here may
    have none. Raises BadRequest."""
    has_etag = 32 <= len(item.etag) <= 40 or (stored is not None and item.etag == stored.etag)
    refuse(
        misfits(item),
        needs(item, "name", "bucket", "institution_id"),
        needs_times(item, "bag_date", "date_processed"),
        one_of(item, "action", ACTIONS),
        one_of(item, "stage", STAGES),
        one_of(item, "status", STATUSES),
        [] if has_etag else ["etag must have 32 to 40 characters"],
        [] if "@" in item.user else ["user must be an e-mail address"],
    )


def _followed(asked: Asked, item: WorkItem) -> int:
    """The item whose place it takes: one of the same institution. Raises BadRequest."""
    text = asked.headers[UNLESS_CHANGE_OPEN].strip()
    if not text.isascii() or not text.isdigit() or len(text) > MOST_DIGITS:
        raise BadRequest(f"{UNLESS_CHANGE_OPEN} must be the id of a work item, or 0")
    if int(text):
        try:
            asked.catalogue.item(int(text), item.institution_id)
        except Missing:
            raise BadRequest(f"the institution has no work item {text}") from None
    return int(text)


def _check_changes(asked: Asked, stored: WorkItem, item: WorkItem) -> None:
    """What stays as it is stored is not judged anew. Raises BadRequest or Denied."""
    if asked.user.is_worker:
        changed = [n for n in (*ABOUT, *READ_ONLY) if getattr(item, n) != getattr(stored, n)]
        if changed:
            raise Denied(f"a worker may not change {', '.join(changed)} of an item")
    institution = asked.catalogue.institution(stored.institution_id)
    refuse(
        _name_faults(asked.user, item) if item.name != stored.name else (),
        _bucket_faults(asked, institution, item) if item.bucket != stored.bucket else (),
        _reference_faults(asked, institution, item, stored),
    )


def _check_workers_item(asked: Asked, item: WorkItem) -> None:
    """What a worker may ask for. Raises Denied."""
    if item.action in AFTER_THAWING:
        if not asked.catalogue.was_thawed(item.institution_id, item.intellectual_object_id):
            raise Denied("a worker may ask for this only after a Glacier Restore of the object")
    elif item.action != ACTION_INGEST:
        raise Denied(f"a worker may not make items of the action {item.action}")
    if item.action == ACTION_INGEST and item.status != STATUS_PENDING:
        raise Denied("a worker's new item must be Pending")
    if item.action == ACTION_INGEST and item.stage != STAGE_RECEIVE:
        raise Denied("a worker's new item must be at Receive")
    if item.inst_approver or item.aptrust_approver or item.deletion_request_id:
        raise Denied("a worker may not approve anything")


def _name_faults(user: ApiUser, item: WorkItem) -> Iterator[str]:
    """The name is a key at the top of a receiving bucket. Odd characters may be in it: such a
    bag is rejected on the line, in words. Workers take only what is a tar by its name."""
    name = item.name
    if "/" in name or name in (".", ".."):
        yield "name must be a bag's: a file's name, without a slash"
    elif len(name.encode("utf-8", "surrogatepass")) > BAG_NAME_BYTES:
        yield f"name may have at most {BAG_NAME_BYTES} bytes"
    elif user.is_worker and (not name.lower().endswith(".tar") or len(name) < len("x.tar")):
        yield "name must be a bag's: a file's name that ends in .tar"


def _bucket_faults(asked: Asked, institution: Institution, item: WorkItem) -> Iterator[str]:
    known = {institution.receiving_bucket}
    if item.action != ACTION_INGEST:  # made from an ingest item, maybe of an older bucket
        known.add(institution.restore_bucket)
        if item.bucket and asked.catalogue.had_bucket(institution.id, item.bucket):
            known.add(item.bucket)
    known.discard("")
    if not known and asked.user.is_sys_admin:
        return  # an institution without buckets: there is nothing to compare with
    if item.bucket not in known:
        yield f"bucket must be the institution's: {', '.join(sorted(known)) or 'it has none'}"


def _reference_faults(
    asked: Asked, institution: Institution, item: WorkItem, stored: WorkItem
) -> Iterator[str]:
    """What the item newly refers to must be the institution's."""
    if item.intellectual_object_id not in (0, stored.intellectual_object_id):
        found = asked.catalogue.bare_object(item.intellectual_object_id)
        if found is None or found.institution_id != institution.id:
            yield "intellectual_object_id is no object of the institution"
    if item.generic_file_id not in (0, stored.generic_file_id):
        try:
            asked.catalogue.file(item.generic_file_id, institution.id)
        except Missing:
            yield "generic_file_id is no file of the institution"
    for name in ("object_identifier", "generic_file_identifier"):
        value = getattr(item, name)
        is_own = value.startswith(f"{institution.identifier}/")
        if value and value != getattr(stored, name) and not is_own:
            yield f"{name} must begin with {institution.identifier}/"
    if item.storage_option not in ("", stored.storage_option, *asked.options):
        yield f"storage_option must be one of {', '.join(asked.options)}"


def _problem_faults(problem: Problem) -> Iterator[str]:
    if not 0 < len(problem.code) <= 12:
        yield "code must have 1 to 12 characters"
    if problem.severity not in (ERROR, WARNING):
        yield f"severity must be one of {ERROR}, {WARNING}"
    if max(len(problem.subject), len(problem.message)) > PROBLEM_CHARACTERS:
        yield f"subject and message may have at most {PROBLEM_CHARACTERS} characters"
