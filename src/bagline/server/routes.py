"""THE table of the API: every route, what it takes, what it answers, and who may ask.

Paths stand below `/admin-api/v3` (system administrators) and, where `members` says so,
below `/member-api/v3` too (everybody, held to their own institution; reading only).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_origin

from bagline.model.premis import PremisEvent
from bagline.model.registry import (
    Checksum,
    GenericFile,
    Institution,
    IntellectualObject,
    RegistryStorageRecord,
)
from bagline.model.workitem import WorkItem
from bagline.problems import Problem
from bagline.server import handlers as h
from bagline.services.registry import listing as lists
from bagline.services.registry.listing import Listing

ADMIN_API = "/admin-api/v3"
MEMBER_API = "/member-api/v3"
ONE_RECORD = 1024 * 1024
"""Bytes of a body that holds one record, or an item's report."""
MANY_RECORDS = 64 * 1024 * 1024


@dataclass(frozen=True)
class Route:
    """One method of one path. `takes` and `answers` are records, or a list of one kind for a
    list of them; `listing`: its query parameters, and the answer is a page of `answers`."""

    method: str
    path: str
    handle: h.Handler
    says: str
    takes: Any = None
    answers: Any = None
    listing: Listing | None = None
    status: int = 200
    members: bool = False
    own: bool = False
    """Bagline's own, not of contract D."""
    workers: bool = False
    """Whether a worker may ask it, where it changes something. Reading they may all."""

    @property
    def is_for_workers(self) -> bool:
        return self.workers or self.method == "GET"

    @property
    def largest_body(self) -> int:
        """In bytes."""
        return MANY_RECORDS if get_origin(self.takes) is list else ONE_RECORD


def _list(path: str, handle: h.Handler, listing: Listing, kind: Any) -> Route:
    return Route(
        "GET", f"/{path}", handle, f"List {path}.", answers=kind, listing=listing, members=True
    )


ROUTES = (
    _list(
        "institutions",
        h.list_of(lists.INSTITUTIONS, Institution, "institutions"),
        lists.INSTITUTIONS,
        Institution,
    ),
    Route(
        "GET",
        "/institutions/show/{key:path}",
        h.show_institution,
        "An institution, by id or identifier.",
        answers=Institution,
        members=True,
    ),
    Route(
        "POST",
        "/institutions/create",
        h.create_institution,
        "Add an institution.",
        takes=Institution,
        answers=Institution,
        status=201,
        own=True,
    ),
    Route(
        "PUT",
        "/institutions/update/{id}",
        h.update_institution,
        "Replace an institution.",
        takes=Institution,
        answers=Institution,
        own=True,
    ),
    _list("objects", h.list_objects, lists.OBJECTS, IntellectualObject),
    Route(
        "GET",
        "/objects/show/{key:path}",
        h.show_object,
        "An intellectual object, by id or identifier, with its counts and sizes.",
        answers=IntellectualObject,
        members=True,
    ),
    Route(
        "POST",
        "/objects/create/{institution_id}",
        h.create_object,
        "Add an intellectual object.",
        takes=IntellectualObject,
        answers=IntellectualObject,
        status=201,
        workers=True,
    ),
    Route(
        "PUT",
        "/objects/update/{id}",
        h.update_object,
        "Replace an intellectual object. An active one keeps its storage option.",
        takes=IntellectualObject,
        answers=IntellectualObject,
        workers=True,
    ),
    Route(
        "DELETE",
        "/objects/delete/{id}",
        h.delete_object,
        "Mark an intellectual object deleted, when its files are.",
        answers=IntellectualObject,
        workers=True,
    ),
    _list("files", h.list_files, lists.FILES, GenericFile),
    Route(
        "GET",
        "/files/show/{key:path}",
        h.show_file,
        "A file, by id or identifier, with checksums (newest first), copies and events.",
        answers=GenericFile,
        members=True,
    ),
    Route(
        "POST",
        "/files/create_batch/{institution_id}",
        h.create_files,
        "Add up to 1,000 files with all that belongs to them: all or none.",
        takes=list[GenericFile],
        answers=list[GenericFile],
        status=201,
        workers=True,
    ),
    Route(
        "POST",
        "/files/create/{institution_id}",
        h.create_file,
        "Add a file with all that belongs to it.",
        takes=GenericFile,
        answers=GenericFile,
        status=201,
        workers=True,
    ),
    Route(
        "POST",
        "/files/find",
        h.find_files,
        "The files of up to 1,000 identifiers that exist.",
        takes=list[h.FileName],
        answers=list[GenericFile],
        own=True,
        workers=True,
    ),
    Route(
        "PUT",
        "/files/update/{id}",
        h.update_file,
        "Replace a file; new checksums, copies and events are added.",
        takes=GenericFile,
        answers=GenericFile,
        workers=True,
    ),
    Route(
        "DELETE",
        "/files/delete/{id}",
        h.delete_file,
        "Mark a file deleted.",
        answers=GenericFile,
        workers=True,
    ),
    _list("events", h.list_events, lists.EVENTS, PremisEvent),
    Route(
        "GET",
        "/events/show/{key}",
        h.show_event,
        "A PREMIS event, by id or UUID.",
        answers=PremisEvent,
        members=True,
    ),
    Route(
        "POST",
        "/events/create",
        h.create_event,
        "Add a PREMIS event. Events are never changed.",
        takes=PremisEvent,
        answers=PremisEvent,
        status=201,
        workers=True,
    ),
    _list("items", h.list_of(lists.ITEMS, WorkItem, "items"), lists.ITEMS, WorkItem),
    Route(
        "GET",
        "/items/show/{id}",
        h.show_item,
        "A work item.",
        answers=WorkItem,
        members=True,
    ),
    Route(
        "POST",
        "/items/create/{institution_id}",
        h.create_item,
        "Add a work item.",
        takes=WorkItem,
        answers=WorkItem,
        status=201,
        workers=True,
    ),
    Route(
        "PUT",
        "/items/update/{id}",
        h.update_item,
        "Replace a work item. With the header If-Status-Not (statuses, separated by commas) "
        "a row of such a status stays and is answered.",
        takes=WorkItem,
        answers=WorkItem,
        workers=True,
    ),
    Route(
        "GET",
        "/items/problems/{id}",
        h.show_problems,
        "What is wrong with a work item's bag.",
        answers=list[Problem],
        members=True,
        own=True,
    ),
    Route(
        "PUT",
        "/items/problems/{id}",
        h.save_problems,
        "Replace what is wrong with a work item's bag.",
        takes=list[Problem],
        answers=list[Problem],
        own=True,
        workers=True,
    ),
    Route(
        "GET",
        "/items/report/{id}",
        h.show_report,
        "A work item's ingest report.",
        answers=dict[str, Any],
        members=True,
        own=True,
    ),
    Route(
        "PUT",
        "/items/report/{id}",
        h.save_report,
        "Replace a work item's ingest report.",
        takes=dict[str, Any],
        answers=dict[str, Any],
        own=True,
        workers=True,
    ),
    _list(
        "checksums", h.list_of(lists.CHECKSUMS, Checksum, "checksums"), lists.CHECKSUMS, Checksum
    ),
    Route(
        "POST",
        "/checksums/create/{institution_id}",
        h.create_checksum,
        "Add a checksum to a file.",
        takes=Checksum,
        answers=Checksum,
        status=201,
        workers=True,
    ),
    _list(
        "storage_records",
        h.list_of(lists.STORAGE_RECORDS, RegistryStorageRecord, "storage_records"),
        lists.STORAGE_RECORDS,
        RegistryStorageRecord,
    ),
    Route(
        "POST",
        "/storage_records/create/{institution_id}",
        h.create_copy,
        "Add a copy to a file.",
        takes=RegistryStorageRecord,
        answers=RegistryStorageRecord,
        status=201,
        workers=True,
    ),
    Route(
        "GET",
        "/info",
        h.show_info,
        "What answers, and its schema.",
        answers=dict[str, str],
        members=True,
        own=True,
    ),
)
