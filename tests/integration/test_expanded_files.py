"""Files that are larger than what the tar holds of them: holes, and names of one file."""

from __future__ import annotations

import hashlib
import threading

import pytest

from bagline.errors import Refused
from support.bags import BagBuilder, header, padded, pax
from support.line import LineUnderTest

pytestmark = pytest.mark.engines

MIB = 1024 * 1024


@pytest.mark.parametrize("size", [1, 100_000, 9 * MIB])
@pytest.mark.parametrize("map_of_the_hole", ["", "{size}\n0\n"], ids=["no stretch", "an empty one"])
def test_a_file_that_is_one_hole_is_ingested(
    line: LineUnderTest, size: int, map_of_the_hole: str
) -> None:
    body = bytes(size)
    bag = BagBuilder().without_oxum().payload("one.txt", b"one\n")
    for algorithm in ("md5", "sha256"):
        listed = f"{hashlib.new(algorithm, body).hexdigest()}  data/hole.bin".encode()
        bag.manifest_line(f"manifest-{algorithm}.txt", listed)
    stretches = map_of_the_hole.format(size=size)
    count = stretches.count("\n") // 2
    stored = padded(f"{count}\n{stretches}".encode())
    hole = pax(
        GNU_sparse_major="1",
        GNU_sparse_minor="0",
        GNU_sparse_name="bag/data/hole.bin",
        GNU_sparse_realsize=size,
    ) + header(b"bag/GNUSparseFile.0/hole.bin", len(stored)) + padded(stored)  # fmt: skip
    (item,) = line.run(line.deposit("bag.tar", hole + bag.tar()))
    assert item.status == "Success", item.note
    file = line.services.registry.files(["test.edu/bag/data/hole.bin"])
    for bucket in line.preservation_buckets():
        found = line.services.objects.read(bucket, file["test.edu/bag/data/hole.bin"].uuid)
        assert found == body


def test_a_small_tar_that_asks_for_a_large_disk_is_refused_before_anything_is_stored(
    line: LineUnderTest,
) -> None:
    bag = BagBuilder().without_oxum().payload("one.bin", b"1" * MIB)
    for number in range(20):
        bag.hard_link(f"data/{number}.bin", "data/one.bin")
    item = line.deposit("bag.tar", bag.tar())
    asked: list[int] = []

    def check_room(size: int) -> None:
        asked.append(size)
        raise Refused("the disk has no room for it: free some space")

    worker = line.app.worker(list(line.app.ingest_line))
    object.__setattr__(worker._context, "check_room", check_room)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        ended = line.until_ended(item.id)
    finally:
        worker.stop()
        thread.join(timeout=30)
    assert (ended.status, ended.stage) == ("Suspended", "Copy To Staging")
    assert "free some space" in ended.note
    assert asked == [sum(file.size for file in line.files(item.id).values())]
    assert asked[0] > 20 * MIB
    staged = [name for name in line.staged(item.id) if not name.endswith(".txt")]
    assert staged == []
