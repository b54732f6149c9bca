"""Names through the real line: keys, headers, Redis fields and the Registry lose nothing."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote_plus

import pytest
from structlog.testing import capture_logs

from bagline.errors import Draining
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.prefetch import PreFetch
from bagline.model.registry import GenericFile
from bagline.model.subject import item_subject
from bagline.model.workitem import WorkItem
from bagline.services.objects.base import Body, ObjectInfo, Target
from bagline.worker.progress import Progress
from bagline.worker.stage import Done
from support.bags import BagBuilder, valid_bag
from support.line import LineUnderTest, is_kept

LONG = "/".join(f"directory-{n:02}-{'x' * 80}" for n in range(12)) + "/file.txt"
LONGER = "/".join("ö" * 100 for _ in range(9)) + "/too long for any header.txt"

NAMES = [
    "narrow\u202fno-break space",
    "line\u2028and paragraph\u2029separators",
    "runs  of   spaces",
    " a leading space",
    "a trailing space ",
    "\"double\" and 'single' and `back` quotes",
    "100%.txt",
    "a literal %0A and %0D and %25",
    "plus+and&and=and?and#and;and,",
    "emoji 🗝️👩‍🚀.png",
    "nfc caf\u00e9",
    "nfd cafe\u0301",
    "Case.txt",
    "case.txt",
    "CASE.TXT",
    "文書/ファイル.txt",
    "ابجد\u200f.txt",
    "back\\slash",
    "*star",
    "-rf",
    "~tilde/~",
    "C:colon",
    "dots...",
    "...",
    ".DS_Store",
    "._resource fork",
    "Thumbs.db",
    "a" * 255,
    "é" * 127 + "x",
    LONG,
    LONGER,
    "manifest-md5.txt",
    "bagit.txt",
    "{braces} and [brackets] and <angles>",
    "$(touch x); `id`",
    "file:test.edu",
    "workresult:ingest01_prefetch",
    "none\ufeff.txt",
]


def odd_bag(name: str = "odd") -> BagBuilder:
    """A payload file of each name; its bytes are the name's."""
    bag = BagBuilder(name)
    for path in NAMES:
        bag.payload(path, path.encode())
        if "%" in path:
            bag.listed_as(f"data/{path}", f"data/{path}".replace("%", "%25"))
    return bag


def path_in(info: ObjectInfo) -> str | None:
    """The path that a copy's own headers give; None where they say that they leave it out."""
    where = {k: v for k, v in info.metadata.items() if k.startswith("bagpath")}
    [(name, value)] = where.items()
    assert value.isascii()
    assert value.isprintable()
    if name == "bagpath-omitted":
        return None
    return unquote_plus(value) if name == "bagpath-encoded" else value


def recorded(line: LineUnderTest, bag: BagBuilder) -> dict[str, GenericFile]:
    prefix = f"test.edu/{bag.name}/"
    found = line.services.registry.files([prefix + path for path in bag.files()])
    return {file.identifier.removeprefix(prefix): file for file in found.values()}


def test_files_of_every_name_are_preserved_and_say_their_names(line: LineUnderTest) -> None:
    bag = odd_bag()
    (item,) = line.run(line.deposit("odd.tar", bag.tar()))
    assert item.status == "Success", item.note
    kept = {path: body for path, body in bag.files().items() if is_kept(path)}
    files = recorded(line, bag)
    assert set(files) == set(kept)
    omitted = set()
    for bucket in line.preservation_buckets():
        assert line.keys(bucket) == sorted(file.uuid for file in files.values())
        for path, body in kept.items():
            assert line.services.objects.read(bucket, files[path].uuid) == body
            said = path_in(line.services.objects.head(bucket, files[path].uuid))
            assert said in (path, None)
            if said is None:
                omitted.add(path)
    assert omitted == {f"data/{LONGER}"}
    found = line.services.registry.problems(item.id)
    assert [(p.code, p.subject) for p in found] == [
        ("BAG101", "data/case.txt"),
        ("BAG101", "data/CASE.TXT"),
    ]
    assert line.redis_keys() == []


def test_working_records_and_staged_files_have_every_name(line: LineUnderTest) -> None:
    bag = odd_bag()
    item = line.deposit("odd.tar", bag.tar())
    before = ("pre-fetch", "validator", "reingest-manager", "staging-uploader")
    with line.working(only=before):
        line.until(
            lambda: line.item(item.id).stage == "Format Identification",
            "the bag to be staged",
            item=item.id,
        )
    records = line.files(item.id)
    assert set(records) == set(bag.files())
    for path, body in bag.files().items():
        key = f"{item.id}/{records[path].uuid}"
        assert line.services.objects.read(line.settings.buckets.staging, key) == body
        info = line.services.objects.head(line.settings.buckets.staging, key)
        assert path_in(info) in (path, None)
    assert all(line.staged(item.id))
    assert all(key.isascii() for key in line.staged(item.id))


def test_the_same_names_again_are_the_same_files(line: LineUnderTest) -> None:
    line.run(line.deposit("odd.tar", odd_bag().tar()))
    before = recorded(line, odd_bag())
    changed = odd_bag().payload("nfd cafe\u0301", b"changed").payload("Case.txt", b"changed")
    (item,) = line.run(line.deposit("odd.tar", changed.tar()))
    assert item.status == "Success", item.note
    after = recorded(line, changed)
    assert {path: file.uuid for path, file in after.items()} == {
        path: file.uuid for path, file in before.items()
    }
    bucket = line.preservation_buckets()[0]
    for path, body in changed.files().items():
        if is_kept(path):
            assert line.services.objects.read(bucket, after[path].uuid) == body


def test_nfd_in_the_manifest_and_nfc_in_the_tar_is_ingested_with_a_warning(
    line: LineUnderTest,
) -> None:
    bag = BagBuilder("forms").payload("caf\u00e9.txt", b"x")
    bag.listed_as("data/caf\u00e9.txt", "data/cafe\u0301.txt")
    (item,) = line.run(line.deposit("forms.tar", bag.tar()))
    assert item.status == "Success", item.note
    assert {p.code for p in line.services.registry.problems(item.id)} == {"BAG073"}
    file = recorded(line, bag)["data/caf\u00e9.txt"]
    assert {c.algorithm for c in file.checksums} == {"md5", "sha1", "sha256", "sha512"}


def test_control_characters_are_refused_by_the_profile_in_words(line: LineUnderTest) -> None:
    bag = BagBuilder("control").payload("bell\x07").payload("no-break\u00a0space")
    bag.payload("carriage\rreturn").listed_as("data/carriage\rreturn", "data/carriage%0Dreturn")
    bag.payload("line\nfeed").listed_as("data/line\nfeed", "data/line%0afeed")
    (item,) = line.run(line.deposit("control.tar", bag.tar()))
    assert item.status == "Failed"
    problems = line.services.registry.problems(item.id)
    assert {(p.code, p.subject) for p in problems} == {
        ("BAG082", "data/bell\\x07"),
        ("BAG082", "data/no-break\u00a0space"),
        ("BAG082", "data/carriage\\x0dreturn"),
        ("BAG082", "data/line\\x0afeed"),
    }
    assert line.redis_keys() == []
    for bucket in line.preservation_buckets():
        assert line.keys(bucket) == []


@pytest.mark.parametrize("name", ["UPPER.TAR", "UPPER.b01.of02.Tar"])
def test_a_tar_named_in_capitals_becomes_an_object_of_its_stem(
    name: str, line: LineUnderTest, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(valid_bag("UPPER").tar())
    item = line.app.ingest(tmp_path / name, line.institution.identifier)
    (ended,) = line.run(item)
    assert ended.status == "Success"
    assert ended.name.endswith(".tar")
    assert ended.object_identifier == f"{line.institution.identifier}/UPPER"
    assert line.services.registry.problems(item.id) == []


def test_a_tar_put_into_the_bucket_in_capitals_is_told_of_and_left(line: LineUnderTest) -> None:
    bucket = line.institution.receiving_bucket
    for key in ("LEFT.TAR", "LEFT.tar"):
        line.services.objects.put(Body(Target(bucket, key), valid_bag("LEFT").tar()))
    reader = line.app.bucket_reader()
    with capture_logs() as said:
        assert [item.name for item in reader.poll()] == ["LEFT.tar"]
        assert reader.poll() == []
    told = [entry["key"] for entry in said if entry["event"] == "not_a_tar_by_name"]
    assert told == ["'LEFT.TAR'"]
    assert "LEFT.TAR" in line.keys(bucket)
    line.services.objects.delete(bucket, "LEFT.TAR")


def test_a_name_that_is_not_utf8_is_kept_as_its_bytes(line: LineUnderTest) -> None:
    raw = b"data/caf\xe9.txt".decode("utf-8", "surrogateescape")
    bag = BagBuilder("latin").payload(raw.removeprefix("data/"), b"x")
    (item,) = line.run(line.deposit("latin.tar", bag.tar("gnu")))
    assert item.status == "Success", item.note
    assert {p.code for p in line.services.registry.problems(item.id)} == {"BAG024"}
    [file] = line.services.registry.files(["test.edu/latin/data/caf\\xe9.txt"]).values()
    for bucket in line.preservation_buckets():
        assert line.services.objects.read(bucket, file.uuid) == b"x"
        info = line.services.objects.head(bucket, file.uuid)
        assert info.metadata["bagpath-encoded"] == "data%2Fcaf%E9.txt"


def test_two_names_of_one_identifier_are_refused_before_bytes_move(line: LineUnderTest) -> None:
    bag = BagBuilder("twins").payload("caf\udce9", b"raw").payload("caf\\xe9", b"letters")
    (item,) = line.run(line.deposit("twins.tar", bag.tar("gnu")))
    assert (item.status, item.stage) == ("Failed", "Validate")
    codes = [p.code for p in line.services.registry.problems(item.id)]
    assert sorted(codes) == ["BAG024", "BAG105"]
    assert line.keys(line.settings.buckets.staging) == []


def test_a_name_that_leaves_the_bag_writes_nothing_anywhere(line: LineUnderTest) -> None:
    bag = BagBuilder("escape").payload("a.txt")
    for name in ("bag/../../other/x", "/etc/passwd", "escape/C:/x", "C:\\x", "escape/data/.."):
        bag.member(name, b"out")
    (item,) = line.run(line.deposit("escape.tar", bag.tar()))
    assert item.status == "Failed"
    problems = line.services.registry.problems(item.id)
    assert [p.code for p in problems] == ["BAG023"] * 5
    assert line.keys(line.settings.buckets.staging) == []
    for bucket in line.preservation_buckets():
        assert line.keys(bucket) == []


def test_manifests_and_directories_of_hostile_names_are_kept_with_warnings(
    line: LineUnderTest,
) -> None:
    bag = BagBuilder("caf\udce9  \u2028").payload("a.txt").symlink("data/caf\udce9", "a.txt")
    names = [
        "manifest-caf\udce9.txt",
        "manifest-\u202esha256.txt",
        "manifest-..txt",
        "manifest- .txt",
        "tagmanifest-" + "x" * 200 + ".txt",
    ]
    for name in names:
        bag.tag_file(name, name.encode("utf-8", "surrogateescape"))
    (item,) = line.run(line.deposit("plain.tar", bag.tar("gnu")))
    assert item.status == "Success", item.note
    codes = {p.code for p in line.services.registry.problems(item.id)}
    assert codes == {"BAG024", "BAG029", "BAG031", "BAG104"}
    sizes = [
        line.services.objects.head(line.preservation_buckets()[0], key).size
        for key in line.keys(line.preservation_buckets()[0])
    ]
    assert {len(name.encode("utf-8", "surrogateescape")) for name in names} <= set(sizes)


def test_a_manifest_with_a_control_character_in_its_name_is_refused(line: LineUnderTest) -> None:
    bag = BagBuilder("bell").payload("a.txt").tag_file("manifest-a\x07b.txt", b"x")
    (item,) = line.run(line.deposit("bell.tar", bag.tar()))
    assert item.status == "Failed"
    assert {p.code for p in line.services.registry.problems(item.id)} == {"BAG082", "BAG104"}


def test_a_bag_of_raw_names_goes_on_from_its_checkpoint(line: LineUnderTest) -> None:
    name = "notes-caf\udce9.txt"
    bag = BagBuilder("raw").tag_file(name, b"Note: x\n").payload("large.bin", bytes(40 << 20))
    item = line.deposit("raw.tar", bag.tar("gnu"))
    chunks = iter([False] * 3)
    first = a_job(line, item)
    first.stopping = lambda: next(chunks, True)
    with pytest.raises(Draining):
        PreFetch().run(first)
    assert set(line.files(item.id)) < set(bag.files())
    line.services.state.drop_lease(first.lease)
    second = a_job(line, item)
    assert isinstance(PreFetch().run(second), Done)
    assert set(line.files(item.id)) == set(bag.files())


def a_job(line: LineUnderTest, item: WorkItem) -> IngestJob:
    lease = line.services.state.take_lease(item_subject(item.id), owner="test", seconds=60)
    assert lease is not None
    return IngestJob(
        record=item,
        bag=line.services.state.load_object(item.id),
        institution=line.institution,
        lease=lease,
        services=line.services,
        settings=line.settings,
        progress=Progress("pre-fetch"),
    )
