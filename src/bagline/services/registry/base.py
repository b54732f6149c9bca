"""The registry seam: the lasting record of institutions, work items, objects and files.

Shaped so that SQL and another Registry's REST API (contract D) both fit behind it. All
methods may raise Unreachable or Refused. Records returned are copies; saving sends the
whole record.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bagline.model.premis import PremisEvent
from bagline.model.registry import GenericFile, Institution, IntellectualObject
from bagline.model.workitem import WorkItem
from bagline.problems import Problem


class Missing(Exception):
    """There is no such record; from another Registry's API also: no such route."""


class Conflict(Exception):
    """There is already such a record, or what is stored forbids the change; says which."""


class Unfit(Exception):
    """The record refers to what does not exist, or to what is in use; says which."""


@dataclass(frozen=True, slots=True)
class WorkItemFilter:
    """Which work items; None means any. Times compare as wire text."""

    institution_id: int | None = None
    name: str | None = None
    etag: str | None = None
    action: str | None = None
    statuses: Sequence[str] | None = None
    stage: str | None = None
    retry: bool | None = None


class Registry(ABC):
    # -- institutions
    @abstractmethod
    def institutions(self) -> list[Institution]:
        """All of them, by name."""

    @abstractmethod
    def institution(self, id_or_identifier: int | str) -> Institution | None: ...

    @abstractmethod
    def save_institution(self, institution: Institution) -> Institution:
        """Create it (id 0) or replace it."""

    # -- work items
    @abstractmethod
    def work_item(self, item_id: int) -> WorkItem | None: ...

    @abstractmethod
    def work_items(self, wanted: WorkItemFilter, *, limit: int = 1000) -> list[WorkItem]:
        """Newest first by date_processed, then id."""

    @abstractmethod
    def save_work_item(
        self, item: WorkItem, *, unless_status: Sequence[str] = (), unless_changed: bool = False
    ) -> WorkItem:
        """Create it (id 0) or replace it; returns it as saved.

        Nothing is written when the stored row has one of `unless_status` (somebody
        cancelled it meanwhile), or with `unless_changed` when it was saved since `item` was
        read (its `updated_at` is another): the stored row is returned instead.
        """

    @abstractmethod
    def open_work_item(self, item: WorkItem) -> WorkItem:
        """Create it, unless an item of that action, bucket and name is open (not completed):
        that one is returned instead. Both in one step, so of many who ask one creates it; over
        another Registry's API, where there is no such step, one after the other."""

    # -- objects
    @abstractmethod
    def intellectual_object(self, identifier: str) -> IntellectualObject | None:
        """The object with its counts and sizes."""

    @abstractmethod
    def save_intellectual_object(self, object: IntellectualObject) -> IntellectualObject:
        """Create it (id 0; where the identifier exists, that one is taken) or replace it."""

    # -- files
    @abstractmethod
    def files(self, identifiers: Sequence[str]) -> dict[str, GenericFile]:
        """Those that exist, by identifier, with checksums, storage records and events."""

    @abstractmethod
    def iter_object_files(self, object_id: int) -> Iterator[list[GenericFile]]:
        """Every active file of the object, in batches, with checksums and storage records."""

    @abstractmethod
    def create_files(self, files: Sequence[GenericFile]) -> list[GenericFile]:
        """Create files with their checksums, storage records and events, all or none.

        At most 1,000 a call. May be repeated: files whose identifier exists are left as
        they are, and returned with their id.
        """

    @abstractmethod
    def update_file(self, file: GenericFile) -> GenericFile:
        """Replace the row; checksums, storage records and events that are new are added
        (events by UUID, storage records by URL, checksums by algorithm, digest, datetime)."""

    # -- events
    @abstractmethod
    def create_event(self, event: PremisEvent) -> PremisEvent:
        """Add it; an event whose UUID exists is returned as it stands."""

    @abstractmethod
    def events(self, *, object_id: int = 0, file_id: int = 0) -> list[PremisEvent]:
        """Events of an object (not of its files), or of a file; oldest first."""

    # -- what outlives an item's working state
    @abstractmethod
    def save_problems(self, item_id: int, problems: Sequence[Problem]) -> None:
        """Replace the item's problems."""

    @abstractmethod
    def problems(self, item_id: int) -> list[Problem]: ...

    @abstractmethod
    def save_report(self, item_id: int, report: Mapping[str, object]) -> None:
        """Replace the item's ingest report (JSON-able; see `bagline.lines.ingest.recording`)."""

    @abstractmethod
    def report(self, item_id: int) -> dict[str, object] | None: ...

    @abstractmethod
    def ping(self) -> Mapping[str, str]:
        """What answers: product, version, schema (for `doctor`)."""

    @abstractmethod
    def try_write(self) -> bool:
        """Write something that changes nothing; False where that cannot be tried. Raises what
        keeps it from being written."""

    @abstractmethod
    def close(self) -> None: ...
