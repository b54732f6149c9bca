"""Restorers of both makes beside each other: what one asked for, either hands out, and neither the
item nor the payload tells whose worker it was (contract J1, J2, J9)."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from bagline.app import App
from bagline.config import ThawSettings
from bagline.embedded import EngineAddresses
from bagline.lines.restoration.requesting import requested
from bagline.model.times import NEVER, is_set
from bagline.model.workitem import WorkItem
from bagline.services.registry.base import WorkItemFilter
from bagline.standin.executables import older_lines
from bagline.standin.queueing import RequestQueuer
from bagline.wiring import build_objects
from support.bags import BagBuilder
from support.glacier import Glacier, glacier_before
from support.line import LineUnderTest
from support.older.intake import BTR
from support.older.restoring import (
    RESTORERS,
    handle_restoration,
    init_restore,
    queue_requests,
)
from support.pairing import MixedLine, bare_s3, mixed_line
from support.registry import ADMIN
from support.restoring import RESTORERS as OUR_RESTORERS
from support.restoring import contents, give_restore_bucket, restored_tar, verdict

pytestmark = pytest.mark.engines

STEPS = frozenset(
    {
        "pre-fetch",
        "validator",
        "reingest-manager",
        "staging-uploader",
        "format-identifier",
        "preservation-uploader",
        "preservation-verifier",
        "recorder",
        "cleanup",
    }
)
LETTERS, REPORT = "test.edu/letters", "test.edu/report"
FROZEN, LOST = "test.edu/frozen", "test.edu/lost"
FILE = "data/deep/er/b c.json"
SOFTWARE = "Bagging-Software"
TOPICS = {"Restore Object": "restore_object", "Restore File": "restore_file"}


def bags() -> dict[str, BagBuilder]:
    letters = BagBuilder("letters").manifest("md5", "sha256").tag_manifest("md5", "sha256")
    letters.payload("a.txt", b"abc\n").payload("deep/er/b c.json", b'{"a": 1}\n').payload("e", b"")
    for name, value in (("Bagging-Date", "2020-02-02"), ("Bag-Size", "1 KB"), (SOFTWARE, "Bagger")):
        letters.tag("bag-info.txt", name, value)
    letters.tag_file("custom/n.txt", b"N: v\n")
    report = BagBuilder("report", profile="btr").payload("large.bin", bytes(range(256)) * 9000)
    report.tag("bag-info.txt", "BagIt-Profile-Identifier", BTR)
    frozen = BagBuilder("frozen").manifest("md5", "sha256").tag_manifest("md5", "sha256")
    frozen.payload("a.txt", b"abc\n").payload("b.txt", b"b\n")
    frozen.tag("aptrust-info.txt", "Storage-Option", "Glacier-OH")
    lost = BagBuilder("lost").manifest("md5", "sha256").payload("a.txt", b"abc\n")
    return {"letters": letters, "report": report, "frozen": frozen, "lost": lost}


def request(line: LineUnderTest, identifier: str, path: str = "") -> WorkItem:
    """As `bagline restore` makes it; not yet published."""
    return requested(line.services.registry, identifier, path, user=ADMIN)


def theirs_asks(mixed: MixedLine, identifier: str, path: str = "") -> WorkItem:
    return mixed.line.item(init_restore(mixed.admin, identifier, path, user=ADMIN))


def ours_asks(mixed: MixedLine, identifier: str, path: str = "") -> WorkItem:
    """By the Registry's API, which publishes it."""
    kind, name = ("files", f"{identifier}/{path}") if path else ("objects", identifier)
    found = mixed.admin.shown(kind, name)
    assert found is not None
    made = mixed.admin.ask("POST", f"{kind}/init_restore/{found['id']}")
    return mixed.line.item(made["id"])


@pytest.fixture(
    scope="module", params=["their ingest", pytest.param("our ingest", marks=pytest.mark.long)]
)
def ingested(
    request: pytest.FixtureRequest,
    engines: EngineAddresses,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[MixedLine]:
    older = STEPS if request.param == "their ingest" else frozenset[str]()
    with mixed_line(engines, tmp_path_factory.mktemp("mixed")) as line:
        give_restore_bucket(line.line)
        trails = line.ingest({name: bag.tar("gnu") for name, bag in bags().items()}, older)
        assert {trail.status for trail in trails.values()} == {"Success"}
        yield line


@pytest.fixture
def mixed(ingested: MixedLine) -> Iterator[MixedLine]:
    """Afterwards no request of the test stands, and nothing that it handed out."""
    yield ingested
    line, services = ingested.line, ingested.line.services
    still_open = WorkItemFilter(statuses=["Pending", "Started", "Suspended"])
    for item in services.registry.work_items(still_open):
        services.registry.save_work_item(structs.replace(item, status="Cancelled", retry=False))
    for key in line.keys(line.institution.restore_bucket):
        services.objects.delete(line.institution.restore_bucket, key)
    ingested.world.redis.flushdb()


def by_theirs(mixed: MixedLine, item: WorkItem, wanted: str = "done") -> WorkItem:
    topic = next(topic for topic, (action, _, _) in RESTORERS.items() if action == item.action)
    assert handle_restoration(mixed.world, topic, item.id) == wanted
    return mixed.line.item(item.id)


def by_ours(mixed: MixedLine, item: WorkItem) -> WorkItem:
    mixed.line.services.queue.publish(TOPICS[item.action], item.id)
    with mixed.line.working(only=OUR_RESTORERS):
        return mixed.line.until_ended(item.id)


def told(item: WorkItem) -> dict[str, Any]:
    """What a mail, the Registry's pages and the end-to-end tests read of it."""
    names = ("note", "outcome", "stage", "status", "retry", "needs_admin_review", "node", "pid")
    return {name: getattr(item, name) for name in names}


def test_either_restorer_hands_out_the_same(mixed: MixedLine) -> None:
    """Bags of both profiles, and a file: item, key, payload, tag files, kinds of manifests."""
    for identifier, path in ((LETTERS, ""), (REPORT, ""), (LETTERS, FILE)):
        file = f"{identifier}/{path}" if path else ""
        theirs = by_theirs(mixed, ours_asks(mixed, identifier, path))
        found = handed_out(mixed, identifier, file)
        bucket = mixed.line.institution.restore_bucket
        mixed.line.services.objects.delete(bucket, key(identifier, file))
        ours = by_ours(mixed, theirs_asks(mixed, identifier, path))
        assert told(ours) == told(theirs)
        assert theirs.status == "Success"
        again = handed_out(mixed, identifier, file)
        assert again == found
    assert mixed.line.redis_keys() == []


@pytest.mark.parametrize("path", ["", FILE], ids=["bag", "file"])
def test_a_request_is_the_same_item_in_either_registry(mixed: MixedLine, path: str) -> None:
    made = []
    for asks in (theirs_asks, ours_asks):
        item = asks(mixed, LETTERS, path)
        made.append(structs.replace(item, id=0, updated_at="", **dict.fromkeys(MOMENTS, NEVER)))
        item.status, item.retry = "Cancelled", False
        mixed.line.services.registry.save_work_item(item)
        assert is_set(item.queued_at) == (asks is ours_asks)
    theirs, ours = made
    assert ours == theirs
    assert bool(ours.generic_file_identifier) == bool(path)


MOMENTS = ("created_at", "date_processed", "queued_at")


def key(identifier: str, file: str) -> str:
    return file or f"{identifier}.tar"


def handed_out(mixed: MixedLine, identifier: str, file: str) -> Any:
    """What must be the same of what stands there."""
    if file:
        bucket = mixed.line.institution.restore_bucket
        return mixed.line.services.objects.read(bucket, file)
    tar = restored_tar(mixed.line, identifier)
    name = identifier.rpartition("/")[2]
    assert verdict(tar, name, "btr" if name == "report" else "aptrust").problems == []
    files = contents(tar)
    payload = {path: data for path, data in files.items() if path.startswith("data/")}
    wanted = bags()[name].files()
    assert payload == {p: data for p, data in wanted.items() if p.startswith("data/")}
    tags = files["bag-info.txt"].decode().splitlines()
    own = ("Bagging-Date", SOFTWARE)  # when, and by whom
    return {
        "payload": payload,
        "modified": modified(tar),
        "manifests": sorted(p for p in files if "manifest-" in p and "/" not in p),
        "names": sorted(files),
        "bag-info": sorted(tag for tag in tags if not tag.startswith(own)),
        "other tag files": {
            path: data for path, data in files.items() if path.startswith(("custom/", "aptrust-"))
        },
    }


def modified(tar: bytes) -> dict[str, float]:
    """Of payload files."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {m.name: m.mtime for m in archive if m.isfile() and "/data/" in m.name}


def test_neither_takes_what_is_not_its_own(mixed: MixedLine) -> None:
    """A message on the wrong topic, and of an item that is ended or not to be tried again: it is
    over, nothing changes."""
    line, registry = mixed.line, mixed.line.services.registry
    whole = request(line, LETTERS)
    one = request(line, REPORT, "data/large.bin")
    wrong = {whole.id: "restore_file", one.id: "restore_object"}
    for status in ("Cancelled", "Success", "Suspended", "Failed"):
        ended = structs.replace(whole, id=0, status=status, retry=False)
        wrong[registry.save_work_item(ended).id] = "restore_object"
    stopped = structs.replace(whole, id=0, retry=False)
    wrong[registry.save_work_item(stopped).id] = "restore_object"
    before = {number: told(line.item(number)) for number in wrong}
    for number, topic in wrong.items():
        assert handle_restoration(mixed.world, topic, number) == "skipped"
        line.services.queue.publish(topic, number)

    def is_empty() -> bool:
        depths = line.services.queue.depth(list(TOPICS.values()))
        return not any(depth.due + depth.delayed + depth.in_flight for depth in depths)

    with line.working(only=OUR_RESTORERS):
        line.until(is_empty, "the messages to be gone")
    assert {number: told(line.item(number)) for number in wrong} == before


@pytest.mark.parametrize("thaws", ["theirs", "ours"])
@pytest.mark.parametrize("path", ["", "data/b.txt"], ids=["bag", "file"])
def test_what_one_thaws_the_other_restores(mixed: MixedLine, thaws: str, path: str) -> None:
    line, file = mixed.line, f"{FROZEN}/{path}" if path else ""
    asked = request(line, FROZEN, path)
    assert asked.action == "Glacier Restore"
    with glacier_before(line.settings.s3.endpoint) as glacier, through(mixed, glacier):
        freeze(mixed, glacier)
        if thaws == "theirs":
            item = by_theirs(mixed, asked, wanted="again")
            assert "not yet available" in item.note
            glacier.bring_back()
            ended = by_theirs(mixed, item)
            mixed.deliver()
        else:
            line.services.queue.publish("restore_glacier", asked.id)
            with line.working(only=("glacier-restorer",)):
                line.until(lambda: len(glacier.asked) == (1 if file else 4), "the requests")
                glacier.bring_back()
                ended = line.until_ended(asked.id)
        assert (ended.status, ended.stage) == ("Success", "Resolve")
        assert ended.note.startswith(f"Object {FROZEN} restored from Glacier to S3")
        follower = max(
            line.services.registry.items_of_bag(ended.institution_id, ended.name),
            key=lambda item: item.id,
        )
        assert follower.id > asked.id
        assert (follower.action, follower.status, follower.stage) == (
            "Restore File" if file else "Restore Object",
            "Pending",
            "Requested",
        )
        assert follower.note == "Moved from Glacier to S3, awaiting restoration"
        restored = by_ours(mixed, follower) if thaws == "theirs" else by_theirs(mixed, follower)
    assert restored.status == "Success", restored.note
    assert handed_out(mixed, FROZEN, file)
    line.until(lambda: line.redis_keys() == [], "the traces to be gone")


def freeze(mixed: MixedLine, glacier: Glacier) -> None:
    registry = mixed.line.services.registry
    found = registry.intellectual_object(FROZEN)
    assert found is not None
    for page in registry.files_in_order(found.id):
        for file in page:
            for target in mixed.line.settings.storage_option("Glacier-OH").targets:
                if file.size:
                    glacier.freeze(target.bucket, file.uuid)


@contextmanager
def through(mixed: MixedLine, glacier: Glacier) -> Iterator[None]:
    """Both makes reach the store through the archive, meanwhile."""
    line = mixed.line
    app, s3 = line.app, mixed.world.s3
    settings = structs.replace(line.settings.s3, endpoint=glacier.url)
    objects = build_objects(settings)
    line.settings.thaw = ThawSettings(look_hours=0.2 / 3600)
    line.app = App(line.settings, replace(app.services, objects=objects), app.lines)
    mixed.world.s3 = bare_s3(settings)
    try:
        yield
    finally:
        line.app, mixed.world.s3 = app, s3
        objects.close()


def test_what_waits_unqueued_is_published_by_either(
    mixed: MixedLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it waits behind as many as one look takes."""
    monkeypatch.setattr("bagline.standin.queueing.AT_ONCE", 1)
    line = mixed.line
    item = request(line, LETTERS)
    assert queue_requests(mixed.world, end_to_end=False) == []
    assert queue_requests(mixed.world, end_to_end=True) == [item.id]
    mixed.deliver()
    other, newer = request(line, REPORT), ours_asks(mixed, REPORT, "data/large.bin")
    assert (newer.action, is_set(newer.queued_at)) == ("Restore File", True)
    registry, queue = line.services.registry, line.services.queue
    assert RequestQueuer(registry, queue, is_end_to_end=False).look() == 0
    assert RequestQueuer(registry, queue, is_end_to_end=True).look() == 1
    assert queue_requests(mixed.world, end_to_end=True) == []
    assert RequestQueuer(registry, queue, is_end_to_end=True).look() == 0
    with line.working(only=OUR_RESTORERS):
        for asked in (item, other, newer):
            ended = line.until_ended(asked.id)
            assert (ended.status, is_set(ended.queued_at)) == ("Success", True), ended.note


E2E = "e2e_restoration_post_test"


def test_end_to_end_tests_hear_of_every_end(mixed: MixedLine) -> None:
    """Of those that could not be restored, too."""
    line = mixed.line
    app, lines = line.app, older_lines(end_to_end=True)
    line.app = App(line.settings, line.services, lines)
    (file,) = line.services.registry.files([f"{LOST}/data/a.txt"]).values()
    for bucket in line.preservation_buckets():
        line.services.objects.delete(bucket, file.uuid)
    asked = (LETTERS, ""), (LOST, ""), (LOST, "data/a.txt")
    ended = [by_ours(mixed, request(line, *what)) for what in asked]
    line.app = app
    assert [item.status for item in ended] == ["Success", "Failed", "Failed"]
    heard = line.services.queue.subscribe(E2E, owner="the tests", in_flight=4)
    told = [delivery.number for _ in range(4) if (delivery := heard.receive(0.2)) is not None]
    assert sorted(told) == [item.id for item in ended]
