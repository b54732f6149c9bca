"""`apt_queue_fixity`: files whose turn it is to be read again, published (contract J1).

The Registry says nowhere that a file waits to be checked, and NSQ does not tell of single messages.
So this counts: no more wait at the topic than one look may publish, whoever published them; and it
remembers what it published itself, and goes past that for a day, to what is behind. A file that
stays due all that time (its object is being changed, its check was given up) then has another turn,
and keeps no other from its own. Where the memory is lost with the process, the count still holds;
a file that is published twice costs its worker one question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from bagline.errors import Gone
from bagline.model.registry import STATE_ACTIVE
from bagline.model.storage import is_archive
from bagline.model.subject import Subject
from bagline.model.times import Clock, Timestamp, earlier, now, to_datetime
from bagline.services.queue.base import Queue
from bagline.services.registry.base import Registry

log = structlog.get_logger(__name__)

AGAIN = timedelta(days=1)
"""What was published and is still due may be published again after so long."""


@dataclass(frozen=True)
class FixityQueuer:
    """Of these storage `options`, files that were not checked for so many `days`; no more than
    `most` of them wait at the `topic`."""

    registry: Registry
    queue: Queue
    topic: str
    kind: str
    options: Sequence[str]
    days: int
    most: int
    clock: Clock = now
    _published: dict[int, Timestamp] = field(default_factory=dict)
    """When, by file id."""

    def look(self) -> int:
        """Publish what is due, the longest unchecked first; how many."""
        (depth,) = self.queue.depth([self.topic])
        waiting = depth.due + depth.delayed + depth.in_flight
        moment = self.clock()
        self._forget(earlier(moment, AGAIN))
        before = _whole_seconds(earlier(moment, timedelta(days=self.days)))
        left = self.most - waiting
        published = passed = 0
        pages = self.registry.files_due(self.options, checked_before=before) if left > 0 else ()
        for page in pages:
            new = [file.id for file in page if file.id not in self._published]
            passed += len(page) - len(new)
            some = new[: left - published]
            self.queue.publish_many(self.topic, some)
            self._published.update(dict.fromkeys(some, moment))
            published += len(some)
            if published == left:
                break
        log.info("fixity_queued", files=published, waiting=waiting, passed_over=passed)
        return published

    def publish(self, identifier: str) -> None:
        """That file, whenever it was checked. Raises Gone where the Registry has no such active
        file, or where it lies in an archive alone: its worker reads none such."""
        file = self.registry.files([identifier], with_events=False).get(identifier)
        if file is None or file.state != STATE_ACTIVE:
            raise Gone(f"the Registry has no active file {identifier}")
        if is_archive(file.storage_option):
            raise Gone(f"{identifier} lies in {file.storage_option} alone: nothing reads it there")
        self.queue.publish(self.topic, file.id)
        subject = Subject(self.kind, file.id)
        log.info("fixity_queued", item=subject.logged, last_check=file.last_fixity_check)

    def _forget(self, before: Timestamp) -> None:
        old = to_datetime(before)
        for number, moment in list(self._published.items()):
            if to_datetime(moment) <= old:
                del self._published[number]


def _whole_seconds(moment: Timestamp) -> Timestamp:
    """As the older one asks (RFC 3339, UTC)."""
    return Timestamp(moment.partition(".")[0].removesuffix("Z") + "Z")
