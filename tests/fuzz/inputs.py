"""Inputs that are nearly right: what a fuzzer starts from, and hypothesis's strategies.

Random bytes are no tar; the faults lie next to what is right.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from hypothesis import strategies as st

from fuzz.targets import ENCODINGS, MANIFESTS, headers, with_checksums
from support.bags import END, BagBuilder, extension, header, padded, pax, valid_bag

# -- tars
TYPES = b"0\x0011234567DxXgLKMSVNZ"
NAMES = (
    b"bag/data/a",
    b"bag/data/b",
    b"bag/bagit.txt",
    b"bag/manifest-md5.txt",
    b"bag/",
    b"bag/data/",
    b"./bag//data/./c",
    b"other/x",
    b"../x",
    b"/x",
    b"C:/x",
    b"",
    b"._bag",
    b"bag/caf\xe9",
    "bag/data/é".encode(),
    "bag/data/e\u0301".encode(),
)
RECORDS: tuple[dict[str, bytes | int | str], ...] = (
    {"path": "bag/data/" + "long/" * 60 + "x"},
    {"linkpath": "bag/data/a"},
    {"size": 3},
    {"size": "9" * 25},
    {"mtime": "1.5"},
    {"mtime": "-1700000000.123456789"},
    {"GNU.sparse.size": 2000, "GNU.sparse.map": "0,3,1000,2"},
    {"GNU.sparse.size": 9, "GNU.sparse.numblocks": 0},
    {"GNU.sparse.major": 1, "GNU.sparse.minor": 0, "GNU.sparse.realsize": 4000},
    {"GNU.sparse.name": "bag/data/sparse", "GNU.sparse.realsize": 10, "GNU.sparse.major": 1},
    {"hdrcharset": "BINARY", "path": b"bag/data/\xff"},
    {"comment": ""},
)
SPARSE_MAPS = (b"1\n0\n3\n", b"2\n0\n3\n1000\n2\n", b"0\n", b"99999999\n", b"1\n0\n")
SIZES = (0, 1, 3, 511, 512, 513, 1000, 3000)

_types = st.sampled_from([bytes([byte]) for byte in TYPES])
_names = st.one_of(st.sampled_from(NAMES), st.binary(max_size=99))
_members = st.builds(
    lambda name, size, kind, link, data: header(name, size, kind, link=link) + padded(data),
    _names,
    st.sampled_from(SIZES),
    _types,
    _names,
    st.binary(max_size=600),
)
_whole_members = st.builds(
    lambda name, kind, data: header(name, len(data), kind) + padded(data),
    _names,
    _types,
    st.one_of(st.binary(max_size=1500), st.sampled_from(SPARSE_MAPS)),
)
_extensions = st.builds(extension, st.sampled_from([b"x", b"g", b"X"]), st.sampled_from(RECORDS))
_damage = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=6)


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """Tars of a few members, whole or not, then damaged, cut or mended."""
    pieces = st.one_of(_members, _whole_members, _extensions, st.just(END), st.binary(max_size=512))
    raw = bytearray(
        b"".join(draw(st.lists(pieces, max_size=8))) + draw(st.sampled_from([END, b""]))
    )
    for place, value in draw(_damage):
        if place < len(raw):
            raw[place] = value
    data = bytes(raw)
    if draw(st.booleans()):
        data = with_checksums(data)
    return data[: len(data) - draw(st.sampled_from([0, 0, 0, 1, 512, 700]))]


def mutated_tar(data: bytes, rng: random.Random) -> bytes:
    """A change that knows what a header is; for fuzzers that only know bytes."""
    places = list(headers(data)) or [0]
    at = rng.choice(places)
    raw = bytearray(data)
    change = rng.randrange(6)
    if change == 0:
        kind = bytes([rng.choice(TYPES)])
        raw[at:at] = header(rng.choice(NAMES), rng.choice(SIZES), kind, link=rng.choice(NAMES))
    elif change == 1:
        raw[at:at] = extension(rng.choice([b"x", b"g"]), rng.choice(RECORDS))
    elif change == 2 and len(raw) >= at + 512:
        raw[at + 156] = rng.choice(TYPES)
    elif change == 3 and len(raw) >= at + 512:
        raw[at + 124 : at + 136] = rng.choice(
            [b"%011o\0" % rng.choice(SIZES), b"\x80" + rng.randbytes(11), b"\xff" * 12]
        )
    elif change == 4:
        raw[at : at + 512 * rng.randrange(1, 3)] = b""
    else:
        other = rng.choice(places)
        raw[at:at] = raw[other : other + 512 * rng.randrange(1, 4)]
    return bytes(raw)


# -- manifests
DIGESTS = (
    b"0123456789abcdef" * 2,
    b"0123456789ABCDEF" * 2,
    b"0" * 40,
    b"f" * 128,
    b"d41d8cd9",
    b"xyz",
    b"",
)
GAPS = (b"  ", b" ", b"\t", b" *", b" \t ", b"")
PATHS = (
    b"data/a",
    b"data/50%25",
    b"data/a%0Ab%0d",
    b"./data/a",
    b"*data/a",
    b"data\\sub\\a",
    b"data//a/./b",
    b"/data/a",
    b"data/../../a",
    b"C:\\data\\a",
    b"~/a",
    b"bagit.txt",
    b"manifest-md5.txt",
    b"tagmanifest-md5.txt",
    "data/é".encode(),
    "data/e\u0301".encode(),
    b"data/\xe9",
    "data/ a\u202f\u2028 \u3000b ".encode(),
    b"",
)
ENDS = (b"\n", b"\r\n", b"\r", b"\n\n", b"\r\r\n", b"")
MARKS = (b"", b"", b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0")
CODECS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "latin-1", "utf-7")

_choices = st.integers(0, 255).map(lambda byte: bytes([byte]))


def _in_codec(raw: bytes, codec: str) -> bytes:
    return raw.decode("latin-1").encode(codec) if codec != "utf-8" else raw


_lines = st.tuples(
    st.sampled_from(DIGESTS),
    st.sampled_from(GAPS),
    st.one_of(st.sampled_from(PATHS), st.binary(max_size=20)),
    st.sampled_from(ENDS),
).map(b"".join)

manifests = st.builds(
    lambda choice, mark, lines, codec: choice + mark + _in_codec(b"".join(lines), codec),
    _choices,
    st.sampled_from(MARKS),
    st.lists(st.one_of(_lines, st.binary(max_size=30)), max_size=12),
    st.sampled_from(CODECS),
)

# -- tag files
TAG_LINES = (
    b"BagIt-Version: 1.0",
    b"Tag-File-Character-Encoding: UTF-8",
    b"Tag-File-Character-Encoding: UTF-7",
    b"Title: a: b",
    b"Payload-Oxum: 1.1",
    b"Empty:",
    b"  folded",
    b"\tfolded too: yes",
    b"no colon",
    b": no name",
    b" : ",
    "Titel: Vögel\u2028\u00a0".encode(),
    b"\xff\xfe: \x85",
    b"A+2AA-: +2AA-",
    b"",
)
_tag_lines = st.tuples(
    st.one_of(st.sampled_from(TAG_LINES), st.binary(max_size=20)), st.sampled_from(ENDS)
).map(b"".join)

tag_files = st.builds(
    lambda choice, mark, lines, codec: choice + mark + _in_codec(b"".join(lines), codec),
    _choices,
    st.sampled_from(MARKS),
    st.lists(_tag_lines, max_size=12),
    st.sampled_from(CODECS),
)

STRATEGIES = {"scanner": tars(), "manifest": manifests, "tags": tag_files}


# -- where a fuzzer starts
def seeds(target: str) -> Iterator[bytes]:
    """Good inputs of every kind."""
    return _SEEDS[target]()


def _tar_seeds() -> Iterator[bytes]:
    for format in ("pax", "gnu", "ustar"):
        yield BagBuilder().payload("a").hard_link("data/b", "data/a").tar(format, directories=True)
        yield valid_bag(profile="none").symlink("data/s", "x").fifo("data/f").tar(format)
    yield BagBuilder().payload("long/" * 60 + "x").tar("gnu")
    for records in RECORDS:
        yield extension(b"x", records) + header(b"bag/data/a", 5) + padded(b"bytes") + END
    for body in SPARSE_MAPS:
        sparse = pax(GNU_sparse_major=1, GNU_sparse_minor=0, GNU_sparse_realsize=4000)
        data = padded(body) + b"abcde"
        yield sparse + header(b"bag/data/a", len(data)) + padded(data) + END
    old = bytearray(header(b"bag/data/a", 3, b"S"))
    old[386:410] = b"%011o\0" % 1000 + b"%011o\0" % 3
    old[483:495] = b"%011o\0" % 4000
    yield with_checksums(bytes(old) + padded(b"abc") + END)
    old[482] = 1
    yield with_checksums(bytes(old)) + bytes(512) + padded(b"abc") + END
    for kind in TYPES:
        yield header(b"bag/a", 3, bytes([kind]), link=b"bag/b") + padded(b"abc") + END


def _manifest_seeds() -> Iterator[bytes]:
    text = b"".join(DIGESTS[0] + b"  " + path + b"\n" for path in PATHS)
    for place in range(len(ENCODINGS)):
        yield bytes([place << 4]) + text
    for place in range(len(MANIFESTS)):
        for digest in DIGESTS:
            yield bytes([place]) + digest + b" data/a\r\n" + digest + b"\t*data/b"
    for mark, codec in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"", "utf-7")):
        yield b"\0" + mark + _in_codec(text, codec)


def _tag_seeds() -> Iterator[bytes]:
    text = b"\n".join(TAG_LINES)
    for place in range(len(ENCODINGS)):
        yield bytes([place << 4]) + text
        yield bytes([1 | place << 4]) + text.replace(b"\n", b"\r\n")
    for mark, codec in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"", "utf-7")):
        yield b"\1" + mark + _in_codec(text, codec)


_SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "scanner": _tar_seeds,
    "manifest": _manifest_seeds,
    "tags": _tag_seeds,
}
