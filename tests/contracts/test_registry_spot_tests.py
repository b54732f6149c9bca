"""Whose turn it is to be tested, by every database that keeps it."""

from __future__ import annotations

import threading
from datetime import timedelta

from bagline.model.registry import IntellectualObject
from bagline.model.times import Timestamp, earlier, later
from bagline.problems import BAD_COPY
from bagline.services.registry.base import Registry
from bagline.services.registry.spot_tests import SOUND, SpotTest, SpotTests
from support.registry_records import MOMENT, a_file, save_institution, save_object

HOUR, MONTH = timedelta(hours=1), timedelta(days=30)


def book_of(registry: Registry) -> SpotTests:
    found = registry.spot_tests
    assert found is not None
    return found


def begun(book: SpotTests, now: Timestamp = MOMENT, institution: int = 1) -> SpotTest | None:
    until = later(now, HOUR)
    return book.begin(institution, now=now, unless_since=earlier(now, MONTH), until=until)


def test_one_begins_at_a_time_and_once_in_its_days(database_registry: Registry) -> None:
    save_institution(database_registry)
    book = book_of(database_registry)
    found: list[SpotTest | None] = []
    askers = [threading.Thread(target=lambda: found.append(begun(book))) for _ in range(5)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    (test,) = [each for each in found if each is not None]
    test.outcome, test.ended_at, test.files = SOUND, later(MOMENT, HOUR), 3
    test.problems = [BAD_COPY.about("x", copies="y")]
    book.save(test)
    (known,) = book.newest()
    assert (known.outcome, known.files, known.problems) == (SOUND, 3, test.problems)
    assert begun(book, later(MOMENT, MONTH - HOUR)) is None
    assert begun(book, later(MOMENT, MONTH + HOUR)) is not None
    assert len(book.newest(institution_id=1)) == 2
    assert book.newest(institution_id=2) == []


def test_candidates_are_active_and_none_is_frozen(database_registry: Registry) -> None:
    institution = save_institution(database_registry)
    kept = save_object(database_registry, institution)
    database_registry.create_files([a_file(kept, "data/a", size=7)])
    for name, state, option in (("gone", "D", "Standard"), ("cold", "A", "Glacier-OH")):
        database_registry.save_intellectual_object(
            IntellectualObject(
                identifier=f"test.edu/{name}",
                institution_id=institution.id,
                title=name,
                state=state,
                storage_option=option,
            )
        )
    (found,) = book_of(database_registry).candidates(institution.id, not_of="Glacier", limit=9)
    assert (found.identifier, found.size, found.file_count) == (kept.identifier, 7, 1)
