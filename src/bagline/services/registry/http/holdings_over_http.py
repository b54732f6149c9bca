"""`Holdings` over an API. Where it has no views of Bagline's (an older Registry, or another's), its
lists of objects, files and events are read instead, page by page, and what comes before `after` is
passed over; what no list answers is refused in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from bagline.errors import Refused
from bagline.model import times
from bagline.model.copy_checks import CopyState
from bagline.model.holdings import (
    EventsWanted,
    FilesWanted,
    HeldFile,
    HeldObject,
    Hit,
    ObjectsWanted,
    PlacesHeld,
    PlacesWanted,
    TextWanted,
    Totals,
    TotalsWanted,
)
from bagline.model.premis import PremisEvent
from bagline.model.registry import GenericFile, IntellectualObject
from bagline.services.registry.base import Missing
from bagline.services.registry.holding_book import Holdings
from bagline.services.registry.http.answers import record_in
from bagline.services.registry.http.speaking import RegistryClient, escaped

Query = list[tuple[str, str]]
R = TypeVar("R", bound=Struct)


class HttpHoldings(Holdings):
    """Thread-safe."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    def objects(self, wanted: ObjectsWanted) -> list[HeldObject]:
        answer = self._view("objects", wanted)
        if answer is not None:
            return _records(answer, HeldObject)
        query = _given(
            institution_id=wanted.institution_id,
            storage_option=wanted.storage_option,
            state=wanted.state,
            identifier__starts_with=wanted.begins,
            created_at__gteq=wanted.since if times.is_set(wanted.since) else "",
        )
        text = wanted.contains.lower()
        rows = self._listed("objects", query, IntellectualObject, wanted.after)
        fitting = (o for o in rows if text in o.identifier.lower() or text in o.title.lower())
        return [_held_object(object) for object, _ in zip(fitting, range(wanted.limit))]  # noqa: B905

    def files(self, wanted: FilesWanted) -> list[HeldFile]:
        answer = self._view("files", wanted)
        if answer is not None:
            return _records(answer, HeldFile)
        owner = self._shown_object(wanted.object)
        if owner is None or wanted.institution_id not in (0, owner.institution_id):
            return []
        query = _given(
            intellectual_object_id=owner.id,
            file_format=wanted.file_format,
            state=wanted.state,
            identifier__starts_with=f"{wanted.object}/{wanted.begins}" if wanted.begins else "",
        )
        contains, ends = wanted.contains.lower(), wanted.ends.lower()
        rows = self._listed("files", query, GenericFile, wanted.after)
        paths = ((f, f.identifier.removeprefix(f"{wanted.object}/").lower()) for f in rows)
        fitting = (f for f, path in paths if contains in path and path.endswith(ends))
        return [_held_file(file) for file, _ in zip(fitting, range(wanted.limit))]  # noqa: B905

    def find(self, wanted: TextWanted) -> list[Hit]:
        answer = self._view("find", wanted)
        if answer is None:
            raise self._lacks("finds nothing by a part of its name, or by a digest")
        return _records(answer, Hit)

    def events(self, wanted: EventsWanted) -> list[PremisEvent]:
        answer = self._view("events", wanted)
        if answer is not None:
            return _records(answer, PremisEvent)
        is_file = wanted.identifier.count("/") > 1
        subject = "generic_file" if is_file else "intellectual_object"
        query = _given(
            institution_id=wanted.institution_id,
            event_type=wanted.event_type,
            outcome=wanted.outcome,
            id__gt=wanted.after,
            generic_file_id__is_null="" if is_file or wanted.with_files else "true",
        )
        query += [(f"{subject}_identifier", wanted.identifier), ("sort", "id")]
        answer = self._client.ask("GET", "events", query=[*query, ("per_page", str(wanted.limit))])
        return _records(answer, PremisEvent)

    def totals(self, wanted: TotalsWanted) -> Totals:
        answer = self._view("totals", wanted)
        if answer is None:
            raise self._lacks("sums nothing up")
        return record_in(answer, Totals)

    def places(self, wanted: PlacesWanted) -> PlacesHeld:
        answer = self._view("places", wanted)
        if answer is None:
            raise self._lacks("does not say where an object's copies lie; each file's it does")
        return record_in(answer, PlacesHeld)

    def copies(self, file: GenericFile) -> list[CopyState]:
        try:
            return _records(self._client.ask("GET", f"files/copies/{file.id}"), CopyState)
        except Missing:
            return [
                CopyState(
                    generic_file_id=file.id,
                    url=copy.url,
                    asked_at=times.NEVER,
                    outcome="",
                    detail="",
                    proven_at=copy.proven_at,
                    proven_by=copy.proven_by,
                )
                for copy in file.storage_records
            ]

    def count_events(self, file_id: int) -> int:
        query = [("generic_file_id", str(file_id)), ("per_page", "1")]
        return int(self._client.ask("GET", "events", query=query).get("count") or 0)

    def _view(self, name: str, wanted: Struct) -> dict[str, Any] | None:
        """What a view of ours answers; None where the Registry has none."""
        given = msgspec.to_builtins(wanted)
        query = [
            (key, str(value).lower() if isinstance(value, bool) else str(value))
            for key, value in given.items()
        ]
        try:
            return self._client.ask("GET", f"holdings/{name}", query=query)
        except Missing:
            return None

    def _shown_object(self, identifier: str) -> IntellectualObject | None:
        try:
            answer = self._client.ask("GET", f"objects/show/{escaped(identifier)}")
        except Missing:
            return None
        return record_in(answer, IntellectualObject)

    def _listed(self, name: str, query: Query, kind: type[R], after: str) -> Iterator[R]:
        """What comes behind that identifier; all of them where it is "", and nothing where there is
        none such any more."""
        is_behind = not after
        for page in self._client.pages(name, [*query, ("sort", "identifier")]):
            for row in page:
                if is_behind:
                    yield record_in(row, kind)
                is_behind = is_behind or row.get("identifier") == after

    def _lacks(self, what: str) -> Refused:
        return Refused(
            f"the Registry at {self._client.where} {what}: it is older than this Bagline, or "
            "another's; where its database is, or with a newer one, this works"
        )


def _records(answer: dict[str, Any], kind: type[R]) -> list[R]:
    rows: Sequence[Any] = answer.get("results") or []
    return [record_in(row, kind) for row in rows]


def _given(**conditions: object) -> Query:
    return [(name, str(value)) for name, value in conditions.items() if value]


def _held_object(object: IntellectualObject) -> HeldObject:
    return HeldObject(
        identifier=object.identifier,
        title=object.title,
        institution=object.identifier.partition("/")[0],
        institution_id=object.institution_id,
        storage_option=object.storage_option,
        state=object.state,
        files=object.file_count,
        bytes=object.size,
        first_ingested=object.created_at,
        updated_at=object.updated_at,
    )


def _held_file(file: GenericFile) -> HeldFile:
    names = dict.fromkeys(checksum.algorithm for checksum in file.checksums)
    return HeldFile(
        identifier=file.identifier,
        size=file.size,
        file_format=file.file_format,
        state=file.state,
        storage_option=file.storage_option,
        uuid=file.uuid,
        first_ingested=file.created_at,
        last_fixity_check=file.last_fixity_check,
        digests={name: file.newest_digest(name) for name in names},
    )
