"""The registry seam: the lasting record of institutions, work items, objects and files.

Shaped so that SQL and another Registry's REST API (contract D) both fit behind it. All
methods may raise Unreachable or Refused. Records returned are copies; saving sends the
whole record.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bagline.errors import Refused
from bagline.model.bag_form import BagForm
from bagline.model.premis import PremisEvent
from bagline.model.registry import GenericFile, Institution, IntellectualObject
from bagline.model.times import NEVER, Timestamp, now
from bagline.model.workitem import ACTION_DELETE, WorkItem
from bagline.problems import Problem
from bagline.services.registry.alert_book import Alerts
from bagline.services.registry.copy_book import Copies
from bagline.services.registry.deletion_book import Deletions
from bagline.services.registry.holding_book import Holdings
from bagline.services.registry.named_keys import NamedKeys
from bagline.services.registry.open_changes import changing, deleting
from bagline.services.registry.spot_tests import SpotTests


class Missing(Exception):
    """There is no such record; from another Registry's API also: no such route."""


class Conflict(Exception):
    """There is already such a record, or what is stored forbids the change; says which."""


class NotAllowed(Exception):
    """Whoever asks may not do that, whatever their role lets them ask; says why."""


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
    is_queued: bool | None = None
    """Whether it was published when it was made, and says so (`queued_at`)."""


OF_ONE_BAG = 1_000
OTHERS = 20
"""So many open items of one bag are told of beside the one that is asked for."""


class Begun(NamedTuple):
    """A work item as it stands now, the other open ones of its bag and action, newest first, and
    whether it was saved."""

    item: WorkItem
    others: Sequence[WorkItem]
    is_saved: bool


Begin = Callable[[WorkItem, Sequence[WorkItem]], bool]
"""Is given a work item and the other open ones of its bag; writes into the item what is to stand
once it has begun, and says whether it does."""


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
    def begin_work_item(
        self,
        item_id: int,
        begin: Begin,
        *,
        with_others: bool = True,
    ) -> Begun | None:
        """Read the item and the other open ones of its bag and action (institution, name; not
        completed; none are asked for without `with_others`), and save it with what `begin`,
        given both, wrote into it, where that says so; None when there is no such item. `begin`
        asks no service, and may be asked more than once.

        The item is saved as it was read, or not at all; in a database the others have not changed
        either. Over another Registry's API, where there is no such step, the item is read last,
        just before it is saved.
        """

    @abstractmethod
    def save_work_item(
        self,
        item: WorkItem,
        *,
        unless_status: Sequence[str] = (),
        unless_changed: bool = False,
        problems: Sequence[Problem] | None = None,
    ) -> WorkItem:
        """Create it (id 0) or replace it; returns it as saved.

        Nothing is written when the stored row has one of `unless_status` (somebody
        cancelled it meanwhile), or with `unless_changed` when it was saved since `item` was
        read (its `updated_at` is another): the stored row is returned instead. `problems`
        replace the item's (`save_problems`), also then; in one step where the Registry can.
        """

    @abstractmethod
    def open_work_item(self, item: WorkItem) -> WorkItem:
        """Create it, unless an item of that action, bucket and name is open (not completed):
        that one is returned instead. Both in one step, so of many who ask one creates it; over
        another Registry's API, where there is no such step, one after the other."""

    @abstractmethod
    def items_of_bag(self, institution_id: int, name: str, *, action: str = "") -> list[WorkItem]:
        """Work items of a bag, `name` with or without `.tar`; of every action, or of that one.
        Newest first, as `work_items` has them; the newest 1,000."""

    @abstractmethod
    def open_change(self, item: WorkItem, *, follows: int = 0) -> WorkItem:
        """Create it, unless an open item of its bag stands against it (`open_changes`); `follows`
        is the id of one that it takes the place of. Raises Conflict, which names the open one.

        Both in one step, so of many who ask one creates it. Over another Registry's API, where
        there is no such step, one after the other: who works on it asks again (`items_of_bag`)
        before the first byte changes. Not safe to repeat: what a lost answer created stands
        against the repeat.
        """

    @property
    def copies(self) -> Copies | None:
        """When each copy was looked at, and what was found; None where only the Registry's
        database tells that, and this is not it."""
        return None

    @property
    def spot_tests(self) -> SpotTests | None:
        """Whose turn it is to be restored to nowhere, and what came of it; None where only the
        Registry's database tells that, and this is not it."""
        return None

    def repaired_until(self, object_identifier: str) -> Timestamp:
        """Until when a repair may write to a copy of the object, and an ingest must not; NEVER
        where none is in hand. Of another Registry's objects none is."""
        copies = self.copies
        return copies.repaired_until(object_identifier, now=now()) if copies else NEVER

    @property
    def deletions(self) -> Deletions | None:
        """What is to be deleted, by whose consent; None where another's Registry keeps that."""
        return None

    @property
    def alerts(self) -> Alerts | None:
        """Whom fixity's failures are told; None where only the Registry's database tells that, and
        this is not it."""
        return None

    @property
    @abstractmethod
    def holdings(self) -> Holdings:
        """What is preserved, as people look for it."""

    @property
    def named_keys(self) -> NamedKeys | None:
        """Which keys of preservation buckets the records name; None where only the Registry's
        database tells that, and this is not it."""
        return None

    def changing_item(self, institution_id: int, name: str) -> WorkItem | None:
        """The ingest of the bag that may have changed preserved bytes, and has not recorded
        their digests, or the deletion that has begun: until another ingest has, or the deletion has
        ended, its object is left alone. None when there is none."""
        begun = self.begun_deletion(institution_id, name)
        return begun or changing(self.items_of_bag(institution_id, name))

    def begun_deletion(self, institution_id: int, name: str) -> WorkItem | None:
        """The deletion of the bag's object, or of a file of it, that has begun and not ended,
        however many others are open. None when there is none."""
        return deleting(self.items_of_bag(institution_id, name, action=ACTION_DELETE))

    # -- objects
    @abstractmethod
    def intellectual_object(self, identifier: str) -> IntellectualObject | None:
        """The object with its counts and sizes."""

    @abstractmethod
    def save_intellectual_object(self, object: IntellectualObject) -> IntellectualObject:
        """Create it (id 0; where the identifier exists, that one is taken) or replace it. Its
        `bag_form` is kept in the same step; one without leaves what was kept before. Another
        Registry's API keeps none."""

    @abstractmethod
    def bag_form(self, object_id: int) -> BagForm | None:
        """How the object's newest bag came in; None where the Registry does not know: then what
        is usual for the object's profile holds."""

    # -- files
    @abstractmethod
    def files(
        self, identifiers: Sequence[str], *, with_events: bool = True
    ) -> dict[str, GenericFile]:
        """Those that exist, by identifier, with checksums, storage records and events. Without
        `with_events`, which is cheaper, they may come without events."""

    @abstractmethod
    def file(self, file_id: int) -> GenericFile | None:
        """The file of that id, active or not, with checksums and storage records; None if there is
        none. It may come without events."""

    @abstractmethod
    def files_due(
        self, options: Sequence[str], *, checked_before: Timestamp
    ) -> Iterator[list[GenericFile]]:
        """Every active file of these storage options whose `last_fixity_check` is not after that
        moment, the longest unchecked first, in batches, with checksums and storage records.

        Those that were never checked come first; another Registry has none such (contract J4).
        Over an API the batches are pages: of what is checked while they are read, some of what
        follows may be passed over, and comes when it is asked again.
        """

    @abstractmethod
    def finds_files(self) -> bool:
        """Whether `files` asks for many in one request. Where not, and another's API shows one a
        request: who wants an object's files takes `iter_object_files`."""

    @abstractmethod
    def iter_object_files(
        self, object_id: int, *, with_deleted: bool = False
    ) -> Iterator[list[GenericFile]]:
        """Every active file of the object, in batches, with checksums and storage records."""

    @abstractmethod
    def files_in_order(self, object_id: int, *, after: str = "") -> Iterator[list[GenericFile]]:
        """Every active file of the object whose identifier comes after that one, in batches of at
        most 1,000, with checksums and storage records.

        In the order of the identifiers' bytes in UTF-8, and to begin in the middle costs nothing.
        Over another Registry's API: in the order it sorts identifiers by, and what comes before
        `after` is read and passed over; where there is no such file any more, nothing comes. What
        changes meanwhile may come or not: who needs one list counts, and compares.
        """

    @abstractmethod
    def create_files(self, files: Sequence[GenericFile]) -> list[GenericFile]:
        """Create files with their checksums, storage records and events, all or none.

        At most 1,000 a call. May be repeated: files whose identifier exists are left as
        they are, and returned with their id.
        """

    @abstractmethod
    def update_file(self, file: GenericFile, *, recorded_urls: Sequence[str] = ()) -> GenericFile:
        """Replace the row; checksums, storage records and events that are new are added
        (events by UUID, storage records by URL, checksums by algorithm, digest, datetime).
        `recorded_urls`: of copies that were on record when the caller looked. May be repeated."""

    # -- what goes
    def delete_file(self, file_id: int) -> None:
        """Ask another's Registry to call the file deleted, by the Delete item that is in work: it
        checks people, retention and state (contract J3), writes the event and forgets the copies.
        Not safe to repeat. Raises Refused where it does not. Ours knows more: `deletions`."""
        raise Refused(f"file {file_id}: this Registry deletes by its own book")

    def delete_object(self, object_id: int) -> None:
        """The same of an object whose files are deleted."""
        raise Refused(f"object {object_id}: this Registry deletes by its own book")

    # -- events
    @abstractmethod
    def create_events(self, events: Sequence[PremisEvent]) -> list[PremisEvent]:
        """Add them, in order; one whose UUID exists is returned as it stands. In one step where
        the Registry can; may be repeated."""

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
