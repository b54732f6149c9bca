"""A row in the Registry is no copy: what the buckets hold is asked, and damage is mended."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from msgspec import structs

from bagline.config import VerifySettings
from bagline.embedded import EngineAddresses, Engines
from bagline.model.registry import GenericFile
from bagline.model.storage import StorageOption, StorageTarget
from bagline.model.subject import item_subject
from bagline.model.workitem import WorkItem
from bagline.services.objects.base import Body, Target
from support.bags import BagBuilder
from support.below_the_store import flip_in_volumes
from support.line import LineUnderTest, is_kept, line_under_test

pytestmark = pytest.mark.engines

LETTER = b"Dear reader,\n" * 40
LARGE = os.urandom(9 * 1024 * 1024)  # above the size from which the store copies by itself


def a_bag() -> BagBuilder:
    return BagBuilder("bag").payload("letter.txt", LETTER).payload("large.bin", LARGE)


def recorded(line: LineUnderTest, path: str) -> GenericFile:
    identifier = f"test.edu/bag/{path}"
    return line.services.registry.files([identifier])[identifier]


def gone(line: LineUnderTest, bucket: str, key: str) -> None:
    line.services.objects.delete(bucket, key)


def cut_short(line: LineUnderTest, bucket: str, key: str) -> None:
    body = line.services.objects.read(bucket, key)
    line.services.objects.put(Body(Target(bucket, key), body[:-1]))


def other_bytes(line: LineUnderTest, bucket: str, key: str) -> None:
    size = line.services.objects.head(bucket, key).size
    line.services.objects.put(Body(Target(bucket, key), b"#" * size))


def run_again(line: LineUnderTest, bag: BagBuilder) -> WorkItem:
    (item,) = line.run(line.deposit("bag.tar", bag.tar()))
    return item


def assert_whole(line: LineUnderTest, bag: BagBuilder) -> None:
    """Every kept file lies in every bucket, byte by byte."""
    for path, body in bag.files().items():
        if is_kept(path):
            uuid = recorded(line, path).uuid
            for bucket in line.preservation_buckets():
                assert line.services.objects.read(bucket, uuid) == body, (path, bucket)


DAMAGES = (gone, cut_short, other_bytes)
CASES = {
    f"{place}-{damage.__name__}-{name}": (damage, copies, size)
    for place, copies in (("first", (0,)), ("second", (1,)), ("both", (0, 1)))
    for damage in DAMAGES
    for name, size in (("small", 500), ("large", 9 * 1024 * 1024))
}
"""Files by name: what happens to which of their copies. Large ones the store copies by itself."""


def test_a_reingest_stores_anew_what_is_missing_or_damaged(line: LineUnderTest) -> None:
    bag = BagBuilder("bag").payload("untouched.txt", LETTER)
    for name, (_, _, size) in CASES.items():
        bag.payload(name, os.urandom(size))
    run_again(line, bag)
    buckets = line.preservation_buckets()
    before = {path: recorded(line, path) for path in bag.files() if is_kept(path)}
    for name, (damage, copies, _) in CASES.items():
        for number in copies:
            damage(line, buckets[number], before[f"data/{name}"].uuid)
    item = run_again(line, bag)
    assert (item.status, line.keys(line.institution.receiving_bucket)) == ("Success", [])
    assert_whole(line, bag)
    report = line.services.registry.report(item.id) or {}
    assert (report["files"], report["copies_stored_anew"]) == (0, 4 * len(CASES) // 3)
    for path, file in before.items():
        after = recorded(line, path)
        assert (after.uuid, after.checksums) == (file.uuid, file.checksums)
        urls = [copy.url for copy in file.storage_records]
        assert [copy.url for copy in after.storage_records] == urls
        _, copies, _ = CASES.get(path.removeprefix("data/"), (None, (), 0))
        known = {event.identifier for event in file.premis_events}
        new = [event for event in after.premis_events if event.identifier not in known]
        anew = [event for event in new if event.event_type == "replication"]
        assert bool(new) == bool(copies), path
        assert {event.outcome for event in new} <= {"Success"}
        assert all("not sound" in event.outcome_information for event in anew)
        assert sorted(event.outcome_detail for event in anew) == sorted(
            url for number in copies for url in urls if f"/{buckets[number]}/" in url
        )


def test_an_unchanged_bag_ends_with_every_copy_proven_and_says_so(line: LineUnderTest) -> None:
    bag = a_bag()
    run_again(line, bag)
    before = {p: recorded(line, p) for p in bag.files() if is_kept(p)}
    item = run_again(line, bag)
    assert item.status == "Success"
    assert item.note.startswith("Finished cleanup. Ingest complete.")
    assert "Nothing in the bag had changed" in item.note
    assert line.keys(line.institution.receiving_bucket) == []
    report = line.services.registry.report(item.id) or {}
    assert (report["files"], report["unchanged_files"]) == (0, len(before))
    assert report["copies_verified"] == {"read back": 2 * len(before)}
    for path, file in before.items():
        assert recorded(line, path).premis_events == file.premis_events


def test_a_copy_on_record_in_a_bucket_nobody_knows_halts_and_the_tar_stays(
    line: LineUnderTest,
) -> None:
    run_again(line, a_bag())
    file = recorded(line, "data/letter.txt")
    strange = f"https://s3.example.org/elsewhere/{file.uuid}"
    file.storage_records.append(structs.replace(file.storage_records[0], url=strange, id=0))
    line.services.registry.update_file(file)
    item = run_again(line, a_bag())
    assert (item.status, item.stage) == ("Suspended", "Reingest Check")
    assert strange in item.note
    assert "storage_options" in item.note
    assert line.keys(line.institution.receiving_bucket) == ["bag.tar"]


def test_a_copy_on_record_outside_the_option_is_kept_true_as_well(line: LineUnderTest) -> None:
    """Were it left as it is, it would hold the old bytes under the new digest."""
    wide, settings = line.settings.storage_options, line.settings
    run_again(line, a_bag())
    settings.storage_options = (structs.replace(wide[0], targets=wide[0].targets[:1]), *wide[1:])
    settings.storage_options += (StorageOption(name="Former", targets=wide[0].targets),)
    changed = a_bag().payload("letter.txt", b"Another letter,\n")
    assert run_again(line, changed).status == "Success"
    settings.storage_options = wide
    assert_whole(line, changed)


def test_a_bucket_that_the_option_gained_gets_its_copies(line: LineUnderTest) -> None:
    run_again(line, a_bag())
    name = line.preservation_buckets()[0] + "-third"
    line.services.objects.ensure_bucket(name)
    third = StorageTarget(bucket=name, provider="Local", host="localhost")
    options = line.settings.storage_options
    line.settings.storage_options = (
        structs.replace(options[0], targets=(*options[0].targets, third)),
        *options[1:],
    )
    assert run_again(line, a_bag()).status == "Success"
    assert_whole(line, a_bag())
    assert len(recorded(line, "data/large.bin").storage_records) == 3


def test_cleanup_asks_by_itself_for_what_no_stage_before_it_proved(line: LineUnderTest) -> None:
    """So where another's reingest manager stood in, which takes rows for copies."""
    run_again(line, a_bag())
    item = line.deposit("bag.tar", a_bag().tar())
    stages = [step.name for step in line.app.ingest_line if step.name != "cleanup"]
    with line.working(only=tuple(stages)):
        line.until(lambda: line.item(item.id).stage == "Cleanup", "cleanup", item=item.id)
    lease = line.services.state.take_lease(item_subject(item.id), owner="test", seconds=30)
    assert lease is not None
    for file in line.files(item.id).values():
        file.storage_records = []
        line.services.state.commit(lease, files=[file])
    line.services.state.forget_proofs(lease)
    line.services.state.drop_lease(lease)
    line.services.objects.delete(
        line.preservation_buckets()[1], recorded(line, "data/letter.txt").uuid
    )
    with line.working():
        ended = line.until_ended(item.id)
    assert ended.status == "Suspended"
    assert "its tar stays" in ended.note
    assert "requeue" in ended.note
    assert '"Reingest Check"' in ended.note
    assert line.keys(line.institution.receiving_bucket) == ["bag.tar"]


# -- bytes, not what the store remembers of them


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[LineUnderTest, Path]]:
    """A line on engines of its own, and the folder in which they keep their data."""
    engines = Engines(tmp_path / "engines")
    addresses: EngineAddresses = engines.start()
    try:
        with line_under_test(addresses, tmp_path) as line:
            yield line, tmp_path / "engines"
    finally:
        engines.stop()


def test_a_byte_that_flips_on_the_disk_is_found_before_the_tar_goes(
    own: tuple[LineUnderTest, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine takes some 15 s to say of a damaged object that it cannot be read."""
    monkeypatch.setattr("bagline.lines.ingest.copies.UNREADABLE_ATTEMPTS", 2)
    line, folder = own
    body = os.urandom(200_000)
    bag = BagBuilder("bag").payload("noise.bin", body)
    item = line.deposit("bag.tar", bag.tar())
    before = [s.name for s in line.app.ingest_line if s.name not in VERIFY_AND_AFTER]
    with line.working(only=tuple(before)):
        line.until(lambda: line.item(item.id).stage == "Storage Validation", "07", item=item.id)
    first, second = line.preservation_buckets()
    assert flip_in_volumes(folder, second, body) == 1
    with line.working():
        ended = line.until_ended(item.id, seconds=200)
    assert (ended.status, ended.needs_admin_review) == ("Suspended", True)
    assert second in ended.note
    assert line.keys(line.institution.receiving_bucket) == ["bag.tar"]
    requeue(line, ended, "Store")
    with line.working():
        assert line.until_ended(item.id).status == "Success"
    assert_whole(line, bag)
    assert flip_in_volumes(folder, first, body) == 1
    with line.working():  # now the bag comes again
        again = line.deposit("bag.tar", bag.tar())
        assert line.until_ended(again.id, seconds=200).status == "Success"
    assert_whole(line, bag)


VERIFY_AND_AFTER = ("preservation-verifier", "recorder", "cleanup")


def requeue(line: LineUnderTest, item: WorkItem, stage: str) -> None:
    item.stage, item.status, item.retry = stage, "Pending", True
    line.services.registry.save_work_item(item)
    step = line.app.ingest_line.by_work_stage(stage)
    assert step is not None
    line.services.queue.publish(step.topic, item.id)


@pytest.mark.parametrize(
    ("setting", "read"), [("all", {2}), ("one_copy", {1}), ("1/2", {0, 1, 2}), ("1/900000", {0})]
)
def test_the_record_says_of_each_copy_what_was_done_and_no_more(
    line: LineUnderTest, setting: str, read: set[int]
) -> None:
    line.settings.verify = VerifySettings(read_back=setting)
    bag = BagBuilder("bag")
    for number in range(40):
        bag.payload(f"{number}.txt", b"%d" % number)
    item = run_again(line, bag)
    assert item.status == "Success"
    counts: Counter[str] = Counter()
    for path in filter(is_kept, bag.files()):
        said = [copy.proven_by for copy in recorded(line, path).storage_records]
        assert sum(one == "read back" for one in said) in read
        assert all(one == "read back" or one.startswith("the store's word: ") for one in said)
        counts.update(said)
    report = line.services.registry.report(item.id) or {}
    assert report["copies_verified"] == dict(counts)
    if setting == "1/2":
        assert 20 < counts["read back"] < 65


def test_an_upload_that_a_killed_worker_left_in_preservation_is_ended(
    line: LineUnderTest,
) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    stages = [step.name for step in line.app.ingest_line if step.name != "cleanup"]
    with line.working(only=tuple(stages)):
        line.until(lambda: line.item(item.id).stage == "Cleanup", "cleanup", item=item.id)
    bucket, key = line.preservation_buckets()[1], recorded(line, "data/large.bin").uuid
    s3 = line.settings.s3
    client = boto3.client(
        "s3",
        endpoint_url=s3.endpoint,
        aws_access_key_id=s3.access_key.reveal(),
        aws_secret_access_key=s3.secret_key.reveal(),
        region_name=s3.region,
    )
    client.create_multipart_upload(Bucket=bucket, Key=key)
    assert client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    with line.working():
        assert line.until_ended(item.id).status == "Success"
    assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    assert_whole(line, a_bag())
