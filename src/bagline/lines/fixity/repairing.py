"""A bad copy put right from a good one: proven on the way, proven where it stands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

import structlog

from bagline.errors import (
    BaglineError,
    Gone,
    ProofFailed,
    Refused,
    Replaced,
    Unreachable,
    Unreadable,
)
from bagline.lines.fixity.copy_checking import CopyChecker
from bagline.lines.fixity.fixity_events import fixity_event
from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.model.copy_checks import ARCHIVED, BAD, PROVEN, CopyCheck, KeptCopy
from bagline.model.named_uuids import named_uuid
from bagline.model.premis import PremisEvent, our_agent
from bagline.model.storage import StorageTarget
from bagline.model.times import later
from bagline.services.objects.base import Target

log = structlog.get_logger(__name__)

HELD = timedelta(minutes=30)
"""No request to a store lasts as long after its last byte."""


class Unrepairable(BaglineError):
    """No good copy is left to repair it from. `told`: what is wrong with each."""

    def __init__(self, *told: str) -> None:
        super().__init__("; ".join(told))
        self.told = told


class LeftAlone(BaglineError):
    """Something else is changing its object: later."""


@dataclass(frozen=True)
class CopyRepair:
    kept: KeptCopies
    checker: CopyChecker

    def repair(self, copy: KeptCopy) -> tuple[CopyCheck, PremisEvent | None]:
        """Put the copy right; what a look at it then found, and the event of it (None where it was
        never bad). Raises LeftAlone, Unrepairable (which names each copy), Unreachable or Refused.
        May be repeated: what is right already is only proven."""
        target = self.kept.target_of(copy)
        if target is None:
            raise Unrepairable(f"{copy.url} is in no bucket of this installation")
        found = self.checker.again(target, copy)
        if found.outcome == PROVEN:
            is_older = self.kept.settings.work.older_event_wording
            return found, fixity_event(found, is_older=is_older) if copy.outcome in BAD else None
        if found.outcome == ARCHIVED:
            raise LeftAlone(f"{copy.url} lies in an archive class, and is not read there")
        if "sha256" not in copy.digests:
            raise Unrepairable(f"the Registry has no SHA-256 of {copy.identifier} to prove it by")
        hold = _Hold(self.kept, copy)
        hold.take()
        try:
            return self._from_others(copy, target, found, hold)
        finally:
            hold.free()

    def _from_others(
        self, copy: KeptCopy, target: StorageTarget, found: CopyCheck, hold: _Hold
    ) -> tuple[CopyCheck, PremisEvent]:
        self._check_idle(copy)
        told = [f"{copy.url}: {found.detail}"]
        passing: BaglineError | None = None
        for other in self._others(copy):
            source = self.kept.target_of(other)
            if source is None:
                told.append(f"{other.url}: in no bucket of this installation")
                continue
            try:
                self._put(copy, target, source, hold)
            except (Gone, Replaced, ProofFailed, Unreadable) as bad:
                hold.is_unsure = False
                told.append(f"{other.url}: {bad}")
                continue
            except (Unreachable, Refused) as silent:  # another copy may be had
                passing = silent
                continue
            hold.is_unsure = False
            again = self.checker.again(target, copy)
            if again.outcome != PROVEN:
                raise Unreadable(f"{copy.url} was stored anew from {other.url}, and {again.detail}")
            return again, _replicated(again, other.url)
        if passing is None:
            log.critical("copy_unrepairable", url=copy.url, file=copy.identifier, reason=told)
        raise passing or Unrepairable(*told)

    def _check_idle(self, copy: KeptCopy) -> None:
        why = self.kept.why_left_alone(copy)
        if not why and not self.kept.is_as_it_was(copy):
            why = f"the Registry says other things of {copy.identifier} than a moment ago"
        if why:
            raise LeftAlone(why)

    def _others(self, copy: KeptCopy) -> list[KeptCopy]:
        """The file's other copies: those that were not found bad first, then as restorations take
        them (contract J2)."""
        others = [c for c in self.kept.book.of_file(copy.file_id) if c.id != copy.id]

        def rank(other: KeptCopy) -> tuple[bool, int]:
            target = self.kept.target_of(other)
            return other.outcome in BAD, target.restore_priority if target else 0

        return sorted(others, key=rank)

    def _put(
        self, copy: KeptCopy, target: StorageTarget, source: StorageTarget, hold: _Hold
    ) -> None:
        """Raises ProofFailed where the source holds other bytes: then nothing is stored."""
        store = self.kept.store_of(source)
        found = store.head(source.bucket, copy.uuid)
        if found.is_archived:
            raise Unreadable("it lies in an archive class: have it thawed first")
        if found.size != copy.size:
            raise ProofFailed(f"it has {found.size} bytes, not {copy.size}")
        place = Target(target.bucket, copy.uuid, found.content_type, found.metadata)
        chunks = store.stream(source.bucket, copy.uuid, length=found.size, etag=found.etag)
        self._end_uploads(copy, target)
        self.kept.store_of(target).put_stream(
            place,
            self._last_look(copy, chunks, hold),
            size=copy.size,
            sha256=copy.digests["sha256"],
        )
        self._end_uploads(copy, target)

    def _end_uploads(self, copy: KeptCopy, target: StorageTarget) -> None:
        """What a killed repair left unfinished at the key, or one from a copy that was not good.
        A store that does not let us look keeps it."""
        with suppress(BaglineError):
            self.kept.store_of(target).abort_uploads(target.bucket, copy.uuid, is_key=True)

    def _last_look(self, copy: KeptCopy, chunks: Iterator[bytes], hold: _Hold) -> Iterator[bytes]:
        """The bytes, and before the last of them once more whether nothing else changes the
        object: an ingest that began to store meanwhile must find nothing old over what is new."""
        held = b""
        for chunk in chunks:
            self.checker.pause_point()
            hold.go_on()
            if held:
                yield held
            held = bytes(chunk)
        hold.take()
        self._check_idle(copy)
        hold.is_unsure = True  # from here on the store may have all of it
        if held:
            yield held


@dataclass
class _Hold:
    """What tells ingests that the copy is being written to. First taken, then asked whether one
    is at it already; an ingest does both the other way round, so one of them sees the other."""

    kept: KeptCopies
    copy: KeptCopy
    is_unsure: bool = False
    """Whether a request to store it may still be under way: then the hold ends by itself."""
    holder: str = field(default_factory=lambda: str(uuid4()))
    _taken_at: float = 0.0

    def take(self) -> None:
        """Until HELD from now. Raises LeftAlone where another has it."""
        at = self.kept.clock()
        if not self.kept.book.hold_for_repair(
            self.copy, self.holder, now=at, until=later(at, HELD)
        ):
            raise LeftAlone(f"{self.copy.url} is being repaired by another process, or is gone")
        self._taken_at = time.monotonic()

    def go_on(self) -> None:
        """For long bodies: well before it would end."""
        if time.monotonic() - self._taken_at > HELD.total_seconds() / 4:
            self.take()

    def free(self) -> None:
        if not self.is_unsure:
            self.kept.book.free_from_repair(self.copy, self.holder)


def _replicated(check: CopyCheck, source: str) -> PremisEvent:
    copy = check.copy
    return PremisEvent(
        identifier=named_uuid("copy repaired", copy.url, check.asked_at),
        event_type="replication",
        date_time=check.asked_at,
        detail="Repaired a copy from another one",
        object="Bagline fixity, SHA-256 of OpenSSL",
        agent=our_agent(),
        outcome="Success",
        outcome_detail=copy.url,
        outcome_information=f"Copied from {source}; read back",
        institution_id=copy.institution_id,
        intellectual_object_id=copy.object_id,
        generic_file_id=copy.file_id,
        generic_file_identifier=copy.identifier,
    )
