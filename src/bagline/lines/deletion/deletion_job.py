"""What the deleter is given: the item, and where copies lie."""

from __future__ import annotations

from dataclasses import dataclass

from bagline.model.workitem import (
    OUTCOME_CHANGING,
    STATUS_CANCELLED,
    STATUS_FAILED,
    WorkItem,
)
from bagline.worker.stage import Job


@dataclass(kw_only=True)
class DeletionJob(Job):
    record: WorkItem
    is_deleted: bool = False
    """Nothing of it is left to do."""

    @property
    def item(self) -> WorkItem:
        return self.record

    @property
    def is_discard(self) -> bool:
        """Whether it was ended before, and only its traces are to go."""
        return self.item.status in (STATUS_FAILED, STATUS_CANCELLED)

    @property
    def has_begun(self) -> bool:
        """Whether copies may be gone: then it only goes forward."""
        return self.item.outcome == OUTCOME_CHANGING

    def begins(self) -> None:
        """From here on copies go."""
        self.item.outcome = OUTCOME_CHANGING

    def got_to(self, files: int) -> None:
        """So many are gone: an attempt that brings it further is none in vain. Fenced. Raises
        LeaseLost."""
        advance = self.reach.advance(files)
        if advance.tally or advance.result is not None:
            self.services.state.commit(self.lease, tally=advance.tally, result=advance.result)
            self.reach.saved(advance)

    def save(self, checkpoint: bytes) -> None:
        """Fenced. Raises LeaseLost."""
        self.services.state.commit(self.lease, checkpoint=checkpoint)

    def load(self) -> bytes | None:
        """The checkpoint."""
        return self.services.state.load_checkpoint(self.item.id)
