"""Work items that somebody asked for by the API are made due in the workers' queue."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from bagline.errors import BaglineError
from bagline.model.workitem import WorkItem
from bagline.services.queue.base import Queue

log = structlog.get_logger(__name__)


class Outgoing:
    """Thread-safe. `topic_of` says where an item is due by its action and stage, "" where nowhere;
    `open_queue` opens the queue, None while there is none."""

    def __init__(
        self, topic_of: Callable[[WorkItem], str], open_queue: Callable[[], Queue | None]
    ) -> None:
        self.topic_of = topic_of
        self._open_queue = open_queue
        self._queue: Queue | None = None

    def publish(self, item: WorkItem) -> bool:
        """Whether it was; what was not, the reconciler publishes later, as the item is Pending."""
        try:
            queue = self._queue or self._open_queue()
            if queue is None:
                return False
            self._queue = queue
            queue.publish(self.topic_of(item), item.id)
        except BaglineError as fault:
            self._queue = None  # an engine that is started anew has another address
            log.warning("not_published", item=item.id, why=str(fault))
            return False
        return True
