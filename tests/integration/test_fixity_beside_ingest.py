"""A repair and a re-ingest of the same object: nothing old ever stands over what is new."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, cast

import pytest

from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.lines.fixity.repairing import LeftAlone
from bagline.lines.fixity.running import FixityRunner
from bagline.lines.ingest import preservation
from bagline.lines.ingest.line import INGEST_LINE
from bagline.model.times import NEVER, later, now
from bagline.model.workitem import STAGE_RECORD, STAGE_STORE, STATUS_PENDING, STATUS_SUCCESS
from bagline.services.objects.base import Objects
from support.bags import BagBuilder
from support.fixity import copies, put, repairing, run
from support.line import LineUnderTest

pytestmark = pytest.mark.engines

OLD, NEW = b"as it came at first", b"as it came the second time"
BEFORE_STORE = tuple(step.name for step in INGEST_LINE.rows[:5])
TO_RECORD = ("preservation-uploader", "preservation-verifier")


@pytest.fixture
def kept(line: LineUnderTest) -> KeptCopies:
    (item,) = line.run(line.deposit("bag.tar", BagBuilder().payload("one.txt", OLD).tar()))
    assert item.status == STATUS_SUCCESS, item.note
    return repairing(KeptCopies(line.services, line.settings, clock=now), "auto")


def stored(kept: KeptCopies) -> set[bytes]:
    return {kept.services.objects.read(c.bucket, c.uuid) for c in copies(kept, "one.txt")}


def test_a_run_with_repair_passes_over_what_an_ingest_has_stored(
    kept: KeptCopies, line: LineUnderTest
) -> None:
    newer = BagBuilder().payload("one.txt", NEW).tar()
    item = line.deposit("bag.tar", newer)
    with line.working(only=(*BEFORE_STORE, *TO_RECORD)):
        line.until(lambda: line.item(item.id).stage == STAGE_RECORD, "Record", item=item.id)
        record = run(kept)
        assert (record.bad, record.repaired) == (0, 0)
        assert record.passed_over == 2 * 2  # of bag-info.txt too: its Payload-Oxum is another
    assert stored(kept) == {NEW}
    with line.working():
        assert line.until_ended(item.id).status == STATUS_SUCCESS
    assert stored(kept) == {NEW}
    assert run(kept).bad == 0


class HeldSource:
    """A store whose bodies stop before their last byte until they may go on."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.is_waiting, self.may_go_on = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        body = b"".join(self._objects.stream(*args, **kwargs))
        yield body[:1]
        self.is_waiting.set()
        assert self.may_go_on.wait(60)
        yield body[1:]


class Held(KeptCopies):
    source: HeldSource

    def store_of(self, target: Any) -> Objects:
        return cast(Objects, self.source)


def test_an_ingest_stores_nothing_while_a_copy_is_repaired(
    kept: KeptCopies, line: LineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preservation, "REPAIR_SECONDS", 0.2)
    bad, _ = copies(kept, "one.txt")
    put(kept, bad, b"harmed")
    held = Held(kept.services, kept.settings, kept.clock)
    object.__setattr__(held, "source", HeldSource(kept.services.objects))
    with ThreadPoolExecutor(1) as pool:
        try:
            repair = pool.submit(FixityRunner(held).repairer().repair, bad)
            assert held.source.is_waiting.wait(30)
            assert kept.services.registry.repaired_until("test.edu/bag") != NEVER
            # The ingest comes to Store only now: the repair has asked for such ones before.
            item = line.deposit("bag.tar", BagBuilder().payload("one.txt", NEW).tar())
            with line.working():
                line.until(
                    lambda: "is being repaired" in line.item(item.id).note, "a wait", item=item.id
                )
                waits = line.item(item.id)
                assert (waits.stage, waits.status) == (STAGE_STORE, STATUS_PENDING)
                assert stored(kept) == {OLD, b"harmed"}
                held.source.may_go_on.set()
                with pytest.raises(LeftAlone, match=f"work item {item.id} is storing"):
                    repair.result(30)  # it saw the ingest before its last byte
                assert line.until_ended(item.id).status == STATUS_SUCCESS
        finally:
            held.source.may_go_on.set()
    assert stored(kept) == {NEW}
    assert kept.services.registry.repaired_until("test.edu/bag") == NEVER


def test_a_repair_that_began_last_leaves_the_object_alone(
    kept: KeptCopies, line: LineUnderTest
) -> None:
    bad, _ = copies(kept, "one.txt")
    item = line.deposit("bag.tar", BagBuilder().payload("one.txt", NEW).tar())
    with line.working(only=BEFORE_STORE):
        line.until(lambda: line.item(item.id).stage == STAGE_STORE, "Store", item=item.id)
    put(kept, bad, b"harmed")
    with pytest.raises(LeftAlone):
        FixityRunner(kept).repairer().repair(bad)
    assert kept.services.registry.repaired_until("test.edu/bag") == NEVER
    with line.working():
        assert line.until_ended(item.id).status == STATUS_SUCCESS
    assert stored(kept) == {NEW}


def test_only_repairs_of_its_own_object_are_waited_for(
    kept: KeptCopies, line: LineUnderTest
) -> None:
    copy, _ = copies(kept, "one.txt")
    hour = later(now(), timedelta(hours=1))
    assert kept.book.hold_for_repair(copy, "another", now=now(), until=hour)
    (item,) = line.run(line.deposit("other.tar", BagBuilder("other").payload("a", b"a").tar()))
    assert item.status == STATUS_SUCCESS
    assert kept.services.registry.repaired_until("test.edu/other") == NEVER
