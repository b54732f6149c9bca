"""The line over real nsqd: every bag once, whatever nsqd's limits, restarts and repeats."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bagline.app import App
from bagline.config import QueueSettings
from bagline.embedded import EngineAddresses
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.line import INGEST_LINE, IngestStep
from bagline.model import times
from bagline.model.subject import item_subject
from bagline.model.workitem import WorkItem, WorkResult
from bagline.wiring import LINES, build_services
from bagline.worker.line import Line
from bagline.worker.reconciler import Reconciler
from bagline.worker.stage import Done, Outcome, Stage
from support.bags import BagBuilder
from support.line import LineUnderTest, line_under_test
from support.nsq import Lookupd, Nsqd, lookupd_running, nsqd_running

pytestmark = pytest.mark.engines

TOPICS = [step.topic for step in INGEST_LINE]


@pytest.fixture
def lookupd(tmp_path: Path) -> Iterator[Lookupd]:
    with lookupd_running(tmp_path / "lookupd") as running:
        yield running


@contextmanager
def line_over(
    *nsqds: Nsqd, engines: EngineAddresses, folder: Path, lookupd: Lookupd, **work: object
) -> Iterator[LineUnderTest]:
    queue = QueueSettings(
        kind="nsq", nsqlookupd=lookupd.http, nsqd_http=",".join(nsqd.http for nsqd in nsqds)
    )
    with line_under_test(engines, folder, queue=queue, **work) as line:
        yield line


@contextmanager
def another_worker(line: LineUnderTest, steps: Line = INGEST_LINE) -> Iterator[None]:
    """Workers with connections of their own, as another process has them."""
    services = build_services(line.settings)
    with LineUnderTest(App(line.settings, services), line.institution).working(steps):
        yield
    services.close()


@contextmanager
def reconciling(line: LineUnderTest) -> Iterator[None]:
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.5):
            line.app.reconciler().look()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def deposit(line: LineUnderTest, count: int) -> list[WorkItem]:
    return [
        line.deposit(
            f"bag-{n}.tar", BagBuilder(f"bag-{n}").payload("a.txt", f"text {n}".encode()).tar()
        )
        for n in range(count)
    ]


def ingestions(line: LineUnderTest, items: list[WorkItem]) -> Counter[int]:
    """How many ingestions the Registry knows of each item's object."""
    found: Counter[int] = Counter()
    for item in items:
        object_id = line.item(item.id).intellectual_object_id
        events = line.services.registry.events(object_id=object_id)
        found[item.id] = sum(event.event_type == "ingestion" for event in events)
    return found


def is_idle(line: LineUnderTest) -> bool:
    return all(
        depth.due + depth.delayed + depth.in_flight == 0
        for depth in line.services.queue.depth(TOPICS)
    )


def test_bags_travel_over_two_nsqd(
    engines: EngineAddresses, tmp_path: Path, lookupd: Lookupd
) -> None:
    with (
        nsqd_running(tmp_path / "a", lookupd=lookupd) as a,
        nsqd_running(tmp_path / "b", lookupd=lookupd) as b,
        line_over(a, b, engines=engines, folder=tmp_path / "line", lookupd=lookupd) as line,
    ):
        first = deposit(line, 3)
        a.stop()  # what is published now goes to the other one
        late = line.deposit("late.tar", BagBuilder("late").payload("a.txt", b"late").tar())
        a.start()
        with another_worker(line):
            ended = line.run(*first, late)
        assert {item.status for item in ended} == {"Success"}
        assert set(ingestions(line, ended).values()) == {1}
        line.until(lambda: is_idle(line), "every topic to be empty")


class Slow(Stage):
    """Works on an item for longer than nsqd keeps any message."""

    name = "slow"
    seconds = 15.0

    def __init__(self, runs: list[int]) -> None:
        self._runs = runs

    def run(self, job: IngestJob) -> Outcome:
        self._runs.append(job.item.id)
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            job.progress.moved()
            job.pause_point()
            time.sleep(0.1)
        return Done()


def slow_line(runs: list[int]) -> Line:
    def make() -> Stage:
        return Slow(runs)

    slow = IngestStep(make, name="slow", topic="slow", work_stage="Slow", done_note="Slept well")
    return INGEST_LINE.with_step_after("validator", slow)


def test_an_item_in_work_beyond_both_limits_of_nsqd_is_not_overtaken(
    engines: EngineAddresses, tmp_path: Path, lookupd: Lookupd
) -> None:
    runs: list[int] = []
    steps = slow_line(runs)
    with (
        nsqd_running(
            tmp_path / "a", lookupd=lookupd, msg_timeout="2s", max_msg_timeout="6s"
        ) as nsqd,
        line_over(nsqd, engines=engines, folder=tmp_path / "line", lookupd=lookupd) as line,
    ):
        nsqd.prepare([*TOPICS, "slow"])
        (item,) = deposit(line, 1)
        with another_worker(line, steps):
            (ended,) = line.run(item, line=steps)
        assert ended.status == "Success"
        assert runs == [item.id]
        slow = nsqd.channel("slow")
        assert slow["requeue_count"] > 1  # it was put back, and others gave it back
        assert slow["timeout_count"] == 0
        line.until(lambda: is_idle(line), "every topic to be empty")


def test_every_bag_arrives_once_though_nsqd_restarts_and_dies(
    engines: EngineAddresses, tmp_path: Path, lookupd: Lookupd
) -> None:
    with (
        nsqd_running(tmp_path / "a", lookupd=lookupd, msg_timeout="3s") as a,
        nsqd_running(tmp_path / "b", lookupd=lookupd, msg_timeout="3s") as b,
        line_over(
            a,
            b,
            engines=engines,
            folder=tmp_path / "line",
            lookupd=lookupd,
            reconcile_age_seconds=2.0,
        ) as line,
    ):
        for nsqd in (a, b):
            nsqd.prepare(TOPICS)
        items = deposit(line, 12)
        with another_worker(line), line.working(), reconciling(line):
            some_are_done(line, items, 2)
            a.stop()
            a.start()
            some_are_done(line, items, 5)
            for nsqd in (a, b):  # what they held in memory is gone: the reconciler heals it
                nsqd.kill()
                nsqd.start()
            ended = [line.until_ended(item.id, seconds=90) for item in items]
        assert {item.status for item in ended} == {"Success"}
        assert set(ingestions(line, ended).values()) == {1}


def some_are_done(line: LineUnderTest, items: list[WorkItem], count: int) -> None:
    def enough() -> bool:
        return sum(line.item(item.id).status == "Success" for item in items) >= count

    line.until(enough, f"{count} bags to be done", seconds=60)


# -- what was lost, where the queue cannot be asked about one item
FIRST = TOPICS[0]


@pytest.fixture
def idle_line(
    engines: EngineAddresses, tmp_path: Path, lookupd: Lookupd
) -> Iterator[LineUnderTest]:
    """Without workers: what is published stays due."""
    with (
        nsqd_running(tmp_path / "a", lookupd=lookupd) as nsqd,
        line_over(
            nsqd,
            engines=engines,
            folder=tmp_path / "line",
            lookupd=lookupd,
            reconcile_age_seconds=0.2,
        ) as line,
    ):
        nsqd.prepare([FIRST])
        yield line


def lose(line: LineUnderTest, item: WorkItem) -> None:
    """Its message is gone, as if it had never been published."""
    subscription = line.services.queue.subscribe(FIRST, owner="thief/1")
    delivery = subscription.receive(5)
    assert delivery is not None
    assert delivery.number == item.id
    delivery.ack()
    subscription.close()
    line.until(lambda: line.services.queue.depth([FIRST])[0].in_flight == 0, "an empty topic")
    time.sleep(0.3)  # rested


def test_a_lost_message_is_published_again_once(idle_line: LineUnderTest) -> None:
    (item,) = deposit(idle_line, 1)
    lose(idle_line, item)
    reconciler = idle_line.app.reconciler()
    assert reconciler.look() == [item.id]
    assert reconciler.look() == []
    assert idle_line.app.reconciler().look() == []  # another one, which knows nothing of this
    assert idle_line.services.queue.depth([FIRST])[0].due == 1


def test_an_item_that_waits_for_its_next_attempt_is_not_lost(idle_line: LineUnderTest) -> None:
    (item,) = deposit(idle_line, 1)
    state = idle_line.services.state
    lease = state.take_lease(item_subject(item.id), owner="host/1", seconds=5)
    assert lease is not None
    state.commit(lease, result=WorkResult(operation=FIRST, attempt=3))
    state.drop_lease(lease)
    lose(idle_line, item)
    assert idle_line.app.reconciler().look() == []


def test_beside_delayed_messages_an_item_counts_as_lost_after_an_hour(
    idle_line: LineUnderTest,
) -> None:
    (item,) = deposit(idle_line, 1)
    lose(idle_line, item)
    idle_line.services.queue.publish(FIRST, 1_000_000, delay=600)
    idle_line.until(
        lambda: idle_line.services.queue.depth([FIRST])[0].delayed == 1, "the delayed message"
    )
    assert idle_line.app.reconciler().look() == []
    in_two_hours = times.from_nanoseconds(time.time_ns() + 7_200 * times.NANOS_PER_SECOND)
    later = Reconciler(LINES, idle_line.services, idle_line.settings, clock=lambda: in_two_hours)
    assert later.look() == [item.id]
    lose(idle_line, item)
    assert later.look() == []
