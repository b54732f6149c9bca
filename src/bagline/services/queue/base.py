"""The queue seam: which item is due at which topic. At least once, maybe late, maybe twice.

The right to work on an item is the lease in the state seam, never the delivery. All
methods may raise Unreachable or Refused. Delays and times are in seconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TopicDepth:
    """How much waits: `due` now, `delayed` until later, `in_flight` with a worker."""

    topic: str
    due: int
    delayed: int
    in_flight: int


class Delivery(ABC):
    """One message handed to this process. Exactly one of ack and requeue ends it."""

    number: int
    """Of what, is the line's matter: mostly a work item's id."""
    topic: str
    attempts: int
    """How often this message has been handed out, this time included; from 1."""

    @abstractmethod
    def extend(self) -> None:
        """Keep it ours for another while (NSQ: TOUCH). Harmless once it is not ours."""

    @abstractmethod
    def ack(self) -> None:
        """Done with it. Harmless once it is not ours (a late worker cannot take it back)."""

    @abstractmethod
    def requeue(self, delay: float) -> None:
        """Hand it back, due again after `delay`. Harmless once it is not ours."""


class Subscription(ABC):
    """A place in line at one topic, with at most `in_flight` deliveries at a time."""

    topic: str

    @abstractmethod
    def receive(self, timeout: float) -> Delivery | None:
        """The next due item, or None after `timeout` without one."""

    @abstractmethod
    def close(self) -> None:
        """Take no more. Deliveries in hand can still be ended."""


class Queue(ABC):
    @abstractmethod
    def publish(self, topic: str, item_id: int, *, delay: float = 0.0) -> None:
        """Make the item due. Where it already waits or is in flight, implementations may
        leave it as it is (Redis) or deliver it twice (NSQ); both are safe."""

    def publish_many(self, topic: str, item_ids: Sequence[int]) -> None:
        """Make them all due now. May be repeated; after a fault some may be published."""
        for item_id in item_ids:
            self.publish(topic, item_id)

    def announce(self, topic: str, text: str) -> None:  # noqa: B027
        """Tell whoever listens there a text. Only NSQ carries any: elsewhere nobody hears it."""

    @abstractmethod
    def subscribe(self, topic: str, *, owner: str, in_flight: int = 1) -> Subscription: ...

    @abstractmethod
    def is_queued(self, topic: str, item_id: int) -> bool | None:
        """Whether the item waits or is in flight; None where the queue cannot tell (NSQ)."""

    @abstractmethod
    def reclaim(self, is_dead: Callable[[str], bool]) -> int:
        """Make due at once what dead owners held; returns how many. 0 where the queue does
        it by itself (NSQ)."""

    @abstractmethod
    def depth(self, topics: Sequence[str]) -> list[TopicDepth]: ...

    @abstractmethod
    def discard(self, topic: str, item_id: int) -> None:
        """Forget the item at the topic, if the queue can (NSQ cannot; skip rules do it)."""

    @abstractmethod
    def close(self) -> None: ...
