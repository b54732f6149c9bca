"""Puts back on the line what the Registry says is due and nobody holds.

Heals a crash between "saved" and "published", a lost message, a queue that forgot; and
cleans up after rejected and cancelled items whose clean-up got lost.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from bagline.config import Settings
from bagline.model import times
from bagline.model.workitem import (
    ACTION_INGEST,
    STATUS_CANCELLED,
    STATUS_FAILED,
    STATUS_PENDING,
    STATUS_STARTED,
    WorkItem,
)
from bagline.pipeline import Line, Step
from bagline.services.bundle import Services
from bagline.services.registry.base import WorkItemFilter

log = structlog.get_logger(__name__)

FINISHED_LOOKED_AT = 200


class Reconciler:
    """Compares the Registry with queue and leases."""

    def __init__(
        self,
        line: Line,
        services: Services,
        settings: Settings,
        clock: times.Clock = times.now,
    ) -> None:
        self._line = line
        self._services = services
        self._settings = settings
        self._clock = clock

    def bury_the_dead(self, is_dead: Callable[[str], bool]) -> int:
        """Break leases and deliveries of dead processes of this host; returns how many."""
        leases = self._services.state.break_leases(is_dead)
        deliveries = self._services.queue.reclaim(is_dead)
        if leases or deliveries:
            log.info("dead_workers_buried", leases=len(leases), deliveries=deliveries)
        return len(leases) + deliveries

    def look(self, *, min_age_seconds: float | None = None) -> list[int]:
        """Publish what is due and held by nobody; returns the ids."""
        age = self._settings.work.reconcile_age_seconds
        rested = age if min_age_seconds is None else min_age_seconds
        alive = WorkItemFilter(
            action=ACTION_INGEST, retry=True, statuses=[STATUS_PENDING, STATUS_STARTED]
        )
        published = [
            item.id
            for item in self._services.registry.work_items(alive)
            if self._publish_lost(item, self._line.by_work_stage(item.stage), rested)
        ]
        ended = WorkItemFilter(action=ACTION_INGEST, statuses=[STATUS_FAILED, STATUS_CANCELLED])
        published += [
            item.id
            for item in self._services.registry.work_items(ended, limit=FINISHED_LOOKED_AT)
            if self._services.state.has_item(item.id)
            and self._publish_lost(item, self._line.cleanup, rested)
        ]
        return published

    def _publish_lost(self, item: WorkItem, step: Step | None, rested: float) -> bool:
        if step is None or self._age(item) < rested:
            return False
        if self._services.queue.is_queued(step.topic, item.id):
            return False
        if self._services.state.lease_owner(item.id):
            return False
        self._services.queue.publish(step.topic, item.id)
        log.info("item_published_again", item=item.id, topic=step.topic)
        return True

    def _age(self, item: WorkItem) -> float:
        """Seconds since the row last changed."""
        if not times.is_set(item.updated_at):
            return float("inf")
        passed = times.to_datetime(self._clock()) - times.to_datetime(item.updated_at)
        return passed.total_seconds()
