"""A restored bag's tar: laid out before its first byte, made from any place on, and valid."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagline.bagit.check import CheckReport, check_bag
from bagline.bagit.digests import KNOWN_LENGTHS
from bagline.bagit.profiles import load_profile
from bagline.bagit.tar import BLOCK
from bagline.bagit.writing import (
    LAYOUT_LIMITS,
    BagFile,
    FileBytes,
    Generated,
    Layout,
    LayoutLimits,
    RestoredBag,
    Segment,
    cut,
    default_form,
    measure,
    segments,
)
from bagline.bagit.writing.marks import CURSOR_BYTES
from bagline.errors import BagRejected, ListChanged
from bagline.model.bag_form import BagForm
from bagline.model.times import Timestamp, from_nanoseconds
from bagline.problems import ERROR
from bagline.units import MIB, spelled_path
from support.bagit_python import verdict
from support.bags import BTR_IDENTIFIER
from support.restored import FileList, paths

NOW = Timestamp("2026-03-04T05:06:07Z")
TWO = BagForm(manifests=("md5", "sha256"), tag_manifests=("sha256", "sha1"))
MADE = tuple(f"{tag}manifest-{name}.txt/" for tag in ("", "tag") for name in KNOWN_LENGTHS)
MADE += ("bagit.txt/",)
INFO = b"Source-Organization: A\n"
SMALL = LayoutLimits(least_part_bytes=BLOCK, parts=50, text_step_bytes=64, text_marks=20)
"""Many parts and marks, so that small bags have them too."""


def bag(form: BagForm = TWO, replaced: Mapping[str, bytes] | None = None) -> RestoredBag:
    return RestoredBag("bag", form, NOW, replaced or {})


def made(layout: Layout, files: FileList, offset: int = 0) -> bytes:
    return files.bytes_of(segments(layout, files.pages_from, files.digest_of, offset=offset))


def checked(tar: bytes) -> CheckReport:
    return check_bag([tar], len(tar), load_profile("none"))


def errors(report: CheckReport) -> list[str]:
    return [problem.message for problem in report.problems if problem.severity == ERROR]


def unpacked(tar: bytes) -> dict[str, bytes]:
    source = io.BytesIO(tar)
    with tarfile.open(fileobj=source, encoding="utf-8", errors="surrogateescape") as opened:
        files = {m.name.partition("/")[2]: opened.extractfile(m) for m in opened if m.isreg()}
        return {path: file.read() for path, file in files.items() if file is not None}


def names(tar: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return opened.getnames()


def can_stand_together(contents: Mapping[str, bytes]) -> bool:
    """Whether the files could have been deposited in one bag."""
    directories = {path[:at] for path in contents for at, sign in enumerate(path) if sign == "/"}
    return not directories & contents.keys() and len(set(map(spelled_path, contents))) == len(
        contents
    )


def is_listable(path: str) -> bool:
    parts = path.replace("\\", "/").split("/")
    return ".." not in parts and any(part not in ("", ".") for part in parts)


def is_tag_file(path: str) -> bool:
    """Whether a bag can have it beside its payload."""
    return not path.startswith(("data/", "data\\")) and path != "data"


payload = st.one_of(
    paths.filter(is_listable),
    st.sampled_from(["manifest-md5.txt", "bagit.txt", "data/x", "a", "b", "c/d", "c e/f"]),
).map("data/{}".format)
tag_files = st.one_of(
    paths.filter(is_tag_file),
    st.sampled_from(["database.txt", "data-notes/x", "x/manifest-md5.txt", "bag-info.txt"]),
)
bodies = st.one_of(
    st.binary(max_size=20), st.integers(0, 3000).map(bytes), st.just(bytes(BLOCK)), st.just(b"")
)
contents = (
    st.dictionaries(st.one_of(payload, tag_files), bodies, max_size=9)
    .filter(can_stand_together)
    .filter(lambda held: not any(path.startswith(MADE) for path in held))
    .map(lambda held: {path: INFO if path == "bag-info.txt" else held[path] for path in held})
)
algorithms = st.lists(st.sampled_from(["md5", "sha1", "sha256", "sha512", "sha384"]), max_size=3)
forms = st.builds(
    BagForm,
    version=st.just("1.0"),
    encoding=st.just("UTF-8"),
    manifests=algorithms.filter(bool).map(tuple),
    tag_manifests=algorithms.map(tuple),
)
ANEW = ("bagit.txt", "fetch.txt")


@settings(max_examples=200, deadline=None)
@given(contents, forms, st.sets(st.sampled_from(["md5", "sha256"])), st.integers(0, 2**40))
def test_what_goes_in_comes_out_as_a_valid_bag(
    held: dict[str, bytes], form: BagForm, known: set[str], micros: int
) -> None:
    files = FileList(held, known, mtime=from_nanoseconds(1000 * micros))
    layout = measure(bag(form), files.pages_from, SMALL)
    tar = made(layout, files)
    assert len(tar) == layout.size
    report = checked(tar)
    assert errors(report) == []
    found = unpacked(tar)
    ours = {*layout.left_out, *ANEW, *(place.path for place in layout.manifests)}
    assert {p: d for p, d in found.items() if p not in ours} == {
        p: d for p, d in held.items() if p not in ours
    }
    assert report.manifests == sorted(set(form.manifests))
    assert (report.payload_files, report.payload_bytes) == (
        layout.payload_files,
        layout.payload_bytes,
    )


@settings(max_examples=200, deadline=None)
@given(
    contents,
    st.sampled_from(["0.93", "0.95", "0.97", "1.0"]),
    st.sampled_from(["UTF-8", "ISO-8859-1", "UTF-16", "Shift_JIS", "cp037", "UTF-7"]),
)
def test_in_every_version_and_encoding_it_is_valid_or_refused(
    held: dict[str, bytes], version: str, encoding: str
) -> None:
    files = FileList({path: data for path, data in held.items() if path != "bag-info.txt"})
    form = BagForm(
        version=version, encoding=encoding, manifests=("md5", "sha512"), tag_manifests=("md5",)
    )
    try:
        layout = measure(bag(form), files.pages_from, SMALL)
    except BagRejected:
        assert any(not path.isascii() or "\n" in path or "\r" in path for path in held)
        return
    assert errors(checked(made(layout, files))) == []


@settings(max_examples=80, deadline=None)
@given(contents, forms, st.data())
def test_from_any_mark_on_it_is_the_rest_of_the_whole(
    held: dict[str, bytes], form: BagForm, data: st.DataObject
) -> None:
    files = FileList(held)
    layout = measure(bag(form), files.pages_from, SMALL)
    tar = made(layout, files)
    for number in range(layout.parts):
        start, end = layout.part(number)
        mark = layout.mark(start)
        assert mark.begin <= start
        assert made(layout, files, start) == tar[mark.begin :]
        rest = segments(layout, files.pages_from, files.digest_of, offset=start)
        assert files.bytes_of(cut(rest, start, end)) == tar[start:end]
    anywhere = data.draw(st.integers(0, layout.size - 1))
    assert tar.endswith(made(layout, files, anywhere))
    assert layout.mark(anywhere).begin <= anywhere


def test_entries_stand_in_the_order_that_readers_of_tars_expect() -> None:
    held = {
        "data/b": b"2",
        "bag-info.txt": INFO,
        "data/a/x": b"1",
        "zoo.txt": b"",
        "fetch.txt": b"",
    }
    files = FileList({**held, "bagit.txt": b"old", "manifest-md5.txt": b"old"})
    layout = measure(bag(), files.pages_from)
    tar = made(layout, files)
    assert names(tar) == [
        "bag",
        "bag/bagit.txt",
        "bag/data",
        "bag/bag-info.txt",
        "bag/data/a/x",
        "bag/data/b",
        "bag/zoo.txt",
        "bag/manifest-md5.txt",
        "bag/manifest-sha256.txt",
        "bag/tagmanifest-sha256.txt",
        "bag/tagmanifest-sha1.txt",
    ]
    assert layout.left_out == ("fetch.txt", "manifest-md5.txt")
    assert layout.files == 4
    found = unpacked(tar)
    assert [
        line.split("  ")[1] for line in found["tagmanifest-sha1.txt"].decode().splitlines()
    ] == [
        *("bagit.txt", "bag-info.txt", "zoo.txt"),
        *("manifest-md5.txt", "manifest-sha256.txt"),
    ]
    assert found["bagit.txt"] == b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"


def test_a_bag_without_files_has_its_payload_directory_all_the_same() -> None:
    files = FileList({})
    tar = made(measure(bag(), files.pages_from), files)
    assert names(tar)[:3] == ["bag", "bag/bagit.txt", "bag/data"]
    assert errors(checked(tar)) == []
    assert unpacked(tar)["manifest-md5.txt"] == b""


def test_bytes_that_replace_the_stored_ones_are_the_bags() -> None:
    files = FileList({"bag-info.txt": b"Title: old, and longer\n", "data/a": b"1"}, known=())
    layout = measure(bag(replaced={"bag-info.txt": INFO, "not-there.txt": b"x"}), files.pages_from)
    tar = made(layout, files)
    assert errors(checked(tar)) == []
    assert unpacked(tar)["bag-info.txt"] == INFO
    assert "not-there.txt" not in unpacked(tar)
    assert layout.lacking == 1, "digests of what is replaced are lacking nowhere"


def test_times_are_the_files_own_or_that_of_the_tar() -> None:
    files = FileList(
        {"data/a": b"1", "bag-info.txt": b"old\n"}, mtime=Timestamp("2001-02-03T00:00:00Z")
    )
    plan = bag(replaced={"bag-info.txt": INFO})
    tar = made(measure(plan, files.pages_from), files)
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        times = {member.name: member.mtime for member in opened}
    assert times.pop("bag/data/a") == 981_158_400
    assert set(times.values()) == {1_772_600_767}


@pytest.mark.parametrize(("profile", "identifier"), [("aptrust", ""), ("btr", BTR_IDENTIFIER)])
def test_the_form_that_nobody_recorded_is_valid_under_the_bags_profile(
    profile: str, identifier: str
) -> None:
    info = (
        b"Source-Organization: A\nBagging-Date: 2001-02-03\nPayload-Oxum: 1.1\n"
        b"BagIt-Profile-Identifier: " + identifier.encode() + b"\n"
    )
    held = {
        "bag-info.txt": info if identifier else b"Source-Organization: A\n",
        "aptrust-info.txt": b"Title: A\nAccess: Institution\nStorage-Option: Standard\n",
        "data/a": b"1",
    }
    files = FileList(held)
    tar = made(measure(bag(default_form(identifier)), files.pages_from), files)
    report = check_bag([tar], len(tar), load_profile(profile))
    assert [problem.message for problem in report.problems] == []


@pytest.mark.parametrize(
    ("identifier", "algorithms"),
    [
        ("https://example.org/another.json", ("sha256", "sha512")),
        (
            "https://raw.githubusercontent.com/x/btr-bagit-profile.json",
            ("sha1", "sha256", "sha512"),
        ),
        ("https://example.org/aptrust-v2.2.json", ("md5", "sha256")),
    ],
)
def test_algorithms_are_those_of_the_profile(identifier: str, algorithms: tuple[str, ...]) -> None:
    form = default_form(identifier)
    assert (form.version, form.encoding) == ("1.0", "UTF-8")
    assert form.manifests == form.tag_manifests == algorithms


plain = st.text(st.sampled_from("abé _-."), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        plain.filter(lambda name: name == name.strip() and name.strip(".")).map("data/{}".format),
        st.binary(max_size=5),
        max_size=5,
    ),
    st.sampled_from(["1.0", "0.97"]),
    algorithms.filter(bool),
)
def test_bagit_python_finds_it_valid(
    held: dict[str, bytes], version: str, chosen: list[str]
) -> None:
    files = FileList({"bag-info.txt": INFO, "notes/a%.txt": b"x", **held})
    form = BagForm(
        version=version, manifests=tuple(chosen), tag_manifests=() if version == "1.0" else ("md5",)
    )
    found = unpacked(made(measure(bag(form), files.pages_from), files))
    with TemporaryDirectory() as folder:
        (Path(folder) / "data").mkdir()
        assert verdict(found, Path(folder)) == ""


# Parts and marks


def test_a_part_is_made_from_the_entry_that_lies_across_its_start() -> None:
    files = FileList({f"data/{n:04}": bytes(700 * (n % 4)) for n in range(300)}, page=10)
    layout = measure(bag(), files.pages_from, SMALL)
    assert 25 < layout.parts <= 50
    entries = {0, *starts_of(made(layout, files))}
    for number in range(layout.parts):
        start, _ = layout.part(number)
        if start < layout.files_end:
            assert layout.mark(start).begin == max(at for at in entries if at <= start)


def starts_of(tar: bytes) -> set[int]:
    """Where the entries of files begin."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return {member.offset for member in opened if member.name.startswith("bag/data/")}


def test_a_part_asks_for_the_list_from_its_own_place_on() -> None:
    files = FileList({f"data/{n:04}": b"x" for n in range(400)}, page=10)
    layout = measure(bag(), files.pages_from, SMALL)
    start, end = layout.part(layout.parts // 3)
    files.asked.clear()
    files.pages_given = 0
    files.bytes_of(
        cut(segments(layout, files.pages_from, files.digest_of, offset=start), start, end)
    )
    (after,) = files.asked
    assert after == layout.mark(start).after > "data/0050"
    assert files.pages_given <= 3


def test_manifests_that_lie_before_are_digested_in_one_more_pass() -> None:
    files = FileList({f"data/{n:04}": b"x" for n in range(100)} | {"a.txt": b"1"})
    layout = measure(bag(), files.pages_from, SMALL)
    whole = made(layout, files)
    places = {place.path: place for place in layout.manifests}
    files.asked.clear()
    assert (
        made(layout, files, places["manifest-md5.txt"].start)
        == whole[places["manifest-md5.txt"].start :]
    )
    assert files.asked == [""] * 4, "a pass for each manifest, which digests it too"
    files.asked.clear()
    late = places["tagmanifest-sha256.txt"].start
    assert made(layout, files, late) == whole[late:]
    assert files.asked == [""] * 3, "both payload manifests in one pass"


def test_what_the_list_lacks_is_asked_for() -> None:
    files = FileList({"data/a": b"1", "a.txt": b"2"}, known=["md5"])
    layout = measure(bag(), files.pages_from)
    assert layout.lacking == 2
    assert errors(checked(made(layout, files))) == []
    with pytest.raises(ValueError, match="no sha256 digest"):
        list(segments(layout, files.pages_from, lambda file, algorithm: "00"))


def test_parts_are_few_whatever_the_size() -> None:
    tib = 1024**2 * MIB
    for size, part in ((1, 8), (1024**2 // 8, 16), (tib // MIB, 128), (5 * tib // MIB - 9, 1024)):
        huge = BagFile("data/huge", size * MIB, NOW, {"md5": "0" * 32, "sha256": "0" * 64})
        pages = [[huge, BagFile("data/small", 1, NOW, huge.digests)]]
        layout = measure(bag(), lambda _, pages=pages: pages)  # type: ignore[misc]
        assert layout.part_bytes == part * MIB
        assert layout.parts <= LAYOUT_LIMITS.parts
        assert layout.part(layout.parts - 1)[1] == layout.size
    start, end = layout.part(3)
    tar = segments(layout, lambda _: pages, lambda *_: "")
    header, content = list(cut(tar, layout.mark(start).begin, end))
    assert isinstance(header, Generated)
    assert isinstance(content, FileBytes)
    assert (content.file, content.start) == (huge, 0)
    assert content.offset + content.length == end


def test_long_names_do_not_fill_memory_with_marks() -> None:
    files = FileList({f"data/{n:03}{'x' * 60_000}": b"" for n in range(200)})
    limits = replace(SMALL, least_part_bytes=32_768, parts=9_000)
    layout = measure(bag(), files.pages_from, limits)
    marks = {layout.mark(layout.part(number)[0]) for number in range(layout.parts)}
    assert sum(len(mark.after) for mark in marks) <= CURSOR_BYTES
    assert layout.part_bytes == 8 * limits.least_part_bytes
    tar, start = made(layout, files), layout.part(layout.parts // 2)[0]
    assert made(layout, files, start) == tar[layout.mark(start).begin :]


# What cannot be


def refused(files: FileList, plan: RestoredBag | None = None, **limits: int) -> str:
    with pytest.raises(BagRejected) as found:
        measure(plan or bag(), files.pages_from, replace(LAYOUT_LIMITS, **limits))
    (problem,) = found.value.problems
    assert problem.code == "BAG106"
    return problem.message


def test_more_than_a_store_takes_is_refused_before_the_first_byte() -> None:
    message = refused(FileList({"data/a": bytes(20_000)}), tar_bytes=20_480)
    assert "its tar would have 30,720 bytes, and a store takes 20,480" in message


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "C:"])
def test_a_bag_needs_a_name_that_a_directory_can_have(name: str) -> None:
    assert "no directory can be named" in refused(FileList({}), RestoredBag(name, TWO, NOW))


def test_a_bag_needs_a_payload_manifest_of_a_known_algorithm() -> None:
    assert "no payload manifest" in refused(FileList({}), bag(BagForm()))
    assert "'md17' are not" in refused(FileList({}), bag(BagForm(manifests=("md17",))))


def test_a_payload_file_that_no_line_can_name_is_refused() -> None:
    assert "can name data/..\\x" in refused(FileList({"data/..\\x": b""}))
    wide = bag(BagForm(encoding="UTF-16", manifests=("md5",)))
    assert "can name data/\\xe9" in refused(FileList({"data/\udce9": b""}), wide)


def test_tag_files_that_no_line_can_name_are_in_the_bag_and_in_no_tag_manifest() -> None:
    files = FileList({" x": b"1", "*/y": b"2", "z": b"3", "data/a": b"4"})
    layout = measure(bag(), files.pages_from)
    found = unpacked(made(layout, files))
    assert {" x", "*/y", "z"} < found.keys()
    assert [
        line.split("  ", 1)[1] for line in found["tagmanifest-sha1.txt"].decode().splitlines()
    ] == [*("bagit.txt", "z", "manifest-md5.txt", "manifest-sha256.txt")]


def test_names_that_a_draft_cannot_tell_apart_are_refused() -> None:
    draft = bag(BagForm(version="0.97", manifests=("md5",)))
    one = FileList({"data/a\nb": b"1", "data/%": b"2"})
    assert errors(checked(made(measure(draft, one.pages_from), one))) == []
    both = FileList({"data/a\nb": b"1", "data/a%0Ab": b"2"})
    assert "could not tell" in refused(both, draft)
    assert errors(checked(made(measure(bag(), both.pages_from), both))) == []


@pytest.mark.parametrize(
    "held", [("data/a", "data/a!", "data/a/b"), ("data/a", "data/a/b/c"), ("bagit.txt/x",)]
)
def test_a_file_where_another_needs_a_directory_is_refused(held: tuple[str, ...]) -> None:
    assert "nothing can unpack both" in refused(FileList(dict.fromkeys(held, b"")))


# A list that changes


def test_a_list_that_has_changed_is_seen_before_too_much_is_made() -> None:
    files = FileList({f"data/{n}": bytes(600) for n in range(9)})
    layout = measure(bag(), files.pages_from)
    for change in (
        {"data/8": bytes(1200)},
        {"data/9": b""},
        {"data/8x/" + "n" * 200: b""},
    ):
        other = FileList(files.contents | change)
        assert measure(bag(), other.pages_from).list_digest != layout.list_digest
        seen: list[Segment] = []
        with pytest.raises(ListChanged):
            seen.extend(segments(layout, other.pages_from, other.digest_of))
        assert all(segment.offset < layout.files_end for segment in seen)
    fewer = FileList({path: data for path, data in files.contents.items() if path != "data/3"})
    with pytest.raises(ListChanged):
        list(segments(layout, fewer.pages_from, fewer.digest_of))
    manifest = layout.manifests[1].start
    for offset in (manifest, layout.manifests[2].start):
        with pytest.raises(ListChanged):
            list(segments(layout, fewer.pages_from, fewer.digest_of, offset=offset))


def test_another_digest_or_time_is_another_list() -> None:
    files = FileList({"data/a": b"1"})
    same = measure(bag(), files.pages_from)
    assert measure(bag(), FileList({"data/a": b"1"}).pages_from).list_digest == same.list_digest
    for other in (FileList({"data/a": b"2"}), FileList({"data/a": b"1"}, mtime=NOW)):
        assert measure(bag(), other.pages_from).list_digest != same.list_digest
