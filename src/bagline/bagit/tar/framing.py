"""Tar framing over a stream of chunks: members, their kinds, and where their bytes lie.

Reads V7, ustar, PAX (own and global headers), GNU long names, sparse files (old GNU,
PAX 0.0, 0.1, 1.0) and base-256 numbers. Never copies file data, never trusts a header:
see Limits. Whatever makes reading on impossible raises BagRejected with one Problem;
a source that fails raises Unreachable (`bagline.bagit.tar.stream`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NoReturn

from bagline import problems
from bagline.bagit.tar import header as tarheader
from bagline.bagit.tar import sparse_maps
from bagline.bagit.tar.ending import ending, volume_ending
from bagline.bagit.tar.header import BLOCK, ZERO_BLOCK, BadField, RawHeader, not_a_tar
from bagline.bagit.tar.member import LIMITS, Limits, Member, MemberKind
from bagline.bagit.tar.stream import ByteStream, Chunk
from bagline.errors import BagRejected
from bagline.problems import Kind, Problem
from bagline.units import MIB, path_text

NANOS = 10**9

_ZEROS = memoryview(bytes(MIB))

_KINDS = {
    b"0": MemberKind.FILE,
    b"\0": MemberKind.FILE,
    b"7": MemberKind.FILE,
    b"S": MemberKind.FILE,
    b"1": MemberKind.HARD_LINK,
    b"2": MemberKind.SYMLINK,
    b"3": MemberKind.CHARACTER_DEVICE,
    b"4": MemberKind.BLOCK_DEVICE,
    b"5": MemberKind.DIRECTORY,
    b"6": MemberKind.FIFO,
    b"D": MemberKind.DIRECTORY,
    b"V": MemberKind.LABEL,
}
# These have no data, whatever their size field says; of hard links what follows tells.
_HEADER_ONLY = frozenset(b"23456")
_EXTENSIONS = frozenset(b"xXgLK")


class _Overrides:
    """What the headers before an entry say about it: PAX records and GNU long names."""

    __slots__ = ("link", "name", "pax_bytes", "records")

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes]] = []
        self.pax_bytes = 0  # of all records together, however many headers they came in
        self.name: bytes | None = None
        self.link: bytes | None = None


class TarReader:
    """The members of the tar whose bytes from `offset` on are in `chunks`.

    `length` is that of the whole tar, or None if only the end of the source tells.
    `report` receives warnings. To resume: `offset` of a member's `end_offset`, and the
    `pax_globals` and `count` as they stood there.
    """

    def __init__(
        self,
        chunks: Iterable[Chunk],
        *,
        length: int | None = None,
        limits: Limits = LIMITS,
        report: Callable[[Problem], None] = lambda _: None,
        offset: int = 0,
        pax_globals: Mapping[str, bytes] | None = None,
        count: int = 0,
    ) -> None:
        self.stream = ByteStream(chunks, length, offset)
        self.pax_globals: Mapping[str, bytes] = dict(pax_globals or {})
        self.count = count
        self._limits = limits
        self._report = report
        self._at_start = offset == 0
        self._left = 0  # bytes of the current member's data that were not read
        self._padding = 0
        self._current: Member | None = None
        self._old_sparse_block = memoryview(ZERO_BLOCK)

    def next_member(self) -> Member | None:
        """The next member, whatever was left unread of this one; None at the end."""
        self._finish_member()
        start = self.stream.offset
        overrides: _Overrides | None = None
        while True:
            offset = self.stream.offset
            header = self._next_header(offset, inside=overrides is not None)
            if header is None:
                return None
            if header.type[0] not in _EXTENSIONS:
                break
            if header.type == b"g":  # of all entries that follow, also if none does
                self._read_extension(header, offset, overrides or _Overrides())
            else:
                overrides = overrides or _Overrides()
                self._read_extension(header, offset, overrides)
        self.count += 1
        if self.count > self._limits.members:
            self._reject(problems.TOO_MANY_MEMBERS, limit=self._limits.members)
        member = self._member(header, start, offset, overrides)
        self._current = member
        self._left = member.stored
        self._padding = -member.stored % BLOCK
        return member

    def take(self) -> memoryview | None:
        """The current member's bytes in one view, if the current chunk holds them all."""
        member = self._current
        if member is None or member.is_sparse or self._left != member.stored:
            return None
        view = self.stream.take(member.stored)
        if view is not None:
            self._left = 0
        return view

    def pieces(self) -> Iterator[memoryview]:
        """The current member's bytes in order, sparse files expanded."""
        member = self._current
        if member is None:
            return
        if not member.is_sparse:
            yield from self._stored(member.stored)
            return
        position = 0
        for offset, count in member.stretches:
            yield from _hole(offset - position)
            yield from self._stored(count)
            position = offset + count
        yield from _hole(member.size - position)

    def _stored(self, count: int) -> Iterator[memoryview]:
        for view in self.stream.pieces(count):
            self._left -= len(view)
            count -= len(view)
            yield view
        if count:
            self._truncated(self._left + self._padding)

    def _finish_member(self) -> None:
        rest = self._left + self._padding
        if rest:
            missing = self.stream.skip(rest)
            if missing:
                self._truncated(missing)
            self._left = self._padding = 0
        self._current = None

    def _next_header(self, offset: int, *, inside: bool) -> RawHeader | None:
        block = self.stream.read(BLOCK)
        if len(block) < BLOCK:
            self._short_block(block, offset, inside)
            return None
        if not block[0] and block == ZERO_BLOCK and not inside:
            self._at_start = False
            for problem in ending(self.stream, offset):
                self._report(problem)
            return None
        try:
            header = tarheader.parse_header(block)
        except BadField as fault:
            self._reject(problems.BAD_HEADER, offset=offset, reason=fault)
        if header is None:
            if self._at_start:
                raise BagRejected([not_a_tar(bytes(block))])
            is_end = block == ZERO_BLOCK
            reason = "there is none, where one must follow" if is_end else "its checksum is wrong"
            self._reject(problems.BAD_HEADER, offset=offset, reason=reason)
        self._at_start = False
        if not 0 <= header.size <= tarheader.MAX_SIZE - offset:
            self._reject(problems.BAD_SIZE, offset=offset, size=header.size)
        if header.type == b"S":
            self._old_sparse_block = block
        return header

    def _short_block(self, block: memoryview, offset: int, inside: bool) -> None:
        if self._at_start:
            raise BagRejected([not_a_tar(bytes(block))])
        if block or inside:
            where = "a header"
            missing = BLOCK - len(block)
            end = offset + len(block)
            self._reject(problems.TRUNCATED, offset=end, where=where, missing=missing)
        self._report(problems.NO_END_MARK.about(offset=offset))
        for problem in volume_ending(offset):
            self._report(problem)

    def _read_extension(self, header: RawHeader, offset: int, overrides: _Overrides) -> None:
        is_name = header.type in b"LK"
        limit = self._limits.name_bytes if is_name else self._limits.pax_bytes
        size = header.size if is_name else header.size + overrides.pax_bytes
        if size > limit:
            what = "a long name" if is_name else "extended headers"
            self._reject(
                problems.HEADER_TOO_LARGE, offset=offset, size=size, what=what, limit=limit
            )
        data = self._read_data(header.size)
        if header.type == b"L":
            overrides.name = data.partition(b"\0")[0]
        elif header.type == b"K":
            overrides.link = data.partition(b"\0")[0]
        else:
            self._read_pax(header, offset, data, overrides)

    def _read_pax(self, header: RawHeader, offset: int, data: bytes, overrides: _Overrides) -> None:
        try:
            records = tarheader.pax_records(data)
        except BadField as fault:
            self._reject(problems.BAD_PAX, offset=offset, reason=fault)
        if any(keyword == "GNU.volume.filename" for keyword, _ in records):
            self._reject(problems.MULTI_VOLUME, offset=offset)
        if header.type == b"g":
            # A new mapping each time: a resumed scan needs them as they stood here.
            merged = {**self.pax_globals, **dict(records)}
            size = sum(len(k) + len(v) for k, v in merged.items())
            limit = self._limits.pax_global_bytes
            if size > limit:
                what = "global headers"
                self._reject(
                    problems.HEADER_TOO_LARGE, offset=offset, size=size, what=what, limit=limit
                )
            self.pax_globals = {k: v for k, v in merged.items() if v}
        else:
            overrides.records.extend(records)
            overrides.pax_bytes += header.size

    def _read_data(self, size: int) -> bytes:
        data = bytes(self.stream.read(size))
        missing = size - len(data) or self.stream.skip(-size % BLOCK)
        if missing:
            self._truncated(missing)
        return data

    def _member(
        self, header: RawHeader, start: int, offset: int, overrides: _Overrides | None
    ) -> Member:
        if header.type == b"M":
            self._reject(problems.MULTI_VOLUME, offset=offset)
        kind = _KINDS.get(header.type, MemberKind.UNKNOWN)
        stored = 0 if header.type[0] in _HEADER_ONLY else header.size
        link = header.link.partition(b"\0")[0] if kind is not MemberKind.FILE else b""
        member = Member(
            path_text(header.name),
            kind,
            stored,
            header.mtime * NANOS,
            start,
            offset + BLOCK,
            stored,
            path_text(link),
            False,
            (),
        )
        records: dict[str, bytes] = {}
        if overrides is not None or self.pax_globals:
            records = self._apply(member, overrides or _Overrides(), header)
        # From here on the member has its own name and size, whatever the header's are.
        if kind is MemberKind.HARD_LINK and member.stored:
            self._look_behind_link(member, header)
            kind = member.kind
        if kind is not MemberKind.FILE:
            return member
        if header.type == b"S":
            self._expand(member, {}, None)
        elif "GNU.sparse.major" in records or "GNU.sparse.size" in records:
            self._expand(member, records, overrides)
        if member.name[-1:] == "/":
            self._look_at_slash(member)
        return member

    def _look_behind_link(self, member: Member, header: RawHeader) -> None:
        """A hard link with a size. POSIX lets its bytes follow (pax -o linkdata), and it is a
        file then; others give its target's size, and nothing follows (GNU, V7, old ustar)."""
        block = self.stream.peek(BLOCK)
        is_end = len(block) < BLOCK or block == ZERO_BLOCK
        if header.is_posix and not is_end and not tarheader.is_header(block):
            member.kind = MemberKind.FILE
        else:
            member.size = member.stored = 0

    def _look_at_slash(self, member: Member) -> None:
        """V7 knew no directories but files whose names end in a slash; some still write so."""
        if member.size or member.stored:
            self._report(problems.NAMED_AS_DIRECTORY.about(member.name, size=member.size))
        else:
            member.kind = MemberKind.DIRECTORY

    def _apply(self, member: Member, overrides: _Overrides, header: RawHeader) -> dict[str, bytes]:
        """Change the member as its overrides say; returns all PAX records in force."""
        if overrides.name is not None:
            member.name = path_text(overrides.name)
        if overrides.link is not None and member.kind is not MemberKind.FILE:
            member.link = path_text(overrides.link)
        records = {**self.pax_globals, **dict(overrides.records)}
        path = records.get("GNU.sparse.name") or records.get("path")
        if path:
            member.name = self._bounded_name(path, member.header_offset)
        link = records.get("linkpath")
        if link and member.kind is not MemberKind.FILE:
            member.link = self._bounded_name(link, member.header_offset)
        if records.get("mtime"):
            nanos = tarheader.pax_time(records["mtime"])
            member.mtime = member.mtime if nanos is None else nanos
        if records.get("size"):
            self._apply_size(member, records["size"], header)
        return records

    def _apply_size(self, member: Member, value: bytes, header: RawHeader) -> None:
        if header.type[0] in _HEADER_ONLY:
            return
        try:
            size = tarheader.decimal(value, "size")
        except BadField as fault:
            self._reject(problems.BAD_PAX, offset=member.header_offset, reason=fault)
        if size > tarheader.MAX_SIZE - member.data_offset:
            self._reject(problems.BAD_SIZE, offset=member.header_offset, size=size)
        member.size = member.stored = size

    def _bounded_name(self, name: bytes, offset: int) -> str:
        if len(name) > self._limits.name_bytes:
            limit = self._limits.name_bytes
            self._reject(
                problems.HEADER_TOO_LARGE, offset=offset, size=len(name), what="a name", limit=limit
            )
        return path_text(name)

    def _expand(
        self, member: Member, records: Mapping[str, bytes], overrides: _Overrides | None
    ) -> None:
        """Read the map of a sparse file, which may lie before its data."""
        try:
            if records:
                own = overrides.records if overrides else []
                read = sparse_maps.read_pax(self.stream, member.stored, records, own, self._limits)
            else:
                read = sparse_maps.read_old_gnu(self.stream, self._old_sparse_block, self._limits)
            member.data_offset += read.map_bytes
            member.stored -= read.map_bytes_of_data
            if not 0 <= read.size <= tarheader.MAX_SIZE:
                self._reject(problems.BAD_SIZE, offset=member.header_offset, size=read.size)
            member.stretches = sparse_maps.checked(read, member.stored, self._limits)
        except sparse_maps.CutOff as cut:
            self._truncated(cut.missing)
        except BadField as fault:
            problem = problems.BAD_SPARSE_MAP.about(
                member.name, offset=member.header_offset, reason=fault
            )
            raise BagRejected([problem]) from None
        member.size = read.size
        member.is_sparse = True

    def _truncated(self, missing: int) -> NoReturn:
        offset, where, volume = self.stream.offset, "a header", list[Problem]()
        if self._current is not None:
            where, volume = f"the file {self._current.name}", list(volume_ending(offset))
        found = problems.TRUNCATED.about(offset=offset, where=where, missing=missing)
        raise BagRejected([*volume, found])

    def _reject(self, kind: Kind, **facts: object) -> NoReturn:
        raise BagRejected([kind.about(**facts)])


def _hole(count: int) -> Iterator[memoryview]:
    while count > 0:
        here = min(count, len(_ZEROS))
        yield _ZEROS[:here]
        count -= here
