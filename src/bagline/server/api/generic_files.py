"""Files, with the checksums, copies and events that belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from bagline.model.copy_checks import CopyState
from bagline.model.registry import (
    STATE_ACTIVE,
    GenericFile,
    RegistryStorageRecord,
)
from bagline.server.api.asking import Asked, BadRequest, Denied, must_be_new, must_be_of
from bagline.server.api.checking import STATES, is_uuid, needs, one_of, refuse, stays_active
from bagline.server.api.file_checksums import checksum_faults
from bagline.server.api.premis_events import event_faults
from bagline.server.api.routing import Routes
from bagline.server.api.storage_records import check_copies, copy_faults
from bagline.services.registry.base import Missing
from bagline.services.registry.fitting import misfits
from bagline.services.registry.listing import FILES, LARGEST_ID
from bagline.units import spelled_path

BATCH_FILES = 1_000

ROUTES = Routes()
ROUTES.list(FILES)


class FileName(Struct, kw_only=True):
    """A file that is asked for."""

    identifier: str


class FilesAfter(Struct, kw_only=True):
    """Active files of an object that are asked for, in the order of their identifiers' bytes."""

    intellectual_object_id: int
    after: str = ""
    """An identifier: those after it."""


@ROUTES.get("/files/show/{key:path}", answers=GenericFile)
def show_file(asked: Asked) -> GenericFile:
    """A file, by id or identifier, with checksums (newest first), copies and events."""
    return asked.catalogue.file(asked.key, asked.own)


@ROUTES.get("/files/copies/{key:path}", answers=list[CopyState], own=True)
def show_copies(asked: Asked) -> dict[str, Any]:
    """Every copy of a file, by the file's id or identifier: when each was asked for and what was
    found, when it was proven last and by what. None of a deleted file."""
    file = asked.catalogue.file(asked.key, asked.own)
    copies = asked.catalogue.registry.copies.of_file(file.id)
    return {
        "results": [
            CopyState(
                generic_file_id=copy.file_id,
                url=copy.url,
                asked_at=copy.asked_at,
                outcome=copy.outcome,
                detail=copy.detail,
                proven_at=copy.proven_at,
                proven_by=copy.proven_by,
            )
            for copy in copies
        ]
    }


@ROUTES.post(
    "/files/create_batch/{institution_id}",
    takes=list[GenericFile],
    answers=list[GenericFile],
    act="files added",
)
def create_files(asked: Asked) -> dict[str, Any]:
    """Add up to 1,000 files with all that belongs to them: all or none."""
    files = _created(asked, asked.records(GenericFile, BATCH_FILES))
    return {"count": len(files), "next": "", "previous": "", "results": files}


@ROUTES.post(
    "/files/create/{institution_id}", takes=GenericFile, answers=GenericFile, act="files added"
)
def create_file(asked: Asked) -> GenericFile:
    """Add a file with all that belongs to it."""
    return _created(asked, [asked.record(GenericFile)])[0]


@ROUTES.post(
    "/files/find",
    takes=list[FileName],
    answers=list[GenericFile],
    status=200,
    own=True,
    act="files looked up",
)
def find_files(asked: Asked) -> dict[str, Any]:
    """The files of up to 1,000 identifiers that exist."""
    wanted = asked.records(FileName, BATCH_FILES)
    found = asked.catalogue.registry.files([name.identifier for name in wanted])
    return {"results": list(found.values())}


@ROUTES.post(
    "/files/after",
    takes=FilesAfter,
    answers=list[GenericFile],
    status=200,
    own=True,
    act="files looked up",
)
def files_after(asked: Asked) -> dict[str, Any]:
    """The next 1,000 active files of an object at most, in the order of their identifiers' bytes;
    without events."""
    wanted = asked.record(FilesAfter)
    if not 0 <= wanted.intellectual_object_id <= LARGEST_ID:
        raise Missing
    found = asked.catalogue.registry.files_after(wanted.intellectual_object_id, wanted.after)
    return {"results": found}


@ROUTES.put("/files/update/{id}", takes=GenericFile, answers=GenericFile, act="file changed")
def update_file(asked: Asked) -> GenericFile:
    """Replace a file; new checksums, copies and events are added."""
    file = asked.changed(GenericFile)
    stored = asked.catalogue.file(file.id)
    if (file.institution_id, file.identifier) != (stored.institution_id, stored.identifier):
        raise BadRequest("institution_id and identifier must stay what they are")
    _check(file, asked.options)
    refuse(stays_active(stored, file.state))
    _check_key(asked, stored, file)
    _check_places(asked, [file], known=stored.storage_records)
    return asked.catalogue.update_file(file)


@ROUTES.delete("/files/delete/{id}", answers=GenericFile, act="file deleted")
def delete_file(asked: Asked) -> GenericFile:
    """Mark a file deleted, whose copies are gone: by its Delete item, approved and Started, or its
    object's. Its copies' records go, an event tells it, and its certificate stands."""
    return asked.catalogue.delete_file(asked.catalogue.file(asked.id))


def _created(asked: Asked, files: list[GenericFile]) -> list[GenericFile]:
    for file in files:
        must_be_new(file)
        must_be_of(asked.institution, file)
        _check(file, asked.options)
    if len({file.identifier for file in files}) < len(files):
        raise BadRequest("two of the files have the same identifier")
    _check_places(asked, files)
    return asked.catalogue.create_files(files)


def _check(file: GenericFile, options: tuple[str, ...]) -> None:
    """The file and all that comes with it. Raises BadRequest."""
    refuse(
        misfits(file),
        needs(file, "file_format", "identifier", "institution_id", "intellectual_object_id"),
        one_of(file, "state", STATES),
        one_of(file, "storage_option", options),
        is_uuid(file, "uuid"),
        *(checksum_faults(checksum) for checksum in file.checksums),
        *(copy_faults(copy) for copy in file.storage_records),
        *(event_faults(event, whole=True) for event in file.premis_events),
    )


def _check_places(
    asked: Asked, files: Sequence[GenericFile], *, known: Sequence[RegistryStorageRecord] = ()
) -> None:
    """Files lie in their object. Copies that are `known` are not judged anew. Raises
    BadRequest."""
    urls = {copy.url for copy in known}
    numbers = {file.intellectual_object_id for file in files}
    owners = {number: asked.catalogue.bare_object(number) for number in numbers}
    for file in files:
        owner = owners[file.intellectual_object_id]
        if owner is None:
            raise BadRequest(f"There is no object {file.intellectual_object_id}.")
        if owner.institution_id != file.institution_id:
            raise BadRequest(f"Object {owner.id} is another institution's.")
        if not file.identifier.startswith(f"{owner.identifier}/"):
            raise BadRequest(f"identifier must begin with {owner.identifier}/, as its object's")
        if f"{owner.identifier}/{spelled_path(file.path_in(owner))}" != file.identifier:
            raise BadRequest("raw_path must be the path that the identifier spells")
        fresh = [copy for copy in file.storage_records if copy.url not in urls]
        check_copies(asked.user, file.uuid, fresh)


def _check_key(asked: Asked, stored: GenericFile, file: GenericFile) -> None:
    """Its key in preservation buckets stays while it is active, and its object. Raises Denied."""
    if not asked.user.is_worker:
        return
    is_active = stored.state == STATE_ACTIVE
    if is_active and file.uuid.lower() != stored.uuid.lower():
        raise Denied("a worker may not change the uuid of a file")
    if file.intellectual_object_id != stored.intellectual_object_id:
        raise Denied("a worker may not move a file to another object")
