"""Where two readings of a tar part, and what stands in the tar at that place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from differential.readers import Entry, Reading

EXTENSIONS = b"xXgLKV"
"""Types of headers that belong to the next entry, and V, of which nothing is told."""
STRICT_OCTAL = re.compile(rb" *([0-7]*) *(?:\0.*)?", re.DOTALL)


def octal(field: bytes) -> int | None:
    """A number of a header, read by the letter; None where it is none."""
    if field[:1] >= b"\x80":
        value = int.from_bytes(field, "big", signed=True)
        return value if field[0] == 0xFF else value + (1 << 8 * len(field) - 1)
    match = STRICT_OCTAL.fullmatch(field)
    if match is None or re.match(rb"\0 *[0-7]", field):
        return None
    return int(match[1] or b"0", 8)


def decimal(value: bytes) -> int | None:
    return int(value) if value.isdigit() else None


def is_header(block: bytes) -> bool:
    """Whether the block's sum, of unsigned or of signed bytes, stands in it."""
    unsigned = sum(block) - sum(block[148:156]) + 256
    signed = unsigned - 256 * sum(byte > 127 for byte in block[:148] + block[156:])
    return len(block) == 512 and octal(block[148:156]) in (unsigned, signed)


def records(body: bytes) -> list[tuple[bytes, bytes]] | None:
    """The records of a PAX header; None where they are none."""
    found, rest = [], body.rstrip(b"\0")
    while rest:
        match = re.match(rb"([0-9]{1,11}) ([^=]+)=", rest)
        if match is None or len(rest) < int(match[1]) or rest[int(match[1]) - 1 :][:1] != b"\n":
            return None
        if int(match[1]) <= match.end():
            return None
        found.append((match[2], rest[match.end() : int(match[1]) - 1]))
        rest = rest[int(match[1]) :]
    return found


@dataclass(frozen=True)
class Head:
    """One header block, and the bytes that its size claims (of extensions only)."""

    offset: int
    block: bytes
    body: bytes = b""

    @property
    def type(self) -> bytes:
        return self.block[156:157]

    def text(self, start: int, end: int) -> bytes:
        return self.block[start:end].partition(b"\0")[0]


@dataclass(frozen=True)
class Parting:
    """The first entry that two readings tell differently; None where one has come to its end."""

    raw: bytes
    reader: str
    us: Reading
    them: Reading
    at: int

    @property
    def so_far(self) -> Iterator[Parting]:
        """This place and those before it: behind what both tell alike, each may look for the next
        header elsewhere."""
        yield self
        for at in range(self.at - 1, -1, -1):
            yield replace(self, at=at)

    @cached_property
    def ours(self) -> Entry | None:
        return self.us.entries[self.at] if self.at < len(self.us.entries) else None

    @cached_property
    def theirs(self) -> Entry | None:
        return self.them.entries[self.at] if self.at < len(self.them.entries) else None

    @cached_property
    def offset(self) -> int:
        """Where the entry begins for us, with the headers before it."""
        return self.us.members[self.at - 1].end_offset if self.at else 0

    @cached_property
    def heads(self) -> list[Head]:
        """The headers there: extensions, then that of the entry (none at the tar's end)."""
        found, at = [], self.offset
        while len(block := self.raw[at : at + 512]) == 512 and any(block):
            if block[156] not in EXTENSIONS:
                return [*found, Head(at, block)]
            size = max(octal(block[124:136]) or 0, 0)
            found.append(Head(at, block, self.raw[at + 512 : at + 512 + size]))
            at += 512 + size + -size % 512
        return [*found, Head(at, block)]

    @property
    def head(self) -> Head:
        return self.heads[-1]

    @cached_property
    def before(self) -> bytes:
        """The types of the extensions before the entry."""
        return b"".join(head.type for head in self.heads[:-1])

    @cached_property
    def records(self) -> dict[bytes, bytes]:
        """The PAX records before the entry, the last ones of their names."""
        found: dict[bytes, bytes] = {}
        for head in self.heads[:-1]:
            if head.type in b"xX":
                found.update(records(head.body) or [])
        return found

    @cached_property
    def global_records(self) -> dict[bytes, bytes]:
        """Those of global headers before the entry, wherever these stand."""
        found: dict[bytes, bytes] = {}
        for at in range(0, min(self.head.offset, len(self.raw)), 512):
            block = self.raw[at : at + 512]
            if block[156:157] == b"g" and is_header(block):
                size = max(octal(block[124:136]) or 0, 0)
                found.update(records(self.raw[at + 512 : at + 512 + size]) or [])
        return found

    @cached_property
    def size(self) -> int | None:
        """The bytes that its headers say follow the entry's; None where that is no number."""
        value = self.records.get(b"size") or self.global_records.get(b"size")
        return decimal(value) if value else octal(self.head.block[124:136])

    @property
    def codes(self) -> list[str]:
        return [problem.code for problem in self.us.problems]


def first_parting(raw: bytes, reader: str, us: Reading, them: Reading, at: int) -> Parting | None:
    """From entry `at` on; None where both tell the same to the end."""
    most = max(len(us.entries), len(them.entries))
    for place in range(at, most):
        if us.entries[place : place + 1] != them.entries[place : place + 1]:
            return Parting(raw, reader, us, them, place)
    if bool(us.fault) != bool(them.fault):
        return Parting(raw, reader, us, them, max(most, at))
    return None
