"""What each harm to a copy is called, and what becomes of it: one table, however it was done."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import structs

from bagline.embedded import EngineAddresses, Engines
from bagline.errors import Unreadable
from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.lines.fixity.repairing import Unrepairable
from bagline.lines.fixity.running import FixityRunner
from bagline.model.copy_checks import MISSING, PROVEN, UNREADABLE, WRONG, KeptCopy
from bagline.model.premis import PremisEvent
from bagline.model.storage import StorageTarget
from bagline.model.times import NEVER, later, now
from bagline.model.workitem import STATUS_SUCCESS
from bagline.services.objects import reading
from bagline.services.objects.base import Objects, Proof, Target
from support.bags import BagBuilder
from support.below_the_store import flip_in_volumes, write_in_place
from support.fixity import copies, flipped, long_after, name_of, put, repairing, run
from support.line import LineUnderTest, line_under_test
from support.stores import engines_with

pytestmark = pytest.mark.engines

MIB = 1024 * 1024
SIZES = {"empty": 0, "small": 300, "large": MIB + MIB // 2}
"""Above one MiB copies are read as a stream."""
HUGE = 20 * MIB
"""Is put in parts."""


def body(name: str, size: str) -> bytes:
    return random.Random(name).randbytes(SIZES[size])


def others(data: bytes) -> bytes:
    """Of another file that is just as long."""
    (size,) = (name for name, count in SIZES.items() if count == len(data))
    return body(f"another-{size}", size)


@dataclass(frozen=True)
class Harm:
    becomes: Callable[[bytes], bytes | None]
    """None: it is gone."""
    called: str
    to_empty: bool = False
    """Whether it can be done to no bytes."""


HARMS = {
    "flipped": Harm(flipped, WRONG),
    "cut": Harm(lambda data: data[:-1], WRONG),
    "emptied": Harm(lambda _: b"", WRONG),
    "grown": Harm(lambda data: data + b"\n", WRONG, to_empty=True),
    "swapped": Harm(others, WRONG),
    "swapped for longer": Harm(lambda data: data[:7] + body("another", "large"), WRONG, True),
    "gone": Harm(lambda _: None, MISSING, to_empty=True),
}
PLACES = {"first": (0,), "second": (1,), "both": (0, 1)}
CASES = {
    f"{harm}-{places}-{size}": (HARMS[harm], PLACES[places], body(f"{harm}-{places}-{size}", size))
    for harm in HARMS
    for places in PLACES
    for size in SIZES
    if SIZES[size] or HARMS[harm].to_empty
}
"""Files by name: what is done to which of their copies."""

Act = Callable[[KeptCopies, KeptCopy, bytes | None], object]


def through_s3(kept: KeptCopies, copy: KeptCopy, data: bytes | None) -> None:
    if data is None:
        kept.services.objects.delete(copy.bucket, copy.uuid)
    else:
        put(kept, copy, data)


@dataclass(frozen=True)
class OnDisk:
    """Below versitygw, which keeps each object as a file."""

    data: Path

    def __call__(self, _: KeptCopies, copy: KeptCopy, data: bytes | None) -> None:
        write_in_place(self.data / copy.bucket / copy.uuid, data)


WAYS = ("seaweedfs, through S3", "versitygw, through S3", "versitygw, on disk")


@pytest.fixture(params=WAYS)
def ground(
    request: pytest.FixtureRequest, engines: EngineAddresses, tmp_path: Path
) -> Iterator[tuple[LineUnderTest, Act]]:
    """A line on that store, and hands to harm its copies that way."""
    store, _, way = request.param.partition(", ")
    with ExitStack() as stack:
        folder = tmp_path / "store"
        addresses = stack.enter_context(engines_with(store, engines, folder))
        line = stack.enter_context(line_under_test(addresses, tmp_path))
        yield line, OnDisk(folder / "data") if way == "on disk" else through_s3


def preserved(line: LineUnderTest, files: dict[str, bytes]) -> KeptCopies:
    bag = BagBuilder()
    for name, data in files.items():
        bag.payload(name, data)
    (item,) = line.run(line.deposit("bag.tar", bag.tar()))
    assert item.status == STATUS_SUCCESS, item.note
    return long_after(line)


def by_file(kept: KeptCopies) -> dict[str, list[KeptCopy]]:
    """The copies of each, as the buckets' names come."""
    found: dict[str, list[KeptCopy]] = {}
    for copy in sorted(copies(kept), key=lambda copy: copy.bucket):
        found.setdefault(name_of(copy), []).append(copy)
    return found


def stored(kept: KeptCopies, copy: KeptCopy) -> bytes | None:
    objects = kept.services.objects
    if copy.uuid not in {found.key for found in objects.list(copy.bucket, copy.uuid)}:
        return None
    return objects.read(copy.bucket, copy.uuid)


def new_events(kept: KeptCopies, copy: KeptCopy) -> list[PremisEvent]:
    """Of that copy, since the hundred days are over."""
    (known,) = kept.services.registry.files([copy.identifier]).values()
    some = [event for event in known.premis_events if event.date_time > now()]
    return [e for e in some if copy.url in (e.outcome_detail, e.outcome_information.split(": ")[0])]


@pytest.mark.parametrize("how", ["ask", "auto"])
def test_each_harm_is_called_what_the_table_says(
    ground: tuple[LineUnderTest, Act], how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line, harm = ground
    sound = {f"another-{size}": body(f"another-{size}", size) for size in SIZES}
    kept = preserved(line, sound | {name: data for name, (*_, data) in CASES.items()})
    kept = repairing(kept, how)
    before = by_file(kept)
    for name, (done, places, data) in CASES.items():
        for place in places:
            harm(kept, before[name][place], done.becomes(data))
    record = run(kept)
    harmed = sum(len(places) for _, places, _ in CASES.values())
    mendable = sum(len(places) == 1 for _, places, _ in CASES.values())
    assert record.asked == sum(map(len, before.values()))
    assert record.proven == record.asked - harmed
    assert (record.bad, record.repaired) == (harmed, mendable if how == "auto" else 0)
    lost = capsys.readouterr().out.count("copy_unrepairable")
    assert lost == (harmed - mendable if how == "auto" else 0)
    after = by_file(kept)
    for name in sound:
        assert [copy.outcome for copy in after[name]] == [PROVEN, PROVEN], name
        assert [new_events(kept, copy) for copy in after[name]] == [[], []], name
    for name, (done, places, data) in CASES.items():
        for place, copy in enumerate(after[name]):
            was = before[name][place]
            if place not in places:
                assert (copy.outcome, new_events(kept, copy)) == (PROVEN, []), name
            elif how == "auto" and len(places) == 1:
                assert_mended(kept, was, copy, done.called, data)
            else:
                assert_told_of_and_untouched(kept, was, copy, done.called, done.becomes(data))


def assert_told_of_and_untouched(
    kept: KeptCopies, before: KeptCopy, copy: KeptCopy, called: str, data: bytes | None
) -> None:
    what = name_of(copy)
    assert (copy.outcome, copy.proven_at) == (called, before.proven_at), what
    assert copy.asked_at > now(), what
    (failed,) = new_events(kept, copy)
    assert (failed.event_type, failed.outcome) == ("fixity check", "Failed"), what
    assert failed.outcome_information.startswith(f"{copy.url}: {called}: "), what
    assert stored(kept, copy) == data, what
    assert copy.url in {bad.url for bad in kept.book.bad()}, what


def assert_mended(
    kept: KeptCopies, before: KeptCopy, copy: KeptCopy, called: str, data: bytes
) -> None:
    what = name_of(copy)
    assert (copy.outcome, copy.proven_by) == (PROVEN, "read back"), what
    assert copy.proven_at > now() > before.proven_at, what
    failed, repaired = sorted(new_events(kept, copy), key=lambda event: event.date_time)
    assert (failed.event_type, failed.outcome) == ("fixity check", "Failed"), what
    assert failed.outcome_information.startswith(f"{copy.url}: {called}: "), what
    assert (repaired.event_type, repaired.outcome) == ("replication", "Success"), what
    assert stored(kept, copy) == data, what
    (source,) = (c for c in by_file(kept)[name_of(copy)] if c.id != copy.id)
    assert source.url in repaired.outcome_information, what
    one, other = (kept.services.objects.head(c.bucket, c.uuid) for c in (copy, source))
    assert (one.metadata, one.content_type) == (other.metadata, other.content_type), what


@pytest.mark.long
@pytest.mark.parametrize("how", ["ask", "auto"])
def test_what_the_store_itself_no_longer_gives_is_unreadable(tmp_path: Path, how: str) -> None:
    """A bit of a SeaweedFS volume: its own sum does not match. It tries for some 15 s each time."""
    engines = Engines(tmp_path / "engines")
    files = {name: random.Random(name).randbytes(200_000) for name in ("one", "both", "none")}
    try:
        with line_under_test(engines.start(), tmp_path) as line:
            kept = repairing(preserved(line, files), how)
            before = by_file(kept)
            for name, places in {"one": (0,), "both": (0, 1)}.items():
                for place in places:
                    bucket = before[name][place].bucket
                    assert flip_in_volumes(tmp_path / "engines", bucket, files[name]) == 1
            record = run(kept)
            assert (record.bad, record.repaired) == (3, int(how == "auto"))
            after = by_file(kept)
            assert [copy.outcome for copy in after["none"]] == [PROVEN, PROVEN]
            assert [copy.outcome for copy in after["both"]] == [UNREADABLE, UNREADABLE]
            first, second = after["one"]
            assert second.outcome == PROVEN
            if how == "auto":
                assert_mended(kept, before["one"][0], first, UNREADABLE, files["one"])
            else:
                assert first.outcome == UNREADABLE
                assert [event.outcome for event in new_events(kept, first)] == ["Failed"]
    finally:
        engines.stop()


class Disturbed:
    """A real store, and what is done once with the object's place: `amid`, when the first bytes of
    a stream were taken; `after`, when one was stored."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.amid: Callable[[str, str], object] | None = None
        self.after: Callable[[str, str], object] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def stream(self, bucket: str, key: str, **more: Any) -> Iterator[bytes]:
        chunks = self._objects.stream(bucket, key, **more)
        yield next(chunks)
        act, self.amid = self.amid, None
        if act is not None:
            with ThreadPoolExecutor(1) as pool:  # whoever takes the chunks may have no hands free
                pool.submit(act, bucket, key).result()
        yield from chunks

    def put_stream(self, target: Target, chunks: Iterator[bytes], **more: Any) -> Proof:
        proof = self._objects.put_stream(target, chunks, **more)
        act, self.after = self.after, None
        if act is not None:
            act(target.bucket, target.key)
        return proof


def disturbed(kept: KeptCopies) -> tuple[KeptCopies, Disturbed]:
    store = Disturbed(kept.services.objects)
    services = replace(kept.services, objects=cast("Objects", store))
    return replace(kept, services=services), store


@pytest.fixture
def noise() -> bytes:
    return random.Random(20).randbytes(HUGE)


@pytest.mark.parametrize("is_third", [False, True], ids=["no other copy", "a third copy"])
def test_a_source_harmed_while_it_is_read_is_not_what_is_stored(
    ground: tuple[LineUnderTest, Act],
    noise: bytes,
    is_third: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "WINDOW_BYTES", MIB)  # so that the most is read after the harm
    line, harm = ground
    if is_third:
        with_another_bucket(line)
    kept, store = disturbed(preserved(line, {"noise.bin": noise}))
    all_of_it = {copy.bucket: copy for copy in copies(kept, "noise.bin")}
    bad = all_of_it[line.preservation_buckets()[0]]
    put(kept, bad, b"harmed")
    read: list[str] = []

    def harm_source(bucket: str, key: str) -> None:
        assert key == bad.uuid
        read.append(bucket)
        harm(kept, all_of_it[bucket], flipped(noise))

    store.amid = harm_source
    repair = FixityRunner(kept).repairer().repair
    if is_third:
        check, event = repair(bad)
        (third,) = set(all_of_it) - {bad.bucket, *read}
        assert check.outcome == PROVEN
        assert all_of_it[third].url in event.outcome_information
        assert stored(kept, bad) == noise
    else:
        with pytest.raises(Unrepairable) as told:
            repair(bad)
        assert all_of_it[read[0]].url in str(told.value)
        assert stored(kept, bad) == b"harmed"
    (source,) = (all_of_it[bucket] for bucket in read)
    assert stored(kept, source) == flipped(noise)  # for who comes to look at it
    at = kept.clock()
    assert kept.book.repaired_until(bad.object_identifier, now=at) == NEVER
    harm(kept, source, noise)
    repair(bad)
    assert stored(kept, bad) == noise
    assert kept.services.objects.abort_uploads(bad.bucket, "") == 0


def with_another_bucket(line: LineUnderTest) -> None:
    name = line.preservation_buckets()[0] + "-third"
    line.services.objects.ensure_bucket(name)
    third = StorageTarget(bucket=name, provider="Local", host="localhost")
    first, *rest = line.settings.storage_options
    first = structs.replace(first, targets=(*first.targets, third))
    line.settings.storage_options = (first, *rest)


@pytest.mark.parametrize("size", ["small", "huge"])
def test_a_copy_harmed_as_soon_as_it_was_repaired_is_not_called_repaired(
    ground: tuple[LineUnderTest, Act], noise: bytes, size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line, harm = ground
    data = noise if size == "huge" else noise[:300]
    kept, store = disturbed(repairing(preserved(line, {"noise.bin": data}), "auto"))
    bad, _ = copies(kept, "noise.bin")
    put(kept, bad, b"harmed")
    store.after = lambda *_: harm(kept, bad, flipped(data))
    record = run(kept)
    assert (record.bad, record.repaired) == (1, 0)
    said = capsys.readouterr().out
    assert "copy_not_repaired" in said
    assert "was stored anew" in said
    assert [copy.url for copy in kept.book.bad()] == [bad.url]
    assert [event.outcome for event in new_events(kept, bad)] == ["Failed"]
    assert stored(kept, bad) == flipped(data)
    assert kept.book.repaired_until(bad.object_identifier, now=kept.clock()) == NEVER
    next_time = replace(kept, clock=lambda: later(kept.clock(), timedelta(days=2)))
    assert run(next_time).repaired == 1
    assert (stored(kept, bad), kept.book.bad()) == (data, [])


def test_a_repair_says_why_what_it_stored_is_not_sound(
    ground: tuple[LineUnderTest, Act], noise: bytes
) -> None:
    line, harm = ground
    kept, store = disturbed(preserved(line, {"noise.bin": noise}))
    bad, _ = copies(kept, "noise.bin")
    harm(kept, bad, None)
    store.after = lambda *_: harm(kept, bad, None)
    with pytest.raises(Unreadable, match=rf"{bad.url} was stored anew .*{bad.uuid}"):
        FixityRunner(kept).repairer().repair(bad)
