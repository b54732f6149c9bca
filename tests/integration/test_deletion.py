"""What two people agreed on is deleted, whole; a certificate says so, and the rest stays."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from bagline.embedded import EngineAddresses
from bagline.model.deletion import DeletionPolicy
from bagline.model.workitem import OUTCOME_CHANGING, WorkItem
from bagline.services.registry.base import Conflict
from bagline.services.registry.deletion_book import Deletions
from bagline.wiring import LINES
from bagline.worker.reconciler import Reconciler
from support.bags import BagBuilder
from support.deleting import APPROVER, ASKER, REASON, Consent
from support.line import LineUnderTest, is_kept, line_under_test

OBJECT = "test.edu/bag"
WAIT_SECONDS = 3.0


def a_bag(name: str = "bag") -> BagBuilder:
    return BagBuilder(name).payload("a.txt", b"one").payload("b.txt", b"two" * 1000)


@pytest.fixture
def line(engines: EngineAddresses, tmp_path: Path) -> Iterator[LineUnderTest]:
    with line_under_test(engines, tmp_path) as line:
        yield line


@pytest.fixture
def consent(line: LineUnderTest) -> Iterator[Consent]:
    consent = Consent(line)
    yield consent
    consent.close()


def ingest(line: LineUnderTest, bag: BagBuilder) -> WorkItem:
    (ended,) = line.run(line.deposit(f"{bag.name}.tar", bag.tar()))
    assert ended.status == "Success", ended.note
    return ended


def copies(line: LineUnderTest) -> list[str]:
    return [key for bucket in line.preservation_buckets() for key in line.keys(bucket)]


def book(line: LineUnderTest) -> Deletions:
    found = line.services.registry.deletions
    assert found is not None
    return found


def test_an_object_goes_with_all_its_copies_and_a_certificate_stays(
    line: LineUnderTest, consent: Consent
) -> None:
    bag = a_bag()
    ingest(line, bag)
    paths = [path for path in bag.files() if is_kept(path)]
    assert len(copies(line)) == 2 * len(paths)
    (item,) = consent.agreed(objects=[OBJECT])
    assert (item.user, item.inst_approver) == (ASKER, APPROVER)
    (ended,) = line.run(item)
    assert (ended.status, ended.stage) == ("Success", "Resolve"), ended.note
    assert ended.outcome == "Object deletion complete"
    assert ended.note == f"Deletion completed at the request of {ASKER}, approved by {APPROVER}."
    assert copies(line) == []
    registry = line.services.registry
    kept = registry.intellectual_object(OBJECT)
    assert kept is not None
    assert kept.state == "D"
    (event,) = [e for e in registry.events(object_id=kept.id) if e.event_type == "deletion"]
    assert event.outcome_detail == ASKER
    assert APPROVER in event.outcome_information
    files = registry.files([f"{OBJECT}/{path}" for path in paths])
    for file in files.values():
        assert file.state == "D"
        assert file.storage_records == []
        assert file.checksums
        assert [e.outcome for e in file.premis_events if e.event_type == "deletion"] == ["Success"]
    found = book(line).certificate(item.id)
    assert found is not None
    assert (found.requested_by, found.approved_by, found.reason) == (ASKER, APPROVER, REASON)
    assert (found.files, found.copies) == (len(paths), 2 * len(paths))
    told = {file.identifier: file for some in book(line).deleted(item.id) for file in some}
    assert set(told) == set(files)
    for name, file in told.items():
        assert file.digests["sha256"] == files[name].newest_digest("sha256")
    assert line.redis_keys() == []


def test_a_file_goes_and_its_object_stays(line: LineUnderTest, consent: Consent) -> None:
    ingest(line, a_bag())
    before = copies(line)
    (item,) = consent.agreed(files=[f"{OBJECT}/data/a.txt"])
    (ended,) = line.run(item)
    assert ended.outcome == "File deletion complete", ended.note
    assert len(copies(line)) == len(before) - 2
    kept = line.services.registry.intellectual_object(OBJECT)
    assert kept is not None
    assert kept.state == "A"
    found = line.services.registry.files([f"{OBJECT}/data/a.txt", f"{OBJECT}/data/b.txt"])
    assert {name: file.state for name, file in found.items()} == {
        f"{OBJECT}/data/a.txt": "D",
        f"{OBJECT}/data/b.txt": "A",
    }


def test_what_went_comes_back_by_a_new_ingest(line: LineUnderTest, consent: Consent) -> None:
    bag = a_bag()
    ingest(line, bag)
    paths = [f"{OBJECT}/{path}" for path in bag.files() if is_kept(path)]
    before = line.services.registry.files(paths)
    line.run(*consent.agreed(objects=[OBJECT]))
    ingest(line, bag)
    found = line.services.registry.files(paths)
    for name, file in found.items():
        assert file.id == before[name].id
        assert file.uuid != before[name].uuid  # whatever still deletes that one deletes nothing
    assert {file.state for file in found.values()} == {"A"}
    assert all(len(file.storage_records) == 2 for file in found.values())
    assert len(copies(line)) == 2 * len(paths)
    (again,) = line.run(*consent.agreed(objects=[OBJECT]))
    assert again.status == "Success", again.note
    assert copies(line) == []


def test_a_newer_version_takes_consent_away(line: LineUnderTest, consent: Consent) -> None:
    ingest(line, a_bag())
    items = consent.approve(consent.ask(objects=[OBJECT]))
    ingest(line, a_bag().payload("c.txt", b"three"))
    line.services.queue.publish("delete_item", items[0].id)
    (ended,) = line.run(*items)
    assert ended.status == "Cancelled"
    assert "newer version" in ended.note
    assert len(copies(line)) > 0
    assert line.redis_keys() == []


def test_one_that_has_begun_only_goes_forward(line: LineUnderTest, consent: Consent) -> None:
    ingest(line, a_bag())
    (item,) = consent.approve(consent.ask(objects=[OBJECT]))
    item.status = "Started"
    line.services.registry.save_work_item(item)
    assert not book(line).condemn(item.id)
    assert not book(line).condemn(item.id)
    begun = line.item(item.id)
    assert begun.outcome == OUTCOME_CHANGING
    assert len(book(line).doomed(item.id)) == len([p for p in a_bag().files() if is_kept(p)])
    refused = subprocess.run(
        [sys.executable, "-m", "bagline", "cancel", str(item.id), "--force"],
        env=os.environ | {"BAGLINE_DATA_DIR": str(line.settings.data_dir)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 5
    assert "only go forward" in refused.stderr
    assert line.item(item.id).status == "Started"
    with pytest.raises(Conflict, match="only go forward"):
        line.services.registry.save_work_item(structs.replace(begun, status="Cancelled"))
    line.services.queue.publish("delete_item", item.id)
    with line.working():
        ended = line.until(lambda: line.item(item.id).status == "Success", "its end", item=item.id)
    assert ended
    assert copies(line) == []


def test_what_waited_is_put_on_the_line_when_its_time_has_come(
    line: LineUnderTest, consent: Consent
) -> None:
    """By the reconciler: until then it is in no queue."""
    ingest(line, a_bag())
    consent.policy = DeletionPolicy(waiting_days=WAIT_SECONDS / 86_400)
    request = consent.ask(objects=[OBJECT])
    assert consent.approve(request) == []
    (number,) = consent.requests.find(request.id).work_items
    reconciler = Reconciler(LINES, line.services, line.settings)
    assert reconciler.look(min_age_seconds=0) == []
    assert "can be recalled until" in line.item(number).note
    line.until(lambda: reconciler.look(min_age_seconds=0) == [number], "it to be published")
    with line.working():
        assert line.until_ended(number).status == "Success"
    assert copies(line) == []
