"""The one pass over a tarred bag: every file with its digests and its place in the tar.

Used by `bagline check` and by pre-fetch alike. Reading, framing and hashing overlap;
memory is bounded by a window of chunks and by FileIndex (190 bytes a file).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from msgspec import Struct, structs

from bagline import problems
from bagline.bagit import digests as digesting
from bagline.bagit.digests import BATCH_FILE_BYTES, Digester, Digests, Pending
from bagline.bagit.index import FileIndex
from bagline.bagit.member import LIMITS, Limits, Member, MemberKind
from bagline.bagit.paths import (
    MAIN_TAG_FILES,
    Role,
    UnsafePath,
    has_long_part,
    is_utf8,
    manifest_algorithm,
    role_of,
    split_name,
)
from bagline.bagit.stream import Chunk
from bagline.bagit.tar import TarReader
from bagline.errors import BaglineError, BagRejected
from bagline.model.ingest import TarSpan
from bagline.model.times import Timestamp, from_nanoseconds
from bagline.problems import Problem, ProblemLog

SPECIAL_ENTRIES = 1_000
"""So many symlinks, devices and FIFOs are remembered by name."""

_WAITING = 4_096
_QUIET = (MemberKind.DIRECTORY, MemberKind.LABEL)


class ScannedFile(Struct, frozen=True, gc=False):
    """One file of the bag, read whole.

    `path` is below the top directory, UTF-8 with surrogateescape; `size` the expanded
    bytes; `digests` the four of DIGEST_ALGORITHMS in lower hex; `span` where its bytes
    lie in the tar (a hard link has all three of its target).
    """

    path: str
    role: Role
    size: int
    modified: Timestamp
    digests: dict[str, str]
    span: TarSpan


class ByteSink(Protocol):
    """Takes a file's bytes in order. A view must be used or copied before `write` returns."""

    def write(self, data: memoryview, /) -> object: ...
    def close(self) -> None: ...


Tap = Callable[[str, Role, int], ByteSink | None]
"""(path, role, size) → a sink for that file's bytes, or None.

Called when the file's header is read, in tar order; the sink is closed after the last
byte, before `files()` yields the file. When reading breaks off, open sinks stay open.
A second entry of the same path is not offered again.
"""


class ScanCheckpoint(Struct, frozen=True, kw_only=True):
    """Where a scan stood after the last file it yielded; small, and goes through JSON.

    Resume with chunks that begin at byte `next_offset` and with the files yielded until
    then (BagScan's `known`). Bytes-valued fields are raw names (base64 in JSON).
    """

    next_offset: int = 0
    members: int = 0
    files: int = 0
    file_members: int = 0
    sparse_bytes: int = 0
    link_bytes: int = 0
    top_directory: bytes = b""
    pax_globals: dict[str, bytes] = {}
    problems: list[Problem] = []
    problem_counts: dict[str, int] = {}
    special: list[tuple[bytes, str]] = []


class _Entry(Struct, frozen=True, gc=False):
    """A member that was read and waits for its turn to be settled, in tar order.

    `path` is "" when it is no file of the bag; then only its notes count. The second
    half says how things stood when the member had been read.
    """

    member: Member
    path: str
    role: Role
    pending: Pending | None
    special: str
    notes: list[Problem]

    pax_globals: Mapping[str, bytes]
    members: int
    file_members: int
    sparse_bytes: int
    top: str


class BagScan:
    """One pass over the tar in `chunks`.

    `length` is that of the whole tar, or None when only the source's end tells: a
    source that ends before it raises Unreachable, never a Problem. A resumed scan gets
    chunks from `resume.next_offset` on, and in `known` the files that were yielded
    before, in any order (ValueError without them: duplicates and hard links would be
    misjudged). `index` may be handed in to be read afterwards: the n-th file yielded
    has row n.
    """

    def __init__(
        self,
        chunks: Iterable[Chunk],
        *,
        length: int | None,
        tap: Tap | None = None,
        limits: Limits = LIMITS,
        resume: ScanCheckpoint | None = None,
        known: Iterable[ScannedFile] | None = None,
        index: FileIndex | None = None,
        cores: int | None = None,
    ) -> None:
        start = resume or ScanCheckpoint()
        self._reader = TarReader(
            chunks,
            length=length,
            limits=limits,
            report=self._report,
            offset=start.next_offset,
            pax_globals=start.pax_globals,
            count=start.members,
        )
        self._length = length
        self._tap = tap
        self._limits = limits
        self._cores = cores
        self._index = FileIndex() if index is None else index
        self._recall(start, known)
        self._log = ProblemLog()
        self._log.restore(start.problems, start.problem_counts)
        self._top = start.top_directory.decode("utf-8", "surrogateescape")
        self._special = {
            path.decode("utf-8", "surrogateescape"): kind for path, kind in start.special
        }
        several = problems.SEVERAL_TOP_DIRECTORIES.code
        self._strays = {p.subject for p in start.problems if p.code == several}
        self._tapped: set[str] = set()
        self._waiting: deque[_Entry] = deque()
        self._notes: list[Problem] = []
        self._link_bytes = start.link_bytes
        self._files = start.files
        self._file_members = start.file_members
        self._sparse_bytes = start.sparse_bytes
        self._start = start
        self._settled: _Entry | None = None
        self._time: tuple[int, Timestamp] = (0, from_nanoseconds(0))

    def _recall(self, start: ScanCheckpoint, known: Iterable[ScannedFile] | None) -> None:
        if start.files and known is None:
            raise ValueError("a resumed scan needs the files that were yielded before")
        for file in known or ():
            if file.span.header_offset < start.next_offset and self._index.find(file.path) is None:
                raw = digesting.from_hex(file.digests)
                self._index.add(file.path, raw, file.size, file.span)

    @property
    def problems(self) -> list[Problem]:
        """Errors and warnings up to the last file yielded; all, when `files` has ended."""
        return self._log.all()

    @property
    def top_directory(self) -> str | None:
        """The directory that holds the bag; None before the first entry."""
        return self._top or None

    @property
    def bytes_read(self) -> int:
        """How far into the tar the scan has come (a resumed one counts from the start)."""
        return self._reader.stream.offset

    @property
    def special_entries(self) -> Mapping[str, str]:
        """Path → kind of what was skipped (the first SPECIAL_ENTRIES): symlinks, FIFOs …"""
        return self._special

    def files(self) -> Iterator[ScannedFile]:
        """The files in tar order, each when its digests are complete. Once only.

        Raises BagRejected when the bag cannot be read on, with all Problems found;
        Unreachable, or what the source raises, when the source fails. Both come after
        the files that were read whole before.
        """
        with Digester(self._cores) as digester:
            try:
                waiting = self._waiting
                while (member := self._reader.next_member()) is not None:
                    self._admit(member, digester)
                    while waiting and self._is_ready(waiting[0]):
                        file = self._settle(waiting.popleft())
                        if file is not None:
                            yield file
                if not self._file_members:
                    self._notes.append(problems.NO_FILES.about())
            except BagRejected as fault:
                yield from self._rest()
                raise BagRejected([*self.problems, *fault.problems]) from None
            except BaglineError:
                yield from self._rest()
                raise
            yield from self._rest()

    def checkpoint(self) -> ScanCheckpoint:
        """Valid for exactly the files yielded so far. Costs a copy of the Problems."""
        settled, start = self._settled, self._start
        special = [(_raw(path), kind) for path, kind in self._special.items()]
        progress: dict[str, Any] = {
            "files": self._files,
            "link_bytes": self._link_bytes,
            "problems": list(self._log.listed),
            "problem_counts": self._log.counts,
            "special": special,
        }
        if settled is None:
            return structs.replace(start, **progress)
        return ScanCheckpoint(
            next_offset=settled.member.end_offset,
            members=settled.members,
            file_members=settled.file_members,
            sparse_bytes=settled.sparse_bytes,
            top_directory=_raw(settled.top),
            pax_globals=dict(settled.pax_globals),
            **progress,
        )

    def _report(self, problem: Problem) -> None:
        self._notes.append(problem)

    # Reading: in tar order, ahead of what is settled.

    def _admit(self, member: Member, digester: Digester) -> None:
        kind = member.kind
        path, special = self._place(member), ""
        role = role_of(path)
        pending = None
        if kind is MemberKind.FILE:
            self._file_members += 1
            if path:
                pending = self._read(member, path, role, digester)
        elif kind is MemberKind.HARD_LINK:
            self._file_members += 1
        elif kind in _QUIET:
            path = ""
        elif path:
            path, special = "", path
            self._report(problems.SPECIAL_SKIPPED.about(special, entry=kind.value))
        notes, self._notes = self._notes, []
        self._waiting.append(
            _Entry(
                member,
                path,
                role,
                pending,
                special,
                notes,
                self._reader.pax_globals,
                self._reader.count,
                self._file_members,
                self._sparse_bytes,
                self._top,
            )
        )

    def _place(self, member: Member) -> str:
        """The member's path in the bag; "" when it is none, with the reason noted."""
        try:
            top, path = split_name(member.name)
        except UnsafePath as reason:
            self._report(problems.UNSAFE_PATH.about(member.name, reason=reason))
            return ""
        if not top:
            return self._at_top(member, path)
        if top != self._top:
            if self._top:
                self._stray(top)
                return ""
            self._top = top
        if not is_utf8(path):
            self._report(problems.NAME_NOT_UTF8.about(path))
        if len(path) > 80 and has_long_part(path):
            self._report(problems.NAME_TOO_LONG.about(path))
        return path

    def _at_top(self, member: Member, name: str) -> str:
        """An entry beside the bag's directory: that directory itself, or a fault."""
        if member.kind is MemberKind.DIRECTORY:
            if not self._top:
                self._top = name
            elif name and name != self._top:
                self._stray(name)
        elif member.kind is not MemberKind.LABEL:
            if name in MAIN_TAG_FILES or manifest_algorithm(name):
                raise BagRejected([*self._notes, problems.NO_TOP_DIRECTORY.about(name)])
            self._report(problems.OUTSIDE_TOP_DIRECTORY.about(name))
        return ""

    def _stray(self, top: str) -> None:
        problem = problems.SEVERAL_TOP_DIRECTORIES.about(top, top=self._top)
        if problem.subject not in self._strays:
            if len(self._strays) < problems.LISTED_PER_KIND:
                self._strays.add(problem.subject)
            self._report(problem)

    def _read(self, member: Member, path: str, role: Role, digester: Digester) -> Pending:
        """Hash the member's bytes, and let the tap have them."""
        if member.is_sparse:
            self._sparse_bytes += member.size
            self._bound_expanded(path, self._sparse_bytes + self._link_bytes)
        sink = self._sink(path, role, member.size)
        if member.size <= BATCH_FILE_BYTES:
            view = self._reader.take()
            if view is None:
                view = memoryview(b"".join(self._reader.pieces()))
            if sink is not None:
                sink.write(view)
            pending = digester.small(view)
        else:
            pieces = self._reader.pieces()
            pending = digester.large(pieces if sink is None else _shared(pieces, sink))
        if sink is not None:
            sink.close()
        return pending

    def _sink(self, path: str, role: Role, size: int) -> ByteSink | None:
        if self._tap is None:
            return None
        if role is not Role.PAYLOAD and (
            path in self._tapped or self._index.find(path) is not None
        ):
            return None
        sink = self._tap(path, role, size)
        if sink is not None and role is not Role.PAYLOAD:
            self._tapped.add(path)
        return sink

    def _bound_expanded(self, path: str, expanded: int) -> None:
        tar_bytes = self._reader.stream.offset if self._length is None else self._length
        limit = self._limits.expanded(tar_bytes)
        if expanded > limit:
            problem = problems.EXPANDS_TOO_FAR.about(path, size=expanded, limit=limit)
            raise BagRejected([problem])

    # Settling: in tar order, when a member's digests are there.

    def _is_ready(self, entry: _Entry) -> bool:
        pending = entry.pending
        return pending is None or pending.done or len(self._waiting) > _WAITING

    def _rest(self) -> Iterator[ScannedFile]:
        while self._waiting:
            file = self._settle(self._waiting.popleft())
            if file is not None:
                yield file
        self._log.extend(self._notes)
        self._notes = []

    def _settle(self, entry: _Entry) -> ScannedFile | None:
        digests = entry.pending.result() if entry.pending is not None else b""
        if entry.notes:
            self._log.extend(entry.notes)
        if entry.special and len(self._special) < SPECIAL_ENTRIES:
            self._special[entry.special] = entry.member.kind.value
        self._settled = entry
        if not entry.path:
            return None
        member = entry.member
        if member.kind is MemberKind.HARD_LINK:
            return self._settle_link(entry)
        span = TarSpan(member.header_offset, member.data_offset, member.stored, member.stretches)
        return self._settle_file(entry, digests, member.size, span)

    def _settle_link(self, entry: _Entry) -> ScannedFile | None:
        """A hard link takes digests, size and span of its target in the same tar."""
        target = entry.member.link
        row, reason = self._link_target(target, entry.top)
        if row is None:
            self._log.add(
                problems.LINK_TARGET_MISSING.about(entry.path, target=target, reason=reason)
            )
            return None
        size = self._index.size(row)
        self._link_bytes += size
        try:
            self._bound_expanded(entry.path, self._link_bytes + entry.sparse_bytes)
        except BagRejected as fault:
            self._log.extend(fault.problems)
            return None
        if entry.role in (Role.MANIFEST, Role.TAG_MANIFEST) or entry.path in MAIN_TAG_FILES:
            self._log.add(problems.LINKED_TAG_FILE.about(entry.path, target=target))
        return self._settle_file(entry, self._index.digests(row), size, self._index.span(row))

    def _link_target(self, target: str, top: str) -> tuple[int | None, str]:
        """The row of a link's target; None with the reason why there is none."""
        try:
            target_top, path = split_name(target)
        except UnsafePath as reason:
            return None, str(reason)
        if target_top != top:
            return None, "that is outside the bag"
        if path in self._special:
            return None, f"that is a {self._special[path]}"
        return self._index.find(path), "no such file stands before it in the tar"

    def _settle_file(
        self, entry: _Entry, digests: Digests, size: int, span: TarSpan
    ) -> ScannedFile | None:
        path = entry.path
        row = self._index.add(path, digests, size, span)
        if row is not None:
            self._duplicate(entry, row, digests)
            return None
        self._files += 1
        modified = self._timestamp(entry.member.mtime)
        return ScannedFile(path, entry.role, size, modified, digesting.as_hex(digests), span)

    def _duplicate(self, entry: _Entry, row: int, digests: Digests) -> None:
        if self._index.digests(row) == digests:
            self._log.add(problems.DUPLICATE_SAME.about(entry.path))
            return
        first, second = self._index.span(row).header_offset, entry.member.header_offset
        self._log.add(problems.DUPLICATE_DIFFERS.about(entry.path, first=first, second=second))

    def _timestamp(self, nanoseconds: int) -> Timestamp:
        if self._time[0] != nanoseconds:
            self._time = (nanoseconds, from_nanoseconds(nanoseconds))
        return self._time[1]


def _shared(pieces: Iterator[memoryview], sink: ByteSink) -> Iterator[memoryview]:
    for piece in pieces:
        sink.write(piece)
        yield piece


def _raw(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
