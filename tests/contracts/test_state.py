"""What every State promises, asked of each implementation on its real engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import psutil
import pytest
import valkey

from bagline.embedded import EngineAddresses
from bagline.errors import BrokenState, LeaseLost, Misconfigured, Refused, Unreachable
from bagline.model import wire
from bagline.model.ingest import IngestChecksum, IngestFile, IngestObject, TarSpan
from bagline.model.subject import item_subject
from bagline.model.times import Timestamp
from bagline.model.workitem import WorkResult
from bagline.services.state.base import (
    BATCH_FILES,
    COMMIT_FILES,
    CopyProof,
    FileEntry,
    State,
)
from bagline.services.state.keys import pack_member, pack_span
from bagline.services.state.lease import Lease
from bagline.services.state.redis import RedisState
from bagline.services.state.taken import Taken
from support.engines import closed_port, fresh_id
from support.proxy import Fault, Proxy, proxy_before

pytestmark = pytest.mark.engines

BAG = "test.edu/bag"
IMPLEMENTATIONS: dict[str, Callable[[EngineAddresses], State]] = {
    "redis": lambda engines: RedisState(engines.redis_url),
}


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def state(request: pytest.FixtureRequest, engines: EngineAddresses) -> Iterator[State]:
    made = IMPLEMENTATIONS[request.param](engines)
    yield made
    made.close()


@pytest.fixture
def redis(engines: EngineAddresses) -> valkey.Valkey:
    return valkey.Valkey.from_url(engines.redis_url)


@pytest.fixture
def lease(state: State) -> Lease:
    return take(state, fresh_id())


def take(state: State, item_id: int, owner: str = "host-a/1", seconds: float = 60) -> Lease:
    lease = state.take_lease(item_subject(item_id), owner=owner, seconds=seconds)
    assert lease is not None
    return lease


def steal(state: State, redis: valkey.Valkey, lease: Lease) -> Lease:
    """As if the lease had run out, and another worker had come."""
    redis.delete(f"bagline:{{{lease.item_id}}}:lease")
    return take(state, lease.item_id, "host-b/2")


def a_file(path: str, size: int = 0) -> IngestFile:
    return IngestFile(object_identifier=BAG, path_in_bag=path, size=size, uuid=f"uuid-{path!r}")


def an_entry(number: int, size: int = 512) -> FileEntry:
    span = TarSpan(number * 1024, number * 1024 + 512, size)
    return FileEntry(a_file(f"data/{number:06}.txt", size), span)


def an_object(key: str = "bag.tar") -> IngestObject:
    return IngestObject(institution="test.edu", s3_key=key, s3_bucket="receiving", size=9)


def paths(state: State, item_id: int) -> list[str]:
    return [entry.file.path_in_bag for batch in state.iter_files(item_id) for entry in batch]


# -- leases
def test_one_lease_at_a_time(state: State, lease: Lease) -> None:
    assert state.take_lease(item_subject(lease.item_id), owner="host-b/2", seconds=60) is None
    assert state.lease_owner(item_subject(lease.item_id)) == "host-a/1"
    state.check_lease(lease)
    state.renew_lease(lease, seconds=60)
    state.drop_lease(lease)
    assert state.lease_owner(item_subject(lease.item_id)) == ""
    take(state, lease.item_id, "host-b/2")


def test_a_lease_comes_with_what_stands_in_the_records(state: State, lease: Lease) -> None:
    subject, bag = item_subject(lease.item_id), an_object()
    result = WorkResult(operation="topic", attempt=3)
    state.drop_lease(lease)

    def taken() -> Taken:
        found = state.take(subject, owner="a/1", seconds=60, topic="topic", tally="reach: topic")
        assert found is not None
        return found

    first = taken()
    assert (first.is_new, first.result(), first.tally(), first.object()) == (True, None, 0, None)
    assert state.take(subject, owner="b/2", seconds=60) is None
    state.commit(
        first.lease, object=bag, result=result, checkpoint=b"here", tally={"reach: topic": 7}
    )
    state.drop_lease(first.lease)
    second = taken()
    assert not second.is_new
    assert (second.result(), second.tally(), second.object()) == (result, 7, bag)
    assert second.checkpoint == b"here"


def test_a_record_that_cannot_be_read_costs_no_lease(
    state: State, redis: valkey.Valkey, lease: Lease
) -> None:
    subject, key = item_subject(lease.item_id), lease.item_id
    state.drop_lease(lease)
    redis.hset(str(key), mapping={"workresult:topic": "{", "bagline:tally:t": "x"})
    found = state.take(subject, owner="a/1", seconds=60, topic="topic", tally="t")
    assert found is not None
    for read in (found.result, found.tally):
        with pytest.raises(BrokenState):
            read()
    state.drop_lease(found.lease)
    redis.delete(str(key))
    redis.set(str(key), "no hash")
    with pytest.raises(BrokenState):
        state.take(subject, owner="a/1", seconds=60)
    assert state.lease_owner(subject) == ""


def test_a_lease_runs_out_and_then_nothing_of_it_works(
    state: State, redis: valkey.Valkey, lease: Lease
) -> None:
    assert 0 < redis.pttl(f"bagline:{{{lease.item_id}}}:lease") <= 60_000
    other = steal(state, redis, lease)
    with pytest.raises(LeaseLost):
        state.check_lease(lease)
    with pytest.raises(LeaseLost):
        state.renew_lease(lease, seconds=60)
    state.drop_lease(lease)
    state.check_lease(other)


def test_leases_of_the_dead_are_broken_and_only_those(state: State) -> None:
    dead = take(state, fresh_id(), f"dead|host/{fresh_id()}")
    alive = take(state, fresh_id(), f"live/{fresh_id()}")
    owner = dead.token.rpartition("|")[0]
    assert state.break_leases(lambda who: who == owner) == [dead.subject]
    assert state.lease_owner(item_subject(dead.item_id)) == ""
    state.check_lease(alive)


# -- the fence
def test_a_write_with_a_lost_lease_writes_nothing(
    state: State, redis: valkey.Valkey, lease: Lease
) -> None:
    state.commit(lease, files=[an_entry(0)], object=an_object(), checkpoint=b"1", tally={"n": 1})
    steal(state, redis, lease)
    before = dump(redis, lease.item_id)
    with pytest.raises(LeaseLost):
        state.commit(
            lease,
            files=[an_entry(1)],
            object=an_object(),
            result=WorkResult(operation="t"),
            checkpoint=b"2",
            tally={"n": 1},
        )
    with pytest.raises(LeaseLost):
        state.restart_item(lease)
    with pytest.raises(LeaseLost):
        state.delete_item(lease)
    assert dump(redis, lease.item_id) == before


def dump(redis: valkey.Valkey, item_id: int) -> dict[bytes, bytes | None]:
    names = [str(item_id).encode(), *redis.keys(f"bagline:{{{item_id}}}:*")]
    return {name: redis.dump(name) for name in sorted(names)}


def test_a_write_that_cannot_be_whole_is_not_begun(
    state: State, redis: valkey.Valkey, lease: Lease
) -> None:
    redis.hset(str(lease.item_id), "bagline:tally:n", "not a number")
    with pytest.raises(BrokenState, match="tally:n"):
        state.commit(lease, files=[an_entry(0)], tally={"n": 1})
    assert redis.hkeys(str(lease.item_id)) == [b"bagline:tally:n"]


# -- what comes back is what went in
def test_object_result_checkpoint_and_tally(state: State, lease: Lease) -> None:
    item = lease.item_id
    assert state.load_object(item) is None
    assert state.load_result(item_subject(item), "ingest01_prefetch") is None
    assert state.load_checkpoint(item) is None
    assert state.load_tally(item, "a") == 0
    assert not state.has_item(item)
    result = WorkResult(operation="ingest01_prefetch", attempt=2, host="h", pid=3)
    state.commit(lease, object=an_object(), result=result, checkpoint=b"\x00at", tally={"a": 2})
    state.commit(lease, tally={"a": 3, "b": -1})
    assert state.load_object(item) == an_object()
    assert state.load_result(item_subject(item), "ingest01_prefetch") == result
    assert state.load_checkpoint(item) == b"\x00at"
    assert (state.load_tally(item, "a"), state.load_tally(item, "b")) == (5, -1)
    assert state.has_item(item)
    state.commit(lease, checkpoint=b"")
    assert state.load_checkpoint(item) is None


def test_fields_are_those_of_the_contract(state: State, redis: valkey.Valkey, lease: Lease) -> None:
    odd = b"data/\xff\xe9 <&>.txt".decode("utf-8", "surrogateescape")
    state.commit(
        lease,
        files=[FileEntry(a_file(odd), None)],
        object=an_object("bag.b01.of02.tar"),
        result=WorkResult(operation="ingest01_prefetch"),
    )
    fields = redis.hkeys(str(lease.item_id))
    assert {field for field in fields if not field.startswith(b"bagline:")} == {
        b"object:test.edu/bag",
        b"workresult:ingest01_prefetch",
        b"file:test.edu/bag/data/\xff\xe9 <&>.txt",
    }


def test_what_lives_as_long_as_the_item_lives_in_its_hash(
    state: State, redis: valkey.Valkey, lease: Lease
) -> None:
    """Who deletes the hash, as other clean-ups do, leaves no key behind."""
    proofs = {"uuid": {"bucket": CopyProof("read back", Timestamp("2026-01-02T03:04:05Z"))}}
    state.commit(
        lease,
        files=[an_entry(0)],
        object=an_object(),
        result=WorkResult(operation="t"),
        checkpoint=b"1",
        tally={"n": 1},
        proofs=proofs,
    )
    state.show_progress(lease.subject, b"half")
    state.drop_lease(lease)
    assert redis.keys(f"bagline:*{lease.item_id}*") == []
    redis.delete(str(lease.item_id))
    assert not state.has_item(lease.item_id)


def test_a_scan_of_files_reads_over_what_is_ours(
    state: State, redis: valkey.Valkey, lease: Lease
) -> None:
    for start in range(0, 2_000, COMMIT_FILES):
        entries = [an_entry(n) for n in range(start, start + COMMIT_FILES)]
        state.commit(lease, files=entries, object=an_object(), checkpoint=b"1", tally={"n": 1})
    assert redis.hlen(str(lease.item_id)) <= 2_000 + 10
    scanned = dict(redis.hscan_iter(str(lease.item_id), match="file:*", count=100))
    assert len(scanned) == 2_000


def test_proofs_are_forgotten_all_at_once(state: State, lease: Lease) -> None:
    proofs = {
        uuid: {"bucket": CopyProof("read back", Timestamp("2026-01-02T03:04:05Z"))}
        for uuid in ("a", "b")
    }
    state.commit(lease, proofs=proofs)
    assert state.load_proofs(lease.item_id, ["a", "b", "c"]) == proofs
    state.forget_proofs(lease)
    assert state.load_proofs(lease.item_id, ["a", "b", "c"]) == {}
    state.commit(lease, proofs={"b": proofs["b"]})
    assert state.load_proofs(lease.item_id, ["a", "b", "c"]) == {"b": proofs["b"]}


def test_keys_of_an_earlier_release_move_into_the_hash(state: State, redis: valkey.Valkey) -> None:
    item = fresh_id()
    key = f"bagline:{{{item}}}:"
    tag = FileEntry(a_file("bagit.txt", 9), TarSpan(0, 512, 9))
    listed = FileEntry(a_file("data/listed"), None)
    parts = ("a" * 64, "b" * 64)
    large = FileEntry(a_file("data/large", 9), TarSpan(0, 512, 9, (), parts))
    entries = [tag, an_entry(1), listed, large]
    records = {f"file:{BAG}/{e.file.path_in_bag}": wire.encode(e.file) for e in entries}
    redis.hset(str(item), mapping=records | {f"object:{BAG}": wire.encode(an_object())})
    for entry in entries:
        raw, packed = entry.file.path_in_bag.encode(), pack_span(entry.span)
        redis.rpush(key + "members", pack_member(raw, packed))
        redis.hset(key + "spans", hashlib.blake2b(raw, digest_size=12).digest(), packed)
    redis.set(key + "object", BAG)
    redis.set(key + "checkpoint", b"\x00at")
    redis.hset(key + "tally", "n", 3)
    redis.hset(key + "proofs", "uuid", b'{"bucket":["read back","2026-01-02T03:04:05Z"]}')
    assert state.has_item(item)

    lease = take(state, item)
    assert redis.keys(key + "*") == [f"{key}lease".encode()]
    assert [entry for batch in state.iter_files(item) for entry in batch] == entries
    found = state.load_files(item, BAG, ["bagit.txt", "data/large"])
    assert (found["bagit.txt"], found["data/large"]) == (tag, large)
    assert (state.count_files(item), state.load_tally(item, "n")) == (4, 3)
    assert state.load_object(item) == an_object()
    assert state.load_checkpoint(item) == b"\x00at"
    assert state.load_proofs(item, ["uuid"])["uuid"]["bucket"].how == "read back"
    state.commit(lease, files=[an_entry(1), an_entry(2)], tally={"n": 1})
    assert len(paths(state, item)) == state.count_files(item) == 5
    assert state.load_tally(item, "n") == 4


def test_keys_that_an_earlier_release_left_behind_go(state: State, redis: valkey.Valkey) -> None:
    item = fresh_id()
    redis.set(f"bagline:{{{item}}}:object", BAG)
    state.drop_lease(take(state, item))
    assert redis.keys(f"*{{{item}}}*") == []
    assert not state.has_item(item)


def sweep_all(state: State) -> list[int]:
    """One round through all keys, of which each look takes only some."""
    place, swept = state.sweep_earlier(0)
    while place:
        place, more = state.sweep_earlier(place)
        swept += more
    return swept


def leave_earlier(redis: valkey.Valkey, item: int) -> None:
    """Every kind of key that an earlier release had beside an item's hash."""
    key = f"bagline:{{{item}}}:"
    redis.set(key + "object", BAG)
    redis.rpush(key + "members", b"x")
    redis.hset(key + "spans", "x", b"x")
    redis.set(key + "checkpoint", b"x")
    redis.hset(key + "tally", "x", 1)
    redis.hset(key + "proofs", "x", b"x")


def test_a_sweep_takes_what_an_earlier_release_left_of_items_that_ended(
    state: State, redis: valkey.Valkey
) -> None:
    gone, with_hash, leased = fresh_id(), fresh_id(), fresh_id()
    held = take(state, leased)
    for item in (gone, with_hash, leased):
        leave_earlier(redis, item)
    redis.hset(str(with_hash), f"object:{BAG}", wire.encode(an_object()))
    state.show_progress(item_subject(gone), b"half")
    redis.set(f"bagline:{{file:{gone}}}:object", b"no item's")
    assert sweep_all(state) == [gone]
    assert set(redis.keys(f"bagline:{{*{gone}}}:*")) == {
        f"bagline:{{{gone}}}:progress".encode(),
        f"bagline:{{file:{gone}}}:object".encode(),
    }
    assert len(redis.keys(f"bagline:{{{with_hash}}}:*")) == 6
    assert len(redis.keys(f"bagline:{{{leased}}}:*")) == 7
    state.drop_lease(held)
    assert sweep_all(state) == [leased]
    assert sweep_all(state) == []
    redis.delete(f"bagline:{{file:{gone}}}:object")


def test_a_sweep_looks_at_some_keys_at_a_time(state: State, redis: valkey.Valkey) -> None:
    items = [fresh_id() for _ in range(1_000)]
    for item in items:
        redis.set(f"bagline:{{{item}}}:object", BAG)
    place, swept = state.sweep_earlier(0)
    assert place
    assert len(swept) < 500
    while place:
        place, more = state.sweep_earlier(place)
        assert len(more) < 500
        swept += more
    assert sorted(swept) == sorted(items)


def test_paths_that_are_not_utf8_come_back_byte_by_byte(state: State, lease: Lease) -> None:
    odd = [
        raw.decode("utf-8", "surrogateescape") for raw in (b"data/\xff", b"data/\xfe", b"d/\xc3")
    ]
    state.commit(lease, files=[FileEntry(a_file(path), None) for path in odd])
    assert paths(state, lease.item_id) == odd
    assert list(state.load_files(lease.item_id, BAG, odd)) == odd


def test_files_come_by_path_and_tag_files_with_their_spans(state: State, lease: Lease) -> None:
    sparse = FileEntry(a_file("data/sparse", 9), TarSpan(0, 512, 4, ((0, 2), (7, 2))))
    listed = FileEntry(a_file("data/only-in-a-manifest"), None)
    tag = FileEntry(a_file("tags/\udcff.txt", 9), TarSpan(5, 517, 9))
    large = FileEntry(a_file("data/large", 9), TarSpan(5, 517, 9, (), ("ab", "cd")))
    state.commit(lease, files=[an_entry(1), sparse, listed, tag, large])
    wanted = [
        "data/sparse",
        "data/000001.txt",
        "data/only-in-a-manifest",
        "tags/\udcff.txt",
        "data/large",
        "data/absent",
    ]
    found = state.load_files(lease.item_id, BAG, wanted)
    assert set(found) == set(wanted[:5])
    assert found["data/sparse"] == FileEntry(sparse.file, None)
    assert found["data/000001.txt"] == FileEntry(an_entry(1).file, None)
    assert found["data/only-in-a-manifest"] == listed
    assert found["tags/\udcff.txt"] == tag
    assert found["data/large"] == large
    assert state.load_files(lease.item_id, BAG, []) == {}
    assert state.load_files(lease.item_id, BAG, wanted[3:4], spans=False) == {
        wanted[3]: FileEntry(tag.file, None)
    }
    walked = [entry for batch in state.iter_files(lease.item_id) for entry in batch]
    assert walked == [an_entry(1), sparse, listed, tag, large]


def test_saving_again_changes_the_record_and_not_the_order(state: State, lease: Lease) -> None:
    entries = [an_entry(n) for n in (5, 3, 9)]
    state.commit(lease, files=entries)
    changed = a_file("data/000003.txt", 512)
    changed.copied_to_staging_at = Timestamp("2026-01-02T03:04:05.123456789Z")
    state.commit(lease, files=[changed])
    state.commit(lease, files=[entries[2]])  # the same entry twice is listed once
    [batch] = list(state.iter_files(lease.item_id))
    assert [entry.file.path_in_bag for entry in batch] == [
        "data/000005.txt",
        "data/000003.txt",
        "data/000009.txt",
    ]
    assert batch[1] == FileEntry(changed, entries[1].span)
    assert state.count_files(lease.item_id) == 3


def test_a_new_record_without_a_span_joins_the_list(state: State, lease: Lease) -> None:
    state.commit(lease, files=[an_entry(0)])
    state.commit(lease, files=[a_file("data/later"), an_entry(1)])
    assert paths(state, lease.item_id) == ["data/000000.txt", "data/later", "data/000001.txt"]


def test_records_may_be_saved_while_they_are_walked(state: State, lease: Lease) -> None:
    for start in range(0, 1_000, BATCH_FILES):
        state.commit(lease, files=[an_entry(n) for n in range(start, start + BATCH_FILES)])
    seen = []
    for batch in state.iter_files(lease.item_id, batch=70):
        assert len(batch) <= 70
        seen += [entry.file.path_in_bag for entry in batch]
        state.commit(lease, files=[entry.file for entry in batch])
    assert seen == [f"data/{n:06}.txt" for n in range(1_000)]


def test_a_hundred_thousand_files_pass_in_bounded_memory(state: State, lease: Lease) -> None:
    count, checksum = 100_000, IngestChecksum(algorithm="sha256", digest="0" * 64, source="ingest")
    for start in range(0, count, BATCH_FILES):
        entries = [an_entry(n) for n in range(start, start + BATCH_FILES)]
        for entry in entries:
            entry.file.checksums = [checksum]
        state.commit(lease, files=entries)
    assert state.count_files(lease.item_id) == count
    process = psutil.Process()
    before, most, walked = process.memory_info().rss, 0, 0
    for batch in state.iter_files(lease.item_id):
        assert batch[0].file.path_in_bag == f"data/{walked:06}.txt"
        walked += len(batch)
        most = max(most, process.memory_info().rss)
    assert walked == count
    assert most - before < 24 * 1024 * 1024
    state.delete_item(lease)


# -- what other services wrote
def test_records_of_an_older_service_are_read(
    state: State, redis: valkey.Valkey, lease: Lease
) -> None:
    raw = {f"file:{BAG}/{f.path_in_bag}": wire.encode(f) for f in map(a_file, "abc")}
    raw["object:test.edu/bag.b01.of02"] = wire.encode(an_object("bag.b01.of02.tar"))
    raw["workresult:ingest01_prefetch"] = wire.encode(WorkResult(operation="ingest01_prefetch"))
    redis.hset(str(lease.item_id), mapping=raw)
    found = state.load_object(lease.item_id)
    assert found is not None
    assert found.s3_key == "bag.b01.of02.tar"
    assert sorted(paths(state, lease.item_id)) == ["a", "b", "c"]
    assert state.count_files(lease.item_id) == 3
    assert state.load_files(lease.item_id, BAG, ["b"])["b"].span is None
    state.commit(lease, files=[a_file("b", 7)], object=found)
    assert sorted(paths(state, lease.item_id)) == ["a", "b", "c"]


@pytest.mark.parametrize("bad", [b"{}", b"null", b"", b"[1]", b'{"path_in_bag": 3}', b"{"])
def test_a_broken_record_is_never_taken_for_an_empty_one(
    state: State, redis: valkey.Valkey, lease: Lease, bad: bytes
) -> None:
    state.commit(lease, files=[an_entry(0)], object=an_object())
    key, field = str(lease.item_id), f"file:{BAG}/data/000000.txt"
    redis.hset(key, field, bad)
    with pytest.raises(BrokenState, match=key):
        list(state.iter_files(lease.item_id))
    with pytest.raises(BrokenState, match=r"data/000000\.txt"):
        state.load_files(lease.item_id, BAG, ["data/000000.txt"])
    redis.hdel(key, field)
    with pytest.raises(BrokenState, match="gone"):
        list(state.iter_files(lease.item_id))
    redis.hset(key, f"object:{BAG}", bad)
    with pytest.raises(BrokenState, match=f"object:{BAG}"):
        state.load_object(lease.item_id)


def test_a_key_of_another_type_is_broken_state(
    state: State, redis: valkey.Valkey, lease: Lease
) -> None:
    redis.set(str(lease.item_id), "text")
    with pytest.raises(BrokenState, match=str(lease.item_id)):
        state.load_object(lease.item_id)
    with pytest.raises(BrokenState, match=str(lease.item_id)):
        state.commit(lease, object=an_object())


# -- beginning anew, and the end
def test_restart_keeps_only_the_work_results(
    state: State, redis: valkey.Valkey, lease: Lease
) -> None:
    result = WorkResult(operation="ingest01_prefetch", attempt=2)
    state.commit(
        lease,
        files=[an_entry(0)],
        object=an_object(),
        result=result,
        checkpoint=b"x",
        tally={"n": 1},
    )
    state.restart_item(lease)
    assert redis.hkeys(str(lease.item_id)) == [b"workresult:ingest01_prefetch"]
    assert state.load_result(item_subject(lease.item_id), "ingest01_prefetch") == result
    assert state.load_object(lease.item_id) is None
    assert state.load_checkpoint(lease.item_id) is None
    assert state.load_tally(lease.item_id, "n") == 0
    assert paths(state, lease.item_id) == []
    assert state.count_files(lease.item_id) == 0
    state.check_lease(lease)


def test_a_deleted_item_leaves_no_key(state: State, redis: valkey.Valkey, lease: Lease) -> None:
    neighbour = take(state, lease.item_id * 10)  # 12 is not 120
    for one in (lease, neighbour):
        state.commit(one, files=[an_entry(0)], object=an_object(), checkpoint=b"x", tally={"n": 1})
        state.show_progress(item_subject(one.item_id), b"half")
    state.delete_item(lease)
    assert not state.has_item(lease.item_id)
    assert not redis.exists(str(lease.item_id))
    assert redis.keys(f"bagline:{{{lease.item_id}}}:*") == [
        f"bagline:{{{lease.item_id}}}:lease".encode()
    ]
    state.check_lease(lease)
    state.drop_lease(lease)
    assert redis.keys(f"bagline:{{{lease.item_id}}}:*") == []
    assert paths(state, neighbour.item_id) == ["data/000000.txt"]


def test_what_cannot_be_meant_is_a_value_error(state: State, lease: Lease) -> None:
    with pytest.raises(ValueError, match="at most"):
        state.commit(lease, files=[an_entry(n) for n in range(COMMIT_FILES + 1)])
    with pytest.raises(ValueError, match="one object"):
        state.commit(lease, files=[IngestFile(object_identifier="a/b")], object=an_object())
    with pytest.raises(ValueError, match="operation"):
        state.commit(lease, result=WorkResult())


def test_progress_is_shown_and_expires(state: State, redis: valkey.Valkey) -> None:
    shown, silent = fresh_id(), fresh_id()
    state.show_progress(item_subject(shown), b"{}")
    asked = [item_subject(silent), item_subject(shown)]
    assert state.load_progress(asked) == {item_subject(shown): b"{}"}
    assert 0 < redis.ttl(f"bagline:{{{shown}}}:progress") <= 60
    assert not state.has_item(shown)
    assert state.load_progress([]) == {}


# -- faults
def test_it_says_what_answers(state: State) -> None:
    told = state.ping()
    assert told["product"] in {"Valkey", "Redis"}
    assert told["appendonly"] == "yes"
    assert told["appendfsync"] == "always"
    assert told["maxmemory-policy"] == "noeviction"


def test_a_dead_port_is_unreachable_and_no_secret_is_said() -> None:
    state = RedisState(f"redis://:hidden-word@127.0.0.1:{closed_port()}/0")
    with pytest.raises(Unreachable) as caught:
        state.take_lease(item_subject(1), owner="a", seconds=1)
    assert "hidden-word" not in f"{caught.value} {state!r} {state.__dict__}"


@pytest.fixture
def proxied(engines: EngineAddresses) -> Iterator[tuple[Proxy, State]]:
    """A state that goes through a proxy, and soon loses patience."""
    with proxy_before(engines.redis_url) as proxy:
        port = proxy.url.rpartition(":")[2]
        url = engines.redis_url.rpartition(":")[0] + f":{port}/0"
        state = RedisState(url, read_seconds=0.5)
        yield proxy, state
        state.close()


def test_a_silent_redis_is_unreachable_and_then_is_there_again(
    proxied: tuple[Proxy, State],
) -> None:
    proxy, state = proxied
    assert not state.has_item(1)
    proxy.faults = [Fault(hang=True)]
    with pytest.raises(Unreachable):
        state.has_item(1)
    assert not state.has_item(1)


def test_after_a_lost_answer_the_write_is_whole_and_a_repeat_lists_nothing_twice(
    proxied: tuple[Proxy, State],
) -> None:
    proxy, state = proxied
    lease = take(state, fresh_id())
    entries = [an_entry(n) for n in range(50)]
    state.commit(lease, files=entries[:10], checkpoint=b"10")
    proxy.faults = [Fault()]
    with pytest.raises(Unreachable):
        state.commit(lease, files=entries[10:], object=an_object(), checkpoint=b"50")
    assert state.load_checkpoint(lease.item_id) == b"50"
    assert state.load_object(lease.item_id) == an_object()
    state.commit(lease, files=entries[10:], checkpoint=b"50")
    assert paths(state, lease.item_id) == [entry.file.path_in_bag for entry in entries]


def test_wrong_credentials_are_refused(engines: EngineAddresses) -> None:
    port = engines.redis_url.rpartition(":")[2]
    for url in (f"redis://127.0.0.1:{port}", f"redis://:wrong-word@127.0.0.1:{port}"):
        with pytest.raises(Refused) as caught:
            RedisState(url).load_object(1)
        assert "wrong-word" not in str(caught.value)


def test_a_url_that_is_none_is_misconfigured() -> None:
    with pytest.raises(Misconfigured) as caught:
        RedisState("http://:hidden-word@127.0.0.1/0")
    assert "hidden-word" not in str(caught.value)


def test_a_full_redis_says_so_and_takes_nothing(
    state: State, redis: valkey.Valkey, lease: Lease
) -> None:
    redis.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(Unreachable, match="full"):
            state.commit(lease, files=[an_entry(0)])
    finally:
        redis.config_set("maxmemory", "0")
    assert not state.has_item(lease.item_id)
    state.commit(lease, files=[an_entry(0)])


def checksum(source: str = "manifest", algorithm: str = "md5") -> IngestChecksum:
    return IngestChecksum(algorithm=algorithm, datetime="2026-01-02T03:04:05Z", source=source)


def a_read_file(path: str) -> IngestFile:
    file = a_file(path)
    file.checksums = [checksum("ingest", "md5"), checksum("ingest", "sha256")]
    return file


def test_checksums_are_appended_where_the_record_lies(state: State, lease: Lease) -> None:
    tricky = 'data/}],"copied_to_staging_at":manifest" é\udcff <&>.txt'
    files = [a_read_file(path) for path in ("data/a", "data/b", tricky)]
    state.commit(lease, files=[FileEntry(file, TarSpan(0, 512, 0)) for file in files])
    added = [checksum("manifest", "md5"), checksum("tag_manifest", "sha256")]
    assert state.add_checksums(lease, BAG, {"data/a": added, tricky: added[:1]}) == []
    found = state.load_files(lease.item_id, BAG, ["data/a", "data/b", tricky])
    assert found["data/a"].file.checksums == files[0].checksums + added
    assert found["data/b"].file == files[1]
    assert found[tricky].file.checksums == files[2].checksums + added[:1]
    found[tricky].file.checksums = files[2].checksums
    assert found[tricky].file == files[2]
    assert paths(state, lease.item_id) == ["data/a", "data/b", tricky]


def test_what_needs_a_closer_look_is_left_alone(
    state: State, redis: valkey.Valkey, lease: Lease
) -> None:
    listed = a_file("data/listed")
    before = {
        "data/has": a_read_file("data/has"),
        "data/tag": a_read_file("data/tag"),
        "data/registry": a_read_file("data/registry"),
        "data/listed": listed,
        "data/free": a_read_file("data/free"),
    }
    before["data/has"].checksums.append(checksum("manifest"))
    before["data/tag"].checksums.append(checksum("tag_manifest"))
    before["data/registry"].checksums.append(checksum("registry"))
    state.commit(lease, files=list(before.values()))
    odd = b'{"path_in_bag": "data/odd", "object_identifier": "test.edu/bag"}'
    redis.hset(str(lease.item_id), b"file:test.edu/bag/data/odd", odd)
    asked = [*before, "data/odd", "data/none"]
    left = state.add_checksums(lease, BAG, {path: [checksum()] for path in asked})
    assert left == [path for path in asked if path != "data/free"]
    found = state.load_files(lease.item_id, BAG, list(before))
    assert {p: e.file for p, e in found.items() if p != "data/free"} == {
        p: f for p, f in before.items() if p != "data/free"
    }
    assert redis.hget(str(lease.item_id), b"file:test.edu/bag/data/odd") == odd
    again = state.add_checksums(lease, BAG, {"data/free": [checksum()]})
    assert again == ["data/free"]


def test_checksums_are_fenced_and_bounded(state: State, redis: valkey.Valkey, lease: Lease) -> None:
    state.commit(lease, files=[a_read_file("data/a")])
    with pytest.raises(ValueError, match="1000"):
        state.add_checksums(lease, BAG, {f"data/{n}": [checksum()] for n in range(1_001)})
    steal(state, redis, lease)
    with pytest.raises(LeaseLost):
        state.add_checksums(lease, BAG, {"data/a": [checksum()]})
    assert state.load_files(lease.item_id, BAG, ["data/a"])["data/a"].file == a_read_file("data/a")


def test_digests_beside_the_records_go_with_the_item(
    state: State, redis: valkey.Valkey, lease: Lease
) -> None:
    tricky = "data/\udcff\n"
    found = {"data/a": {"sha384": b"\0\xff" * 24}, tricky: {"blake2s": b"x" * 32}}
    state.commit(lease, files=[a_read_file("data/a")])
    state.save_digests(lease, found)
    assert state.load_digests(lease.item_id, ["data/none", tricky, "data/a"]) == found
    state.save_digests(lease, {"data/a": {"sha224": b"y" * 28}})
    assert state.load_digests(lease.item_id, ["data/a"]) == {"data/a": {"sha224": b"y" * 28}}
    assert state.load_digests(lease.item_id, []) == {}
    assert state.load_files(lease.item_id, BAG, ["data/a"])["data/a"].file == a_read_file("data/a")
    assert [name for name in redis.hkeys(str(lease.item_id)) if name.startswith(b"file:")] == [
        b"file:test.edu/bag/data/a"
    ]
    state.restart_item(lease)
    assert state.load_digests(lease.item_id, list(found)) == {}


def test_digests_beside_the_records_are_fenced_and_bounded(
    state: State, redis: valkey.Valkey, lease: Lease
) -> None:
    many = {f"data/{n}": {"sha384": bytes(48)} for n in range(1_001)}
    with pytest.raises(ValueError, match="1000"):
        state.save_digests(lease, many)
    many.popitem()
    state.save_digests(lease, many)
    assert state.load_digests(lease.item_id, list(many)) == many
    redis.hset(str(lease.item_id), b"bagline:digests:data/0", b"no msgpack")
    with pytest.raises(BrokenState, match="digests"):
        state.load_digests(lease.item_id, ["data/0"])
    steal(state, redis, lease)
    with pytest.raises(LeaseLost):
        state.save_digests(lease, {"data/1": {}})
    assert state.load_digests(lease.item_id, ["data/1"])["data/1"] == {"sha384": bytes(48)}
