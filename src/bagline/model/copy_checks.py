"""What is known of each preserved copy: where it is, when it was last proven, what was found."""

from __future__ import annotations

from msgspec import Struct

from bagline.model.times import NEVER, Timestamp, is_set

PROVEN = "proven"
MISSING = "missing"
WRONG = "wrong"
UNREADABLE = "unreadable"
ARCHIVED = "archived"
"""It lies in an archive class, and nobody asked to have it read: no fault of the copy."""
UNANSWERED = "unanswered"
"""The store gave no answer of this one, while it gave others: nothing is known of it."""
BAD = (MISSING, WRONG, UNREADABLE)
"""Outcomes of a check that an operator must be told of."""


class KeptCopy(Struct, frozen=True, kw_only=True):
    """One copy of an active file. `place` is its URL up to the key, `digests` the file's newest by
    algorithm (hex). `outcome`: of the last look, "" where nobody looked since it was stored."""

    id: int
    url: str
    place: str
    file_id: int
    identifier: str
    uuid: str
    size: int
    institution_id: int
    object_id: int
    object_identifier: str
    bag_name: str
    storage_option: str
    digests: dict[str, str]
    proven_at: Timestamp = NEVER
    proven_by: str = ""
    asked_at: Timestamp = NEVER
    outcome: str = ""
    detail: str = ""

    @property
    def bucket(self) -> str:
        return self.place.rpartition("/")[2]

    @property
    def was_told(self) -> bool:
        """Whether what is said of it was found by a look of fixity, after it was last proven: a
        restoration's word waits for that."""
        was_proven = is_set(self.proven_at) and self.asked_at <= self.proven_at
        return is_set(self.asked_at) and not was_proven


class CopyState(Struct, frozen=True, kw_only=True):
    """What people are told of one copy: when it was asked for last and what was found then
    (`outcome`, with `detail` where it is not proven), when it was proven last, and by what
    (`proven_by`, a `ProofMethod`). Times NEVER and texts "": it was not yet, or nobody told."""

    generic_file_id: int
    url: str
    asked_at: Timestamp
    outcome: str
    detail: str
    proven_at: Timestamp
    proven_by: str


class CopyCheck(Struct, frozen=True, kw_only=True):
    """What a look at a copy found, at `asked_at`. `how` (a `ProofMethod`) where it is proven,
    `detail` where it is not."""

    copy: KeptCopy
    asked_at: Timestamp
    outcome: str
    how: str = ""
    detail: str = ""


class CopySeen(Struct, frozen=True, kw_only=True):
    """What somebody else than fixity learned of a copy on the way: its URL, its file's UUID, a
    moment before the first byte was read."""

    url: str
    uuid: str
    seen_at: Timestamp
    outcome: str
    how: str = ""
    detail: str = ""


class PlaceTotals(Struct, frozen=True, kw_only=True):
    """The copies of active files in one place, by storage option and institution. `unproven`: of
    these nobody ever said by what they are sound; `oldest`: of the others."""

    place: str
    storage_option: str
    institution_id: int
    copies: int
    bytes: int
    unproven: int
    bad: int
    oldest: Timestamp = NEVER


class FixityRun(Struct, kw_only=True):
    """One run: what it asked, and what came of it. `ended_at` NEVER: it runs, or its process
    died."""

    id: int = 0
    began_at: Timestamp = NEVER
    ended_at: Timestamp = NEVER
    asked: int = 0
    proven: int = 0
    bad: int = 0
    repaired: int = 0
    unanswered: int = 0
    """Of which their stores said nothing."""
    passed_over: int = 0
    """In the middle of a re-ingest, or in an archive."""
    reserved: int = 0
    """As much as it may read, where that is bounded: bytes, and what requests count as."""
    bytes: int = 0
    requests: int = 0
    cost: float = 0.0
    """What reading costs by `fixity.prices`, in `currency` ("" where no price is known)."""
    currency: str = ""
