"""Who did what, by every database that keeps it: with the change or not at all, and for ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from bagline.errors import Refused
from bagline.model.act import Act
from bagline.model.bag_form import BagForm
from bagline.model.copy_checks import PROVEN, CopyCheck
from bagline.model.registry import Checksum
from bagline.model.workitem import STATUS_CANCELLED
from bagline.problems import Problem
from bagline.services.registry import listing as lists
from bagline.services.registry.act_rows import TEXT_CHARACTERS
from bagline.services.registry.acts import Person, acting
from bagline.services.registry.base import Conflict, Registry, WorkItemFilter
from bagline.services.registry.catalogue import Catalogue
from bagline.services.registry.database import Database, sqlite_url
from bagline.services.registry.migrating import downgrade_to
from bagline.services.registry.sql import SqlRegistry
from bagline.services.registry.users import ApiUsers
from support.postgres import Postgres
from support.registry_records import (
    MOMENT,
    a_file,
    an_event,
    an_item,
    save_institution,
    save_object,
)

HOSTILE = "'; DROP TABLE acts; --\u202e <b>\x7f{id} %(x)s"
ANN = Person("ann@test.edu", "admin", "API, 10.1.2.3", f"because {HOSTILE}")


class Trail:
    """A Registry's database, with an institution in it, and its acts."""

    def __init__(self, registry: Registry) -> None:
        assert isinstance(registry, SqlRegistry)
        self.registry = registry
        self.database: Database = registry._database
        self.catalogue = Catalogue(self.database, registry, against_cancelling=lambda *_: "")
        self.users = ApiUsers(self.database)
        self.ours = save_institution(registry)

    def acts(self, query: str = "") -> list[Act]:
        found, total = self.catalogue.page(lists.ACTS, lists.parse(lists.ACTS, parse_qsl(query)))
        assert total == len(found)
        return found

    def run(self, statement: str) -> None:
        with self.database.writing() as connection:
            connection.execute(text(statement))


@pytest.fixture
def trail(database_registry: Registry) -> Trail:
    return Trail(database_registry)


def test_an_act_tells_who_from_where_why_and_what_was_before(trail: Trail) -> None:
    item = trail.registry.save_work_item(an_item(trail.ours, HOSTILE))
    with acting(ANN, "cancel", clock=lambda: MOMENT):
        item.status, item.note = STATUS_CANCELLED, HOSTILE
        trail.registry.save_work_item(item)
    (act,) = trail.acts()
    assert (act.at, act.who, act.role, act.origin, act.reason) == (
        MOMENT, ANN.who, ANN.role, ANN.origin, ANN.reason,
    )  # fmt: skip
    assert (act.act, act.subject) == ("cancel", f"work item {item.id}")
    assert act.institution_id == trail.ours.id
    assert act.before is not None
    assert act.after is not None
    assert (act.before["status"], act.after["status"]) == ("Pending", "Cancelled")
    assert act.after["note"] == HOSTILE
    assert act.before["bag_date"] == MOMENT


def test_what_nobody_does_by_hand_is_no_act(trail: Trail) -> None:
    with acting(None, "item changed"):
        trail.registry.save_work_item(an_item(trail.ours))
    trail.registry.save_work_item(an_item(trail.ours))
    with acting(ANN, "nothing"):
        trail.registry.work_items(WorkItemFilter())
    assert trail.acts() == []


def test_a_worker_within_a_persons_act_is_nobody(trail: Trail) -> None:
    with acting(ANN, "outer"), acting(None, ""):
        trail.registry.save_work_item(an_item(trail.ours))
    assert trail.acts() == []


def test_a_transaction_that_rolls_back_leaves_neither_act_nor_change(trail: Trail) -> None:
    """The fault comes after the change was made, and its act noted."""
    kept = save_object(trail.registry, trail.ours)
    kept.title, kept.bag_form = "Another", BagForm(encoding="\ud800")
    with acting(ANN, "object changed"), pytest.raises((Refused, DBAPIError, UnicodeError)):
        trail.registry.save_intellectual_object(kept)
    found = trail.registry.intellectual_object(kept.identifier)
    assert found is not None
    assert found.title == "A bag"
    assert trail.acts() == []


def test_an_act_that_cannot_be_kept_takes_the_change_with_it(trail: Trail) -> None:
    """The other way round: the record is part of the change."""
    trail.run("ALTER TABLE acts RENAME TO mislaid")
    trail.ours.name = "Another"
    with acting(ANN, "institution saved"), pytest.raises((Refused, DBAPIError)):
        trail.registry.save_institution(trail.ours)
    trail.run("ALTER TABLE mislaid RENAME TO acts")
    found = trail.registry.institution("test.edu")
    assert found is not None
    assert found.name == "Test"
    with acting(ANN, "institution saved"):
        trail.registry.save_institution(trail.ours)
    assert [act.subject for act in trail.acts()] == ["institution test.edu"]


def test_a_failed_try_is_not_told_and_the_next_one_is(trail: Trail) -> None:
    item = trail.registry.save_work_item(an_item(trail.ours))
    with acting(ANN, "cancel"):
        item.id += 1
        with pytest.raises(Refused):
            trail.registry.save_work_item(item)
        item.id -= 1
        trail.registry.save_work_item(item)
    assert [act.subject for act in trail.acts()] == [f"work item {item.id}"]


def test_what_stays_because_another_saved_it_is_no_act(trail: Trail) -> None:
    item = trail.registry.save_work_item(an_item(trail.ours))
    trail.registry.save_work_item(an_item(trail.ours, id=item.id, note="a worker's"))
    with acting(ANN, "cancel"):
        trail.registry.save_work_item(item, unless_changed=True)
    assert trail.acts() == []


def test_each_subject_of_an_act_is_told_once(trail: Trail) -> None:
    with acting(ANN, "restoration asked"):
        item = trail.registry.open_change(an_item(trail.ours, action="Restore Object"))
        item.queued_at = MOMENT
        trail.registry.save_work_item(item)
        other = trail.registry.save_work_item(an_item(trail.ours, "c.tar"))
    assert [act.subject for act in trail.acts("sort=id")] == [
        f"work item {item.id}",
        f"work item {other.id}",
    ]


def test_an_item_and_its_problems_are_one_act(trail: Trail) -> None:
    item = trail.registry.save_work_item(an_item(trail.ours))
    problem = Problem(code="BAG007", severity="error", subject="x", message="y")
    with acting(ANN, "item changed"):
        item.status = "Failed"
        trail.registry.save_work_item(item, problems=[problem])
    (act,) = trail.acts()
    assert act.before is not None
    assert act.after is not None
    assert (act.before["status"], act.after["status"]) == ("Pending", "Failed")
    assert act.after["problems"] == 1


STATEMENTS = [
    "UPDATE acts SET who = 'somebody'",
    "UPDATE acts SET reason = reason WHERE id = 1",
    "DELETE FROM acts",
    "DELETE FROM acts WHERE id = 1",
]
OWN = {
    "sqlite": [
        "INSERT OR REPLACE INTO acts SELECT id, at, 'x', role, origin, act, subject, "
        "institution_id, before, after, reason FROM acts",
        "REPLACE INTO acts SELECT * FROM acts",
    ],
    "postgresql": [
        "TRUNCATE acts",
        "TRUNCATE institutions, acts CASCADE",
        "UPDATE acts SET id = 99",
        "SET session_replication_role = replica; DELETE FROM acts",
        "INSERT INTO acts SELECT * FROM acts ON CONFLICT (id) DO UPDATE SET who = 'x'",
        "MERGE INTO acts USING institutions i ON true WHEN MATCHED THEN DELETE",
    ],
}


def test_nobody_changes_or_removes_an_act(trail: Trail) -> None:
    with acting(ANN, "institution saved"):
        trail.registry.save_institution(trail.ours)
    before = trail.acts()
    for statement in [*STATEMENTS, *OWN[trail.database.engine.dialect.name]]:
        with pytest.raises(DBAPIError, match="acts are never changed"):
            trail.run(statement)
        assert trail.acts() == before, statement


def test_who_does_not_own_the_tables_writes_acts_and_cannot_take_the_triggers_away(
    postgres: Postgres,
) -> None:
    """As docs/operating/audit.md has operators do it."""
    owner = Database(postgres.create("owned", language="en"))
    owner.migrate()
    with owner.writing() as connection:
        for statement in (
            "CREATE ROLE services LOGIN PASSWORD 'served'",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO services",
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO services",
        ):
            connection.execute(text(statement))
    served = make_url(owner.engine.url).set(username="services", password="served")
    database = Database(served.render_as_string(hide_password=False))
    database.migrate()
    with acting(ANN, "institution saved"):
        save_institution(SqlRegistry(database))
    for statement in (
        "DELETE FROM acts",
        "ALTER TABLE acts DISABLE TRIGGER ALL",
        "DROP TRIGGER acts_keep_rows ON acts",
        "DROP TABLE acts",
        "TRUNCATE acts",
        "CREATE OR REPLACE FUNCTION acts_are_kept() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RETURN OLD; END $$",
    ):
        with pytest.raises((DBAPIError, Refused)), database.writing() as connection:
            connection.execute(text(statement))
    with owner.reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM acts")) == 1
    for each in (database, owner):
        each.close()


def test_no_key_and_no_hash_of_one_is_in_an_act(trail: Trail) -> None:
    keys = []
    for what, does in (
        ("user added", lambda: keys.append(trail.users.add("u@test.edu", "worker"))),
        ("key made", lambda: keys.append(trail.users.new_key("u@test.edu"))),
        ("user added", lambda: keys.append(
            trail.users.add("U@test.edu ", "institutional_user", trail.ours.id))),
        ("key revoked", lambda: trail.users.revoke("u@test.edu", 3)),
        ("user disabled", lambda: trail.users.disable("u@test.edu")),
        ("user disabled", lambda: trail.users.disable("nobody@test.edu")),
        ("key revoked", lambda: trail.users.revoke("u@test.edu", 3)),
    ):  # fmt: skip
        with acting(ANN, what):
            does()
    acts = trail.acts("sort=id")
    assert [act.act for act in acts] == [
        "user added", "key made", "user changed", "key revoked", "user disabled",
    ]  # fmt: skip
    assert {act.subject for act in acts} == {"user u@test.edu"}
    assert [act.institution_id for act in acts] == [0, 0, *[trail.ours.id] * 3]
    assert acts[0].before is None
    assert [(act.after or {}).get("made_key") for act in acts] == [1, 2, 3, None, None]
    assert (acts[3].after or {})["revoked_key"] == 3
    assert (acts[2].before or {})["role"] == "worker"
    assert (acts[2].after or {})["role"] == "institutional_user"
    with trail.database.reading() as connection:
        rows = str(list(connection.execute(text("SELECT * FROM acts"))))
        hashes = connection.scalars(text("SELECT key_hash FROM api_keys")).all()
    assert len(hashes) == 3
    assert [secret for secret in (*keys, *hashes) if secret in rows] == []


def test_everything_that_the_api_writes_is_told(trail: Trail) -> None:
    catalogue, registry = trail.catalogue, trail.registry
    with acting(ANN, "object added"):
        kept = save_object(registry, trail.ours)
    with acting(ANN, "files added"):
        files = catalogue.create_files([a_file(kept, "data/a"), a_file(kept, "data/b")])
    event = an_event(9, institution_id=trail.ours.id, intellectual_object_id=kept.id)
    copy = files[0].storage_records[0]
    checksum = Checksum(algorithm="sha1", digest="e" * 40, generic_file_id=files[0].id)
    item = registry.save_work_item(an_item(trail.ours))
    steps: list[Callable[[], Any]] = [
        lambda: catalogue.update_file(files[0]),
        lambda: catalogue.create_event(event),
        lambda: catalogue.create_checksum(checksum),
        lambda: catalogue.update_object(kept),
        lambda: registry.save_report(item.id, {"report": "x" * 3 * TEXT_CHARACTERS}),
        lambda: registry.save_problems(item.id, []),
    ]
    for step in steps:
        with acting(ANN, "something"):
            step()
    assert [(act.subject, act.institution_id) for act in trail.acts("sort=id")] == [
        (subject, trail.ours.id)
        for subject in (
            "object test.edu/bag",
            "object test.edu/bag",
            "file test.edu/bag/data/a",
            f"event {event.identifier}",
            "checksum 3",
            "object test.edu/bag",
            f"work item {item.id}",
            f"work item {item.id}",
        )
    ]
    added, report = trail.acts("act=files added")[0], trail.acts("sort=id")[-2]
    assert (added.after or {})["files"] == 2
    assert len(str(report.after)) < 3 * TEXT_CHARACTERS
    assert copy.url


def test_a_repair_by_hand_is_told_of_its_copy(trail: Trail) -> None:
    kept = save_object(trail.registry, trail.ours)
    (file,) = trail.registry.create_files([a_file(kept, "data/a")])
    (copy,) = trail.registry.copies.of_file(file.id)
    with acting(ANN, "copy repaired"):
        trail.registry.copies.save([CopyCheck(copy=copy, asked_at=MOMENT, outcome=PROVEN)])
    (act,) = trail.acts()
    assert (act.subject, act.institution_id) == (f"copy {copy.url}", trail.ours.id)
    assert (act.after or {})["outcome"] == PROVEN


def test_alerts_that_a_person_asks_for_are_told(trail: Trail) -> None:
    with acting(ANN, "alerts made"):
        trail.registry.alerts.tell_of_failed_fixity(MOMENT)
        with pytest.raises(Conflict):
            trail.registry.alerts.tell_of_failed_fixity(MOMENT)
    assert [act.after for act in trail.acts()] == [{"checks": 0}]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("who=ann@test.edu", [1, 2]),
        ("who=Ann@test.edu", []),
        ("act__in=requeue&act__in=cancel&sort=id__desc", [2, 1]),
        ("subject__starts_with=institution ", [1, 2]),
        ("at__lt=2026-01-02", []),
        ("at__gteq=2026-01-02&at__lt=2026-01-03", [1, 2]),
        ("reason__is_null=true", []),
        ("id__lt=2", [1]),
    ],
)
def test_acts_are_found_by_what_they_tell(trail: Trail, query: str, found: list[int]) -> None:
    for what in ("requeue", "cancel"):
        with acting(ANN, what, clock=lambda: MOMENT):
            trail.registry.save_institution(trail.ours)
    assert [act.id for act in trail.acts(query)] == found


@pytest.mark.parametrize("query", ["before=x", "after__is_null=true", "sort=before", "nothing=1"])
def test_documents_are_nothing_to_filter_or_sort_by(trail: Trail, query: str) -> None:
    with pytest.raises(lists.BadQuery):
        trail.acts(query)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_users_of_the_release_before_have_the_roles_by_their_new_names(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = sqlite_url(tmp_path / "r.db")
    if kind == "postgres":
        url = request.getfixturevalue("postgres").create("roles", language="en")
    database = Database(url)
    database.migrate()
    users, ours = ApiUsers(database), save_institution(SqlRegistry(database))
    older = {"sys_admin": 0, "inst_admin": ours.id, "inst_user": ours.id, "worker": 0}
    keys = {role: users.add(f"{role}@test.edu", role, where) for role, where in older.items()}
    with database.writing() as connection:
        downgrade_to(connection, "0011")
    with database.reading() as connection:
        stored = connection.scalars(text("SELECT role FROM api_users ORDER BY id")).all()
    assert stored == list(older)
    database.migrate()
    found = {role: users.with_key(f"{role}@test.edu", key) for role, key in keys.items()}
    assert {role: user and user.role for role, user in found.items()} == {
        "sys_admin": "admin",
        "inst_admin": "institutional_admin",
        "inst_user": "institutional_user",
        "worker": "worker",
    }
    root, admin = found["sys_admin"], found["inst_admin"]
    assert root is not None
    assert admin is not None
    assert root.is_sys_admin
    assert admin.is_inst_admin
    assert admin.is_member
    database.close()
