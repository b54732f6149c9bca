"""Manifests of further algorithms: every checksum is verified, and no ordinary bag pays for it."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from functools import reduce

import pytest

from bagline.bagit import further
from bagline.bagit.check import CheckReport, check_bag
from bagline.bagit.digests import FURTHER_LENGTHS, KNOWN_LENGTHS, new_hash
from bagline.bagit.further import FurtherColumns, Wanted, read_again
from bagline.bagit.profiles import load_profile
from bagline.errors import ReadOnce, Unreachable
from bagline.model.ingest import TarSpan
from support.bags import END, BagBuilder, digest_of, header, padded, pax, valid_bag

NONE = load_profile("none")
ALL = tuple(FURTHER_LENGTHS)


def reordered(bag: BagBuilder, *first: str) -> bytes:
    """The bag's tar with these files before all others."""
    files = bag.files()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in (*first, *(path for path in files if path not in first)):
            info = tarfile.TarInfo(f"{bag.name}/{path}")
            info.size = len(files[path])
            tar.addfile(info, io.BytesIO(files[path]))
    return buffer.getvalue()


class Source:
    """A tar that is given once, and tells what is asked for again."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.asked: list[tuple[int, int]] = []

    def chunks(self, size: int = 4096) -> Iterator[bytes]:
        return (self.raw[at : at + size] for at in range(0, len(self.raw), size))

    def again(self, offset: int, length: int) -> Iterator[bytes]:
        self.asked.append((offset, length))
        return iter([self.raw[offset : offset + length]])

    def check(self) -> CheckReport:
        return check_bag(self.chunks(), len(self.raw), NONE, again=self.again)


def plain() -> BagBuilder:
    return valid_bag(profile="none")


@pytest.mark.parametrize("algorithm", ALL)
def test_every_known_algorithm_is_verified(algorithm: str) -> None:
    assert digest_of(algorithm, b"x") == _hex(algorithm, b"x")
    good = Source(plain().manifest(algorithm).tag_manifest(algorithm).tar()).check()
    assert (good.valid, good.problems) == (True, [])
    bad = plain().manifest("md5", algorithm).wrong_digest("data/photo.tif", algorithm)
    (problem,) = Source(bad.tar()).check().problems
    assert (problem.code, problem.subject) == ("BAG081", "data/photo.tif")
    assert f"ingest {algorithm} checksum {_hex(algorithm, bytes(range(256)) * 8)}" in (
        problem.message
    )


def _hex(algorithm: str, data: bytes) -> str:
    made = new_hash(algorithm)
    made.update(memoryview(data))
    return made.digest().hex()


def test_a_manifest_before_the_payload_costs_no_second_read() -> None:
    bag = plain().manifest("sha384").tag_manifest()
    source = Source(reordered(bag, "bagit.txt", "manifest-sha384.txt"))
    assert source.check().problems == []
    assert source.asked == []


def test_a_manifest_behind_the_payload_is_verified_by_a_second_read_of_that_payload() -> None:
    bag = plain().manifest("md5", "sha384")
    raw = reordered(bag, *(path for path in bag.files() if path.startswith("data/")))
    source = Source(raw)
    assert source.check().problems == []
    (asked,) = source.asked
    assert asked[0] == 512
    assert asked[1] < raw.index(b"bag/bagit.txt")
    bag.wrong_digest("data/letters/1.txt", "sha384")
    source = Source(reordered(bag, *(path for path in bag.files() if path.startswith("data/"))))
    assert [p.code for p in source.check().problems] == ["BAG081"]


def test_files_on_both_sides_of_the_manifest() -> None:
    bag = plain().manifest("sha384", "sha3256").wrong_digest("data/empty", "sha384")
    bag.wrong_digest("data/photo.tif", "sha3256")
    source = Source(reordered(bag, "data/photo.tif", "manifest-sha384.txt", "data/letters/1.txt"))
    found = source.check().problems
    assert [(p.code, p.subject) for p in found] == [
        ("BAG081", "data/photo.tif"),
        ("BAG081", "data/empty"),
    ]
    assert len(source.asked) > 0


def test_tag_files_before_their_tag_manifest_need_no_second_read_where_they_are_at_hand() -> None:
    bag = plain().tag_manifest("sha384").wrong_digest("bag-info.txt", "sha384")
    source = Source(bag.tar())
    assert [(p.code, p.subject) for p in source.check().problems] == [("BAG081", "bag-info.txt")]
    assert source.asked == []


def test_what_is_given_once_and_is_needed_twice_is_said_so() -> None:
    source = Source(plain().manifest("sha384").tar())
    with pytest.raises(ReadOnce, match=r"sha384.*give the file, not a pipe"):
        check_bag(source.chunks(), None, NONE)


def test_a_source_that_can_be_gone_through_twice_needs_no_other() -> None:
    source = Source(plain().manifest("sha384").wrong_digest("data/empty").tar())
    report = check_bag(list(source.chunks()), None, NONE)
    assert [p.code for p in report.problems] == ["BAG081"]


def test_an_ordinary_bag_calculates_nothing_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(further, "new_hash", None)
    source = Source(plain().manifest(*KNOWN_LENGTHS.keys() - FURTHER_LENGTHS.keys()).tar())
    assert source.check().problems == []
    assert source.asked == []


def test_hard_links_and_sparse_files_have_their_digests() -> None:
    whole = b"\0" * 700_000 + b"hi" + b"\0" * 1_300_000
    hole = b"\0" * 900
    digests = {
        "data/a": b"some bytes\n",
        "data/link": b"some bytes\n",
        "data/sparse": whole,
        "data/hole": hole,
    }
    lines = "".join(f"{digest_of('sha384', d)}  {path}\n" for path, d in digests.items())
    bagit = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
    payload = [
        header(b"bag/data/a", 11) + padded(b"some bytes\n"),
        header(b"bag/data/link", kind=b"1", link=b"bag/data/a"),
        pax(GNU_sparse_size=len(whole), GNU_sparse_map="700000,2,2000002,0")
        + header(b"bag/data/sparse", 2)
        + padded(b"hi"),
        pax(GNU_sparse_size=900, GNU_sparse_map="900,0") + header(b"bag/data/hole", 0),
    ]
    tags = [
        header(b"bag/bagit.txt", len(bagit)) + padded(bagit),
        header(b"bag/manifest-sha384.txt", len(lines)) + padded(lines.encode()),
    ]
    for parts in ([*tags, *payload], [*payload, *tags]):
        report = Source(b"".join(parts) + END).check()
        assert [p.message for p in report.problems] == []


def test_of_a_path_twice_in_the_tar_the_first_counts() -> None:
    bag = plain().manifest("sha384").tag_manifest()
    raw = reordered(bag, "bagit.txt", "manifest-sha384.txt")
    second = header(b"bag/data/photo.tif", 3) + padded(b"abc")
    raw = raw.rstrip(b"\0") + bytes(-len(raw.rstrip(b"\0")) % 512) + second + END
    assert [p.code for p in Source(raw).check().problems] == ["BAG025"]


def test_of_many_algorithms_that_nobody_has_a_few_are_looked_at() -> None:
    names = [f"nobody{n}" for n in range(9)]
    report = Source(plain().manifest("md5", *names).unlisted("data/empty").tar()).check()
    found = [p.code for p in report.problems]
    assert found.count("BAG064") == 9
    assert found.count("BAG080") == 1 + 4


def spans(raw: bytes, *places: tuple[int, int]) -> list[Wanted[int]]:
    return [Wanted(at, length, TarSpan(at, at, length), ("sha384",)) for at, length in places]


def test_files_side_by_side_are_read_in_one_go_and_others_apart() -> None:
    raw = os.urandom(5_000_000)
    source = Source(raw)
    wanted = spans(raw, (0, 10), (512, 1000), (3_000_000, 5), (3_000_512, 0), (512, 1000))
    found = dict(zip(range(9), read_again(wanted, source.again), strict=False))
    assert source.asked == [(0, 1512), (3_000_000, 512)]
    for file, digests in found.values():
        data = raw[file.what : file.end]
        assert digests == {"sha384": hashlib.sha384(data).digest()}
    assert len(found) == 5


def test_a_bag_that_ends_early_when_it_is_read_again_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="ends at byte 5"):
        list(read_again(spans(b"", (0, 10)), lambda at, length: [b"12345"]))


def test_digests_are_kept_by_row() -> None:
    columns = FurtherColumns()
    rows = [7, 0, 100_000]
    for row in rows:
        columns.put(row, {"sha384": bytes([row % 256]) * 48, "blake2s": b"x" * 32})
    for row in rows:
        assert columns.get(row, "sha384") == bytes([row % 256]) * 48
    assert columns.get(1, "sha384") is None
    assert columns.get(100_001, "blake2s") is None
    assert columns.get(0, "sha224") is None
    columns.close()


def test_thousands_of_files_before_their_manifest() -> None:
    bag = reduce(lambda bag, n: bag.payload(f"{n}", b"%d" % n), range(3_000), plain())
    source = Source(bag.manifest("blake2b256").wrong_digest("data/2999").tar())
    assert [p.subject for p in source.check().problems] == ["data/2999"]
    assert len(source.asked) == 1
