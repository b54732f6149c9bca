"""Fixity by either make, over either's Registry: what is read, what is said, what is queued."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from bagline.app import App
from bagline.embedded import EngineAddresses
from bagline.errors import Gone, Unreachable, Unreadable
from bagline.model.registry import GenericFile
from bagline.model.times import Timestamp, earlier, now
from bagline.model.workitem import WorkItem
from bagline.services.bundle import Services
from bagline.services.objects.base import Body, Check, Objects, Target
from bagline.services.objects.forwarding import ForwardingObjects
from bagline.services.registry.base import WorkItemFilter
from bagline.standin.executables import AFTER_FIXITY, fixity_queuer, older_lines
from bagline.standin.fixity_queueing import FixityQueuer
from bagline.wiring import build_objects, build_registry
from bagline.worker.line import Lines, RetryPolicy
from support.bags import BagBuilder
from support.older import STAGES
from support.older.fixity import TOPIC, check_fixity, queue_fixity
from support.pairing import MixedLine, mixed_line, plain
from support.tools import free_port

pytestmark = pytest.mark.engines

DAYS = 90
SOON = RetryPolicy(attempts=1_000, first_delay=0.05, longest_delay=0.05)
LETTERS = "test.edu/letters"
ONE, TWO, LARGE = (f"{LETTERS}/data/{name}" for name in ("one.txt", "two.txt", "large.bin"))
BODIES = {ONE: b"one\n", TWO: b"two\n", LARGE: bytes(range(256)) * 4096 * 9}
THEIR_INGEST = "their ingest"
FROZEN = "test.edu/frozen/data/a.txt"
WASABI = "test.edu/wasabi/data/a.txt"


def bags() -> dict[str, BagBuilder]:
    letters = BagBuilder("letters")
    for identifier, body in BODIES.items():
        letters.payload(identifier.rpartition("/")[2], body)
    made = {"letters": letters}
    for name, option in (("frozen", "Glacier-OH"), ("wasabi", "Wasabi-VA")):
        made[name] = BagBuilder(name).payload("a.txt", b"abc\n")
        made[name].tag("aptrust-info.txt", "Storage-Option", option)
    return made


class Pair:
    """Their fixity and ours, at one Registry: `of` says whose."""

    def __init__(self, mixed: MixedLine, of: str) -> None:
        self.mixed, self.line, self.of = mixed, mixed.line, of
        own = mixed.line.settings
        if of == "our registry":
            named = structs.replace(own.registry, url=mixed.registry.behind)
            self.settings = structs.replace(own, registry=named)
            self.world = replace(mixed.world, registry=mixed.world.registry.at(named.url))
        else:
            self.settings, self.world = own, mixed.world
        self.services = replace(mixed.line.services, registry=build_registry(self.settings))
        self.harmed: set[tuple[str, int]] = set()

    def file(self, identifier: str) -> GenericFile:
        (found,) = self.services.registry.files([identifier]).values()
        return found

    def age(self, identifier: str, days: float) -> int:
        """As if it had been checked so long ago; its id."""
        file = self.file(identifier)
        file.last_fixity_check = earlier(now(), timedelta(days=days))
        urls = [copy.url for copy in file.storage_records]
        file.premis_events = []
        return self.services.registry.update_file(file, recorded_urls=urls).id

    def events(self, identifier: str) -> list[dict[str, Any]]:
        """Of fixity checks after the ingest: as their Registry shows them, the oldest first."""
        number = self.file(identifier).id
        found = self.world.registry.listed(
            "events", generic_file_id=number, event_type="fixity check", sort="id", per_page=100
        )
        return [e for e in found if e["detail"] == "Fixity check against registered hash"][2:]

    def by_ours(self, identifier: str, **how: Any) -> list[dict[str, Any]]:
        """The events of one message."""
        before = len(self.events(identifier))
        self.deliver(self.age(identifier, DAYS + 1), **how)
        return self.events(identifier)[before:]

    def by_theirs(self, identifier: str) -> list[dict[str, Any]]:
        before = len(self.events(identifier))
        check_fixity(self.world, self.age(identifier, DAYS + 1), days=DAYS)
        return self.events(identifier)[before:]

    def deliver(self, *numbers: int, **how: Any) -> None:
        """Our worker is over with the messages."""
        for number in numbers:
            self.services.queue.publish(TOPIC, number)
        with self.working(**how):
            self.line.until(self.is_idle, "the messages to be gone")

    @contextmanager
    def working(
        self, *, services: Services | None = None, end_to_end: bool = False
    ) -> Iterator[None]:
        app = self.line.app
        self.line.app = self.app(services=services, end_to_end=end_to_end)
        try:
            with self.line.working(only=("fixity-checker",)):
                yield
        finally:
            self.line.app = app

    def app(self, *, services: Services | None = None, end_to_end: bool = False) -> App:
        *_, fixity = older_lines(end_to_end=end_to_end)
        (step,) = fixity
        line = type(fixity)(
            [replace(step, retry=SOON)],
            tells=AFTER_FIXITY if end_to_end else (),
            looks_always=end_to_end,
        )
        return App(self.settings, services or self.services, Lines((line,)))

    def is_idle(self) -> bool:
        (depth,) = self.services.queue.depth([TOPIC])
        return not depth.due + depth.delayed + depth.in_flight

    def harm(self, identifier: str, at: int, body: bytes | None) -> str:
        """The copy of that place holds these bytes, or none; its URL."""
        self.harmed.add((identifier, at))
        file = self.file(identifier)
        targets = self.settings.storage_option(file.storage_option).targets
        store, bucket = self.services.store_of(targets[at]), targets[at].bucket
        if body is None:
            store.delete(bucket, file.uuid)
        else:
            store.put(Body(Target(bucket, file.uuid), body))
        return targets[at].url(file.uuid)

    def queuer(self, **changed: Any) -> FixityQueuer:
        found = fixity_queuer(self.app(), {"MAX_FIXITY_ITEMS_PER_RUN": "100"})
        return replace(found, **changed)

    def queued(self) -> list[int]:
        """What waits, by id: no queue promises an order. It waits no longer."""
        taken = self.services.queue.subscribe(TOPIC, owner="the tests", in_flight=1_000)
        found = []
        while (delivery := taken.receive(0.1)) is not None:
            found.append(delivery.number)
            delivery.ack()
        taken.close()
        return sorted(found)


@pytest.fixture(scope="module")
def ingested(
    request: pytest.FixtureRequest,
    engines: EngineAddresses,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[MixedLine]:
    is_theirs = getattr(request, "param", "") == THEIR_INGEST
    older = frozenset(STAGES) if is_theirs else frozenset[str]()
    with mixed_line(engines, tmp_path_factory.mktemp("mixed")) as line:
        trails = line.ingest({name: bag.tar("gnu") for name, bag in bags().items()}, older)
        assert {trail.status for trail in trails.values()} == {"Success"}
        yield line


@pytest.fixture(params=["another registry", "our registry"])
def pair(ingested: MixedLine, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Before each test every copy is sound, no item is open, and every file was just checked."""
    pair = Pair(ingested, request.param)
    for identifier in (*BODIES, FROZEN, WASABI):
        pair.age(identifier, 1)
    yield pair
    for identifier, place in sorted(pair.harmed):
        pair.harm(identifier, place, BODIES[identifier])
    registry = pair.services.registry
    still_open = WorkItemFilter(statuses=["Pending", "Started", "Suspended"])
    for item in registry.work_items(still_open):
        registry.save_work_item(structs.replace(item, status="Cancelled", retry=False))
    pair.queued()
    assert [key for key in pair.line.redis_keys() if "file:" in key] == []
    registry.close()


def told(event: dict[str, Any]) -> Any:
    return plain({name: value for name, value in event.items() if name != "id"})


def test_of_a_sound_file_both_say_the_same(pair: Pair) -> None:
    """Ours also of the second copy, which theirs never reads."""
    for identifier in (ONE, LARGE, WASABI):
        (theirs,) = pair.by_theirs(identifier)
        assert pair.file(identifier).last_fixity_check == _micro(theirs["date_time"])
        said_of = {e["outcome_information"].split(" ")[3]: e for e in pair.by_ours(identifier)}
        urls = {f"{copy.url}:" for copy in pair.file(identifier).storage_records}
        assert set(said_of) == urls
        ours = said_of[theirs["outcome_information"].split(" ")[3]]
        assert told(ours) == told(theirs)
        assert ours["outcome_information"] == theirs["outcome_information"]
        assert {event["outcome"] for event in said_of.values()} == {"Success"}
        newest = max(event["date_time"] for event in said_of.values())
        assert pair.file(identifier).last_fixity_check == _micro(newest)


def _micro(moment: str) -> Timestamp:
    """As the Registry keeps it."""
    head, _, digits = moment.removesuffix("Z").partition(".")
    digits = digits[:6].rstrip("0")
    return Timestamp(f"{head}.{digits}Z" if digits else f"{head}Z")


HARMS: dict[str, tuple[Callable[[bytes], bytes | None], str]] = {
    "flipped": (lambda body: bytes([body[0] ^ 1]) + body[1:], "wrong"),
    "cut": (lambda body: body[:-1], "wrong"),
    "gone": (lambda body: None, "missing"),
}


@pytest.mark.parametrize("place", [0, 1], ids=["first copy", "second copy"])
@pytest.mark.parametrize("harm", list(HARMS))
def test_a_bad_copy_is_a_failed_event_wherever_it_lies(pair: Pair, harm: str, place: int) -> None:
    """Theirs says so of the first copy alone, and only where there are bytes to be read."""
    change, outcome = HARMS[harm]
    for identifier in (ONE, LARGE):
        url = pair.harm(identifier, place, change(BODIES[identifier]))
        theirs = pair.by_theirs(identifier)
        wanted = ["Success"] if place else ["Failed"] * (outcome == "wrong")
        assert [event["outcome"] for event in theirs] == wanted
        bad, sound = pair.by_ours(identifier)
        assert (bad["outcome"], sound["outcome"]) == ("Failed", "Success")
        assert bad["outcome_information"].startswith(f"{url}: {outcome}")
        assert url not in sound["outcome_information"]
        file = pair.file(identifier)
        assert file.last_fixity_check > earlier(now(), timedelta(days=1))
        if theirs and not place:  # but for what they found: ours tells what was to be found
            others = {"outcome_detail", "outcome_information"}
            assert without(bad, others) == without(theirs[0], others)
            assert bad["outcome_detail"] == f"sha256:{file.newest_digest('sha256')}"


@pytest.mark.long
@pytest.mark.parametrize("ingested", [THEIR_INGEST], indirect=True)
def test_of_what_the_older_line_ingested_it_is_the_same(pair: Pair) -> None:
    test_of_a_sound_file_both_say_the_same(pair)
    test_a_bad_copy_is_a_failed_event_wherever_it_lies(pair, "flipped", 0)


def without(event: dict[str, Any], names: set[str]) -> Any:
    return told({name: value for name, value in event.items() if name not in names})


def test_a_file_without_a_place_is_lost_and_told_of(pair: Pair) -> None:
    number = pair.age(ONE, DAYS + 1)
    file = pair.file(ONE)
    nowhere = replace(
        pair.services, registry=Changed(pair.services.registry, number, storage_records=[])
    )
    before = len(pair.events(ONE))
    pair.deliver(number, services=nowhere)
    (event,) = pair.events(ONE)[before:]
    assert event["outcome"] == "Failed"
    assert event["outcome_information"].startswith("no copy on record: missing")
    assert event["generic_file_identifier"] == file.identifier


class Changed:
    """The Registry, which tells something else of one file."""

    def __init__(self, registry: Any, number: int, **fields: Any) -> None:
        self._registry, self._number, self._fields = registry, number, fields

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)

    def file(self, number: int) -> GenericFile | None:
        found = self._registry.file(number)
        if found is None or number != self._number:
            return found
        return structs.replace(found, **self._fields)


def test_a_copy_in_nobodys_bucket_stops_the_file(pair: Pair) -> None:
    """Nothing is said of what this installation cannot look at, nor that the file was checked."""
    number = pair.age(ONE, DAYS + 1)
    records = pair.file(ONE).storage_records
    records.append(structs.replace(records[0], url="https://s3.elsewhere.example/bucket/key"))
    strange = Changed(pair.services.registry, number, storage_records=records)
    assert said(pair, number, services=replace(pair.services, registry=strange)) == []


def said(pair: Pair, number: int, identifier: str = ONE, **how: Any) -> list[dict[str, Any]]:
    """Its events by one delivery, its date as it was where there are none."""
    before, last = pair.events(identifier), pair.file(identifier).last_fixity_check
    pair.deliver(number, **how)
    found = pair.events(identifier)[len(before) :]
    if not found:
        assert pair.file(identifier).last_fixity_check == last
    return found


def test_a_store_that_does_not_answer_says_nothing_of_its_copies(pair: Pair) -> None:
    """Not even of those whose store answers; the message stays until all do."""
    number = pair.age(ONE, DAYS + 1)
    dead = structs.replace(pair.settings.s3, endpoint=f"http://127.0.0.1:{free_port()}")
    objects = build_objects(dead)
    before = pair.events(ONE)
    pair.services.queue.publish(TOPIC, number)
    silent = replace(pair.services, objects=SilentAt(pair, objects))
    with pair.working(services=silent):
        pair.line.until(lambda: silent.objects.asked > 1, "a second look")
    assert pair.events(ONE) == before
    assert not pair.is_idle()
    pair.deliver()
    assert [event["outcome"] for event in pair.events(ONE)[len(before) :]] == ["Success"] * 2
    objects.close()


class SilentAt(ForwardingObjects):
    """The store, but for the second bucket, which is nowhere."""

    def __init__(self, pair: Pair, dead: Objects) -> None:
        super().__init__(pair.services.objects, "silent")
        self._bucket = pair.settings.storage_option("Standard").targets[1].bucket
        self._dead = dead
        self.asked = 0

    def verify_many(self, bucket: str, checks: Sequence[Check], **how: Any) -> Any:
        if bucket == self._bucket:
            self.asked += 1
            return self._dead.verify_many(bucket, checks, **how)
        return self._inner.verify_many(bucket, checks, **how)


def test_a_copy_that_is_told_of_and_not_given_is_a_failed_event(pair: Pair) -> None:
    number = pair.age(ONE, DAYS + 1)
    objects = NotGiven(pair)
    bad, sound = said(pair, number, services=replace(pair.services, objects=objects))
    assert (bad["outcome"], sound["outcome"]) == ("Failed", "Success")
    assert f"/{objects.bucket}/" in bad["outcome_information"]
    assert ": unreadable: " in bad["outcome_information"]
    assert objects.asked == 2  # alone, once more


class NotGiven(ForwardingObjects):
    """The store, which breaks off whenever bytes of the second bucket are asked for."""

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair.services.objects, "not-given")
        self.bucket = pair.settings.storage_option("Standard").targets[1].bucket
        self.asked = 0

    def verify_many(self, bucket: str, checks: Sequence[Check], **how: Any) -> Any:
        if bucket != self.bucket:
            return self._inner.verify_many(bucket, checks, **how)
        self.asked += 1
        return [Unreadable("it was broken off") for _ in checks]


class Meanwhile(ForwardingObjects):
    """The store; `act` comes before the first look."""

    def __init__(self, pair: Pair, act: Callable[[], object]) -> None:
        super().__init__(pair.services.objects, "meanwhile")
        self._act: Callable[[], object] | None = act

    def verify_many(self, bucket: str, checks: Sequence[Check], **how: Any) -> Any:
        act, self._act = self._act, None
        if act is not None:
            act()
        return self._inner.verify_many(bucket, checks, **how)


def an_open(pair: Pair, action: str, stage: str, status: str = "Started") -> WorkItem:
    registry = pair.services.registry
    (known, *_) = registry.items_of_bag(pair.line.institution.id, "letters", action="Ingest")
    return registry.save_work_item(
        structs.replace(
            known, id=0, action=action, stage=stage, status=status, retry=True, date_processed=now()
        )
    )


CHANGES = {
    "deletion asked for": ("Delete", "Requested", "Pending"),
    "deletion begun": ("Delete", "Requested", "Started"),
    "newer version being stored": ("Ingest", "Store", "Started"),
    "newer version being recorded": ("Ingest", "Record", "Pending"),
}


@pytest.mark.parametrize("when", ["before", "while it is read"])
@pytest.mark.parametrize("change", list(CHANGES))
def test_what_is_being_changed_is_left_alone(pair: Pair, change: str, when: str) -> None:
    """An event beside a deletion can bring the file back (in their Registry), one beside a
    re-ingest tells of bytes that are meant no more."""
    number = pair.age(ONE, DAYS + 1)
    pair.harm(ONE, 0, b"newer bytes\n")
    opened: list[WorkItem] = []

    def begin() -> None:
        opened.append(an_open(pair, *CHANGES[change]))

    if when == "before":
        begin()
        services = pair.services
    else:
        services = replace(pair.services, objects=Meanwhile(pair, begin))
    assert said(pair, number, services=services) == []
    (item,) = opened
    item.status, item.retry, item.stage = "Success", False, "Cleanup"
    pair.services.registry.save_work_item(item)
    assert [event["outcome"] for event in said(pair, number)] == ["Failed", "Success"]


def test_a_file_that_was_replaced_while_it_was_read_is_not_judged(pair: Pair) -> None:
    number = pair.age(ONE, DAYS + 1)

    def replaced() -> None:
        file = pair.file(ONE)
        file.size, file.premis_events = 77, []
        urls = [copy.url for copy in file.storage_records]
        pair.services.registry.update_file(file, recorded_urls=urls)

    services = replace(pair.services, objects=Meanwhile(pair, replaced))
    assert said(pair, number, services=services) == []
    file = pair.file(ONE)
    file.size, file.premis_events = len(BODIES[ONE]), []
    urls = [copy.url for copy in file.storage_records]
    pair.services.registry.update_file(file, recorded_urls=urls)


def test_what_is_fresh_deleted_frozen_or_unknown_is_passed_over(pair: Pair) -> None:
    fresh = pair.age(ONE, DAYS - 1)
    assert check_fixity(pair.world, fresh, days=DAYS) == "fresh"
    assert said(pair, fresh) == []
    frozen = pair.age(FROZEN, DAYS + 1)
    assert "Glacier-only" in check_fixity(pair.world, frozen, days=DAYS)
    assert said(pair, frozen, FROZEN) == []
    due = pair.age(TWO, DAYS + 1)
    gone = Changed(pair.services.registry, due, state="D")
    assert said(pair, due, TWO, services=replace(pair.services, registry=gone)) == []
    pair.deliver(987_654)


def test_end_to_end_tests_hear_of_every_file_and_wait_for_none(pair: Pair) -> None:
    """Also of one that is fresh, of one that failed, of one that nothing reads."""
    numbers = [pair.age(ONE, 1), pair.age(TWO, 1), pair.age(FROZEN, 1), 987_654]
    pair.harm(TWO, 0, None)
    before = len(pair.events(ONE)), len(pair.events(TWO))
    pair.deliver(*numbers, end_to_end=True)
    assert [e["outcome"] for e in pair.events(ONE)[before[0] :]] == ["Success"] * 2
    assert [e["outcome"] for e in pair.events(TWO)[before[1] :]] == ["Failed", "Success"]
    assert sorted(heard(pair)) == sorted(numbers)
    pair.deliver(pair.age(ONE, DAYS + 1))
    assert heard(pair) == []


def heard(pair: Pair) -> list[int]:
    taken = pair.services.queue.subscribe(AFTER_FIXITY[0], owner="the tests", in_flight=10)
    found = []
    while (delivery := taken.receive(0.2)) is not None:
        found.append(delivery.number)
        delivery.ack()
    taken.close()
    return found


def test_of_two_events_the_one_that_could_not_be_saved_is_not_lost(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first has made the file look checked; the bad news came first all the same."""
    monkeypatch.setattr("bagline.lines.fixity.file_checking.PAUSE_SECONDS", 0.01)
    number = pair.age(ONE, DAYS + 1)
    pair.harm(ONE, 1, None)
    failing = Stumbling(pair.services.registry)
    found = said(pair, number, services=replace(pair.services, registry=failing))
    assert failing.stumbles == 0
    assert [event["outcome"] for event in found] == ["Failed", "Failed", "Success"]


class Stumbling:
    """The Registry, which saves the first event, and then none for longer than one look tries."""

    def __init__(self, registry: Any) -> None:
        self._registry, self._saved, self.stumbles = registry, 0, 4

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)

    def create_events(self, events: Sequence[Any]) -> Any:
        if self._saved == 1 and self.stumbles:
            self.stumbles -= 1
            raise Unreachable("the Registry stumbles")
        self._saved += 1
        return self._registry.create_events(events)


def test_a_worker_that_is_asked_to_stop_hands_the_file_back(pair: Pair) -> None:
    number = pair.age(LARGE, DAYS + 1)
    before = pair.events(LARGE)
    pair.services.queue.publish(TOPIC, number)
    stops: list[Callable[[], object]] = []
    objects = Meanwhile(pair, lambda: stops[0]())
    worker = pair.app(services=replace(pair.services, objects=objects)).worker()
    stops.append(worker.stop)
    assert worker.run()
    assert pair.events(LARGE) == before
    assert pair.queued() == [number]
    assert [event["outcome"] for event in said(pair, number, LARGE)] == ["Success"] * 2


# -- what is queued


def test_what_is_due_is_queued_however_long_it_was_missed(pair: Pair) -> None:
    """Theirs never finds again what it missed for a month."""
    due = [pair.age(TWO, DAYS + 400), pair.age(ONE, DAYS + 5), pair.age(WASABI, DAYS + 1)]
    pair.age(FROZEN, DAYS + 5)
    pair.age(LARGE, DAYS - 1)
    assert queue_fixity(pair.world, days=DAYS, most=100) == due[1:]
    assert pair.queuer().look() == len(due)
    assert pair.queued() == sorted(due)


def test_no_more_are_queued_than_may_wait(pair: Pair) -> None:
    """Inside a page, too; by whomever they were queued."""
    due = [pair.age(TWO, DAYS + 9), pair.age(ONE, DAYS + 8), pair.age(LARGE, DAYS + 7)]
    queuer = pair.queuer(most=2)
    assert queuer.look() == 2
    assert queuer.look() == 0
    assert pair.queuer(most=2).look() == 0  # it remembers nothing: that they wait is enough
    assert pair.queued() == sorted(due[:2])
    assert queuer.look() == 1  # what was published and is still due keeps no other from its turn
    assert pair.queued() == due[2:]
    assert queuer.look() == 0


def test_what_stays_due_has_another_turn_after_a_day(pair: Pair) -> None:
    number = pair.age(ONE, DAYS + 8)
    moments = [now()]
    queuer = pair.queuer(clock=lambda: moments[-1])
    for hours, wanted in ((0, [number]), (23, []), (25, [number])):
        moments.append(earlier(moments[0], timedelta(hours=-hours)))
        queuer.look()
        assert pair.queued() == wanted


def test_one_file_is_queued_by_its_name_whenever_it_was_checked(pair: Pair) -> None:
    pair.queuer().publish(ONE)
    assert pair.queued() == [pair.file(ONE).id]
    for wrong in ("test.edu/letters/data/none.txt", FROZEN, "--help"):
        with pytest.raises(Gone):
            pair.queuer().publish(wrong)
    assert pair.queued() == []
