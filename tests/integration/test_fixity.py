"""Every copy proven again, and what is left alone. Harms to copies: `test_fixity_harms`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from msgspec import structs

from bagline.errors import Misconfigured, Refused, Unreachable
from bagline.lines.fixity import running
from bagline.lines.fixity.due import Allowance
from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.lines.fixity.repairing import LeftAlone
from bagline.lines.fixity.running import FixityRunner
from bagline.model.copy_checks import PROVEN, UNANSWERED, FixityRun, KeptCopy
from bagline.model.times import NEVER, Timestamp, earlier, is_set, later, now
from bagline.model.workitem import STAGE_STORE, STATUS_STARTED, STATUS_SUCCESS, WorkItem
from bagline.sections import ReadPrice
from bagline.services.objects.base import Check, Objects, Proof, ProofMethod
from bagline.services.registry.base import Missing
from bagline.services.registry.copy_book import CopyFilter
from bagline.services.registry.users import SYS_ADMIN, ApiUsers
from bagline.wiring import open_database
from support.bags import BagBuilder
from support.fixity import copies, long_after, put, repairing, run
from support.line import LineUnderTest

pytestmark = pytest.mark.engines

SMALL, LARGE = b"a letter", bytes(range(256)) * 4096 * 9
NAMES = {"small.txt": SMALL, "large.bin": LARGE, "empty.txt": b""}


@pytest.fixture
def kept(line: LineUnderTest) -> KeptCopies:
    """A preserved bag; each copy was proven a hundred days ago, as it were."""
    bag = BagBuilder()
    for name, data in NAMES.items():
        bag.payload(name, data)
    (item,) = line.run(line.deposit("bag.tar", bag.tar()))
    assert item.status == STATUS_SUCCESS, item.note
    return long_after(line)


def test_every_copy_is_read_and_proven(kept: KeptCopies) -> None:
    before = copies(kept)
    record = run(kept)
    after = copies(kept)
    assert len(after) == len(before) >= 2 * len(NAMES)
    assert (record.asked, record.proven, record.bad) == (len(after), len(after), 0)
    assert record.bytes == sum(copy.size for copy in after)
    assert {copy.outcome for copy in after} == {PROVEN}
    assert all(copy.proven_at > now() for copy in after)
    (known,) = kept.services.registry.files(["test.edu/bag/data/small.txt"]).values()
    assert known.last_fixity_check == min(c.proven_at for c in copies(kept, "small.txt"))
    assert [e for e in known.premis_events if e.date_time > now()] == []  # nothing has changed
    assert run(kept).asked == 0  # within a day
    (newest, _) = kept.book.runs()
    assert newest.asked == 0


def test_an_object_in_the_middle_of_a_reingest_is_left_alone(
    kept: KeptCopies, line: LineUnderTest
) -> None:
    """Newer bytes stand in one place already, and their digests come later."""
    kept = repairing(kept, "auto")
    newer, older = copies(kept, "small.txt")
    ingest = kept.services.registry.save_work_item(
        WorkItem(
            action="Ingest",
            name="bag.tar",
            institution_id=line.institution.id,
            stage=STAGE_STORE,
            status=STATUS_STARTED,
        )
    )
    put(kept, newer, b"newer bytes")
    record = run(kept)
    assert (record.bad, record.repaired, record.passed_over) == (0, 0, 1)
    assert kept.services.objects.read(newer.bucket, newer.uuid) == b"newer bytes"
    assert kept.services.objects.read(older.bucket, older.uuid) == SMALL
    save = kept.services.registry.save_work_item
    save(structs.replace(ingest, stage="Receive", status="Failed"))
    assert run(kept).repaired == 0  # they are still held
    hour = replace(kept, clock=lambda: later(kept.clock(), timedelta(hours=1)))
    assert run(hour).repaired == 1
    assert kept.services.objects.read(newer.bucket, newer.uuid) == SMALL


def test_a_store_that_is_away_makes_no_bad_copy(kept: KeptCopies) -> None:
    """For an hour, or for one place alone: what it holds waits, and is asked again."""
    away = Away(kept.services.objects)
    waited: list[float] = []
    services = replace(kept.services, objects=cast("Objects", away))
    runner = FixityRunner(replace(kept, services=services), sleep=waited.append)
    away.silent = copies(kept)[0].bucket
    record = runner.run()
    others = [copy for copy in copies(kept) if copy.bucket != away.silent]
    assert (record.proven, record.bad) == (len(others), 0)
    assert len(waited) == 2  # then the place is left to the next run
    assert kept.book.bad() == []
    away.silent = ""
    assert runner.run().proven == len(copies(kept)) - len(others)


def test_people_are_told_once_a_day_of_what_runs_found(kept: KeptCopies) -> None:
    """By the runs of a worker; not by an operator's own, which says so itself."""
    database = open_database(kept.settings)
    ApiUsers(database).add("root@bagline.example", SYS_ADMIN)
    database.close()
    alerts = kept.services.registry.alerts
    assert alerts is not None
    harmed, _ = copies(kept, "small.txt")
    put(kept, harmed, b"a liver!")
    assert run(kept).bad == 1
    with pytest.raises(Missing):
        alerts.find(1, 1)
    FixityRunner(kept, stop=Looks(3)).watch()
    told = alerts.find(2, 1)
    assert f"{harmed.url}: wrong" in told.content
    assert alerts.find(1, 0).institution_id == harmed.institution_id
    with pytest.raises(Missing):
        alerts.find(3, 0)


def test_a_place_that_cannot_be_looked_at_keeps_nobody_from_being_told(kept: KeptCopies) -> None:
    keyless = Away(kept.services.objects)
    keyless.keyless, lost = (copy.bucket for copy in copies(kept, "small.txt"))
    for copy in copies(kept):
        if copy.bucket == lost:
            kept.services.objects.delete(copy.bucket, copy.uuid)
    services = replace(kept.services, objects=cast("Objects", keyless))
    with pytest.raises(Misconfigured):
        FixityRunner(replace(kept, services=services), stop=Looks(1)).watch()
    alerts = kept.services.registry.alerts
    assert alerts is not None
    assert f"/{lost}/" in alerts.find(2, 0).content


class Looks(threading.Event):
    """It is to stop after so many looks, and waits for none."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._left = looks

    def wait(self, timeout: float | None = None) -> bool:
        self._left -= 1
        if self._left < 0:
            self.set()
        return self.is_set()


class Away:
    """A real store, of which one bucket does not answer, or has no key."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.silent = ""
        self.keyless = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def verify_many(self, bucket: str, checks: Sequence[Check]) -> list[Any]:
        if bucket == self.silent:
            raise Unreachable("nobody answers")
        if bucket == self.keyless:
            raise Misconfigured("the file of its key is gone")
        return list(self._objects.verify_many(bucket, checks))


def test_two_runs_never_take_one_copy(kept: KeptCopies) -> None:
    (first, *_) = [total.place for total in kept.book.totals()]
    one, other = taken(kept, first, 2), taken(kept, first, 100)
    assert len(one) == 2
    assert other
    assert not {copy.id for copy in one} & {copy.id for copy in other}
    assert taken(kept, first, 9) == []
    kept.book.give_back(one, IN_AN_HOUR)
    assert {copy.id for copy in taken(kept, first, 9)} == {copy.id for copy in one}


def test_what_a_dead_run_took_is_free_again(kept: KeptCopies) -> None:
    (first, *_) = [total.place for total in kept.book.totals()]
    one = taken(kept, first, 2, until=earlier(now(), timedelta(seconds=1)))
    assert {copy.id for copy in taken(kept, first, 2)} == {copy.id for copy in one}


HOUR = timedelta(hours=1)
IN_AN_HOUR = later(now(), HOUR)


def taken(kept: KeptCopies, place: str, most: int, *, until: Timestamp = NEVER) -> list[KeptCopy]:
    moment = now()
    until = until if is_set(until) else IN_AN_HOUR
    return kept.book.take(
        place, CopyFilter(), limit=most, now=moment, asked_before=moment, until=until
    )


def test_what_is_due_is_an_even_share_and_all_that_is_overdue(kept: KeptCopies) -> None:
    runner = FixityRunner(kept, sleep=lambda _: None)
    whole = runner.due().whole
    every_copy = copies(kept)
    assert whole == sum(copy.size + 256 * 1024 for copy in every_copy)  # a hundred days old
    at_home = FixityRunner(replace(kept, clock=now), sleep=lambda _: None)
    assert whole // 81 <= at_home.due().whole <= whole // 81 + 2  # rounded up, each place
    assert at_home.run(budget=Allowance(copies=3)).asked == 3


def test_a_run_says_what_its_reading_costs(kept: KeptCopies) -> None:
    price = ReadPrice(gigabyte=2.0, thousand_requests=5.0)
    provider = kept.settings.storage_options[0].targets[0].provider
    fixity = structs.replace(kept.settings.fixity, currency="EUR", prices={provider: price})
    priced = replace(kept, settings=structs.replace(kept.settings, fixity=fixity))
    record = run(priced)
    assert record.asked == record.requests
    assert record.cost == pytest.approx(2e-9 * record.bytes + 5e-3 * record.requests)
    assert record.currency == "EUR"
    (kept_record, *_) = kept.book.runs()
    assert (kept_record.cost, kept_record.currency) == (record.cost, "EUR")


def test_a_run_of_one_bucket_asks_no_other(kept: KeptCopies) -> None:
    one, other = copies(kept, "small.txt")
    record = FixityRunner(kept, sleep=lambda _: None).run(bucket=one.bucket)
    assert record.proven == len(copies(kept)) / 2
    found = {copy.bucket: copy.outcome for copy in copies(kept, "small.txt")}
    assert found == {one.bucket: PROVEN, other.bucket: ""}


class Picky:
    """A real store that answers for no batch with one of these keys in it."""

    def __init__(self, objects: Objects, keys: set[str], answers: Callable[[Check], Any]) -> None:
        self._objects = objects
        self._keys = keys
        self._answers = answers
        self.puts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def verify_many(self, bucket: str, checks: Sequence[Check]) -> list[Any]:
        found = list(self._objects.verify_many(bucket, checks))
        for place, check in enumerate(checks):
            if check.key in self._keys:
                found[place] = self._answers(check)
        return found

    def put_stream(self, *args: Any, **kwargs: Any) -> Any:
        self.puts += 1
        return self._objects.put_stream(*args, **kwargs)


def before(kept: KeptCopies, key: str, answers: Callable[[Check], Any]) -> tuple[KeptCopies, Picky]:
    store = Picky(kept.services.objects, {key}, answers)
    services = replace(kept.services, objects=cast("Objects", store))
    return replace(kept, services=services), store


def refused(check: Check) -> Any:
    raise Refused(f"{check.key}: this key is not for you")


def silent(check: Check) -> Any:
    raise Unreachable(f"{check.key}: nobody answers")


@pytest.mark.parametrize("answers", [refused, silent])
def test_one_copy_without_an_answer_hides_no_other(
    kept: KeptCopies, answers: Callable[[Check], Any]
) -> None:
    mute, twin = copies(kept, "small.txt")
    record = run(before(kept, mute.uuid, answers)[0])
    every = copies(kept)
    of_file = [copy for copy in every if copy.uuid == mute.uuid]  # in both places
    assert (record.asked, record.unanswered) == (len(every), len(of_file))
    assert record.proven == len(every) - len(of_file)
    assert {copy.outcome for copy in of_file} == {UNANSWERED}
    assert {copy.proven_at for copy in of_file} == {mute.proven_at, twin.proven_at}
    assert kept.book.bad() == []
    assert run(kept).asked == 0  # others have their turn first
    tomorrow = later(kept.clock(), timedelta(days=1, hours=1))
    again = run(replace(kept, clock=lambda: tomorrow))
    assert (again.asked, again.unanswered) == (len(every), 0)


def test_what_a_store_refuses_waits_a_day_and_others_have_their_turn(
    kept: KeptCopies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is all that is asked at once: an object's files are neighbours."""
    monkeypatch.setattr(running, "AT_ONCE", 2)
    every = copies(kept)
    first = {copy.uuid for copy in every[:2]}
    store = Picky(kept.services.objects, first, refused)
    services = replace(kept.services, objects=cast("Objects", store))
    refusing = replace(kept, services=services)
    for _ in range(len(every)):
        run(refusing)
    outcomes = {copy.uuid: copy.outcome for copy in copies(kept)}
    assert {uuid for uuid, outcome in outcomes.items() if outcome == UNANSWERED} == first
    assert set(outcomes.values()) == {UNANSWERED, PROVEN}


def test_a_store_that_is_silent_says_nothing_of_any(kept: KeptCopies) -> None:
    store = Picky(kept.services.objects, {copy.uuid for copy in copies(kept)}, silent)
    services = replace(kept.services, objects=cast("Objects", store))
    record = run(replace(kept, services=services))
    assert (record.asked, record.proven) == (0, 0)
    assert record.unanswered > 0
    assert {copy.outcome for copy in copies(kept)} == {""}
    assert run(kept).proven == len(copies(kept))  # nothing is held


def test_what_lies_in_an_archive_is_not_written_over(kept: KeptCopies) -> None:
    frozen, _ = copies(kept, "small.txt")

    def archived(check: Check) -> Any:
        how = ProofMethod.STORE_SIZE
        return Proof(frozen.bucket, check.key, check.size, "", check.sha256, how)

    cold, store = before(kept, frozen.uuid, archived)
    with pytest.raises(LeftAlone, match="archive"):
        FixityRunner(cold).repairer().repair(frozen)
    assert store.puts == 0


def test_a_repair_of_what_was_never_bad_says_nothing(kept: KeptCopies) -> None:
    sound, _ = copies(kept, "small.txt")
    check, event = FixityRunner(kept).repairer().repair(sound)
    assert (check.outcome, event) == (PROVEN, None)


def test_bad_copies_that_were_looked_at_today_make_nothing_else_due(kept: KeptCopies) -> None:
    for copy in copies(kept):
        kept.services.objects.delete(copy.bucket, copy.uuid)
    assert run(kept).bad == len(copies(kept))
    tomorrow = replace(kept, clock=lambda: later(now(), timedelta(days=101, hours=2)))
    assert FixityRunner(tomorrow).due().whole > 0
    assert FixityRunner(kept).due().whole == 0  # they are overdue, and cannot be asked now


def test_a_bad_copy_is_told_of_once_while_it_stays_so(kept: KeptCopies) -> None:
    gone, _ = copies(kept, "small.txt")
    kept.services.objects.delete(gone.bucket, gone.uuid)
    for day in range(3):
        at = later(kept.clock(), timedelta(days=2 * day))
        record = run(replace(kept, clock=lambda at=at: at))  # type: ignore[misc]
        assert record.bad == 1
    (file,) = kept.services.registry.files([gone.identifier]).values()
    assert [e.outcome for e in file.premis_events if e.outcome == "Failed"] == ["Failed"]


class Slow(Picky):
    """Moves, and takes its time; half of it over, another may look."""

    def __init__(self, objects: Objects) -> None:
        super().__init__(objects, set(), refused)
        self.is_half_done = threading.Event()

    def verify_many(self, bucket: str, checks: Sequence[Check]) -> list[Any]:
        for moment in range(120):
            checks[0].moved()
            time.sleep(0.05)
            if moment == 80:
                self.is_half_done.set()
        return list(self._objects.verify_many(bucket, checks))


def test_what_takes_longer_than_its_hold_stays_held(
    kept: KeptCopies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LEASE", timedelta(seconds=3))
    at = replace(kept, clock=now)
    store = Slow(kept.services.objects)
    slow = replace(at, services=replace(kept.services, objects=cast("Objects", store)))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(FixityRunner(slow).run)
        assert store.is_half_done.wait(30)
        assert FixityRunner(at).run().asked == 0
        assert first.result(30).asked == len(copies(kept))


def test_the_bytes_of_a_day_are_those_of_all_processes(kept: KeptCopies) -> None:
    fixity = structs.replace(kept.settings.fixity, bytes_a_day=10**9)
    bounded = replace(kept, settings=structs.replace(kept.settings, fixity=fixity))
    first = FixityRunner(bounded)
    whole = first.due()
    assert 0 < whole.whole <= 10**9
    other = FixityRun(began_at=kept.clock(), reserved=10**9)
    kept.book.save_run(other)  # it began, and has read nothing yet
    assert FixityRunner(bounded).due().whole == 0
    assert first.run(budget=whole).asked == 0
    other.ended_at = kept.clock()
    kept.book.save_run(other)
    assert FixityRunner(bounded).run(budget=whole).asked > 0


def test_so_many_copies_as_were_allowed(kept: KeptCopies) -> None:
    whole = len(copies(kept))
    asked = [run_of(kept, copies=1) for _ in range(4)]
    assert asked == [1] * 4
    assert run_of(kept, copies=whole - 5) == whole - 5
    assert run_of(kept, copies=3) == 1


def run_of(kept: KeptCopies, **allowed: int) -> int:
    return FixityRunner(kept, sleep=lambda _: None).run(budget=Allowance(**allowed)).asked


def test_copies_in_places_that_no_setting_names_are_counted(kept: KeptCopies) -> None:
    one, other = copies(kept, "small.txt")
    options = tuple(
        structs.replace(o, targets=tuple(t for t in o.targets if t.bucket != other.bucket))
        for o in kept.settings.storage_options
    )
    moved = replace(kept, settings=structs.replace(kept.settings, storage_options=options))
    unread = FixityRunner(moved).due_copies.unread_places(kept.book.totals())
    assert unread == {other.place: len([c for c in copies(kept) if c.place == other.place])}
    assert FixityRunner(kept).due_copies.unread_places(kept.book.totals()) == {}
    assert one.place not in unread
