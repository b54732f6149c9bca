"""What restorers are given, and what they agree on: the object, its files, where they go."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from bagline.errors import Refused
from bagline.lines.restoration.kept_object import KeptObject
from bagline.model.registry import Institution, IntellectualObject
from bagline.model.workitem import STATUS_CANCELLED, STATUS_FAILED, WorkItem
from bagline.worker.stage import Job

RESTORED_AT = "https://s3.amazonaws.com"
"""What a note's address begins with, whatever the store (contract J2): mails cut it out there."""


@dataclass(kw_only=True)
class RestoreJob(Job):
    """`institution` and `object` are there when the stage runs on an item that is not ended; on
    one that is, if the Registry still has them."""

    record: WorkItem
    institution: Institution = Institution()  # noqa: RUF009 (never changed)
    object: IntellectualObject = IntellectualObject()  # noqa: RUF009 (never changed)
    is_restored: bool = False
    """What was asked for stands under its key."""

    @property
    def item(self) -> WorkItem:
        return self.record

    @property
    def is_discard(self) -> bool:
        """Whether it was ended before, and only its traces are to go."""
        return self.item.status in (STATUS_FAILED, STATUS_CANCELLED)

    def save(self, checkpoint: bytes) -> None:
        """Fenced. Raises LeaseLost."""
        self.services.state.commit(self.lease, checkpoint=checkpoint)

    def got_to(self, parts: int) -> None:
        """So many parts stand at the store: an attempt that brings it further is none in vain.
        Fenced. Raises LeaseLost."""
        advance = self.reach.advance(parts)
        if advance.tally or advance.result is not None:
            self.services.state.commit(self.lease, tally=advance.tally, result=advance.result)
            self.reach.saved(advance)

    def end_uploads(self, key: str) -> None:
        """Uploads to that key that nobody goes on with: a worker may die, or lose its lease, when
        it has begun one and not kept its id. A store that does not let us look keeps them."""
        if self.institution.restore_bucket:
            with suppress(Refused):
                objects = self.services.objects
                objects.abort_uploads(self.institution.restore_bucket, key, is_key=True)

    def load(self) -> bytes | None:
        """The checkpoint."""
        return self.services.state.load_checkpoint(self.item.id)

    @property
    def kept(self) -> KeptObject:
        """The object as it is read back in this job."""
        return KeptObject(
            self.object, self.services, self.settings, self.progress, self.pause_point
        )
