"""`Registry` over HTTP. See `base.Registry` for what each method promises.

Where the server has no route for what is Bagline's own (another Registry, contract D):
problems and reports are not kept, files are asked for one by one, and a status set by
somebody else meanwhile is looked for just before the row is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, structs

from bagline.errors import Refused, Unreachable
from bagline.model import wire
from bagline.model.premis import PremisEvent
from bagline.model.registry import (
    STATE_ACTIVE,
    GenericFile,
    Institution,
    IntellectualObject,
    RegistryStorageRecord,
)
from bagline.model.workitem import (
    STATUS_PENDING,
    STATUS_STARTED,
    STATUS_SUSPENDED,
    WorkItem,
)
from bagline.problems import Problem
from bagline.services.registry.base import Conflict, Missing, Registry, WorkItemFilter
from bagline.services.registry.http.speaking import RegistryClient, escaped

FILES_PER_CALL = 1_000
SHOWS_AT_ONCE = 8
UNLESS_STATUS = "If-Status-Not"
UNLESS_CHANGED = "If-Updated-At"
UNLESS_OPEN = "If-None-Open"
NEWEST_FIRST = ("sort", "date_processed__desc")
R = TypeVar("R", bound=Struct)
S = TypeVar("S", Institution, WorkItem, IntellectualObject)


class HttpRegistry(Registry):
    """Thread-safe."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client
        self._finds_files = True
        self._is_baglines: bool | None = None

    def __repr__(self) -> str:
        return f"HttpRegistry({self._client.where})"

    # -- institutions
    def institutions(self) -> list[Institution]:
        pages = self._client.pages("institutions", [("sort", "name")])
        return [_record(row, Institution) for page in pages for row in page]

    def institution(self, id_or_identifier: int | str) -> Institution | None:
        return self._shown("institutions", str(id_or_identifier), Institution)

    def save_institution(self, institution: Institution) -> Institution:
        return self._saved(institution, "institutions/create", "institutions/update")

    # -- work items
    def work_item(self, item_id: int) -> WorkItem | None:
        return self._shown("items", str(item_id), WorkItem)

    def work_items(self, wanted: WorkItemFilter, *, limit: int = 1000) -> list[WorkItem]:
        same = [
            (name, str(value).lower() if isinstance(value, bool) else str(value))
            for name, value in (
                ("institution_id", wanted.institution_id),
                ("name", wanted.name),
                ("etag", wanted.etag),
                ("action", wanted.action),
                ("stage", wanted.stage),
                ("retry", wanted.retry),
            )
            if value is not None
        ]
        if wanted.statuses is None:
            return self._items(same, limit)
        # One question a status: every Registry knows `status`.
        found = [
            item
            for status in dict.fromkeys(wanted.statuses)
            for item in self._items([*same, ("status", status)], limit)
        ]
        found.sort(key=lambda item: (item.date_processed, item.id), reverse=True)
        return found[:limit]

    def _items(self, query: list[tuple[str, str]], limit: int) -> list[WorkItem]:
        found: list[WorkItem] = []
        for page in self._client.pages("items", [*query, NEWEST_FIRST]):
            found += [_record(row, WorkItem) for row in page]
            if len(found) >= limit:
                break
        return found[:limit]

    def save_work_item(
        self, item: WorkItem, *, unless_status: Sequence[str] = (), unless_changed: bool = False
    ) -> WorkItem:
        if item.id and (unless_status or unless_changed) and not self._is_ours():
            stored = self.work_item(item.id)
            if stored is not None and (
                stored.status in unless_status
                or (unless_changed and stored.updated_at != item.updated_at)
            ):
                return stored
        headers = {UNLESS_STATUS: ",".join(unless_status)} if unless_status else {}
        if unless_changed:
            headers[UNLESS_CHANGED] = item.updated_at
        return self._saved(item, "items/create", "items/update", headers)

    def open_work_item(self, item: WorkItem) -> WorkItem:
        if not self._is_ours():
            wanted = WorkItemFilter(
                institution_id=item.institution_id,
                name=item.name,
                action=item.action,
                statuses=[STATUS_PENDING, STATUS_STARTED, STATUS_SUSPENDED],
            )
            for known in self.work_items(wanted, limit=20):
                if known.bucket == item.bucket:
                    return known
        return self._saved(item, "items/create", "items/update", {UNLESS_OPEN: "true"})

    def _is_ours(self) -> bool:
        """Whether the server is Bagline's: it looks at UNLESS_STATUS by itself, and keeps how
        copies were proven."""
        if self._is_baglines is None:
            self._is_baglines = bool(self._own("info"))
        return self._is_baglines

    # -- objects
    def intellectual_object(self, identifier: str) -> IntellectualObject | None:
        return self._shown("objects", identifier, IntellectualObject)

    def save_intellectual_object(self, object: IntellectualObject) -> IntellectualObject:
        if not object.id:
            known = self.intellectual_object(object.identifier)
            object.id = known.id if known is not None else 0
        try:
            return self._saved(object, "objects/create", "objects/update")
        except (Conflict, Unreachable):
            # Another made it, or ours was made and the answer was lost.
            known = self.intellectual_object(object.identifier) if not object.id else None
            if known is None:
                raise
            object.id = known.id
            return self._saved(object, "objects/create", "objects/update")

    # -- files
    def files(self, identifiers: Sequence[str]) -> dict[str, GenericFile]:
        found: dict[str, GenericFile] = {}
        for start in range(0, len(identifiers), FILES_PER_CALL):
            some = identifiers[start : start + FILES_PER_CALL]
            for file in self._found(some) if self._finds_files else self._each(some):
                found[file.identifier] = file
        return found

    def _found(self, identifiers: Sequence[str]) -> list[GenericFile]:
        body = wire.encode([{"identifier": identifier} for identifier in identifiers])
        try:
            answer = self._client.ask("POST", "files/find", body=body)
        except (Missing, Refused):
            self._finds_files = False
            return self._each(identifiers)
        return [_record(row, GenericFile) for row in answer.get("results") or []]

    def _each(self, identifiers: Sequence[str]) -> list[GenericFile]:
        def show(identifier: str) -> GenericFile | None:
            return self._shown("files", identifier, GenericFile)

        with ThreadPoolExecutor(SHOWS_AT_ONCE, thread_name_prefix="registry") as pool:
            return [file for file in pool.map(show, identifiers) if file is not None]

    def iter_object_files(self, object_id: int) -> Iterator[list[GenericFile]]:
        query = [
            ("intellectual_object_id", str(object_id)),
            ("state", STATE_ACTIVE),
            ("sort", "id"),
        ]
        for page in self._client.pages("files", query):
            if page:
                yield [_record(row, GenericFile) for row in page]

    def create_files(self, files: Sequence[GenericFile]) -> list[GenericFile]:
        if len(files) > FILES_PER_CALL:
            raise ValueError(f"at most {FILES_PER_CALL} files a call, got {len(files)}")
        if not files:
            return []
        try:
            made = self._create(files)
        except (Conflict, Unreachable):
            known = self.files([file.identifier for file in files])
            if not known:
                raise
            new = [file for file in files if file.identifier not in known]
            made = known | (self._create(new) if new else {})
        for file in files:
            file.id = made[file.identifier].id
        return list(files)

    def _create(self, files: Sequence[GenericFile]) -> dict[str, GenericFile]:
        path = f"files/create_batch/{files[0].institution_id}"
        is_ours = self._is_ours()
        told = [
            structs.replace(file, storage_records=_told(file.storage_records, is_ours))
            for file in files
        ]
        answer = self._client.ask("POST", path, body=wire.encode(told))
        made = [_record(row, GenericFile) for row in answer.get("results") or []]
        return {file.identifier: file for file in made}

    def update_file(self, file: GenericFile) -> GenericFile:
        """What the stored row has already is left out: the API adds all that it is sent."""
        stored = self._shown("files", file.identifier, GenericFile)
        if stored is None:
            raise Refused(f"the Registry has no file {file.identifier!r}")
        urls = {copy.url for copy in stored.storage_records}
        digests = {(c.algorithm, c.digest, c.datetime) for c in stored.checksums}
        events = {event.identifier for event in stored.premis_events}
        is_ours = self._is_ours()  # which takes what is newly known of copies on record
        fresh = structs.replace(
            file,
            storage_records=[
                c for c in _told(file.storage_records, is_ours) if is_ours or c.url not in urls
            ],
            checksums=[
                c for c in file.checksums if (c.algorithm, c.digest, c.datetime) not in digests
            ],
            premis_events=[e for e in file.premis_events if e.identifier not in events],
        )
        return self._put(f"files/update/{file.id}", fresh, {})

    # -- events
    def create_event(self, event: PremisEvent) -> PremisEvent:
        try:
            answer = self._client.ask("POST", "events/create", body=wire.encode(event))
            return _record(answer, PremisEvent)
        except (Conflict, Unreachable):
            known = self._shown("events", event.identifier, PremisEvent)
            if known is None:
                raise
            return known

    def events(self, *, object_id: int = 0, file_id: int = 0) -> list[PremisEvent]:
        query = [("sort", "date_time")]
        if file_id:
            query.append(("generic_file_id", str(file_id)))
        else:
            query += [
                ("intellectual_object_id", str(object_id)),
                ("generic_file_id__is_null", "true"),
            ]
        return [
            _record(r, PremisEvent) for page in self._client.pages("events", query) for r in page
        ]

    # -- what outlives an item's working state
    def save_problems(self, item_id: int, problems: Sequence[Problem]) -> None:
        self._kept(f"items/problems/{item_id}", list(problems))

    def problems(self, item_id: int) -> list[Problem]:
        found = self._own(f"items/problems/{item_id}")
        return [_record(row, Problem) for row in found.get("results") or []]

    def save_report(self, item_id: int, report: Mapping[str, object]) -> None:
        self._kept(f"items/report/{item_id}", dict(report))

    def report(self, item_id: int) -> dict[str, object] | None:
        return self._own(f"items/report/{item_id}") or None

    def ping(self) -> Mapping[str, str]:
        found = self._own("info")
        if found:
            return {name: str(value) for name, value in found.items()}
        self._client.ask("GET", "institutions", query=[("per_page", "1")])
        return {"product": "Registry API", "version": "", "schema": ""}

    def try_write(self) -> bool:
        return False  # the API has no request that changes nothing

    def close(self) -> None:
        self._client.close()

    # -- how
    def _shown(self, kind: str, key: str, record: type[R]) -> R | None:
        try:
            answer = self._client.ask("GET", f"{kind}/show/{escaped(key)}")
        except Missing:
            return None
        return _record(answer, record)

    def _saved(
        self, record: S, create: str, update: str, headers: Mapping[str, str] | None = None
    ) -> S:
        if record.id:
            return self._put(f"{update}/{record.id}", record, headers or {})
        own = "" if isinstance(record, Institution) else f"/{record.institution_id}"
        try:
            body = wire.encode(record)
            answer = self._client.ask("POST", create + own, body=body, headers=headers or {})
        except Missing as fault:
            raise Refused(str(fault)) from None
        return _record(answer, type(record))

    def _put(self, path: str, record: R, headers: Mapping[str, str]) -> R:
        try:
            answer = self._client.ask("PUT", path, body=wire.encode(record), headers=headers)
        except (Missing, Conflict) as fault:
            raise Refused(str(fault)) from None
        return _record(answer, type(record))

    def _own(self, path: str) -> dict[str, Any]:
        """What a route of Bagline's own answers; {} where there is none."""
        try:
            return self._client.ask("GET", path)
        except Missing:
            return {}

    def _kept(self, path: str, body: Any) -> None:
        try:
            self._client.ask("PUT", path, body=wire.encode(body))
        except Missing:
            return


def _told(copies: Sequence[RegistryStorageRecord], is_ours: bool) -> list[RegistryStorageRecord]:
    """What goes on the wire of copies: to another Registry only what contract D knows."""
    return list(copies) if is_ours else [RegistryStorageRecord(url=copy.url) for copy in copies]


def _record(row: Any, kind: type[R]) -> R:
    try:
        return wire.from_builtins(row, kind)
    except (msgspec.MsgspecError, TypeError) as fault:
        raise Unreachable(f"the Registry answered no {kind.__name__}: {fault}") from None
