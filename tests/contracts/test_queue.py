"""What every Queue promises, asked of each implementation on its real engine."""

from __future__ import annotations

import itertools
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bagline.embedded import EngineAddresses
from bagline.services.queue.base import Delivery, Queue, TopicDepth
from bagline.services.queue.nsq.options import nsq_options
from bagline.services.queue.nsq.queue import NsqQueue
from bagline.services.queue.redis import RedisQueue
from support.engines import fresh_id, fresh_name
from support.nsq import lookupd_running, nsqd_running

pytestmark = pytest.mark.engines

VISIBILITY = 0.8
NSQ_TOPICS = 60


@dataclass(frozen=True)
class Kind:
    """An implementation on its engine, and where the base leaves it the choice."""

    queue: Queue
    topics: Iterator[str]
    soon: float
    """How long to listen before it is said that nothing comes."""
    knows_items: bool
    """Whether it can tell, bring forward and forget a single item, which then waits once."""


@contextmanager
def redis_kind(engines: EngineAddresses, _: Path) -> Iterator[Kind]:
    queue = RedisQueue(engines.redis_url, visibility_seconds=VISIBILITY)
    yield Kind(queue, (fresh_name("topic") for _ in itertools.count()), 0.02, True)
    queue.close()


@contextmanager
def nsq_kind(_: EngineAddresses, folder: Path) -> Iterator[Kind]:
    with (
        lookupd_running(folder / "lookupd") as lookupd,
        nsqd_running(folder / "nsqd", lookupd=lookupd, msg_timeout="600ms") as nsqd,
    ):
        topics = [fresh_name("topic") for _ in range(NSQ_TOPICS)]
        nsqd.prepare(topics)
        queue = NsqQueue(nsq_options(lookupd=lookupd.http, http=nsqd.http, keep_seconds=0.35))
        yield Kind(queue, iter(topics), 0.15, False)
        queue.close()


KINDS: dict[str, Callable[[EngineAddresses, Path], AbstractContextManager[Kind]]] = {
    "redis": redis_kind,
    "nsq": nsq_kind,
}


@pytest.fixture(scope="module", params=KINDS)
def kind(
    request: pytest.FixtureRequest,
    engines: EngineAddresses,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Kind]:
    with KINDS[request.param](engines, tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture
def queue(kind: Kind) -> Queue:
    return kind.queue


@pytest.fixture
def topic(kind: Kind) -> str:
    return next(kind.topics)


@pytest.fixture
def nothing(kind: Kind) -> Callable[[Queue, str], bool]:
    """Whether nobody who asks now gets anything."""

    def ask(queue: Queue, topic: str) -> bool:
        subscription = queue.subscribe(topic, owner="nobody/0")
        try:
            return subscription.receive(kind.soon) is None
        finally:
            subscription.close()

    return ask


Nothing = Callable[[Queue, str], bool]


def get(queue: Queue, topic: str, owner: str = "host/1", timeout: float = 2.0) -> Delivery:
    subscription = queue.subscribe(topic, owner=owner)
    delivery = subscription.receive(timeout)
    subscription.close()
    assert delivery is not None
    return delivery


def settled(ask: Callable[[], object], wanted: object) -> None:
    """What an engine counts becomes this within seconds (NSQ ends messages behind our back)."""
    deadline = time.monotonic() + 5
    while ask() != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ask() == wanted


def test_an_item_is_handed_out_until_it_is_acked(
    kind: Kind, queue: Queue, topic: str, nothing: Nothing
) -> None:
    item = fresh_id()
    queue.publish(topic, item)
    first = get(queue, topic)
    assert (first.number, first.topic, first.attempts) == (item, topic, 1)
    assert nothing(queue, topic)
    assert queue.is_queued(topic, item) is (True if kind.knows_items else None)
    first.requeue(0)
    second = get(queue, topic)
    # NSQ counts also what it pushed to the connection of `nothing` and took back.
    assert second.attempts > first.attempts
    second.ack()
    assert not queue.is_queued(topic, item)
    assert nothing(queue, topic)


def test_the_first_due_comes_first(queue: Queue, topic: str) -> None:
    items = [fresh_id() for _ in range(5)]
    for item in items:
        queue.publish(topic, item)
        time.sleep(0.002)
    assert [get(queue, topic).number for _ in items] == items


def test_a_second_publish_is_safe(kind: Kind, queue: Queue, topic: str, nothing: Nothing) -> None:
    item = fresh_id()
    queue.publish(topic, item)
    queue.publish_many(topic, [item, item])
    for _ in range(1 if kind.knows_items else 3):
        delivery = get(queue, topic)
        assert delivery.number == item
        delivery.ack()
    assert nothing(queue, topic)


def test_many_are_published_at_once(queue: Queue, topic: str) -> None:
    items = [fresh_id() for _ in range(50)]
    queue.publish_many(topic, items)
    queue.publish_many(topic, [])
    found = {get(queue, topic).number for _ in items}
    assert found == set(items)


def test_topics_are_apart(queue: Queue, topic: str, nothing: Nothing) -> None:
    item = fresh_id()
    queue.publish(topic, item)
    assert nothing(queue, topic + "x")
    delivery = get(queue, topic)
    queue.publish(topic + "x", item)  # the stage is done: the next topic first, then the ack
    delivery.ack()
    assert get(queue, topic + "x").attempts == 1


def test_delays_are_honoured(queue: Queue, topic: str, nothing: Nothing) -> None:
    item = fresh_id()
    began = time.monotonic()
    queue.publish(topic, item, delay=0.2)
    assert nothing(queue, topic)
    delivery = get(queue, topic)
    assert 0.2 <= time.monotonic() - began < 10
    began = time.monotonic()
    delivery.requeue(0.2)
    assert nothing(queue, topic)
    get(queue, topic)
    assert 0.2 <= time.monotonic() - began < 10


def test_what_a_dead_worker_held_comes_back_by_itself(
    queue: Queue, topic: str, nothing: Nothing
) -> None:
    queue.publish(topic, fresh_id())
    get(queue, topic, "dead/1")
    assert nothing(queue, topic)
    assert get(queue, topic, "live/2").attempts == 2


def test_extending_keeps_an_item(queue: Queue, topic: str, nothing: Nothing) -> None:
    queue.publish(topic, fresh_id())
    delivery = get(queue, topic)
    for _ in range(3):
        time.sleep(VISIBILITY / 2)
        delivery.extend()
        assert nothing(queue, topic)
    delivery.ack()


def test_a_late_worker_cannot_end_or_keep_what_another_holds(
    queue: Queue, topic: str, nothing: Nothing
) -> None:
    item = fresh_id()
    queue.publish(topic, item)
    late = get(queue, topic, "host/1")
    time.sleep(VISIBILITY)
    holder = get(queue, topic, "host/1")  # the same owner, another receipt
    late.extend()
    late.requeue(0)
    late.ack()
    assert nothing(queue, topic)
    holder.ack()
    assert not queue.is_queued(topic, item)
    late.requeue(0)
    assert nothing(queue, topic)


def test_depth_counts_due_delayed_and_in_flight(queue: Queue, topic: str) -> None:
    assert queue.depth([topic]) == [TopicDepth(topic, 0, 0, 0)]
    for _ in range(3):
        queue.publish(topic, fresh_id())
    queue.publish(topic, fresh_id(), delay=60)
    get(queue, topic)
    wanted = [TopicDepth(topic, due=2, delayed=1, in_flight=1)]
    settled(lambda: queue.depth([topic]), wanted)


def test_a_subscription_holds_no_more_than_it_may(kind: Kind, queue: Queue, topic: str) -> None:
    for _ in range(3):
        queue.publish(topic, fresh_id())
    subscription = queue.subscribe(topic, owner="host/1", in_flight=2)
    first, second = subscription.receive(1), subscription.receive(1)
    assert first is not None
    assert second is not None
    assert subscription.receive(kind.soon) is None
    first.ack()
    first.ack()  # a second end frees no second place
    assert subscription.receive(1) is not None
    assert subscription.receive(kind.soon) is None


def test_a_closed_subscription_takes_no_more(queue: Queue, topic: str) -> None:
    queue.publish(topic, fresh_id())
    queue.publish(topic, fresh_id())
    subscription = queue.subscribe(topic, owner="host/1", in_flight=2)
    delivery = subscription.receive(1)
    assert delivery is not None
    subscription.close()
    assert subscription.receive(1) is None
    delivery.ack()
    settled(lambda: queue.depth([topic]), [TopicDepth(topic, due=1, delayed=0, in_flight=0)])


def test_a_waiting_receiver_wakes_at_once_and_burns_nothing(queue: Queue, topic: str) -> None:
    got: list[float] = []

    def wait() -> None:
        get(queue, topic, timeout=5)
        got.append(time.monotonic())

    used = resource.getrusage(resource.RUSAGE_SELF)
    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.8)
    now = resource.getrusage(resource.RUSAGE_SELF)
    assert now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime < 0.1
    published = time.monotonic()
    queue.publish(topic, fresh_id())
    waiter.join(5)
    assert got[0] - published < 0.2  # 2 ms, and what a busy machine adds


def test_many_workers_get_every_item_once(queue: Queue, topic: str) -> None:
    items = [fresh_id() for _ in range(200)]
    got: list[int] = []

    def work(number: int) -> None:
        subscription = queue.subscribe(topic, owner=f"host/{number}", in_flight=4)
        while (delivery := subscription.receive(0.3)) is not None:
            got.append(delivery.number)
            delivery.ack()

    workers = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for worker in workers:
        worker.start()
    for item in items:
        queue.publish(topic, item)
    for worker in workers:
        worker.join(20)
    assert sorted(got) == items


def test_what_cannot_be_known_of_one_item_is_said(kind: Kind, queue: Queue, topic: str) -> None:
    item = fresh_id()
    queue.publish(topic, item)
    assert queue.is_queued(topic, item) is (True if kind.knows_items else None)
    assert queue.reclaim(lambda owner: owner == f"nobody/{topic}") == 0
    queue.discard(topic, item)
    assert queue.is_queued(topic, item) in (False, None)
