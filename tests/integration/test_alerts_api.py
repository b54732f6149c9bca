"""Alerts, and what is known of each copy, as those meet them who may and who may not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import urllib3

from bagline.model import wire
from bagline.model.copy_checks import MISSING, CopyCheck
from bagline.model.premis import PremisEvent
from bagline.model.registry import (
    GenericFile,
    Institution,
    IntellectualObject,
    RegistryStorageRecord,
)
from bagline.model.times import NEVER, earlier, now
from bagline.services.registry.sql import SqlRegistry
from support.registry import ADMIN, WORKERS, RegistryServer, temporary_registry

GENERATE = "alerts/generate_failed_fixity_alerts"
HOSTILE = "data/why? a/b%2Fc #1 & é\u0301\u202e\x1b[2J\n<script>.txt"
UUID = "00000000-0000-5000-8000-{:012d}"
PLACE = "https://s3.example/preservation-{}"
MINUTE = timedelta(minutes=1)


@dataclass
class Someone:
    """Speaks to the server with a key, below the API that is theirs or another."""

    server: RegistryServer
    user: str
    key: str
    base: str = "member"

    def ask(
        self, path: str, method: str = "GET", body: Any = None, *, base: str = ""
    ) -> tuple[int, Any]:
        answer = urllib3.request(
            method,
            f"{self.server.url}/{base or self.base}-api/v3/{path}",
            body=wire.encode(body) if body is not None else None,
            headers={"X-Pharos-API-User": self.user, "X-Pharos-API-Key": self.key},
            retries=False,
            timeout=20,
        )
        return answer.status, msgspec.json.decode(answer.data)

    def alerts(self, query: str = "", *, base: str = "") -> list[dict[str, Any]]:
        status, page = self.ask(f"alerts?{query}", base=base)
        assert status == 200
        assert page["count"] == len(page["results"])
        found: list[dict[str, Any]] = page["results"]
        return found


@dataclass
class House:
    """Two institutions with a file that has a bad copy each, and everybody who may ask."""

    people: dict[str, Someone]
    institutions: list[Institution]
    files: list[GenericFile]

    def __getattr__(self, name: str) -> Someone:
        return self.people[name]


@pytest.fixture
def house() -> Iterator[House]:
    with temporary_registry(failures_a_minute=1_000) as server:
        database = server.database()
        registry = SqlRegistry(database)
        institutions, files = [], []
        for number, name in enumerate(("test.edu", "other.edu")):
            one = registry.save_institution(Institution(identifier=name, name=name))
            institutions.append(one)
            kept = registry.save_intellectual_object(
                IntellectualObject(identifier=f"{name}/bag", institution_id=one.id, title="A bag")
            )
            files += registry.create_files([a_file(kept, number)])
            bad, _ = registry.copies.of_file(files[-1].id)
            check = CopyCheck(
                copy=bad, asked_at=earlier(now(), MINUTE), outcome=MISSING, detail=HOSTILE
            )
            registry.copies.save([check], [a_failure(files[-1], number)])
        ours, theirs = (one.id for one in institutions)
        people = {
            name: Someone(server, email, server.add_user(email, role, of))
            for name, email, role, of in (
                ("admin", "admin@test.edu", "institutional_admin", ours),
                ("second", "second@test.edu", "institutional_admin", ours),
                ("user", "user@test.edu", "institutional_user", ours),
                ("their_admin", "admin@other.edu", "institutional_admin", theirs),
                ("worker", WORKERS, "worker", 0),
                ("root", ADMIN, "admin", 0),
            )
        }
        people["root"].base = people["worker"].base = "admin"
        people["stranger"] = Someone(server, "admin@test.edu", "a guess")
        yield House(people, institutions, files)
        registry.close()


def a_file(kept: IntellectualObject, number: int) -> GenericFile:
    uuid = UUID.format(number)
    return GenericFile(
        identifier=f"{kept.identifier}/{HOSTILE}",
        institution_id=kept.institution_id,
        intellectual_object_id=kept.id,
        file_format="text/plain",
        uuid=uuid,
        storage_records=[
            RegistryStorageRecord(url=f"{PLACE.format(place)}/{uuid}") for place in ("va", "or")
        ],
    )


def a_failure(of: GenericFile, number: int, **other: Any) -> PremisEvent:
    given = {
        "identifier": UUID.format(number), "event_type": "fixity check", "outcome": "Failed",
        "date_time": earlier(now(), MINUTE), "institution_id": of.institution_id,
        "generic_file_id": of.id, "agent": "a", "detail": "d", "object": "o",
        "outcome_detail": "sha256:", "outcome_information": f"missing: {HOSTILE}",
        "intellectual_object_id": of.intellectual_object_id,
    }  # fmt: skip
    return PremisEvent(**(given | other))


def test_only_a_system_administrator_has_them_made_and_once_a_day(house: House) -> None:
    for name in ("admin", "user", "their_admin", "worker"):
        assert house.people[name].ask(GENERATE, "POST", base="admin")[0] == 403
        assert house.people[name].ask(GENERATE, "POST", base="member")[0] in (404, 405)
    assert house.stranger.ask(GENERATE, "POST", base="admin")[0] == 401
    assert house.root.alerts() == []
    assert house.root.ask(GENERATE, "POST") == (
        201,
        {
            "count": 2,
            "next": "",
            "previous": "",
            "results": [
                {"failures": 1, "institution_id": one.id, "institution_name": one.name, "error": ""}
                for one in reversed(house.institutions)
            ],
        },
    )
    status, said = house.root.ask(GENERATE, "POST")
    assert (status, said["StatusCode"]) == (409, 409)
    assert "today" in said["Error"]
    assert len(house.root.alerts()) == 4


def test_nothing_failed_is_a_200(house: House) -> None:
    with temporary_registry() as empty:
        root = Someone(empty, ADMIN, empty.add_user(), "admin")
        nothing = {"count": 0, "next": "", "previous": "", "results": []}
        assert root.ask(GENERATE, "POST") == (200, nothing)
        assert root.ask(GENERATE, "POST")[0] == 409


def test_everybody_sees_their_own_and_a_system_administrator_all(house: House) -> None:
    house.root.ask(GENERATE, "POST")
    everything = {(a["id"], a["user_id"]): a for a in house.root.alerts()}
    assert sorted(a["user_email"] for a in everything.values()) == [
        "admin@other.edu", "admin@test.edu", "second@test.edu", ADMIN,
    ]  # fmt: skip
    (mine,) = house.admin.alerts()
    assert mine["user_email"] == "admin@test.edu"
    assert mine == everything[mine["id"], mine["user_id"]]
    (theirs,) = house.their_admin.alerts()
    assert theirs["institution_name"] == "other.edu"
    for person in (house.user, house.worker):
        for base in ("member", "admin"):
            if person is house.worker or base == "member":
                assert person.alerts(base=base) == []
    assert house.stranger.ask("alerts")[0] == 401
    assert house.admin.ask("alerts", base="admin")[0] == 403
    for query in (f"institution_id={theirs['institution_id']}", f"user_id={theirs['user_id']}"):
        assert house.admin.alerts(query) == []
        assert house.root.alerts(query) == [theirs]


def test_one_is_shown_to_whose_it_is_and_then_it_is_read(house: House) -> None:
    house.root.ask(GENERATE, "POST")
    (mine,) = house.admin.alerts()
    assert mine["read_at"] == NEVER
    path = f"alerts/show/{mine['id']}/{mine['user_id']}"
    others = ("second", "user", "their_admin", "worker")
    assert {house.people[name].ask(path)[0] for name in others} == {404}
    assert house.stranger.ask(path)[0] == 401
    assert house.root.ask(path) == (200, mine)
    status, shown = house.admin.ask(path)
    assert status == 200
    assert shown["read_at"] > mine["created_at"]
    assert shown | {"read_at": NEVER} == mine
    assert house.admin.ask(path) == (200, shown)
    assert house.root.ask(path) == (200, shown)
    (second,) = house.second.alerts()
    assert (second["id"], second["read_at"]) == (mine["id"], NEVER)
    for nothing in ("0/0", f"{mine['id']}/0", f"{mine['id']}/{2**63 - 1}", f"{2**70}/1", "x/y"):
        assert house.root.ask(f"alerts/show/{nothing}")[0] == 404


def test_who_moves_to_another_institution_leaves_its_alerts_behind(house: House) -> None:
    house.root.ask(GENERATE, "POST")
    server = house.admin.server
    (mine,) = house.admin.alerts()
    key = server.add_user("admin@test.edu", "institutional_admin", house.institutions[1].id)
    moved = Someone(server, "admin@test.edu", key)
    assert moved.alerts() == []
    assert moved.ask(f"alerts/show/{mine['id']}/{mine['user_id']}")[0] == 404


def test_filters_and_pages(house: House) -> None:
    house.root.ask(GENERATE, "POST")
    made = house.admin.alerts()[0]["created_at"]
    for query, count in (
        (f"created_at__gteq={made}", 4),
        (f"created_at__lteq={made}", 4),
        ("created_at__lteq=2020-01-01T00:00:00Z", 0),
        ("type=Failed+Fixity+Check", 4),
        ("type=Welcome", 0),
        (f"institution_id={house.institutions[0].id}", 2),
        ("read_at__is_null=true", 4),
        (f"user_email={ADMIN}", 1),
    ):
        assert len(house.root.alerts(query)) == count, query
    assert house.root.ask("alerts?password=1")[0] == 400
    _, first = house.root.ask("alerts?per_page=3&sort=created_at__desc")
    assert (first["count"], len(first["results"]), first["previous"]) == (4, 3, "")
    _, last = house.root.ask(first["next"])
    assert (len(last["results"]), last["next"]) == (1, "")


def test_hostile_names_are_text_and_no_more(house: House) -> None:
    house.root.ask(GENERATE, "POST")
    (mine,) = house.admin.alerts()
    assert "other.edu" not in mine["content"]
    assert "test.edu/bag/data/why? a/b%2Fc" in mine["content"]
    assert all(line.isprintable() for line in mine["content"].split("\n"))


def test_a_workers_failed_check_is_taken_and_told_of(house: House) -> None:
    """As the older fixity worker sends it, and as a file that has one is sent back whole."""
    event = a_failure(house.files[0], 77)
    assert house.worker.ask("events/create", "POST", event)[0] == 201
    assert house.root.ask(GENERATE, "POST")[1]["count"] == 3
    _, file = house.worker.ask(f"files/show/{house.files[0].id}")
    assert "Failed" in {event["outcome"] for event in file["premis_events"]}
    assert house.worker.ask(f"files/update/{file['id']}", "PUT", file)[0] == 200


def test_each_copy_of_a_file_is_told_of_to_whose_it_is(house: House) -> None:
    ours, theirs = house.files
    for key in (ours.id, quote(ours.identifier, safe="")):
        for name in ("admin", "user", "root", "worker"):
            status, said = house.people[name].ask(f"files/copies/{key}")
            assert status == 200
            by_url = {copy["url"]: copy for copy in said["results"]}
            bad, untried = (by_url[f"{PLACE.format(p)}/{ours.uuid}"] for p in ("va", "or"))
            assert (bad["outcome"], bad["detail"]) == (MISSING, HOSTILE)
            assert bad["asked_at"] > "2026"
            assert untried == {
                "generic_file_id": ours.id, "url": untried["url"], "asked_at": NEVER,
                "outcome": "", "detail": "", "proven_at": NEVER, "proven_by": "",
            }  # fmt: skip
    for key in (theirs.id, quote(theirs.identifier, safe=""), 999, quote("a/b/\u202ec", safe="")):
        assert house.admin.ask(f"files/copies/{key}")[0] == 404
    assert house.stranger.ask(f"files/copies/{ours.id}")[0] == 401
    assert house.admin.ask(f"files/copies/{ours.id}", base="admin")[0] == 403
    registry = SqlRegistry(house.root.server.database())  # without anybody's consent
    (file,) = registry.files([ours.identifier]).values()
    file.state = "D"
    registry.update_file(file)
    registry.close()
    assert house.admin.ask(f"files/copies/{ours.id}") == (200, {"results": []})
