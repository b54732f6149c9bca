"""One function a route: what was asked, checked, and answered (contract D)."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from msgspec import Struct

from bagline.model.premis import PremisEvent
from bagline.model.registry import (
    STATE_ACTIVE,
    STATE_DELETED,
    Checksum,
    GenericFile,
    Institution,
    IntellectualObject,
    RegistryStorageRecord,
)
from bagline.model.times import Timestamp
from bagline.model.workitem import WorkItem
from bagline.problems import Problem
from bagline.server import belonging, checks
from bagline.server.answers import Answer, Asked, BadRequest, listed
from bagline.server.desk import Desk
from bagline.services.registry import listing as lists
from bagline.services.registry.listing import BadQuery, Listing, Page

BATCH_FILES = 1_000
PROBLEMS_AT_ONCE = 20_000
UNLESS_STATUS = "if-status-not"
"""Header of Bagline's own: the row is not changed while it has one of these statuses."""
UNLESS_CHANGED = "if-updated-at"
"""The same: nor where it was saved since then."""
UNLESS_OPEN = "if-none-open"
"""The same: where an item of that bucket and name is open, it is the answer, and none is made."""

Handler = Callable[[Desk, Asked], Answer]


def list_of(listing: Listing, kind: type[Struct], path: str) -> Handler:
    """A list of plain rows."""

    def handle(desk: Desk, asked: Asked) -> Answer:
        wanted = _page(listing, asked)
        found, total = desk.list_rows(listing, kind, wanted, asked.own)
        return listed(found, total, wanted, asked, path)

    return handle


def list_objects(desk: Desk, asked: Asked) -> Answer:
    wanted = _page(lists.OBJECTS, asked)
    return listed(*desk.list_objects(wanted, asked.own), wanted, asked, "objects")


def list_files(desk: Desk, asked: Asked) -> Answer:
    wanted = _page(lists.FILES, asked)
    return listed(*desk.list_files(wanted, asked.own), wanted, asked, "files")


def list_events(desk: Desk, asked: Asked) -> Answer:
    wanted = _page(lists.EVENTS, asked)
    return listed(*desk.list_events(wanted, asked.own), wanted, asked, "events")


def show_institution(desk: Desk, asked: Asked) -> Answer:
    return Answer(desk.institution(asked.path["key"], asked.own))


def show_object(desk: Desk, asked: Asked) -> Answer:
    return Answer(desk.object(asked.path["key"], asked.own))


def show_file(desk: Desk, asked: Asked) -> Answer:
    return Answer(desk.file(asked.path["key"], asked.own))


def show_event(desk: Desk, asked: Asked) -> Answer:
    return Answer(desk.event(asked.path["key"], asked.own))


def show_item(desk: Desk, asked: Asked) -> Answer:
    return Answer(desk.item(asked.number("id"), asked.own))


def create_institution(desk: Desk, asked: Asked) -> Answer:
    institution = asked.record(Institution)
    _must_be_new(institution)
    checks.check_institution(institution)
    return Answer(desk.save_institution(institution), 201)


def update_institution(desk: Desk, asked: Asked) -> Answer:
    institution = asked.record(Institution)
    _must_match(asked, institution)
    desk.institution(str(institution.id), None)
    checks.check_institution(institution)
    return Answer(desk.save_institution(institution))


def create_item(desk: Desk, asked: Asked) -> Answer:
    item = asked.record(WorkItem)
    _must_be_new(item)
    institution = _must_be_of(desk, asked, item)
    checks.check_item(item)
    belonging.check_new_item(desk, asked.user, institution, item)
    if asked.headers.get(UNLESS_OPEN):
        opened = desk.open_item(item)
        return Answer(opened, 201)
    return Answer(desk.save_item(item), 201)


def update_item(desk: Desk, asked: Asked) -> Answer:
    item = asked.record(WorkItem)
    _must_match(asked, item)
    stored = desk.item(item.id, None)
    if item.institution_id != stored.institution_id:
        raise BadRequest("institution_id must stay what it is")
    checks.check_item(item)
    belonging.check_changed_item(desk, asked.user, stored, item)
    statuses = [word.strip() for word in asked.headers.get(UNLESS_STATUS, "").split(",")]
    known_since = asked.headers.get(UNLESS_CHANGED, "")
    if known_since:
        item.updated_at = Timestamp(known_since)
    saved = desk.save_item(
        item, [status for status in statuses if status], unless_changed=bool(known_since)
    )
    return Answer(saved)


def create_object(desk: Desk, asked: Asked) -> Answer:
    object = asked.record(IntellectualObject)
    _must_be_new(object)
    institution = _must_be_of(desk, asked, object)
    checks.check_object(object, desk.options)
    belonging.check_object(institution, object)
    return Answer(desk.create_object(object), 201)


def update_object(desk: Desk, asked: Asked) -> Answer:
    object = asked.record(IntellectualObject)
    _must_match(asked, object)
    stored = desk.object(str(object.id), None)
    if (object.institution_id, object.identifier) != (stored.institution_id, stored.identifier):
        raise BadRequest("institution_id and identifier must stay what they are")
    if stored.state == STATE_ACTIVE:
        object.storage_option = stored.storage_option
    checks.check_object(object, desk.options)
    if (stored.state, object.state) == (STATE_ACTIVE, STATE_DELETED):
        belonging.check_deletion(desk, asked.user, stored)
    return Answer(desk.update_object(object))


def delete_object(desk: Desk, asked: Asked) -> Answer:
    object = desk.object(str(asked.number("id")), None)
    belonging.check_deletion(desk, asked.user, object)
    return Answer(desk.delete_object(object))


def create_file(desk: Desk, asked: Asked) -> Answer:
    return Answer(_created(desk, asked, [asked.record(GenericFile)])[0], 201)


def create_files(desk: Desk, asked: Asked) -> Answer:
    files = _created(desk, asked, asked.records(GenericFile, BATCH_FILES))
    found = {"count": len(files), "next": "", "previous": "", "results": files}
    return Answer(found, 201)


def _created(desk: Desk, asked: Asked, files: list[GenericFile]) -> list[GenericFile]:
    for file in files:
        _must_be_new(file)
        _must_be_of(desk, asked, file)
        checks.check_file(file, desk.options)
    if len({file.identifier for file in files}) < len(files):
        raise BadRequest("two of the files have the same identifier")
    belonging.check_files(desk, asked.user, files)
    return desk.create_files(files) if files else []


def find_files(desk: Desk, asked: Asked) -> Answer:
    """Bagline's own: the files of these identifiers that exist."""
    wanted = asked.records(FileName, BATCH_FILES)
    found = desk.registry.files([name.identifier for name in wanted])
    return Answer({"results": list(found.values())})


class FileName(Struct, kw_only=True):
    """A file that is asked for."""

    identifier: str


def update_file(desk: Desk, asked: Asked) -> Answer:
    file = asked.record(GenericFile)
    _must_match(asked, file)
    stored = desk.file(str(file.id), None)
    if (file.institution_id, file.identifier) != (stored.institution_id, stored.identifier):
        raise BadRequest("institution_id and identifier must stay what they are")
    checks.check_file(file, desk.options)
    belonging.check_changed_file(asked.user, stored, file)
    if (stored.state, file.state) == (STATE_ACTIVE, STATE_DELETED):
        belonging.check_deletion(desk, asked.user, stored)
    belonging.check_files(desk, asked.user, [file], known=stored.storage_records)
    return Answer(desk.update_file(file))


def delete_file(desk: Desk, asked: Asked) -> Answer:
    file = desk.file(str(asked.number("id")), None)
    belonging.check_deletion(desk, asked.user, file)
    return Answer(desk.delete_file(file))


def create_event(desk: Desk, asked: Asked) -> Answer:
    event = asked.record(PremisEvent)
    _must_be_new(event)
    checks.check_event(event)
    return Answer(desk.create_event(event), 201)


def create_checksum(desk: Desk, asked: Asked) -> Answer:
    checksum = asked.record(Checksum)
    _must_be_new(checksum)
    desk.institution(str(asked.number("institution_id")), None)
    checks.check_checksum(checksum)
    _must_own_file(desk, asked, checksum.generic_file_id)
    return Answer(desk.create_checksum(checksum), 201)


def create_copy(desk: Desk, asked: Asked) -> Answer:
    copy = asked.record(RegistryStorageRecord)
    _must_be_new(copy)
    checks.check_copy(copy)
    file = _must_own_file(desk, asked, copy.generic_file_id)
    belonging.check_copies(asked.user, file.uuid, [copy])
    return Answer(desk.create_copy(copy), 201)


def show_problems(desk: Desk, asked: Asked) -> Answer:
    """Bagline's own: what is wrong with an item's bag."""
    item = desk.item(asked.number("id"), asked.own)
    return Answer({"results": desk.registry.problems(item.id)})


def save_problems(desk: Desk, asked: Asked) -> Answer:
    """Bagline's own: replace the item's problems."""
    item = desk.item(asked.number("id"), None)
    problems = asked.records(Problem, PROBLEMS_AT_ONCE)
    checks.check_problems(problems)
    desk.registry.save_problems(item.id, problems)
    return Answer({"results": problems})


def show_report(desk: Desk, asked: Asked) -> Answer:
    """Bagline's own: an item's ingest report; {} until there is one."""
    item = desk.item(asked.number("id"), asked.own)
    return Answer(desk.registry.report(item.id) or {})


def save_report(desk: Desk, asked: Asked) -> Answer:
    """Bagline's own: replace the item's ingest report."""
    item = desk.item(asked.number("id"), None)
    report = asked.document()
    desk.registry.save_report(item.id, report)
    return Answer(report)


def show_info(desk: Desk, asked: Asked) -> Answer:  # noqa: ARG001
    """Bagline's own: what answers."""
    found = desk.registry.ping()
    return Answer({"product": "Bagline", "version": version("bagline"), "schema": found["schema"]})


def _page(listing: Listing, asked: Asked) -> Page:
    try:
        return lists.parse(listing, asked.query)
    except BadQuery as fault:
        raise BadRequest(f"Invalid query params: {fault}") from None


def _must_be_new(record: Any) -> None:
    if record.id:
        raise BadRequest("id must be 0: this route creates")


def _must_match(asked: Asked, record: Any) -> None:
    if record.id != asked.number("id"):
        raise BadRequest("the id of the body is not that of the address")


def _must_be_of(desk: Desk, asked: Asked, record: Any) -> Institution:
    institution = desk.institution(str(asked.number("institution_id")), None)
    if record.institution_id != institution.id:
        raise BadRequest("the institution of the body is not that of the address")
    return institution


def _must_own_file(desk: Desk, asked: Asked, file_id: int) -> GenericFile:
    own = asked.number("institution_id")
    found = desk.list_files(Page((lists.FILES.table.c.id == file_id,), (), 1, 1), own)[0]
    if not found:
        raise BadRequest(f"the institution has no file {file_id}")
    return found[0]
