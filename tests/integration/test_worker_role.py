"""What a worker's key opens: what the workers do, and no more; and what nobody may write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import urllib3

from bagline.errors import Refused
from bagline.model import wire
from bagline.model.deletion import DeletionPolicy, NewDeletion
from bagline.model.premis import PremisEvent
from bagline.model.registry import (
    Checksum,
    GenericFile,
    Institution,
    IntellectualObject,
    RegistryStorageRecord,
)
from bagline.model.times import Timestamp
from bagline.model.workitem import STATUS_STARTED, STATUS_SUCCESS, WorkItem
from bagline.problems import ERROR, Problem
from bagline.services.registry.base import WorkItemFilter
from bagline.services.registry.deletion_requests import DeletionRequests
from bagline.services.registry.http.over_http import HttpRegistry
from bagline.services.registry.http.speaking import RegistryClient
from bagline.services.registry.sql import SqlRegistry
from bagline.services.registry.users import INST_ADMIN, ApiUsers
from support.registry import ADMIN, WORKERS, RegistryServer, run, temporary_registry

MOMENT = Timestamp("2026-01-02T03:04:05.5Z")
UUID = "00000000-0000-5000-8000-{:012d}"
COPY = "https://s3.us-east-1.amazonaws.com/preservation-va/{}"


@dataclass
class Someone:
    """Speaks to the admin API with a key."""

    server: RegistryServer
    user: str
    key: str

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = urllib3.request(
            method,
            f"{self.server.url}/admin-api/v3/{path}",
            body=wire.encode(body) if body is not None else None,
            headers={"X-Pharos-API-User": self.user, "X-Pharos-API-Key": self.key},
            retries=False,
            timeout=20,
        )
        return answer.status, msgspec.json.decode(answer.data)

    def registry(self) -> HttpRegistry:
        return HttpRegistry(RegistryClient(self.server.url, user=self.user, key=self.key))


@dataclass
class House:
    """Two institutions, each with an object and a file; an administrator and a worker."""

    admin: Someone
    worker: Someone
    ours: Institution
    theirs: Institution
    object: IntellectualObject
    file: GenericFile
    their_object: IntellectualObject
    their_file: GenericFile


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with temporary_registry() as server:
        admin = Someone(server, ADMIN, server.add_user())
        worker = Someone(server, WORKERS, server.add_user(WORKERS, "worker"))
        registry = admin.registry()
        made: list[Any] = []
        for number, name in enumerate(("test.edu", "other.edu")):
            one = registry.save_institution(
                Institution(identifier=name, name=name, receiving_bucket=f"receiving.{name}",
                            restore_bucket=f"restore.{name}")
            )  # fmt: skip
            kept = registry.save_intellectual_object(
                IntellectualObject(identifier=f"{name}/bag", institution_id=one.id, title="A bag")
            )
            (file,) = registry.create_files([a_file(kept, "data/a", number)])
            made.append((one, kept, file))
        registry.close()
        (ours, kept, file), (theirs, their_kept, their_file) = made
        yield House(admin, worker, ours, theirs, kept, file, their_kept, their_file)


@pytest.fixture
def worker(house: House) -> Iterator[HttpRegistry]:
    registry = house.worker.registry()
    yield registry
    registry.close()


def a_file(kept: IntellectualObject, path: str, number: int) -> GenericFile:
    uuid = UUID.format(number)
    return GenericFile(
        identifier=f"{kept.identifier}/{path}", institution_id=kept.institution_id,
        intellectual_object_id=kept.id, file_format="text/plain", size=5, uuid=uuid,
        storage_records=[RegistryStorageRecord(url=COPY.format(uuid))],
    )  # fmt: skip


def an_item(of: Institution, name: str = "b.tar", **other: Any) -> WorkItem:
    given = {
        "name": name, "etag": "e" * 32, "bucket": of.receiving_bucket, "institution_id": of.id,
        "user": WORKERS, "bag_date": MOMENT, "date_processed": MOMENT,
    }  # fmt: skip
    return WorkItem(**(given | other))


def an_event(of: GenericFile, number: int, **other: Any) -> PremisEvent:
    given = {
        "identifier": UUID.format(number), "event_type": "ingestion", "date_time": MOMENT,
        "institution_id": of.institution_id, "generic_file_id": of.id, "agent": "a",
        "detail": "d", "object": "o",
    }  # fmt: skip
    return PremisEvent(**(given | other))


def a_deletion(house: House, **other: Any) -> WorkItem:
    """An item as the Registry's own pages make it when a deletion was approved."""
    given = {"action": "Delete", "stage": "Requested", "status": STATUS_STARTED,
             "intellectual_object_id": house.object.id, "inst_approver": "b@test.edu"}  # fmt: skip
    item = an_item(house.ours, "bag.tar", **(given | other))
    return house.admin.registry().save_work_item(item)


# -- a worker does its work
def test_a_worker_does_all_that_the_line_does(house: House, worker: HttpRegistry) -> None:
    assert [i.identifier for i in worker.institutions()] == ["other.edu", "test.edu"]
    item = worker.save_work_item(an_item(house.ours, "line.tar"))
    item.status, item.node, item.pid, item.note = STATUS_STARTED, "host", 7, "Item has started"
    item = worker.save_work_item(item, unless_status=["Cancelled"])
    worker.save_problems(item.id, [Problem(code="BAG001", severity=ERROR, subject="", message="m")])
    kept = worker.save_intellectual_object(
        IntellectualObject(identifier="test.edu/line", institution_id=house.ours.id, title="t")
    )
    kept.title = "again"
    assert worker.save_intellectual_object(kept).title == "again"
    (file,) = worker.create_files([a_file(kept, "data/b", 100)])
    file.size = 6
    assert worker.update_file(file).size == 6
    assert set(worker.files([file.identifier])) == {file.identifier}
    worker.create_events([an_event(file, 101)])
    assert worker.events(file_id=file.id)
    worker.save_report(item.id, {"files": 1})
    item.intellectual_object_id = kept.id
    item.object_identifier = kept.identifier
    item.status, item.retry = STATUS_SUCCESS, False
    assert worker.save_work_item(item).status == STATUS_SUCCESS
    assert worker.ping()["product"] == "Bagline"


def test_an_older_workers_put_loses_nothing_that_it_does_not_send(house: House) -> None:
    item = a_deletion(house, generic_file_id=house.file.id)
    document = msgspec.to_builtins(item)
    for name in ("generic_file_id", "generic_file_identifier", "storage_option"):
        document.pop(name)
    document["note"] = "Item has started stage delete_item"
    status, saved = house.worker.ask("PUT", f"items/update/{item.id}", document)
    assert (status, saved["generic_file_id"]) == (200, house.file.id)


@pytest.mark.parametrize("who", ["worker", "admin"])
def test_ids_alone_name_what_an_item_is_about(house: House, who: str) -> None:
    """As the older workers make the item that follows a thaw, and save it."""
    asker = getattr(house, who)
    thaw = a_deletion(house, action="Glacier Restore", inst_approver="")
    document = msgspec.to_builtins(thaw) | {"id": 0, "action": "Restore File"}
    viewed = ("generic_file_identifier", "object_identifier", "storage_option")
    for name in viewed:
        document.pop(name)
    document["generic_file_id"] = house.file.id
    status, made = asker.ask("POST", f"items/create/{house.ours.id}", document)
    assert status == 201, made
    named = {name: made[name] for name in viewed}
    assert named == {
        "generic_file_identifier": house.file.identifier,
        "object_identifier": house.object.identifier,
        "storage_option": house.object.storage_option,
    }
    document |= {"id": made["id"], "generic_file_id": 0}
    status, saved = asker.ask("PUT", f"items/update/{made['id']}", document)
    assert (status, saved["generic_file_id"]) == (200, house.file.id)
    assert {name: saved[name] for name in viewed} == named


def test_a_worker_restores_what_was_thawed_and_deletes_what_was_approved(
    house: House, worker: HttpRegistry
) -> None:
    kept = house.admin.registry().save_intellectual_object(
        IntellectualObject(identifier="test.edu/cold", institution_id=house.ours.id, title="t")
    )
    (file,) = worker.create_files([a_file(kept, "data/c", 200)])
    after = an_item(house.ours, "cold.tar", action="Restore Object", stage="Requested",
                    intellectual_object_id=kept.id)  # fmt: skip
    assert house.worker.ask("POST", f"items/create/{house.ours.id}", after)[0] == 403
    thaw = an_item(house.ours, "cold.tar", action="Glacier Restore", stage="Requested",
                   intellectual_object_id=kept.id)  # fmt: skip
    thaw = house.admin.registry().save_work_item(thaw)
    assert house.worker.ask("POST", f"items/create/{house.ours.id}", after)[0] == 201
    for path in (f"files/delete/{file.id}", f"objects/delete/{kept.id}"):
        assert house.worker.ask("DELETE", path)[0] == 403
        assert "no Delete item" in house.worker.ask("DELETE", path)[1]["error"]
    (known,) = worker.files([file.identifier]).values()
    gone = msgspec.structs.replace(known, state="D")
    assert house.worker.ask("PUT", f"files/update/{file.id}", gone)[0] == 400
    gone_too = msgspec.structs.replace(kept, state="D")
    assert house.worker.ask("PUT", f"objects/update/{kept.id}", gone_too)[0] == 400
    a_deletion(house, intellectual_object_id=kept.id, inst_approver="")
    a_deletion(house, intellectual_object_id=kept.id, status="Pending")
    assert house.worker.ask("DELETE", f"files/delete/{file.id}")[0] == 403
    by_hand = a_deletion(house, intellectual_object_id=kept.id)
    assert house.worker.ask("DELETE", f"files/delete/{file.id}")[0] == 403  # of no request
    for item in (by_hand, thaw):
        item.status = "Cancelled"
        house.admin.registry().save_work_item(item)
    agreed(house, kept.identifier)
    for path in (f"files/delete/{file.id}", f"objects/delete/{kept.id}"):
        assert house.worker.ask("DELETE", path)[0] == 200


def agreed(house: House, identifier: str) -> None:
    """Two administrators agree that the object goes, and a worker has begun."""
    registry = SqlRegistry(house.admin.server.database())
    for item in registry.work_items(WorkItemFilter(statuses=["Pending", "Started"])):
        item.status = "Cancelled"
        registry.save_work_item(item)
    users = ApiUsers(registry._database)
    for email in ("ann@test.edu", "bob@test.edu"):
        users.add(email, INST_ADMIN, house.ours.id)
    people = {user.email: user for user in users.all()}
    requests = DeletionRequests(registry._database, DeletionPolicy())
    wanted = NewDeletion(reason="Withdrawn", objects=[identifier])
    number = requests.ask(people["ann@test.edu"], wanted).id
    token = requests.review(people["bob@test.edu"], number).token
    (item,) = requests.approve(people["bob@test.edu"], number, token)[1]
    item.status = STATUS_STARTED
    registry.save_work_item(item)
    registry.close()


# -- and no more
NOT_FOR_WORKERS = [
    ("POST", "institutions/create", {"identifier": "new.edu", "name": "n"}),
    ("PUT", "institutions/update/1", {"id": 1, "identifier": "test.edu", "name": "n"}),
]


@pytest.mark.parametrize(("method", "path", "body"), NOT_FOR_WORKERS)
def test_a_worker_does_not_touch_institutions(
    house: House, method: str, path: str, body: Any
) -> None:
    before = house.admin.ask("GET", "institutions")
    status, said = house.worker.ask(method, path, body)
    assert status == 403
    assert "system administrator" in said["error"]
    assert house.admin.ask("GET", "institutions") == before


def test_an_item_stays_about_what_it_was(house: House, worker: HttpRegistry) -> None:
    item = worker.save_work_item(an_item(house.ours, "about.tar"))
    for name, value in (
        ("action", "Delete"), ("bucket", "restore.test.edu"), ("etag", "f" * 32),
        ("inst_approver", "me@test.edu"), ("aptrust_approver", "me@test.edu"),
        ("deletion_request_id", 7), ("name", "other.tar"), ("user", "other@x.org"),
        ("generic_file_id", house.file.id),
    ):  # fmt: skip
        changed = msgspec.structs.replace(item, **{name: value})
        status, said = house.worker.ask("PUT", f"items/update/{item.id}", changed)
        assert (status, name in said["error"]) == (403, True), name
    assert worker.work_item(item.id) == item


def test_a_worker_neither_asks_for_deletions_nor_approves(house: House) -> None:
    for other in (
        {"action": "Delete"}, {"action": "Restore File"}, {"status": STATUS_SUCCESS},
        {"inst_approver": "me@test.edu"}, {"deletion_request_id": 3}, {"stage": "Cleanup"},
    ):  # fmt: skip
        item = an_item(house.ours, **other)
        assert house.worker.ask("POST", f"items/create/{house.ours.id}", item)[0] == 403, other


def test_a_file_keeps_its_key_and_its_object(house: House, worker: HttpRegistry) -> None:
    (file,) = worker.files([house.file.identifier]).values()
    other = worker.save_intellectual_object(
        IntellectualObject(identifier="test.edu/keeps", institution_id=house.ours.id, title="t")
    )
    for name, value in (("uuid", UUID.format(999)), ("intellectual_object_id", other.id)):
        changed = msgspec.structs.replace(file, storage_records=[], **{name: value})
        assert house.worker.ask("PUT", f"files/update/{file.id}", changed)[0] == 403, name
    foreign = RegistryStorageRecord(generic_file_id=file.id, url=COPY.format(UUID.format(998)))
    assert house.worker.ask("POST", f"storage_records/create/{house.ours.id}", foreign)[0] == 400
    assert house.admin.ask("POST", f"storage_records/create/{house.ours.id}", foreign)[0] == 201
    (moved,) = worker.files([file.identifier]).values()  # with a copy that a worker may not add
    moved.size = 7
    assert house.worker.ask("PUT", f"files/update/{file.id}", moved)[0] == 200


@pytest.mark.parametrize(
    "url",
    [
        "http://u:p@h/b/{}", "http:///{}", "http://h/b?x=/{}", "http://h/b#/{}", "http://h/b/../{}",
        "http://h/b/\n/{}", "https://h//{}", "ftp://h/b/{}", "https://h/" + "b" * 3_000 + "/{}",
        "https://[/{}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("who", ["admin", "worker"])
def test_a_copys_url_is_a_place_and_nothing_else(house: House, who: str, url: str) -> None:
    copy = RegistryStorageRecord(generic_file_id=house.file.id, url=url.format(house.file.uuid))
    asker = getattr(house, who)
    assert asker.ask("POST", f"storage_records/create/{house.ours.id}", copy)[0] == 400


def test_workers_and_administrators_with_an_admin_key_go_on(house: House) -> None:
    registry = house.admin.registry()
    item = registry.save_work_item(an_item(house.ours, "admin.tar", user=ADMIN))
    item.status = STATUS_STARTED
    assert registry.save_work_item(item).status == STATUS_STARTED
    registry.close()


# -- what nobody may write
EVERYBODY = pytest.mark.parametrize("who", ["admin", "worker"])


def refused(house: House, who: str, method: str, path: str, body: Any) -> str:
    status, said = getattr(house, who).ask(method, path, body)
    assert status == 400, said
    return str(said["Error"])


BAD_ITEMS: dict[str, tuple[dict[str, Any], str]] = {
    "another's bucket": ({"bucket": "receiving.other.edu"}, "bucket must be the institution's"),
    "no bucket of anybody": ({"bucket": "preservation-va"}, "bucket must be"),
    "a path": ({"name": "a/b.tar"}, "name must be"),
    "a way up": ({"name": ".."}, "name must be"),
    "a long name": ({"name": "ä" * 600 + ".tar"}, "at most 1024 bytes"),
    "a long note": ({"note": "n" * 70_000}, "note may have at most"),
    "a long outcome": ({"outcome": "n" * 70_000}, "outcome may have at most"),
    "another's name": ({"object_identifier": "other.edu/bag"}, "object_identifier must begin"),
    "no such option": ({"storage_option": "Tape"}, "storage_option must be"),
    "a negative size": ({"size": -1}, "size must be"),
}


@EVERYBODY
@pytest.mark.parametrize("kind", BAD_ITEMS)
def test_an_item_that_is_not_true_is_refused(house: House, who: str, kind: str) -> None:
    changes, words = BAD_ITEMS[kind]
    item = an_item(house.ours, **changes)
    assert words in refused(house, who, "POST", f"items/create/{house.ours.id}", item)
    registry = house.admin.registry()
    stored = registry.save_work_item(an_item(house.ours, f"{kind} {who}.tar"))
    changed = msgspec.structs.replace(stored, **changes)
    status, said = getattr(house, who).ask("PUT", f"items/update/{stored.id}", changed)
    assert status in ((400,) if who == "admin" else (400, 403)), said
    assert registry.work_item(stored.id) == stored
    registry.close()


@EVERYBODY
def test_an_item_refers_to_its_own_institutions_things(house: House, who: str) -> None:
    for name, value in (
        ("intellectual_object_id", house.their_object.id), ("intellectual_object_id", 10**6),
        ("generic_file_id", house.their_file.id),
    ):  # fmt: skip
        item = an_item(house.ours, **{name: value})
        assert name in refused(house, who, "POST", f"items/create/{house.ours.id}", item)
    registry = house.admin.registry()
    stored = registry.save_work_item(an_item(house.ours, f"refers {who}.tar"))
    changed = msgspec.structs.replace(stored, intellectual_object_id=house.their_object.id)
    refused(house, who, "PUT", f"items/update/{stored.id}", changed)
    registry.close()


@pytest.mark.parametrize("name", ["readme.txt", ".tar", "tar"])
def test_a_workers_item_is_of_a_tar(house: House, name: str) -> None:
    item = an_item(house.ours, name)
    path = f"items/create/{house.ours.id}"
    assert "ends in .tar" in refused(house, "worker", "POST", path, item)


def test_an_item_of_an_earlier_bucket_can_be_finished(house: House) -> None:
    registry = house.admin.registry()
    one = registry.save_institution(
        Institution(identifier="moves.edu", name="m", receiving_bucket="receiving.moves")
    )
    item = registry.save_work_item(an_item(one, "moved.tar"))
    one.receiving_bucket = "receiving.moves.new"
    registry.save_institution(one)
    item.status = STATUS_STARTED
    worker = house.worker.registry()
    assert worker.save_work_item(item).status == STATUS_STARTED
    # A deletion or restoration made from it later has the old bucket, too.
    later = an_item(one, "moved.tar", action="Restore Object", bucket="receiving.moves")
    assert registry.save_work_item(later).id
    worker.close()
    registry.close()


Wrong = Callable[[House], tuple[str, str, Any]]
WRONG_WRITES: dict[str, Wrong] = {
    "an object under another's name": lambda h: (
        "POST", f"objects/create/{h.ours.id}",
        IntellectualObject(identifier="other.edu/x", institution_id=h.ours.id, title="t")),
    "an object inside an object": lambda h: (
        "POST", f"objects/create/{h.ours.id}",
        IntellectualObject(identifier="test.edu/a/b", institution_id=h.ours.id, title="t")),
    "a file under another's name": lambda h: (
        "POST", f"files/create/{h.ours.id}",
        msgspec.structs.replace(a_file(h.object, "data/x", 300), identifier="other.edu/bag/x")),
    "a file of another's object": lambda h: (
        "POST", f"files/create_batch/{h.ours.id}",
        [msgspec.structs.replace(a_file(h.their_object, "data/x", 301), institution_id=h.ours.id)]),
    "a copy that is nowhere": lambda h: (
        "POST", f"files/create/{h.ours.id}",
        msgspec.structs.replace(a_file(h.object, "data/y", 302),
                                storage_records=[RegistryStorageRecord(url="file:///etc/passwd")])),
    "a checksum of another's file": lambda h: (
        "POST", f"checksums/create/{h.ours.id}",
        Checksum(algorithm="md5", digest="a" * 32, generic_file_id=h.their_file.id)),
    "a copy of another's file": lambda h: (
        "POST", f"storage_records/create/{h.ours.id}",
        RegistryStorageRecord(generic_file_id=h.their_file.id, url=COPY.format(UUID.format(1)))),
    "an event of another's file": lambda h: (
        "POST", "events/create", an_event(h.their_file, 303, institution_id=h.ours.id)),
    "an event of a file and an object that is not its own": lambda h: (
        "POST", "events/create", an_event(h.file, 304, intellectual_object_id=10**6)),
    "a problem of no severity": lambda h: (
        "PUT", "items/problems/1",
        [Problem(code="BAG001", severity="bad", subject="", message="m")]),
    "a problem without an end": lambda h: (
        "PUT", "items/problems/1",
        [Problem(code="BAG001", severity=ERROR, subject="", message="m" * 20_000)]),
}  # fmt: skip


@EVERYBODY
@pytest.mark.parametrize("kind", WRONG_WRITES)
def test_nothing_is_marked_as_anothers(house: House, who: str, kind: str) -> None:
    registry = house.admin.registry()
    if registry.work_item(1) is None:
        registry.save_work_item(an_item(house.ours))
    registry.close()
    refused(house, who, *WRONG_WRITES[kind](house))


def test_two_institutions_do_not_share_a_bucket(house: House) -> None:
    taken = Institution(identifier="new.edu", name="n", receiving_bucket="receiving.test.edu")
    status, said = house.admin.ask("POST", "institutions/create", taken)
    assert status == 409
    assert "test.edu's" in said["Error"]
    bad = {"identifier": "a/b", "name": "n", "receiving_bucket": "/"}
    assert house.admin.ask("POST", "institutions/create", bad)[0] == 400


# -- users and keys
def test_the_command_makes_workers(house: House) -> None:
    folder = house.admin.server.folder
    key = run("user", "add", "w2@test.edu", "--role", "worker", data_dir=folder).strip()
    someone = Someone(house.admin.server, "w2@test.edu", key)
    assert someone.ask("GET", "items")[0] == 200
    assert (
        someone.ask("POST", "institutions/create", {"identifier": "n.edu", "name": "n"})[0] == 403
    )
    registry = someone.registry()
    with pytest.raises(Refused, match="Workers may not"):
        registry.save_institution(Institution(identifier="n.edu", name="n"))
    registry.close()
