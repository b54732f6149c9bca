"""The queue of a fleet, on NSQ: published over HTTP, received over TCP."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from bagline.errors import BaglineError
from bagline.services.queue.base import Delivery, Queue, Subscription, TopicDepth
from bagline.services.queue.nsq.delivery import NsqDelivery
from bagline.services.queue.nsq.http import NsqHttp
from bagline.services.queue.nsq.loop import Loop
from bagline.services.queue.nsq.options import NsqOptions
from bagline.services.queue.nsq.reader import NsqReader

CLOSE_SECONDS = 5.0


class NsqQueue(Queue):
    """One of these a process. Connects at the first call."""

    def __init__(self, options: NsqOptions) -> None:
        self._options = options
        self._http = NsqHttp(options)
        self._loop = Loop()
        self._lock = threading.Lock()
        self._subscriptions: list[NsqSubscription] = []

    def __repr__(self) -> str:
        where = [*self._options.lookupd, *self._options.http, *map(str, self._options.tcp)]
        return f"NsqQueue({', '.join(where)})"

    def publish(self, topic: str, item_id: int, *, delay: float = 0.0) -> None:
        """A delay above `longest_delay` becomes that; it runs from when the topic has its
        channel, which the first worker makes."""
        self._http.publish(topic, [item_id], delay=delay)

    def publish_many(self, topic: str, item_ids: Sequence[int]) -> None:
        if item_ids:
            self._http.publish(topic, item_ids, delay=0.0)

    def announce(self, topic: str, text: str) -> None:
        self._http.announce(topic, text)

    def subscribe(
        self,
        topic: str,
        *,
        owner: str,  # noqa: ARG002
        in_flight: int = 1,
    ) -> Subscription:
        """Returns at once; connections come up behind it, and come back by themselves."""
        self._loop.start()
        subscription = NsqSubscription(self._loop, self._http, self._options, topic, in_flight)
        with self._lock:
            self._subscriptions = [s for s in self._subscriptions if not s.is_over]
            self._subscriptions.append(subscription)
        return subscription

    def is_queued(self, topic: str, item_id: int) -> bool | None:  # noqa: ARG002
        return None

    def reclaim(self, is_dead: Callable[[str], bool]) -> int:  # noqa: ARG002
        return 0

    def depth(self, topics: Sequence[str]) -> list[TopicDepth]:
        """Sums over every nsqd that answers, as each counts them now (not one moment)."""
        found = self._http.stats(topics)
        return [TopicDepth(topic, *found[topic]) for topic in topics]

    def discard(self, topic: str, item_id: int) -> None:  # noqa: ARG002
        return

    def close(self) -> None:
        """What is still in hand goes back to nsqd at once."""
        with self._lock:
            subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            subscription.close()
        for subscription in subscriptions:
            subscription.leave()
        self._loop.stop()
        self._http.close()


class NsqSubscription(Subscription):
    def __init__(
        self, loop: Loop, http: NsqHttp, options: NsqOptions, topic: str, in_flight: int
    ) -> None:
        self.topic = topic
        self._loop = loop
        self._arrived: deque[NsqDelivery] = deque()
        self._news = threading.Condition()
        self._is_closed = False
        self._reader: NsqReader | None = None
        loop.call(self._open, http, options, in_flight)

    @property
    def is_over(self) -> bool:
        """Closed, and its connections with it."""
        return self._reader is not None and self._reader.is_over

    def _open(self, http: NsqHttp, options: NsqOptions, in_flight: int) -> None:
        self._reader = NsqReader(
            self._loop, http, options, self.topic, in_flight, on_delivery=self._arrive
        )

    def _arrive(self, delivery: NsqDelivery) -> None:
        with self._news:
            if not self._is_closed:
                self._arrived.append(delivery)
                self._news.notify()
                return
        delivery.requeue(0)

    def receive(self, timeout: float) -> Delivery | None:
        """Raises Unreachable or Refused only after `timeout`, with no connection to any nsqd."""
        deadline = time.monotonic() + timeout
        with self._news:
            while not self._is_closed:
                if self._arrived:
                    return self._arrived.popleft()
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._news.wait(left)
            if self._is_closed:
                return None
        fault = self._fault()
        if fault is not None:
            raise type(fault)(str(fault))
        return None

    def _fault(self) -> BaglineError | None:
        return self._reader.fault if self._reader is not None else None

    def close(self) -> None:
        with self._news:
            if self._is_closed:
                return
            self._is_closed = True
            untaken = list(self._arrived)
            self._arrived.clear()
            self._news.notify_all()
        self._loop.call(self._take_leave)
        for delivery in untaken:
            delivery.requeue(0)

    def _take_leave(self) -> None:
        if self._reader is not None:
            self._reader.take_leave()

    def leave(self) -> None:
        """Close the connections, whatever is still in hand."""
        self._loop.finish(self._leave(), seconds=CLOSE_SECONDS)

    async def _leave(self) -> None:
        if self._reader is not None:
            await self._reader.leave()
