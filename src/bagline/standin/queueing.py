"""`apt_queue`: requests that stand in the Registry and were never published (contract J1).

Its end-to-end tests make requests by the Registry's pages alone, and wait for this to publish them.
Elsewhere the Registry publishes, and Bagline's reconciler what was lost on the way: then it does
nothing, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from msgspec import structs

from bagline.model.times import Clock, now
from bagline.model.workitem import STATUS_PENDING, TOPICS_AFTER_INGEST
from bagline.services.queue.base import Queue
from bagline.services.registry.base import Registry, WorkItemFilter

log = structlog.get_logger(__name__)

AT_ONCE = 100
"""Of one action, in one look; the rest has the next one."""


@dataclass(frozen=True)
class RequestQueuer:
    """`is_end_to_end`: whether it does anything (APT_E2E)."""

    registry: Registry
    queue: Queue
    is_end_to_end: bool
    clock: Clock = now

    def look(self) -> int:
        """Publish what waits; how many. An item is published before it is marked: a death between
        publishes it twice, which its worker notices. One that a worker has begun meanwhile is not
        written over, and stays unmarked."""
        if not self.is_end_to_end:
            log.info("nothing_queued", reason="only end-to-end tests need it: APT_E2E is not true")
            return 0
        published = 0
        for action, topic in TOPICS_AFTER_INGEST.items():
            wanted = WorkItemFilter(
                action=action, statuses=[STATUS_PENDING], retry=True, is_queued=False
            )
            for item in self.registry.work_items(wanted, limit=AT_ONCE):
                if item.node:
                    continue
                self.queue.publish(topic, item.id)
                moment = self.clock()
                marked = structs.replace(item, date_processed=moment, queued_at=moment)
                self.registry.save_work_item(marked, unless_changed=True)
                log.info("request_queued", item=item.id, action=action)
                published += 1
        return published
