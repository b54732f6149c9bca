"""A claim: what is held together while one attempt at one subject lasts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from bagline.errors import ServiceFault
from bagline.model.workitem import WorkResult
from bagline.services.queue.base import Delivery
from bagline.services.state.base import State
from bagline.services.state.lease import Lease
from bagline.services.state.taken import Taken

log = structlog.get_logger(__name__)


@dataclass
class Claim:
    """The lease, the delivery it was taken for, and the records both are about.

    Exactly one of `done` and `requeue` ends it; both let the lease go first, so that whoever
    gets the delivery next finds the subject free.
    """

    state: State
    taken: Taken
    delivery: Delivery
    record: Any = None
    has_begun: bool = False
    """Whether the record says already that it has."""
    others: Sequence[Any] = ()
    """Records that may stand against it (`Begun.others`)."""
    result: WorkResult = field(default_factory=WorkResult)
    is_rerun_owed: bool = False
    """Whether the stage was asked to begin anew, and had not when this attempt began."""

    taken_at: float = field(default_factory=time.monotonic)

    def is_fresh(self, lease_seconds: float) -> bool:
        """Whether the lease was taken so lately that it stands for sure."""
        return time.monotonic() - self.taken_at < lease_seconds / 4

    @property
    def lease(self) -> Lease:
        return self.taken.lease

    def check(self) -> None:
        """Raises LeaseLost unless the lease is still ours."""
        self.state.check_lease(self.lease)

    def release(self) -> None:
        """Let the lease go; where that fails it runs out by itself."""
        try:
            self.state.drop_lease(self.lease)
        except ServiceFault as fault:
            log.warning("lease_not_dropped", item=self.lease.subject.logged, reason=str(fault))

    def done(self) -> None:
        self.release()
        self.delivery.ack()

    def requeue(self, delay: float) -> None:
        self.release()
        self.delivery.requeue(delay)
