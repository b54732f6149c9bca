"""What every Registry promises, against real databases."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec import structs

from bagline.errors import Misconfigured
from bagline.model.registry import (
    Checksum,
    Institution,
    IntellectualObject,
    RegistryStorageRecord,
)
from bagline.model.times import NEVER, Timestamp
from bagline.model.workitem import (
    STATUS_CANCELLED,
    STATUS_PENDING,
    STATUS_STARTED,
    STATUS_SUSPENDED,
    WorkItem,
)
from bagline.problems import ERROR, Problem
from bagline.services.registry.base import Registry, WorkItemFilter
from bagline.services.registry.database import HEAD, Database, sqlite_url
from bagline.services.registry.migrating import downgrade_to, newest
from bagline.services.registry.sql import SqlRegistry
from support.registry_records import (
    MOMENT,
    a_file,
    an_event,
    an_item,
    save_institution,
    save_object,
)


def test_an_institution_is_found_by_id_and_by_identifier(
    registry: Registry, institution: Institution
) -> None:
    assert registry.institution(institution.id) == institution
    assert registry.institution("test.edu") == institution
    assert registry.institution("other.edu") is None
    assert [i.identifier for i in registry.institutions()] == ["test.edu"]


def test_a_work_item_comes_back_as_it_was_saved(
    registry: Registry, institution: Institution
) -> None:
    saved = registry.save_work_item(an_item(institution))
    assert saved.id > 0
    assert saved.bag_date == MOMENT
    assert saved.queued_at == NEVER
    saved.note = "Ünïcode 🗃 & <b>"
    registry.save_work_item(saved)
    again = registry.work_item(saved.id)
    assert again is not None
    assert again.note == "Ünïcode 🗃 & <b>"
    assert again.created_at == saved.created_at
    assert registry.work_item(saved.id + 1) is None


def test_a_cancelled_work_item_is_not_overwritten(
    registry: Registry, institution: Institution
) -> None:
    item = registry.save_work_item(an_item(institution))
    item.status = STATUS_CANCELLED
    registry.save_work_item(item)
    item.status = STATUS_STARTED
    stored = registry.save_work_item(item, unless_status=[STATUS_CANCELLED])
    assert stored.status == STATUS_CANCELLED
    assert registry.work_item(item.id) == stored


def test_a_row_that_changed_since_it_was_read_is_not_replaced(
    registry: Registry, institution: Institution
) -> None:
    read = registry.save_work_item(an_item(institution))
    moved = registry.save_work_item(structs.replace(read, stage="Store"))
    read.status = STATUS_CANCELLED
    stored = registry.save_work_item(read, unless_changed=True)
    assert (stored.status, stored.stage) == (STATUS_PENDING, "Store")
    moved.status = STATUS_CANCELLED
    assert registry.save_work_item(moved, unless_changed=True).status == STATUS_CANCELLED


def test_an_item_is_read_with_those_of_its_bag_and_begun_in_one_step(
    registry: Registry, institution: Institution
) -> None:
    item = registry.save_work_item(an_item(institution))
    other = registry.save_work_item(
        structs.replace(an_item(institution), etag="f" * 32, status=STATUS_SUSPENDED)
    )
    registry.save_work_item(structs.replace(an_item(institution), status=STATUS_CANCELLED))
    registry.save_work_item(an_item(institution, "other.tar"))
    seen: list[tuple[int, list[int]]] = []

    def look(found: WorkItem, others: Sequence[WorkItem]) -> bool:
        seen.append((found.id, [each.id for each in others]))
        found.node = "here"
        return False

    def begin(found: WorkItem, others: Sequence[WorkItem]) -> bool:
        look(found, others)
        found.status = STATUS_STARTED
        return True

    looked = registry.begin_work_item(item.id, look)
    assert looked is not None
    assert not looked.is_saved
    assert registry.work_item(item.id) == item
    begun = registry.begin_work_item(item.id, begin)
    assert begun is not None
    assert begun.is_saved
    assert (begun.item.status, begun.item.node) == (STATUS_STARTED, "here")
    assert registry.work_item(item.id) == begun.item
    assert seen == [(item.id, [other.id])] * 2
    assert registry.begin_work_item(10**6, begin) is None


def test_problems_are_saved_with_the_item(registry: Registry, institution: Institution) -> None:
    item = registry.save_work_item(an_item(institution))
    problem = Problem(code="BAG001", severity=ERROR, subject="", message="m")
    registry.save_work_item(item, problems=[problem])
    assert registry.problems(item.id) == [problem]
    registry.save_work_item(item)
    assert registry.problems(item.id) == [problem]
    registry.save_work_item(item, problems=[])
    assert registry.problems(item.id) == []


def test_of_a_bucket_and_name_one_item_is_opened(
    registry: Registry, institution: Institution
) -> None:
    first = registry.open_work_item(an_item(institution))
    assert registry.open_work_item(an_item(institution, etag="f" * 32)).id == first.id
    assert registry.open_work_item(an_item(institution, "other.tar")).id != first.id
    for status in ("Failed", "Cancelled", "Success"):
        registry.save_work_item(structs.replace(first, status=status))
        another = registry.open_work_item(an_item(institution))
        assert another.id != first.id
        first = another


def test_many_who_open_at_once_open_one(registry: Registry, institution: Institution) -> None:
    made: list[int] = []
    start = threading.Barrier(6)

    def open_one() -> None:
        start.wait()
        made.append(registry.open_work_item(an_item(institution, "rush.tar")).id)

    threads = [threading.Thread(target=open_one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(made) == 6
    assert len(set(made)) == 1


def test_how_a_copy_was_proven_is_kept_and_made_new(
    registry: Registry, kept: IntellectualObject
) -> None:
    file = a_file(kept, "data/proven.txt")
    first = RegistryStorageRecord(url="https://x/a/1", proven_by="read back", proven_at=MOMENT)
    file.storage_records = [first, RegistryStorageRecord(url="https://x/b/1")]
    registry.create_files([file])
    found = registry.files([file.identifier])[file.identifier]
    assert [(c.proven_by, c.proven_at) for c in found.storage_records] == [
        ("read back", MOMENT),
        ("", NEVER),
    ]
    found.storage_records[1].proven_by = "the store's word: SHA-256"
    found.storage_records[1].proven_at = MOMENT
    found.storage_records[0].proven_by = ""  # nothing is newly known of it
    registry.update_file(found)
    after = registry.files([file.identifier])[file.identifier]
    assert [c.proven_by for c in after.storage_records] == [
        "read back",
        "the store's word: SHA-256",
    ]


def test_work_items_are_filtered_newest_first(registry: Registry, institution: Institution) -> None:
    for second in range(3):
        registry.save_work_item(
            an_item(
                institution,
                "b.tar" if second else "other.tar",
                date_processed=Timestamp(f"2026-01-01T00:00:0{second}Z"),
                retry=second != 2,
                queued_at=MOMENT if second == 1 else NEVER,
            )
        )
    found = registry.work_items(WorkItemFilter(name="b.tar", statuses=[STATUS_PENDING]))
    assert [item.date_processed for item in found] == [
        "2026-01-01T00:00:02Z",
        "2026-01-01T00:00:01Z",
    ]
    assert len(registry.work_items(WorkItemFilter(retry=True))) == 2
    for is_queued, moments in ((True, [MOMENT]), (False, [NEVER, NEVER])):
        found = registry.work_items(WorkItemFilter(is_queued=is_queued))
        assert [item.queued_at for item in found] == moments
    assert len(registry.work_items(WorkItemFilter(), limit=1)) == 1


def test_an_object_saved_twice_is_one_object_and_counts_its_files(
    registry: Registry, kept: IntellectualObject
) -> None:
    registry.create_files([a_file(kept, "data/a", size=7), a_file(kept, "bag-info.txt", size=2)])
    again = registry.save_intellectual_object(
        IntellectualObject(
            identifier=kept.identifier, institution_id=kept.institution_id, title="New"
        )
    )
    assert again.id == kept.id
    assert (again.file_count, again.size) == (2, 9)
    assert (again.payload_file_count, again.payload_size) == (1, 7)
    assert again.institution_identifier == "test.edu"
    assert again.title == "New"


def test_created_files_come_back_whole_and_may_be_sent_again(
    registry: Registry, kept: IntellectualObject
) -> None:
    first = registry.create_files([a_file(kept, "data/a"), a_file(kept, "data/b")])
    again = registry.create_files(
        [a_file(kept, "data/a"), a_file(kept, "data/b"), a_file(kept, "data/c")]
    )
    assert [f.id for f in again[:2]] == [f.id for f in first]
    stored = registry.files([f.identifier for f in again])
    assert len(stored) == 3
    for file in stored.values():
        assert len(file.checksums) == len(file.storage_records) == len(file.premis_events) == 1
        assert file.premis_events[0].intellectual_object_id == kept.id
    assert registry.files(["test.edu/bag/nowhere"]) == {}


def test_updating_a_file_adds_only_what_is_new(
    registry: Registry, kept: IntellectualObject
) -> None:
    (file,) = registry.create_files([a_file(kept, "data/a")])
    file.size = 11
    file.checksums.append(
        Checksum(algorithm="md5", digest="e" * 32, datetime=Timestamp("2026-02-01T00:00:00Z"))
    )
    file.storage_records.append(RegistryStorageRecord(url="https://s3.example/second"))
    for _ in range(2):
        updated = registry.update_file(file)
    assert updated.size == 11
    assert [c.digest[0] for c in updated.checksums] == ["e", "d"]
    assert updated.newest_digest("md5") == "e" * 32
    assert len(updated.storage_records) == 2
    assert len(updated.premis_events) == 1


def test_an_event_is_kept_once_by_its_uuid(registry: Registry, kept: IntellectualObject) -> None:
    event = an_event(
        1, "creation", institution_id=kept.institution_id, intellectual_object_id=kept.id
    )
    second = an_event(
        2, "ingestion", institution_id=kept.institution_id, intellectual_object_id=kept.id
    )
    (first,) = registry.create_events([event])
    event.outcome_detail = "changed"
    assert registry.create_events([second, event])[1] == first
    registry.create_files([a_file(kept, "data/a")])
    assert [e.identifier for e in registry.events(object_id=kept.id)] == [
        event.identifier,
        second.identifier,
    ]


def test_every_file_of_an_object_is_walked_once(
    registry: Registry, kept: IntellectualObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bagline.services.registry.sql.FILES_PER_CALL", 3)
    monkeypatch.setattr("bagline.services.registry.http.speaking.PER_PAGE", 3)
    for path in "abcdefg":
        registry.create_files([a_file(kept, f"data/{path}")])
    seen = [f.identifier[-1] for batch in registry.iter_object_files(kept.id) for f in batch]
    assert seen == list("abcdefg")


def test_problems_and_report_replace_what_was_there(
    registry: Registry, institution: Institution
) -> None:
    item = registry.save_work_item(an_item(institution))
    problems = [
        Problem(code="BAG999", severity=ERROR, subject=f"data/{n}", message="wrong") for n in (2, 1)
    ]
    registry.save_problems(item.id, problems[:1])
    registry.save_problems(item.id, problems)
    assert registry.problems(item.id) == problems
    registry.save_report(item.id, {"files": 1})
    registry.save_report(item.id, {"files": 2, "formats": {"text/plain": 2}})
    assert registry.report(item.id) == {"files": 2, "formats": {"text/plain": 2}}
    assert registry.report(item.id + 1) is None


def test_writers_side_by_side_never_find_the_database_locked(
    registry: Registry, institution: Institution
) -> None:
    faults: list[Exception] = []

    def write() -> None:
        try:
            for number in range(20):
                registry.save_work_item(an_item(institution, f"{number}"))
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(registry.work_items(WorkItemFilter())) == 120


def test_the_schema_that_the_code_works_with_is_the_newest() -> None:
    assert newest() == HEAD


def test_a_schema_from_the_future_is_left_alone(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "r.db"))
    database.migrate()
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Misconfigured, match="9999"):
        database.migrate()
    database.close()


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "r.db"))
    database.migrate()
    schema = database.schema()
    database.migrate()
    assert schema
    assert database.schema() == schema
    database.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_schema_can_go_back_to_the_last_release_and_forward_again(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = sqlite_url(tmp_path / "r.db")
    if kind == "postgres":
        url = request.getfixturevalue("postgres").create("back", language="en")
    database = Database(url)
    database.migrate()
    registry = SqlRegistry(database)
    kept = save_object(registry, save_institution(registry))
    registry.create_files([a_file(kept, "data/B"), a_file(kept, "data/a")])
    with database.writing() as connection:
        downgrade_to(connection, "0004")
    assert database.schema() == "0004"
    database.migrate()
    (files,) = registry.files_in_order(kept.id)
    assert [file.path_in(kept) for file in files] == ["data/B", "data/a"]
    database.close()
