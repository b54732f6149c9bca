"""Leases are kept while work moves, whatever else hangs."""

from __future__ import annotations

import threading

import pytest

from bagline.embedded import EngineAddresses
from bagline.model.subject import item_subject
from bagline.services.queue.redis import RedisQueue
from bagline.services.state.redis import RedisState
from bagline.worker.heartbeat import Heartbeat, Held
from bagline.worker.progress import Progress
from support.engines import fresh_id, fresh_name

pytestmark = pytest.mark.engines

LEASE_SECONDS = 1.0


def test_a_registry_that_hangs_costs_no_lease(engines: EngineAddresses) -> None:
    item_id, topic, answers = fresh_id(), fresh_name("topic"), threading.Event()
    asked = threading.Event()

    def look() -> None:
        asked.set()
        answers.wait()

    state, queue = RedisState(engines.redis_url), RedisQueue(engines.redis_url)
    queue.publish(topic, item_id)
    delivery = queue.subscribe(topic, owner="host/1").receive(5)
    lease = state.take_lease(item_subject(item_id), owner="host/1", seconds=LEASE_SECONDS)
    assert delivery is not None
    assert lease is not None
    heart = Heartbeat(state, lease_seconds=LEASE_SECONDS, stall_seconds=60)
    heart.hold(Held(lease, delivery, Progress("slow"), look))
    heart.start()
    assert asked.wait(5)
    assert not threading.Event().wait(3 * LEASE_SECONDS)
    state.check_lease(lease)  # raises when it is lost
    answers.set()
    heart.stop()
    state.drop_lease(lease)
    delivery.ack()
    state.close()
    queue.close()
