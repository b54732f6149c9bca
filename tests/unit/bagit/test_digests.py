"""Lanes and batches: right digests whatever the sizes, cores and order."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator

import pytest

from bagline.bagit import digests
from bagline.bagit.digests import as_hex, digests_of, from_hex
from bagline.bagit.hashing.digester import BATCH_FILE_BYTES, BATCHES_HERE, Digester
from bagline.bagit.hashing.lanes import GROUP_BYTES, LANE_GROUPS, lanes_for
from bagline.model.ingest import DIGEST_ALGORITHMS


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 16])
def test_each_algorithm_has_exactly_one_lane(cores: int) -> None:
    names = [name for lane in lanes_for(cores) for name in lane]
    assert sorted(names) == sorted(DIGEST_ALGORITHMS)
    assert tuple(digests.LENGTHS) == DIGEST_ALGORITHMS


@pytest.mark.parametrize("cores", [1, 2, 3, 4])
def test_digests_of_files_of_all_sizes_in_any_order(cores: int) -> None:
    rng = random.Random(cores)
    sizes = [0, 1, 2047, 2048, 4096, BATCH_FILE_BYTES, 3 * GROUP_BYTES + 5] * 4
    rng.shuffle(sizes)
    bodies = [rng.randbytes(size) for size in sizes]
    with Digester(cores) as digester:
        pending = []
        for body in bodies:
            view = memoryview(body)
            if len(body) <= BATCH_FILE_BYTES:
                pending.append(digester.small(view))
            else:
                pieces = (view[i : i + 70_000] for i in range(0, len(view), 70_000))
                pending.append(digester.large(pieces))
        found = [each.result() for each in pending]
        assert all(each.done for each in pending)
    assert found == [digests_of(body) for body in bodies]


def small_bodies(count: int) -> list[bytes]:
    rng = random.Random(count)
    return [rng.randbytes(rng.choice([0, 1, 100, 4096])) for _ in range(count)]


def test_many_small_files_get_a_helper_and_the_same_digests() -> None:
    bodies = small_bodies(5_000)
    with Digester(2) as digester:
        pending = [digester.small(memoryview(body)) for body in bodies]
        assert len(digester._helpers) == 1
        assert [each.result() for each in pending] == [digests_of(body) for body in bodies]


def test_few_small_files_get_no_helper() -> None:
    with Digester(4) as digester:
        for body in small_bodies(BATCHES_HERE):
            digester.small(memoryview(body))
        assert digester._helpers == []


def test_a_helper_that_dies_costs_nothing_but_time() -> None:
    bodies = small_bodies(9_000)
    with Digester(3) as digester:
        pending = []
        for number, body in enumerate(bodies):
            pending.append(digester.small(memoryview(body)))
            if number == 6_000:
                digester._helpers[0]._process.kill()
        assert [each.result() for each in pending] == [digests_of(body) for body in bodies]


def test_where_no_helper_can_be_started_all_is_hashed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/there/is/no/python")
    bodies = small_bodies(5_000)
    with Digester(2) as digester:
        pending = [digester.small(memoryview(body)) for body in bodies]
        assert [each.result() for each in pending] == [digests_of(body) for body in bodies]


def test_a_helper_ends_with_the_scan() -> None:
    with Digester(2) as digester:
        for body in small_bodies(5_000):
            digester.small(memoryview(body))
        helper = digester._helpers[0]._process
    assert helper.returncode is not None


@pytest.mark.parametrize("size", [1_000, 1_001, 2_000, 2_999, 3_000_000])
def test_parts_are_hashed_beside_the_whole(size: int) -> None:
    part_bytes = 1_000 if size < 10_000 else 1_000_000
    body = random.Random(size).randbytes(size)
    pieces = (memoryview(body)[at : at + 700_001] for at in range(0, size, 700_001))
    with Digester(2, part_bytes=part_bytes) as digester:
        pending = digester.large(pieces, size)
        assert pending.result() == digests_of(body)
        starts = range(0, size, part_bytes) if size > part_bytes else ()
        parts = [body[at : at + part_bytes] for at in starts]
        assert pending.parts().sha256 == tuple(hashlib.sha256(part).hexdigest() for part in parts)
        assert pending.parts().md5 == tuple(hashlib.md5(part).hexdigest() for part in parts)


def test_hex_and_back() -> None:
    raw = digests_of(b"abc")
    assert from_hex(as_hex(raw)) == raw
    assert as_hex(raw)["sha512"] == hashlib.sha512(b"abc").hexdigest()


def test_a_slow_reader_of_results_bounds_what_is_in_flight() -> None:
    """A fast source waits for the lanes: no more than their queues hold is ahead."""
    hashed = threading.Event()
    ahead: list[int] = []

    def pieces() -> Iterator[memoryview]:
        block = memoryview(bytes(GROUP_BYTES))
        for number in range(3 * LANE_GROUPS):
            ahead.append(number)
            yield block
        hashed.set()

    with Digester(2) as digester:
        pending = digester.large(pieces())
        assert hashed.wait(30)
        waiting = max(lane.queue.qsize() for lane in digester.lanes.lanes)
        assert waiting <= LANE_GROUPS
        pending.result()
    assert len(ahead) == 3 * LANE_GROUPS


def test_what_fails_in_a_thread_is_raised_where_it_is_waited_for() -> None:
    with Digester(2) as digester:
        batch = digester.small("no bytes")  # type: ignore[arg-type]
        lane = digester.large(iter(["no bytes either"]))  # type: ignore[list-item]
        for pending in (batch, lane):
            with pytest.raises(TypeError):
                pending.result()
        assert digester.large(iter([memoryview(b"abc")])).result() == digests_of(b"abc")
