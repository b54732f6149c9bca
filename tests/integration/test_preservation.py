"""Copies in preservation storage: made by the store, or carried to another one, always proven."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bagline.app import App
from bagline.lines.ingest.line import INGEST_LINE, IngestLine
from bagline.lines.ingest.prefetch import PreFetch
from bagline.services.objects.retrying import RetryingObjects
from bagline.services.objects.s3 import S3Objects
from bagline.wiring import build_objects
from support.bags import BagBuilder
from support.counting import second_provider
from support.line import LineUnderTest, is_kept
from support.proxy import Fault, proxy_before

MIB = 1024 * 1024
PART_BYTES = 5 * MIB
LARGE = bytes(range(256)) * 4096 * 18


def a_bag() -> BagBuilder:
    bag = BagBuilder().payload("one.txt", b"one\n").payload("empty.txt", b"")
    for number in range(3):
        bag.payload(f"{number}.bin", bytes([number]) + LARGE)
    return bag


def assert_preserved(line: LineUnderTest, bag: BagBuilder) -> dict[str, str]:
    """Every file is in every bucket; returns the UUIDs by path."""
    kept = {path: body for path, body in bag.files().items() if is_kept(path)}
    known = line.services.registry.files([f"test.edu/bag/{path}" for path in kept])
    uuids = {path: known[f"test.edu/bag/{path}"].uuid for path in kept}
    for bucket in line.preservation_buckets():
        assert line.keys(bucket) == sorted(uuids.values())
        for path, uuid in uuids.items():
            assert line.services.objects.read(bucket, uuid) == kept[path]
    return uuids


def test_files_above_the_largest_part_are_copied_in_parts_to_the_end(line: LineUnderTest) -> None:
    """With parts of 5 MiB for 5 GiB: no byte of the large files comes through here again to be
    stored, nor to prove the store's copying."""

    class SmallParts(PreFetch):
        def __init__(self) -> None:
            super().__init__(PART_BYTES)

    with proxy_before(line.settings.s3.endpoint) as proxy:
        line.services = replace(line.services, objects=in_small_parts(line, proxy.url))
        line.app = App(line.settings, line.services, [with_first(SmallParts)])
        bag = a_bag()
        item = line.deposit("bag.tar", bag.tar())
        stored = [step.name for step in line.app.ingest_line][:6]
        with line.working(only=tuple(stored)):
            line.until(lambda: line.item(item.id).stage == "Storage Validation", "it", item=item.id)
        copies = tuple(f"GET /{bucket}/" for bucket in line.preservation_buckets())
        assert [asked for asked in proxy.lines if asked.startswith(copies)] == []
        (ended,) = line.run(item)
        assert ended.status == "Success"
        line.services.objects.close()
    line.services = replace(line.services, objects=build_objects(line.settings.s3))
    uuids = assert_preserved(line, bag)
    for bucket in line.preservation_buckets():
        for number in range(3):
            found = line.services.objects.head(bucket, uuids[f"data/{number}.bin"])
            assert found.etag.endswith("-4")
    line.services.objects.close()


def in_small_parts(line: LineUnderTest, url: str) -> RetryingObjects:
    s3 = line.settings.s3
    keys = (s3.access_key.reveal(), s3.secret_key.reveal())
    return RetryingObjects(S3Objects(url, *keys, allow_http=True, part_copy_bytes=PART_BYTES))


def with_first(stage: type[PreFetch]) -> IngestLine:
    first, *rest = INGEST_LINE
    return IngestLine((replace(first, stage=stage), *rest))


def test_between_providers_the_bytes_are_carried_and_proven(line: LineUnderTest) -> None:
    with second_provider(line):
        bag = a_bag()
        (ended,) = line.run(line.deposit("bag.tar", bag.tar()))
        assert ended.status == "Success"
        uuids = assert_preserved(line, bag)
    _, there = line.preservation_buckets()
    info = line.services.objects.head(there, uuids["data/0.bin"])
    assert info.metadata["bagpath"] == "data/0.bin"
    known = line.services.registry.files(["test.edu/bag/data/0.bin"])["test.edu/bag/data/0.bin"]
    assert {record.url.split("/")[3] for record in known.storage_records} == set(
        line.preservation_buckets()
    )


@pytest.mark.parametrize("fault", [Fault(after=0), Fault(after=40)])
def test_a_provider_that_breaks_off_is_asked_again_for_that_file_alone(
    line: LineUnderTest, fault: Fault
) -> None:
    with second_provider(line) as proxy:
        proxy.faults = [replace(fault) for _ in range(3)]
        bag = a_bag()
        (ended,) = line.run(line.deposit("bag.tar", bag.tar()))
        assert ended.status == "Success"
        assert proxy.faults == []
        assert_preserved(line, bag)
