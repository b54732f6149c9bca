"""What every Queue promises, asked of each implementation on its real engine."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import valkey

from bagline.embedded import EngineAddresses
from bagline.errors import Refused, Unreachable
from bagline.services.queue.base import Delivery, Queue, TopicDepth
from bagline.services.queue.redis import RedisQueue
from support.engines import closed_port, fresh_id, fresh_name

pytestmark = pytest.mark.engines

VISIBILITY = 0.8
SOON = 0.02
IMPLEMENTATIONS: dict[str, Callable[[EngineAddresses], Queue]] = {
    "redis": lambda engines: RedisQueue(engines.redis_url, visibility_seconds=VISIBILITY),
}


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def queue(request: pytest.FixtureRequest, engines: EngineAddresses) -> Iterator[Queue]:
    made = IMPLEMENTATIONS[request.param](engines)
    yield made
    made.close()


@pytest.fixture
def topic() -> str:
    return fresh_name("topic")


@pytest.fixture
def redis(engines: EngineAddresses) -> valkey.Valkey:
    return valkey.Valkey.from_url(engines.redis_url)


def get(queue: Queue, topic: str, owner: str = "host/1", timeout: float = 2.0) -> Delivery:
    delivery = queue.subscribe(topic, owner=owner).receive(timeout)
    assert delivery is not None
    return delivery


def nothing(queue: Queue, topic: str) -> bool:
    return queue.subscribe(topic, owner="nobody/0").receive(SOON) is None


def test_an_item_is_handed_out_until_it_is_acked(queue: Queue, topic: str) -> None:
    item = fresh_id()
    queue.publish(topic, item)
    first = get(queue, topic)
    assert (first.item_id, first.topic, first.attempts) == (item, topic, 1)
    assert nothing(queue, topic)
    assert queue.is_queued(topic, item)
    first.requeue(0)
    second = get(queue, topic)
    assert second.attempts == 2
    second.ack()
    assert not queue.is_queued(topic, item)
    assert nothing(queue, topic)


def test_the_first_due_comes_first(queue: Queue, topic: str) -> None:
    items = [fresh_id() for _ in range(5)]
    for item in items:
        queue.publish(topic, item)
        time.sleep(0.002)
    assert [get(queue, topic).item_id for _ in items] == items


def test_an_id_waits_once(queue: Queue, topic: str) -> None:
    item = fresh_id()
    queue.publish(topic, item)
    queue.publish(topic, item)
    delivery = get(queue, topic)
    queue.publish(topic, item)  # in flight: left as it is
    assert nothing(queue, topic)
    delivery.ack()
    assert nothing(queue, topic)


def test_topics_are_apart(queue: Queue, topic: str) -> None:
    item = fresh_id()
    queue.publish(topic, item)
    assert nothing(queue, topic + "x")
    delivery = get(queue, topic)
    queue.publish(topic + "x", item)  # the stage is done: the next topic first, then the ack
    delivery.ack()
    assert get(queue, topic + "x").attempts == 1


def test_delays_are_honoured(queue: Queue, topic: str) -> None:
    item = fresh_id()
    began = time.monotonic()
    queue.publish(topic, item, delay=0.2)
    assert nothing(queue, topic)
    delivery = get(queue, topic)
    assert 0.2 <= time.monotonic() - began < 0.7
    began = time.monotonic()
    delivery.requeue(0.2)
    assert nothing(queue, topic)
    get(queue, topic)
    assert 0.2 <= time.monotonic() - began < 0.7


def test_a_publish_brings_a_delayed_item_forward_and_never_back(queue: Queue, topic: str) -> None:
    item = fresh_id()
    queue.publish(topic, item, delay=60)
    queue.publish(topic, item)
    queue.publish(topic, item, delay=60)
    assert get(queue, topic).item_id == item


def test_what_a_dead_worker_held_comes_back_by_itself(queue: Queue, topic: str) -> None:
    queue.publish(topic, fresh_id())
    get(queue, topic, "dead/1")
    assert nothing(queue, topic)
    assert get(queue, topic, "live/2").attempts == 2


def test_extending_keeps_an_item(queue: Queue, topic: str) -> None:
    queue.publish(topic, fresh_id())
    delivery = get(queue, topic)
    for _ in range(3):
        time.sleep(VISIBILITY / 2)
        delivery.extend()
        assert nothing(queue, topic)
    delivery.ack()


def test_a_late_worker_cannot_end_or_keep_what_another_holds(queue: Queue, topic: str) -> None:
    item = fresh_id()
    queue.publish(topic, item)
    late = get(queue, topic, "host/1")
    time.sleep(VISIBILITY)
    holder = get(queue, topic, "host/1")  # the same owner, another receipt
    late.extend()
    late.requeue(0)
    late.ack()
    assert queue.is_queued(topic, item)
    assert nothing(queue, topic)
    holder.ack()
    assert not queue.is_queued(topic, item)
    late.requeue(0)
    assert nothing(queue, topic)


def test_what_the_dead_held_is_due_at_once_and_only_that(queue: Queue, topic: str) -> None:
    mine, theirs = fresh_id(), fresh_id()
    for item in (theirs, mine):
        queue.publish(topic, item)
        time.sleep(0.002)
    get(queue, topic, f"dead|{topic}/1")
    kept = get(queue, topic, "live/2")
    assert queue.reclaim(lambda owner: owner == f"dead|{topic}/1") == 1
    assert get(queue, topic).item_id == theirs
    assert nothing(queue, topic)
    assert kept.item_id == mine
    kept.ack()


def test_depth_counts_due_delayed_and_in_flight(queue: Queue, topic: str) -> None:
    assert queue.depth([topic]) == [TopicDepth(topic, 0, 0, 0)]
    for _ in range(3):
        queue.publish(topic, fresh_id())
    queue.publish(topic, fresh_id(), delay=60)
    get(queue, topic)
    assert queue.depth([topic]) == [TopicDepth(topic, due=2, delayed=1, in_flight=1)]


def test_a_subscription_holds_no_more_than_it_may(queue: Queue, topic: str) -> None:
    for _ in range(3):
        queue.publish(topic, fresh_id())
    subscription = queue.subscribe(topic, owner="host/1", in_flight=2)
    first, second = subscription.receive(1), subscription.receive(1)
    assert first is not None
    assert second is not None
    assert subscription.receive(SOON) is None
    first.ack()
    first.ack()  # a second end frees no second place
    assert subscription.receive(1) is not None
    assert subscription.receive(SOON) is None


def test_a_closed_subscription_takes_no_more(queue: Queue, topic: str) -> None:
    queue.publish(topic, fresh_id())
    queue.publish(topic, fresh_id())
    subscription = queue.subscribe(topic, owner="host/1", in_flight=2)
    delivery = subscription.receive(1)
    assert delivery is not None
    subscription.close()
    assert subscription.receive(1) is None
    delivery.ack()
    assert queue.depth([topic])[0].due == 1


def test_a_discarded_item_is_forgotten_even_in_flight(queue: Queue, topic: str) -> None:
    waiting, flying = fresh_id(), fresh_id()
    queue.publish(topic, flying)
    delivery = get(queue, topic)
    queue.publish(topic, waiting)
    queue.discard(topic, waiting)
    queue.discard(topic, flying)
    delivery.requeue(0)
    assert nothing(queue, topic)


def test_nothing_is_left_behind(queue: Queue, topic: str, redis: valkey.Valkey) -> None:
    for _ in range(3):
        queue.publish(topic, fresh_id())
    for _ in range(3):
        get(queue, topic).ack()
    left = [name for name in redis.keys(f"*{topic}*") if redis.ttl(name) < 0]
    assert left == []


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
            got.append(delivery.item_id)
            delivery.ack()

    workers = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for worker in workers:
        worker.start()
    for item in items:
        queue.publish(topic, item)
    for worker in workers:
        worker.join(20)
    assert sorted(got) == items


def test_a_dead_port_is_unreachable_and_no_secret_is_said(topic: str) -> None:
    queue = RedisQueue(f"redis://:hidden-word@127.0.0.1:{closed_port()}/0")
    for ask in (
        lambda: queue.publish(topic, 1),
        lambda: queue.subscribe(topic, owner="a").receive(0),
    ):
        with pytest.raises(Unreachable) as caught:
            ask()
        assert "hidden-word" not in f"{caught.value} {queue!r} {queue.__dict__}"


def test_wrong_credentials_are_refused(engines: EngineAddresses, topic: str) -> None:
    port = engines.redis_url.rpartition(":")[2]
    with pytest.raises(Refused):
        RedisQueue(f"redis://:wrong@127.0.0.1:{port}").publish(topic, 1)
