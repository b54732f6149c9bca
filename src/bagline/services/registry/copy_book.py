"""The seam of copies: every copy of every active file, when it was looked at, and what was found.

Kept by the Registry where it is ours (docs/decisions/every-copy.md). Methods may raise
Unreachable or Refused.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from bagline.model.copy_checks import CopyCheck, CopySeen, FixityRun, KeptCopy, PlaceTotals
from bagline.model.premis import PremisEvent
from bagline.model.times import NEVER, Timestamp

AHEAD = timedelta(days=1)
"""A date that stands further in the future was written by a clock that went wrong: it says
nothing."""


@dataclass(frozen=True, slots=True)
class CopyFilter:
    """Which copies; None means any. `proven_before`: those that nobody proved since then.
    `bad_asked_before`: those that were bad are taken if nobody looked since then, where that is
    later than for the others."""

    institution_id: int | None = None
    storage_option: str | None = None
    proven_before: Timestamp = NEVER
    bad_asked_before: Timestamp = NEVER


class Copies(ABC):
    @abstractmethod
    def totals(self) -> list[PlaceTotals]:
        """Of all copies. Goes through all of them: for once a day."""

    @abstractmethod
    def overdue(
        self, before: Timestamp, *, now: Timestamp, asked_before: Timestamp | None = None
    ) -> dict[str, tuple[int, int]]:
        """How many copies nobody proved since then, and their bytes, by place; of those that nobody
        looked at since `asked_before`."""

    @abstractmethod
    def take(
        self,
        place: str,
        wanted: CopyFilter,
        *,
        limit: int,
        now: Timestamp,
        asked_before: Timestamp,
        until: Timestamp,
    ) -> list[KeptCopy]:
        """Up to so many copies of the place, those that were bad and then the longest unproven
        first, which nobody looked at
        since `asked_before`, or holds `now`; nobody else is given them before `until`, unless they
        are given back. In one step. Dates further ahead of `now` than AHEAD are as if there were
        none."""

    @abstractmethod
    def give_back(self, copies: Sequence[KeptCopy], until: Timestamp) -> None:
        """They were not looked at; those that are still held until then, and so the caller's."""

    @abstractmethod
    def keep(self, copies: Sequence[KeptCopy], until: Timestamp, longer: Timestamp) -> None:
        """Hold those longer that are still held until then."""

    @abstractmethod
    def save(
        self,
        checks: Sequence[CopyCheck],
        events: Sequence[PremisEvent] = (),
        run: FixityRun | None = None,
    ) -> None:
        """What was found, with its events and what the run counts now, all or none; the copies may
        be taken again. A file's `last_fixity_check` becomes that of its copy which is unproven
        longest. May be repeated.
        Copies that are gone from the Registry meanwhile are passed over, and so are those of which
        a newer version was recorded."""

    @abstractmethod
    def note(self, seen: Sequence[CopySeen]) -> None:
        """What was learned of copies on the way (a restoration), without events: those that are
        proven are as if fixity had looked; those that are bad come first at its next look, which
        says so or not. Copies that were proven, or stored anew, since `seen_at` are passed over.
        May be repeated."""

    @abstractmethod
    def of_file(self, file_id: int) -> list[KeptCopy]:
        """Every copy of the file, if it is active."""

    @abstractmethod
    def bad(self, *, limit: int = 1_000, offset: int = 0) -> list[KeptCopy]:
        """Copies whose last look found them bad, the longest unproven first, after the first
        `offset` of them."""

    @abstractmethod
    def hold_for_repair(
        self, copy: KeptCopy, holder: str, *, now: Timestamp, until: Timestamp
    ) -> bool:
        """Say, or go on saying (the same `holder`), that the copy is being put right: an ingest of
        its object stores nothing until then. False where another holds it, or the copy is gone.
        In one step."""

    @abstractmethod
    def free_from_repair(self, copy: KeptCopy, holder: str) -> None:
        """It is not being put right by `holder` any more. May be repeated."""

    @abstractmethod
    def repaired_until(self, object_identifier: str, *, now: Timestamp) -> Timestamp:
        """When the last repair of the object's copies lets go of them; NEVER where none is in
        hand."""

    @abstractmethod
    def save_run(self, run: FixityRun) -> FixityRun:
        """Create it (id 0) or replace it; returns it with its id."""

    @abstractmethod
    def runs(self, *, since: Timestamp = NEVER, limit: int = 100) -> list[FixityRun]:
        """Newest first, of those that began after `since`."""
