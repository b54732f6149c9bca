"""Whatever the line takes comes back: valid by its own profile, and byte for byte."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bagline.bagit.tagfiles import parse_tags
from bagline.embedded import EngineAddresses
from bagline.model.workitem import STATUS_SUCCESS
from bagline.problems import has_errors
from support.bags import END, BagBuilder, padded, pax
from support.bags import header as tar_header
from support.line import LineUnderTest, is_kept, line_under_test
from support.restored import paths
from support.restoring import ask, contents, give_restore_bucket, restored_tar, verdict

pytestmark = pytest.mark.engines

BAGS = 8
"""That are on the line at once."""
CHANGED = ("Payload-Oxum", "Bagging-Date", "Bag-Size", "Bagging-Software")


class Deposit(NamedTuple):
    bag: BagBuilder
    profile: str
    format: str = "pax"


@pytest.fixture(scope="module")
def line(
    engines: EngineAddresses, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LineUnderTest]:
    folder: Path = tmp_path_factory.mktemp("round-trip")
    with line_under_test(engines, folder) as line:
        give_restore_bucket(line)
        yield line


_numbers = iter(range(1_000_000))


def fresh(profile: str = "aptrust") -> BagBuilder:
    bag = BagBuilder(f"bag-{next(_numbers)}", profile=profile)
    return bag.manifest("sha256", "sha512") if profile == "btr" else bag


def add(bag: BagBuilder, path: str, data: bytes) -> None:
    """Listed as BagIt 1.0 writes the name."""
    spelled = path.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")
    if path.startswith("data/"):
        bag.payload(path.removeprefix("data/"), data)
    else:
        bag.tag_file(path, data)
    if spelled != path:
        bag.listed_as(path, spelled)


@st.composite
def deposits(draw: st.DrawFn) -> Deposit:
    profile = draw(st.sampled_from(["aptrust", "aptrust", "btr"]))
    bag = fresh(profile)
    bag.line_end(draw(st.sampled_from(["\n", "\r\n"])))
    algorithms = st.lists(st.sampled_from(["sha256", "sha512"]), min_size=1, unique=True)
    if profile == "aptrust":
        bag.manifest("md5", *draw(algorithms)).tag_manifest(*draw(algorithms))
    files = draw(st.dictionaries(paths, st.binary(max_size=600), max_size=6))
    for path, data in files.items():
        add(bag, f"data/{path}", data)
    for path in draw(st.lists(paths, max_size=2)):
        add(bag, f"notes/{path}", b"of the bag\n")
    for name in CHANGED[2:]:
        for value in draw(st.lists(st.sampled_from(["a", "b: c", "é"]), max_size=2)):
            bag.repeat_tag("bag-info.txt", name, value)
    format = draw(st.sampled_from(["pax", "gnu"]))
    return Deposit(bag, profile, format)


def is_taken(deposit: Deposit, raw: bytes) -> bool:
    found = verdict(raw, deposit.bag.name, deposit.profile)
    return not has_errors(found.problems)


def can_be_unpacked(bag: BagBuilder) -> bool:
    names = list(bag.files())
    return not any(other.startswith(f"{name}/") for name in names for other in names)


def come_back(line: LineUnderTest, bags: list[tuple[Deposit, bytes, Mapping[str, bytes]]]) -> None:
    """Each goes in and comes out; the mapping is what is to come."""
    came = line.run(*(line.deposit(f"{d.bag.name}.tar", raw) for d, raw, _ in bags))
    for item in came:
        assert item.status == STATUS_SUCCESS, item.note
    asked = [ask(line, f"test.edu/{deposit.bag.name}") for deposit, _, _ in bags]
    for item in line.run(*asked):
        assert item.status == STATUS_SUCCESS, item.note
        assert line.services.registry.problems(item.id) == []
    for deposit, _, expected in bags:
        assert_same(line, deposit, expected)
    assert line.redis_keys() == []


def assert_same(line: LineUnderTest, deposit: Deposit, expected: Mapping[str, bytes]) -> None:
    tar = restored_tar(line, f"test.edu/{deposit.bag.name}")
    found = verdict(tar, deposit.bag.name, deposit.profile)
    assert not has_errors(found.problems), found.problems
    out = contents(tar)
    kept = {path: data for path, data in expected.items() if is_kept(path)}
    assert {path for path in out if is_kept(path)} == set(kept)
    for path, data in kept.items():
        if path == "bag-info.txt":
            assert others(out[path], deposit) == others(data, deposit)
        else:
            assert out[path] == data, path


def others(data: bytes, deposit: Deposit) -> list[tuple[str, str]]:
    """The tags that a restoration leaves as they are."""
    tags, _ = parse_tags(data, "bag-info.txt", deposit.bag._encoding)
    names = {*CHANGED, *(f"Original-{name}" for name in CHANGED)}
    return [(tag.tag_name, tag.value) for tag in tags if tag.tag_name not in names]


@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(drawn=st.lists(deposits(), min_size=2 * BAGS, max_size=2 * BAGS))
def test_bags_of_any_names_come_back(line: LineUnderTest, drawn: list[Deposit]) -> None:
    bags = []
    for deposit in drawn:
        if not can_be_unpacked(deposit.bag):
            continue
        raw = deposit.bag.tar(deposit.format)
        if is_taken(deposit, raw):
            bags.append((deposit, raw, deposit.bag.files()))
    assert len(bags) >= BAGS / 2, "the line takes some"
    come_back(line, bags[:BAGS])


def sparse_bag() -> tuple[Deposit, bytes, Mapping[str, bytes]]:
    """A file of 64 KiB of zeros and some bytes, as GNU tar 1.0 writes holes into PAX."""
    body = bytes(65_536) + b"the end"
    bag = fresh().payload("holes.bin", body)
    files = bag.files()
    whole = {path: data for path, data in files.items() if path != "data/holes.bin"}
    raw = b"".join(
        tar_header(f"{bag.name}/{path}".encode(), len(data)) + padded(data)
        for path, data in whole.items()
    )
    stored = b"1\n65536\n7\n".ljust(512, b"\0") + b"the end"
    raw += pax(
        GNU_sparse_major=1,
        GNU_sparse_minor=0,
        GNU_sparse_name=f"{bag.name}/data/holes.bin",
        GNU_sparse_realsize=len(body),
    )
    raw += tar_header(f"{bag.name}/GNUSparseFile.0/holes.bin".encode(), len(stored)) + padded(
        stored
    )
    return Deposit(bag, "aptrust"), raw + END, files


def odd_bags() -> list[tuple[Deposit, bytes, Mapping[str, bytes]]]:
    linked = fresh().payload("a.txt", b"linked").hard_link("data/b.txt", "data/a.txt")
    latin = fresh("btr").encoding("ISO-8859-1").payload("café.txt", b"x")
    latin.tag("bag-info.txt", "Contact-Name", "Zoë").tag("bag-info.txt", "Bag-Size", "größer")
    old = fresh().version("0.97").payload("50% of it.txt", b"x").payload("b c", b"")
    windows = fresh().line_end("\r\n").tag("bag-info.txt", "Bagging-Date", "2020-01-01")
    windows.repeat_tag("bag-info.txt", "Bagging-Date", "2021-01-01").payload("é", b"")
    longest = fresh().payload("n" * 255, b"x").payload("/".join(["d" * 200] * 4), b"y")
    nested = fresh().tag_file("a/b/c.txt", b"\xff\xfe").tag_file("a/manifest-md5.txt", b"no\n")
    found = [
        (Deposit(bag, "btr" if bag is latin else "aptrust"), bag.tar(), bag.files())
        for bag in (latin, old, windows, longest, nested, fresh(), fresh().payload("e", b""))
    ]
    links = Deposit(linked, "aptrust"), linked.tar(), {**linked.files(), "data/b.txt": b"linked"}
    return [*found, links, sparse_bag()]


def test_odd_bags_come_back(line: LineUnderTest) -> None:
    bags = odd_bags()
    for deposit, raw, _ in bags:
        found = verdict(raw, deposit.bag.name, deposit.profile)
        assert not has_errors(found.problems), found.problems
    come_back(line, bags)


def test_of_all_versions_the_newest_bytes_come_back(line: LineUnderTest) -> None:
    first = fresh().payload("same", b"same").payload("old", b"old").payload("changed", b"1")
    first.tag_file("notes/first.txt", b"first\n")
    name = first.name
    second = BagBuilder(name).payload("same", b"same").payload("changed", b"22")
    second.payload("new", b"new").tag_manifest("sha512").manifest("sha256", "md5")
    (item,) = line.run(line.deposit(f"{name}.tar", first.tar()))
    assert item.status == STATUS_SUCCESS, item.note
    union = {**first.files(), **second.files()}
    come_back(line, [(Deposit(second, "aptrust"), second.tar(), union)])
    with tarfile.open(fileobj=io.BytesIO(restored_tar(line, f"test.edu/{name}"))) as tar:
        made = [m.name.partition("/")[2] for m in tar if "manifest" in m.name]
    assert sorted(made) == ["manifest-md5.txt", "manifest-sha256.txt", "tagmanifest-sha512.txt"]
