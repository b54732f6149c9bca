"""Who did what over the API: each role, strangers, reasons, and who sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import urllib3

from bagline.model import wire
from bagline.model.registry import Institution, IntellectualObject
from bagline.model.workitem import STATUS_CANCELLED, STATUS_SUSPENDED, WorkItem
from bagline.services.registry.acts import REASON_CHARACTERS, Person, acting
from bagline.services.registry.http.over_http import HttpRegistry
from bagline.services.registry.http.speaking import RegistryClient
from bagline.services.registry.sql import SqlRegistry
from support.postgres import temporary_postgres
from support.registry import ADMIN, WORKERS, RegistryServer, temporary_registry
from support.registry_records import a_file, an_item

HOSTILE = "„why“ 100%, é\u0301\u202e'; DROP TABLE acts; --<script>"


@dataclass
class Someone:
    """Speaks to the server with a key, below the API that is theirs or another."""

    server: RegistryServer
    user: str
    key: str
    base: str = "member"
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self, path: str, method: str = "GET", body: Any = None, *, base: str = "", **headers: str
    ) -> tuple[int, Any]:
        answer = urllib3.request(
            method,
            f"{self.server.url}/{base or self.base}-api/v3/{path}",
            body=wire.encode(body) if body is not None else None,
            headers={"X-Pharos-API-User": self.user, "X-Pharos-API-Key": self.key}
            | {name.replace("_", "-"): value for name, value in headers.items()},
            retries=False,
            timeout=20,
        )
        return answer.status, msgspec.json.decode(answer.data)

    def acts(self, query: str = "sort=id") -> list[dict[str, Any]]:
        status, page = self.ask(f"acts?{query}")
        assert status == 200, page
        found: list[dict[str, Any]] = page["results"]
        return found


@dataclass
class Archive:
    """Two institutions with an object and an item each, and everybody who may ask."""

    server: RegistryServer
    people: dict[str, Someone]
    institutions: list[Institution]
    objects: list[IntellectualObject]
    items: list[WorkItem]

    def __getattr__(self, name: str) -> Someone:
        return self.people[name]


@pytest.fixture(params=["sqlite", "postgres"])
def archive(request: pytest.FixtureRequest) -> Iterator[Archive]:
    if request.param == "postgres":
        with temporary_postgres() as postgres:
            yield from _archive(postgres.create("acts", language="en"))
    else:
        yield from _archive("")


def _archive(database_url: str) -> Iterator[Archive]:
    with temporary_registry(database_url, failures_a_minute=1_000) as server:
        registry = SqlRegistry(server.database())
        institutions, objects, items = [], [], []
        for name in ("test.edu", "other.edu"):
            one = registry.save_institution(
                Institution(
                    identifier=name,
                    name=name,
                    receiving_bucket=f"receiving.{name}",
                    restore_bucket=f"restore.{name}",
                )
            )
            institutions.append(one)
            kept = IntellectualObject(
                identifier=f"{name}/bag", bag_name="bag", institution_id=one.id, title="A bag"
            )
            objects.append(registry.save_intellectual_object(kept))
            item = an_item(one, "bag.tar", bucket=f"receiving.{name}", status="Success")
            registry.save_work_item(item)
            items.append(
                registry.save_work_item(an_item(one, "open.tar", bucket=f"receiving.{name}"))
            )
        ours, theirs = (one.id for one in institutions)
        people = {
            name: Someone(server, email, server.add_user(email, role, of))
            for name, email, role, of in (
                ("admin", "admin@test.edu", "institutional_admin", ours),
                ("user", "user@test.edu", "institutional_user", ours),
                ("their_admin", "admin@other.edu", "institutional_admin", theirs),
                ("worker", WORKERS, "worker", 0),
                ("root", ADMIN, "admin", 0),
            )
        }
        people["root"].base = people["worker"].base = "admin"
        people["stranger"] = Someone(server, "admin@test.edu", "a guess")
        yield Archive(server, people, institutions, objects, items)
        registry.close()


def test_who_sees_what_of_it(archive: Archive) -> None:
    for one in archive.institutions:
        assert archive.root.ask(f"institutions/update/{one.id}", "PUT", one)[0] == 200
    assert [act["subject"] for act in archive.root.acts()] == [
        "institution test.edu",
        "institution other.edu",
    ]
    for person, subject in (
        (archive.admin, "institution test.edu"),
        (archive.their_admin, "institution other.edu"),
    ):
        (act,) = person.acts()
        assert act["subject"] == subject
        other = 1 + archive.institutions[1].id - act["institution_id"]
        assert person.acts(f"institution_id={other}") == []
        assert person.ask("acts", base="admin")[0] == 403
    for person in (archive.user, archive.worker):
        for base in ("member", "admin"):
            status, said = person.ask("acts", base=base)
            assert (status, list(said)) == (403, ["error"])
    for base in ("member", "admin"):
        assert archive.stranger.ask("acts", base=base)[0] == 401
    assert archive.root.ask("acts?before=x")[0] == 400
    for method in ("POST", "PUT", "DELETE"):
        assert archive.root.ask("acts", method)[0] == 405


def test_an_administrators_act_says_all_of_it(archive: Archive) -> None:
    item = archive.items[0]
    item.status, item.outcome = STATUS_CANCELLED, HOSTILE
    status, _ = archive.root.ask(
        f"items/update/{item.id}", "PUT", item, Bagline_Reason=quote(HOSTILE, safe="")
    )
    assert status == 200
    (act,) = archive.root.acts("subject=work item 2")
    assert (act["act"], act["who"], act["role"]) == ("cancel", ADMIN, "admin")
    assert act["origin"] == "API, 127.0.0.1"
    assert act["reason"] == HOSTILE
    assert (act["before"]["status"], act["after"]["status"]) == ("Pending", "Cancelled")
    assert act["after"]["outcome"] == HOSTILE
    assert act["at"] >= act["before"]["updated_at"]


def test_each_way_of_saving_an_item_has_its_word(archive: Archive) -> None:
    item = archive.items[0]
    for change, word in (
        ({"note": "x"}, "item changed"),
        ({"status": STATUS_SUSPENDED}, "item changed"),
        ({"status": "Pending"}, "requeue"),
        ({"status": "Started"}, "item changed"),
        ({"status": "Pending"}, "item changed"),
        ({"status": STATUS_CANCELLED}, "cancel"),
        ({"note": "y"}, "item changed"),
    ):
        for name, value in change.items():
            setattr(item, name, value)
        assert archive.root.ask(f"items/update/{item.id}", "PUT", item)[0] == 200
        assert archive.root.acts("sort=id__desc")[0]["act"] == word, change


@pytest.mark.parametrize("who", ["user", "admin"])
def test_a_members_request_to_restore_is_an_act(archive: Archive, who: str) -> None:
    person = archive.people[who]
    path = f"objects/init_restore/{archive.objects[0].id}"
    status, item = person.ask(path, "POST", Bagline_Reason="a%20reader")
    assert status == 201, item
    (act,) = archive.admin.acts()
    assert (act["act"], act["who"]) == ("restoration asked", person.user)
    assert (act["subject"], act["reason"]) == (f"work item {item['id']}", "a reader")
    assert act["before"] is None
    assert act["after"]["action"] == "Restore Object"
    assert archive.their_admin.acts() == []


def test_what_is_refused_leaves_nothing(archive: Archive) -> None:
    theirs, item = archive.objects[1], archive.items[0]
    assert archive.user.ask(f"objects/init_restore/{theirs.id}", "POST")[0] == 404
    assert archive.stranger.ask(f"objects/init_restore/{theirs.id}", "POST")[0] == 401
    assert archive.user.ask(f"items/update/{item.id}", "PUT", item, base="admin")[0] == 403
    item.name = ""
    assert archive.root.ask(f"items/update/{item.id}", "PUT", item)[0] == 400
    item.name = "open.tar"
    for reason in ("%FF", "%0A.", "x" * (REASON_CHARACTERS + 1), "\xfc"):
        asked = archive.root.ask(f"items/update/{item.id}", "PUT", item, Bagline_Reason=reason)
        assert asked[0] == 400
        assert "bagline-reason" in asked[1]["Error"]
    twice = archive.institutions[0]
    twice.receiving_bucket = "receiving.other.edu"
    assert archive.root.ask(f"institutions/update/{twice.id}", "PUT", twice)[0] == 409
    assert archive.root.acts() == []


def test_what_stays_as_it_is_in_the_end_is_no_act(archive: Archive) -> None:
    item = archive.items[0]
    status, kept = archive.root.ask(f"items/update/{item.id}", "PUT", item, If_Status_Not="Pending")
    assert (status, kept["status"]) == (200, "Pending")
    assert archive.root.acts() == []


def test_workers_leave_no_acts_and_a_batch_of_an_administrator_leaves_one(
    archive: Archive,
) -> None:
    item, kept = archive.items[0], archive.objects[0]
    assert archive.worker.ask(f"items/update/{item.id}", "PUT", item)[0] == 200
    files = [a_file(kept, f"data/{number}") for number in range(3)]
    for number, file in enumerate(files):
        file.uuid = f"00000000-0000-4000-8000-{number:012d}"
        file.premis_events, file.storage_records = [], []
    path = f"files/create_batch/{kept.institution_id}"
    assert archive.worker.ask(path, "POST", files[:1])[0] == 201
    assert archive.worker.ask("files/find", "POST", [{"identifier": "x"}])[0] == 200
    assert archive.root.ask("files/find", "POST", [{"identifier": "x"}])[0] == 200
    assert archive.root.acts() == []
    assert archive.root.ask(path, "POST", files[1:])[0] == 201
    (act,) = archive.root.acts()
    assert (act["act"], act["subject"]) == ("files added", "object test.edu/bag")
    assert act["after"]["files"] == 2


def test_the_client_sends_the_reason_of_the_act_that_is_open(archive: Archive) -> None:
    client = RegistryClient(archive.server.url, user=ADMIN, key=archive.root.key)
    registry = HttpRegistry(client)
    item, longest = archive.items[0], "語" * REASON_CHARACTERS
    with acting(Person("root@here", "operator", "command line, here", longest), "requeue"):
        registry.save_work_item(item)
    registry.save_work_item(item)
    registry.close()
    first, second = archive.root.acts()
    assert (first["who"], first["origin"]) == (ADMIN, "API, 127.0.0.1")
    assert (first["reason"], second["reason"]) == (longest, "")


def test_a_forwarded_address_is_taken_from_a_trusted_proxy_alone() -> None:
    for trusted, origin in (("127.0.0.1", "API, 10.1.2.3"), ("", "API, 127.0.0.1")):
        with temporary_registry(trusted_proxies=trusted) as server:
            root = Someone(server, ADMIN, server.add_user(), "admin")
            one = Institution(identifier="test.edu", name="x")
            forwarded = {"X_Forwarded_For": "<script>, 10.1.2.3"}
            assert root.ask("institutions/create", "POST", one, **forwarded)[0] == 201
            assert {act["origin"] for act in root.acts()} == {origin}
