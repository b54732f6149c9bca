"""Objects restored to nowhere: what is chosen, what is seen, and who does it."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs

from bagline.lines.restoration.spot_testing import SpotTester
from bagline.model.times import from_datetime, now, to_datetime
from bagline.model.workitem import STAGE_STORE, STATUS_STARTED, STATUS_SUCCESS, WorkItem
from bagline.services.objects.base import Body, Target
from bagline.services.registry.spot_tests import FAILED, LEFT_ALONE, NONE_FITS, SOUND
from support.bags import BagBuilder
from support.line import LineUnderTest
from support.restoring import give_restore_bucket

pytestmark = pytest.mark.engines

LARGE = bytes(range(256)) * 4096 * 5


def preserved(line: LineUnderTest, name: str = "letters", option: str = "") -> None:
    bag = BagBuilder(name).payload("small.txt", b"a letter").payload("large.bin", LARGE)
    if option:
        bag.tag("aptrust-info.txt", "Storage-Option", option)
    (item,) = line.run(line.deposit(f"{name}.tar", bag.tar()))
    assert item.status == STATUS_SUCCESS, item.note


@pytest.fixture
def tester(line: LineUnderTest) -> SpotTester:
    give_restore_bucket(line)
    preserved(line)
    return SpotTester(line.services, line.settings)


def harm(line: LineUnderTest, path: str, copies: int) -> None:
    (file,) = line.services.registry.files([f"test.edu/letters/{path}"]).values()
    store = line.services.objects
    for bucket in line.preservation_buckets()[:copies]:
        data = bytearray(store.read(bucket, file.uuid))
        data[len(data) // 2] ^= 1
        store.put(Body(Target(bucket, file.uuid), bytes(data)))


def test_a_sound_object_is_restored_to_nowhere(line: LineUnderTest, tester: SpotTester) -> None:
    (test,) = tester.look(days=30)
    assert (test.outcome, test.object_identifier) == (SOUND, "test.edu/letters")
    assert test.problems == []
    assert test.files == 9
    assert test.bytes > len(LARGE)
    assert line.keys(line.institution.restore_bucket) == []
    assert line.redis_keys() == []
    book = line.services.registry.spot_tests
    assert book is not None
    (known,) = book.newest()
    assert (known.id, known.outcome, known.bytes) == (test.id, SOUND, test.bytes)
    assert tester.look(days=30) == []  # its turn is over


@pytest.mark.parametrize("path", ["data/small.txt", "data/large.bin"])
@pytest.mark.parametrize(("copies", "outcome"), [(1, SOUND), (2, FAILED)])
def test_bad_copies_are_told_of(
    line: LineUnderTest, tester: SpotTester, path: str, copies: int, outcome: str
) -> None:
    harm(line, path, copies)
    (test,) = tester.look(days=30)
    assert test.outcome == outcome
    told = " ".join(f"{p.code} {p.subject} {p.message}" for p in test.problems)
    assert f"test.edu/letters/{path}" in told
    codes = {problem.code for problem in test.problems}
    assert ("BAG107" in codes) == (copies == 2)
    assert ("BAG108" in codes) == (copies == 1)
    (again,) = tester.look(days=0)
    assert again.outcome == outcome


def test_what_cannot_be_chosen_is_not(line: LineUnderTest, tester: SpotTester) -> None:
    """In an archive, too large, being changed, of an institution that is gone."""
    preserved(line, "frozen", "Glacier-OH")
    for _ in range(6):
        (test,) = tester.look(days=0)
        assert test.object_identifier == "test.edu/letters"
    spot = structs.replace(line.settings.spot, max_bytes=1_000)
    small = replace(tester, settings=structs.replace(line.settings, spot=spot))
    assert [test.outcome for test in small.look(days=0)] == [NONE_FITS]
    save = line.services.registry.save_work_item
    ingest = WorkItem(
        action="Ingest",
        name="letters.tar",
        institution_id=line.institution.id,
        stage=STAGE_STORE,
        status=STATUS_STARTED,
    )
    ingest = save(ingest)
    assert [test.outcome for test in tester.look(days=0)] == [NONE_FITS]
    save(structs.replace(ingest, stage="Receive", status="Failed"))
    assert [test.outcome for test in tester.look(days=0)] == [SOUND]
    line.services.registry.save_institution(structs.replace(line.institution, state="D"))
    assert tester.look(days=0) == []


def test_each_has_its_turn_and_nobody_tests_beside(line: LineUnderTest, tester: SpotTester) -> None:
    found: list[int] = []
    looks = [
        threading.Thread(target=lambda: found.append(len(tester.look(days=30)))) for _ in range(4)
    ]
    for look in looks:
        look.start()
    for look in looks:
        look.join()
    assert sorted(found) == [0, 0, 0, 1]

    def clock(days: float) -> SpotTester:
        moment = from_datetime(to_datetime(now()) + timedelta(days=days))
        return replace(tester, clock=lambda: moment)

    assert clock(29).look() == []
    assert len(clock(31).look()) == 1
    assert clock(32).look() == []


def test_one_that_died_is_begun_again(line: LineUnderTest, tester: SpotTester) -> None:
    book, moment = line.services.registry.spot_tests, to_datetime(now())
    assert book is not None

    def begun(minutes: float) -> bool:
        at = moment + timedelta(minutes=minutes)
        found = book.begin(
            line.institution.id,
            now=from_datetime(at),
            unless_since=from_datetime(at - timedelta(days=30)),
            until=from_datetime(at + timedelta(minutes=15)),
        )
        return found is not None

    assert [begun(0), begun(10), begun(16)] == [True, False, True]
    assert len(book.newest()) == 1  # nothing is kept of what said nothing


def test_one_that_is_stopped_said_nothing(line: LineUnderTest, tester: SpotTester) -> None:
    preserved(line, "other")
    tester.stop.set()
    assert tester.look(days=0) == []
    (institution,) = line.services.registry.institutions()
    stopped = tester.test(institution, days=0)
    assert stopped is not None
    assert stopped.outcome == LEFT_ALONE
    tester.stop.clear()
    chosen = Counter(tester.look(days=0)[0].object_identifier for _ in range(12))
    assert set(chosen) == {"test.edu/letters", "test.edu/other"}  # but for one time in 2,000
