"""Limits by address and by key: bounded in memory, and felt by nobody else."""

from __future__ import annotations

from bagline.server.pacing import ADDRESSES, WINDOW_SECONDS, Failures, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_failures_are_counted_by_address_and_forgotten_after_a_minute() -> None:
    clock = Clock()
    failures = Failures(2, clock)
    assert [failures.note("192.0.2.1") for _ in range(3)] == [1, 2, 3]
    assert failures.is_too_many(3)
    assert not failures.is_too_many(2)
    assert failures.note("192.0.2.2") == 1
    clock.now += WINDOW_SECONDS
    assert failures.note("192.0.2.1") == 1


def test_a_client_with_a_whole_network_of_addresses_is_one() -> None:
    failures = Failures(2, Clock())
    assert failures.note("2001:db8:1:2::1") == 1
    assert failures.note("2001:db8:1:2:ffff::9") == 2
    assert failures.note("2001:db8:1:3::1") == 1
    assert failures.note("::ffff:192.0.2.1") == 1
    assert failures.note("192.0.2.1") == 2


def test_a_million_addresses_take_no_more_memory_than_ten_thousand() -> None:
    failures = Failures(2, Clock())
    for number in range(ADDRESSES * 3):
        failures.note(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(failures) == ADDRESSES
    failures.note("x" * 10_000_000)  # what a proxy says may be anything
    assert len(failures) == ADDRESSES


def test_a_key_has_its_own_bucket_and_it_fills_again() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert [pace.take(1, 2.0) for _ in range(21)] == [True] * 20 + [False]
    assert pace.take(2, 2.0)
    clock.now += 1.0
    assert [pace.take(1, 2.0) for _ in range(3)] == [True, True, False]
    for _ in range(10):  # who does not wait is not made to wait longer
        clock.now += 0.25
        pace.take(1, 2.0)
    clock.now += 0.5
    assert pace.take(1, 2.0)


def test_no_limit_is_no_limit() -> None:
    pace = Pace(Clock())
    assert all(pace.take(1, 0.0) for _ in range(10_000))
