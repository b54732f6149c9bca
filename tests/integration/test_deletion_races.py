"""A deletion beside a re-ingest, a restoration and a repair of its object, begun at once: never an
active file without its copies, nothing half, nothing left.

RACES says how often (100 of each take six minutes).
"""

from __future__ import annotations

import io
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bagline.embedded import EngineAddresses
from bagline.errors import BaglineError, Gone, Refused
from bagline.lines.deletion import deleter
from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.lines.fixity.running import FixityRunner
from bagline.lines.restoration import line as restoration_line
from bagline.lines.restoration.requesting import requested
from bagline.model.times import now
from bagline.model.workitem import WorkItem
from support.bags import BagBuilder
from support.deleting import Consent, assert_true, files_of
from support.fixity import copies, repairing
from support.line import LineUnderTest, line_under_test
from support.registry import ADMIN
from support.restoring import give_restore_bucket, verdict

pytestmark = pytest.mark.engines

LONG = int(os.environ.get("RACES", "30"))
RUNS = [4, pytest.param(LONG, marks=[pytest.mark.long, pytest.mark.timeout(1500)])]
SECONDS = 0.4
"""Within so many the two begin after each other."""


@pytest.fixture
def line(
    engines: EngineAddresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LineUnderTest]:
    monkeypatch.setattr(deleter, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(restoration_line, "BUSY_SECONDS", 0.1)
    with line_under_test(engines, tmp_path, earlier_bag_delay_seconds=0.1) as line:
        give_restore_bucket(line)
        yield line


@pytest.fixture
def consent(line: LineUnderTest) -> Iterator[Consent]:
    consent = Consent(line)
    yield consent
    consent.close()


def a_bag(name: str, *more: str) -> BagBuilder:
    bag = BagBuilder(name)
    for path in ("a.txt", "b.txt", *more):
        bag.payload(path, path.encode() * 100)
    return bag


def begin_both(chance: random.Random, one: Callable[[], None], other: Callable[[], None]) -> None:
    """Each in a thread of its own, in either order."""
    faults: list[BaseException] = []

    def later(act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as fault:
            faults.append(fault)

    timer = threading.Timer(chance.random() * SECONDS, later, [one])
    other_timer = threading.Timer(chance.random() * SECONDS, later, [other])
    for each in (timer, other_timer):
        each.start()
    for each in (timer, other_timer):
        each.join()
    if faults:
        raise faults[0]


@pytest.mark.parametrize("runs", RUNS)
def test_beside_a_reingest(line: LineUnderTest, consent: Consent, runs: int) -> None:
    chance = random.Random(runs)
    ends = set()
    with line.working():
        for run in range(runs):
            name = f"bag{run}"
            first = line.deposit(f"{name}.tar", a_bag(name).tar())
            assert line.until_ended(first.id).status == "Success"
            (item,) = consent.approve(consent.ask(objects=[f"test.edu/{name}"]))
            newer: list[WorkItem] = []

            def deposit(name: str = name, newer: list[WorkItem] = newer) -> None:
                newer.append(line.deposit(f"{name}.tar", a_bag(name, "c.txt").tar()))

            def publish(item: WorkItem = item) -> None:
                line.services.queue.publish("delete_item", item.id)

            begin_both(chance, publish, deposit)
            assert line.until_ended(newer[0].id).status == "Success"
            ended = line.until_ended(item.id)
            assert ended.status in ("Success", "Cancelled"), ended.note
            ends.add(ended.status)
            kept = line.services.registry.intellectual_object(f"test.edu/{name}")
            assert kept is not None
            assert kept.state == "A"  # what came last stays
            assert {f.state for f in files_of(line, kept)} == {"A"}
            assert_true(line, kept, item)
    assert line.redis_keys() == []


@pytest.mark.parametrize("runs", RUNS)
def test_beside_a_restoration(line: LineUnderTest, consent: Consent, runs: int) -> None:
    chance = random.Random(runs)
    restored = line.institution.restore_bucket
    with line.working():
        for run in range(runs):
            name = f"bag{run}"
            first = line.deposit(f"{name}.tar", a_bag(name).tar())
            assert line.until_ended(first.id).status == "Success"
            request = consent.ask(objects=[f"test.edu/{name}"])
            made: list[WorkItem] = []

            def delete(request=request) -> None:  # type: ignore[no-untyped-def]
                from bagline.services.registry.base import Conflict

                try:
                    for item in consent.approve(request):
                        made.append(item)  # noqa: B023
                        line.services.queue.publish("delete_item", item.id)
                except Conflict:
                    pass  # the restoration was first, and is open

            wanted: list[WorkItem] = []

            def restore(name: str = name, wanted: list[WorkItem] = wanted) -> None:
                try:
                    item = requested(line.services.registry, f"test.edu/{name}", "", user=ADMIN)
                except (Refused, Gone):
                    return  # the deletion was first
                wanted.append(item)
                line.services.queue.publish("restore_object", item.id)

            begin_both(chance, delete, restore)
            assert made or wanted
            for item in (*made, *wanted):
                assert line.until_ended(item.id).status == "Success", line.item(item.id).note
            kept = line.services.registry.intellectual_object(f"test.edu/{name}")
            assert kept is not None
            assert (kept.state == "D") == bool(made)
            if wanted:
                tar = line.services.objects.read(restored, f"test.edu/{name}.tar")
                assert verdict(tar, name).problems == []
                assert io.BytesIO(tar).read(1)
            if made:
                assert_true(line, kept, made[0])
    assert line.redis_keys() == []


@pytest.mark.parametrize("runs", RUNS)
def test_beside_a_repair(line: LineUnderTest, consent: Consent, runs: int) -> None:
    chance = random.Random(runs)
    fixity = repairing(KeptCopies(line.services, line.settings, clock=now), "auto")
    with line.working():
        for run in range(runs):
            name = f"bag{run}"
            first = line.deposit(f"{name}.tar", a_bag(name).tar())
            assert line.until_ended(first.id).status == "Success"
            bad = next(c for c in copies(fixity) if c.identifier == f"test.edu/{name}/data/a.txt")
            line.services.objects.delete(bad.bucket, bad.uuid)
            request = consent.ask(objects=[f"test.edu/{name}"])
            made: list[WorkItem] = []

            def delete(request=request) -> None:  # type: ignore[no-untyped-def]
                for item in consent.approve(request):
                    made.append(item)  # noqa: B023
                    line.services.queue.publish("delete_item", item.id)

            def repair(bad=bad) -> None:  # type: ignore[no-untyped-def]
                with suppress(BaglineError):  # it is being deleted, or is gone
                    FixityRunner(fixity).repairer().repair(bad)

            begin_both(chance, delete, repair)
            (item,) = made
            assert line.until_ended(item.id).status == "Success", line.item(item.id).note
            kept = line.services.registry.intellectual_object(f"test.edu/{name}")
            assert kept is not None
            assert kept.state == "D"
            assert_true(line, kept, item)
            assert all(bad.uuid not in line.keys(b) for b in line.preservation_buckets())
    assert line.redis_keys() == []
