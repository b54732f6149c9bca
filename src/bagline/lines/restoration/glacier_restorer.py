"""Glacier restorer (contract J1): what lies in an archive is brought back, then restored.

Reads: the Registry, HEADs of preservation. Asks preservation's stores for what is frozen. Writes:
the work item of the restoration that follows. The timer is the item's own: a queue may forget it,
cut its delay, or deliver it twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import ClassVar

import msgspec
import structlog
from msgspec import Struct

from bagline.errors import Gone
from bagline.lines.restoration.following import opened
from bagline.lines.restoration.frozen_files import FrozenFiles, ThawCount
from bagline.lines.restoration.kept_object import KeptFile, kept_file
from bagline.lines.restoration.restore_job import RestoreJob
from bagline.model.registry import STATE_ACTIVE
from bagline.model.times import Timestamp, from_datetime, to_datetime
from bagline.model.workitem import TOPICS_AFTER_INGEST
from bagline.problems import shown
from bagline.services.registry.base import Conflict
from bagline.worker.stage import Done, Halt, Later, Outcome, Reject, Stage

log = structlog.get_logger(__name__)

BUSY_SECONDS = 900.0
"""Until what could not be asked for is tried again."""
TOLD = 5
"""Files that a note names."""


class ThawTimer(Struct, frozen=True):
    """Kept with the item: when it is due, as long as its note is this one. Whoever writes another
    note (an operator who requeues it) has it looked at now."""

    due: Timestamp
    note: str


class GlacierRestorer(Stage[RestoreJob]):
    name: ClassVar[str] = "thawing"

    def run(self, job: RestoreJob) -> Outcome:
        if job.is_discard:
            job.services.state.delete_item(job.lease)
            return Done()
        try:
            files = FrozenFiles(job, lambda: _pages(job))
            job.progress.expect(files=1 if job.item.is_of_file else job.object.file_count)
            count = ThawCount(0)
            if job.load() is None:  # before money is spent: whether it can come to a good end
                count = files.look(asks=False)
            if not count.lost_files:
                count = files.look(asks=True)
        except Gone as absent:
            return Halt(str(absent))
        found = {"files": count.files, "back": count.back, "asked": count.asked}
        log.info("thaw_looked_at", item=job.item.id, **found)
        if count.lost_files:
            job.kept.check_idle()
            return Reject(count.lost)
        if count.refused_files:
            return _refused(job, count)
        return _follow(job, count) if count.is_whole else _later(job, count)


def _pages(job: RestoreJob) -> Iterator[Sequence[KeptFile]]:
    """Raises Gone where the one file that is asked for is not there."""
    if not job.item.is_of_file:
        yield from job.kept.pages_as_they_are()
        return
    identifier = job.item.generic_file_identifier
    known = job.services.registry.files([identifier], with_events=False).get(identifier)
    if known is None or known.state != STATE_ACTIVE:
        raise Gone(f"the Registry has no active file {shown(identifier)}: nothing can be restored")
    yield [kept_file(job.object, known)]


def _refused(job: RestoreJob, count: ThawCount) -> Outcome:
    """The Registry keeps all of them; the note has the first."""
    job.services.registry.save_problems(job.item.id, count.refused)
    told = " | ".join(problem.message for problem in count.refused[:TOLD])
    more = count.refused_files - TOLD
    rest = f" | … and {more:,} more: bagline show lists them" if more > 0 else ""
    return Halt(
        f"{count.refused_files:,} of {count.files:,} files are not brought back: {told}{rest}"
    )


def _later(job: RestoreJob, count: ThawCount) -> Later:
    thaw = job.settings.thaw
    said = f"{count.back:,} of {count.files:,} files are back"
    delay = thaw.look_hours * 3600
    if count.busy:
        said += f"; the store had no room for {count.busy:,} requests ({thaw.tier})"
        delay = min(delay, BUSY_SECONDS)
    return _wait(job, delay, said)


def _wait(job: RestoreJob, delay: float, said: str) -> Later:
    due = to_datetime(job.clock()) + timedelta(seconds=delay)
    note = f"{said}. The next look is at {due:%Y-%m-%d %H:%M} UTC."
    timer = ThawTimer(from_datetime(due), note)
    job.left = {"checkpoint": msgspec.json.encode(timer)}
    return Later(delay, note)


def _follow(job: RestoreJob, count: ThawCount) -> Outcome:
    """The new item stands, and is published, before this one is a Success: a death in between
    repeats this, and finds it."""
    services, item = job.services, job.item
    try:
        new = opened(services.registry, item)
    except Conflict as conflict:
        return _wait(job, BUSY_SECONDS, f"All files are back. {str(conflict).rstrip('.')}")
    if not new.is_completed:
        services.queue.publish(TOPICS_AFTER_INGEST[new.action], new.id)
    job.is_restored = True
    services.registry.save_report(
        item.id,
        {"object": job.object.identifier, "files": count.files, "restored_by_item": new.id},
    )
    services.state.delete_item(job.lease)
    return Done(f"Object {job.object.identifier} restored from Glacier to S3.", warnings=[])
