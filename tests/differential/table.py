"""Where programs read a tar differently from us: when, why, and why ours is right.

Each row has the reader, a condition on the bytes that stand there, and the reason. A row that
`goes_on` is about one entry alone, and the next ones are compared; behind the others the readers
stand at different places of the tar.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from unicodedata import normalize

from differential.comparing import Head, Parting, decimal, first_parting, is_header, octal, records
from differential.readers import FILE, FOLDER, HARD_LINK, Reading

TARFILE, LIBARCHIVE, BOTH = "tarfile", "libarchive", ""


@dataclass(frozen=True)
class Row:
    reader: str
    holds: Callable[[Parting], object]
    reason: str
    goes_on: bool = False


def explained(parting: Parting) -> Row | None:
    """The row that explains it, if any."""
    for row in ROWS:
        if row.reader in (parting.reader, BOTH) and row.holds(parting):
            return row
    return None


def partings(
    raw: bytes, reader: str, us: Reading, them: Reading
) -> Iterator[tuple[Parting, Row | None]]:
    """Where the readings of a tar part, each with the row that explains it: as far as rows tell
    that the readers go on at one place."""
    at = 0
    while (parting := first_parting(raw, reader, us, them, at)) is not None:
        row = explained(parting)
        yield parting, row
        if row is None or not row.goes_on:
            return
        at = parting.at + 1


# -- what stands there
def refused(p: Parting, *codes: str) -> bool:
    """Whether we came to our end here, with the last Problem of one of these codes."""
    return p.ours is None and bool(p.us.fault) and p.codes[-1] in codes


def they_refused(p: Parting, *words: str) -> bool:
    return p.theirs is None and any(word in p.them.fault for word in words)


def same_but(p: Parting, *fields: str) -> bool:
    """Whether the two entries differ in nothing but these."""
    if p.ours is None or p.theirs is None:
        return False
    every = ("name", "kind", "size", "digest", "link")
    return all(getattr(p.ours, f) == getattr(p.theirs, f) for f in every if f not in fields)


def kinds(p: Parting, ours: str, theirs: str) -> bool:
    return bool(p.ours and p.theirs and (p.ours.kind, p.theirs.kind) == (ours, theirs))


# -- fields
OCTAL_BY_HEART = re.compile(rb" *[0-7]*[ \0]*").fullmatch
SIZE = (124, 136)
NUMBERS_OF_TARFILE = ((100, 108), (108, 116), (116, 124), SIZE, (136, 148), (329, 337), (337, 345))


def size_field(head: Head) -> bytes:
    return head.block[slice(*SIZE)]


def sizes_of(head: Head) -> int:
    return (octal(size_field(head)) or 0) if head.block else 0


def real_size(p: Parting) -> int:
    """Of an expanded sparse file."""
    if p.head.type == b"S":
        return octal(p.head.block[483:495]) or 0
    every = {**p.global_records, **p.records}
    return decimal(every.get(b"GNU.sparse.realsize") or every.get(b"GNU.sparse.size") or b"") or 0


def is_number_of_tarfile(field: bytes) -> bool:
    if not field:
        return True
    try:
        tarfile.nti(field)  # type: ignore[attr-defined]
    except tarfile.HeaderError:  # type: ignore[attr-defined]
        return False
    return True


def is_posix(p: Parting) -> bool:
    magic = p.head.block[257:265]
    return magic.startswith(b"ustar") and not magic.startswith(b"ustar  ")


def is_gnu(p: Parting) -> bool:
    return p.head.block[257:265] == b"ustar  \0"


def is_empty(p: Parting) -> bool:
    return bool(p.ours and p.theirs and not p.ours.size and not p.theirs.size)


def prefix(p: Parting) -> bytes:
    return p.head.text(345, 500)


def name_ends_in_slash(p: Parting) -> bool:
    return bool(p.ours and p.us.members[p.at].name.endswith("/"))


def has_sparse_records(p: Parting) -> bool:
    words = {*p.records, *p.global_records}
    return any(word.startswith(b"GNU.sparse") for word in words)


def is_sparse(p: Parting) -> bool:
    return p.head.type == b"S" or has_sparse_records(p)


def sound_sparse_map(p: Parting) -> bool:
    """Whether the map of the sparse entry is in order, and fits its bytes and its size."""
    read = _old_map(p) if p.head.type == b"S" else _pax_map(p)
    if read is None:
        return False
    numbers, real, stored = read
    if len(numbers) % 2 or None in numbers or real is None or stored is None:
        return False
    at = 0
    for offset, count in zip(numbers[::2], numbers[1::2], strict=True):
        if offset < at or count < 0 or offset + count > real:
            return False
        at = offset + count
    return sum(numbers[1::2]) == stored


def _old_map(p: Parting) -> tuple[list, int | None, int | None] | None:
    block, at, places, more = p.head.block, p.head.offset, range(386, 482, 24), 482
    numbers: list[int | None] = []
    while True:
        for place in places:
            pair = block[place : place + 24]
            if pair[0] or pair[12]:
                numbers += [octal(pair[:12]), octal(pair[12:])]
        if not block[more]:
            return numbers, octal(p.head.block[483:495]), p.size
        at += 512
        block, places, more = p.raw[at : at + 512], range(0, 504, 24), 504
        if len(block) < 512:
            return None


def _pax_map(p: Parting) -> tuple[list, int | None, int | None] | None:
    own, every = p.records, {**p.global_records, **p.records}
    real = decimal(every.get(b"GNU.sparse.realsize") or every.get(b"GNU.sparse.size") or b"")
    stored = p.size
    if every.get(b"GNU.sparse.major") != b"1":
        if b"GNU.sparse.map" in own:
            text = own[b"GNU.sparse.map"]
            return [decimal(n) for n in text.split(b",")] if text else [], real, stored
        some = [r for head in p.heads[:-1] if head.type in b"xX" for r in records(head.body) or []]
        words = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
        return [decimal(value) for word, value in some if word in words], real, stored
    start = p.head.offset + 512
    body = p.raw[start : start + (stored or 0)]
    match = re.match(rb"([0-9]{1,9})\n", body)
    if match is None:
        return None
    lines = body.split(b"\n", 2 * int(match[1]) + 1)
    if len(lines) < 2 * int(match[1]) + 2:
        return None
    taken = sum(len(line) + 1 for line in lines[:-1])
    taken += -taken % 512
    return [decimal(n) for n in lines[1:-1]], real, (stored or 0) - taken


KNOWN_TYPES = [bytes([byte]) for byte in b"\x0001234567DSMV"]
NO_BYTES = (b"2", b"3", b"4", b"5", b"6")
NAMES = (b"path", b"GNU.sparse.name")
OVERRIDES = (*NAMES, b"linkpath", b"size")


def said_twice(p: Parting) -> bool:
    """More than one header before the entry says what it is."""
    return len(p.before.replace(b"V", b"")) > 1 or bool(p.before and p.global_records)


def said_empty(p: Parting, *words: bytes) -> bool:
    """A record of no value, which takes back what a global header said (POSIX)."""
    every = {**p.global_records, **p.records}
    return any(every.get(word) == b"" for word in words)


def long_name_without_nul(p: Parting) -> bool:
    return any(head.type in b"LK" and b"\0" not in head.body for head in p.heads[:-1])


def has_global_sparse(p: Parting) -> bool:
    return any(word.startswith(b"GNU.sparse") for word in p.global_records)


def has_two_sizes(p: Parting) -> bool:
    return {b"GNU.sparse.size", b"GNU.sparse.realsize"} <= p.records.keys()


def has_gnu_map(p: Parting) -> bool:
    """A map, or a real size, of old GNU in a header of another type."""
    return is_gnu(p) and p.head.type != b"S" and any(p.head.block[386:495])


def has_map_of_no_file(p: Parting) -> bool:
    """Sparse records, or a map of old GNU, of an entry that is none for us."""
    has_map = has_sparse_records(p) or (is_gnu(p) and bool(p.head.block[386]))
    return p.ours is not None and p.ours.kind != FILE and has_map


def link_with_size(p: Parting) -> bool:
    return p.head.type == b"1" and bool(p.size)


def body_follows(p: Parting) -> bool:
    """Whether what stands behind a hard link is neither a header nor an end."""
    block = p.raw[p.head.offset + 512 : p.head.offset + 1024]
    return len(block) == 512 and any(block) and not is_header(block)


def bad_pax(p: Parting) -> bool:
    """A PAX header here holds no records, or a size that is no decimal number."""
    for head in p.heads:
        if head.type in b"xXg" and (found := records(head.body)) is None:
            return True
        if head.type in b"xX" and any(
            word == b"size" and value and decimal(value) is None for word, value in found or []
        ):
            return True
    value = p.global_records.get(b"size")
    return bool(value) and decimal(value) is None


def odd_first(p: Parting) -> bool:
    """The first header has fields or a type that programs do not write."""
    head = p.heads[0]
    fields = (head.block[slice(*f)] for f in NUMBERS_OF_TARFILE)
    return (not head.type.isalnum() and head.type != b"\0") or not all(map(OCTAL_BY_HEART, fields))


def has_plain_checksum(head: Head) -> bool:
    return not head.block[148:156].strip(b"01234567 \0")


def tidy(name: str) -> str:
    return re.sub("/+", "/", name).rstrip("/")


ROWS: tuple[Row, ...] = (
    # What we refuse, and others make something of.
    Row(
        BOTH,
        lambda p: refused(p, "BAG010") and any(octal(size_field(h)) is None for h in p.heads),
        "a size that is not octal: int() takes signs and underscores, libarchive what comes before"
        " the first other byte; the next header is looked for in vain, or in another place",
    ),
    Row(
        BOTH,
        lambda p: refused(p, "BAG011") and bad_pax(p),
        "PAX records that are none, or a size that is not decimal: others take what they can, or"
        " pass over them; a name or a size may be lost",
    ),
    Row(
        BOTH,
        lambda p: (
            refused(p, "BAG013")
            and not all(
                0 <= n < 2**63 for n in (p.size or 0, real_size(p), *map(sizes_of, p.heads))
            )
        ),
        "a size below zero or beyond 2^63",
    ),
    Row(
        BOTH,
        lambda p: refused(p, "BAG015") and is_sparse(p) and not sound_sparse_map(p),
        "a sparse map that is not in order, or does not fit what is stored: others make up bytes",
    ),
    Row(
        BOTH,
        lambda p: (
            refused(p, "BAG016")
            and (p.head.type == b"M" or b"GNU.volume.filename" in {*p.records, *p.global_records})
        ),
        "one volume of several: the rest of the file is elsewhere",
    ),
    Row(
        BOTH,
        lambda p: refused(p, "BAG006") and is_sparse(p),
        "a sparse file that is cut off in its map: others tell its size before they miss the rest",
    ),
    Row(
        BOTH,
        lambda p: refused(p, "BAG006") and link_with_size(p) and body_follows(p),
        "a hard link that carries its bytes and is cut off in them",
    ),
    # tarfile.
    Row(
        TARFILE,
        lambda p: any(said_empty(q, b"size") for q in p.so_far),
        "a record without a value takes back what was said before: tarfile takes it for 0",
    ),
    Row(
        TARFILE,
        lambda p: kinds(p, FOLDER, "other") and p.head.type == b"D",
        "a directory of an incremental GNU tar: tarfile does not know the type",
        goes_on=True,
    ),
    Row(
        TARFILE,
        lambda p: kinds(p, FOLDER, FILE) and name_ends_in_slash(p) and not p.size,
        "a directory written as a file whose name ends in a slash: tarfile makes up an empty file",
        goes_on=True,
    ),
    Row(
        TARFILE,
        lambda p: same_but(p, "name") and p.ours.name.rstrip("/") == p.theirs.name,
        "bytes under a name that ends in a slash: tarfile leaves out the slash, others the bytes;"
        " we say so (BAG033)",
        goes_on=True,
    ),
    Row(
        TARFILE,
        lambda p: (
            kinds(p, FILE, FOLDER) and p.head.type == b"\0" and p.head.text(0, 100).endswith(b"/")
        ),
        "of V7 headers tarfile looks at the name before the extensions, and takes what ends in a"
        " slash for a directory without bytes",
    ),
    Row(
        TARFILE,
        lambda p: (
            same_but(p, "name")
            and not is_posix(p)
            and bool(prefix(p))
            and p.theirs.name.startswith(prefix(p).decode("utf-8", "surrogateescape"))
        ),
        "GNU and V7 headers have no prefix: GNU keeps times there",
        goes_on=True,
    ),
    Row(
        TARFILE,
        lambda p: (
            p.theirs is None
            and not all(
                is_number_of_tarfile(h.block[slice(*f)])
                for h in p.heads
                for f in NUMBERS_OF_TARFILE
            )
        ),
        "a mode, owner, time or device that is no number: tarfile takes the header for none",
    ),
    Row(
        TARFILE,
        lambda p: kinds(p, FILE, HARD_LINK) and link_with_size(p) and body_follows(p),
        "a hard link that carries its bytes (pax -o linkdata): tarfile looks for a header there",
    ),
    Row(
        TARFILE,
        lambda p: p.ours is None and not any(p.head.block) and p.before[-1:] in (b"g", b"V"),
        "a global header before the end mark: tarfile wants an entry there",
    ),
    Row(
        TARFILE,
        lambda p: same_but(p, "name", "link") and said_empty(p, *OVERRIDES[:-1]),
        "a record without a value takes back what was said before: tarfile takes it for a name",
        goes_on=True,
    ),
    Row(
        TARFILE,
        lambda p: same_but(p, "name", "link") and long_name_without_nul(p),
        "a GNU long name that no NUL closes: tarfile reads on behind it",
        goes_on=True,
    ),
    Row(
        TARFILE,
        lambda p: same_but(p, "name", "link") and said_twice(p),
        "two headers for one entry: the last one counts, and a PAX header before a GNU long name",
        goes_on=True,
    ),
    Row(
        TARFILE,
        lambda p: (
            has_sparse_records(p)
            and (b"V" in p.before or (p.ours is not None and p.ours.kind != FILE))
        ),
        "sparse records before what is no file: tarfile looks for a map there",
    ),
    Row(
        TARFILE,
        lambda p: kinds(p, FILE, FILE) and said_twice(p) and b"size" in p.records,
        "two headers for one entry's size",
    ),
    Row(
        TARFILE,
        lambda p: (
            is_sparse(p)
            and (said_twice(p) or has_two_sizes(p))
            and (kinds(p, FILE, FILE) or they_refused(p, "not enough values to unpack"))
        ),
        "two headers, or two sizes, for one sparse file",
    ),
    Row(
        TARFILE,
        lambda p: b"size" in p.global_records or has_global_sparse(p),
        "a global record of a size or a sparse map: tarfile looks for the next header where the"
        " entry's own says",
    ),
    Row(
        TARFILE,
        lambda p: p.head.type == b"S" and bool(p.before) and not refused(p, "BAG015"),
        "a sparse file of old GNU with a PAX header: tarfile takes its size for the expanded one",
    ),
    # libarchive.
    Row(
        LIBARCHIVE,
        lambda p: they_refused(p, "Damaged") and not all(map(has_plain_checksum, p.heads)),
        "a checksum with other bytes behind its end: libarchive takes the header for none",
    ),
    Row(
        LIBARCHIVE,
        lambda p: not p.at and they_refused(p, "Unrecognized archive format") and odd_first(p),
        "libarchive guesses by the fields of the first header whether it is a tar at all",
    ),
    Row(
        LIBARCHIVE,
        lambda p: b"V" in p.before and any(sizes_of(h) for h in p.heads if h.type == b"V"),
        "a volume label with bytes: libarchive looks for the next header right behind it",
    ),
    Row(
        LIBARCHIVE,
        lambda p: b"V" in p.before.lstrip(b"V"),
        "a header that extends a volume label: libarchive takes it for the next entry's",
    ),
    Row(
        LIBARCHIVE,
        lambda p: any(said_empty(q, b"size") for q in p.so_far),
        "a record without a value takes back what was said before: libarchive takes it for 0",
    ),
    Row(
        LIBARCHIVE,
        lambda p: link_with_size(p) and not body_follows(p),
        "a hard link that has a size, and a header or the end behind it: where libarchive has seen"
        " a PAX header it takes these for the link's bytes, and entries may be lost",
    ),
    Row(
        LIBARCHIVE,
        lambda p: link_with_size(p) and body_follows(p) and p.head.type == b"1",
        "a hard link that carries its bytes: where libarchive has seen no PAX header it looks for"
        " a header there, and an empty target makes it a file",
    ),
    Row(
        LIBARCHIVE,
        lambda p: kinds(p, HARD_LINK, "other") or (kinds(p, HARD_LINK, FILE) and not p.ours.link),
        "a hard link to nothing",
        goes_on=True,
    ),
    Row(
        LIBARCHIVE,
        lambda p: any(map(has_map_of_no_file, p.so_far)),
        "a sparse map of what is no file",
    ),
    Row(
        LIBARCHIVE,
        lambda p: any(q.head.type in NO_BYTES and q.size != 0 for q in p.so_far if q is not p),
        "a link, a device, a directory or a pipe with a size: POSIX says that no bytes follow;"
        " libarchive skips some, also where a PAX header says a size",
    ),
    Row(
        LIBARCHIVE,
        lambda p: they_refused(p, "Tar size attribute") and p.head.type in NO_BYTES,
        "a size below zero or beyond 2^63 of what has no bytes, whatever its size says",
    ),
    Row(
        LIBARCHIVE,
        lambda p: same_but(p, "link") and b"K" in p.before and not p.head.text(157, 257),
        "a GNU long link name before a header without one: libarchive loses it",
        goes_on=True,
    ),
    Row(
        LIBARCHIVE,
        lambda p: they_refused(p, "Non-regular file cannot be sparse") and has_sparse_records(p),
        "a sparse file of a V7 header: libarchive knows no type of it",
    ),
    Row(
        LIBARCHIVE,
        lambda p: p.head.type not in KNOWN_TYPES and kinds(p, "other", FILE),
        "an entry of an unknown type: libarchive takes it for a file, we leave it out and say so",
        goes_on=True,
    ),
    Row(
        LIBARCHIVE,
        lambda p: p.head.type not in KNOWN_TYPES and kinds(p, "other", FOLDER),
        "an entry of an unknown type, with a slash at its name's end",
    ),
    Row(
        LIBARCHIVE,
        lambda p: same_but(p, "name") and tidy(p.ours.name) == tidy(p.theirs.name),
        "slashes between prefix and name: one, or one more",
        goes_on=True,
    ),
    Row(
        LIBARCHIVE,
        lambda p: (
            same_but(p, "name", "link")
            and normalize("NFC", p.ours.name) == normalize("NFC", p.theirs.name)
            and normalize("NFC", p.ours.link) == normalize("NFC", p.theirs.link)
        ),
        "libarchive gives names of PAX records in another normal form than they have",
        goes_on=True,
    ),
    Row(
        LIBARCHIVE,
        lambda p: (
            (
                kinds(p, FILE, FOLDER)
                and (name_ends_in_slash(p) or p.head.text(0, 100).endswith(b"/"))
            )
            or (refused(p, "BAG006") and p.theirs is not None and p.theirs.kind == FOLDER)
        ),
        "bytes under a name that ends in a slash: libarchive leaves them out; we say so (BAG033)",
    ),
    Row(
        LIBARCHIVE,
        lambda p: p.head.type == b"S" and not is_gnu(p) and sound_sparse_map(p),
        "a sparse header of old GNU in a POSIX or V7 tar: libarchive does not look at its map",
    ),
    Row(
        LIBARCHIVE,
        lambda p: any(map(has_gnu_map, p.so_far)),
        "a GNU header with a sparse map, or a real size, and not of that type: we go by the type",
    ),
    Row(
        LIBARCHIVE,
        lambda p: same_but(p, "name", "size", "digest") and b"SCHILY.realsize" in p.records,
        "libarchive tells a size of star's that its bytes do not have",
        goes_on=True,
    ),
    Row(
        LIBARCHIVE,
        lambda p: b"size" in p.global_records or has_global_sparse(p),
        "libarchive passes over global headers, and a size or a sparse map in them",
    ),
    Row(
        LIBARCHIVE,
        lambda p: (
            (same_but(p, "name", "link") or (is_empty(p) and same_but(p, "name", "kind", "digest")))
            and bool({b"path", b"linkpath"} & p.global_records.keys())
        ),
        "libarchive passes over global headers, and a name in them",
        goes_on=True,
    ),
    Row(
        LIBARCHIVE,
        lambda p: any(b"\0" in head.body for head in p.heads[:-1] if head.type in b"xX"),
        "a NUL in or behind PAX records: libarchive passes over them all, or ends a name there",
    ),
    Row(
        LIBARCHIVE,
        lambda p: same_but(p, "name", "link") and said_twice(p),
        "two headers for one entry: the last one counts, and a PAX header before a GNU long name",
        goes_on=True,
    ),
    Row(
        LIBARCHIVE,
        lambda p: (
            said_twice(p)
            and (is_sparse(p) or b"size" in p.records or is_empty(p) or kinds(p, FILE, FOLDER))
        ),
        "two headers for one entry's size, or for the name that makes it a directory",
    ),
    Row(
        LIBARCHIVE,
        lambda p: kinds(p, FILE, FILE) and has_two_sizes(p),
        "two sizes for one sparse file: the real size counts",
    ),
    Row(
        LIBARCHIVE,
        lambda p: they_refused(p, "Truncated") and p.codes[-1:] == ["BAG006"],
        "a tar that is cut off behind an entry's last byte, in what fills its block up",
    ),
)
