"""What went in comes out: a valid bag, byte for byte, or nothing under its key."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bagline.embedded import EngineAddresses
from bagline.errors import Gone, Misconfigured, Refused, Unreachable
from bagline.model.workitem import STATUS_FAILED, STATUS_SUCCESS, WorkItem
from bagline.services.objects.base import Body, Target
from support.bags import BagBuilder
from support.line import LineUnderTest, is_kept, line_under_test
from support.restoring import (
    RESTORERS,
    ask,
    contents,
    give_restore_bucket,
    restored_tar,
    verdict,
)

pytestmark = pytest.mark.engines

MIB = 1024 * 1024
OBJECT = "test.edu/bag"
DAMAGES = ["flipped", "gone", pytest.param("cut", marks=pytest.mark.long)]


@pytest.fixture
def line(engines: EngineAddresses, tmp_path: Path) -> Iterator[LineUnderTest]:
    with line_under_test(engines, tmp_path) as line:
        give_restore_bucket(line)
        yield line


def ingested(line: LineUnderTest, bag: BagBuilder, name: str = "bag.tar") -> WorkItem:
    (item,) = line.run(line.deposit(name, bag.tar()))
    assert item.status == STATUS_SUCCESS, item.note
    return item


def restored(line: LineUnderTest, file: str = "") -> WorkItem:
    asked = ask(line, OBJECT, file=file)
    (item,) = line.run(asked)
    return item


def copies_of(line: LineUnderTest, path: str) -> list[Target]:
    found = line.services.registry.files([f"{OBJECT}/{path}"])[f"{OBJECT}/{path}"]
    return [Target(bucket, found.uuid) for bucket in line.preservation_buckets()]


def test_what_went_in_comes_out(line: LineUnderTest) -> None:
    bag = BagBuilder()
    bag.payload("a.txt", b"a").payload("deep/er/b.bin", os.urandom(MIB)).payload("empty", b"")
    bag.payload("large.bin", os.urandom(20 * MIB + 5)).tag_file("notes/x.txt", b"more\n")
    ingested(line, bag)
    item = restored(line)
    assert (item.status, item.stage) == (STATUS_SUCCESS, "Resolve"), item.note
    key = f"{line.institution.restore_bucket}/{OBJECT}.tar"
    assert item.note == f"Object {OBJECT} restored to https://s3.amazonaws.com/{key}."
    assert item.outcome == "Bag restoration complete"
    tar = restored_tar(line, OBJECT)
    assert verdict(tar, "bag", "aptrust").problems == []
    given, found = bag.files(), contents(tar)
    assert set(found) == set(given)
    for path, data in given.items():
        if is_kept(path) and path != "bag-info.txt":
            assert found[path] == data, path
    assert line.services.registry.problems(item.id) == []
    assert line.redis_keys() == []


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("path", ["data/small.bin", "data/large.bin", "bag-info.txt"])
def test_the_next_copy_is_used_where_one_is_bad(
    line: LineUnderTest, path: str, damage: str
) -> None:
    bag = BagBuilder().payload("small.bin", b"small").payload("large.bin", os.urandom(18 * MIB))
    bag.payload("z.bin", os.urandom(9 * MIB))
    ingested(line, bag)
    first, second = copies_of(line, path)
    _damage(line, first, damage)
    item = restored(line)
    assert item.status == STATUS_SUCCESS, item.note
    tar = restored_tar(line, OBJECT)
    assert verdict(tar, "bag", "aptrust").problems == []
    if path != "bag-info.txt":
        assert contents(tar)[path] == bag.files()[path]
    (problem,) = line.services.registry.problems(item.id)
    assert (problem.code, problem.subject) == ("BAG108", f"{OBJECT}/{path}")
    assert first.bucket in problem.message
    assert second.bucket not in problem.message


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("path", ["data/small.bin", "data/large.bin"])
def test_nothing_stands_under_the_key_where_no_copy_is_good(
    line: LineUnderTest, path: str, damage: str
) -> None:
    bag = BagBuilder().payload("small.bin", b"small").payload("large.bin", os.urandom(18 * MIB))
    ingested(line, bag)
    copies = copies_of(line, path)
    for copy in copies:
        _damage(line, copy, damage)
    item = restored(line)
    assert (item.status, item.stage) == (STATUS_FAILED, "Requested")
    (problem,) = line.services.registry.problems(item.id)
    assert (problem.code, problem.subject) == ("BAG107", f"{OBJECT}/{path}")
    assert all(copy.bucket in problem.message for copy in copies)
    with pytest.raises(Gone):
        restored_tar(line, OBJECT)
    assert line.redis_keys() == []
    bucket = line.institution.restore_bucket
    assert line.services.objects.abort_uploads(bucket, f"{OBJECT}.tar") == 0


@pytest.mark.parametrize("size", [0, 5, 20 * MIB])
def test_a_file_alone(line: LineUnderTest, size: int) -> None:
    data = os.urandom(size)
    ingested(line, BagBuilder().payload("one file.bin", data))
    identifier = f"{OBJECT}/data/one file.bin"
    item = restored(line, identifier)
    assert (item.status, item.stage) == (STATUS_SUCCESS, "Resolve"), item.note
    bucket = line.institution.restore_bucket
    assert (
        item.note
        == f"File {identifier} restored to https://s3.amazonaws.com/{bucket}/{identifier}."
    )
    assert item.outcome == "File restoration complete"
    assert line.services.objects.read(bucket, identifier) == data
    assert line.redis_keys() == []


@pytest.mark.parametrize("size", [5, 20 * MIB])
@pytest.mark.parametrize("bad", [1, 2])
def test_a_file_alone_of_bad_copies(line: LineUnderTest, size: int, bad: int) -> None:
    data = os.urandom(size)
    ingested(line, BagBuilder().payload("one.bin", data))
    for copy in copies_of(line, "data/one.bin")[:bad]:
        _damage(line, copy, "flipped")
    identifier = f"{OBJECT}/data/one.bin"
    item = restored(line, identifier)
    bucket = line.institution.restore_bucket
    (problem,) = line.services.registry.problems(item.id)
    if bad == 1:
        assert item.status == STATUS_SUCCESS, item.note
        assert line.services.objects.read(bucket, identifier) == data
        assert problem.code == "BAG108"
        return
    assert item.status == STATUS_FAILED
    assert problem.code == "BAG107"
    assert line.keys(bucket) == []


def _damage(line: LineUnderTest, copy: Target, damage: str) -> None:
    objects = line.services.objects
    if damage == "gone":
        objects.delete(copy.bucket, copy.key)
        return
    data = bytearray(objects.read(copy.bucket, copy.key))
    if damage == "cut":
        del data[-1]
    else:
        data[len(data) // 2] ^= 1
    objects.put(Body(copy, bytes(data)))


def test_an_object_that_an_ingest_is_storing_is_left_alone(line: LineUnderTest) -> None:
    """Its bytes are newer than their digests: nothing of it is wrong, and nothing comes out."""
    ingested(line, BagBuilder().payload("a.bin", b"old"))
    again = line.deposit("bag.tar", BagBuilder().payload("a.bin", b"new").tar())
    before = [step.name for step in line.app.ingest_line]
    with line.working(only=tuple(before[: before.index("preservation-verifier")])):
        line.until(lambda: line.item(again.id).stage == "Storage Validation", "it is stored")
    asked = ask(line, OBJECT)
    with line.working(only=RESTORERS):
        line.until(
            lambda: f"work item {again.id} is storing" in line.item(asked.id).note, "waiting"
        )
    assert (line.item(asked.id).status, line.item(asked.id).node) == ("Pending", "")
    with pytest.raises(Refused, match=f"work item {again.id} "):
        line.app.restoring(OBJECT)
    assert line.keys(line.institution.restore_bucket) == []
    with line.working():
        assert line.until_ended(again.id).status == STATUS_SUCCESS
        line.services.queue.publish("restore_object", asked.id)
        assert line.until_ended(asked.id).status == STATUS_SUCCESS
    assert contents(restored_tar(line, OBJECT))["data/a.bin"] == b"new"
    assert line.services.registry.problems(asked.id) == []


def test_an_ingest_that_stores_meanwhile_makes_no_copy_bad(
    line: LineUnderTest, tmp_path: Path
) -> None:
    ingested(line, BagBuilder().payload("a.bin", b"old"))
    begun = line.app.restoring(OBJECT)
    again = line.deposit("bag.tar", BagBuilder().payload("a.bin", b"new").tar())
    before = [step.name for step in line.app.ingest_line]
    with line.working(only=tuple(before[: before.index("preservation-verifier")])):
        line.until(lambda: line.item(again.id).stage == "Storage Validation", "it is stored")
    with pytest.raises(Unreachable, match=f"work item {again.id} is storing"):
        begun.to_tar(tmp_path / "bag.tar")
    assert begun.problems == []
    assert not (tmp_path / "bag.tar").exists()


def test_by_hand_to_every_place(line: LineUnderTest, tmp_path: Path) -> None:
    bag = BagBuilder().payload("d/a.bin", b"a" * 3000).payload("large.bin", os.urandom(18 * MIB))
    ingested(line, bag)
    _damage(line, copies_of(line, "data/large.bin")[0], "flipped")
    line.app.restoring(OBJECT).to_tar(tmp_path / "bag.tar")
    whole = (tmp_path / "bag.tar").read_bytes()
    assert verdict(whole, "bag", "aptrust").problems == []
    with pytest.raises(Misconfigured, match="is there already"):
        line.app.restoring(OBJECT).to_tar(tmp_path / "bag.tar")
    line.app.restoring(OBJECT).to_directory(tmp_path / "out")
    given = {path: data for path, data in bag.files().items() if path.startswith("data/")}
    found = tmp_path / "out" / "bag"
    assert {path: (found / path).read_bytes() for path in given} == given
    some = line.app.restoring(OBJECT)
    some.files(["data/large.bin"], tmp_path / "some")
    assert (tmp_path / "some/data/large.bin").read_bytes() == given["data/large.bin"]
    assert [problem.code for problem in some.problems] == ["BAG108"]
    with pytest.raises(Gone):
        line.app.restoring(OBJECT).files(["data/none"], tmp_path / "some")
    assert sorted(path.name for path in tmp_path.rglob("*.part")) == []


def test_a_stream_of_a_wrong_file_has_no_end(line: LineUnderTest) -> None:
    bag = BagBuilder().payload("large.bin", os.urandom(18 * MIB))
    ingested(line, bag)
    out = io.BytesIO()
    line.app.restoring(OBJECT).to_stream(out)
    assert verdict(out.getvalue(), "bag", "aptrust").problems == []
    _damage(line, copies_of(line, "data/large.bin")[0], "flipped")
    cut = io.BytesIO()
    with pytest.raises(Unreachable, match=r"data/large\.bin"):
        line.app.restoring(OBJECT).to_stream(cut)
    assert len(cut.getvalue()) < len(out.getvalue())
    with pytest.raises(tarfile.ReadError):
        contents(cut.getvalue())
