"""Restoration while its worker dies and its services fail: the right tar at the end, or nothing."""

from __future__ import annotations

import random
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

import msgspec
import pytest

from bagline.bagit.writing import LayoutLimits, measure
from bagline.embedded import EngineAddresses
from bagline.errors import BaglineError, Gone, LeaseLost, Unreachable
from bagline.lines.restoration import laying_out, sending, tar_bytes
from bagline.lines.restoration.bag_restorer import BagRestorer, Plan
from bagline.lines.restoration.restore_job import RestoreJob
from bagline.model.subject import item_subject
from bagline.model.workitem import STATUS_SUCCESS, WorkItem
from bagline.services.objects import reading
from bagline.services.objects.base import Body, Objects, Target
from bagline.services.objects.parts import Upload
from bagline.services.objects.retrying import RetryingObjects
from bagline.services.objects.s3 import S3Objects
from bagline.worker.progress import Progress
from bagline.worker.stage import Done, Outcome
from support.bags import BagBuilder
from support.line import LineUnderTest, is_kept, line_under_test
from support.proxy import SLOW_DOWN, Fault, Proxy, proxy_before
from support.restoring import ask, contents, give_restore_bucket, restored_tar, verdict

pytestmark = pytest.mark.engines

MIB = 1024 * 1024
OBJECT = "test.edu/bag"
BEFORE = b"what stood there before"
PASSING = Fault(after=1 << 60)
_DICE = random.Random(14)
FIRST, SECOND, LAST = (_DICE.randbytes(size) for size in (12_000_000, 6_500_001, 6_000_000))


def a_bag() -> BagBuilder:
    """Of 6 parts, with files that lie across two and more of them, in the small measure."""
    bag = BagBuilder()
    for number in range(30):
        bag.payload(f"a/{number:02d}.bin", bytes([number]) * 200_000).payload(f"e/{number}", b"e")
    bag.payload("b.bin", FIRST).payload("c.bin", SECOND).payload("f.bin", LAST)
    return bag.payload("d", b"").tag_file("notes/x.txt", b"more\n")


@pytest.fixture(params=["held", "made while they go"])
def measure_small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Parts of 5 MiB, files above 1 MiB are large; parts in both ways of sending them."""
    limits = LayoutLimits(least_part_bytes=5 * MIB)
    monkeypatch.setattr(laying_out, "measure", partial(measure, limits=limits))
    monkeypatch.setattr(tar_bytes, "LARGE_BYTES", MIB)
    monkeypatch.setattr(reading, "RESUME_SECONDS", 0.001)
    monkeypatch.setattr(sending, "HELD_BYTES", 32 * MIB if request.param == "held" else 0)
    return str(request.param)


@pytest.fixture(scope="module")
def kept(
    engines: EngineAddresses, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LineUnderTest]:
    with line_under_test(engines, tmp_path_factory.mktemp("kept")) as line:
        give_restore_bucket(line)
        (item,) = line.run(line.deposit("bag.tar", a_bag().tar()))
        assert item.status == STATUS_SUCCESS, item.note
        yield line


@pytest.fixture
def line(kept: LineUnderTest) -> LineUnderTest:
    """With an object whose copies are all good."""
    for copy in copies_of(kept, "data/b.bin"):
        kept.services.objects.put(Body(copy, FIRST))
    return kept


class MortalJob(RestoreJob):
    """Of a worker that writes nothing once it is dead."""

    is_dead: Callable[[], bool] = staticmethod(lambda: False)

    def save(self, checkpoint: bytes) -> None:
        if self.is_dead():
            raise LeaseLost("dead")
        super().save(checkpoint)

    def got_to(self, parts: int) -> None:
        if self.is_dead():
            raise LeaseLost("dead")
        super().got_to(parts)


@contextmanager
def a_job(
    line: LineUnderTest,
    item: WorkItem,
    objects: Objects | None = None,
    is_dead: Callable[[], bool] = lambda: False,
) -> Iterator[MortalJob]:
    """Its lease is gone afterwards, as a dead worker's is after a while."""
    services = line.services if objects is None else replace(line.services, objects=objects)
    lease = services.state.take_lease(item_subject(item.id), owner="test", seconds=60)
    assert lease is not None
    found = services.registry.intellectual_object(OBJECT)
    assert found is not None
    job = MortalJob(
        record=item,
        institution=line.institution,
        object=found,
        lease=lease,
        services=services,
        settings=line.settings,
        progress=Progress("restoration"),
    )
    job.is_dead = is_dead
    try:
        yield job
    finally:
        services.state.drop_lease(lease)


@contextmanager
def store_through_proxy(line: LineUnderTest) -> Iterator[tuple[Proxy, S3Objects]]:
    """A store that nobody asks again."""
    s3 = line.settings.s3
    with proxy_before(s3.endpoint) as proxy:
        objects = S3Objects(
            proxy.url,
            access_key=s3.access_key.reveal(),
            secret_key=s3.secret_key.reveal(),
            allow_http=True,
        )
        try:
            yield proxy, objects
        finally:
            objects.close()


def key_of(line: LineUnderTest) -> Target:
    return Target(line.institution.restore_bucket, f"{OBJECT}.tar")


def put_before(line: LineUnderTest) -> None:
    line.services.objects.put(Body(key_of(line), BEFORE))


def assert_restored(line: LineUnderTest, bag: BagBuilder | None = None) -> None:
    tar = restored_tar(line, OBJECT)
    assert verdict(tar, "bag", "aptrust").problems == []
    given, found = (bag or a_bag()).files(), contents(tar)
    assert set(found) == set(given)
    for path, data in given.items():
        if is_kept(path) and path != "bag-info.txt":
            assert found[path] == data, path


def plan_of(line: LineUnderTest, item: WorkItem) -> Plan | None:
    raw = line.services.state.load_checkpoint(item.id)
    return msgspec.json.decode(raw, type=Plan) if raw else None


def standing(line: LineUnderTest, item: WorkItem) -> set[int]:
    """Numbers of the parts that the store has of the item's upload."""
    plan = plan_of(line, item)
    if plan is None:
        return set()
    try:
        return set(line.services.objects.uploaded_parts(Upload(key_of(line), plan.upload)))
    except Gone:
        return set()


def sent(proxy: Proxy) -> list[int]:
    found = [re.search(r"^PUT .*partNumber=(\d+)", line) for line in proxy.lines]
    return [int(match[1]) for match in found if match]


@dataclass
class Death:
    """At some moment after so many requests."""

    requests: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.seconds:.4f} s after request {self.requests}"


def work_until(line: LineUnderTest, item: WorkItem, death: Death | None) -> tuple[bool, list[int]]:
    """Whether it was restored, and the parts that were sent; a worker that dies, or one that
    does not."""
    with store_through_proxy(line) as (proxy, objects):
        timer = threading.Timer(death.seconds if death else 0, proxy.go_down)
        if death:
            proxy.faults = [replace(PASSING) for _ in range(death.requests)]
            proxy.faults.append(Fault(after=1 << 60, first=timer.start))
        with a_job(line, item, objects, lambda: proxy.is_down) as job:
            try:
                outcome: Outcome | None = BagRestorer().run(job)
            except BaglineError:
                assert proxy.is_down
                outcome = None
        timer.cancel()
        return isinstance(outcome, Done), sent(proxy)


def die_often(line: LineUnderTest, deaths: int, seed: int) -> None:
    dice = random.Random(seed)
    while deaths > 0:
        put_before(line)
        item = ask(line, OBJECT)
        there: set[int] = set()
        for may_die in (True, True, True, False):
            death = Death(dice.randrange(60), dice.random() * 0.02) if may_die else None
            is_done, again = work_until(line, item, death)
            deaths -= may_die
            assert not there & set(again), f"sent again after a death {death}"
            if is_done:
                break
            there = standing(line, item)
            if restored_tar(line, OBJECT) != BEFORE:
                assert_restored(line)
        assert is_done
        assert_restored(line)
        assert line.redis_keys() == []
    bucket = line.institution.restore_bucket
    assert line.services.objects.abort_uploads(bucket, "") == 0


def test_it_may_die_at_any_moment(line: LineUnderTest, measure_small: str) -> None:
    die_often(line, 30 if measure_small == "held" else 6, seed=len(measure_small))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_it_may_die_two_hundred_times(line: LineUnderTest, measure_small: str, seed: int) -> None:
    """Fifty times in each of four lives."""
    die_often(line, 50, seed=100 * len(measure_small) + seed)


# -- copies


def copies_of(line: LineUnderTest, path: str) -> list[Target]:
    """The best one first."""
    found = line.services.registry.files([f"{OBJECT}/{path}"])[f"{OBJECT}/{path}"]
    return [Target(bucket, found.uuid) for bucket in line.preservation_buckets()]


def flip(line: LineUnderTest, copy: Target, at: int) -> None:
    data = bytearray(line.services.objects.read(copy.bucket, copy.key))
    data[at] ^= 1
    line.services.objects.put(Body(copy, bytes(data)))


def run(line: LineUnderTest, item: WorkItem, objects: Objects | None = None) -> Outcome:
    with a_job(line, item, objects) as job:
        return BagRestorer().run(job)


@pytest.mark.parametrize("at", [0, 6_000_000, -1])
def test_a_wrong_copy_is_noticed_at_its_end_and_its_parts_are_made_again(
    line: LineUnderTest, measure_small: str, at: int
) -> None:
    flip(line, copies_of(line, "data/b.bin")[0], at)
    with store_through_proxy(line) as (proxy, objects):
        outcome = run(line, ask(line, OBJECT), objects)
        again = [number for number in sent(proxy) if sent(proxy).count(number) > 1]
    assert isinstance(outcome, Done)
    assert [problem.code for problem in outcome.warnings or ()] == ["BAG108"]
    assert_restored(line)
    assert len(set(again)) <= 2  # the wrong one, and one that was on its way


def test_the_head_of_a_wrong_copy_that_a_dead_worker_sent_is_made_again(
    line: LineUnderTest, measure_small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next worker takes another copy, and the file begins in a part that stands there."""
    monkeypatch.setattr(sending, "MOST_IN_FLIGHT", 1)  # so the second stands before the third goes
    copy = copies_of(line, "data/b.bin")[0]
    flip(line, copy, 0)
    item = ask(line, OBJECT)
    with store_through_proxy(line) as (proxy, objects):
        proxy.faults = [Fault(on="partNumber=3", first=proxy.go_down)]
        dead = a_job(line, item, objects, lambda: proxy.is_down)
        with dead as job, pytest.raises(BaglineError):
            BagRestorer().run(job)
    assert 2 in standing(line, item)
    line.services.objects.delete(copy.bucket, copy.key)
    assert isinstance(run(line, item), Done)
    assert_restored(line)


def test_a_part_that_failed_before_a_wrong_copy_was_noticed_is_sent(
    line: LineUnderTest, measure_small: str
) -> None:
    flip(line, copies_of(line, "data/b.bin")[0], 0)
    item = ask(line, OBJECT)
    with store_through_proxy(line) as (proxy, objects):
        proxy.faults = [Fault(instead=SLOW_DOWN, on="partNumber=1")]
        with suppress(Unreachable):
            run(line, item, objects)
    run(line, item)
    assert_restored(line)


def test_a_copy_that_breaks_off_is_no_wrong_one(line: LineUnderTest, measure_small: str) -> None:
    """Whose bytes are taken then is the next one."""
    second_window = f"bytes={reading.WINDOW_BYTES}-"
    with store_through_proxy(line) as (proxy, objects):
        proxy.faults = [Fault(on=second_window) for _ in range(reading.RESUMES + 1)]
        outcome = run(line, ask(line, OBJECT), objects)
        assert proxy.faults == []
    assert isinstance(outcome, Done)
    assert list(outcome.warnings or ()) == []
    assert_restored(line)


def test_copies_that_all_break_off_are_asked_again_later(
    line: LineUnderTest, measure_small: str
) -> None:
    second_window = f"bytes={reading.WINDOW_BYTES}-"
    item = ask(line, OBJECT)
    with store_through_proxy(line) as (proxy, objects):
        proxy.faults = [Fault(on=second_window) for _ in range(200)]
        with pytest.raises(Unreachable):
            run(line, item, objects)
    outcome = run(line, item)
    assert isinstance(outcome, Done)
    assert list(outcome.warnings or ()) == []
    assert_restored(line)


def test_a_part_whose_sending_breaks_off_is_made_anew(
    line: LineUnderTest, measure_small: str
) -> None:
    with store_through_proxy(line) as (proxy, objects):
        proxy.faults = [Fault(instead=SLOW_DOWN, on=f"partNumber={n}") for n in (2, 4)]
        outcome = run(line, ask(line, OBJECT), RetryingObjects(objects, first_seconds=0.01))
        assert proxy.faults == []
    assert isinstance(outcome, Done)
    assert_restored(line)


@pytest.mark.parametrize("path", ["d", "b.bin", "a/00.bin"], ids=["empty", "large", "small"])
def test_a_digest_that_the_registry_lacks_is_calculated(
    line: LineUnderTest, measure_small: str, path: str
) -> None:
    forget_digest(line, f"data/{path}", "sha256")
    assert isinstance(run(line, ask(line, OBJECT)), Done)
    assert_restored(line)


def forget_digest(line: LineUnderTest, path: str, algorithm: str) -> None:
    database = sqlite3.connect(line.settings.data_dir / "registry.db")
    with database:
        database.execute(
            "DELETE FROM checksums WHERE algorithm = ? AND generic_file_id ="
            " (SELECT id FROM generic_files WHERE identifier = ?)",
            (algorithm, f"{OBJECT}/{path}"),
        )
    database.close()
