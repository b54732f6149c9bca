"""Fixity while its clock jumps, and while a store is away: nothing bad is said, nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest

from bagline.errors import Unreachable
from bagline.lines.fixity import running
from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.lines.fixity.running import FixityRunner
from bagline.model.copy_checks import PROVEN
from bagline.model.times import Timestamp, is_set, later, now
from bagline.model.workitem import STATUS_SUCCESS
from bagline.services.objects.base import Check, Objects
from support.bags import BagBuilder
from support.fixity import DISTANT, copies, flipped, held_copies, put, repairing
from support.line import LineUnderTest

pytestmark = pytest.mark.engines

FILES = 20
AT_ONCE = 4
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
YEAR = 365 * DAY


@pytest.fixture
def kept(line: LineUnderTest, monkeypatch: pytest.MonkeyPatch) -> KeptCopies:
    """Many batches of few copies; an event for each look."""
    monkeypatch.setattr(running, "AT_ONCE", AT_ONCE)
    bag = BagBuilder()
    for number in range(FILES):
        bag.payload(f"{number}.txt", b"%d" % number)
    (item,) = line.run(line.deposit("bag.tar", bag.tar()))
    assert item.status == STATUS_SUCCESS, item.note
    return repairing(KeptCopies(line.services, line.settings), "auto")


@dataclass
class MovedClock:
    """Stands still but when it is moved. `jump` after it was read so often."""

    at: Timestamp
    jump: timedelta = timedelta()
    after: int = 0
    asked: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> Timestamp:
        with self.lock:
            self.asked += 1
            if self.asked == self.after:
                self.at = later(self.at, self.jump)
            return self.at

    def move(self, by: timedelta) -> None:
        with self.lock:
            self.at = later(self.at, by)


def a_run(kept: KeptCopies, clock: Callable[[], Timestamp]) -> running.FixityRun:
    return FixityRunner(replace(kept, clock=clock), sleep=lambda _: None).run()


def failed(kept: KeptCopies) -> list[str]:
    names = sorted({copy.identifier for copy in copies(kept)})
    found = kept.services.registry.files(names).values()
    return [
        event.outcome_information
        for file in found
        for event in file.premis_events
        if event.outcome != "Success"
    ]


READINGS = (1, 2, 3, 5, 8, 13, 21)
"""At which time that it is read the clock jumps, in rounds a week apart."""


def rounds() -> list[tuple[Timestamp, int]]:
    first = later(now(), DISTANT)
    return [(later(first, number * 7 * DAY), after) for number, after in enumerate(READINGS)]


def test_a_clock_that_jumps_a_year_ahead_and_back_costs_nothing_but_looks(
    kept: KeptCopies,
) -> None:
    """What was proven just before is a year old then."""
    whole = len(copies(kept))
    for today, after in rounds():
        ahead = a_run(kept, MovedClock(today, YEAR, after))
        assert ahead.asked == ahead.proven >= whole
        dated_ahead = sum(copy.asked_at > later(today, DAY) for copy in copies(kept))
        assert dated_ahead > 0
        back = a_run(kept, standing(later(today, HOUR)))
        assert (back.asked, back.proven, back.bad) == (dated_ahead, dated_ahead, 0)
        assert_as_of(kept, later(today, HOUR), since=today)
        assert a_run(kept, standing(later(today, HOUR))).asked == 0
        assert a_run(kept, standing(later(today, 2 * DAY))).proven == whole
    assert failed(kept) == []


def test_a_clock_that_jumps_an_hour_back_costs_nothing_but_looks(kept: KeptCopies) -> None:
    """What a thread took after it may be free for another that read the clock before."""
    whole = len(copies(kept))
    for today, after in rounds():
        before = later(today, -HOUR)
        record = a_run(kept, MovedClock(today, -HOUR, after))
        assert record.asked == record.proven >= whole
        assert_as_of(kept, before, since=before, until=today)
        assert a_run(kept, standing(before)).asked == 0
        assert a_run(kept, standing(later(today, 2 * DAY))).proven == whole
    assert failed(kept) == []


def standing(moment: Timestamp) -> Callable[[], Timestamp]:
    return lambda: moment


def assert_as_of(
    kept: KeptCopies, moment: Timestamp, *, since: Timestamp, until: Timestamp | None = None
) -> None:
    """Every copy proven between; none held."""
    for copy in copies(kept):
        assert copy.outcome == PROVEN
        assert since <= copy.proven_at <= (until or moment), copy.url
        assert since <= copy.asked_at <= (until or moment), copy.url
    assert held_copies(replace(kept, clock=lambda: moment)) == 0
    for name in {copy.identifier for copy in copies(kept)}:
        (known,) = kept.services.registry.files([name]).values()
        assert since <= known.last_fixity_check <= (until or moment)


def test_a_repair_while_the_clock_jumps_holds_nothing_afterwards(kept: KeptCopies) -> None:
    today = later(now(), DISTANT)
    for day, after in enumerate((4, 6, 9, 12), start=1):
        bad, _ = copies(kept, "7.txt")
        put(kept, bad, flipped(b"7"))
        moment = later(today, day * 10 * DAY)
        record = a_run(kept, MovedClock(moment, YEAR, after))
        # While the clock is a year ahead a hold has lapsed: then two may have found it.
        assert record.repaired == record.bad >= 1
        assert kept.services.objects.read(bad.bucket, bad.uuid) == b"7"
        soon = later(moment, HOUR)
        a_run(kept, standing(soon))
        assert_as_of(kept, soon, since=moment)
        assert not is_set(kept.book.repaired_until(bad.object_identifier, now=soon))


class Away:
    """A real store, of which one bucket does not answer while `is_away` says so."""

    def __init__(self, objects: Objects, bucket: str, is_away: Callable[[], bool]) -> None:
        self._objects = objects
        self._bucket = bucket
        self._is_away = is_away
        self.unanswered = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def verify_many(self, bucket: str, checks: Sequence[Check]) -> list[Any]:
        found = list(self._objects.verify_many(bucket, checks))
        if bucket == self._bucket and self._is_away():  # after some of them were answered
            self.unanswered += 1
            raise Unreachable("nobody answers any more")
        return found


class Looks(threading.Event):
    """It is to stop after so many looks; to wait for one moves the clock."""

    def __init__(self, looks: int, clock: MovedClock) -> None:
        super().__init__()
        self._left = looks
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._left -= 1
        if self._left < 0:
            self.set()
        else:
            self._clock.move(timedelta(seconds=timeout or 0))
        return self.is_set()


def test_a_store_that_is_away_for_an_hour_is_caught_up_with_and_none_waits_for_it(
    kept: KeptCopies,
) -> None:
    clock = MovedClock(later(now(), DISTANT))
    lost, *_ = {copy.bucket for copy in copies(kept)}
    began = clock.at
    back = later(began, HOUR)
    store = Away(kept.services.objects, lost, lambda: clock.at < back)
    services = replace(kept.services, objects=cast("Objects", store))
    away = replace(kept, services=services, clock=clock)
    FixityRunner(
        away, stop=Looks(1, clock), sleep=lambda seconds: clock.move(timedelta(seconds=seconds))
    ).watch()
    assert store.unanswered > 0
    for copy in copies(kept):
        assert (copy.proven_at < began) is (copy.bucket == lost), copy.url
    assert clock.at < back  # a run does not wait for as long as it takes
    assert_nothing_said(away)
    clock.move(HOUR)
    FixityRunner(away, stop=Looks(1, clock), sleep=lambda _: None).watch()
    assert {copy.outcome for copy in copies(kept)} == {PROVEN}
    for copy in copies(kept):
        assert (copy.proven_at >= back) is (copy.bucket == lost), copy.url
    assert_nothing_said(away)


def assert_nothing_said(kept: KeptCopies) -> None:
    assert kept.book.bad() == []
    assert failed(kept) == []
    assert held_copies(kept) == 0
    assert {run.bad for run in kept.book.runs()} == {0}
