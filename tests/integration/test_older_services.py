"""Items that an older service pre-fetched: no byte ranges in Redis, only contract B's hash."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest
import valkey

from bagline.errors import BagRejected
from bagline.lines.ingest.received_tar import walk_headers
from bagline.model.subject import item_subject
from bagline.model.workitem import WorkItem
from support.bags import END, BagBuilder, extension, header, padded, pax
from support.line import LineUnderTest

MIB = 1024 * 1024
BEFORE_STAGING = ("pre-fetch", "validator", "reingest-manager")
LARGE = bytes(range(256)) * 4096 * 9
LONG = "a very long directory name/" * 9 + "scan.tif"


def a_bag() -> BagBuilder:
    bag = BagBuilder().payload("large.bin", LARGE).payload("empty.txt", b"")
    for number in range(120):
        bag.payload(f"{number:03d}.bin", bytes([number]) * (number * 700))
    return bag.payload(LONG, b"long\n").payload("Übersicht.txt", b"x\n")


def as_an_older_service_left_it(line: LineUnderTest, item: WorkItem) -> None:
    """Bring the item to staging, and take away what only Bagline writes."""
    with line.working(only=BEFORE_STAGING):
        line.until(lambda: line.item(item.id).stage == "Copy To Staging", "staging", item=item.id)
    client = valkey.Valkey.from_url(line.settings.redis_url.reveal())
    for field, _ in client.hscan_iter(str(item.id), match="bagline:*"):
        client.hdel(str(item.id), field)
    client.close()


def assert_staged(line: LineUnderTest, item: WorkItem, files: dict[str, bytes]) -> None:
    with line.working(only=("staging-uploader",)):
        line.until(
            lambda: line.item(item.id).stage == "Format Identification", "the end", item=item.id
        )
    records = line.files(item.id)
    assert all(records[path].is_staged for path in files)
    for path, body in files.items():
        key = f"{item.id}/{records[path].uuid}"
        assert line.services.objects.read(line.settings.buckets.staging, key) == body
    kept = {f"{item.id}/{record.uuid}" for record in records.values()}
    assert {k for k in line.staged(item.id) if "manifest" not in k and ".txt" not in k} == kept


def test_the_headers_are_walked_and_the_whole_line_goes_on(line: LineUnderTest) -> None:
    for format in ("pax", "gnu"):
        bag = a_bag()
        item = line.deposit("bag.tar", bag.tar(format))
        as_an_older_service_left_it(line, item)
        assert_staged(line, item, bag.files())
        (ended,) = line.run(item)
        assert ended.status == "Success"
        assert line.staged(item.id) == []
        assert line.redis_keys() == []


def test_what_an_older_service_passes_over_is_left_out(line: LineUnderTest) -> None:
    bag = BagBuilder().payload("one.txt", b"one\n")
    files = bag.files()
    item = line.deposit("bag.tar", bag.hard_link("data/again.txt", "data/one.txt").tar())
    as_an_older_service_left_it(line, item)
    without_record(line, item, "data/again.txt", file_count=len(files))
    assert_staged(line, item, {path: files[path] for path in ("data/one.txt", "bagit.txt")})


def test_sparse_files_that_an_older_service_expanded_go_in_expanded(line: LineUnderTest) -> None:
    body = bytes(3 * MIB) + b"in the middle" + bytes(2 * MIB)
    bag = BagBuilder().without_oxum().payload("one.txt", b"one\n")
    for algorithm in ("md5", "sha256"):
        listed = f"{hashlib.new(algorithm, body).hexdigest()}  data/disk.img".encode()
        bag.manifest_line(f"manifest-{algorithm}.txt", listed)
    stored = padded(b"1\n%d\n13\n" % (3 * MIB)) + b"in the middle"
    sparse = pax(
        GNU_sparse_major="1",
        GNU_sparse_minor="0",
        GNU_sparse_name="bag/data/disk.img",
        GNU_sparse_realsize=len(body),
    ) + header(b"bag/GNUSparseFile.0/disk.img", len(stored)) + padded(stored)  # fmt: skip
    item = line.deposit("bag.tar", sparse + bag.tar())
    as_an_older_service_left_it(line, item)
    assert_staged(line, item, {**bag.files(), "data/disk.img": body})


def test_a_file_without_a_record_sends_the_item_back(line: LineUnderTest) -> None:
    bag = a_bag()
    item = line.deposit("bag.tar", bag.tar())
    as_an_older_service_left_it(line, item)
    without_record(line, item, "data/007.bin", file_count=len(bag.files()) - 1)
    with line.working(only=("staging-uploader",)):
        line.until(lambda: "data/007.bin" in line.item(item.id).note, "its note", item=item.id)
    back = line.item(item.id)
    assert (back.stage, back.status, back.retry) == ("Copy To Staging", "Pending", True)


def test_a_walk_broken_off_goes_on_and_marks_no_file_twice(line: LineUnderTest) -> None:
    bag = a_bag()
    item = line.deposit("bag.tar", bag.tar())
    as_an_older_service_left_it(line, item)
    some = {p: f for p, f in line.files(item.id).items() if p.endswith("1.bin")}
    lease = line.services.state.take_lease(item_subject(item.id), owner="older", seconds=30)
    assert lease is not None
    for file in some.values():
        file.copied_to_staging_at = "2026-01-02T03:04:05.5Z"
    line.services.state.commit(lease, files=list(some.values()))
    line.services.state.drop_lease(lease)
    with line.working(only=("staging-uploader",)):
        line.until(
            lambda: line.item(item.id).stage == "Format Identification", "the end", item=item.id
        )
    after = line.files(item.id)
    assert all(file.is_staged for file in after.values())
    assert {p: after[p].copied_to_staging_at for p in some} == {
        p: f.copied_to_staging_at for p, f in some.items()
    }


def without_record(line: LineUnderTest, item: WorkItem, path: str, *, file_count: int) -> None:
    """As if the older service had not seen the file."""
    client = valkey.Valkey.from_url(line.settings.redis_url.reveal())
    assert client.hdel(str(item.id), f"file:test.edu/bag/{path}") == 1
    client.close()
    bag = line.services.state.load_object(item.id)
    lease = line.services.state.take_lease(item_subject(item.id), owner="older", seconds=30)
    assert bag is not None
    assert lease is not None
    bag.file_count = file_count
    line.services.state.commit(lease, object=bag)
    line.services.state.drop_lease(lease)


def test_payloads_are_skipped_and_headers_come_in_small_reads() -> None:
    tar = BagBuilder().payload("a.bin", bytes(5 * MIB)).payload("b.bin", bytes(7 * MIB)).tar()
    reads: list[tuple[int, int]] = []

    def read(start: int, length: int) -> bytes:
        reads.append((start, length))
        return tar[start : start + length]

    names = [member.name for member in walk_headers(read, len(tar))]
    with tarfile.open(fileobj=io.BytesIO(tar)) as whole:
        assert names == whole.getnames()
    assert sum(length for _, length in reads) < MIB


def test_headers_that_stand_close_come_in_few_reads() -> None:
    bag = BagBuilder()
    for number in range(3_000):
        bag.payload(f"{number}.txt", b"x" * 1_000)
    tar, count = bag.tar("gnu"), 0

    def read(start: int, length: int) -> bytes:
        nonlocal count
        count += 1
        return tar[start : start + length]

    members = list(walk_headers(read, len(tar)))
    with tarfile.open(fileobj=io.BytesIO(tar)) as whole:
        known = [(m.name, m.offset_data, m.size) for m in whole]
    assert [(m.name, m.data_offset, m.size) for m in members] == known
    assert count < 12


def test_global_headers_hold_beyond_a_skipped_payload() -> None:
    tar = (
        extension(b"g", {"comment": "x", "path": ""})
        + header(b"bag/data/large", MIB)
        + bytes(MIB)
        + extension(b"g", {"mtime": "7"})
        + header(b"bag/data/large2", MIB)
        + bytes(MIB)
        + header(b"bag/data/small", 1)
        + padded(b"x")
        + END
    )
    members = list(walk_headers(lambda start, length: tar[start : start + length], len(tar)))
    assert [member.mtime for member in members][1:] == [7 * 10**9] * 2


@pytest.mark.parametrize("cut", [700 * 1024, 3 * MIB])
def test_a_tar_cut_off_inside_a_payload_is_the_bags_fault(cut: int) -> None:
    tar = BagBuilder().payload("a.bin", bytes(5 * MIB)).tar()[:cut]
    with pytest.raises(BagRejected):
        list(walk_headers(lambda start, length: tar[start : start + length], len(tar)))
