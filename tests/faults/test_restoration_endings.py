"""Restorations that a worker's fate, a person or the Registry cuts short: how they end."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import structs

from bagline.app import App
from bagline.bagit.writing import LayoutLimits, measure
from bagline.embedded import EngineAddresses
from bagline.errors import Gone, Unreachable
from bagline.lines.restoration import laying_out, tar_bytes
from bagline.model.workitem import (
    ACTION_INGEST,
    STAGE_REQUESTED,
    STAGE_STORE,
    STATUS_CANCELLED,
    STATUS_PENDING,
    STATUS_STARTED,
    STATUS_SUCCESS,
    STATUS_SUSPENDED,
    WorkItem,
)
from bagline.services.objects import reading
from bagline.services.objects.base import Body, Target
from bagline.services.registry.base import Registry
from support.bags import BagBuilder
from support.counting import through_proxy
from support.line import LineUnderTest, is_kept, line_under_test
from support.proxy import Fault
from support.restoring import ask, contents, give_restore_bucket, restored_tar, verdict

pytestmark = pytest.mark.engines

MIB = 1024 * 1024
OBJECT = "test.edu/bag"
LARGE = bytes(range(256)) * 4096 * 12
BEFORE = b"what stood there before"
WHOLE = 1 << 60


def a_bag() -> BagBuilder:
    bag = BagBuilder().payload("a.txt", b"a").payload("large.bin", LARGE)
    return bag.payload("m.bin", LARGE[7:]).payload("z.txt", b"z")


@pytest.fixture
def line(
    engines: EngineAddresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LineUnderTest]:
    """Parts of 5 MiB; a lease runs out soon."""
    limits = LayoutLimits(least_part_bytes=5 * MIB)
    monkeypatch.setattr(laying_out, "measure", partial(measure, limits=limits))
    monkeypatch.setattr(tar_bytes, "LARGE_BYTES", MIB)
    with line_under_test(engines, tmp_path, lease_seconds=2.0) as line:
        give_restore_bucket(line)
        (item,) = line.run(line.deposit("bag.tar", a_bag().tar()))
        assert item.status == STATUS_SUCCESS, item.note
        yield line


def key_of(line: LineUnderTest) -> Target:
    return Target(line.institution.restore_bucket, f"{OBJECT}.tar")


def assert_restored(line: LineUnderTest, bag: BagBuilder | None = None) -> None:
    tar = restored_tar(line, OBJECT)
    assert verdict(tar, "bag", "aptrust").problems == []
    found = contents(tar)
    for path, data in (bag or a_bag()).files().items():
        if is_kept(path) and path != "bag-info.txt":
            assert found[path] == data, path
    assert line.redis_keys() == []
    assert uploads(line) == 0


def assert_nothing_left(line: LineUnderTest) -> None:
    assert line.redis_keys() == []
    assert uploads(line) == 0
    with pytest.raises(Gone):
        line.services.objects.head(key_of(line).bucket, key_of(line).key)


def uploads(line: LineUnderTest) -> int:
    """Unfinished ones."""
    return line.services.objects.abort_uploads(key_of(line).bucket, "")


def save(line: LineUnderTest, item: WorkItem, **changes: Any) -> None:
    line.services.registry.save_work_item(structs.replace(line.item(item.id), **changes))


def change(line: LineUnderTest, sql: str, *values: object) -> None:
    database = sqlite3.connect(line.settings.data_dir / "registry.db", timeout=30)
    with database:
        database.execute(sql, values)
    database.close()


class Faltering:
    """A real Registry, of which one call is lost: on its way there, or on its way back."""

    def __init__(
        self, registry: Registry, call: str, when: Callable[..., bool], *, is_done: bool = False
    ) -> None:
        self._registry = registry
        self._call = call
        self._when = when
        self._is_done = is_done
        self.lost = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._registry, name)
        return partial(self._lose, found) if name == self._call else found

    def _lose(self, call: Callable[..., object], *given: Any, **more: Any) -> object:
        if self.lost or not self._when(*given):
            return call(*given, **more)
        self.lost += 1
        if self._is_done:
            call(*given, **more)
        raise Unreachable("the Registry does not answer")


def falter(line: LineUnderTest, call: str, when: Callable[..., bool]) -> Faltering:
    registry = Faltering(line.services.registry, call, when)
    services = replace(line.app.services, registry=cast("Registry", registry))
    line.app = App(line.settings, services)
    return registry


def test_the_registry_is_away_when_the_report_is_saved(line: LineUnderTest) -> None:
    registry = falter(line, "save_report", lambda *_: True)
    (item,) = line.run(ask(line, OBJECT))
    assert registry.lost == 1
    assert (item.status, item.stage) == (STATUS_SUCCESS, "Resolve"), item.note
    assert_restored(line)


def test_a_file_alone_while_the_registry_is_away(line: LineUnderTest) -> None:
    registry = falter(line, "save_report", lambda *_: True)
    (item,) = line.run(ask(line, OBJECT, file=f"{OBJECT}/data/large.bin"))
    assert registry.lost == 1
    assert (item.status, item.stage) == (STATUS_SUCCESS, "Resolve"), item.note


def test_what_was_completed_before_a_death_is_not_sent_again(line: LineUnderTest) -> None:
    """Between the upload's end and the item's: the records are gone, and the item is not ended."""
    with through_proxy(line) as proxy:
        registry = falter(line, "save_work_item", lambda item: item.status == STATUS_SUCCESS)
        (item,) = line.run(ask(line, OBJECT))
        parts = [asked for asked in proxy.lines if "partNumber=" in asked]
        ends = [asked for asked in proxy.lines if asked.startswith("POST") and "uploadId" in asked]
    assert registry.lost == 1
    assert (item.status, item.stage) == (STATUS_SUCCESS, "Resolve"), item.note
    assert len(parts) == len(set(parts)) == 5
    assert len(ends) == 1
    assert_restored(line)


def test_the_registry_is_away_in_the_middle(line: LineUnderTest) -> None:
    with through_proxy(line) as proxy:
        registry = falter(
            line, "files_in_order", lambda *_: any("partNumber=2" in asked for asked in proxy.lines)
        )
        (item,) = line.run(ask(line, OBJECT))
        parts = [asked for asked in proxy.lines if "partNumber=" in asked]
    assert registry.lost == 1
    assert item.status == STATUS_SUCCESS, item.note
    assert len(parts) == len(set(parts)) == 5
    assert_restored(line)


def at_part(
    line: LineUnderTest, number: int, act: Callable[[], object], item: WorkItem
) -> WorkItem:
    """The item as it ended, where `act` is done when that part comes."""
    with through_proxy(line) as proxy:
        proxy.faults = [Fault(after=WHOLE, on=f"partNumber={number}", first=act)]
        (ended,) = line.run(item)
        assert proxy.faults == []
    return ended


def test_one_that_is_cancelled_in_the_middle_leaves_nothing(line: LineUnderTest) -> None:
    item = ask(line, OBJECT)
    cancelled = threading.Event()

    def cancel() -> None:
        save(line, item, status=STATUS_CANCELLED, retry=False)
        cancelled.wait(1.5)  # the worker looks twice in a lease's time

    ended = at_part(line, 2, cancel, item)
    assert ended.status == STATUS_CANCELLED
    assert_nothing_left(line)


def test_one_that_is_cancelled_before_it_begins_leaves_nothing(line: LineUnderTest) -> None:
    item = ask(line, OBJECT)
    save(line, item, status=STATUS_CANCELLED, retry=False)
    (ended,) = line.run(item)
    line.until(lambda: line.redis_keys() == [], "the end")
    assert ended.status == STATUS_CANCELLED
    assert_nothing_left(line)


def test_a_worker_whose_lease_is_lost_leaves_it_to_the_next(line: LineUnderTest) -> None:
    item = ask(line, OBJECT)

    def lose() -> None:
        assert line.services.state.break_leases(lambda _: True)

    line.services.objects.put(Body(key_of(line), BEFORE))
    ended = at_part(line, 3, lose, item)
    assert ended.status == STATUS_SUCCESS, ended.note
    assert_restored(line)


def test_a_list_that_changes_in_the_middle_is_begun_anew(line: LineUnderTest) -> None:
    def lose_a_file() -> None:
        change(
            line,
            "UPDATE generic_files SET state = 'D' WHERE identifier = ?",
            f"{OBJECT}/data/z.txt",
        )

    ended = at_part(line, 3, lose_a_file, ask(line, OBJECT))
    assert ended.status == STATUS_SUCCESS, ended.note
    bag = BagBuilder().payload("a.txt", b"a").payload("large.bin", LARGE)
    assert_restored(line, bag.payload("m.bin", LARGE[7:]))
    assert "data/z.txt" not in contents(restored_tar(line, OBJECT))


def test_a_list_that_changes_while_it_is_laid_out_is_begun_anew(line: LineUnderTest) -> None:
    """Else bag-info.txt would count what the bag has not."""
    passes: list[str] = []

    def lose_a_file(*_: object) -> bool:
        passes.append("one more")
        if len(passes) == 2:
            change(line, "UPDATE generic_files SET state = 'D' WHERE identifier LIKE '%/z.txt'")
        return False

    falter(line, "files_in_order", lose_a_file)
    (ended,) = line.run(ask(line, OBJECT))
    assert ended.status == STATUS_SUCCESS, ended.note
    bag = BagBuilder().payload("a.txt", b"a").payload("large.bin", LARGE)
    assert_restored(line, bag.payload("m.bin", LARGE[7:]))


def test_a_file_whose_name_ends_as_unfinished_ones_do(line: LineUnderTest, tmp_path: Path) -> None:
    bag = a_bag().payload("x.part", b"1").payload("x", b"2").payload("x.part.part", b"3")
    (item,) = line.run(line.deposit("bag.tar", bag.tar()))
    assert item.status == STATUS_SUCCESS, item.note
    place = tmp_path / "out"
    names = ["x.part", "x", "x.part.part"]
    line.app.restoring(OBJECT).files([f"data/{name}" for name in names], place)
    found = {path.name: path.read_bytes() for path in (place / "data").iterdir()}
    assert found == {"x.part": b"1", "x": b"2", "x.part.part": b"3"}


def test_an_object_that_was_deleted_is_no_empty_bag(line: LineUnderTest) -> None:
    item = ask(line, OBJECT)
    line.services.objects.put(Body(key_of(line), BEFORE))
    change(line, "UPDATE generic_files SET state = 'D'")
    (ended,) = line.run(item)
    assert ended.status == STATUS_SUSPENDED
    assert "no active files" in ended.note
    save(line, item, status=STATUS_PENDING, retry=True)
    change(line, "UPDATE intellectual_objects SET state = 'D'")
    line.services.queue.publish("restore_object", item.id)
    with line.working():
        line.until(lambda: "no active object" in line.item(item.id).note, "it", item=item.id)
    assert restored_tar(line, OBJECT) == BEFORE


def test_an_item_that_names_a_file_and_asks_for_the_object_is_not_guessed_at(
    line: LineUnderTest,
) -> None:
    item = ask(line, OBJECT)
    save(line, item, generic_file_identifier=f"{OBJECT}/data/z.txt")
    (ended,) = line.run(item)
    assert ended.status == STATUS_SUSPENDED
    assert "names the file" in ended.note


def test_another_release_that_goes_on_begins_anew(
    line: LineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it writes into bag-info.txt is not what stands in the parts of the one before."""
    bag = a_bag().tag("bag-info.txt", "Bagging-Software", "by hand")
    (again,) = line.run(line.deposit("bag.tar", bag.tar()))
    assert again.status == STATUS_SUCCESS, again.note
    item = ask(line, OBJECT)

    def upgrade() -> None:
        agent = laying_out.our_agent()
        monkeypatch.setattr(laying_out, "our_agent", lambda: agent[:-1] + "~")
        assert line.services.state.break_leases(lambda _: True)

    ended = at_part(line, 3, upgrade, item)
    assert ended.status == STATUS_SUCCESS, ended.note
    assert_restored(line, bag)


def test_bytes_of_a_newer_version_are_no_bad_copies(line: LineUnderTest) -> None:
    """An ingest that began to store meanwhile has overwritten them."""
    found = line.services.registry.files([f"{OBJECT}/data/m.bin"])[f"{OBJECT}/data/m.bin"]
    ingest = line.services.registry.save_work_item(
        WorkItem(
            action=ACTION_INGEST,
            name="bag.tar",
            institution_id=line.institution.id,
            stage="Validate",
            status=STATUS_STARTED,
        )
    )
    item = ask(line, OBJECT)

    def store() -> None:
        save(line, ingest, stage=STAGE_STORE)
        for bucket in line.preservation_buckets():
            line.services.objects.put(Body(Target(bucket, found.uuid), LARGE[7:-1] + b"!"))

    with through_proxy(line) as proxy, line.working(only=("bag-restorer",)):
        on = f"HEAD /{line.preservation_buckets()[0]}/{found.uuid}"
        proxy.faults = [Fault(after=WHOLE, on=on, first=store)]
        line.until(lambda: "newer version" in line.item(item.id).note, "it", item=item.id)
        for bucket in line.preservation_buckets():
            line.services.objects.put(Body(Target(bucket, found.uuid), LARGE[7:]))
        save(line, ingest, stage="Cleanup", status=STATUS_SUCCESS)
    assert line.item(item.id).stage == STAGE_REQUESTED
    assert line.services.registry.problems(item.id) == []


@pytest.mark.parametrize("file", ["", f"{OBJECT}/data/large.bin"], ids=["bag", "file"])
def test_a_stopping_worker_hands_it_back(line: LineUnderTest, file: str) -> None:
    item = ask(line, OBJECT, file=file)
    with through_proxy(line) as proxy:
        worker = line.app.worker([s for s in line.app.lines.steps() if "restore" in s.topic])
        on = f"bytes={reading.WINDOW_BYTES}-" if file else "partNumber=2"
        proxy.faults = [Fault(after=WHOLE, on=on, first=worker.stop)]
        thread = threading.Thread(target=worker.run)
        thread.start()
        thread.join(timeout=30)
        assert not thread.is_alive()
        assert proxy.faults == []
        assert "Handed back" in line.item(item.id).note
        (ended,) = line.run(item)
    assert ended.status == STATUS_SUCCESS, ended.note
    assert line.redis_keys() == []
