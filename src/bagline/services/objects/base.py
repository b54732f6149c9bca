"""The objects seam: S3 and compatibles. Synchronous, thread-safe, bulk.

Every method may raise Unreachable (try again), Refused (an operator must act).
Those that read or copy may raise Gone (no such key) and Replaced (another ETag than
the one asked for). ETags are without quotes. Sizes and offsets are in bytes.
Nothing here retries; `retrying.RetryingObjects` does.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from bagline.errors import Gone, ProofFailed, Refused, Unreachable, Unreadable
from bagline.model.times import NEVER, Timestamp
from bagline.services.objects.frost import Frost, ThawAnswer
from bagline.services.objects.guards import Guarded

if TYPE_CHECKING:
    from bagline.services.objects.parts import PartBody, Upload, UploadedPart

PART_COPY_BYTES = 5 * 1024**3
"""The largest part that a store copies by itself; the last one may be smaller."""

NO_METADATA: Mapping[str, str] = {}

Budget = Callable[[], int]
"""How many bytes may be held in memory now."""
BUDGET_BYTES = 128 * 1024**2


class ProofMethod(StrEnum):
    """How it is known that the store holds the bytes that were meant."""

    READ_BACK = "read back"
    """The bytes themselves were read, and hashed here."""
    STORE_SHA256 = "the store's word: SHA-256"
    STORE_MD5 = "the store's word: MD5"
    STORE_SIZE = "the store's word: size"
    """Of a copy in an archive class, of which the store tells no digest."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored object. `sha256`: of the whole, hex, if the store tells; `frost`: from a HEAD."""

    bucket: str
    key: str
    size: int
    etag: str
    last_modified: Timestamp = NEVER
    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""
    frost: Frost = Frost.NONE
    back_until: Timestamp = NEVER

    @property
    def is_archived(self) -> bool:
        """Whether its bytes cannot be read without being brought back first."""
        return self.frost in (Frost.FROZEN, Frost.COMING_BACK)


@dataclass(frozen=True, slots=True)
class Target:
    """Where an object goes, and what travels with it. `metadata` values must be printable ASCII
    without leading, trailing or double spaces (ValueError, before anything is sent)."""

    bucket: str
    key: str
    content_type: str = "application/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Body:
    """A small object to put. `sha256` (hex) is compared with the bytes before sending."""

    target: Target
    data: bytes | memoryview
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of an object to read; `length` None is to its end. A length of 0 is empty."""

    key: str
    start: int = 0
    length: int | None = None


@dataclass(frozen=True, slots=True)
class RangeCopy:
    """A copy that the store makes by itself, of `length` ≥ 1 bytes from `start`.

    `etag` pins the source. `sha256` and `md5` (hex) are what the bytes must hash to;
    above the largest part a store copies (5 GiB), `part_sha256` and `part_md5` hold one digest a
    part of `PART_COPY_BYTES`, or are empty: such a copy is read back. `moved` is called whenever
    some of it is done, `copied` with how many bytes the store has copied since; in any thread.
    """

    source_bucket: str
    source_key: str
    etag: str
    start: int
    length: int
    target: Target
    sha256: str
    md5: str = ""
    part_sha256: Sequence[str] = ()
    part_md5: Sequence[str] = ()
    moved: Callable[[], object] = lambda: None
    copied: Callable[[int], object] = lambda _: None


@dataclass(frozen=True, slots=True)
class Proof:
    """The store holds `size` bytes at `key` whose SHA-256 (hex) is known, and how.

    `stored_at`: when the store says it got them, where it was asked.
    """

    bucket: str
    key: str
    size: int
    etag: str
    sha256: str
    how: ProofMethod
    stored_at: Timestamp = NEVER


@dataclass(frozen=True, slots=True)
class RelayPart:
    """`length` bytes from `offset` in its window, and the object they become: in `store`, or
    (None) in the one that relays."""

    offset: int
    length: int
    target: Target
    sha256: str
    store: Objects | None = None


@dataclass(frozen=True, slots=True)
class Relay:
    """One window of an object, read at once and put as many small objects.

    `etag` pins the source. A `length` of 0 reads nothing: its parts are empty objects.
    """

    source_bucket: str
    source_key: str
    etag: str
    start: int
    length: int
    parts: Sequence[RelayPart]


@dataclass(frozen=True, slots=True)
class Check:
    """An object that is to hold `size` bytes with these digests (hex; `md5` may be "").

    `part_sha256`, `part_md5`: as in RangeCopy, of objects above the largest part a store copies.
    `must_read`: the bytes are to be read back, whatever the store tells of them; `moved` is
    then called as they come, in any thread.
    """

    key: str
    size: int
    sha256: str
    md5: str = ""
    part_sha256: Sequence[str] = ()
    part_md5: Sequence[str] = ()
    must_read: bool = False
    moved: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a store proved able to do when it was asked (never assumed from its name).

    `range_copy_proof`: what proves a copy that it makes by itself; None where it makes none.
    `copies_ask_sha256`: whether a copy is begun so that the store answers its SHA-256. Some refuse
    to copy then, or answer a false one, and copy well when they are not asked.
    """

    put_proof: ProofMethod
    range_copy_proof: ProofMethod | None
    copies_ask_sha256: bool
    head_tells_sha256: bool
    remarks: Sequence[str] = ()


class Objects(Guarded):
    """One S3 endpoint with one set of credentials. Versions and locks: `guards.Guarded`."""

    @property
    @abstractmethod
    def realm(self) -> str:
        """Stores of one realm can copy from each other by themselves: the same endpoint, or
        regions of one provider, with the same credentials. Not to be shown."""

    @abstractmethod
    def head(self, bucket: str, key: str) -> ObjectInfo:
        """What stands at the key, with metadata, and its SHA-256 where the store tells."""

    @abstractmethod
    def head_many(self, bucket: str, keys: Sequence[str]) -> list[ObjectInfo | Gone]:
        """`head` for many, in order of `keys`; what is gone is an answer here."""

    @abstractmethod
    def thaw(self, bucket: str, key: str, *, days: int, tier: str) -> ThawAnswer:
        """Have it readable for so many days (from now, if it is back). HEAD first: this costs."""

    @abstractmethod
    def thaw_many(
        self, bucket: str, keys: Sequence[str], *, days: int, tier: str
    ) -> list[ThawAnswer | Gone | Unreachable | Refused]:
        """`thaw` for many, in order of `keys`; faults are answers here."""

    @abstractmethod
    def read(
        self, bucket: str, key: str, *, start: int = 0, length: int | None = None, etag: str = ""
    ) -> bytes:
        """`length` bytes from `start` (all when None), in memory. Pinned when `etag` is given."""

    @abstractmethod
    def read_many(
        self, bucket: str, pieces: Sequence[Piece], *, in_flight: int = 64
    ) -> list[bytes]:
        """Many small reads at once, in memory, in order of `pieces`."""

    @abstractmethod
    def stream(
        self, bucket: str, key: str, *, start: int = 0, length: int | None = None, etag: str = ""
    ) -> Iterator[bytes]:
        """The same bytes in chunks, read ahead within a bounded window by ranged GETs.

        Ends only when every byte was given; a body that ends early, or stays silent, is
        Unreachable (it resumes at the next byte a bounded number of times first).
        """

    @abstractmethod
    def put(self, body: Body) -> Proof:
        """Store one body, replacing what was there. Safe to repeat.

        Raises ProofFailed when its own digest is not `body.sha256`.
        """

    @abstractmethod
    def put_many(self, bodies: Iterable[Body], *, in_flight: int = 64) -> list[Proof]:
        """Store many, in order of `bodies`; all are tried before the gravest fault is raised."""

    @abstractmethod
    def relay_many(
        self,
        relays: Iterable[Relay],
        *,
        windows: int = 4,
        puts_in_flight: int = 128,
        budget: Budget = lambda: BUDGET_BYTES,
    ) -> Generator[list[Proof]]:
        """Windows become objects, in a pipeline; yields the proofs of each window, in order.

        Windows are read from here, each once, for all the stores that their parts go to.
        At most `windows` windows are put and not yet done with (the caller asks for the one
        after next), a few more are read ahead; all in hand hold at most `budget()`, and
        at most `puts_in_flight` requests are under way. `relays` is taken from in the
        caller's thread. A part whose bytes are not its `sha256` raises ProofFailed. When it
        raises, or is closed, nothing runs on; windows that were yielded stand, those in hand
        may stand in part. May be repeated.
        """

    @abstractmethod
    def put_stream(
        self, target: Target, chunks: Iterable[bytes], *, size: int, sha256: str
    ) -> Proof:
        """Store `size` bytes from chunks, in bounded memory.

        Raises ProofFailed (and leaves nothing at the key) when the chunks hold more or
        fewer bytes, or hash to something else than `sha256`.
        """

    @abstractmethod
    def copy_range(self, copy: RangeCopy, *, source: Objects | None = None) -> Proof:
        """Let the store copy the bytes, and prove it; no byte passes through this process.

        A copy of which the store tells no digest that is known is read back once. Where the
        store cannot copy, or tells a false digest, or the bytes are in another one (`source`)
        that is not of its realm, or from which it refuses to copy, they are streamed, a few
        files at once, and proven on the way. Safe to repeat. Raises ProofFailed (and leaves
        nothing at the key) when the proof is another digest.
        """

    @abstractmethod
    def copy_many(
        self, copies: Iterable[RangeCopy], *, source: Objects | None = None, in_flight: int = 8
    ) -> Iterator[Proof]:
        """`copy_range` for many; yields each proof as it comes, in any order.

        All are tried before the gravest fault is raised. When it is closed, what is under way
        comes to its end.
        """

    @abstractmethod
    def verify(self, bucket: str, check: Check, *, read_back: bool = True) -> Proof:
        """Prove that the object is the one meant, by what the store tells of it.

        By its SHA-256 (of the whole, of its only part, or of parts whose digests are known),
        else by an ETag that is made of such MD5s, else by reading it back; with
        `check.must_read` always by reading it back. An object in an archive class is taken by the
        store's word, at the least by its size. Raises ProofFailed (other bytes; without
        `read_back` also bytes the store tells no such digest of), Gone, or Unreadable.
        """

    @abstractmethod
    def verify_many(
        self,
        bucket: str,
        checks: Sequence[Check],
        *,
        in_flight: int = 128,
        read_back: bool = True,
    ) -> list[Proof | Gone | ProofFailed | Unreadable]:
        """`verify` for many, in order of `checks`; what is gone, wrong or cannot be read is an
        answer here. Fewer at once than `in_flight` where their bodies are large."""

    @abstractmethod
    def list(
        self, bucket: str, prefix: str = "", *, top_level: bool = False
    ) -> Iterator[ObjectInfo]:
        """Objects under the prefix; with `top_level` none whose rest of the key has a slash."""

    @abstractmethod
    def delete(self, bucket: str, key: str, *, etag: str = "") -> None:
        """Remove the key; absent is fine. With `etag`, Replaced when another version stands."""

    @abstractmethod
    def delete_many(self, bucket: str, keys: Iterable[str]) -> int:
        """Remove many; absent ones are fine. Returns how many were asked for."""

    @abstractmethod
    def abort_uploads(self, bucket: str, prefix: str, *, is_key: bool = False) -> int:
        """Abort every unfinished multipart upload that the store lists under the prefix, or of
        that one key; returns how many. Some list those of one whole key alone."""

    @abstractmethod
    def begin_upload(self, target: Target) -> Upload:
        """An object that will be put in parts. Each call begins another one; metadata that only
        this one has tell its object from others' for certain."""

    @abstractmethod
    def uploaded_parts(self, upload: Upload) -> dict[int, UploadedPart]:
        """Which parts stand there, by number from 1. A part that was sent again with other bytes
        may be left out. Raises Gone when the upload is over."""

    @abstractmethod
    def put_part(self, upload: Upload, number: int, body: bytes | PartBody) -> UploadedPart:
        """Send one part, replacing what was sent under its number. Safe to repeat.

        The store's word, or its ETag, proves what arrived; where it tells neither, the body is
        opened twice: hashed, then sent. Raises Gone (the upload is over) or ProofFailed (the body
        gave other bytes than before, or more or fewer than its size).
        """

    @abstractmethod
    def complete_upload(self, upload: Upload, parts: Sequence[UploadedPart]) -> ObjectInfo:
        """Make the object of these parts, in order of their numbers; returns it as it stands.

        May be repeated: an upload that is over is taken for completed where the object has the
        parts' size and ETag, and the upload's metadata. Raises Gone where it has not.
        """

    @abstractmethod
    def abort_upload(self, upload: Upload) -> None:
        """Give it up; what was sent goes. May be repeated."""

    @abstractmethod
    def ensure_bucket(self, bucket: str) -> None:
        """Make the bucket unless it is there."""

    @abstractmethod
    def has_bucket(self, bucket: str) -> bool:
        """Whether the bucket is there."""

    @abstractmethod
    def abilities(self, bucket: str) -> Abilities:
        """What the store can prove, found by a small probe in `bucket` (once; then remembered).

        The probe writes under the key prefix `bagline-probe/` and removes it again.
        """

    @abstractmethod
    def close(self) -> None:
        """Let connections go. May be repeated."""
