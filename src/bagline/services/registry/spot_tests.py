"""The seam of spot tests: whose turn it is, and what came of it. Kept by the Registry where it is
ours. Methods may raise Unreachable or Refused."""

from __future__ import annotations

from abc import ABC, abstractmethod

from msgspec import Struct

from bagline.model.registry import IntellectualObject
from bagline.model.times import NEVER, Timestamp, is_set
from bagline.problems import Problem

SOUND = "sound"
FAILED = "failed"
LEFT_ALONE = "left alone"
"""Nothing could be said: a store did not answer, or the object was being changed."""
VERDICTS = (SOUND, FAILED)
NONE_FITS = "none fits"
"""The institution has no object that may be chosen."""


class SpotTest(Struct, kw_only=True):
    """One spot test. `files` and `bytes` are those of the bag that was made; `problems` what an
    operator is to be told of, also of a sound one (a bad copy where another one was good)."""

    id: int = 0
    institution_id: int = 0
    object_identifier: str = ""
    began_at: Timestamp = NEVER
    ended_at: Timestamp = NEVER
    held_until: Timestamp = NEVER
    outcome: str = ""
    files: int = 0
    bytes: int = 0
    problems: list[Problem] = []

    @property
    def is_over(self) -> bool:
        return is_set(self.ended_at)


class SpotTests(ABC):
    @abstractmethod
    def begin(
        self, institution_id: int, *, now: Timestamp, unless_since: Timestamp, until: Timestamp
    ) -> SpotTest | None:
        """A test that is this caller's alone until `until`; None where one of the institution that
        began after `unless_since` came to a verdict, or one is held by somebody. Those before it
        that said nothing are forgotten. In one step."""

    @abstractmethod
    def save(self, test: SpotTest) -> None:
        """Replace it. May be repeated."""

    @abstractmethod
    def newest(self, *, institution_id: int | None = None, limit: int = 100) -> list[SpotTest]:
        """Newest first."""

    @abstractmethod
    def candidates(
        self, institution_id: int, *, not_of: str, limit: int
    ) -> list[IntellectualObject]:
        """Up to so many active objects of the institution, chosen at random, with their counts and
        sizes; none whose storage option begins with `not_of`."""
