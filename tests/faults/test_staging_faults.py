"""Staging while store, network or Redis fail: each ends as it should, through real connections."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import structlog
from msgspec import structs

from bagline.app import App
from bagline.embedded import EngineAddresses
from bagline.model.subject import item_subject
from bagline.model.times import now
from bagline.model.workitem import WorkItem, WorkResult
from bagline.services.objects.base import Body, Target
from bagline.wiring import build_objects
from support.bags import BagBuilder
from support.line import LineUnderTest, line_under_test
from support.proxy import SLOW_DOWN, Fault, Proxy, proxy_before

BEFORE = ("pre-fetch", "validator", "reingest-manager")
STAGED = "Format Identification"
LARGE_BYTES = 64 * 1024
WHOLE = 1 << 60


def a_bag(small: int = 300) -> BagBuilder:
    bag = BagBuilder()
    for number in range(small):
        bag.payload(f"{number:03d}.txt", b"%d\n" % number * 300)
    return bag.payload("a.bin", large(1)).payload("b.bin", large(2))


def large(number: int) -> bytes:
    return bytes([number]) * (LARGE_BYTES + number)


@pytest.fixture
def line(engines: EngineAddresses, tmp_path: Path) -> Iterator[LineUnderTest]:
    """Files of 64 KiB are large, and are copied one by one."""
    work = {"copy_from_bytes": LARGE_BYTES, "copies_in_flight": 1}
    with line_under_test(engines, tmp_path, **work) as line:
        yield line


def at_staging(line: LineUnderTest, bag: BagBuilder) -> WorkItem:
    item = line.deposit("bag.tar", bag.tar())
    with line.working(only=BEFORE):
        line.until(lambda: line.item(item.id).stage == "Copy To Staging", "it", item=item.id)
    return item


@contextmanager
def through_proxy(line: LineUnderTest) -> Iterator[Proxy]:
    """The line's workers reach the store through the proxy; the test itself does not."""
    with proxy_before(line.settings.s3.endpoint) as proxy:
        objects = build_objects(structs.replace(line.settings.s3, endpoint=proxy.url))
        objects.abilities(line.settings.buckets.staging)
        line.app = App(line.settings, replace(line.services, objects=objects))
        yield proxy
        objects.close()


def stage(line: LineUnderTest, item: WorkItem) -> None:
    with line.working(only=("staging-uploader",)):
        line.until(lambda: line.item(item.id).stage == STAGED, "it", seconds=150, item=item.id)


def assert_staged(line: LineUnderTest, item: WorkItem, bag: BagBuilder) -> None:
    records, staging = line.files(item.id), line.settings.buckets.staging
    for path, body in bag.files().items():
        assert records[path].is_staged
        assert line.services.objects.read(staging, f"{item.id}/{records[path].uuid}") == body
    by_name = [path for path in bag.files() if "/" not in path]
    assert len(line.keys(staging)) == len(records) + len(by_name)
    assert line.services.objects.abort_uploads(staging, "") == 0


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(after=20_000, on="GET"), Fault(after=0, on="GET")],
        [Fault(after=0, on="PUT") for _ in range(40)],
        [Fault(instead=SLOW_DOWN, on="PUT") for _ in range(60)],
        [Fault(instead=SLOW_DOWN, on="GET") for _ in range(3)],
        [Fault(instead=SLOW_DOWN, on="POST") for _ in range(3)],
    ],
    ids=["reset in a body", "resets", "a burst of 503", "503 to reads", "503 to copies"],
)
def test_a_store_that_stumbles_is_asked_again(line: LineUnderTest, faults: list[Fault]) -> None:
    bag = a_bag()
    item = at_staging(line, bag)
    with through_proxy(line) as proxy:
        proxy.faults = [replace(fault) for fault in faults]
        stage(line, item)
        assert proxy.faults == []
    assert_staged(line, item, bag)


def test_an_upload_that_ran_out_is_begun_again(line: LineUnderTest) -> None:
    bag = a_bag(3)
    item = at_staging(line, bag)
    staging = line.settings.buckets.staging

    def run_out() -> None:
        assert line.services.objects.abort_uploads(staging, "") == 1

    with through_proxy(line) as proxy:
        proxy.faults = [Fault(after=WHOLE, on="partNumber=1", first=run_out) for _ in range(2)]
        stage(line, item)
        assert proxy.faults == []
    assert_staged(line, item, bag)


def test_a_store_that_answers_a_wrong_checksum_is_not_believed(line: LineUnderTest) -> None:
    """Its copy is taken back, the bytes are carried instead, and the log says so."""
    bag = a_bag(3)
    item = at_staging(line, bag)
    right = base64.b64encode(hashlib.sha256(large(1)).digest())
    wrong = base64.b64encode(hashlib.sha256(b"other").digest())
    with through_proxy(line) as proxy, structlog.testing.capture_logs() as logged:
        proxy.swaps = [(right, wrong)]
        stage(line, item)
    (doubt,) = [entry for entry in logged if entry["event"] == "copy_unproven"]
    uuid = line.files(item.id)["data/a.bin"].uuid
    assert doubt["key"] == f"{item.id}/{uuid}"
    assert "SHA-256" in doubt["why"]
    assert_staged(line, item, bag)
    staging = line.settings.buckets.staging
    assert "-" not in line.services.objects.head(staging, doubt["key"]).etag  # put, not copied


@pytest.mark.parametrize("on", ["partNumber=1", "/bag.tar"], ids=["large files", "small files"])
def test_a_bag_replaced_between_two_files_is_cancelled(line: LineUnderTest, on: str) -> None:
    item = at_staging(line, a_bag(3 if on == "partNumber=1" else 450))
    newer = a_bag(2).tar()
    target = Target(line.institution.receiving_bucket, "bag.tar")

    def replace_it() -> None:
        line.services.objects.put(Body(target, newer))

    method = "" if on == "partNumber=1" else f"GET /{target.bucket}"
    with through_proxy(line) as proxy:
        proxy.faults = [
            Fault(after=WHOLE, on=method + on),
            Fault(after=WHOLE, on=method + on, first=replace_it),
        ]
        (ended,) = line.run(item)
        assert proxy.faults == []
    assert ended.status == "Cancelled"
    assert "replaced" in ended.note
    assert line.staged(item.id) == []
    assert line.redis_keys() == []
    assert line.services.objects.read(target.bucket, target.key) == newer


def leave_unmarked(line: LineUnderTest, item: WorkItem, bodies: dict[str, bytes]) -> None:
    """As a worker leaves it that dies between the store's answers and its own notes."""
    records, bucket = line.files(item.id), line.settings.buckets.staging
    for path, body in bodies.items():
        target = Target(bucket, f"{item.id}/{records[path].uuid}")
        line.services.objects.put(Body(target, body))
    state = line.services.state
    lease = state.take_lease(item_subject(item.id), owner="a worker that died", seconds=30)
    assert lease is not None
    result = WorkResult(operation="ingest04_staging", attempt=1, started_at=now())
    state.commit(lease, result=result)
    state.drop_lease(lease)


def test_what_a_dead_worker_left_is_believed_when_the_store_proves_it(line: LineUnderTest) -> None:
    """Neither a name nor a size proves anything: other bytes of the same size are replaced."""
    bag = a_bag()
    item = at_staging(line, bag)
    right = {path: bag.files()[path] for path in ("data/000.txt", "data/017.txt", "data/a.bin")}
    others = {path: b"x" * len(bag.files()[path]) for path in ("data/018.txt", "data/b.bin")}
    leave_unmarked(line, item, right | others)
    with through_proxy(line) as proxy:
        stage(line, item)
        written = {name.partition("?")[0] for name in names_of(proxy, "PUT", "POST")}
        asked = names_of(proxy, "HEAD")
    assert_staged(line, item, bag)
    records = line.files(item.id)
    keys = {path: f"{item.id}/{record.uuid}" for path, record in records.items()}
    assert {key for key in keys.values() if key not in written} == {keys[path] for path in right}
    in_hand = len(records) - 1  # of two large ones one was: they are copied one by one
    assert len([name for name in asked if name.startswith(f"{item.id}/")]) == in_hand


def test_a_first_run_asks_the_store_for_nothing_twice(line: LineUnderTest) -> None:
    item = at_staging(line, a_bag(3))
    with through_proxy(line) as proxy:
        stage(line, item)
        assert [name for name in names_of(proxy, "HEAD") if name.startswith(f"{item.id}/")] == []


def names_of(proxy: Proxy, *methods: str) -> list[str]:
    """Keys, with what follows them, of the requests that came."""
    asked = [line.split(" ") for line in proxy.lines]
    return [words[1].split("/", 2)[-1] for words in asked if words[0] in methods]


def test_redis_down_for_ten_seconds_costs_time_and_nothing_else(
    engines: EngineAddresses, tmp_path: Path
) -> None:
    bag = a_bag(600)
    with proxy_before(engines.redis_url) as proxy:
        host = urlsplit(engines.redis_url).netloc.rpartition("@")[2]
        url = engines.redis_url.replace(host, proxy.url.removeprefix("http://"))
        with line_under_test(replace(engines, redis_url=url), tmp_path, lease_seconds=4.0) as line:
            item = at_staging(line, bag)
            with line.working(only=("staging-uploader",)):
                line.until(lambda: some_marked(line, item), "some files", item=item.id)
                proxy.go_down()
                time.sleep(10)
                proxy.is_down = False
                line.until(
                    lambda: line.item(item.id).stage == STAGED, "it", seconds=150, item=item.id
                )
            assert_staged(line, item, bag)


def some_marked(line: LineUnderTest, item: WorkItem) -> bool:
    return any(file.is_staged for file in line.files(item.id).values())
