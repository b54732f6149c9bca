"""Of a bag one change is open at a time, whoever asks, however many at once."""

from __future__ import annotations

import re
import threading

import pytest
from msgspec import structs

from bagline.model.registry import Institution
from bagline.model.times import Timestamp
from bagline.model.workitem import (
    ACTION_DELETE,
    ACTION_INGEST,
    ACTION_RESTORE_FILE,
    ACTION_RESTORE_OBJECT,
    ACTION_THAW,
    OUTCOME_CHANGING,
    STAGE_REQUESTED,
    WorkItem,
)
from bagline.services.registry.base import Conflict, Registry
from support.registry_records import an_item, save_institution

OPEN = ("Pending", "Started", "Suspended")
ENDED = ("Success", "Failed", "Cancelled")


def a_request(
    institution: Institution, action: str, name: str = "b.tar", file: int = 0
) -> WorkItem:
    about = f"test.edu/b/data/{file}" if file else ""
    return an_item(
        institution, name, action=action, stage=STAGE_REQUESTED, generic_file_identifier=about
    )


def an_ingest(institution: Institution, stage: str, status: str, **other: object) -> WorkItem:
    return an_item(institution, stage=stage, status=status, **other)


@pytest.mark.parametrize("action", [ACTION_RESTORE_OBJECT, ACTION_THAW, ACTION_DELETE])
def test_while_one_is_open_another_is_refused_and_told_which(
    registry: Registry, institution: Institution, action: str
) -> None:
    first = registry.open_change(a_request(institution, ACTION_RESTORE_OBJECT))
    for status in OPEN:
        registry.save_work_item(structs.replace(first, status=status))
        with pytest.raises(Conflict, match=rf"\b{first.id} \(Restore Object, {status}"):
            registry.open_change(a_request(institution, action))
    for status in ENDED:
        registry.save_work_item(structs.replace(first, status=status))
        first = registry.open_change(a_request(institution, ACTION_RESTORE_OBJECT))


def test_a_bag_is_the_same_with_and_without_tar_and_in_parts(
    registry: Registry, institution: Institution
) -> None:
    registry.open_change(a_request(institution, ACTION_DELETE, "b"))
    for name in ("b", "b.tar", "b.b01.of02.tar"):
        with pytest.raises(Conflict):
            registry.open_change(a_request(institution, ACTION_RESTORE_OBJECT, name))
    for name in ("B.tar", "b.txt.tar", "bb.tar", "b.b.tar", "b_.tar"):
        registry.open_change(a_request(institution, ACTION_RESTORE_OBJECT, name))


def test_another_institutions_bag_of_that_name_is_another(
    registry: Registry, institution: Institution
) -> None:
    other = registry.save_institution(
        Institution(identifier="other.edu", name="Other", receiving_bucket="receiving.other.edu")
    )
    registry.open_change(a_request(institution, ACTION_DELETE))
    theirs = a_request(other, ACTION_DELETE)
    registry.open_change(structs.replace(theirs, bucket="receiving.other.edu"))


def test_files_of_one_object_are_restored_side_by_side(
    registry: Registry, institution: Institution
) -> None:
    registry.open_change(a_request(institution, ACTION_RESTORE_OBJECT))
    registry.open_change(a_request(institution, ACTION_RESTORE_FILE, file=1))
    registry.open_change(a_request(institution, ACTION_RESTORE_FILE, file=2))
    with pytest.raises(Conflict, match="this file"):
        registry.open_change(a_request(institution, ACTION_RESTORE_FILE, file=2))
    with pytest.raises(Conflict):
        registry.open_change(a_request(institution, ACTION_DELETE))
    with pytest.raises(Conflict):
        registry.open_change(a_request(institution, ACTION_DELETE, file=1))
    with pytest.raises(Conflict):  # of the object's restoration
        registry.open_change(a_request(institution, ACTION_DELETE, file=3))


def test_an_ingest_stands_against_a_restoration_only_while_it_overwrites(
    registry: Registry, institution: Institution
) -> None:
    ingest = registry.save_work_item(an_ingest(institution, "Receive", "Started"))
    for stage in ("Receive", "Copy To Staging", "Cleanup"):
        registry.save_work_item(structs.replace(ingest, stage=stage))
        done = registry.open_change(a_request(institution, ACTION_RESTORE_FILE, file=1))
        registry.save_work_item(structs.replace(done, status="Success"))
        with pytest.raises(Conflict):
            registry.open_change(a_request(institution, ACTION_DELETE))
    for stage in ("Store", "Storage Validation", "Record"):
        registry.save_work_item(structs.replace(ingest, stage=stage))
        for action, file in ((ACTION_RESTORE_OBJECT, 0), (ACTION_RESTORE_FILE, 1)):
            with pytest.raises(Conflict, match=f"at {stage}"):
                registry.open_change(a_request(institution, action, file=file))


def test_a_new_ingest_is_refused_only_while_the_object_is_deleted(
    registry: Registry, institution: Institution
) -> None:
    registry.open_change(an_item(institution))
    registry.open_change(a_request(institution, ACTION_RESTORE_OBJECT, "c.tar"))
    registry.open_change(an_item(institution, "c.tar"))
    registry.open_change(a_request(institution, ACTION_DELETE, "d.tar", file=1))
    with pytest.raises(Conflict):
        registry.open_change(an_item(institution, "d.tar"))


def test_what_follows_an_open_one_takes_its_place(
    registry: Registry, institution: Institution
) -> None:
    thaw = registry.open_change(a_request(institution, ACTION_THAW))
    restore = a_request(institution, ACTION_RESTORE_OBJECT)
    made = registry.open_change(restore, follows=thaw.id)
    with pytest.raises(Conflict, match=rf"\b{made.id} "):
        registry.open_change(restore, follows=thaw.id)


def test_of_many_who_ask_at_once_one_is_let_in(
    registry: Registry, institution: Institution
) -> None:
    made: list[int] = []
    refused: list[str] = []
    start = threading.Barrier(8)

    def ask(number: int) -> None:
        action = (ACTION_RESTORE_OBJECT, ACTION_DELETE)[number % 2]
        name = ("rush", "rush.tar")[number // 2 % 2]
        start.wait()
        try:
            made.append(registry.open_change(a_request(institution, action, name)).id)
        except Conflict as fault:
            refused.append(str(fault))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(made) == 1
    assert len(refused) == 7
    assert all(re.search(rf"Work item {made[0]} ", sentence) for sentence in refused)
    assert len(registry.items_of_bag(institution.id, "rush")) == 1


def test_an_object_is_left_to_the_ingest_that_overwrites_it(
    registry: Registry, institution: Institution
) -> None:
    def changing() -> int:
        found = registry.changing_item(institution.id, "b")
        return found.id if found else 0

    def at(second: int, stage: str, status: str, **other: object) -> int:
        moment = Timestamp(f"2026-01-02T00:00:{second:02d}Z")
        saved = an_ingest(institution, stage, status, date_processed=moment, **other)
        return registry.save_work_item(saved).id

    assert changing() == 0
    at(1, "Cleanup", "Success")
    assert changing() == 0
    stuck = at(2, "Store", "Suspended")
    assert changing() == stuck
    at(3, "Receive", "Pending")  # waits for the one before
    at(4, "Validate", "Failed")
    assert changing() == stuck
    late = registry.work_item(stuck)
    assert late is not None
    registry.save_work_item(structs.replace(late, status="Failed"))
    assert changing() == stuck  # nothing mended what it left
    at(5, "Cleanup", "Started")
    assert changing() == 0
    registry.save_work_item(structs.replace(late, status="Pending"))
    assert changing() == stuck  # put back on the line


def test_an_ingest_that_began_anew_after_it_overwrote_still_changes(
    registry: Registry, institution: Institution
) -> None:
    item = an_ingest(institution, "Receive", "Pending", outcome=OUTCOME_CHANGING)
    saved = registry.save_work_item(item)
    found = registry.changing_item(institution.id, "b.tar")
    assert found is not None
    assert found.id == saved.id
    registry.save_work_item(structs.replace(saved, stage="Cleanup"))
    assert registry.changing_item(institution.id, "b.tar") is None


def test_items_of_a_bag_are_found_by_any_spelling_of_its_name(
    registry: Registry, institution: Institution
) -> None:
    ids = [
        registry.save_work_item(
            an_item(institution, name, date_processed=Timestamp(f"2026-01-02T00:00:0{place}Z"))
        ).id
        for place, name in enumerate(("b%_", "b%_.tar", "b%_.tar", "b.tar", "bxx.tar"))
    ]
    asked = structs.replace(a_request(institution, ACTION_DELETE, "b%_"))
    deleting = registry.save_work_item(asked)
    found = registry.items_of_bag(institution.id, "b%_.tar")
    assert [item.id for item in found] == [deleting.id, *reversed(ids[:3])]
    ingests = registry.items_of_bag(institution.id, "b%_", action=ACTION_INGEST)
    assert [item.id for item in ingests] == ids[2::-1]


def test_over_another_registry_the_same_is_asked_before(older: Registry) -> None:
    institution = save_institution(older)
    first = older.open_change(a_request(institution, ACTION_RESTORE_OBJECT, "b"))
    with pytest.raises(Conflict, match=rf"Work item {first.id} "):
        older.open_change(a_request(institution, ACTION_DELETE, "b.tar"))
    older.save_work_item(an_ingest(institution, "Store", "Started"))
    found = older.changing_item(institution.id, "b")
    assert found is not None
    assert found.stage == "Store"
