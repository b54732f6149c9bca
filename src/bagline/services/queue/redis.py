"""The queue of one machine: a sorted set a topic, in Redis or Valkey.

Under `bagline:queue:{<topic>}`: the ids by the time they are due, and beside it who
holds which (with a receipt, so that a late worker cannot end or keep what another now
holds), how often each was handed out, and a bell that wakes those who wait. An id
waits at most once. What leaves the queue leaves nothing behind.

Publishing an id that waits brings it forward where that is earlier; publishing one that
is in flight changes nothing, also when its holder acks it a moment later: whoever must
have it handed out again looks at `is_queued` (the reconciler does).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bagline.services.queue import scripts
from bagline.services.queue.base import Delivery, Queue, Subscription, TopicDepth
from bagline.services.redis_client import CONNECT_SECONDS, READ_SECONDS, RedisClient

VISIBILITY_SECONDS = 60.0
"""How long an item stays with a worker that neither extends nor ends it."""
LONGEST_WAIT = 0.5
"""After so long a waiting subscriber looks again, bell or no bell."""
SCAN_COUNT = 1_000

PREFIX = "bagline:queue:"


class RedisQueue(Queue):
    def __init__(
        self,
        url: str,
        *,
        visibility_seconds: float = VISIBILITY_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        """Connects at the first call. Raises Misconfigured when the URL is none."""
        self.client = RedisClient(url, connect_seconds=connect_seconds, read_seconds=read_seconds)
        self.visibility_ms = _milliseconds(visibility_seconds)
        with self.client.speaking("scripts") as redis:
            self._scripts = {
                source: redis.register_script(source)
                for source in (
                    scripts.PUBLISH, scripts.RECEIVE, scripts.EXTEND, scripts.ACK,
                    scripts.REQUEUE, scripts.DISCARD, scripts.DEPTH,
                )
            }  # fmt: skip

    def __repr__(self) -> str:
        return f"RedisQueue({self.client.where})"

    def run(self, script: str, topic: str, *args: object) -> Any:
        """Run one of the queue's scripts on the topic's keys."""
        with self.client.speaking(queue_key(topic)):
            return self._scripts[script](keys=_keys(topic), args=list(args))

    def publish(self, topic: str, item_id: int, *, delay: float = 0.0) -> None:
        self.run(scripts.PUBLISH, topic, item_id, _milliseconds(delay))

    def subscribe(self, topic: str, *, owner: str, in_flight: int = 1) -> Subscription:
        return RedisSubscription(self, topic, owner, in_flight)

    def is_queued(self, topic: str, item_id: int) -> bool:
        with self.client.speaking(queue_key(topic)) as redis:
            return redis.zscore(queue_key(topic), item_id) is not None

    def reclaim(self, is_dead: Callable[[str], bool]) -> int:
        reclaimed = 0
        for topic, item_id, receipt in list(self._held()):
            if is_dead(_owner(receipt)):
                reclaimed += self.run(scripts.REQUEUE, topic, item_id, receipt, 0)
        return reclaimed

    def _held(self) -> Iterator[tuple[str, int, str]]:
        """Topic, id and receipt of everything in flight."""
        for topic in self._topics():
            with self.client.speaking(_holders_key(topic)) as redis:
                holders = redis.hgetall(_holders_key(topic))
            for item_id, receipt in holders.items():
                yield topic, int(item_id), receipt.decode("utf-8", "surrogateescape")

    def _topics(self) -> set[str]:
        """Topics that have something in flight."""
        before, after = _holders_key("*").split("*")
        topics, cursor = set(), 0
        while True:
            with self.client.speaking(PREFIX) as redis:
                cursor, names = redis.scan(cursor, match=_holders_key("*"), count=SCAN_COUNT)
            topics |= {name.decode()[len(before) : -len(after)] for name in names}
            if cursor == 0:
                return topics

    def depth(self, topics: Sequence[str]) -> list[TopicDepth]:
        return [TopicDepth(topic, *self.run(scripts.DEPTH, topic)) for topic in topics]

    def discard(self, topic: str, item_id: int) -> None:
        self.run(scripts.DISCARD, topic, item_id)

    def close(self) -> None:
        self.client.close()


class RedisSubscription(Subscription):
    def __init__(self, queue: RedisQueue, topic: str, owner: str, in_flight: int) -> None:
        self.topic = topic
        self._queue = queue
        self._owner = owner
        self._places = threading.BoundedSemaphore(in_flight)
        self._closed = threading.Event()

    def receive(self, timeout: float) -> Delivery | None:
        deadline = time.monotonic() + timeout
        if self._closed.is_set() or not self._places.acquire(timeout=max(0.0, timeout)):
            return None
        delivery = None
        try:
            delivery = self._wait(deadline)
        finally:
            if delivery is None:
                self._places.release()
        return delivery

    def _wait(self, deadline: float) -> Delivery | None:
        receipt = f"{self._owner}|{secrets.token_hex(8)}"
        while not self._closed.is_set():
            state, *found = self._queue.run(
                scripts.RECEIVE, self.topic, receipt, self._queue.visibility_ms
            )
            if found:
                item_id, attempts = found
                return RedisDelivery(
                    self._queue, self.topic, int(item_id), attempts, receipt, self._places.release
                )
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            due = state / 1_000 if state > 0 else LONGEST_WAIT
            self._listen(max(0.001, min(left, due, LONGEST_WAIT)))
        return None

    def _listen(self, seconds: float) -> None:
        """Until the bell rings, at most so long. A bell heard in vain costs one look."""
        bell = _bell_key(self.topic)
        with self._queue.client.speaking(bell) as redis:
            redis.blpop([bell], timeout=round(seconds, 3))

    def close(self) -> None:
        self._closed.set()


class RedisDelivery(Delivery):
    def __init__(
        self,
        queue: RedisQueue,
        topic: str,
        number: int,
        attempts: int,
        receipt: str,
        ended: Callable[[], None],
    ) -> None:
        self.topic, self.number, self.attempts = topic, number, attempts
        self._queue, self._receipt, self._ended = queue, receipt, ended
        self._end = threading.Lock()
        self._has_ended = False

    def extend(self) -> None:
        self._run(scripts.EXTEND, self._queue.visibility_ms)

    def ack(self) -> None:
        self._free_place()
        self._run(scripts.ACK)

    def requeue(self, delay: float) -> None:
        self._free_place()
        self._run(scripts.REQUEUE, _milliseconds(delay))

    def _run(self, script: str, *args: object) -> None:
        self._queue.run(script, self.topic, self.number, self._receipt, *args)

    def _free_place(self) -> None:
        with self._end:
            if not self._has_ended:
                self._has_ended = True
                self._ended()


def queue_key(topic: str) -> str:
    return f"{PREFIX}{{{topic}}}"


def _holders_key(topic: str) -> str:
    return queue_key(topic) + ":holders"


def _bell_key(topic: str) -> str:
    return queue_key(topic) + ":bell"


def _keys(topic: str) -> list[str]:
    return [
        queue_key(topic),
        _holders_key(topic),
        queue_key(topic) + ":attempts",
        _bell_key(topic),
    ]


def _owner(receipt: str) -> str:
    return receipt.rpartition("|")[0]


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1_000))
