"""Fixity of one file: every copy of it read, and an event of each (contract J1, J4).

Reads: the Registry's record of the file, every copy. Writes: events `fixity check`.
Nothing is written before every copy's store has answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog

from bagline.errors import Refused, Unreachable
from bagline.lines.fixity.copy_checking import CopyChecker
from bagline.lines.fixity.fixity_events import fixity_event
from bagline.lines.fixity.kept_copies import KeptCopies, copies_on_record
from bagline.model.copy_checks import ARCHIVED, BAD, MISSING, UNANSWERED, CopyCheck, KeptCopy
from bagline.model.premis import PremisEvent
from bagline.model.registry import STATE_ACTIVE, GenericFile, RegistryStorageRecord
from bagline.services.registry.base import Registry
from bagline.worker.stage import Done, Halt, Job, Outcome, Stage

log = structlog.get_logger(__name__)

TRIES = 3
PAUSE_SECONDS = 1.0
NOWHERE = "no copy on record"


class FileChecker(Stage[Job]):
    """`pause`: between tries to save an event."""

    name = "fixity check"

    def __init__(self, pause: Callable[[float], object] = time.sleep) -> None:
        self._pause = pause

    def run(self, job: Job) -> Outcome:
        """The job's record is a file. A repeat looks at every copy anew, and says so anew."""
        file: GenericFile = job.record
        kept, copies = KeptCopies(job.services, job.settings, job.clock), copies_on_record(file)
        elsewhere = [copy.url for copy in copies if kept.target_of(copy) is None]
        if elsewhere:
            return Halt(
                f"{file.identifier} has a copy at {', '.join(elsewhere)}, in no bucket of this "
                "installation: name its bucket in the settings"
            )
        checks = _looked_at(job, kept, copies) if copies else [_nowhere(file, kept)]
        if why := _why_unsaid(kept, file, copies, checks):
            log.warning("file_left_alone", file=file.identifier, reason=why)
            return Done()
        said = [check for check in checks if check.outcome != ARCHIVED]
        if not said:
            log.warning("file_not_read", file=file.identifier, reason="every copy is archived")
        is_older = job.settings.work.older_event_wording
        # What is bad first: a fault in between must not leave the good news alone.
        said.sort(key=lambda check: check.outcome not in BAD)
        job.services.state.check_lease(job.lease)
        self._save(job, [fixity_event(check, is_older=is_older) for check in said])
        for check in said:
            _tell(check)
        return Done()

    def _save(self, job: Job, events: Sequence[PremisEvent]) -> None:
        """To read large copies again for an answer that was lost would cost hours."""
        for event in events:
            for left in range(TRIES - 1, -1, -1):
                job.progress.moved()
                try:
                    job.services.registry.create_events([event])
                    break
                except Unreachable:
                    if not left:
                        raise
                self._pause(PAUSE_SECONDS)


def _looked_at(job: Job, kept: KeptCopies, copies: Sequence[KeptCopy]) -> list[CopyCheck]:
    """Of those copies of which something can be said."""
    job.progress.expect(files=len(copies), bytes=sum(copy.size for copy in copies))
    checker = CopyChecker(kept, partial(_moved, job))
    found: list[CopyCheck] = []
    for copy in copies:
        target = kept.target_of(copy)
        assert target is not None
        seen = checker.look_at(target, [copy])
        for check in seen:
            if check.outcome == UNANSWERED:  # nothing is written of it, nor of the others
                raise Refused(check.detail)
        found += seen
        job.progress.add(files=1, bytes=copy.size)
    return found


def _moved(job: Job) -> None:
    job.progress.moved()
    job.pause_point()


def _nowhere(file: GenericFile, kept: KeptCopies) -> CopyCheck:
    """What is said of a file that the Registry keeps as active, and knows no place of."""
    nowhere = GenericFile(
        id=file.id,
        identifier=file.identifier,
        uuid=file.uuid,
        size=file.size,
        institution_id=file.institution_id,
        intellectual_object_id=file.intellectual_object_id,
        storage_option=file.storage_option,
        checksums=file.checksums,
        storage_records=[RegistryStorageRecord(url=NOWHERE)],
    )
    (copy,) = copies_on_record(nowhere)
    why = "the Registry names no place where it is kept"
    return CopyCheck(copy=copy, asked_at=kept.clock(), outcome=MISSING, detail=why)


def _why_unsaid(
    kept: KeptCopies, file: GenericFile, copies: Sequence[KeptCopy], checks: Sequence[CopyCheck]
) -> str:
    """Why nothing may be written of what was found: a fixity event that comes beside a deletion
    or a re-ingest can undo it in another's Registry (contract J8). "" where nothing stands against
    it."""
    if len(checks) < len(copies):
        return "its record, or its object, changed while it was read"
    fresh = _record_of(kept.services.registry, file.id)
    if fresh is None or copies_on_record(fresh) != copies:
        return "its record changed while it was read"
    return kept.why_left_alone(checks[0].copy)


def _record_of(registry: Registry, file_id: int) -> GenericFile | None:
    found = registry.file(file_id)
    return found if found is not None and found.state == STATE_ACTIVE else None


def _tell(check: CopyCheck) -> None:
    about: dict[str, Any] = {"url": check.copy.url, "file": check.copy.identifier}
    if check.outcome in BAD:
        log.error("copy_bad", **about, what=check.outcome, reason=check.detail)
    else:
        log.info("copy_proven", **about)
