"""How a worker spares a store that suffers."""

from __future__ import annotations

import threading
import time

import pytest

from bagline.errors import Gone, SlowDown, Unreachable
from bagline.services.objects.fan import Fan
from bagline.services.objects.places import asking_for
from bagline.services.objects.throttle import Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fail(throttle: Throttle, fault: Exception) -> None:
    with pytest.raises(type(fault)), throttle.place():
        raise fault


def succeed(throttle: Throttle, clock: Clock, *, seconds: float = 0.01, times: int = 1) -> None:
    for _ in range(times):
        with throttle.place():
            clock.now += seconds


def test_slow_down_halves_once_for_many_messengers(clock: Clock) -> None:
    throttle = Throttle(most=64, clock=clock)
    for _ in range(10):
        fail(throttle, SlowDown("503"))
    assert throttle.limit == 32
    clock.now += 2
    fail(throttle, SlowDown("503"))
    assert throttle.limit == 16


def test_it_never_goes_below_the_least(clock: Clock) -> None:
    throttle = Throttle(most=64, least=4, clock=clock)
    for _ in range(10):
        clock.now += 2
        fail(throttle, SlowDown("503"))
    assert throttle.limit == 4


def test_it_comes_back_by_one_place_a_round(clock: Clock) -> None:
    throttle = Throttle(most=64, clock=clock)
    fail(throttle, SlowDown("503"))
    succeed(throttle, clock, times=33)
    assert throttle.limit == 33
    succeed(throttle, clock, times=5000)
    assert throttle.limit == 64


def test_other_faults_change_nothing(clock: Clock) -> None:
    throttle = Throttle(most=64, clock=clock)
    for fault in (Unreachable("reset"), Gone("no such key")):
        fail(throttle, fault)
    assert throttle.limit == 64


def test_answers_that_take_longer_and_longer_shrink_it(clock: Clock) -> None:
    throttle = Throttle(most=64, clock=clock)
    succeed(throttle, clock, seconds=0.05, times=200)
    succeed(throttle, clock, seconds=3.0, times=20)
    assert throttle.limit < 64


def test_long_requests_say_nothing_of_the_store(clock: Clock) -> None:
    throttle = Throttle(most=64, clock=clock)
    succeed(throttle, clock, seconds=0.05, times=200)
    for _ in range(20):
        with throttle.place(is_brief=False):
            clock.now += 60
    assert throttle.limit == 64


def test_a_place_is_waited_for_and_given_on() -> None:
    throttle = Throttle(most=2, least=1)
    inside = threading.Semaphore(0)
    leave = threading.Event()

    def request() -> None:
        with throttle.place():
            inside.release()
            leave.wait(10)

    threads = [threading.Thread(target=request) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert inside.acquire(timeout=5)
    assert inside.acquire(timeout=5)
    assert not inside.acquire(timeout=0.2)
    leave.set()
    assert inside.acquire(timeout=5)
    for thread in threads:
        thread.join(timeout=5)


def test_a_bag_of_many_requests_leaves_one_of_few_its_share() -> None:
    throttle = Throttle(most=1, least=1)
    fan = Fan("bags")
    order: list[str] = []
    leave = threading.Event()

    def request(bag: str) -> None:
        with throttle.place():
            order.append(bag)
            leave.wait(10)

    with asking_for("a large bag"):
        many = [fan.submit(request, "large") for _ in range(40)]
    with asking_for("a small bag"):
        few = [fan.submit(request, "small") for _ in range(3)]
    deadline = time.monotonic() + 10
    while throttle.waiting < 42 and time.monotonic() < deadline:
        time.sleep(0.01)
    leave.set()
    for future in many + few:
        future.result(10)
    fan.close()
    assert len(order) == 43
    assert order[:8].count("small") == 3
