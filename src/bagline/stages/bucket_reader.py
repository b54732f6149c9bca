"""The source of work: new bags in the institutions' receiving buckets become WorkItems."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from bagline.config import Settings
from bagline.errors import Refused
from bagline.model import times
from bagline.model.ingest import object_identifier
from bagline.model.registry import STATE_ACTIVE, STATE_DELETED, Institution
from bagline.model.times import is_set
from bagline.model.workitem import (
    ACTION_INGEST,
    STAGE_RECEIVE,
    STATUS_PENDING,
    STATUS_SUCCESS,
    WorkItem,
)
from bagline.services.bundle import Services
from bagline.services.objects.base import ObjectInfo
from bagline.services.registry.base import WorkItemFilter
from bagline.stages.base import Source

log = structlog.get_logger(__name__)

NOTE = "Bag is in receiving bucket"
OUTCOME = "Item is pending ingest"


class BucketReader(Source):
    """Lists receiving buckets; makes one WorkItem for each version of a bag (contract D).

    `check_room` is asked with the bag's size in bytes before it is taken, and raises
    Refused where the disk has no room; the bag then waits in its bucket.
    """

    def __init__(
        self,
        services: Services,
        settings: Settings,
        first_topic: str,
        clock: times.Clock = times.now,
        check_room: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._services = services
        self._settings = settings
        self._first_topic = first_topic
        self._clock = clock
        self._check_room = check_room
        self._ignored: set[tuple[str, str]] = set()

    def poll(self) -> list[WorkItem]:
        """Look into every bucket once. Raises Unreachable or Refused as met."""
        made = []
        for institution in self._services.registry.institutions():
            if institution.state == STATE_DELETED or not institution.receiving_bucket:
                continue
            objects = self._services.objects.list(institution.receiving_bucket, top_level=True)
            for found in objects:
                item = self.take(institution, found)
                if item is not None:
                    made.append(item)
        return made

    def take(self, institution: Institution, found: ObjectInfo) -> WorkItem | None:
        """The new WorkItem for this object; None when there is one, or it is no bag."""
        if not found.key.endswith(".tar"):
            if (found.bucket, found.key) not in self._ignored:
                self._ignored.add((found.bucket, found.key))
                log.warning("not_a_tar_by_name", bucket=found.bucket, key=ascii(found.key))
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
        """A WorkItem for this object, on the line, whatever is known of it."""
        # A crash between the two lines is mended by the reconciler, which publishes again.
        item = self._services.registry.save_work_item(self._new_item(institution, found))
        self._services.queue.publish(self._first_topic, item.id)
        log.info("work_item_made", item=item.id, bucket=found.bucket, key=ascii(found.key))
        return item

    def is_known(self, institution: Institution, found: ObjectInfo) -> bool:
        """Whether this version of the bag has its work item, or is preserved already."""
        wanted = WorkItemFilter(
            institution_id=institution.id, name=found.key, etag=found.etag, action=ACTION_INGEST
        )
        known = self._services.registry.work_items(wanted, limit=1)
        if not known:
            return False
        newest = known[0]
        if newest.status != STATUS_SUCCESS:
            return True  # in work; or it failed or was cancelled, and will again
        identifier = object_identifier(institution.identifier, found.key)
        kept = self._services.registry.intellectual_object(identifier)
        return kept is not None and kept.state == STATE_ACTIVE

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
