"""What a record may say of others: whose bucket, whose object, under which name (contract D).

Nothing here is taken on trust from whoever writes: buckets are the institution's, names
begin with its identifier, what a record refers to is of the same institution. A worker may
do less than a system administrator: what an item is about stays what it was, and only a
deletion that somebody asked for and approved is carried out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, false

from bagline.model.registry import (
    GenericFile,
    Institution,
    IntellectualObject,
    RegistryStorageRecord,
)
from bagline.model.workitem import (
    ACTION_INGEST,
    STAGE_RECEIVE,
    STATUS_PENDING,
    STATUS_STARTED,
    WorkItem,
)
from bagline.server.answers import BadRequest, Denied, Missing
from bagline.server.desk import Desk
from bagline.services.registry import tables as t
from bagline.services.registry.users import ApiUser

BAG_NAME_BYTES = 1_024
"""As S3 has it for keys."""
COPY_URL_CHARACTERS = 2_048
ACTION_DELETE = "Delete"
ACTION_THAW = "Glacier Restore"
AFTER_THAWING = ("Restore File", "Restore Object")
ABOUT = (
    "action", "aptrust_approver", "bucket", "deletion_request_id", "etag", "inst_approver",
    "name", "user",
)  # fmt: skip
"""What a worker leaves as it is in an item."""
READ_ONLY = ("generic_file_id", "generic_file_identifier")
"""Fields that older workers do not send back: nothing is said of them, not that they are empty."""

_items = t.work_items.c


def check_new_item(desk: Desk, user: ApiUser, institution: Institution, item: WorkItem) -> None:
    """Raises BadRequest, or Denied for what workers may not ask for."""
    if user.is_worker:
        _check_workers_item(desk, item)
    _refuse(
        _name_fault(user, item),
        _bucket_fault(desk, user, institution, item),
        *_reference_faults(desk, institution, item, WorkItem()),
    )


def check_changed_item(desk: Desk, user: ApiUser, stored: WorkItem, item: WorkItem) -> None:
    """What stays as it is stored is not judged anew. Raises BadRequest or Denied."""
    if user.is_worker:
        for name in READ_ONLY:
            if not getattr(item, name):
                setattr(item, name, getattr(stored, name))
        changed = [n for n in (*ABOUT, *READ_ONLY) if getattr(item, n) != getattr(stored, n)]
        if changed:
            raise Denied(f"a worker may not change {', '.join(changed)} of an item")
    institution = desk.institution(str(stored.institution_id), None)
    _refuse(
        _name_fault(user, item) if item.name != stored.name else "",
        _bucket_fault(desk, user, institution, item) if item.bucket != stored.bucket else "",
        *_reference_faults(desk, institution, item, stored),
    )


def check_object(institution: Institution, object: IntellectualObject) -> None:
    """An object is `institution/bag`. Raises BadRequest."""
    prefix, slash, bag = object.identifier.partition("/")
    if prefix != institution.identifier or not slash or not bag or "/" in bag:
        raise BadRequest(
            f"identifier must be {institution.identifier}/ and the bag's name, without a slash"
        )


def check_files(
    desk: Desk,
    user: ApiUser,
    files: Sequence[GenericFile],
    *,
    known: Sequence[RegistryStorageRecord] = (),
) -> None:
    """Files lie in their object. Copies that are `known` are not judged anew. Raises
    BadRequest."""
    urls = {copy.url for copy in known}
    numbers = {file.intellectual_object_id for file in files}
    owners = {number: desk.object_or_none(number) for number in numbers}
    for file in files:
        owner = owners[file.intellectual_object_id]
        if owner is None:
            raise BadRequest(f"There is no object {file.intellectual_object_id}.")
        if owner.institution_id != file.institution_id:
            raise BadRequest(f"Object {owner.id} is another institution's.")
        if not file.identifier.startswith(f"{owner.identifier}/"):
            raise BadRequest(f"identifier must begin with {owner.identifier}/, as its object's")
        check_copies(user, file.uuid, [c for c in file.storage_records if c.url not in urls])


def check_copies(user: ApiUser, uuid: str, copies: Sequence[RegistryStorageRecord]) -> None:
    """A worker's copies are under the file's UUID; a system administrator may know of others,
    such as of a collection that was moved here. Raises BadRequest."""
    for copy in copies:
        path = _path_of_copy(copy.url)
        if not path:
            raise BadRequest(
                "the url of a copy must be like https://host/bucket/key, of at most "
                f"{COPY_URL_CHARACTERS} characters, without a user, query, fragment or `..`"
            )
        if user.is_worker and not path.lower().endswith(f"/{uuid.lower()}"):
            raise BadRequest("the url of a copy must end with the file's uuid")


def _path_of_copy(url: str) -> str:
    """The path of a copy's URL, bucket and key; "" where it is no such URL."""
    if len(url) > COPY_URL_CHARACTERS or not url.isprintable() or " " in url:
        return ""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return ""
    is_plain = not (parts.query or parts.fragment or "@" in parts.netloc or "?" in url)
    if parts.scheme not in ("http", "https", "s3") or not host or not is_plain:
        return ""
    names = parts.path.split("/")[1:]
    return parts.path if names and all(name not in ("", ".", "..") for name in names) else ""


def check_changed_file(user: ApiUser, stored: GenericFile, file: GenericFile) -> None:
    """Its key in preservation buckets stays, and its object. Raises Denied."""
    if not user.is_worker:
        return
    if file.uuid.lower() != stored.uuid.lower():
        raise Denied("a worker may not change the uuid of a file")
    if file.intellectual_object_id != stored.intellectual_object_id:
        raise Denied("a worker may not move a file to another object")


def check_deletion(desk: Desk, user: ApiUser, what: GenericFile | IntellectualObject) -> None:
    """A worker carries out what was asked for: by an item in work that has its approver.
    Raises Denied."""
    if not user.is_worker:
        return
    if isinstance(what, GenericFile):
        object_id, of_file = what.intellectual_object_id, _items.generic_file_id == what.id
    else:
        object_id, of_file = what.id, false()
    whole = (_items.generic_file_id == 0) & (_items.intellectual_object_id == object_id)
    asked: list[ColumnElement[bool]] = [
        _items.action == ACTION_DELETE,
        _items.status == STATUS_STARTED,
        _items.inst_approver != "",
        _items.institution_id == what.institution_id,
        of_file | whole,
    ]
    if not desk.has_item(asked):
        raise Denied("there is no Delete item, approved and Started, about this")


def _check_workers_item(desk: Desk, item: WorkItem) -> None:
    if item.action in AFTER_THAWING:
        thawed: list[ColumnElement[bool]] = [
            _items.action == ACTION_THAW,
            _items.institution_id == item.institution_id,
            _items.intellectual_object_id == item.intellectual_object_id,
            _items.intellectual_object_id != 0,
        ]
        if not desk.has_item(thawed):
            raise Denied("a worker may ask for this only after a Glacier Restore of the object")
    elif item.action != ACTION_INGEST:
        raise Denied(f"a worker may not make items of the action {item.action}")
    if item.action == ACTION_INGEST and item.status != STATUS_PENDING:
        raise Denied("a worker's new item must be Pending")
    if item.action == ACTION_INGEST and item.stage != STAGE_RECEIVE:
        raise Denied("a worker's new item must be at Receive")
    if item.inst_approver or item.aptrust_approver or item.deletion_request_id:
        raise Denied("a worker may not approve anything")


def _name_fault(user: ApiUser, item: WorkItem) -> str:
    """The name is a key at the top of a receiving bucket. Odd characters may be in it: such a
    bag is rejected on the line, in words. Workers take only what is a tar by its name."""
    name = item.name
    if "/" in name or name in (".", ".."):
        return "name must be a bag's: a file's name, without a slash"
    if len(name.encode("utf-8", "surrogatepass")) > BAG_NAME_BYTES:
        return f"name may have at most {BAG_NAME_BYTES} bytes"
    if user.is_worker and (not name.lower().endswith(".tar") or len(name) < len("x.tar")):
        return "name must be a bag's: a file's name that ends in .tar"
    return ""


def _bucket_fault(desk: Desk, user: ApiUser, institution: Institution, item: WorkItem) -> str:
    known = {institution.receiving_bucket}
    if item.action != ACTION_INGEST:  # made from an ingest item, maybe of an older bucket
        known.add(institution.restore_bucket)
        earlier = [_items.institution_id == institution.id, _items.bucket == item.bucket]
        if item.bucket and desk.has_item(earlier):
            known.add(item.bucket)
    known.discard("")
    if not known and user.is_sys_admin:
        return ""  # an institution without buckets: there is nothing to compare with
    if item.bucket in known:
        return ""
    return f"bucket must be the institution's: {', '.join(sorted(known)) or 'it has none'}"


def _reference_faults(
    desk: Desk, institution: Institution, item: WorkItem, stored: WorkItem
) -> list[str]:
    """What the item newly refers to must be the institution's."""
    faults = []
    if item.intellectual_object_id not in (0, stored.intellectual_object_id):
        found = desk.object_or_none(item.intellectual_object_id)
        if found is None or found.institution_id != institution.id:
            faults.append("intellectual_object_id is no object of the institution")
    if item.generic_file_id not in (0, stored.generic_file_id) and not _has_file(
        desk, item.generic_file_id, institution
    ):
        faults.append("generic_file_id is no file of the institution")
    for name in ("object_identifier", "generic_file_identifier"):
        value = getattr(item, name)
        is_own = value.startswith(f"{institution.identifier}/")
        if value and value != getattr(stored, name) and not is_own:
            faults.append(f"{name} must begin with {institution.identifier}/")
    if item.storage_option not in ("", stored.storage_option, *desk.options):
        faults.append(f"storage_option must be one of {', '.join(desk.options)}")
    return faults


def _has_file(desk: Desk, file_id: int, institution: Institution) -> bool:
    try:
        desk.file(str(file_id), institution.id)
    except Missing:
        return False
    return True


def _refuse(*faults: Any) -> None:
    found = [fault for fault in faults if fault]
    if found:
        raise BadRequest("; ".join(found))
