"""A claim: what is held together while one attempt at one subject lasts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import structlog

from bagline.errors import ServiceFault
from bagline.model.workitem import WorkResult
from bagline.services.queue.base import Delivery
from bagline.services.state.base import Lease, State

log = structlog.get_logger(__name__)


@dataclass
class Claim:
    """The lease, the delivery it was taken for, and the records both are about.

    Exactly one of `done` and `requeue` ends it; both let the lease go first, so that whoever
    gets the delivery next finds the subject free.
    """

    state: State
    lease: Lease
    delivery: Delivery
    record: Any = None
    result: WorkResult = field(default_factory=WorkResult)
    is_rerun_owed: bool = False
    """Whether the stage was asked to begin anew, and had not when this attempt began."""

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
