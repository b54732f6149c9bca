"""What lies in an archive is brought back, and restored by itself; asked for once, and in time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from bagline.app import App
from bagline.config import QueueSettings, ThawSettings
from bagline.embedded import EngineAddresses
from bagline.errors import Unreachable
from bagline.lines.restoration.following import MOVED_NOTE, opened
from bagline.lines.restoration.line import THAWING, Thawing
from bagline.model.subject import item_subject
from bagline.model.times import Timestamp, from_datetime, now, to_datetime
from bagline.model.workitem import (
    ACTION_RESTORE_FILE,
    ACTION_RESTORE_OBJECT,
    STATUS_FAILED,
    STATUS_PENDING,
    STATUS_SUCCESS,
    STATUS_SUSPENDED,
    WorkItem,
)
from bagline.services.objects.base import Target
from bagline.wiring import LINES, build_objects
from bagline.worker.reconciler import Reconciler
from support.bags import BagBuilder
from support.glacier import BACK, COMING, FROZEN, Glacier, days_from_now, glacier_before
from support.line import LineUnderTest, is_kept, line_under_test
from support.nsq import nsqd_running
from support.restoring import ask, contents, give_restore_bucket, restored_tar, verdict

pytestmark = pytest.mark.engines

OBJECT = "test.edu/bag"
SOON = ThawSettings(look_hours=0.2 / 3600)
THAWER = ("glacier-restorer",)
TOPIC = "restore_glacier"


class Archive(LineUnderTest):
    """A line whose workers reach preservation through Glacier, and what it has preserved."""

    glacier: Glacier

    def freeze(self, *paths: str, **ice: Any) -> list[Target]:
        """Every copy of those files (of all, where none are named)."""
        copies = [copy for path in paths or self.paths() for copy in self.copies(path)]
        for copy in copies:
            self.glacier.freeze(copy.bucket, copy.key, **{"answers": [], **ice})
        return copies

    def paths(self) -> list[str]:
        found = self.services.registry.intellectual_object(OBJECT)
        assert found is not None
        pages = self.services.registry.files_in_order(found.id)
        return [file.identifier.removeprefix(f"{OBJECT}/") for page in pages for file in page]

    def copies(self, path: str) -> list[Target]:
        found = self.services.registry.files([f"{OBJECT}/{path}"])[f"{OBJECT}/{path}"]
        return [Target(bucket, found.uuid) for bucket in self.preservation_buckets()]

    def followers(self, item: WorkItem) -> list[WorkItem]:
        actions = (ACTION_RESTORE_OBJECT, ACTION_RESTORE_FILE)
        found = self.services.registry.items_of_bag(item.institution_id, item.name)
        return [known for known in found if known.action in actions and known.id > item.id]

    def waiting(self, item: WorkItem, said: str) -> WorkItem:
        """The item, when a look has ended with that note."""

        def look() -> WorkItem | None:
            found = self.item(item.id)
            return found if found.status == STATUS_PENDING and said in found.note else None

        found: WorkItem = self.until(look, said, item=item.id)
        return found


@contextmanager
def archive_of(
    engines: EngineAddresses, folder: Path, bag: BagBuilder, queue: QueueSettings | None = None
) -> Iterator[Archive]:
    with (
        line_under_test(engines, folder, queue=queue) as line,
        glacier_before(line.settings.s3.endpoint) as glacier,
    ):
        give_restore_bucket(line)
        (item,) = line.run(line.deposit("bag.tar", bag.tar()))
        assert item.status == STATUS_SUCCESS, item.note
        objects = build_objects(structs.replace(line.settings.s3, endpoint=glacier.url))
        line.settings.thaw = SOON
        app = App(line.settings, replace(line.app.services, objects=objects))
        archive = Archive(app, line.institution)
        archive.services = line.services  # the test itself reaches the store past the ice
        archive.glacier = glacier
        yield archive
        objects.close()


@pytest.fixture
def archive(engines: EngineAddresses, tmp_path: Path) -> Iterator[Archive]:
    bag = BagBuilder().payload("a.bin", b"a").payload("b.bin", b"b").payload("empty", b"")
    with archive_of(engines, tmp_path, bag) as archive:
        yield archive


def later(hours: float) -> Timestamp:
    return from_datetime(to_datetime(now()) + timedelta(hours=hours))


def test_it_is_asked_for_once_and_restored_by_itself(archive: Archive) -> None:
    archive.freeze(looks=3)
    first = archive.preservation_buckets()[0]
    asked = ask(archive, OBJECT, frozen=True)
    with archive.working():
        item = archive.until_ended(asked.id)
        (after,) = archive.followers(item)
        after = archive.until_ended(after.id)
    assert (item.status, item.stage) == (STATUS_SUCCESS, "Resolve"), item.note
    assert item.note == f"Object {OBJECT} restored from Glacier to S3."
    assert item.outcome == "Not started"
    assert (after.action, after.status) == (ACTION_RESTORE_OBJECT, STATUS_SUCCESS), after.note
    assert (after.user, after.name, after.object_identifier, after.size) == (
        asked.user,
        asked.name,
        OBJECT,
        asked.size,
    )
    assert verdict(restored_tar(archive, OBJECT), "bag", "aptrust").problems == []
    # Each of its files once, in the bucket that is read first, and no empty one.
    uuids = {archive.copies(path)[0].key for path in archive.paths() if path != "data/empty"}
    assert sorted(key for _, key, _, _ in archive.glacier.asked) == sorted(uuids)
    assert {(bucket, days, tier) for bucket, _, days, tier in archive.glacier.asked} == {
        (first, 10, "Standard")
    }
    assert archive.redis_keys() == []


def test_one_file(archive: Archive) -> None:
    (copy, _) = archive.freeze("data/a.bin", looks=2)
    archive.freeze("data/b.bin")
    archive.settings.thaw = structs.replace(SOON, days=3, tier="Bulk")
    identifier = f"{OBJECT}/data/a.bin"
    asked = ask(archive, OBJECT, file=identifier, frozen=True)
    with archive.working():
        item = archive.until_ended(asked.id)
        (after,) = archive.followers(item)
        after = archive.until_ended(after.id)
    assert item.note == f"Object {OBJECT} restored from Glacier to S3."
    assert (after.action, after.generic_file_identifier) == (ACTION_RESTORE_FILE, identifier)
    assert after.status == STATUS_SUCCESS, after.note
    bucket = archive.institution.restore_bucket
    assert archive.services.objects.read(bucket, identifier) == b"a"
    assert archive.glacier.asked == [(copy.bucket, copy.key, 3, "Bulk")]


def test_the_note_says_how_many_are_back(engines: EngineAddresses, tmp_path: Path) -> None:
    bag = BagBuilder()
    for number in range(340):
        bag.payload(f"{number:03}.bin", b"%d" % number)
    with archive_of(engines, tmp_path, bag) as archive:
        archive.freeze()
        total = len(archive.paths())
        asked = ask(archive, OBJECT, frozen=True)
        with archive.working(only=THAWER):
            archive.waiting(asked, f"0 of {total} files are back")
            some = archive.copies("data/007.bin") + archive.copies("data/300.bin")
            archive.glacier.bring_back(*(copy.key for copy in some))
            waiting = archive.waiting(asked, f"2 of {total} files are back")
            assert " UTC." in waiting.note
            archive.glacier.bring_back()
            item = archive.until_ended(asked.id)
        assert item.status == STATUS_SUCCESS, item.note
        assert len(archive.glacier.asked) == total
        (after,) = archive.followers(item)
        assert (after.note, after.outcome) == (MOVED_NOTE, MOVED_NOTE)
        assert (after.stage, after.status, after.retry) == ("Requested", STATUS_PENDING, True)
        assert archive.services.queue.is_queued("restore_object", after.id)


def test_a_file_with_a_copy_that_can_be_read_needs_no_thaw(archive: Archive) -> None:
    for path in archive.paths():
        copy = archive.copies(path)[0]
        archive.glacier.freeze(copy.bucket, copy.key)
    asked = ask(archive, OBJECT, frozen=True)
    with archive.working():
        item = archive.until_ended(asked.id)
        assert item.status == STATUS_SUCCESS, item.note
        (after,) = archive.followers(item)
        after = archive.until_ended(after.id)
    assert after.status == STATUS_SUCCESS, after.note
    assert archive.glacier.asked == []


ANSWERS = st.lists(
    st.sampled_from(["no capacity", "in progress", "202", "200", "not archived"]), max_size=3
)
ICE = st.fixed_dictionaries(
    {
        "state": st.sampled_from([FROZEN, COMING, BACK]),
        "answers": ANSWERS,
        "looks": st.integers(0, 2),
    }
)


@pytest.fixture(scope="module")
def kept_archive(
    engines: EngineAddresses, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Archive]:
    bag = BagBuilder().payload("a.bin", b"a").payload("b.bin", b"b")
    with archive_of(engines, tmp_path_factory.mktemp("archive"), bag) as archive:
        yield archive


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ices=st.lists(ICE, min_size=4, max_size=4))
def test_whatever_the_store_answers_it_comes_out_once(
    kept_archive: Archive, ices: list[dict[str, Any]]
) -> None:
    archive = kept_archive
    archive.glacier.ice.clear()
    archive.glacier.asked.clear()
    for path, ice in zip(archive.paths(), ices, strict=True):
        for copy in archive.copies(path):
            archive.glacier.freeze(copy.bucket, copy.key, **ice | {"answers": [*ice["answers"]]})
    asked = ask(archive, OBJECT, frozen=True)
    with archive.working():
        item = archive.until_ended(asked.id)
        assert item.status == STATUS_SUCCESS, item.note
        (after,) = archive.followers(item)
        assert archive.until_ended(after.id).status == STATUS_SUCCESS, after.note
    assert contents(restored_tar(archive, OBJECT))["data/a.bin"] == b"a"


def test_what_is_gone_is_told_of_at_once_and_nothing_is_paid_for(archive: Archive) -> None:
    archive.freeze()
    for path in ("data/a.bin", "data/b.bin"):
        for copy in archive.copies(path):
            archive.services.objects.delete(copy.bucket, copy.key)
    (item,) = archive.run(ask(archive, OBJECT, frozen=True))
    assert (item.status, item.stage) == (STATUS_FAILED, "Requested")
    problems = archive.services.registry.problems(item.id)
    assert [(problem.code, problem.subject) for problem in problems] == [
        ("BAG107", f"{OBJECT}/data/a.bin"),
        ("BAG107", f"{OBJECT}/data/b.bin"),
    ]
    assert archive.glacier.asked == []
    assert archive.followers(item) == []
    assert archive.redis_keys() == []


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ("gone", STATUS_FAILED, "BAG107"),
        ("forbidden", STATUS_SUSPENDED, "BAG111"),
        ("bad tier", STATUS_SUSPENDED, "BAG111"),
    ],
)
def test_every_file_that_will_not_come_is_told_of(
    archive: Archive, answer: str, status: str, code: str
) -> None:
    archive.freeze()
    archive.freeze("data/a.bin", "data/b.bin", answers=[answer] * 5)
    (item,) = archive.run(ask(archive, OBJECT, frozen=True))
    assert item.status == status, item.note
    problems = archive.services.registry.problems(item.id)
    assert [(problem.code, problem.subject) for problem in problems] == [
        (code, f"{OBJECT}/data/a.bin"),
        (code, f"{OBJECT}/data/b.bin"),
    ]
    assert all(problem.message in item.note for problem in problems)
    assert archive.followers(item) == []


def test_it_is_not_looked_at_before_its_time(archive: Archive) -> None:
    """A second delivery, a queue that cuts delays: the timer is the item's own."""
    archive.freeze()
    archive.settings.thaw = ThawSettings()
    asked = ask(archive, OBJECT, frozen=True)
    with archive.working(only=THAWER):
        archive.waiting(asked, "1 of ")  # the empty one
        heads = archive.glacier.requests["HEAD"]
        archive.services.queue.publish(TOPIC, asked.id)
        archive.until(lambda: _waits(archive), "it to be put back")
        assert archive.glacier.requests["HEAD"] == heads
        archive.glacier.bring_back()
        item = archive.item(asked.id)  # as `bagline requeue` does
        item.note = "Requeued at Requested by an operator"
        archive.services.registry.save_work_item(item)
        archive.services.queue.publish(TOPIC, asked.id)
        assert archive.until_ended(asked.id).status == STATUS_SUCCESS


def _waits(archive: Archive) -> bool:
    (depth,) = archive.services.queue.depth([TOPIC])
    return (depth.due, depth.in_flight, depth.delayed) == (0, 0, 1)


def test_nsqd_that_cuts_delays_has_it_looked_at_no_sooner(
    engines: EngineAddresses, tmp_path: Path
) -> None:
    bag = BagBuilder().payload("a.bin", b"a")
    with nsqd_running(tmp_path / "nsqd", max_req_timeout="500ms") as nsqd:
        queue = QueueSettings(kind="nsq", nsqd_tcp=nsqd.tcp, nsqd_http=nsqd.http)
        with archive_of(engines, tmp_path / "data", bag, queue) as archive:
            archive.freeze()
            archive.settings.thaw = ThawSettings()
            asked = ask(archive, OBJECT, frozen=True)
            with archive.working(only=THAWER):
                before = archive.waiting(asked, "0 of ")
                heads = archive.glacier.requests["HEAD"]
                archive.until(
                    lambda: nsqd.channel(TOPIC).get("requeue_count", 0) > 3, "more deliveries"
                )
            assert archive.item(asked.id) == before
            assert archive.glacier.requests["HEAD"] == heads


def test_one_that_the_queue_forgot_is_published_when_it_is_due(archive: Archive) -> None:
    archive.freeze()
    archive.settings.thaw = ThawSettings()
    asked = ask(archive, OBJECT, frozen=True)
    with archive.working(only=THAWER):
        archive.waiting(asked, "1 of ")  # the empty one
        archive.until(lambda: _waits(archive), "it to be put back")
    kept = archive.services.state.load_result(item_subject(asked.id), TOPIC)
    assert kept is not None
    assert kept.attempt == 0
    archive.services.queue.discard(TOPIC, asked.id)

    def published(hours: float) -> list[int]:
        reconciler = Reconciler(LINES, archive.services, archive.settings, lambda: later(hours))
        return reconciler.look(min_age_seconds=0)

    assert published(3.9) == []
    assert published(4.1) == [asked.id]


def test_what_freezes_soon_is_asked_for_again(archive: Archive) -> None:
    archive.freeze()
    soon, late = archive.copies("data/a.bin")[0], archive.copies("data/b.bin")[0]
    archive.glacier.freeze(soon.bucket, soon.key, state=BACK, until=days_from_now(0.9))
    archive.glacier.freeze(late.bucket, late.key, state=BACK, until=days_from_now(1.1))
    asked = ask(archive, OBJECT, frozen=True)
    with archive.working(only=THAWER):
        archive.waiting(asked, "3 of ")
        archive.glacier.bring_back()
        item = archive.until_ended(asked.id)
    assert item.status == STATUS_SUCCESS, item.note
    assert archive.glacier.asked_for(soon.key) == 1
    assert archive.glacier.asked_for(late.key) == 0
    until = archive.glacier.ice[soon.bucket, soon.key].until
    assert until is not None
    assert until > days_from_now(9)


def test_one_that_froze_again_is_asked_for_again(archive: Archive) -> None:
    archive.freeze()
    asked = ask(archive, OBJECT, frozen=True)
    copy = archive.copies("data/a.bin")[0]
    with archive.working(only=THAWER):
        archive.waiting(asked, "1 of ")  # the empty one
        archive.glacier.bring_back(copy.key)
        archive.waiting(asked, "2 of ")
        archive.freeze("data/a.bin")
        archive.until(lambda: archive.glacier.asked_for(copy.key) == 2, "a second request")
        archive.glacier.bring_back()
        assert archive.until_ended(asked.id).status == STATUS_SUCCESS


@pytest.mark.parametrize("has_ended", [False, True])
def test_a_death_before_the_end_makes_no_second_item(archive: Archive, has_ended: bool) -> None:
    """The one before this worker created what follows, and died."""
    asked = ask(archive, OBJECT, frozen=True)
    made = opened(archive.services.registry, asked)
    if has_ended:
        made = archive.services.registry.save_work_item(
            structs.replace(made, status=STATUS_SUCCESS, stage="Resolve")
        )
    with archive.working(only=THAWER):
        item = archive.until_ended(asked.id)
    assert item.status == STATUS_SUCCESS
    assert [after.id for after in archive.followers(item)] == [made.id]
    assert archive.services.queue.is_queued("restore_object", made.id) is not has_ended


class _Watching:
    """A queue that asks a question whenever something is published."""

    def __init__(self, queue: Any, ask: Any) -> None:
        self._queue, self._ask = queue, ask

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    def publish(self, topic: str, item_id: int, **more: Any) -> None:
        self._queue.publish(topic, item_id, **more)
        self._ask(topic, item_id)


def test_the_new_item_is_published_before_the_old_one_is_a_success(archive: Archive) -> None:
    asked = ask(archive, OBJECT, frozen=True)
    seen: list[tuple[str, str, str]] = []

    def look(topic: str, item_id: int) -> None:
        old, new = archive.item(asked.id), archive.item(item_id)
        seen.append((topic, new.status, old.status))

    watching: Any = _Watching(archive.app.services.queue, look)
    archive.app = App(archive.settings, replace(archive.app.services, queue=watching))
    with archive.working(only=THAWER):
        archive.until_ended(asked.id)
    assert seen == [("restore_object", "Pending", "Started")]


def test_a_queue_that_is_away_at_the_end_makes_no_second_item(archive: Archive) -> None:
    asked = ask(archive, OBJECT, frozen=True)
    faults = [Unreachable("the queue is away")]

    def fail(topic: str, item_id: int) -> None:
        if faults:
            raise faults.pop()

    watching: Any = _Watching(archive.services.queue, fail)
    archive.services = replace(archive.services, queue=watching)
    brief = [replace(step, retry=replace(step.retry, first_delay=0.1)) for step in THAWING]
    with archive.working(Thawing(brief)):
        item = archive.until_ended(asked.id)
    assert item.status == STATUS_SUCCESS, item.note
    assert faults == []
    (after,) = archive.followers(item)
    assert archive.services.queue.is_queued("restore_object", after.id)


def test_one_that_is_called_off_leaves_nothing(archive: Archive) -> None:
    archive.freeze()
    archive.settings.thaw = ThawSettings()
    asked = ask(archive, OBJECT, frozen=True)
    with archive.working(only=THAWER):
        item = archive.waiting(asked, "1 of ")
        item.status, item.retry = "Cancelled", False
        archive.services.registry.save_work_item(item)
        archive.services.queue.publish(TOPIC, asked.id)
        assert archive.until_ended(asked.id).status == "Cancelled"
    assert archive.redis_keys() == []
    assert archive.followers(item) == []


def test_the_tests_bag_is_what_it_seems(archive: Archive) -> None:
    assert "data/empty" in archive.paths()
    assert all(is_kept(path) for path in archive.paths())
