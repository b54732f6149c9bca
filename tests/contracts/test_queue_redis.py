"""What the queue in Redis promises beyond the base: an id waits once, and can be asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import valkey

from bagline.embedded import EngineAddresses
from bagline.errors import Refused, Unreachable
from bagline.services.queue.base import Delivery, Queue
from bagline.services.queue.redis import RedisQueue
from support.engines import closed_port, fresh_id, fresh_name

pytestmark = pytest.mark.engines

SOON = 0.02


@pytest.fixture(scope="module")
def queue(engines: EngineAddresses) -> Iterator[Queue]:
    made = RedisQueue(engines.redis_url, visibility_seconds=0.8)
    yield made
    made.close()


@pytest.fixture
def topic() -> str:
    return fresh_name("topic")


@pytest.fixture
def redis(engines: EngineAddresses) -> valkey.Valkey:
    return valkey.Valkey.from_url(engines.redis_url)


def get(queue: Queue, topic: str, owner: str = "host/1") -> Delivery:
    delivery = queue.subscribe(topic, owner=owner).receive(2)
    assert delivery is not None
    return delivery


def nothing(queue: Queue, topic: str) -> bool:
    return queue.subscribe(topic, owner="nobody/0").receive(SOON) is None


def test_an_id_waits_once(queue: Queue, topic: str) -> None:
    item = fresh_id()
    queue.publish(topic, item)
    queue.publish(topic, item)
    delivery = get(queue, topic)
    queue.publish(topic, item)  # in flight: left as it is
    assert nothing(queue, topic)
    delivery.ack()
    assert nothing(queue, topic)


def test_a_publish_brings_a_delayed_item_forward_and_never_back(queue: Queue, topic: str) -> None:
    item = fresh_id()
    queue.publish(topic, item, delay=60)
    queue.publish(topic, item)
    queue.publish(topic, item, delay=60)
    assert get(queue, topic).number == item


def test_what_the_dead_held_is_due_at_once_and_only_that(queue: Queue, topic: str) -> None:
    mine, theirs = fresh_id(), fresh_id()
    for item in (theirs, mine):
        queue.publish(topic, item)
        time.sleep(0.002)
    get(queue, topic, f"dead|{topic}/1")
    kept = get(queue, topic, "live/2")
    assert queue.reclaim(lambda owner: owner == f"dead|{topic}/1") == 1
    assert get(queue, topic).number == theirs
    assert nothing(queue, topic)
    assert kept.number == mine
    kept.ack()


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
