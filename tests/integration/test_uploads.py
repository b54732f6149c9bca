"""Uploads and their work items: what is sent again is taken again, and nothing waits unsaid."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from bagline.errors import Refused
from bagline.model.registry import Institution
from bagline.model.workitem import WorkItem
from bagline.services.objects.base import Body, Target
from bagline.services.registry.base import WorkItemFilter
from bagline.worker.metrics import PrometheusMeter
from support.bags import BagBuilder
from support.line import LineUnderTest

pytestmark = pytest.mark.engines

A = BagBuilder("x").payload("a.txt", b"as it was").tar()
B = BagBuilder("x").payload("a.txt", b"as it is now").tar()


def upload(line: LineUnderTest, tar: bytes, name: str = "x.tar") -> None:
    line.services.objects.put(Body(Target(line.institution.receiving_bucket, name), tar))


def later(line: LineUnderTest, item: WorkItem) -> None:
    """As if the item had been about an upload of yesterday: stores tell whole seconds."""
    item = line.item(item.id)
    item.bag_date = "2020-01-01T00:00:00Z"  # type: ignore[assignment]
    line.services.registry.save_work_item(item)


def taken(line: LineUnderTest) -> list[WorkItem]:
    return line.app.bucket_reader().poll()


def ingested(line: LineUnderTest, tar: bytes) -> WorkItem:
    upload(line, tar)
    (item,) = taken(line)
    (ended,) = line.run(item)
    assert ended.status == "Success"
    later(line, ended)
    return ended


def preserved(line: LineUnderTest) -> bytes:
    file = line.services.registry.files(["test.edu/x/data/a.txt"])["test.edu/x/data/a.txt"]
    first, second = (
        line.services.objects.read(bucket, file.uuid) for bucket in line.preservation_buckets()
    )
    assert first == second
    return first


def test_a_bag_put_back_to_an_earlier_content_is_taken(line: LineUnderTest) -> None:
    for tar, body in ((A, b"as it was"), (B, b"as it is now"), (A, b"as it was")):
        ingested(line, tar)
        assert preserved(line) == body


def test_an_old_version_that_shows_again_is_taken_though_its_date_is_old(
    line: LineUnderTest,
) -> None:
    """So where a versioned bucket's newest version is removed."""
    upload(line, A)
    (first,) = taken(line)
    line.run(first)
    ingested(line, B)
    upload(line, A)
    last = line.item(first.id)
    last.bag_date = line.received("x.tar").last_modified
    line.services.registry.save_work_item(last)
    assert len(taken(line)) == 1


def test_an_unchanged_bag_sent_again_gets_an_item_that_says_so(line: LineUnderTest) -> None:
    ingested(line, A)
    again = ingested(line, A)
    assert "Nothing in the bag had changed" in line.item(again.id).note
    assert line.keys(line.institution.receiving_bucket) == []


def test_what_a_cleanup_left_is_said_once_and_not_taken(line: LineUnderTest) -> None:
    ended = ingested(line, A)
    upload(line, A)
    item = line.item(ended.id)
    item.bag_date = line.received("x.tar").last_modified
    line.services.registry.save_work_item(item)
    reader = line.app.bucket_reader()
    structlog.reset_defaults()
    with capture_logs() as said:
        assert reader.poll() == reader.poll() == []
    assert [event["event"] for event in said] == ["left_by_cleanup"]


@pytest.mark.parametrize("status", ["Failed", "Cancelled"])
def test_a_bag_that_failed_is_taken_when_it_is_sent_again_and_not_before(
    line: LineUnderTest, status: str
) -> None:
    upload(line, A)
    (item,) = taken(line)
    item.status, item.retry = status, False
    line.services.registry.save_work_item(item)
    assert taken(line) == []
    later(line, item)
    assert len(taken(line)) == 1


def open_items(line: LineUnderTest) -> list[WorkItem]:
    found = line.services.registry.work_items(WorkItemFilter(name="x.tar"))
    return [item for item in found if not item.is_completed]


@pytest.mark.parametrize("status", ["Pending", "Started", "Suspended"])
def test_of_two_versions_only_the_newer_ones_item_is_open(line: LineUnderTest, status: str) -> None:
    upload(line, A)
    (older,) = taken(line)
    older.status = status
    line.services.registry.save_work_item(older)
    upload(line, B)
    (newer,) = taken(line)
    assert [item.id for item in open_items(line)] == [newer.id]
    assert line.item(older.id).status == "Cancelled"
    (ended,) = line.run(newer)
    assert (ended.status, preserved(line)) == ("Success", b"as it is now")


def test_a_newer_bag_waits_for_one_that_is_being_stored(line: LineUnderTest) -> None:
    upload(line, A)
    (older,) = taken(line)
    older.stage = "Store"
    line.services.registry.save_work_item(older)
    upload(line, B)
    assert taken(line) == []
    assert [item.id for item in open_items(line)] == [older.id]


def test_many_readers_make_one_item(line: LineUnderTest) -> None:
    upload(line, A)
    readers = [line.app.bucket_reader() for _ in range(8)]
    start = threading.Barrier(len(readers))

    def look(number: int) -> None:
        start.wait()
        readers[number].make_item(line.institution, line.received("x.tar"))

    threads = [threading.Thread(target=look, args=(n,)) for n in range(len(readers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(open_items(line)) == 1


def test_one_unreadable_receiving_bucket_does_not_hold_up_the_others(line: LineUnderTest) -> None:
    """Missing, or of a name that no client can ask for: told once, counted, passed over."""
    registry = line.services.registry
    for number, bucket in enumerate(("not-there-at-all", "no/such name\n", "")):
        name = f"a{number}.edu"
        registry.save_institution(Institution(identifier=name, name=name, receiving_bucket=bucket))
    upload(line, A)
    meter = PrometheusMeter()
    reader = line.app.bucket_reader(meter)
    with capture_logs() as logs:
        (item,) = reader.poll()
        assert reader.poll() == []
    assert item.name == "x.tar"
    told = [entry["bucket"] for entry in logs if entry["event"] == "receiving_bucket_unlisted"]
    assert told == ["'not-there-at-all'", "'no/such name\\n'"]
    assert meter.registry.get_sample_value("bagline_receiving_buckets_unread") == 2
    line.services.objects.ensure_bucket("not-there-at-all")
    with capture_logs() as logs:
        reader.poll()
    assert [entry["event"] for entry in logs] == ["receiving_bucket_listed_again"]
    assert meter.registry.get_sample_value("bagline_receiving_buckets_unread") == 1
    other = registry.institution("a1.edu")
    assert other is not None
    other.receiving_bucket = ""
    registry.save_institution(other)
    reader.poll()
    assert meter.registry.get_sample_value("bagline_receiving_buckets_unread") == 0


def test_a_bag_that_the_registry_will_not_take_does_not_hold_up_the_others(
    line: LineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(line, A, "a.tar")
    upload(line, A, "b.tar")
    taking = line.services.registry.open_work_item

    def open_work_item(item: WorkItem) -> WorkItem:
        if item.name == "a.tar":
            raise Refused("400: name")
        return taking(item)

    monkeypatch.setattr(line.services.registry, "open_work_item", open_work_item)
    reader = line.app.bucket_reader()
    with capture_logs() as logs:
        assert [item.name for item in reader.poll()] == ["b.tar"]
        reader.poll()
    assert [entry["key"] for entry in logs if entry["event"] == "bag_not_taken"] == ["'a.tar'"]


def test_ingest_waits_for_an_older_version_that_is_being_stored(
    line: LineUnderTest, tmp_path: Path
) -> None:
    upload(line, A)
    (older,) = taken(line)
    stages = [step.name for step in line.app.ingest_line]
    with line.working(only=tuple(stages[: stages.index("preservation-uploader")])):
        line.until(lambda: line.item(older.id).stage == "Store", "Store", item=older.id)
    bag = tmp_path / "x.tar"
    bag.write_bytes(B)
    with line.working():
        item = line.app.ingest(bag, line.institution.identifier)
        assert item.id != older.id
        assert line.until_ended(item.id).status == "Success"
    assert line.item(older.id).status == "Success"
    assert preserved(line) == b"as it is now"


def test_ingest_says_that_an_older_version_waits_for_an_operator(
    line: LineUnderTest, tmp_path: Path
) -> None:
    upload(line, A)
    (older,) = taken(line)
    older.stage, older.status, older.retry = "Store", "Suspended", False
    line.services.registry.save_work_item(older)
    bag = tmp_path / "x.tar"
    bag.write_bytes(B)
    with pytest.raises(Refused, match=f"bagline show {older.id}"):
        line.app.ingest(bag, line.institution.identifier)
