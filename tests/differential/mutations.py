"""Tars with one to three changes of the kinds that tar readers disagree on, all from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

from conformance.kinds import CASES, bag_of
from fuzz.inputs import NAMES, RECORDS, SIZES, SPARSE_MAPS, TYPES, mutated_tar, seeds
from fuzz.targets import headers, with_checksums
from support.bags import END, extension, header, padded, valid_bag

# Bytes of a header: where its fields begin and end.
NUMBERS = {"size": (124, 136), "mtime": (136, 148), "mode": (100, 108), "uid": (108, 116),
           "gid": (116, 124), "major": (329, 337), "minor": (337, 345)}  # fmt: skip
TEXTS = {"name": (0, 100), "link": (157, 257), "uname": (265, 297), "prefix": (345, 500)}

NUMBER_FIELDS = (
    b"0000000_005", b"+0000000005", b"-0000000005", b"0o000000005", b"0000000005x", b"00000 00005",
    b"\t0000000005", b"0000000005\n", b"00000000008", b"\x000000000005", b" \x00000000005",
    b"          5", b"5", b"", b"5 \x00 old", b"00000003000", b"00000000000 ", b"77777777777",
    b"\x80" + bytes(10) + b"\x05", b"\x80" + bytes(6), b"\xff" * 12, b"\xff" * 11 + b"\xfb",
    b"\x80" + b"\xff" * 11, b"\xc0" + bytes(10) + b"\x05", b"\x81" + bytes(11), b"0" * 12,
)  # fmt: skip
TEXT_FIELDS = (
    *NAMES, b"bag/data/x/", b"bag/data/x//", b"x/", b"/", b"bag/data/" + b"d" * 90 + b"/",
    b"n" * 100, b"p" * 155, b"bag\\data\\a", b"bag/data/a\0junk", b"12345670123", b" ",
)  # fmt: skip
MAGICS = (b"ustar\x0000", b"ustar  \0", bytes(8), b"ustar\0\0\0", b"ustar 00", b"USTAR\x0000")
PAX: tuple[dict[str, bytes | int | str], ...] = (
    *RECORDS,
    {"path": "bag/data/x/"}, {"path": "bag/data/x//"}, {"path": "bag/data/y"}, {"path": ""},
    {"path": "bag/data/\u00e9"}, {"path": b"bag/data/\xe9"}, {"path": "bag/data/a\0b"},
    {"size": "0_3"}, {"size": "+3"}, {"size": " 3"}, {"size": "3 "}, {"size": "\u0663"},
    {"size": ""}, {"size": "0"}, {"size": "-3"}, {"size": 512}, {"size": "3.0"},
    {"mtime": "1_0"}, {"mtime": "+1"}, {"mtime": ""}, {"mtime": "1e3"}, {"mtime": "99999999999999"},
    {"linkpath": ""}, {"linkpath": "bag/data/\u00e9"}, {"uid": "1_0"}, {"uid": "x"},
    {"hdrcharset": "ISO-IR 10646 2000 UTF-8", "path": "bag/data/\u00e9"},
    {"hdrcharset": "BINARY"}, {"hdrcharset": "KOI8-R", "path": b"bag/data/\xc1"},
    {"GNU.sparse.major": 0, "GNU.sparse.minor": 1, "GNU.sparse.name": "bag/data/s",
     "GNU.sparse.size": 1000, "GNU.sparse.numblocks": 1, "GNU.sparse.map": "0,3"},
    {"GNU.sparse.size": 1000, "GNU.sparse.map": "0,3,5"},
    {"GNU.sparse.size": 1000, "GNU.sparse.map": "0,3,2,1"},
    {"GNU.sparse.size": 1000, "GNU.sparse.map": "0,0_3"},
    {"GNU.sparse.size": "1_000", "GNU.sparse.map": "0,3"},
    {"GNU.sparse.size": 2, "GNU.sparse.map": "0,3"},
    {"GNU.sparse.realsize": 9, "GNU.sparse.size": 1000, "GNU.sparse.map": "0,3"},
    {"GNU.sparse.major": 1, "GNU.sparse.minor": 1, "GNU.sparse.realsize": 9},
    {"GNU.volume.filename": "bag/data/a", "GNU.volume.size": 3, "GNU.volume.offset": 9},
    {"SCHILY.realsize": 9}, {"LIBARCHIVE.xattr.user.x": "eA"}, {"comment": "x" * 600},
)  # fmt: skip
BODIES = (*SPARSE_MAPS, b"", b"abc", b"x" * 511, b"y" * 512, b"z" * 513, bytes(700))


@cache
def bases() -> list[bytes]:
    """What is changed: tars of every dialect, most of them good ones."""
    bags = [bag_of(case, "1.0").tar(case.tar) for case in CASES if "1.0" in case.versions]
    plain = [valid_bag().hard_link("data/l", "data/empty").tar(f) for f in ("gnu", "pax", "ustar")]
    long = [valid_bag().payload("long/" * 30 + "x").tar(f) for f in ("gnu", "pax")]
    small = header(b"bag/data/a", 3) + padded(b"abc") + header(b"bag/data/b") + END
    return [*bags[:40], *seeds("scanner"), *(plain + long) * 8, *[small] * 16]


def mutated(seed: int) -> bytes:
    """The tar of this seed: one to three changes, then mostly with right checksums."""
    rng = random.Random(seed)
    data = rng.choice(bases())
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        data = rng.choice(CHANGES)(data, rng)
    return data if rng.randrange(12) == 0 else with_checksums(data)


def _header(data: bytes, rng: random.Random) -> int:
    return rng.choice(list(headers(data)) or [0])


def _set(data: bytes, start: int, end: int, value: bytes) -> bytes:
    """Keeps the rest of the field only where the value is as long as it."""
    width = end - start
    return data[:start] + value[:width].ljust(width, b"\0") + data[end:]


def number(data: bytes, rng: random.Random) -> bytes:
    at = _header(data, rng)
    start, end = NUMBERS[rng.choice(("size", "size", "size", *NUMBERS))]
    value = rng.choice(NUMBER_FIELDS)
    if value[:1] in (b"\x80", b"\xff") and end - start == 8:
        value = value[:1] + value[-7:]
    return _set(data, at + start, at + end, value)


def text(data: bytes, rng: random.Random) -> bytes:
    at = _header(data, rng)
    start, end = TEXTS[rng.choice(("name", "name", "prefix", *TEXTS))]
    return _set(data, at + start, at + end, rng.choice(TEXT_FIELDS))


def kind(data: bytes, rng: random.Random) -> bytes:
    at = _header(data, rng) + 156
    return data[:at] + bytes([rng.choice(TYPES)]) + data[at + 1 :]


def magic(data: bytes, rng: random.Random) -> bytes:
    at = _header(data, rng)
    return _set(data, at + 257, at + 265, rng.choice(MAGICS))


def records(data: bytes, rng: random.Random) -> bytes:
    """A PAX header more, some with two records of a kind."""
    at = _header(data, rng)
    some = dict(rng.choice(PAX))
    if rng.randrange(3) == 0:
        some.update(rng.choice(PAX))
    return data[:at] + extension(rng.choice((b"x", b"x", b"x", b"g")), some) + data[at:]


def record_bytes(data: bytes, rng: random.Random) -> bytes:
    """A PAX header of records that are put together byte by byte."""
    body = b"".join(
        rng.choice((b"11 path=x/y", b"9 path=z\n", b"09 path=z\n", b"+9 path=z\n", b"9 size=3\n",
                    b"10 size= 3\n", b"6 a=b\n", b"5 a=\n", b"5 =b\n", b"0 ", b"x", b"\n", b"\0",
                    b"15 path=bag/a/\n", b"12 path=a\0b\n"))
        for _ in range(rng.randrange(1, 4))
    )  # fmt: skip
    at = _header(data, rng)
    return (
        data[:at] + header(b"pax", len(body), rng.choice((b"x", b"g"))) + padded(body) + data[at:]
    )


def long_name(data: bytes, rng: random.Random) -> bytes:
    """A GNU long name, which ends with a NUL or not, before a header that has its beginning."""
    at = _header(data, rng)
    name = rng.choice((*TEXT_FIELDS, b"bag/data/" + b"d" * 90 + b"/" + b"file.txt", b"l/" * 90))
    size = len(name) + rng.choice((1, 1, 1, 0, 5))
    gnu = _set(header(b"././@LongLink", size, rng.choice((b"L", b"L", b"K"))), 257, 265, MAGICS[1])
    rest = data[at:]
    if rng.randrange(2):
        rest = _set(rest, 0, 100, name)
    return data[:at] + gnu + padded(name.ljust(size, b"\0")) + rest


def sparse(data: bytes, rng: random.Random) -> bytes:
    """A sparse file of old GNU or PAX 1.0, whose map fits or not."""
    at = _header(data, rng)
    if rng.randrange(2):
        block = bytearray(
            _set(header(b"bag/data/s", rng.choice((3, 3, 512)), b"S"), 257, 265, MAGICS[1])
        )
        for place in range(386, 482, 12)[: 2 * rng.randrange(1, 3)]:
            value = rng.choice((0, 3, 3, 5, 1000))
            block[place : place + 12] = rng.choice((b"%011o\0" % value, b"0_0".ljust(12, b"\0")))
        block[482] = rng.choice((0, 0, 0, 1))
        block[483:495] = b"%011o\0" % rng.choice((3, 3, 8, 4000))
        return data[:at] + bytes(block) + padded(b"abc") + data[at:]
    body = (
        padded(rng.choice((b"1\n0\n3\n", b"1\n5\n3\n", b"2\n0\n1\n5\n2\n", *SPARSE_MAPS))) + b"abc"
    )
    facts = {"GNU.sparse.major": 1, "GNU.sparse.minor": 0, "GNU.sparse.name": "bag/data/s"}
    facts["GNU.sparse.realsize"] = rng.choice((3, 8, 4000))
    entry = header(b"bag/GNUSparseFile.0/s", len(body)) + padded(body)
    if rng.randrange(16) == 0:  # cut off in its map
        return data[:at] + extension(b"x", facts) + entry[: rng.randrange(512, 1024)]
    return data[:at] + extension(b"x", facts) + entry + data[at:]


def entry(data: bytes, rng: random.Random) -> bytes:
    """An entry more, with its bytes: hard links and directories among them."""
    at = _header(data, rng)
    body = rng.choice(BODIES)
    size = rng.choice((len(body), len(body), len(body), rng.choice(SIZES)))
    some = header(
        rng.choice(TEXT_FIELDS)[:100], size, bytes([rng.choice(TYPES)]), link=b"bag/data/a"
    )
    return data[:at] + _set(some, 257, 265, rng.choice(MAGICS)) + padded(body) + data[at:]


def blocks(data: bytes, rng: random.Random) -> bytes:
    """Blocks twice, left out, or in another order."""
    count = max(len(data) // 512, 2)
    one, other = sorted(512 * rng.randrange(count) for _ in range(2))
    change = rng.randrange(4)
    if change == 0:
        return data[:one] + data[one : one + 512] + data[one:]
    if change == 1:
        return data[:one] + data[one + 512 :]
    if change == 2 and one < other:
        middle = data[one + 512 : other]
        return (
            data[:one]
            + data[other : other + 512]
            + middle
            + data[one : one + 512]
            + data[other + 512 :]
        )
    return data[:one] + bytes(512) + data[one:]


def ending(data: bytes, rng: random.Random) -> bytes:
    """Cut off, without an end mark, joined with another tar, or with junk behind it."""
    return rng.choice(
        (
            data[: rng.randrange(len(data) + 1)],
            data[: 512 * rng.randrange(len(data) // 512 + 1)],
            data.rstrip(b"\0") + bytes(-len(data.rstrip(b"\0")) % 512),
            data + rng.choice(bases()),
            data + b"junk" * rng.randrange(1, 300),
            data + (b"junk" * 2_560)[: -len(data) % 10_240],
        )
    )


def orphan(data: bytes, rng: random.Random) -> bytes:
    """An extension and no entry behind it."""
    whole = data.rstrip(b"\0")
    return (
        whole + bytes(-len(whole) % 512) + extension(rng.choice((b"x", b"g")), {"mtime": 1}) + END
    )


def byte(data: bytes, rng: random.Random) -> bytes:
    at = _header(data, rng) + rng.randrange(512)
    return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]


CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    number, text, kind, magic, records, record_bytes, long_name, sparse, entry, blocks, ending,
    byte, orphan, mutated_tar,
)  # fmt: skip
