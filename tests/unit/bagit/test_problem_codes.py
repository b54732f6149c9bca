"""Every code is provoked by a bag, a manifest or a tag file that has the fault."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from pathlib import Path

import pytest

from bagline import problems
from bagline.bagit.check import check_bag
from bagline.bagit.judge import BagFacts, bag_problems
from bagline.bagit.manifests import ManifestParser
from bagline.bagit.profiles import Profile, TagRule, load_profile
from bagline.bagit.scan.one_pass import BagScan
from bagline.bagit.tagfiles import TAG_FILE_BYTES, parse_bagit_txt, parse_tags
from bagline.bagit.tar.member import LIMITS
from bagline.errors import BagRejected
from bagline.problems import ERROR, KINDS, WARNING, Problem
from support.bags import END, BagBuilder, chunked, extension, header, padded, pax, valid_bag

MD5 = b"0" * 32
STRICT = Profile(
    name="strict",
    identifier="strict",
    versions=("1.0",),
    serializations=("application/zip",),
    manifests_allowed=("sha512",),
    tag_manifests_required=("sha1",),
    tag_files_required=("mets.txt",),
    tag_files_allowed=("mets/*",),
    rules=(TagRule("bag-info.txt", "Contact-Name", repeatable=False),),
)
FACTS = BagFacts(version="1.0", encoding="UTF-8", manifests=["md5"], tag_manifests=[], tags=[])


def of(bag: BagBuilder, profile: str = "", name: str = "") -> list[Problem]:
    raw = bag.tar()
    chosen = load_profile(profile) if profile else None
    return check_bag(chunked(raw), len(raw), chosen, bag_name=name).problems


def raw(
    *blocks: bytes,
    members: int = LIMITS.members,
    expanded: int = 10**9,
    tag_files: int = LIMITS.tag_files,
) -> list[Problem]:
    data = b"".join(blocks)
    limits = replace(
        LIMITS, members=members, expanded_bytes=expanded, expanded_factor=0, tag_files=tag_files
    )
    scan = BagScan(chunked(data), length=len(data), limits=limits)
    try:
        list(scan.files())
    except BagRejected as fault:
        return fault.problems
    return scan.problems


def strict(bag: BagBuilder) -> list[Problem]:
    data = bag.tar()
    return check_bag(chunked(data), len(data), STRICT).problems


def manifest(line: bytes, path: str = "manifest-md5.txt", encoding: str = "UTF-8") -> list[Problem]:
    parser = ManifestParser(path, encoding=encoding)
    list(parser.entries([line]))
    return parser.problems


def listing(line: bytes) -> list[Problem]:
    return of(valid_bag().manifest_line("manifest-md5.txt", line))


A = header(b"bag/a", 2) + padded(b"hi")
BAGIT = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
EMPTY_MD5 = b"d41d8cd98f00b204e9800998ecf8427e"

PROVOKED: dict[str, Callable[[], list[Problem]]] = {
    "BAG001": lambda: raw(b""),
    "BAG002": lambda: raw(b"Dear Ada,\n" * 100),
    "BAG003": lambda: raw(gzip.compress(A)),
    "BAG004": lambda: raw(b"Dear Ada"),
    "BAG005": lambda: raw(END),
    "BAG006": lambda: raw(A[:600]),
    "BAG007": lambda: of(valid_bag().left_out("data/empty")),
    "BAG010": lambda: raw(A, b"x" * 512),
    "BAG011": lambda: raw(header(b"p", 3, b"x"), padded(b"abc"), A),
    "BAG012": lambda: raw(header(b"p", 2**31, b"x"), END),
    "BAG013": lambda: raw(pax(size="9" * 20), A),
    "BAG014": lambda: raw(A, header(b"bag/b"), members=1),
    "BAG015": lambda: raw(pax(GNU_sparse_size=9, GNU_sparse_map="7,7"), A),
    "BAG016": lambda: raw(header(b"bag/a", 0, b"M")),
    "BAG017": lambda: raw(pax(GNU_sparse_size=99, GNU_sparse_map="0,2"), A, END, expanded=9),
    "BAG018": lambda: raw(A),
    "BAG019": lambda: raw(A, END, b"x"),
    "BAG020": lambda: of(BagBuilder().named("bagit.txt", "bagit.txt")),
    "BAG021": lambda: raw(A, header(b"other/a"), END),
    "BAG022": lambda: raw(A, header(b"readme"), END),
    "BAG023": lambda: raw(A, header(b"bag/../x"), END),
    "BAG024": lambda: raw(header(b"bag/caf\xe9"), END),
    "BAG025": lambda: raw(A, header(b"bag/a"), END),
    "BAG026": lambda: raw(A, A, END),
    "BAG027": lambda: raw(A, header(b"bag/l", 0, b"1", link=b"bag/none"), END),
    "BAG028": lambda: raw(A, header(b"bag/bagit.txt", 0, b"1", link=b"bag/a"), END),
    "BAG029": lambda: raw(A, header(b"bag/s", 0, b"2", link=b"a"), END),
    "BAG030": lambda: of(
        valid_bag().symlink("data/s", "x").manifest_line("manifest-md5.txt", MD5 + b" data/s")
    ),
    "BAG031": lambda: of(valid_bag(), name="another"),
    "BAG032": lambda: raw(pax(path="bag/" + "x" * 300), A, END),
    "BAG040": lambda: of(valid_bag().without_tag_file("bagit.txt")),
    "BAG041": lambda: of(valid_bag().version("0.93")),
    "BAG042": lambda: parse_bagit_txt(BAGIT.replace(b"UTF-8", b"klingon")).problems,
    "BAG043": lambda: parse_tags(b"A: b\nno colon\n", "bag-info.txt")[1],
    "BAG044": lambda: parse_tags(b"A: \xff\n", "bag-info.txt")[1],
    "BAG045": lambda: parse_bagit_txt(b"\xef\xbb\xbf" + BAGIT).problems,
    "BAG046": lambda: parse_bagit_txt(BAGIT.replace(b"1.0", b"new")).problems,
    "BAG047": lambda: of(valid_bag().tag_file("bag-info.txt", b"A: b\n" * (TAG_FILE_BYTES // 4))),
    "BAG050": lambda: of(valid_bag().without_tag("aptrust-info.txt", "Title")),
    "BAG051": lambda: of(valid_bag().tag("aptrust-info.txt", "Title", " ")),
    "BAG052": lambda: of(valid_bag().tag("aptrust-info.txt", "Access", "All")),
    "BAG053": lambda: strict(
        valid_bag()
        .tag("bag-info.txt", "Contact-Name", "A")
        .repeat_tag("bag-info.txt", "Contact-Name", "B")
    ),
    "BAG054": lambda: strict(valid_bag()),
    "BAG055": lambda: strict(valid_bag()),
    "BAG056": lambda: of(valid_bag().tag("bag-info.txt", "BagIt-Profile-Identifier", "x:y")),
    "BAG060": lambda: of(valid_bag().manifest()),
    "BAG061": lambda: of(valid_bag().manifest("sha512")),
    "BAG062": lambda: strict(valid_bag()),
    "BAG063": lambda: strict(valid_bag()),
    "BAG064": lambda: of(valid_bag().manifest("md5", "sha3256")),
    "BAG065": lambda: of(valid_bag().manifest("sha3256"), "none"),
    "BAG066": lambda: manifest(MD5),
    "BAG068": lambda: manifest(b"abc data/a"),
    "BAG069": lambda: listing(MD5 + b" data/empty"),
    "BAG070": lambda: listing(EMPTY_MD5 + b" data/empty"),
    "BAG071": lambda: manifest(MD5 + b" /data/a"),
    "BAG072": lambda: manifest(MD5 + b" manifest-md5.txt"),
    "BAG073": lambda: of(valid_bag().payload("\u00e9").listed_as("data/\u00e9", "data/e\u0301")),
    "BAG074": lambda: of(valid_bag().payload("A").listed_as("data/A", "data/a")),
    "BAG075": lambda: of(valid_bag().payload("x/y").listed_as("data/x/y", "data\\x\\y")),
    "BAG076": lambda: manifest(b"\xff\xfe\x00\xd8\x00\x00"),
    "BAG077": lambda: manifest(MD5 + b" *data/a"),
    "BAG078": lambda: parse_tags(b"A: b\n" * 10_001, "bag-info.txt")[1],
    "BAG079": lambda: of(
        reduce(
            lambda bag, n: bag.tag_file(f"notes/{n}.txt", b"A: b\n" * 5_000), range(5), valid_bag()
        )
    ),
    "BAG080": lambda: of(valid_bag().unlisted("data/empty", "md5")),
    "BAG081": lambda: of(valid_bag().wrong_digest("data/empty")),
    "BAG082": lambda: of(valid_bag().payload("bell\x07")),
    "BAG083": lambda: of(BagBuilder()),
    "BAG084": lambda: of(valid_bag(profile="none").version("0.97").unlisted("data/empty"), "none"),
    "BAG085": lambda: of(valid_bag().tag("bag-info.txt", "Payload-Oxum", "1.1")),
    "BAG086": lambda: of(valid_bag().tag("bag-info.txt", "Payload-Oxum", "some")),
    "BAG090": lambda: of(valid_bag().tag_file("fetch.txt", b"")),
    "BAG091": lambda: of(valid_bag(profile="none").tag_file("fetch.txt", b""), "none"),
    "BAG092": lambda: bag_problems(FACTS, STRICT),
    "BAG093": lambda: [problems.BAG_DELETED.about("bag.tar")],
    "BAG094": lambda: [problems.BAG_NAME_UNUSABLE.about("a\x07.tar", reason="a bell is in it")],
    "BAG095": lambda: raw(header(b"bag/x.txt"), header(b"bag/y.txt"), END, tag_files=1),
    "BAG099": lambda: manifest(b"x\n" * 2000),
}


@pytest.mark.parametrize("code", KINDS)
def test_every_code_is_provoked(code: str) -> None:
    found = [problem for problem in PROVOKED[code]() if problem.code == code]
    assert found
    for problem in found:
        assert problem.severity in (ERROR, WARNING)
        assert problem.message.isprintable()
        assert "{" not in problem.message


def test_no_code_is_provoked_that_is_not_in_the_table() -> None:
    assert set(PROVOKED) == set(KINDS)


def test_codes_and_sentences_are_unique() -> None:
    assert len({kind.sentence for kind in KINDS.values()}) == len(KINDS)
    with pytest.raises(ValueError, match="twice"):
        problems._kind("BAG001", ERROR, "x", "y")


def test_the_page_of_problems_is_current() -> None:
    page = Path(__file__).parents[3] / "docs" / "problems.md"
    assert page.read_text() == problems.page(), "run: python -m bagline.problems > docs/problems.md"


def test_an_extended_header_before_nothing_is_truncated() -> None:
    assert raw(extension(b"x", {"path": "bag/a"}))[-1].code == "BAG006"
