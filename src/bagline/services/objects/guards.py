"""What keeps objects from being deleted: versions and Object Lock; and how they go for good.

In a bucket with versions a plain delete takes nothing away: it puts a marker over what stays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from bagline.errors import Locked, Refused, Unreachable
from bagline.model.times import NEVER, Timestamp, is_set


@dataclass(frozen=True, slots=True)
class BucketGuard:
    """What a bucket does against deletion.

    `versioning`: "" (never had versions), "Enabled" or "Suspended" (older versions may be there).
    `retention`: what every new object gets, in words, such as "GOVERNANCE, 30 days"; "" for none.
    `needs_mfa`: versions are deleted by a person with a second factor alone.
    """

    versioning: str = ""
    has_lock: bool = False
    retention: str = ""
    needs_mfa: bool = False

    @property
    def has_versions(self) -> bool:
        return self.versioning != ""


@dataclass(frozen=True, slots=True)
class Lock:
    """What holds the versions of a key now, all of them taken together.

    `until`: when the last retention ends (NEVER where none holds), of `mode` (GOVERNANCE or
    COMPLIANCE). `has_legal_hold`: somebody must lift it.
    """

    until: Timestamp = NEVER
    mode: str = ""
    has_legal_hold: bool = False

    @property
    def words(self) -> str:
        held = [f"until {self.until} ({self.mode or 'retention'})"] if is_set(self.until) else []
        return " and ".join([*held, *(["under a legal hold"] if self.has_legal_hold else [])])


class Guarded(ABC):
    """The part of the objects seam that looks at versions and locks. Governance is never
    bypassed. All raise ValueError for keys that name no object, before anything is sent."""

    @abstractmethod
    def guard(self, bucket: str) -> BucketGuard:
        """As it is now; a store that does not know these calls guards nothing. Raises Refused,
        which names the right that the credentials lack."""

    @abstractmethod
    def locks_many(
        self, bucket: str, keys: Sequence[str]
    ) -> list[Lock | Unreachable | Refused | None]:
        """What holds each key, over all its versions, in order of `keys`; None where nothing does
        (any more), or there is no such object. Faults of one key are answers here.

        A store need not tell what a bucket's default put on an object (versitygw): such a lock
        shows when it is deleted.
        """

    @abstractmethod
    def delete_for_good(
        self, bucket: str, keys: Sequence[str]
    ) -> list[Unreachable | Refused | Locked | None]:
        """Remove every version and every delete marker of each key, in order of `keys`; absent
        ones are fine (None). Faults of one key are answers here. May be repeated.

        A key of which one version is locked keeps them all, where the store tells of its locks. In
        a bucket that never had versions it costs what `delete_many` does.
        """

    @abstractmethod
    def remain_many(self, bucket: str, keys: Sequence[str]) -> list[bool | Unreachable | Refused]:
        """Whether anything is left of each key, be it a marker, in order of `keys`; faults of one
        key are answers here."""
