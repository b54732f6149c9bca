"""A bag for every code of a Problem: the tar that provokes it, and the profile it is held to."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

from bagline.bagit.profiles import Profile, TagRule, load_profile
from bagline.bagit.tagfiles import TAG_FILE_BYTES
from support.bags import END, BagBuilder, digest_of, extension, header, padded, pax, valid_bag

MD5 = b"0" * 32
EMPTY_MD5 = b"d41d8cd98f00b204e9800998ecf8427e"
STRICT = Profile(
    name="strict",
    identifier="strict",
    is_built_in=False,
    fetch_required=True,
    data_empty=True,
    payload_files_required=("data/index.csv",),
    payload_files_allowed=("data/*.txt", "data/index.csv"),
    versions=("1.0",),
    serializations=("application/zip",),
    manifests_allowed=("sha512",),
    tag_manifests_required=("sha1",),
    tag_files_required=("mets.txt",),
    tag_files_allowed=("mets/*",),
    rules=(TagRule("bag-info.txt", "Contact-Name", repeatable=False),),
)
A = header(b"bag/a", 2) + padded(b"hi")
BAGIT = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"


@dataclass(frozen=True)
class Provoking:
    """A tar; `profile` None: the one that the bag names. `name`: that of the deposit."""

    raw: bytes
    profile: Profile | None = None
    name: str = "bag"


def of(bag: BagBuilder, profile: str = "", name: str = "bag") -> Provoking:
    return Provoking(bag.tar(), load_profile(profile) if profile else None, name)


def raw(*blocks: bytes) -> Provoking:
    return Provoking(b"".join(blocks))


def strict(bag: BagBuilder) -> Provoking:
    return Provoking(bag.tar(), STRICT)


def manifest(line: bytes, name: str = "manifest-md5.txt") -> Provoking:
    """A valid bag whose manifest has one line more."""
    return of(valid_bag().manifest_line(name, line))


def bagit_txt(data: bytes) -> Provoking:
    return of(valid_bag().tag_file("bagit.txt", data))


def bag_info(data: bytes) -> Provoking:
    return of(valid_bag().tag_file("bag-info.txt", data))


CODES: dict[str, Callable[[], Provoking]] = {
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
    "BAG015": lambda: raw(pax(GNU_sparse_size=9, GNU_sparse_map="7,7"), A),
    "BAG016": lambda: raw(header(b"bag/a", 0, b"M")),
    "BAG017": lambda: raw(pax(GNU_sparse_size=2**55, GNU_sparse_map="0,2"), A, END),
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
    "BAG033": lambda: raw(header(b"bag/a/", 2), padded(b"hi"), END),
    "BAG034": lambda: raw(A, header(b"bag/l", 3, b"1", link=b"bag/a"), padded(b"abc"), END),
    "BAG035": lambda: raw(A, END, b"x" * (10_240 - len(A) - len(END))),
    "BAG036": lambda: raw(header(b"bag/a", 20_000), bytes(10_240 - 512)),
    "BAG037": lambda: raw(header(b"bag\\a"), END),
    "BAG038": lambda: raw(A, header(b"bag/a/b"), END),
    "BAG039": lambda: raw(header(b"bag/data"), END),
    "BAG040": lambda: of(valid_bag().without_tag_file("bagit.txt")),
    "BAG041": lambda: of(valid_bag().version("0.93")),
    "BAG042": lambda: bagit_txt(BAGIT.replace(b"UTF-8", b"klingon")),
    "BAG043": lambda: bag_info(b"A: b\nno colon\n"),
    "BAG044": lambda: bag_info(b"A: \xff\n"),
    "BAG045": lambda: bagit_txt(b"\xef\xbb\xbf" + BAGIT),
    "BAG046": lambda: bagit_txt(BAGIT.replace(b"1.0", b"new")),
    "BAG047": lambda: bag_info(b"A: b\n" * (TAG_FILE_BYTES // 4)),
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
    "BAG057": lambda: strict(
        valid_bag().tag("bag-info.txt", "BagIt-Profile-Identifier", "https://example.org/other")
    ),
    "BAG058": lambda: strict(valid_bag().without_tag_file("bag-info.txt")),
    "BAG059": lambda: strict(valid_bag()),
    "BAG060": lambda: of(valid_bag().manifest()),
    "BAG061": lambda: of(valid_bag().manifest("sha512")),
    "BAG062": lambda: strict(valid_bag()),
    "BAG063": lambda: strict(valid_bag()),
    "BAG064": lambda: of(valid_bag().manifest("md5", "whirlpool")),
    "BAG065": lambda: of(valid_bag().manifest("whirlpool"), "none"),
    "BAG066": lambda: manifest(MD5),
    "BAG067": lambda: strict(valid_bag()),
    "BAG068": lambda: manifest(b"abc data/a"),
    "BAG069": lambda: manifest(MD5 + b" data/empty"),
    "BAG070": lambda: manifest(EMPTY_MD5 + b" data/empty"),
    "BAG071": lambda: manifest(MD5 + b" /data/a"),
    "BAG072": lambda: manifest(MD5 + b" manifest-md5.txt"),
    "BAG073": lambda: of(valid_bag().payload("\u00e9").listed_as("data/\u00e9", "data/e\u0301")),
    "BAG074": lambda: of(valid_bag().payload("A").listed_as("data/A", "data/a")),
    "BAG075": lambda: of(valid_bag().payload("x/y").listed_as("data/x/y", "data\\x\\y")),
    "BAG076": lambda: of(
        valid_bag(profile="none").tag_file("manifest-sha1.txt", b"\xff\xfe\x00\xd8\x00\x00"), "none"
    ),
    "BAG077": lambda: manifest(MD5 + b" *data/a"),
    "BAG078": lambda: bag_info(b"A: b\n" * 10_001),
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
    "BAG087": lambda: of(
        valid_bag()
        .repeat_tag("bag-info.txt", "Payload-Oxum", "1.1")
        .repeat_tag("bag-info.txt", "Payload-Oxum", "1.1")
    ),
    "BAG088": lambda: of(valid_bag(profile="none").tag_file("fetch.txt", b"data/a\n"), "none"),
    "BAG089": lambda: of(
        valid_bag(profile="none").tag_file("fetch.txt", b"http://a.example/b - data/b\n"), "none"
    ),
    "BAG090": lambda: of(valid_bag().tag_file("fetch.txt", b"")),
    "BAG091": lambda: of(valid_bag(profile="none").tag_file("fetch.txt", b""), "none"),
    "BAG092": lambda: strict(valid_bag()),
    "BAG096": lambda: strict(valid_bag()),
    "BAG097": lambda: strict(valid_bag()),
    "BAG099": lambda: manifest(b"x\n" * 2000),
}

CODES |= {
    "BAG100": lambda: of(valid_bag().manifest("md5", "sha-256")),
    "BAG101": lambda: of(valid_bag().payload("A").payload("a")),
    "BAG103": lambda: of(
        valid_bag(profile="none").tag_file(
            "manifest-SHA256.txt",
            f"{digest_of('sha256', b'')}  data/empty\n".encode(),
        ),
        "none",
    ),
    "BAG102": lambda: of(valid_bag().payload("x").listed_as("data/x", "data/x ")),
    "BAG105": lambda: of(valid_bag().payload("caf\udce9").payload("caf\\xe9")),
    "BAG104": lambda: of(valid_bag().tag_file("manifest-crc32.v1.txt", b"0 data/empty\n")),
}

OF_LIMITS = {
    "BAG014": "more entries than ten million",
    "BAG095": "more tag files than a hundred thousand",
}
"""Codes whose bags would be too large to make here; scans with smaller limits provoke them."""
OF_NO_BYTES = {
    "BAG093": "the bag was deleted from the receiving bucket",
    "BAG094": "the name of the deposit",
    "BAG106": "a bag that is to be restored",
    "BAG107": "a bag that is to be restored",
    "BAG108": "a bag that is to be restored",
    "BAG109": "a bag that is to be restored",
    "BAG110": "a bag that is to be restored",
    "BAG111": "a bag that is to be thawed",
}
"""Codes that speak of no bag's bytes."""
EXTENDED = raw(extension(b"x", {"path": "bag/a"}))
