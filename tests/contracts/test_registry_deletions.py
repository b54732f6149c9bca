"""What a deleter and the Registry's book agree on: in either database, and over the API."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs

from bagline.model.deletion import DeletionPolicy, DeletionRequest, NewDeletion
from bagline.model.registry import Institution, IntellectualObject, RegistryStorageRecord
from bagline.model.times import later, now, to_datetime
from bagline.model.workitem import OUTCOME_CHANGING, STATUS_STARTED, WorkItem
from bagline.services.registry.base import Conflict, Registry
from bagline.services.registry.database import Database, sqlite_url
from bagline.services.registry.deletion_book import Deletions
from bagline.services.registry.deletion_requests import DeletionRequests
from bagline.services.registry.deletion_rows import SqlDeletions
from bagline.services.registry.http.over_http import HttpRegistry
from bagline.services.registry.http.speaking import RegistryClient
from bagline.services.registry.sql import SqlRegistry
from bagline.services.registry.users import INST_ADMIN, ApiUser, ApiUsers
from support.postgres import Postgres
from support.registry import WORKERS, RegistryServer
from support.registry_records import a_file, an_item, save_institution

ANN, BOB = "ann@test.edu", "bob@test.edu"
_numbers = itertools.count(1)


@dataclass
class House:
    """A Registry as a worker sees it, and its people."""

    registry: Registry
    database: Database
    institution: Institution
    policy: DeletionPolicy = DeletionPolicy()  # noqa: RUF009 (never changed)

    @property
    def book(self) -> Deletions:
        found = self.registry.deletions
        assert found is not None
        return found

    @property
    def requests(self) -> DeletionRequests:
        return DeletionRequests(self.database, self.policy)

    def user(self, email: str) -> ApiUser:
        return next(user for user in ApiUsers(self.database).all() if user.email == email)

    def object(self, files: int = 3) -> IntellectualObject:
        name = f"bag{next(_numbers)}"
        kept = self.registry.save_intellectual_object(
            IntellectualObject(
                identifier=f"test.edu/{name}",
                bag_name=name,
                institution_id=self.institution.id,
                title="A bag",
                etag="e" * 32,
            )
        )
        made = []
        for number in range(files):
            file = a_file(kept, f"data/{number}")
            file.uuid = f"55555555-0000-5000-8000-{next(_numbers):012d}"
            file.premis_events = []
            urls = [f"https://{place}.example/{place}/{file.uuid}" for place in ("va", "or")]
            file.storage_records = [RegistryStorageRecord(url=url) for url in urls]
            made.append(file)
        self.registry.create_files(made)
        return kept

    def ask(self, kept: IntellectualObject) -> DeletionRequest:
        wanted = NewDeletion(reason="Withdrawn", objects=[kept.identifier])
        return self.requests.ask(self.user(ANN), wanted)

    def agreed(self, kept: IntellectualObject) -> WorkItem:
        """The item, begun by a worker."""
        request, bob = self.ask(kept), self.user(BOB)
        token = self.requests.review(bob, request.id).token
        (item,) = self.requests.approve(bob, request.id, token)[1]
        item.status = STATUS_STARTED
        return self.registry.save_work_item(item)


@pytest.fixture(scope="module", params=["sqlite", "postgres", "http-postgres"])
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("house")
    url = sqlite_url(folder / "registry.db")
    if "postgres" in request.param:
        server: Postgres = request.getfixturevalue("postgres")
        url = server.create(f"deletions_{next(_numbers)}")
    database = Database(url)
    database.migrate()
    serving = None
    registry: Registry = SqlRegistry(database)
    if "http" in request.param:
        serving = RegistryServer(folder / "data", url)
        key = serving.add_user(WORKERS, "worker")
        serving.start()
        registry = HttpRegistry(RegistryClient(serving.url, user=WORKERS, key=key))
    institution = save_institution(SqlRegistry(database))
    for email in (ANN, BOB):
        ApiUsers(database).add(email, INST_ADMIN, institution.id)
    yield House(
        registry if serving is None else _Written(registry, database), database, institution
    )
    if serving is not None:
        serving.stop()
    database.close()


class _Written(SqlRegistry):
    """A worker's Registry over the API; what only administrators write there goes beside it."""

    def __init__(self, over_http: Registry, database: Database) -> None:
        super().__init__(database)
        self._over_http = over_http

    def begun_deletion(self, institution_id: int, name: str) -> WorkItem | None:
        return self._over_http.begun_deletion(institution_id, name)

    @property
    def deletions(self) -> Deletions:  # type: ignore[override]
        found = self._over_http.deletions
        assert found is not None
        return found


def test_it_is_begun_goes_file_by_file_and_is_concluded(house: House) -> None:
    kept = house.object()
    item, book = house.agreed(kept), house.book
    assert not book.against(item.id)
    assert not book.condemn(item.id)
    assert not book.condemn(item.id)
    assert house.registry.work_item(item.id).outcome == OUTCOME_CHANGING  # type: ignore[union-attr]
    doomed = book.doomed(item.id)
    assert [file.identifier for file in doomed] == [f"{kept.identifier}/data/{n}" for n in range(3)]
    assert all(len(file.urls) == 2 and file.digests for file in doomed)
    first = doomed[0].generic_file_id
    for _ in range(2):
        book.are_gone(item.id, [first])
    assert [file.generic_file_id for file in book.doomed(item.id)] == [
        file.generic_file_id for file in doomed[1:]
    ]
    with pytest.raises(Conflict):
        book.conclude(item.id)
    assert book.certificate(item.id) is None
    book.are_gone(item.id, [file.generic_file_id for file in doomed])
    made = book.conclude(item.id)
    assert book.conclude(item.id) == made
    assert book.certificate(item.id) == made
    assert (made.requested_by, made.approved_by, made.reason) == (ANN, BOB, "Withdrawn")
    assert (made.files, made.copies, made.object_identifier) == (3, 6, kept.identifier)
    (told,) = book.deleted(item.id)
    assert [file.urls for file in told] == [file.urls for file in doomed]
    files = house.registry.files([file.identifier for file in doomed])
    for file in files.values():
        assert (file.state, file.storage_records) == ("D", [])
        assert file.checksums
        (event,) = file.premis_events
        assert (event.event_type, event.outcome_detail) == ("deletion", ANN)
    found = house.registry.intellectual_object(kept.identifier)
    assert found is not None
    assert found.state == "D"
    assert [e.event_type for e in house.registry.events(object_id=kept.id)] == ["deletion"]


def test_what_is_open_keeps_it_waiting(house: House) -> None:
    kept = house.object()
    item = house.agreed(kept)
    ingest = house.registry.save_work_item(
        an_item(house.institution, f"{kept.bag_name}.tar", stage="Receive")
    )
    assert str(ingest.id) in house.book.condemn(item.id).busy[0]
    assert house.book.doomed(item.id) == []
    ingest.status = "Failed"
    house.registry.save_work_item(ingest)
    assert not house.book.condemn(item.id)


def test_the_one_that_has_begun_is_found_among_many(house: House) -> None:
    """However many others of the bag are open, and newer."""
    kept = house.object(files=30)
    files = [f.id for batch in house.registry.iter_object_files(kept.id) for f in batch]
    wanted = NewDeletion(reason="Withdrawn", files=list(files))
    request, bob = house.requests.ask(house.user(ANN), wanted), house.user(BOB)
    token = house.requests.review(bob, request.id).token
    items = house.requests.approve(bob, request.id, token)[1]
    assert len(items) == 30
    first = min(items, key=lambda item: item.id)
    name = f"{kept.bag_name}.tar"
    assert house.registry.begun_deletion(house.institution.id, name) is None
    first.status = STATUS_STARTED
    house.registry.save_work_item(first)
    assert not house.book.condemn(first.id)
    house.registry.save_work_item(structs.replace(first, status="Pending", outcome=""))
    for registry in (house.registry, SqlRegistry(house.database)):
        begun = registry.begun_deletion(house.institution.id, name)
        changing = registry.changing_item(house.institution.id, name)
        assert begun is not None
        assert changing is not None
        assert (begun.id, changing.id, begun.outcome) == (first.id, first.id, OUTCOME_CHANGING)
    (doomed,) = house.book.doomed(first.id)
    house.book.are_gone(first.id, [doomed.generic_file_id])
    house.book.conclude(first.id)
    assert house.registry.begun_deletion(house.institution.id, name) is None


def test_a_copy_that_is_being_repaired_keeps_it_waiting(house: House) -> None:
    kept = house.object()
    item = house.agreed(kept)
    copies = SqlRegistry(house.database).copies
    (file,) = house.registry.files([f"{kept.identifier}/data/1"]).values()
    copy = copies.of_file(file.id)[0]
    until = later(now(), timedelta(hours=1))
    assert copies.hold_for_repair(copy, "a", now=now(), until=until)
    assert "being repaired" in house.book.condemn(item.id).busy[0]
    copies.free_from_repair(copy, "a")
    assert not house.book.condemn(item.id)


def test_recalled_or_refused_it_does_not_begin(house: House) -> None:
    kept = house.object()
    item = house.agreed(kept)
    house.requests.cancel(house.user(ANN), item.deletion_request_id, "A slip")
    found = house.book.condemn(item.id)
    assert found.withdrawn or found.held  # it is cancelled, too
    assert house.book.doomed(item.id) == []


def test_a_newer_version_withdraws_consent(house: House) -> None:
    kept = house.object()
    item = house.agreed(kept)
    house.registry.save_work_item(
        an_item(house.institution, f"{kept.bag_name}.tar", stage="Cleanup", status="Success")
    )
    assert "newer version" in house.book.condemn(item.id).withdrawn[0]


def test_what_is_too_young_is_held(house: House) -> None:
    kept = house.object()
    item = house.agreed(kept)
    policy = DeletionPolicy(retention_days=(("Standard", 30),))
    found = SqlDeletions(house.database, policy=policy).condemn(item.id)
    assert "30 days" in found.held[0]
    with pytest.raises(Conflict, match="30 days"):
        DeletionRequests(house.database, policy).ask(
            house.user(ANN), NewDeletion(reason="Now", objects=[house.object().identifier])
        )


def test_an_ingest_and_a_deletion_do_not_begin_at_once(house: House) -> None:
    """Whichever is first: the deletion waits for an ingest that was there, and an ingest that comes
    later finds it."""
    for _ in range(12):
        kept = house.object(files=40)
        item = house.agreed(kept)
        new = an_item(house.institution, f"{kept.bag_name}.tar", stage="Receive")
        with ThreadPoolExecutor(2) as pool:
            begun = pool.submit(house.book.condemn, item.id)
            opened = pool.submit(SqlRegistry(house.database).open_work_item, new)
            found, ingest = begun.result(60), opened.result(60)
        if found:
            assert str(ingest.id) in found.busy[0]
        else:
            (row,) = house.book.doomed(item.id, limit=1)
            assert row.deleted_at.startswith("0001")
            changing = house.registry.changing_item(house.institution.id, kept.bag_name)
            assert changing is not None
            begun_item = house.registry.work_item(item.id)
            assert begun_item is not None
            assert to_datetime(begun_item.updated_at) <= to_datetime(ingest.created_at)
