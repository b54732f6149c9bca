"""When each copy was looked at, and what was found: by every database that keeps it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs
from sqlalchemy import event
from sqlalchemy.engine import Engine

from bagline.model.copy_checks import MISSING, PROVEN, CopyCheck, CopySeen, FixityRun, KeptCopy
from bagline.model.registry import RegistryStorageRecord
from bagline.model.times import NEVER, Timestamp, earlier, later, now
from bagline.services.registry.base import Registry
from bagline.services.registry.copy_book import Copies, CopyFilter
from bagline.services.registry.database import Database, sqlite_url
from bagline.services.registry.http.over_http import HttpRegistry
from bagline.services.registry.http.speaking import RegistryClient
from bagline.services.registry.sql import SqlRegistry
from support.registry import WORKERS, RegistryServer
from support.registry_records import MOMENT, a_file, an_event, save_institution, save_object

VA, OR = "https://s3.us-east-1.example/va", "https://s3.us-west-2.example/or"
DAY = timedelta(days=1)


@pytest.fixture
def book(database_registry: Registry) -> Copies:
    """Three files with a copy in each place, proven one and two days ago; one never."""
    kept = save_object(database_registry, save_institution(database_registry))
    files = []
    for number, path in enumerate(("data/a", "data/b", "data/c")):
        file = a_file(kept, path, size=10 * (number + 1))
        proven = earlier(MOMENT, (3 - number) * DAY) if number else NEVER
        file.storage_records = [
            RegistryStorageRecord(
                url=f"{place}/{file.uuid}",
                proven_by="read back" if number else "",
                proven_at=proven,
            )
            for place in (VA, OR)
        ]
        files.append(file)
    database_registry.create_files(files)
    found = database_registry.copies
    assert found is not None
    return found


def taken(
    book: Copies,
    place: str = VA,
    *,
    limit: int = 10,
    now: Timestamp = MOMENT,
    wanted: CopyFilter = CopyFilter(),  # noqa: B008 (frozen)
) -> list[KeptCopy]:
    until = later(now, timedelta(hours=1))
    return book.take(place, wanted, limit=limit, now=now, asked_before=now, until=until)


def paths(copies: list[KeptCopy]) -> list[str]:
    return [copy.identifier.removeprefix("test.edu/bag/") for copy in copies]


def test_the_longest_unproven_come_first_and_once(book: Copies) -> None:
    assert paths(taken(book, limit=2)) == ["data/a", "data/b"]
    (last,) = taken(book)
    assert paths([last]) == ["data/c"]
    assert (last.size, last.digests, last.bucket) == (30, {"md5": "d" * 32}, "va")
    assert taken(book) == []
    assert paths(taken(book, OR)) == ["data/a", "data/b", "data/c"]
    assert paths(taken(book, now=later(MOMENT, timedelta(hours=2)))) == [
        "data/a",
        "data/b",
        "data/c",
    ]


def test_filters(book: Copies) -> None:
    assert taken(book, wanted=CopyFilter(institution_id=99)) == []
    assert taken(book, wanted=CopyFilter(storage_option="Glacier-OH")) == []
    before = CopyFilter(proven_before=earlier(MOMENT, 1.5 * DAY))
    assert paths(taken(book, wanted=before)) == ["data/a", "data/b"]


def test_what_was_found_is_kept_with_its_events(database_registry: Registry, book: Copies) -> None:
    first, second, _ = taken(book)
    moment = later(MOMENT, 5 * DAY)
    told = an_event(7, "fixity check", outcome="Failed", generic_file_id=second.file_id)
    told.institution_id, told.intellectual_object_id = second.institution_id, second.object_id
    checks = [
        CopyCheck(copy=first, asked_at=moment, outcome=PROVEN, how="read back"),
        CopyCheck(copy=second, asked_at=moment, outcome=MISSING, detail="nothing is there"),
    ]
    for _ in range(2):  # may be repeated
        book.save(checks, [told])
    mine, other = (copy for copy in book.of_file(first.file_id))
    by_place = {copy.place: copy for copy in (mine, other)}
    assert (by_place[VA].outcome, by_place[VA].proven_at) == (PROVEN, moment)
    assert by_place[OR].outcome == ""
    (bad,) = book.bad()
    assert (bad.url, bad.detail, bad.proven_at) == (
        second.url,
        "nothing is there",
        second.proven_at,
    )
    (known,) = database_registry.files([second.identifier]).values()
    assert [e.outcome for e in known.premis_events if e.event_type == "fixity check"] == ["Failed"]
    totals = {total.place: total for total in book.totals()}
    assert (totals[VA].copies, totals[VA].bytes, totals[VA].bad, totals[VA].unproven) == (
        3,
        60,
        1,
        0,
    )
    assert (totals[OR].copies, totals[OR].bad, totals[OR].unproven) == (3, 0, 1)
    assert book.overdue(earlier(MOMENT, 1.5 * DAY), now=later(MOMENT, 5 * DAY)) == {
        VA: (1, 20),
        OR: (2, 30),
    }


def test_a_file_was_proven_when_its_last_copy_was(
    database_registry: Registry, book: Copies
) -> None:
    moment = later(MOMENT, 5 * DAY)
    for place, when in ((VA, moment), (OR, later(moment, DAY))):
        (copy, *_) = taken(book, place)
        book.save([CopyCheck(copy=copy, asked_at=when, outcome=PROVEN, how="read back")])
        (known,) = database_registry.files(["test.edu/bag/data/a"]).values()
        assert (known.last_fixity_check == moment) == (place == OR)


def test_what_was_stored_anew_meanwhile_is_passed_over(
    database_registry: Registry, book: Copies
) -> None:
    (copy, *_) = taken(book)
    (known,) = database_registry.files([copy.identifier]).values()
    newer = [
        structs.replace(record, proven_by="read back", proven_at=later(MOMENT, DAY))
        for record in known.storage_records
    ]
    database_registry.update_file(structs.replace(known, storage_records=newer))
    book.save([CopyCheck(copy=copy, asked_at=MOMENT, outcome=MISSING, detail="old news")])
    assert book.bad() == []


def test_many_take_at_once_and_none_takes_anothers(book: Copies) -> None:
    found: list[list[KeptCopy]] = []
    takers = [threading.Thread(target=lambda: found.append(taken(book, limit=1))) for _ in range(6)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    ids = [copy.id for some in found for copy in some]
    assert len(ids) == len(set(ids))
    assert len(ids) + len(taken(book)) == 3


def test_runs(book: Copies) -> None:
    one = book.save_run(FixityRun(began_at=MOMENT))
    two = book.save_run(FixityRun(began_at=later(MOMENT, DAY), asked=5))
    one.asked, one.ended_at = 7, MOMENT
    book.save_run(one)
    assert [(run.id, run.asked) for run in book.runs()] == [(two.id, 5), (one.id, 7)]
    assert [run.id for run in book.runs(since=MOMENT)] == [two.id]
    assert earlier(later(MOMENT, DAY), DAY) == MOMENT


YEAR = timedelta(days=365)


def test_dates_of_a_clock_that_ran_ahead_say_nothing(book: Copies) -> None:
    ahead = later(MOMENT, YEAR)
    first, second, third = taken(book, now=ahead)  # held until a year from now
    proven = CopyCheck(copy=second, asked_at=ahead, outcome=PROVEN, how="read back")
    bad = CopyCheck(copy=third, asked_at=ahead, outcome=MISSING, detail="nothing is there")
    book.save([proven, bad])
    day = later(MOMENT, 5 * DAY)
    assert book.overdue(earlier(MOMENT, 3 * DAY), now=day)[VA] == (2, 30)  # never, and in a year
    again = taken(book, now=day)
    assert {copy.id for copy in again} == {first.id, second.id, third.id}
    assert taken(book, now=day) == []


def test_one_repairs_a_copy_and_ingests_see_it(book: Copies) -> None:
    copy, *_ = taken(book)
    hour = later(MOMENT, timedelta(hours=1))

    def hold(holder: str, at: Timestamp = MOMENT) -> bool:
        return book.hold_for_repair(copy, holder, now=at, until=later(at, timedelta(hours=1)))

    def until(at: Timestamp = MOMENT) -> Timestamp:
        return book.repaired_until(copy.object_identifier, now=at)

    assert until() == NEVER
    assert hold("one")
    assert not hold("other")
    assert hold("one")
    assert until() == hour
    assert book.repaired_until("test.edu/another", now=MOMENT) == NEVER
    book.free_from_repair(copy, "other")
    assert until() == hour
    assert until(hour) == NEVER  # whoever had it died
    assert hold("other", hour)
    assert not hold("one", hour)
    for _ in range(2):
        book.free_from_repair(copy, "other")
    assert until(hour) == NEVER
    assert book.hold_for_repair(copy, "ahead", now=later(MOMENT, YEAR), until=later(hour, YEAR))
    assert until() == NEVER
    assert hold("one")
    gone = structs.replace(copy, id=9_999)
    assert not book.hold_for_repair(gone, "one", now=MOMENT, until=hour)


def test_of_many_who_would_repair_it_one_does(book: Copies) -> None:
    copy, *_ = taken(book)
    hour = later(MOMENT, timedelta(hours=1))
    with ThreadPoolExecutor(8) as pool:
        held = list(
            pool.map(lambda n: book.hold_for_repair(copy, str(n), now=MOMENT, until=hour), range(8))
        )
    assert held.count(True) == 1


def test_workers_before_the_api_see_a_repair(tmp_path: Path) -> None:
    server = RegistryServer(tmp_path / "data")
    key = server.add_user(WORKERS, "worker")
    own = SqlRegistry(server.database())
    server.start()
    try:
        client = HttpRegistry(RegistryClient(server.url, user=WORKERS, key=key))
        kept = save_object(own, save_institution(own))
        file = a_file(kept, "data/a", size=1)
        file.storage_records = [RegistryStorageRecord(url=f"{VA}/{file.uuid}")]
        own.create_files([file])
        (copy,) = own.copies.of_file(own.files([file.identifier])[file.identifier].id)
        assert client.repaired_until(kept.identifier) == NEVER
        until = later(now(), timedelta(hours=1))
        assert own.copies.hold_for_repair(copy, "one", now=now(), until=until)
        assert client.repaired_until(kept.identifier) == own.repaired_until(kept.identifier)
        assert client.repaired_until(kept.identifier) > now()
        assert client.repaired_until("test.edu/none") == NEVER
    finally:
        server.stop()
        own.close()


def test_of_another_registry_no_repair_is_asked(older: Registry) -> None:
    assert older.repaired_until("test.edu/bag") == NEVER


def seen(copy: KeptCopy, outcome: str, at: Timestamp = MOMENT, **other: str) -> CopySeen:
    return CopySeen(url=copy.url, uuid=copy.uuid, seen_at=at, outcome=outcome, **other)


def test_what_others_saw_of_copies_counts(database_registry: Registry, book: Copies) -> None:
    first, second, third = taken(book)
    book.give_back([first, second, third], later(MOMENT, timedelta(hours=1)))
    marks = [
        seen(first, PROVEN, how="read back"),
        seen(second, MISSING, detail="nothing is there"),
        seen(third, PROVEN, earlier(MOMENT, 2 * DAY), how="read back"),  # before it was proven
    ]
    for _ in range(2):  # may be repeated
        book.note(marks)
    now_known = {copy.id: copy for copy in (*book.bad(), *book.of_file(first.file_id))}
    found = now_known[first.id]
    assert (found.outcome, found.proven_at, found.proven_by, found.asked_at) == (
        PROVEN,
        MOMENT,
        "read back",
        MOMENT,
    )
    assert [copy.id for copy in book.bad()] == [second.id]
    assert now_known[second.id].proven_at == second.proven_at
    (unchanged,) = (copy for copy in book.of_file(third.file_id) if copy.id == third.id)
    assert (unchanged.proven_at, unchanged.outcome) == (third.proven_at, "")
    moment = later(MOMENT, 2 * DAY)
    assert paths(taken(book, now=moment)) == ["data/b", "data/c", "data/a"]  # all, oldest first
    assert never_proven(database_registry, first) == []


def never_proven(registry: Registry, copy: KeptCopy) -> list[KeptCopy]:
    """Those of the file that were never proven, once every one was noted as proven."""
    book = registry.copies
    assert book is not None
    book.note([seen(each, PROVEN, how="read back") for each in book.of_file(copy.file_id)])
    (file,) = registry.files([copy.identifier]).values()
    assert file.last_fixity_check == MOMENT
    return [each for each in book.of_file(copy.file_id) if each.proven_at == NEVER]


def test_those_that_were_bad_come_first(book: Copies) -> None:
    first, _, third = taken(book)
    book.give_back([first], later(MOMENT, timedelta(hours=1)))
    bad = CopyCheck(copy=third, asked_at=MOMENT, outcome=MISSING, detail="nothing is there")
    book.save([bad])
    moment = later(MOMENT, 2 * DAY)
    assert paths(taken(book, limit=1, now=moment)) == ["data/c"]
    assert paths(taken(book, limit=1, now=moment)) == ["data/a"]


def test_an_index_finds_those_that_were_bad(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "registry.db"))
    database.migrate()
    book = SqlRegistry(database).copies
    asked: list[str] = []
    event.listen(Engine, "before_cursor_execute", told := lambda *given: asked.append(given[2]))
    try:
        taken(book)
        book.bad()
    finally:
        event.remove(Engine, "before_cursor_execute", told)
    of_bad = [each for each in asked if "outcome IN ('missing'" in each]
    assert len(of_bad) == 2
    with database.reading() as connection:
        for query in of_bad:
            places = (0,) * query.count("?")
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", places).all()
            assert "ix_storage_records_bad" in str(plan), plan
    database.close()


def test_only_who_holds_copies_keeps_them_or_gives_them_back(book: Copies) -> None:
    hour, two = later(MOMENT, timedelta(hours=1)), later(MOMENT, timedelta(hours=2))
    mine = taken(book)  # for an hour
    book.give_back(mine, two)  # another's hold, which began later
    assert taken(book) == []
    book.keep(mine[1:], hour, two)
    book.keep(mine[:1], two, later(MOMENT, timedelta(hours=3)))  # not his
    assert [copy.id for copy in taken(book, now=hour)] == [mine[0].id]
    book.give_back(mine, hour)
    assert taken(book, now=hour) == []
    book.give_back(mine[1:], two)
    assert [copy.id for copy in taken(book, now=hour)] == [copy.id for copy in mine[1:]]


def test_what_was_asked_today_is_overdue_and_cannot_be_taken(book: Copies) -> None:
    first, *_ = taken(book)
    book.save([CopyCheck(copy=first, asked_at=MOMENT, outcome=MISSING, detail="not there")])
    later_on = later(MOMENT, timedelta(hours=5))
    whole = book.overdue(later_on, now=later_on)
    assert whole[VA][0] == 3
    yesterday = earlier(later_on, DAY)
    assert book.overdue(later_on, now=later_on, asked_before=yesterday)[VA][0] == 2
    everything = CopyFilter(bad_asked_before=later_on)
    free = later(MOMENT, timedelta(hours=2))
    again = book.take(
        VA, everything, limit=9, now=free, asked_before=earlier(MOMENT, DAY), until=later_on
    )
    assert [copy.id for copy in again][:1] == [first.id]


def test_bad_ones_come_in_pages(book: Copies) -> None:
    every = taken(book)
    book.save(
        [CopyCheck(copy=c, asked_at=MOMENT, outcome=MISSING, detail="not there") for c in every]
    )
    pages = [book.bad(limit=2), book.bad(limit=2, offset=2), book.bad(offset=3)]
    assert [copy.id for page in pages for copy in page] == [copy.id for copy in book.bad()]
    assert [len(page) for page in pages] == [2, 1, 0]
