"""Whom failed fixity checks are told, by every database that keeps it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import parse_qsl

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bagline.model.alert import FAILED_FIXITY, Alert, FixityFailures
from bagline.model.premis import PremisEvent
from bagline.model.registry import Institution
from bagline.model.times import NEVER, Timestamp, from_datetime, is_set, later, to_datetime
from bagline.services.registry import listing as lists
from bagline.services.registry.alert_book import Alerts
from bagline.services.registry.alert_rows import NOBODY
from bagline.services.registry.alert_wording import NAMED
from bagline.services.registry.base import Conflict, Missing, Registry
from bagline.services.registry.catalogue import Catalogue
from bagline.services.registry.database import Database
from bagline.services.registry.internal_metadata import ALERTS_LAST_RUN
from bagline.services.registry.sql import SqlRegistry
from bagline.services.registry.users import ApiUsers
from support.registry_records import MOMENT, a_file, an_event, save_institution, save_object

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MIDNIGHT = from_datetime(to_datetime(MOMENT).replace(hour=0, minute=0, second=0, microsecond=0))
NOW = later(MIDNIGHT, 12 * HOUR)
HOSTILE = "data/\u202egpj.exe\x1b[2J\n<b>&amp; 1%2F"


class House:
    """Two institutions with a file each; an administrator of the first, one of its users, one of
    the second who was disabled, and a system administrator."""

    def __init__(self, registry: Registry) -> None:
        assert isinstance(registry, SqlRegistry)
        self.registry = registry
        self.database: Database = registry._database
        self.ours = save_institution(registry)
        self.theirs = registry.save_institution(Institution(identifier="x.edu", name="Another"))
        kept = save_object(registry, self.ours)
        (self.file,) = registry.create_files([a_file(kept, HOSTILE)])
        self.users = ApiUsers(self.database)
        for email, role, where in (
            ("admin@test.edu", "institutional_admin", self.ours),
            ("user@test.edu", "institutional_user", self.ours),
            ("gone@x.edu", "institutional_admin", self.theirs),
            ("root@bagline.example", "admin", None),
            ("workers@bagline.example", "worker", None),
        ):
            self.users.add(email, role, where.id if where else 0)
        self.users.disable("gone@x.edu")
        self.ids = {user.email.partition("@")[0]: user.id for user in self.users.all()}
        self.events = 0

    @property
    def alerts(self) -> Alerts:
        return self.registry.alerts

    def fail(self, at: Timestamp, of: Institution | None = None, **other: object) -> PremisEvent:
        """A check of the institution's file found something bad then."""
        self.events += 1
        given = {
            "event_type": "fixity check",
            "outcome": "Failed",
            "date_time": at,
            "institution_id": (of or self.ours).id,
            "generic_file_id": 0 if of else self.file.id,
            "outcome_information": f"https://s3.example/{self.events}: missing: nothing\x07",
        }
        event = an_event(self.events, **(given | other))
        self.registry.create_events([event])
        return event

    def told(self, query: str = "") -> list[Alert]:
        found, total = self.page(lists.ALERTS, query)
        assert total == len(found)
        return found

    def page(self, listing: lists.Listing[object], query: str) -> tuple[list[object], int]:
        catalogue = Catalogue(self.database, self.registry, against_cancelling=lambda *_: "")
        return catalogue.page(listing, lists.parse(listing, parse_qsl(query)))

    def run(self, statement: str) -> None:
        with self.database.writing() as connection:
            connection.execute(text(statement))


@pytest.fixture
def house(database_registry: Registry) -> House:
    return House(database_registry)


def counts(failures: Sequence[FixityFailures]) -> dict[str, int]:
    return {each.institution_name: each.failures for each in failures}


def test_its_administrators_are_told_and_the_system_administrators_of_all(house: House) -> None:
    for hour in range(3):
        house.fail(later(MIDNIGHT, hour * HOUR))
    house.fail(later(MIDNIGHT, HOUR), house.theirs)
    house.fail(later(MIDNIGHT, HOUR), outcome="Success")
    house.fail(later(MIDNIGHT, HOUR), event_type="validation")
    found = house.alerts.tell_of_failed_fixity(NOW)
    assert found == [
        FixityFailures(
            failures=1, institution_id=house.theirs.id, institution_name="Another", error=NOBODY
        ),
        FixityFailures(failures=3, institution_id=house.ours.id, institution_name="Test"),
    ]
    told = {(a.institution_id, a.user_id): a for a in house.told()}
    assert set(told) == {
        (0, house.ids["root"]),
        (house.ours.id, house.ids["admin"]),
        (house.theirs.id, 0),
    }
    ours = told[house.ours.id, house.ids["admin"]]
    assert (ours.type, ours.subject, ours.institution_name) == (
        FAILED_FIXITY,
        FAILED_FIXITY,
        "Test",
    )
    assert (ours.user_email, ours.user_name) == ("admin@test.edu", "admin@test.edu")
    assert (ours.created_at, ours.sent_at, ours.read_at) == (NOW, NEVER, NEVER)
    assert "3 fixity checks of preserved files of Test failed" in ours.content
    assert "Another" not in ours.content
    assert "Another: 1\nTest: 3" in told[0, house.ids["root"]].content


def test_what_an_alert_names_finds_the_checks_and_drives_no_terminal(house: House) -> None:
    failed = [house.fail(later(MIDNIGHT, n * HOUR / 7)) for n in range(NAMED + 2)]
    house.fail(later(MIDNIGHT, HOUR), house.theirs)
    house.alerts.tell_of_failed_fixity(NOW)
    (ours,) = house.told("user_email=admin@test.edu")
    assert "and 2 more" in ours.content
    assert "\\u202e" in ours.content.lower()
    assert all(line.isprintable() for line in ours.content.split("\n"))
    assert f"https://s3.example/{NAMED}: missing" in ours.content
    assert f"https://s3.example/{NAMED + 1}: missing" not in ours.content
    (line,) = (line for line in ours.content.split("\n") if "events?" in line)
    found, _ = house.page(lists.EVENTS, f"{line.partition('events?')[2]}&per_page=1000")
    assert [e.identifier for e in found] == [e.identifier for e in failed]  # type: ignore[attr-defined]


def test_each_failure_is_told_of_once_also_one_that_is_recorded_late(house: House) -> None:
    house.fail(later(NOW, -HOUR))
    house.fail(later(NOW, HOUR))  # of a clock that is ahead
    assert counts(house.alerts.tell_of_failed_fixity(NOW)) == {"Test": 1}
    house.fail(later(NOW, -2 * HOUR))
    assert counts(house.alerts.tell_of_failed_fixity(later(NOW, DAY))) == {"Test": 2}
    assert house.alerts.tell_of_failed_fixity(later(NOW, 2 * DAY)) == []
    assert len(house.told("user_email=admin@test.edu")) == 2


def test_the_first_time_goes_back_to_the_day_before_and_no_later_one_further(house: House) -> None:
    house.fail(later(MIDNIGHT, -DAY - HOUR))
    house.fail(later(MIDNIGHT, -DAY + HOUR))
    assert counts(house.alerts.tell_of_failed_fixity(NOW)) == {"Test": 1}
    assert house.alerts.tell_of_failed_fixity(later(NOW, 40 * DAY)) == []


def test_once_a_day_whatever_came_of_it(house: House) -> None:
    assert house.alerts.tell_of_failed_fixity(later(MIDNIGHT, timedelta(seconds=1))) == []
    house.fail(later(MIDNIGHT, HOUR))
    with pytest.raises(Conflict, match="today, at 2026-01-02T00:00:01Z"):
        house.alerts.tell_of_failed_fixity(later(MIDNIGHT, 23.9 * HOUR))
    assert house.told() == []
    assert counts(house.alerts.tell_of_failed_fixity(later(MIDNIGHT, DAY))) == {"Test": 1}


@pytest.mark.parametrize("value", ["2199-01-01T00:00:00Z", "yesterday", ""])
def test_a_last_run_that_makes_no_sense_stops_nothing(house: House, value: str) -> None:
    house.alerts.tell_of_failed_fixity(NOW)
    house.run(f"UPDATE internal_metadata SET value = '{value}' WHERE key = '{ALERTS_LAST_RUN}'")
    house.fail(later(NOW, -HOUR))
    assert counts(house.alerts.tell_of_failed_fixity(NOW)) == {"Test": 1}
    with pytest.raises(Conflict):
        house.alerts.tell_of_failed_fixity(NOW)


def test_of_many_who_ask_at_once_one_tells(house: House) -> None:
    house.fail(later(NOW, -HOUR))
    found: list[object] = []

    def ask() -> None:
        try:
            found.append(counts(house.alerts.tell_of_failed_fixity(NOW)))
        except Conflict:
            found.append(Conflict)

    askers = [threading.Thread(target=ask) for _ in range(6)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert sorted(found, key=str) == [Conflict] * 5 + [{"Test": 1}]
    assert len(house.told()) == 2


REFUSALS = {
    "sqlite": [
        "CREATE TRIGGER refusing BEFORE INSERT ON alerts_users WHEN NEW.user_id = {user} "
        "BEGIN SELECT RAISE(ABORT, 'not now'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'not now'; END $$",
        "CREATE TRIGGER refusing BEFORE INSERT ON alerts_users FOR EACH ROW "
        "WHEN (NEW.user_id = {user}) EXECUTE FUNCTION refuse()",
    ],
}
ALLOWED = {"sqlite": "DROP TRIGGER refusing", "postgresql": "DROP FUNCTION refuse CASCADE"}


@pytest.mark.parametrize("user", ["admin", "root"])
def test_a_failure_in_the_middle_loses_nothing_and_doubles_nothing(house: House, user: str) -> None:
    house.fail(later(NOW, -HOUR))
    house.fail(later(NOW, -HOUR), house.theirs)
    kind = house.database.engine.dialect.name
    for statement in REFUSALS[kind]:
        house.run(statement.format(user=house.ids[user]))
    with pytest.raises(DBAPIError, match="not now"):
        house.alerts.tell_of_failed_fixity(NOW)
    assert house.told() == []
    house.run(ALLOWED[kind])
    assert counts(house.alerts.tell_of_failed_fixity(NOW)) == {"Another": 1, "Test": 1}
    assert len(house.told()) == 3


def test_a_person_reads_it_once(house: House) -> None:
    house.fail(later(NOW, -HOUR))
    house.alerts.tell_of_failed_fixity(NOW)
    (mine,) = house.told("user_email=admin@test.edu")
    assert house.alerts.was_read(mine.id, mine.user_id, later(NOW, HOUR)) == later(NOW, HOUR)
    assert house.alerts.was_read(mine.id, mine.user_id, later(NOW, DAY)) == later(NOW, HOUR)
    found = house.alerts.find(mine.id, mine.user_id)
    assert (found.content, found.read_at) == (mine.content, later(NOW, HOUR))
    others = [alert for alert in house.told() if alert.id != mine.id]
    assert others
    assert not any(is_set(alert.read_at) for alert in others)
    with pytest.raises(Missing):
        house.alerts.was_read(mine.id, house.ids["user"], NOW)


def test_it_is_found_by_whose_it_is(house: House) -> None:
    house.fail(later(NOW, -HOUR))
    house.fail(later(NOW, -HOUR), house.theirs)
    house.alerts.tell_of_failed_fixity(NOW)
    (mine,) = house.told("user_email=admin@test.edu")
    (nobodys,) = house.told(f"institution_id={house.theirs.id}")
    me = house.ids["admin"]
    assert house.alerts.find(nobodys.id, 0) == nobodys
    assert house.alerts.find(mine.id, me, own=house.ours.id, reader=me) == mine
    for wrong in (
        {"own": house.theirs.id},
        {"reader": house.ids["user"]},
        {"own": house.ours.id, "reader": house.ids["root"]},
    ):
        with pytest.raises(Missing):
            house.alerts.find(mine.id, me, **wrong)
    with pytest.raises(Missing):
        house.alerts.find(nobodys.id, me)


def test_pages_of_what_many_are_told_hold_each_once(house: House) -> None:
    for number in range(5):
        house.users.add(f"a{number}@test.edu", "institutional_admin", house.ours.id)
    house.fail(later(NOW, -HOUR))
    house.alerts.tell_of_failed_fixity(NOW)
    seen = []
    for page in range(1, 5):
        found, total = house.page(lists.ALERTS, f"sort=created_at&per_page=2&page={page}")
        assert total == 7
        seen += [(a.id, a.user_id) for a in found]  # type: ignore[attr-defined]
    assert len(seen) == len(set(seen)) == 7


def test_a_first_run_with_a_clock_that_ran_ahead_silences_nobody(house: House) -> None:
    house.alerts.tell_of_failed_fixity(later(NOW, timedelta(days=3650)))
    house.fail(later(NOW, timedelta(hours=1)))
    (told,) = house.alerts.tell_of_failed_fixity(later(NOW, timedelta(hours=2)))
    assert told.failures == 1
