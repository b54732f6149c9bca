"""fetch.txt: nothing is fetched, and every line of it is judged."""

from __future__ import annotations

import pytest

from bagline import problems
from bagline.bagit import fetch
from bagline.bagit.check import check_bag
from bagline.bagit.fetch import FetchList, FetchParser
from bagline.bagit.manifests import LINE_BYTES, ManifestEntry, ManifestParser
from bagline.bagit.profiles import load_profile
from bagline.problems import Problem
from support.bags import BagBuilder, chunked, valid_bag

URL = b"https://example.org/file"


def parsed(raw: bytes, chunk: int = 7, **options: str) -> tuple[list[ManifestEntry], list[Problem]]:
    parser = FetchParser(**{"encoding": "UTF-8", "version": "1.0", **options})
    return list(parser.entries(chunked(raw, chunk))), parser.problems


def judged(bag: BagBuilder) -> list[Problem]:
    raw = bag.tar()
    return check_bag(chunked(raw), len(raw), load_profile("none")).problems


def with_fetch(raw: bytes) -> BagBuilder:
    return valid_bag(profile="none").tag_file("fetch.txt", raw)


def test_a_line_has_a_url_a_length_and_a_path_with_blanks() -> None:
    entries, found = parsed(URL + b" 12\tdata/a  b \n\n \r\n" + URL + b"  -   data/c")
    assert found == []
    assert [(e.raw_path, e.line) for e in entries] == [("data/a  b ", 1), ("data/c", 4)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (URL, "fewer than three fields"),
        (b"data/a", "fewer than three fields"),
        (b"file.tif 3 data/a", "'file.tif' is no URL"),
        (b"//example.org/a 3 data/a", "is no URL"),
        (b"http://?x 3 data/a", "is no URL"),
        (b"1http://example.org/a 3 data/a", "is no URL"),
        (URL + b" three data/a", "'three' is neither"),
        (URL + b" +3 data/a", "'+3' is neither"),
        (URL + b" 1_0 data/a", "'1_0' is neither"),
        (URL + " \u0663 data/a".encode(), "is neither"),
        (URL + b" 3 bag-info.txt", "is none of the payload"),
        (URL + b" 3 ~/a", "is none of the payload"),
        (URL + b" 3 database/a", "is none of the payload"),
        (URL + b" 3 data/../a", "leads out"),
        (URL + b" 3 data\\..\\a", "leads out"),
        (URL + b" 3 /data/a", "is absolute"),
        (URL + b" 3 \\\\host\\share", "is absolute"),
        (URL + b" 3 d:\\data\\a", "drive letter"),
        (URL + b" 3 data/" + b"a" * LINE_BYTES, "longer than"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_line_that_asks_for_nothing_that_may_be_fetched(line: bytes, reason: str) -> None:
    entries, [problem] = parsed(URL + b" 1 data/first\n" + line + b"\n", 1 << 16)
    assert [e.raw_path for e in entries] == ["data/first"]
    assert problem.code == problems.BAD_FETCH_LINE.code
    assert problem.message.startswith("Line 2 of fetch.txt ")
    assert reason in problem.message


def test_it_is_read_in_the_encoding_that_the_bag_declares() -> None:
    raw = "x:y 1 data/\u00e9\n".encode("utf-16")
    assert [e.raw_path for e in parsed(raw, encoding="UTF-16")[0]] == ["data/\u00e9"]
    found = parsed(b"x:y 1 data/\xff\n", encoding="US-ASCII")[1]
    assert [p.code for p in found] == [problems.MANIFEST_UNDECODABLE.code]


def test_files_of_no_manifest_or_of_some_are_named_with_the_manifests_that_lack_them() -> None:
    bag = with_fetch(URL + b" 1 data/none\n" + URL + b" 1 data/some\n" + URL + b" 1 data/empty\n")
    bag.manifest_line("manifest-md5.txt", b"ab" * 16 + b"  data/some")
    lines = [p for p in judged(bag) if p.code == problems.FETCH_NOT_LISTED.code]
    both = "manifest-md5.txt, manifest-sha256.txt"
    assert lines == [
        problems.FETCH_NOT_LISTED.about("fetch.txt", line=1, path="data/none", manifest=both),
        problems.FETCH_NOT_LISTED.about(
            "fetch.txt", line=2, path="data/some", manifest="manifest-sha256.txt"
        ),
    ]


def test_before_1_0_one_manifest_is_enough() -> None:
    bag = with_fetch(URL + b" 1 data/none\n" + URL + b" 1 data/some\n").version("0.97")
    bag.manifest_line("manifest-md5.txt", b"ab" * 16 + b"  data/some")
    lines = [p for p in judged(bag) if p.code == problems.FETCH_NOT_LISTED.code]
    assert ["data/none" in p.message for p in lines] == [True]


@pytest.mark.parametrize(
    ("listed", "fetched"),
    [
        ("data/50%25", "data/50%"),
        ("data/50%", "data/50%25"),
        ("./data/a", "data/a"),
        ("data\\a\\b", "data/a/b"),
        ("data/e\u0301", "data/\u00e9"),
        ("data/a%0Ab", "data/a%0ab"),
    ],
)
def test_spellings_of_one_path_are_one(listed: str, fetched: str) -> None:
    bag = with_fetch(f"x:y 1 {fetched}\n".encode()).manifest("md5")
    bag.manifest_line("manifest-md5.txt", f"{'ab' * 16}  {listed}".encode())
    assert problems.FETCH_NOT_LISTED.code not in [p.code for p in judged(bag)]


def test_a_file_that_waits_to_be_fetched_is_missing() -> None:
    bag = with_fetch(b"x:y 0 data/empty\n").left_out("data/empty").without_oxum()
    assert {p.code for p in judged(bag)} == {
        problems.FETCH_IGNORED.code,
        problems.FILE_MISSING.code,
    }


def test_of_many_lines_those_after_the_first_are_not_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch, "LINES_COMPARED", 2)
    raw = b"".join(b"x:y 1 data/%d\n" % number for number in range(5))
    found = FetchList(lambda: [raw], encoding="UTF-8", version="1.0")
    parser = ManifestParser("manifest-md5.txt")
    line = b"ab" * 16 + b"  data/0\n"
    assert len(list(found.watching(parser, parser.entries([line])))) == 1
    found.compare()
    assert ["data/1," in p.message for p in found.log.all()] == [True]
