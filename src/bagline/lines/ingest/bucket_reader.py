"""The source of work: new bags in the institutions' receiving buckets become WorkItems."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import structlog

from bagline.config import Settings
from bagline.errors import BaglineError, Refused
from bagline.model import times
from bagline.model.registry import STATE_DELETED, Institution
from bagline.model.times import is_set
from bagline.model.workitem import (
    ACTION_INGEST,
    STAGE_RECEIVE,
    STATUS_CANCELLED,
    STATUS_PENDING,
    STATUS_SUCCESS,
    WorkItem,
)
from bagline.services.bundle import Services
from bagline.services.objects.base import ObjectInfo
from bagline.services.registry.base import WorkItemFilter
from bagline.worker.stage import Source

log = structlog.get_logger(__name__)

NOTE = "Bag is in receiving bucket"
OUTCOME = "Item is pending ingest"
SAID_KEPT = 10_000
LOOKED_AT = 20
"""Items of one name that are looked at, newest first."""


class BucketReader(Source):
    """Lists receiving buckets; makes one WorkItem for each upload of a bag (contract D).

    An upload is a version (ETag) that came at some time (LastModified): the same bytes sent
    again later are a new upload, and are compared with what is preserved then. At most one item
    of a bucket and key is open. `check_room` is asked with the bag's size in bytes before it is
    taken, and raises Refused where the disk has no room; the bag then waits in its bucket.
    `may_be_called_off` tells of an open item whether a newer upload may end it, or waits for it.
    `tell_unread` hears after each look how many buckets could not be listed.
    """

    def __init__(
        self,
        services: Services,
        settings: Settings,
        first_topic: str,
        clock: times.Clock = times.now,
        check_room: Callable[[int], None] = lambda _: None,
        may_be_called_off: Callable[[WorkItem], bool] = lambda _: True,
        cleanup_topic: str = "",
        tell_unread: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._services = services
        self._settings = settings
        self._first_topic = first_topic
        self._cleanup_topic = cleanup_topic
        self._tell_unread = tell_unread
        self._clock = clock
        self._check_room = check_room
        self._may_be_called_off = may_be_called_off
        self._said: set[tuple[str, ...]] = set()
        self.unread: dict[str, str] = {}
        """Receiving buckets that the last look could not list, and why."""

    def poll(self) -> list[WorkItem]:
        """Look into every bucket once. A bucket that cannot be listed, and a bag that the Registry
        will not take, is told of once, and the others are looked at. Raises Unreachable or Refused
        as the Registry does when it is asked for what it has."""
        made = []
        institutions = self._services.registry.institutions()
        named = {institution.receiving_bucket for institution in institutions}
        self.unread = {b: reason for b, reason in self.unread.items() if b in named}
        for institution in institutions:
            if institution.state == STATE_DELETED or not institution.receiving_bucket:
                continue
            for found in self._listed(institution):
                try:
                    item = self.take(institution, found)
                except Refused as fault:
                    self._say_once("bag_not_taken", found, reason=str(fault))
                    continue
                if item is not None:
                    made.append(item)
        self._tell_unread(len(self.unread))
        return made

    def _listed(self, institution: Institution) -> Iterator[ObjectInfo]:
        bucket = institution.receiving_bucket
        try:
            yield from self._services.objects.list(bucket, top_level=True)
        except (BaglineError, ValueError) as fault:  # no client can ask for a bucket of such a name
            if self.unread.get(bucket) != type(fault).__name__:
                log.error("receiving_bucket_unlisted", bucket=ascii(bucket), reason=str(fault))
            self.unread[bucket] = type(fault).__name__
        else:
            if self.unread.pop(bucket, None):
                log.info("receiving_bucket_listed_again", bucket=ascii(bucket))

    def take(self, institution: Institution, found: ObjectInfo) -> WorkItem | None:
        """The new WorkItem for this object; None when there is one, or it is no bag."""
        if not found.key.endswith(".tar"):
            self._say_once("not_a_tar_by_name", found)
            return None
        if self.is_known(institution, found):
            return None
        try:
            self._check_room(found.size)
        except Refused as fault:
            log.error("no_room_for_bag", key=ascii(found.key), reason=str(fault))
            return None
        return self.make_item(institution, found)

    def make_item(self, institution: Institution, found: ObjectInfo) -> WorkItem:
        """A WorkItem for this object, on the line, unless one of its bucket and key is open:
        that one then. Items of older versions that can give way are called off."""
        for item in self._items(institution, found):
            if self._gives_way(item, found):
                self._overtake(item)
        # A crash between the two lines is mended by the reconciler, which publishes again.
        item = self._services.registry.open_work_item(self._new_item(institution, found))
        if item.status == STATUS_PENDING and item.stage == STAGE_RECEIVE:
            self._services.queue.publish(self._first_topic, item.id)
        log.info("work_item_made", item=item.id, bucket=found.bucket, key=ascii(found.key))
        return item

    def is_known(self, institution: Institution, found: ObjectInfo) -> bool:
        """Whether this upload has its work item, in work or ended, or waits for an older one."""
        items = self._items(institution, found)
        if any(not item.is_completed and not self._gives_way(item, found) for item in items):
            return True
        last = next((item for item in items if item.etag == found.etag), None)
        if last is None or _is_later(found.last_modified, last.bag_date):
            return False
        ingested = next((item for item in items if item.status == STATUS_SUCCESS), None)
        if last.status != STATUS_SUCCESS or ingested is None:
            return True  # it failed or was cancelled, and will again
        if ingested.etag != found.etag:
            return False  # another version was ingested since, and this one was put back
        self._say_once("left_by_cleanup", found, item=ingested.id)
        return True

    def _items(self, institution: Institution, found: ObjectInfo) -> list[WorkItem]:
        """Of this bucket and key, newest first."""
        wanted = WorkItemFilter(institution_id=institution.id, name=found.key, action=ACTION_INGEST)
        items = self._services.registry.work_items(wanted, limit=LOOKED_AT)
        return [item for item in items if item.bucket == found.bucket]

    def _gives_way(self, item: WorkItem, found: ObjectInfo) -> bool:
        """Whether the item is open, about bytes that are gone from the bucket, and may end."""
        return not item.is_completed and item.etag != found.etag and self._may_be_called_off(item)

    def _overtake(self, item: WorkItem) -> None:
        """Call it off, unless a worker moved it on since it was looked at."""
        item.status = STATUS_CANCELLED
        item.retry = False
        item.needs_admin_review = False
        item.note = "Cancelled: a newer version of the bag took its place in the receiving bucket."
        item.outcome = "Ingest cancelled"
        saved = self._services.registry.save_work_item(item, unless_changed=True)
        if saved.status == STATUS_CANCELLED and self._cleanup_topic:
            self._services.queue.publish(self._cleanup_topic, item.id)

    def _say_once(self, event: str, found: ObjectInfo, **more: object) -> None:
        what = (event, found.bucket, found.key, found.etag)
        if what not in self._said:
            if len(self._said) >= SAID_KEPT:
                self._said.clear()
            self._said.add(what)
            log.warning(event, bucket=found.bucket, key=ascii(found.key), **more)

    def _new_item(self, institution: Institution, found: ObjectInfo) -> WorkItem:
        moment = self._clock()
        return WorkItem(
            action=ACTION_INGEST,
            bag_date=found.last_modified if is_set(found.last_modified) else moment,
            bucket=found.bucket,
            date_processed=moment,
            etag=found.etag,
            institution_id=institution.id,
            name=found.key,
            note=NOTE,
            outcome=OUTCOME,
            queued_at=moment,
            size=found.size,
            stage=STAGE_RECEIVE,
            status=STATUS_PENDING,
            user=self._settings.user,
        )


def _is_later(moment: times.Timestamp, than: times.Timestamp) -> bool:
    """As exactly as both are told: a HEAD cuts to seconds what a listing may tell more exactly."""
    if not is_set(moment) or not is_set(than):
        return False
    first, second = times.to_datetime(than), times.to_datetime(moment)
    if not first.microsecond or not second.microsecond:
        first, second = first.replace(microsecond=0), second.replace(microsecond=0)
    return second > first
