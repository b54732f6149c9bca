"""From its first write to preserved copies to its end a re-ingest can only go forward.

It is stopped before and after each write of its stages 06 to 08: by a kill, by a store that
refuses, by a person's cancel, by a row that somebody else saved as Cancelled. Afterwards each
copy must hash to what the Registry has of it.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import typer

from bagline.app import App
from bagline.cli import control
from bagline.duty import Duty
from bagline.errors import Refused
from bagline.lines.ingest.line import INGEST_LINE
from bagline.services.queue.base import Delivery
from support.bags import BagBuilder
from support.line import LineUnderTest, is_kept

pytestmark = [pytest.mark.engines, pytest.mark.timeout(600)]

CHANGING = ("preservation-uploader", "preservation-verifier", "recorder")
WRITES = {
    "objects": {"relay_many"},
    "state": {"commit"},
    "registry": {
        "begin_work_item",
        "save_work_item",
        "save_intellectual_object",
        "create_files",
        "update_file",
        "create_events",
        "save_report",
    },
}


class Killed(BaseException):
    """As kill -9: nothing that runs afterwards may know of it."""


class Tripwire:
    """Calls `trip` at the instant of that number; before a write is one, after it another."""

    def __init__(self, trip: Callable[[], None], instant: int) -> None:
        self._trip, self._instant = trip, instant
        self.passed = 0

    @property
    def has_tripped(self) -> bool:
        return self.passed >= self._instant

    def step(self) -> None:
        self.passed += 1
        if self.passed == self._instant:
            self._trip()

    def around(self, service: Any, writes: set[str]) -> Any:
        wire = self

        class Wired:
            def __getattr__(self, name: str) -> Any:
                found = getattr(service, name)
                if name not in writes:
                    return found

                def call(*arguments: Any, **named: Any) -> Any:
                    wire.step()
                    answer = found(*arguments, **named)
                    if name == "relay_many":  # a generator: it writes as it is taken from
                        return _stepping(answer, wire.step)
                    wire.step()
                    return answer

                return call

        return Wired()


def _stepping(answers: Any, step: Callable[[], None]) -> Any:
    for answer in answers:
        step()
        yield answer


def a_bag(name: str, words: bytes) -> BagBuilder:
    bag = BagBuilder(name).payload("same.txt", b"the same\n")
    return bag.payload("one.txt", words + b" one\n").payload("two.txt", words + b" two\n")


class Case:
    """A re-ingest with changed files, at Store."""

    def __init__(self, line: LineUnderTest, name: str) -> None:
        self.line, self.name = line, name
        self.old, self.new = a_bag(name, b"old"), a_bag(name, b"new")
        self.item = line.deposit(f"{name}.tar", self.old.tar())
        self.as_it_was = self.item

    def send_changed(self) -> None:
        self.item = self.line.deposit(f"{self.name}.tar", self.new.tar())

    def is_at_store(self) -> bool:
        self.as_it_was = self.line.item(self.item.id)
        return self.as_it_was.stage == "Store"

    def run_until(self, wire: Tripwire) -> None:
        """Stages 06 to 08, one by one, on this thread."""
        services = self.line.services
        wired = replace(
            services,
            **{name: wire.around(getattr(services, name), some) for name, some in WRITES.items()},
        )
        app = App(self.line.settings, wired)
        worker = app.worker([])
        for name in CHANGING:
            step = app.ingest_line.by_name(name)
            assert step is not None
            delivery = self._delivered(step.topic)
            if delivery is None:
                return
            try:
                worker.handle(step, step.stage(), delivery)
            except Killed:  # its lease and its delivery stay until the dead are buried
                return

    def _delivered(self, topic: str) -> Delivery | None:
        """Of this item; those of other cases, which come in any order, go back."""
        subscription = self.line.services.queue.subscribe(topic, owner="test", in_flight=100)
        others: list[Delivery] = []
        try:
            while (delivery := subscription.receive(0.2)) is not None:
                if delivery.number == self.item.id:
                    return delivery
                others.append(delivery)
        finally:
            for other in others:
                other.requeue(0.0)
            subscription.close()
        return None

    def requeue_as_told(self) -> None:
        """Where an operator is called: what the note says."""
        item = self.line.item(self.item.id)
        told = re.search(
            rf'bagline requeue {item.id}(?: --stage "?([A-Z][A-Za-z ]+)"?)?$', item.note
        )
        assert told, item.note
        step = control._step_for(INGEST_LINE, item, told[1] or "")
        item.stage, item.status, item.retry = step.work_stage, "Pending", True
        self.line.services.registry.save_work_item(item)
        self.line.services.queue.publish(step.topic, item.id)

    def judge(self) -> None:
        """Bytes and records agree, and are this bag's."""
        registry, objects = self.line.services.registry, self.line.services.objects
        for path, body in self.new.files().items():
            if not is_kept(path):
                continue
            identifier = f"test.edu/{self.new.name}/{path}"
            file = registry.files([identifier])[identifier]
            for bucket in self.line.preservation_buckets():
                found = hashlib.sha256(objects.read(bucket, file.uuid)).hexdigest()
                assert found == file.newest_digest("sha256"), (path, bucket)
                assert found == hashlib.sha256(body).hexdigest(), (path, bucket)


def kill(_: Case) -> None:
    raise Killed


def halt(_: Case) -> None:
    raise Refused("somebody took our rights away")


def cancel(case: Case) -> None:
    registry = case.line.services.registry
    before = registry.work_item(case.item.id)
    with pytest.raises(typer.Exit):
        control._cancelled(registry, INGEST_LINE, case.item.id, force=False, reason="")
    assert registry.work_item(case.item.id) == before


def cancelled_by_another(case: Case) -> None:
    """Who knows nothing of this rule, and saves the row as it was when the page was opened."""
    item = case.as_it_was
    item.status, item.retry = "Cancelled", False
    case.line.services.registry.save_work_item(item)
    case.line.services.queue.publish("ingest09_cleanup", item.id)


def failed_by_another(case: Case) -> None:
    item = case.line.item(case.item.id)
    item.status, item.retry, item.note = "Failed", False, "It went wrong"
    case.line.services.registry.save_work_item(item)
    raise Killed


def cases_at_store(line: LineUnderTest, names: Iterable[str]) -> list[Case]:
    cases = [Case(line, name) for name in names]
    line.run(*(case.item for case in cases), seconds=240)
    for case in cases:
        case.send_changed()
    first = [s.name for s in line.app.ingest_line if s.name not in (*CHANGING, "cleanup")]
    with line.working(only=tuple(first)):
        line.until(lambda: all(case.is_at_store() for case in cases), "Store", seconds=240)
    return cases


def finish(line: LineUnderTest, cases: list[Case]) -> None:
    """Workers and reconciler go on, and an operator does what notes say, until all have ended."""
    left = cases
    line.services.state.break_leases(lambda _: True)
    line.services.queue.reclaim(lambda _: True)
    for case in cases:  # none of them waits for a delay that only this test is long for
        step = line.app.ingest_line.by_work_stage(line.item(case.item.id).stage)
        assert step is not None
        line.services.queue.publish(step.topic, case.item.id)
    for _ in range(5):
        with line.working(), reconciling(line):
            ended = [line.until_ended(case.item.id, seconds=120) for case in left]
        left = [c for c, item in zip(left, ended, strict=True) if item.status == "Suspended"]
        for case in left:
            case.requeue_as_told()
        if not left:
            return
    raise AssertionError([line.item(case.item.id).note for case in left])


@contextmanager
def reconciling(line: LineUnderTest) -> Iterator[None]:
    """One look is not enough: it passes over what a worker holds just then."""
    stop, reconciler = threading.Event(), line.app.reconciler()
    act = partial(reconciler.look, min_age_seconds=0.0)
    duty = Duty("reconciler", act, stop=stop, every=1.0, at_once=True).start()
    try:
        yield
    finally:
        stop.set()
        duty.join(10)


MOST_INSTANTS = 60


@pytest.mark.parametrize(
    ("stop", "every"),
    [(kill, 1), (halt, 3), (cancel, 6), (cancelled_by_another, 3), (failed_by_another, 3)],
)
def test_a_reingest_stopped_at_any_instant_ends_with_bytes_and_records_that_agree(
    line: LineUnderTest, stop: Callable[[Case], None], every: int
) -> None:
    numbers = range(1, instants(line) + 1, every)
    cases = cases_at_store(line, [f"bag{number}" for number in numbers])
    for number, case in zip(numbers, cases, strict=True):
        wire = Tripwire(lambda case=case: stop(case), number)  # type: ignore[misc]
        case.run_until(wire)
        assert wire.has_tripped, number
    finish(line, cases)
    for case in cases:
        assert line.item(case.item.id).status == "Success"
        case.judge()


def instants(line: LineUnderTest) -> int:
    """How many there are in an undisturbed run."""
    (case,) = cases_at_store(line, ["undisturbed"])
    wire = Tripwire(lambda: None, MOST_INSTANTS)
    case.run_until(wire)
    assert not wire.has_tripped
    finish(line, [case])
    case.judge()
    assert wire.passed > 20
    return wire.passed
