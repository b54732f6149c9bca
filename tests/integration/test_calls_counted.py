"""What a run of each stage asks of the Registry and of Redis: counted, and never one a file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import valkey.connection

from bagline.app import App
from bagline.embedded import EngineAddresses
from bagline.lines.ingest.line import INGEST_LINE
from bagline.model.workitem import WorkItem
from bagline.services.queue.redis import RedisQueue
from bagline.services.registry.base import Registry
from bagline.services.state.base import BATCH_FILES
from bagline.worker import progress
from support.bags import BagBuilder
from support.line import LineUnderTest, fresh_database, line_under_test

pytestmark = pytest.mark.engines

MANY = 1_000
TAG_FILES = 7


class Counted:
    """Calls of each method of what it stands before."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if not callable(found):
            return found

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return found(*args, **kwargs)

        return counted


class Asking:
    """A line whose calls are counted; its queue is in a database of its own."""

    def __init__(
        self, line: LineUnderTest, queue: RedisQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.registry: Registry = line.services.registry
        self.counted = Counted(self.registry)
        services: Any = replace(line.services, queue=queue, registry=self.counted)
        self.line = LineUnderTest(App(line.settings, services), line.institution)
        self.round_trips = 0
        number = int(line.settings.redis_url.reveal().rpartition("/")[2])
        kind: Any = valkey.connection.AbstractConnection
        send = kind.send_packed_command

        def counted(connection: Any, *args: Any, **kwargs: Any) -> Any:
            self.round_trips += connection.db == number
            return send(connection, *args, **kwargs)

        monkeypatch.setattr(kind, "send_packed_command", counted)
        # Shown four times a second, however little is done: counted they would be time.
        monkeypatch.setattr(progress, "PUBLISH_SECONDS", 3600.0)

    def deposit(self, name: str, files: int) -> WorkItem:
        return self.line.deposit(name, a_bag(files))

    def item(self, number: int) -> WorkItem:
        found = self.registry.work_item(number)
        assert found is not None
        return found

    def walk(self, item: WorkItem) -> dict[str, tuple[Counter[str], int]]:
        """What each stage asked: of the Registry, and how many round trips to Redis it made."""
        told = {}
        for step in INGEST_LINE:
            self.counted.calls.clear()
            before = self.round_trips
            with self.line.working(only=(step.name,)):
                self._wait_until_past(item.id, step.work_stage)
            told[step.name] = Counter(self.counted.calls), self.round_trips - before
        assert self.item(item.id).status == "Success"
        return told

    def _wait_until_past(self, number: int, stage: str) -> None:
        def is_past() -> bool:
            item = self.item(number)
            return item.is_completed or item.stage != stage

        self.line.until(is_past, f"{stage} to end", seconds=120, item=number)


@pytest.fixture
def asking(
    engines: EngineAddresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Asking]:
    queue = RedisQueue(fresh_database(engines))
    # Leases are renewed, and cancellations looked for, by the clock: here they are left out.
    with line_under_test(engines, tmp_path, lease_seconds=3600.0) as line:
        yield Asking(line, queue, monkeypatch)
    queue.close()


def a_bag(files: int) -> bytes:
    bag = BagBuilder()
    for number in range(files):
        bag.payload(f"{number:04d}.txt", b"%d" % number)
    return bag.tar()


IN_ANY = Counter(begin_work_item=1, save_work_item=1)
"""What every run of a stage asks the Registry: the item and those that stand against it, in the
step that says it has begun; and how it ended."""
BESIDES = {
    "reingest-manager": Counter(intellectual_object=1, begun_deletion=1),
    "recorder": Counter(save_intellectual_object=1, events=1, create_events=1, save_report=1),
    "cleanup": Counter(finds_files=1),
}
"""Of a first ingest."""
IN_BATCHES = {"recorder": "create_files", "cleanup": "files"}
"""What is asked once a batch of records."""
ROUND_TRIPS = {
    "pre-fetch": 6,
    "validator": 5,
    "reingest-manager": 4,
    "staging-uploader": 6,
    "format-identifier": 6,
    "preservation-uploader": 6,
    "preservation-verifier": 6,
    "recorder": 11,
    "cleanup": 9,
}
"""To Redis, of a bag of one payload file: four for the lease with what it is for, "begun", "ended"
and the lease again; the rest is the stage's own. The Registry's writes in the recorder, and the
end of all in the clean-up, are looked after one by one."""
ROUND_TRIPS_A_BATCH = 3
"""At most: read the records, what else is known of them, save them."""


def test_what_a_stage_asks_of_registry_and_redis(asking: Asking) -> None:
    asking.walk(asking.deposit("first.tar", 1))  # connections, scripts, the institution
    few = asking.walk(asking.deposit("few.tar", 1))
    many = asking.walk(asking.deposit("many.tar", MANY))
    batches = math.ceil((MANY + TAG_FILES) / BATCH_FILES)
    for stage, (calls, round_trips) in few.items():
        asked = IN_ANY + BESIDES.get(stage, Counter())
        in_batches = IN_BATCHES.get(stage)
        assert calls == asked + Counter([in_batches] if in_batches else []), stage
        assert round_trips <= ROUND_TRIPS[stage], stage
        calls, round_trips_of_many = many[stage]
        assert calls == asked + Counter([in_batches] * batches if in_batches else []), stage
        most = ROUND_TRIPS[stage] + ROUND_TRIPS_A_BATCH * batches
        assert round_trips_of_many <= most, stage
