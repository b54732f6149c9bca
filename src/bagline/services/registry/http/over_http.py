"""`Registry` over HTTP. See `base.Registry` for what each method promises.

Where the server has no route for what is Bagline's own (another Registry, contract D):
problems, reports and forms of bags are not kept, single files are asked for one by one, and what
somebody saved meanwhile is looked for just before a row is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec import structs

from bagline.errors import Refused, Unreachable
from bagline.model import wire
from bagline.model.bag_form import BagForm
from bagline.model.premis import PremisEvent
from bagline.model.registry import (
    STATE_ACTIVE,
    GenericFile,
    Institution,
    IntellectualObject,
)
from bagline.model.times import NEVER, Timestamp
from bagline.problems import Problem
from bagline.services.registry.base import Conflict, Missing
from bagline.services.registry.http.answers import record_in, told_file
from bagline.services.registry.http.deletions_over_http import HttpDeletions
from bagline.services.registry.http.holdings_over_http import HttpHoldings
from bagline.services.registry.http.items_over_http import HttpItems
from bagline.services.registry.http.speaking import TRIES, RegistryClient, escaped

FILES_PER_CALL = 1_000
SHOWS_AT_ONCE = 8


class HttpRegistry(HttpItems):
    """Thread-safe."""

    def __init__(self, client: RegistryClient) -> None:
        super().__init__(client)
        self._finds_files = True

    def __repr__(self) -> str:
        return f"HttpRegistry({self._client.where})"

    # -- institutions
    def institutions(self) -> list[Institution]:
        pages = self._client.pages("institutions", [("sort", "name")])
        return [record_in(row, Institution) for page in pages for row in page]

    def institution(self, id_or_identifier: int | str) -> Institution | None:
        return self._shown("institutions", str(id_or_identifier), Institution)

    def save_institution(self, institution: Institution) -> Institution:
        return self._saved(institution, "institutions/create", "institutions/update")

    # -- objects
    def intellectual_object(self, identifier: str) -> IntellectualObject | None:
        return self._shown("objects", identifier, IntellectualObject)

    def save_intellectual_object(self, object: IntellectualObject) -> IntellectualObject:
        if not object.id:
            known = self.intellectual_object(object.identifier)
            object.id = known.id if known is not None else 0
        if not self._is_ours():
            object = structs.replace(object, bag_form=None)
        try:
            return self._saved(object, "objects/create", "objects/update")
        except (Conflict, Unreachable):
            # Another made it, or ours was made and the answer was lost.
            known = self.intellectual_object(object.identifier) if not object.id else None
            if known is None:
                raise
            object.id = known.id
            return self._saved(object, "objects/create", "objects/update")

    def bag_form(self, object_id: int) -> BagForm | None:
        if not self._is_ours():
            return None
        found = self._shown("objects", str(object_id), IntellectualObject)
        return found.bag_form if found is not None else None

    def repaired_until(self, object_identifier: str) -> Timestamp:
        if not self._is_ours():
            return NEVER
        path = f"objects/repaired_until/{escaped(object_identifier)}"
        return Timestamp(self._own(path).get("until") or NEVER)

    @property
    def deletions(self) -> HttpDeletions | None:
        return HttpDeletions(self._client) if self._is_ours() else None

    @property
    def holdings(self) -> HttpHoldings:
        return HttpHoldings(self._client)

    def delete_file(self, file_id: int) -> None:
        self._delete(f"files/delete/{file_id}")

    def delete_object(self, object_id: int) -> None:
        self._delete(f"objects/delete/{object_id}")

    def _delete(self, path: str) -> None:
        try:
            self._client.ask("DELETE", path)
        except (Missing, Conflict) as fault:
            raise Refused(str(fault)) from None

    # -- files
    def files(
        self,
        identifiers: Sequence[str],
        *,
        with_events: bool = True,  # noqa: ARG002 (the API tells them)
    ) -> dict[str, GenericFile]:
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
        return [record_in(row, GenericFile) for row in answer.get("results") or []]

    def _each(self, identifiers: Sequence[str]) -> list[GenericFile]:
        def show(identifier: str) -> GenericFile | None:
            return self._shown("files", identifier, GenericFile)

        with ThreadPoolExecutor(SHOWS_AT_ONCE, thread_name_prefix="registry") as pool:
            return [file for file in pool.map(show, identifiers) if file is not None]

    def file(self, file_id: int) -> GenericFile | None:
        return self._shown("files", str(file_id), GenericFile)

    def files_due(
        self, options: Sequence[str], *, checked_before: Timestamp
    ) -> Iterator[list[GenericFile]]:
        if not options:
            return
        same = [("state", STATE_ACTIVE), *(("storage_option__in", name) for name in options)]
        dated = [("last_fixity_check__lteq", checked_before), ("sort", "last_fixity_check")]
        never = [("last_fixity_check__is_null", "true"), ("sort", "id")]
        for query in [never, dated] if self._is_ours() else [dated]:
            for page in self._client.pages("files", [*same, *query]):
                if page:
                    yield [record_in(row, GenericFile) for row in page]

    def finds_files(self) -> bool:
        return self._finds_files and self._is_ours()

    def iter_object_files(
        self, object_id: int, *, with_deleted: bool = False
    ) -> Iterator[list[GenericFile]]:
        query = [("intellectual_object_id", str(object_id)), ("sort", "id")]
        if not with_deleted:
            query.append(("state", STATE_ACTIVE))
        for page in self._client.pages("files", query):
            if page:
                yield [record_in(row, GenericFile) for row in page]

    def files_in_order(self, object_id: int, *, after: str = "") -> Iterator[list[GenericFile]]:
        if not self._is_ours():
            yield from self._others_files_in_order(object_id, after)
            return
        while batch := self._files_after(object_id, after):
            yield batch
            after = batch[-1].identifier

    def _files_after(self, object_id: int, after: str) -> list[GenericFile]:
        body = wire.encode({"intellectual_object_id": object_id, "after": after})
        answer = self._client.ask("POST", "files/after", body=body, tries=TRIES)
        return [record_in(row, GenericFile) for row in answer.get("results") or []]

    def _others_files_in_order(self, object_id: int, after: str) -> Iterator[list[GenericFile]]:
        """Its order is its own: the place is found by the name alone."""
        query = [("intellectual_object_id", str(object_id)), ("state", STATE_ACTIVE)]
        is_there = not after
        for page in self._client.pages("files", [*query, ("sort", "identifier")]):
            files = [record_in(row, GenericFile) for row in page]
            if not is_there:
                places = [at for at, file in enumerate(files) if file.identifier == after]
                is_there = bool(places)
                files = files[places[0] + 1 :] if places else []
            if files:
                yield files

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
        told = [told_file(file, file.storage_records, is_ours=is_ours) for file in files]
        answer = self._client.ask("POST", path, body=wire.encode(told))
        made = [record_in(row, GenericFile) for row in answer.get("results") or []]
        return {file.identifier: file for file in made}

    def update_file(self, file: GenericFile, *, recorded_urls: Sequence[str] = ()) -> GenericFile:
        """Another's API adds all that it is sent, and takes no event twice: a repeat fails there,
        and only then the stored row is looked at."""
        if self._is_ours():
            return self._put(f"files/update/{file.id}", file, {})
        new = [copy for copy in file.storage_records if copy.url not in recorded_urls]
        try:
            sent = told_file(file, new, is_ours=False)
            return self._put(f"files/update/{file.id}", sent, {}, tries=1)
        except Unreachable:
            return self._update_known(file)

    def _update_known(self, file: GenericFile) -> GenericFile:
        """Leave out what the stored row has already."""
        stored = self._shown("files", file.identifier, GenericFile)
        if stored is None:
            raise Refused(f"the Registry has no file {file.identifier!r}")
        urls = {copy.url for copy in stored.storage_records}
        digests = {(c.algorithm, c.digest, c.datetime) for c in stored.checksums}
        events = {event.identifier for event in stored.premis_events}
        copies = [copy for copy in file.storage_records if copy.url not in urls]
        fresh = structs.replace(
            told_file(file, copies, is_ours=False),
            checksums=[
                c for c in file.checksums if (c.algorithm, c.digest, c.datetime) not in digests
            ],
            premis_events=[e for e in file.premis_events if e.identifier not in events],
        )
        return self._put(f"files/update/{file.id}", fresh, {})

    # -- events
    def create_events(self, events: Sequence[PremisEvent]) -> list[PremisEvent]:
        return [self._create_event(event) for event in events]

    def _create_event(self, event: PremisEvent) -> PremisEvent:
        try:
            answer = self._client.ask("POST", "events/create", body=wire.encode(event))
            return record_in(answer, PremisEvent)
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
            record_in(r, PremisEvent) for page in self._client.pages("events", query) for r in page
        ]

    # -- what outlives an item's working state
    def save_problems(self, item_id: int, problems: Sequence[Problem]) -> None:
        self._kept(f"items/problems/{item_id}", list(problems))

    def problems(self, item_id: int) -> list[Problem]:
        found = self._own(f"items/problems/{item_id}")
        return [record_in(row, Problem) for row in found.get("results") or []]

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
