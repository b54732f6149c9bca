"""kill -9 at bad moments: nothing is lost, nothing is done twice, the next one goes on."""

from __future__ import annotations

import hashlib
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bagline.app import App
from bagline.config import load_settings
from bagline.model.subject import item_subject
from bagline.model.workitem import WorkItem
from support.bags import BagBuilder
from support.commands import Bagline, kill_family, until, workers_of
from support.line import is_kept

FILES = 1500
RESUME_SECONDS = 15.0


@pytest.fixture
def app(bagline: Bagline) -> Iterator[App]:
    """The test's own hands in the data directory; keeps the engines up between kills."""
    with App.open(load_settings(data_dir=bagline.data_dir)) as app:
        app.ensure_institution("test.edu")
        yield app


@pytest.fixture(scope="module")
def bag() -> BagBuilder:
    """Many small files and one that takes a while to read."""
    chance = random.Random(7)
    bag = BagBuilder("bag")
    for number in range(FILES):
        bag.payload(f"small/{number:04d}.bin", chance.randbytes(2000))
    return bag.payload("large.bin", chance.randbytes(1) * (96 * 1024 * 1024))


def deposit(app: App, folder: Path, bag: BagBuilder) -> WorkItem:
    path = folder / f"{bag.name}.tar"
    path.write_bytes(bag.tar())
    depositor = app.services.registry.institution("test.edu")
    assert depositor is not None
    return app.ingest(path, depositor.identifier)


def item_of(app: App, item_id: int) -> WorkItem:
    found = app.services.registry.work_item(item_id)
    assert found is not None
    return found


def staged_files(app: App, item_id: int) -> dict[str, str]:
    """UUID → time of its mark, of the files that are marked."""
    return {
        entry.file.uuid: entry.file.copied_to_staging_at
        for batch in app.services.state.iter_files(item_id)
        for entry in batch
        if entry.file.is_staged
    }


def moves_again(app: App, item_id: int, began: float) -> None:
    """Within RESUME_SECONDS of the new start somebody works on the item again."""
    until(
        lambda: (
            app.services.state.lease_owner(item_subject(item_id))
            or item_of(app, item_id).is_completed
        ),
        "the item to move",
        seconds=RESUME_SECONDS - (time.monotonic() - began),
    )


def assert_ingested_once(app: App, item: WorkItem, bag: BagBuilder) -> None:
    assert item.status == "Success", item.note
    known = app.services.registry.intellectual_object(f"test.edu/{bag.name}")
    assert known is not None
    events = Counter(e.event_type for e in app.services.registry.events(object_id=known.id))
    assert set(events.values()) == {1}
    wanted = {f"{known.identifier}/{p}": b for p, b in bag.files().items() if is_kept(p)}
    stored = app.services.registry.files(list(wanted))
    assert set(stored) == set(wanted)
    for target in app.settings.storage_option("Standard").targets:
        keys = {found.key for found in app.services.objects.list(target.bucket)}
        assert keys == {file.uuid for file in stored.values()}
    for identifier, file in stored.items():
        kinds = Counter((e.event_type, e.outcome_detail) for e in file.premis_events)
        assert set(kinds.values()) == {1}
        assert len(file.storage_records) == 2
        assert file.newest_digest("sha256") == hashlib.sha256(wanted[identifier]).hexdigest()


def test_killed_in_the_middle_of_pre_fetch_the_next_up_finishes(
    bagline: Bagline, app: App, bag: BagBuilder, tmp_path: Path
) -> None:
    item = deposit(app, tmp_path, bag)
    with bagline.running("up") as up:
        until(lambda: app.services.state.load_checkpoint(item.id), "a checkpoint")
        kill_family(up.pid)
        assert item_of(app, item.id).stage == "Receive"
    recorded = app.services.state.count_files(item.id)
    assert recorded > 0
    began = time.monotonic()
    with bagline.running("up"):
        moves_again(app, item.id, began)
        until(lambda: item_of(app, item.id).is_completed, "the end of the ingest")
    assert_ingested_once(app, item_of(app, item.id), bag)


def test_killed_in_the_middle_of_staging_no_marked_file_is_written_again(
    bagline: Bagline, app: App, bag: BagBuilder, tmp_path: Path
) -> None:
    item = deposit(app, tmp_path, bag)
    staging = app.settings.buckets.staging
    with bagline.running("up") as up:
        marked = until(lambda: staged_files(app, item.id), "a marked file")
        kill_family(up.pid)
    marked = staged_files(app, item.id)
    assert 0 < len(marked) < FILES
    written = {
        uuid: app.services.objects.head(staging, f"{item.id}/{uuid}").last_modified
        for uuid in marked
    }
    time.sleep(1.1)  # the store tells times in whole seconds
    began = time.monotonic()
    until_staged = ("worker", "pre-fetch", "validator", "reingest-manager", "staging-uploader")
    app.reconciler().reap(_is_dead)
    with bagline.running(*until_staged) as workers:
        moves_again(app, item.id, began)
        until(lambda: item_of(app, item.id).stage == "Format Identification", "staging to end")
        workers.send_signal(signal.SIGTERM)
        workers.wait(timeout=20)
    again = staged_files(app, item.id)
    assert {uuid: again[uuid] for uuid in marked} == marked
    for uuid, moment in written.items():
        info = app.services.objects.head(staging, f"{item.id}/{uuid}")
        assert info.last_modified == moment
    with bagline.running("up"):
        until(lambda: item_of(app, item.id).is_completed, "the end of the ingest")
    assert_ingested_once(app, item_of(app, item.id), bag)


@pytest.mark.long
def test_a_worker_that_dies_alone_is_replaced_and_its_item_goes_on(
    bagline: Bagline, app: App, bag: BagBuilder, tmp_path: Path
) -> None:
    item = deposit(app, tmp_path, bag)
    with bagline.running("up") as up:
        until(lambda: app.services.state.load_checkpoint(item.id), "a checkpoint")
        for child in workers_of(up.pid):
            child.kill()
        until(lambda: item_of(app, item.id).is_completed, "the end of the ingest")
    assert_ingested_once(app, item_of(app, item.id), bag)


def test_when_only_up_itself_dies_its_workers_do_not_outlive_it(bagline: Bagline, app: App) -> None:
    with bagline.running("up") as up:
        children = until(lambda: len(workers_of(up.pid)) == 2 and workers_of(up.pid), "workers")
        up.kill()
        up.wait()
        until(lambda: not any(child.is_running() for child in children), "the workers to exit")


@pytest.mark.long
def test_sigterm_hands_the_item_back_at_once(
    bagline: Bagline, app: App, bag: BagBuilder, tmp_path: Path
) -> None:
    item = deposit(app, tmp_path, bag)
    with bagline.running("worker", "all") as worker:
        until(lambda: app.services.state.load_checkpoint(item.id), "a checkpoint")
        worker.send_signal(signal.SIGTERM)
        worker.wait(timeout=12)
    back = item_of(app, item.id)
    assert (back.status, back.node, back.pid, back.retry) == ("Pending", "", 0, True)
    assert app.services.state.lease_owner(item_subject(item.id)) == ""
    with bagline.running("up"):
        until(lambda: item_of(app, item.id).is_completed, "the end of the ingest")
    assert_ingested_once(app, item_of(app, item.id), bag)


def _is_dead(owner: str) -> bool:
    from bagline.worker.owner import is_dead

    return is_dead(owner)
