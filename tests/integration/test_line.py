"""Bags through the whole line, on real engines: what is in the stores and records afterwards."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from bagline.model.registry import GenericFile
from bagline.services.registry.base import WorkItemFilter
from support.bags import BagBuilder
from support.line import LineUnderTest, is_kept

LARGE = bytes(range(256)) * 4096 * 9  # 9 MiB: above the size from which the store copies
PAYLOAD = {
    "letters/one.txt": b"Dear reader,\n",
    "letters/empty.txt": b"",
    "scans/large.bin": LARGE,
    "names/Übersicht  –  100%.txt": "Vögel\n".encode(),
    "page.html": b"<!DOCTYPE html><html><title>x</title></html>",
}


def a_bag(name: str = "bag") -> BagBuilder:
    bag = BagBuilder(name)
    for path, body in PAYLOAD.items():
        bag.payload(path, body)
    return bag.tag_file("custom/notes.txt", b"Keeper: Ada\n")


def recorded(line: LineUnderTest, bag: BagBuilder) -> dict[str, GenericFile]:
    identifier = f"test.edu/{bag.name}"
    found = line.services.registry.files([f"{identifier}/{path}" for path in bag.files()])
    return {file.identifier.removeprefix(f"{identifier}/"): file for file in found.values()}


def test_every_byte_of_a_good_bag_is_preserved_under_its_uuid(line: LineUnderTest) -> None:
    bag = a_bag()
    (item,) = line.run(line.deposit("bag.tar", bag.tar()))
    assert (item.status, item.stage, item.outcome) == ("Success", "Cleanup", "Ingest complete")
    kept = {path: body for path, body in bag.files().items() if is_kept(path)}
    files = recorded(line, bag)
    assert set(files) == set(kept)
    for bucket in line.preservation_buckets():
        assert line.keys(bucket) == sorted(file.uuid for file in files.values())
        for path, body in kept.items():
            assert line.services.objects.read(bucket, files[path].uuid) == body


def test_every_copy_says_what_it_is_a_copy_of(line: LineUnderTest) -> None:
    bag = a_bag()
    line.run(line.deposit("bag.tar", bag.tar()))
    files = recorded(line, bag)
    for path, file in files.items():
        body = bag.files()[path]
        for bucket in line.preservation_buckets():
            info = line.services.objects.head(bucket, file.uuid)
            assert info.content_type == file.file_format
            expected = {
                "institution": "test.edu",
                "bag": "test.edu/bag",
                "md5": hashlib.md5(body).hexdigest(),
                "sha256": hashlib.sha256(body).hexdigest(),
            }
            where = {k: v for k, v in info.metadata.items() if k not in expected}
            assert {k: info.metadata[k] for k in expected} == expected
            if path.isascii() and "  " not in path:
                assert where == {"bagpath": path}
            else:
                assert set(where) == {"bagpath-encoded"}


def test_the_registry_has_object_files_checksums_copies_and_events(line: LineUnderTest) -> None:
    bag = a_bag()
    (item,) = line.run(line.deposit("bag.tar", bag.tar()))
    known = line.services.registry.intellectual_object("test.edu/bag")
    assert known is not None
    assert item.intellectual_object_id == known.id
    assert (known.title, known.access, known.storage_option) == ("A bag", "institution", "Standard")
    assert known.source_organization == "Example Archive"
    assert known.bag_name == "bag"
    assert known.payload_file_count == len(PAYLOAD)
    assert known.payload_size == sum(map(len, PAYLOAD.values()))
    events = Counter(e.event_type for e in line.services.registry.events(object_id=known.id))
    assert events == {
        "creation": 1,
        "identifier assignment": 1,
        "ingestion": 1,
        "access assignment": 1,
    }
    for path, file in recorded(line, bag).items():
        body = bag.files()[path]
        digests = {c.algorithm: c.digest for c in file.checksums}
        assert digests == {
            name: hashlib.new(name, body).hexdigest()
            for name in ("md5", "sha1", "sha256", "sha512")
        }
        assert len(file.storage_records) == 2
        kinds = Counter(event.event_type for event in file.premis_events)
        listed = 2 if path.startswith("data/") else 0
        expected = {
            "message digest calculation": 4,
            "ingestion": 1,
            "replication": 1,
            "identifier assignment": 2,
        }
        assert kinds == expected | ({"fixity check": listed} if listed else {})
        assert all(event.outcome == "Success" for event in file.premis_events)
        assert file.size == len(body)


def test_nothing_is_left_on_the_way(line: LineUnderTest) -> None:
    (item,) = line.run(line.deposit("bag.tar", a_bag().tar()))
    assert line.staged(item.id) == []
    assert line.keys(line.institution.receiving_bucket) == []
    assert line.redis_keys() == []
    assert all(
        (d.due, d.delayed, d.in_flight) == (0, 0, 0)
        for d in line.services.queue.depth([step.topic for step in line.app.ingest_line])
    )


def test_the_report_says_what_was_preserved_where_and_how_it_was_proven(
    line: LineUnderTest,
) -> None:
    bag = a_bag()
    (item,) = line.run(line.deposit("bag.tar", bag.tar()))
    report = line.services.registry.report(item.id)
    assert report is not None
    kept = [path for path in bag.files() if is_kept(path)]
    assert report["files"] == len(kept)
    assert sum(report["formats"].values()) == len(kept)  # type: ignore[attr-defined]
    assert report["digests_matched"]["manifest sha256"] == len(PAYLOAD)  # type: ignore[index]
    assert sum(report["copies_verified"].values()) == 2 * len(kept)  # type: ignore[attr-defined]


def test_a_damaged_bag_fails_with_every_problem_and_leaves_only_its_tar(
    line: LineUnderTest,
) -> None:
    bag = (
        a_bag("broken")
        .wrong_digest("data/letters/one.txt")
        .left_out("data/page.html")
        .tag("aptrust-info.txt", "Access", "Everybody")
    )
    (item,) = line.run(line.deposit("broken.tar", bag.tar()))
    assert (item.status, item.retry) == ("Failed", False)
    problems = line.services.registry.problems(item.id)
    subjects = {p.subject for p in problems if p.severity == "error"}
    assert {"data/letters/one.txt", "data/page.html", "aptrust-info.txt"} <= subjects
    assert "Bag rejected" in item.note
    assert line.keys(line.institution.receiving_bucket) == ["broken.tar"]
    assert line.staged(item.id) == []
    assert line.redis_keys() == []
    assert line.services.registry.intellectual_object("test.edu/broken") is None
    for bucket in line.preservation_buckets():
        assert line.keys(bucket) == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "BAG001"),
        (b"Dear depositor, this is a text.\n" * 40, "BAG002"),
        (b"\x1f\x8b\x08" + bytes(2000), "BAG003"),
        (bytes(10240), "BAG005"),
    ],
    ids=["empty file", "text", "gzip", "empty tar"],
)
def test_what_is_no_bag_is_rejected_in_words(line: LineUnderTest, body: bytes, code: str) -> None:
    (item,) = line.run(line.deposit("odd.tar", body))
    assert item.status == "Failed"
    assert code in {problem.code for problem in line.services.registry.problems(item.id)}
    assert line.redis_keys() == []


def test_the_same_bag_again_is_a_reingest_that_stores_nothing_anew(line: LineUnderTest) -> None:
    bag = a_bag()
    line.run(line.deposit("bag.tar", bag.tar()))
    before = recorded(line, bag)
    (again,) = line.run(line.deposit("bag.tar", bag.tar()))
    assert again.status == "Success"
    after = recorded(line, bag)
    assert {p: f.uuid for p, f in after.items()} == {p: f.uuid for p, f in before.items()}
    known = line.services.registry.intellectual_object("test.edu/bag")
    assert known is not None
    events = Counter(e.event_type for e in line.services.registry.events(object_id=known.id))
    assert events["creation"] == 1
    assert events["ingestion"] == 2
    for path in PAYLOAD:
        assert len(after[f"data/{path}"].premis_events) == len(before[f"data/{path}"].premis_events)


def test_a_reingest_stores_only_what_changed(line: LineUnderTest) -> None:
    line.run(line.deposit("bag.tar", a_bag().tar()))
    first = recorded(line, a_bag())
    changed = (
        a_bag().payload("letters/one.txt", b"Dear reader, again,\n").payload("new.txt", b"new")
    )
    (item,) = line.run(line.deposit("bag.tar", changed.tar()))
    assert item.status == "Success"
    files = recorded(line, changed)
    letter = files["data/letters/one.txt"]
    assert letter.uuid == first["data/letters/one.txt"].uuid
    assert letter.newest_digest("md5") == hashlib.md5(b"Dear reader, again,\n").hexdigest()
    assert len(letter.checksums) == 8
    assert len(files["data/page.html"].checksums) == 4
    bucket = line.preservation_buckets()[0]
    assert line.services.objects.read(bucket, letter.uuid) == b"Dear reader, again,\n"
    assert line.services.objects.read(bucket, files["data/new.txt"].uuid) == b"new"


def test_the_bucket_reader_makes_one_item_for_each_version_of_a_bag(line: LineUnderTest) -> None:
    from bagline.services.objects.base import Body, Target

    bucket = line.institution.receiving_bucket
    reader = line.app.bucket_reader()
    assert reader.poll() == []
    line.services.objects.put(Body(Target(bucket, "a.tar"), b"one"))
    line.services.objects.put(Body(Target(bucket, "notes.txt"), b"no bag"))
    (item,) = reader.poll()
    assert (item.name, item.stage, item.status) == ("a.tar", "Receive", "Pending")
    assert len(item.etag) == 32
    assert reader.poll() == []
    line.services.objects.put(Body(Target(bucket, "a.tar"), b"two"))
    assert len(reader.poll()) == 1
    assert len(line.services.registry.work_items(WorkItemFilter(name="a.tar"))) == 2


def test_a_multi_part_bag_name_is_one_name_everywhere(line: LineUnderTest) -> None:
    (item,) = line.run(line.deposit("maps.b01.of02.tar", a_bag("maps.b01.of02").tar()))
    assert item.status == "Success"
    assert line.services.registry.intellectual_object("test.edu/maps") is not None


def test_twenty_bags_side_by_side_are_each_ingested_once(line: LineUnderTest) -> None:
    items = [
        line.deposit(f"bag{n}.tar", BagBuilder(f"bag{n}").payload("a.txt", b"%d" % n).tar())
        for n in range(20)
    ]
    ended = line.run(*items, seconds=120)
    assert {item.status for item in ended} == {"Success"}
    assert line.redis_keys() == []
    for number in range(20):
        known = line.services.registry.intellectual_object(f"test.edu/bag{number}")
        assert known is not None
        assert known.payload_file_count == 1
        events = Counter(e.event_type for e in line.services.registry.events(object_id=known.id))
        assert set(events.values()) == {1}
