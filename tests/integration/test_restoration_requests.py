"""Who asks the Registry's API for a restoration gets an item, and the workers get its number."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
import urllib3
from msgspec import structs

from bagline.model.registry import GenericFile, Institution, IntellectualObject
from bagline.model.times import NEVER, Timestamp, is_set
from bagline.model.workitem import OUTCOME_CHANGING, WorkItem
from bagline.services.queue.redis import RedisQueue
from bagline.services.registry.http.over_http import HttpRegistry
from bagline.services.registry.http.speaking import RegistryClient
from bagline.services.registry.sql import SqlRegistry
from support.redis import RedisServer
from support.registry import ADMIN, WORKERS, RegistryServer
from support.registry_records import a_file, an_item, save_institution

_numbers = itertools.count(1)


@dataclass
class House:
    """A Registry over a queue, and who may speak to it: by role, their key."""

    registry: HttpRegistry
    server: RegistryServer
    redis: RedisServer
    institution: Institution
    keys: dict[str, str]

    def ask(self, who: str, method: str, path: str, base: str = "", **form: str) -> Any:
        """The status, and the answer."""
        member = "@test.edu" in who or "@other.edu" in who
        base = base or ("member-api" if member else "admin-api")
        answer = urllib3.request(
            method,
            f"{self.server.url}/{base}/v3/{path}",
            body=urlencode(form).encode() if form else None,
            headers={
                "X-Pharos-API-User": who,
                "X-Pharos-API-Key": self.keys[who],
                "Content-Type": "application/x-www-form-urlencoded",
            },
            retries=False,
        )
        return answer.status, msgspec.json.decode(answer.data)

    def request(self, who: str, path: str) -> WorkItem:
        status, made = self.ask(who, "POST", path)
        assert status == 201, made
        return msgspec.convert(made, WorkItem)

    def next_of(self, topic: str) -> int:
        """The number that waits longest there; 0 where none does."""
        queue = RedisQueue(f"redis://{self.redis.address}/0")
        delivery = queue.subscribe(topic, owner="test").receive(0.2)
        if delivery is not None:
            delivery.ack()
        queue.close()
        return delivery.number if delivery else 0

    def drain(self, topic: str) -> None:
        while self.next_of(topic):
            pass

    def object(self, **other: object) -> IntellectualObject:
        """A new one, that was ingested twice."""
        name = f"bag{next(_numbers)}"
        given: dict[str, Any] = {
            "identifier": f"test.edu/{name}",
            "bag_name": name,
            "institution_id": self.institution.id,
            "title": "A bag",
            "etag": "0" * 32,
        }
        kept = self.registry.save_intellectual_object(IntellectualObject(**(given | other)))
        for second, etag in ((1, "a"), (2, "b")):
            self.registry.save_work_item(
                an_item(
                    self.institution,
                    f"{name}.tar",
                    etag=etag * 32,
                    stage="Cleanup",
                    status="Success",
                    date_processed=Timestamp(f"2026-01-02T03:04:0{second}Z"),
                    needs_admin_review=True,
                    note="Finished cleanup. Ingest complete.",
                    outcome=OUTCOME_CHANGING,
                )
            )
        return kept

    def file(self, kept: IntellectualObject, path: str = "data/a") -> GenericFile:
        uuid = f"44444444-0000-5000-8000-{next(_numbers):012d}"
        file = structs.replace(a_file(kept, path), uuid=uuid, premis_events=[], size=7)
        file.storage_records = []
        return self.registry.create_files([file])[0]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    redis = RedisServer(folder / "redis")
    redis.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAGLINE_REDIS_URL", f"redis://{redis.address}/0")
        server = RegistryServer(folder / "data")
    keys = {ADMIN: server.add_user(), WORKERS: server.add_user(WORKERS, "worker")}
    server.start()
    registry = HttpRegistry(RegistryClient(server.url, user=ADMIN, key=keys[ADMIN]))
    institution = save_institution(registry)
    other = registry.save_institution(Institution(identifier="other.edu", name="Other"))
    keys["user@test.edu"] = server.add_user("user@test.edu", "institutional_user", institution.id)
    keys["admin@test.edu"] = server.add_user(
        "admin@test.edu", "institutional_admin", institution.id
    )
    keys["user@other.edu"] = server.add_user("user@other.edu", "institutional_user", other.id)
    yield House(registry, server, redis, institution, keys)
    registry.close()
    server.stop()
    redis.stop()


@pytest.mark.parametrize("who", ["user@test.edu", "admin@test.edu", ADMIN])
def test_an_object_is_asked_for_as_its_last_ingest_knew_it(house: House, who: str) -> None:
    kept = house.object()
    house.file(kept)
    made = house.request(who, f"objects/init_restore/{kept.id}")
    assert house.next_of("restore_object") == made.id
    stored = house.registry.work_item(made.id)
    assert stored == made
    assert is_set(made.queued_at)
    assert (made.action, made.stage, made.status) == ("Restore Object", "Requested", "Pending")
    assert (made.note, made.outcome) == ("Not started", "Not started")
    assert (made.retry, made.needs_admin_review, made.user) == (True, False, who)
    assert (made.etag, made.name, made.bucket) == (
        "b" * 32,
        f"{kept.bag_name}.tar",
        house.institution.receiving_bucket,
    )
    assert (made.object_identifier, made.intellectual_object_id) == (kept.identifier, kept.id)
    assert (made.size, made.generic_file_id, made.storage_option) == (7, 0, "Standard")
    assert (made.stage_started_at, made.node, made.pid) == (NEVER, "", 0)
    assert made.date_processed > "2026-01-02T03:04:02Z"


def test_a_file_is_asked_for_beside_its_object(house: House) -> None:
    kept = house.object()
    file = house.file(kept)
    house.request(ADMIN, f"objects/init_restore/{kept.id}")
    made = house.request("user@test.edu", f"files/init_restore/{file.id}")
    assert house.next_of("restore_file") == made.id
    assert (made.action, made.size) == ("Restore File", 7)
    assert (made.generic_file_id, made.generic_file_identifier) == (file.id, file.identifier)


def test_the_second_who_asks_is_told_of_the_first(house: House) -> None:
    kept = house.object()
    made = house.request(ADMIN, f"objects/init_restore/{kept.id}")
    status, said = house.ask("user@test.edu", "POST", f"objects/init_restore/{kept.id}")
    assert status == 409
    assert f"Work item {made.id} (Restore Object, Pending at Requested)" in said["Error"]


def test_what_lies_in_glacier_is_thawed_first(house: House) -> None:
    kept = house.object(storage_option="Glacier-Deep-OR")
    file = house.file(kept)
    whole = house.request(ADMIN, f"objects/init_restore/{kept.id}")
    one = house.request(ADMIN, f"files/init_restore/{file.id}")
    assert [whole.action, one.action] == ["Glacier Restore"] * 2
    assert [house.next_of("restore_glacier") for _ in "12"] == [whole.id, one.id]


def test_an_object_of_no_known_ingest_is_asked_for_as_it_is(house: House) -> None:
    kept = house.registry.save_intellectual_object(
        IntellectualObject(
            identifier="test.edu/moved",
            institution_id=house.institution.id,
            title="Moved here",
        )
    )
    made = house.request(ADMIN, f"objects/init_restore/{kept.id}")
    assert (made.name, made.bucket) == ("moved.tar", house.institution.receiving_bucket)
    assert (made.etag, made.bag_date) == ("", kept.created_at)
    client = RegistryClient(house.server.url, user=WORKERS, key=house.keys[WORKERS])
    started = HttpRegistry(client).save_work_item(structs.replace(made, status="Started"))
    assert started.status == "Started"


def test_who_may_not_ask_gets_nothing(house: House) -> None:
    kept = house.object()
    file = house.file(kept)
    for path in (f"objects/init_restore/{kept.id}", f"files/init_restore/{file.id}"):
        assert house.ask("user@other.edu", "POST", path)[0] == 404
        assert house.ask(WORKERS, "POST", path)[0] == 403
        assert house.ask("user@test.edu", "POST", path, base="admin-api")[0] == 403
    assert house.ask("user@test.edu", "PUT", "items/requeue/1", stage="Requested")[0] == 404
    assert house.ask(WORKERS, "PUT", "items/requeue/1", stage="Requested")[0] == 403
    assert house.ask(ADMIN, "POST", "objects/init_restore/999999")[0] == 404


def test_what_is_deleted_cannot_be_restored(house: House) -> None:
    kept = house.object()
    file = house.file(kept)
    database = SqlRegistry(house.server.database())  # no API sets the state
    database.update_file(structs.replace(file, state="D"))
    status, said = house.ask(ADMIN, "POST", f"files/init_restore/{file.id}")
    assert (status, said["Error"]) == (409, "The file is deleted.")
    database.save_intellectual_object(structs.replace(kept, state="D"))
    assert house.ask(ADMIN, "POST", f"objects/init_restore/{kept.id}")[0] == 409
    database.close()


def test_a_request_outlives_a_queue_that_is_down(house: House) -> None:
    kept = house.object()
    house.drain("restore_object")
    house.redis.stop()
    try:
        made = house.request(ADMIN, f"objects/init_restore/{kept.id}")
    finally:
        house.redis.start()
    assert (made.status, made.queued_at) == ("Pending", NEVER)
    again = house.request(ADMIN, f"objects/init_restore/{house.object().id}")
    assert house.next_of("restore_object") == again.id


def test_an_item_is_put_back_on_its_line(house: House) -> None:
    kept = house.object()
    made = house.request(ADMIN, f"objects/init_restore/{kept.id}")
    failed = structs.replace(
        made, status="Failed", stage="Restoring", retry=False, needs_admin_review=True, node="n"
    )
    house.registry.save_work_item(failed)
    house.drain("restore_object")
    status, back = house.ask(ADMIN, "PUT", f"items/requeue/{made.id}", stage="Requested")
    assert status == 200
    assert (back["status"], back["stage"], back["retry"]) == ("Pending", "Requested", True)
    assert (back["note"], back["outcome"], back["node"]) == ("Requeued for Requested", "", "")
    assert back["needs_admin_review"] is False
    assert house.next_of("restore_object") == made.id


def test_an_item_is_not_put_back_beside_another(house: House) -> None:
    kept = house.object()
    made = house.request(ADMIN, f"objects/init_restore/{kept.id}")
    house.registry.save_work_item(structs.replace(made, status="Cancelled"))
    other = house.request(ADMIN, f"objects/init_restore/{kept.id}")
    status, said = house.ask(ADMIN, "PUT", f"items/requeue/{made.id}", stage="Requested")
    assert (status, f"Work item {other.id} " in said["Error"]) == (409, True)
    for wrong in ("Store", "nowhere"):
        status, said = house.ask(ADMIN, "PUT", f"items/requeue/{other.id}", stage=wrong)
        assert status == 400
    house.registry.save_work_item(structs.replace(other, status="Success"))
    assert house.ask(ADMIN, "PUT", f"items/requeue/{other.id}", stage="Requested")[0] == 409


def test_an_ingest_that_overwrote_stays_one(house: House) -> None:
    kept = house.object()
    stuck = house.registry.save_work_item(
        an_item(house.institution, f"{kept.bag_name}.tar", stage="Store", status="Suspended")
    )
    status, back = house.ask(ADMIN, "PUT", f"items/requeue/{stuck.id}", stage="Receive")
    assert (status, back["stage"], back["outcome"]) == (200, "Receive", OUTCOME_CHANGING)
    assert house.next_of("ingest01_prefetch") == stuck.id
    found = house.registry.changing_item(house.institution.id, kept.bag_name)
    assert found is not None
    assert found.id == stuck.id


def test_reads_that_programs_of_the_contract_make(house: House) -> None:
    kept = house.object(alt_identifier="alt-1", bagit_profile_identifier="https://profile.example")
    file = house.file(kept)
    made = house.request(ADMIN, f"files/init_restore/{file.id}")
    (digest,) = house.registry.files([file.identifier])[file.identifier].checksums
    assert house.ask("user@test.edu", "GET", f"checksums/show/{digest.id}")[1]["digest"] == "d" * 32
    assert house.ask("user@other.edu", "GET", f"checksums/show/{digest.id}")[0] == 404
    for query in (
        f"generic_file_identifier={file.identifier}",
        f"intellectual_object_id={kept.id}&state=A",
        f"institution_id={house.institution.id}&intellectual_object_id={kept.id}",
    ):
        _, found = house.ask("user@test.edu", "GET", f"checksums?{query}")
        assert [row["id"] for row in found["results"]] == [digest.id]
    for query in (
        "alt_identifier=alt-1",
        "bagit_profile_identifier=https://profile.example",
        f"generic_file_id__is_null=false&intellectual_object_id={kept.id}",
        f"generic_file_id__not_null=true&intellectual_object_id={kept.id}",
        f"queued_at__not_null=true&node__not_null=false&intellectual_object_id={kept.id}",
    ):
        _, found = house.ask("user@test.edu", "GET", f"items?{query}")
        assert [row["id"] for row in found["results"]] == [made.id]
