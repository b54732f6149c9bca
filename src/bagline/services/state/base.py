"""The state seam: working records of the items on the line, in Redis or Valkey.

Contract B's hash a work item; what is Bagline's own in it starts with `bagline:`.
Every write is fenced: it happens only while the caller's lease on the item stands,
in one step with the checkpoint that covers it. All methods may raise Unreachable or
Refused; all writes may raise LeaseLost.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from bagline.model.ingest import IngestChecksum, IngestFile, IngestObject, TarSpan
from bagline.model.subject import Subject
from bagline.model.times import Timestamp
from bagline.model.workitem import WorkResult
from bagline.services.state.lease import Lease
from bagline.services.state.taken import Taken

BATCH_FILES = 200
"""How many file records come at a time, if nobody says otherwise."""
COMMIT_FILES = 1_000
"""How many file records a single write may carry."""
RESULT_SECONDS = 30 * 24 * 3600
"""How long the result of a subject that is no work item outlives the last attempt."""


class CopyProof(Struct, frozen=True, array_like=True):
    """How a copy was proven (`ProofMethod`), and when. It speaks of a StorageRecord only while
    that one's `verified_at` is `at`: another worker may have verified it since, its own way."""

    how: str
    at: Timestamp


CopyProofs = dict[str, CopyProof]
"""Of one file's copies, by bucket."""


class FileEntry(NamedTuple):
    """A file's record and where its bytes lie in the tar (None: unknown, or not in it)."""

    file: IngestFile
    span: TarSpan | None


class State(ABC):
    """Working state of every item. Thread-safe."""

    # -- the right to work on a subject
    @abstractmethod
    def take(
        self, subject: Subject, *, owner: str, seconds: float, topic: str = "", tally: str = ""
    ) -> Taken | None:
        """The lease, with what stands in the subject's records (the result of `topic`, the counter
        `tally`, the bag, the checkpoint), in one step; or None while another lease stands. `owner`
        (see `bagline.worker.owner`) becomes part of the token."""

    def take_lease(self, subject: Subject, *, owner: str, seconds: float) -> Lease | None:
        """The lease alone."""
        taken = self.take(subject, owner=owner, seconds=seconds)
        return taken.lease if taken is not None else None

    @abstractmethod
    def renew_lease(self, lease: Lease, *, seconds: float) -> None:
        """Let it run `seconds` from now. Raises LeaseLost when it is no longer ours."""

    @abstractmethod
    def check_lease(self, lease: Lease) -> None:
        """Raises LeaseLost unless it is still ours."""

    @abstractmethod
    def drop_lease(self, lease: Lease) -> None:
        """Give it up, and what `show_progress` said of the subject; nothing happens when it is
        no longer ours."""

    @abstractmethod
    def lease_owner(self, subject: Subject) -> str:
        """The owner of the standing lease; "" when there is none."""

    @abstractmethod
    def break_leases(self, is_dead: Callable[[str], bool]) -> list[Subject]:
        """Drop the leases whose owner `is_dead` says is dead; returns what they were about."""

    # -- one result a topic
    @abstractmethod
    def load_result(self, subject: Subject, topic: str) -> WorkResult | None: ...

    @abstractmethod
    def save_result(self, lease: Lease, topic: str, result: WorkResult | None) -> None:
        """Write it, fenced; None removes it. A work item's lies with its other records; that of
        another subject goes by itself when nobody wrote one for RESULT_SECONDS."""

    # -- one object
    @abstractmethod
    def load_object(self, item_id: int) -> IngestObject | None: ...

    # -- files
    @abstractmethod
    def load_files(
        self, item_id: int, object_identifier: str, paths: Sequence[str], *, spans: bool = True
    ) -> dict[str, FileEntry]:
        """The records of those paths that exist, by path. Any number; one round trip for up
        to COMMIT_FILES. With the spans of files outside `data/`, and of those with
        `part_sha256`; spans of other payload come from `iter_files` alone. Without `spans`,
        which is cheaper, every span is None."""

    @abstractmethod
    def iter_files(self, item_id: int, *, batch: int = BATCH_FILES) -> Iterator[list[FileEntry]]:
        """Every record exactly once, with its span, in tar order where Bagline's pre-fetch wrote
        it, without holding them all. Records may be saved while it runs."""

    @abstractmethod
    def count_files(self, item_id: int) -> int:
        """How many file records the item has, those that only a manifest lists included."""

    # -- one fenced write
    @abstractmethod
    def commit(
        self,
        lease: Lease,
        *,
        files: Sequence[IngestFile | FileEntry] = (),
        object: IngestObject | None = None,
        result: WorkResult | None = None,
        checkpoint: bytes | None = None,
        tally: Mapping[str, int] | None = None,
        proofs: Mapping[str, CopyProofs] | None = None,
    ) -> None:
        """Write all of it in one step, or none of it (LeaseLost).

        At most COMMIT_FILES `files` (ValueError). A FileEntry also records that the file is
        the next in tar order, and its span: pass one for a file once, when it is first seen;
        pass an IngestFile to save it again. `tally` counts are added to the item's counters.
        An empty `checkpoint` removes it. `proofs` by file UUID replace those of the file.
        """

    @abstractmethod
    def add_checksums(
        self,
        lease: Lease,
        object_identifier: str,
        checksums: Mapping[str, Sequence[IngestChecksum]],
    ) -> list[str]:
        """Append to the records of those paths where they lie, in one fenced step.

        At most COMMIT_FILES paths (ValueError). Returns the paths that were left alone: those
        without a record, and those whose record has checksums of manifests or the Registry
        already, or is of another form than `wire.encode` gives; load and commit these.
        May be repeated: what was appended is then left alone.
        """

    @abstractmethod
    def save_digests(self, lease: Lease, digests: Mapping[str, Mapping[str, bytes]]) -> None:
        """Write digests that no record of the wire holds, by path and algorithm, fenced; those of
        a path replace its earlier ones. At most COMMIT_FILES paths (ValueError)."""

    @abstractmethod
    def load_digests(self, item_id: int, paths: Sequence[str]) -> dict[str, dict[str, bytes]]:
        """Those of the paths that have any; one round trip."""

    @abstractmethod
    def load_checkpoint(self, item_id: int) -> bytes | None: ...

    @abstractmethod
    def load_tally(self, item_id: int, name: str) -> int:
        """What that counter of the item says; 0 where it was never counted."""

    @abstractmethod
    def load_proofs(self, item_id: int, uuids: Sequence[str]) -> dict[str, CopyProofs]:
        """How the copies of these files were proven, by file UUID; one round trip. Files that
        nobody proved are left out."""

    @abstractmethod
    def forget_proofs(self, lease: Lease) -> None:
        """Remove every proof of the item's copies: they are to be proven anew."""

    @abstractmethod
    def restart_item(self, lease: Lease) -> None:
        """Remove every file record, span, checkpoint and tally, and the object; the work
        results stay. For a stage that begins from nothing."""

    @abstractmethod
    def delete_item(self, lease: Lease) -> None:
        """Remove every key of the item but the lease itself, which is dropped when the item
        is settled; afterwards Redis has none of them. May be repeated."""

    @abstractmethod
    def has_item(self, item_id: int) -> bool:
        """Whether any working record of the item is left (a lease or progress does not count)."""

    @abstractmethod
    def sweep_earlier(self, place: int) -> tuple[int, list[int]]:
        """Look at some more of all keys, from `place` on, and remove what an earlier release left
        beside the records of items that have neither records nor a lease any more. Returns the
        place to go on at (0: the beginning, before the first look and after the last) and the
        items that something was removed of."""

    # -- progress, for people: lost without harm, expires by itself
    @abstractmethod
    def show_progress(self, subject: Subject, progress: bytes) -> None: ...

    @abstractmethod
    def load_progress(self, subjects: Sequence[Subject]) -> dict[Subject, bytes]: ...

    @abstractmethod
    def ping(self) -> Mapping[str, str]:
        """What answers and how it is set: product, version, appendonly, appendfsync,
        maxmemory-policy (for `doctor`); fields it will not tell are left out."""

    @abstractmethod
    def try_write(self) -> None:
        """Write a key of our own, and remove it. Raises what keeps it from being written."""

    @abstractmethod
    def close(self) -> None: ...
