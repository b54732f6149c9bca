"""One message in hand: kept while its worker says so, put back before nsqd takes it away."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import structlog

from bagline.services.queue.base import Delivery
from bagline.services.queue.nsq.frames import Message
from bagline.services.queue.nsq.loop import Loop
from bagline.services.queue.nsq.nsqd import NsqdConnection

log = structlog.get_logger(__name__)

TOUCHES = 3
"""In each msg_timeout."""
LONGEST_PARKING = 300.0


class NsqDelivery(Delivery):
    """`extend`, `ack` and `requeue` are called on any thread; what has an underscore runs on
    the loop's.

    Touches by itself, every third of nsqd's msg_timeout, as long as the last `extend` (or the
    delivery) is not older than `keep_seconds`. nsqd keeps no message longer than its
    max_msg_timeout; just before, the message is put back with a delay ("parked") and the
    item stays with us by its lease alone. Once parked, the message comes back by itself, also
    after `ack` (then the item is past this stage, and the message is dropped) and at its own
    time after `requeue`.
    """

    def __init__(
        self,
        loop: Loop,
        connection: NsqdConnection,
        message: Message,
        *,
        topic: str,
        number: int,
        keep_seconds: float,
        on_end: Callable[[NsqDelivery], None],
    ) -> None:
        """On the loop's thread."""
        self.topic, self.number = topic, number
        self.attempts = message.attempts
        self.connection: NsqdConnection | None = connection
        """None once the message is not ours: ended, parked, or its connection closed."""
        self._loop = loop
        self._message = message
        self._limits = connection.limits
        self._keep_seconds = keep_seconds
        self._on_end = on_end
        self._lock = threading.Lock()
        self._has_ended = False
        self._taken_at = self._extended_at = time.monotonic()
        self._deadline = max(self._limits.message, self._limits.longest)
        self._timer: asyncio.TimerHandle | None = None
        self._wait()

    @property
    def touch_seconds(self) -> float:
        """How often the message is touched."""
        return self._limits.message / TOUCHES

    def extend(self) -> None:
        self._extended_at = time.monotonic()
        self._loop.call(self._resume)

    def ack(self) -> None:
        self._end_once(self._finish)

    def requeue(self, delay: float) -> None:
        self._end_once(self._put_back, delay)

    def _end_once(self, act: Callable[..., None], *args: object) -> None:
        with self._lock:
            has_ended, self._has_ended = self._has_ended, True
        if not has_ended:
            self._loop.call(act, *args)

    def _finish(self) -> None:
        if self.connection is not None:
            self.connection.finish(self._message)
        self._drop()

    def _put_back(self, delay: float) -> None:
        if self.connection is not None:
            self.connection.requeue(self._message, delay)
        self._drop()

    def _drop(self) -> None:
        self.lose()
        self._on_end(self)

    def release(self) -> None:
        """On the loop's thread: back to nsqd, due at once."""
        with self._lock:
            has_ended, self._has_ended = self._has_ended, True
        if not has_ended:
            self._put_back(0.0)

    def lose(self) -> None:
        """On the loop's thread: the message is not ours any more; the item may be."""
        self.connection = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- keeping
    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self.touch_seconds, self._keep)

    def _resume(self) -> None:
        """Touching goes on, if it had stopped for want of `extend`."""
        if self.connection is not None and self._timer is None and not self._has_ended:
            self._keep()

    def _keep(self) -> None:
        self._timer = None
        if self.connection is None or self._has_ended:
            return
        now = time.monotonic()
        if now - self._extended_at > self._keep_seconds:
            return  # nsqd hands it to another worker soon
        if now + 2 * self.touch_seconds >= self._taken_at + self._deadline:
            self._park()
            return
        if self._limits.longest > self._limits.message:  # if not, a touch would shorten it
            self.connection.touch(self._message)
        self._wait()

    def _park(self) -> None:
        delay = min(self._limits.message, LONGEST_PARKING)
        log.info("message_parked", item=self.number, topic=self.topic, seconds=delay)
        if self.connection is not None:
            self.connection.requeue(self._message, delay)
        self.lose()
