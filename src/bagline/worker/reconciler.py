"""Puts back on the line what the Registry says is due and nobody holds.

Heals a crash between "saved" and "published", a lost message, a queue that forgot; and
cleans up after rejected and cancelled items whose clean-up got lost, and after those that an
earlier release ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from bagline.config import Settings
from bagline.errors import BrokenState
from bagline.model import times
from bagline.model.subject import ITEM, item_subject
from bagline.model.workitem import (
    STATUS_CANCELLED,
    STATUS_FAILED,
    STATUS_PENDING,
    STATUS_STARTED,
    WorkItem,
)
from bagline.services.bundle import Services
from bagline.services.registry.base import WorkItemFilter
from bagline.worker.line import Line, Lines, Step

log = structlog.get_logger(__name__)

FINISHED_LOOKED_AT = 200
UNSEEN_SECONDS = 3600.0
"""Where the queue cannot tell of a single item, and its topic is never empty: published again
after so long, and not sooner again by this process."""


class Reconciler:
    """Compares the Registry with queue and leases."""

    def __init__(
        self,
        lines: Lines,
        services: Services,
        settings: Settings,
        clock: times.Clock = times.now,
    ) -> None:
        self._lines = lines
        self._services = services
        self._settings = settings
        self._clock = clock
        self._last_published: dict[tuple[str, int], float] = {}
        self._swept_to = 0

    def reap(self, is_dead: Callable[[str], bool]) -> int:
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
        self._forget_old_publishes()
        published = [
            item_id
            for line in self._lines
            if line.kind == ITEM
            for item_id in (*self._due(line, rested), *self._ended(line, rested))
        ]
        self._sweep()
        return published

    def _sweep(self) -> None:
        """Some of what an earlier release left, behind the last look's."""
        self._swept_to, items = self._services.state.sweep_earlier(self._swept_to)
        if items:
            log.info("earlier_records_swept", items=len(items))

    def _due(self, line: Line, rested: float) -> list[int]:
        alive = WorkItemFilter(
            action=line.action, retry=True, statuses=[STATUS_PENDING, STATUS_STARTED]
        )
        return [
            item.id
            for item in self._services.registry.work_items(alive)
            if self._publish_lost(item, line, line.by_work_stage(item.stage), rested)
        ]

    def _ended(self, line: Line, rested: float) -> list[int]:
        """Of those whose clean-up got lost."""
        if line.cleanup is None:
            return []
        ended = WorkItemFilter(action=line.action, statuses=[STATUS_FAILED, STATUS_CANCELLED])
        return [
            item.id
            for item in self._services.registry.work_items(ended, limit=FINISHED_LOOKED_AT)
            if self._services.state.has_item(item.id)
            and self._publish_lost(item, line, line.cleanup, rested)
        ]

    def _publish_lost(self, item: WorkItem, line: Line, step: Step | None, rested: float) -> bool:
        if step is None or self._age(item.updated_at) < rested:
            return False
        if self._services.state.lease_owner(item_subject(item.id)):
            return False
        due = line.due_at(item, self._services)
        age = min(self._age(item.updated_at), self._age(due))
        if age < rested or self._is_queued(item, step, age):
            return False
        self._services.queue.publish(step.topic, item.id)
        self._last_published[step.topic, item.id] = time.monotonic()
        log.info("item_published_again", item=item.id, topic=step.topic)
        return True

    def _forget_old_publishes(self) -> None:
        now = time.monotonic()
        self._last_published = {
            what: moment
            for what, moment in self._last_published.items()
            if now - moment < UNSEEN_SECONDS
        }

    def _is_queued(self, item: WorkItem, step: Step, age: float) -> bool:
        """Whether the item, which could be worked on for `age` seconds, waits, as far as the queue
        can tell.

        One that knows no single items (NSQ) is judged by its topic: with nothing in it the item
        is lost, with something due the item may be among that, and one that was tried before
        waits at least for its delay.
        """
        queue = self._services.queue
        is_queued = queue.is_queued(step.topic, item.id)
        if is_queued is not None:
            return is_queued
        attempts = self._attempts(item, step)
        delay = step.retry.delay(attempts) if attempts else 0.0
        if age < delay + self._settings.work.reconcile_age_seconds:
            return True
        (depth,) = queue.depth([step.topic])
        if depth.due + depth.delayed + depth.in_flight == 0:
            return False
        is_recent = age < UNSEEN_SECONDS or (step.topic, item.id) in self._last_published
        return depth.due > 0 or is_recent

    def _attempts(self, item: WorkItem, step: Step) -> int:
        try:
            result = self._services.state.load_result(item_subject(item.id), step.topic)
        except BrokenState:  # the step makes a new one
            return 0
        return result.attempt if result else 0

    def _age(self, moment: times.Timestamp) -> float:
        """Seconds since then; below 0 before it."""
        if not times.is_set(moment):
            return float("inf")
        passed = times.to_datetime(self._clock()) - times.to_datetime(moment)
        return passed.total_seconds()
