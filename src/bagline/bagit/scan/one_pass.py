"""The one pass over a tarred bag: every file with its digests and its place in the tar.

Used by `bagline check` and by pre-fetch alike. Reading, framing and hashing overlap;
memory is bounded by a window of chunks and by FileIndex (190 bytes a file).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from bagline import problems
from bagline.bagit.hashing import BATCH_FILE_BYTES, Digester, Pending
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
from bagline.bagit.scan.index import FileIndex
from bagline.bagit.scan.scanned import Entry, ScanCheckpoint, ScannedFile
from bagline.bagit.scan.settling import Settler
from bagline.bagit.tar import LIMITS, Chunk, Limits, Member, MemberKind, TarReader
from bagline.errors import BaglineError, BagRejected
from bagline.problems import Problem, ProblemLog, with_article
from bagline.units import MIB, path_text

_WAITING = 4_096
_WAITING_BYTES = 16 * MIB
"""So many entries, and so much memory of them, wait for digests at the most."""


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


class BagScan:
    """One pass over the tar in `chunks`.

    `length` is that of the whole tar, or None when only the source's end tells: a
    source that ends before it raises Unreachable, never a Problem. A resumed scan gets
    chunks from `resume.next_offset` on, and in `known` the files that were yielded
    before, in any order (ValueError without them: duplicates and hard links would be
    misjudged). Files above `part_bytes` (0: none) are hashed by parts of it too, for
    copies that a store makes part by part; sparse ones are not. `index` may be handed in
    to be read afterwards: the n-th file yielded has row n.
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
        part_bytes: int = 0,
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
        self._part_bytes = part_bytes
        index = FileIndex() if index is None else index
        self._settler = Settler(start, index, self._expanded_limit, limits)
        self._settler.recall(known)
        self._top = path_text(start.top_directory)
        several = problems.SEVERAL_TOP_DIRECTORIES.code
        self._strays = {p.subject for p in start.problems if p.code == several}
        self._tapped: set[str] = set()
        self._waiting: deque[Entry] = deque()
        self._weight = 0
        self._notes: list[Problem] = []
        self._file_members = start.file_members
        self._sparse_bytes = start.sparse_bytes

    @property
    def log(self) -> ProblemLog:
        """Errors and warnings up to the last file yielded; all, when `files` has ended."""
        return self._settler.log

    @property
    def problems(self) -> list[Problem]:
        """The same as a list."""
        return self.log.all()

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
        return self._settler.special

    def files(self) -> Iterator[ScannedFile]:
        """The files in tar order, each when its digests are complete. Once only.

        Raises BagRejected when the bag cannot be read on, with all Problems found;
        Unreachable, or what the source raises, when the source fails. Both come after
        the files that were read whole before.
        """
        with Digester(self._cores, part_bytes=self._part_bytes) as digester:
            try:
                waiting = self._waiting
                while (member := self._reader.next_member()) is not None:
                    if member.size > BATCH_FILE_BYTES and member.kind is MemberKind.FILE:
                        for _ in self._admit_large(member, digester):
                            # Files before it, while it is being read: a checkpoint must not
                            # wait for its end.
                            yield from self._settled()
                    else:
                        self._admit(member, digester)
                    if (pending := waiting[0].pending) is None or pending.done or self._is_full:
                        yield from self._settled()
                if not self._file_members:
                    self._notes.append(problems.NO_FILES.about())
            except BagRejected as fault:
                yield from self._settled(to_the_end=True)
                raise BagRejected([*self.problems, *fault.problems]) from None
            except BaglineError:
                yield from self._settled(to_the_end=True)
                raise
            yield from self._settled(to_the_end=True)

    def _settled(self, *, to_the_end: bool = False) -> Iterator[ScannedFile]:
        """The files whose turn has come: in tar order, as far as their digests are there, or
        as there is no more room for others."""
        waiting, settle = self._waiting, self._settler.settle
        while waiting:
            pending = waiting[0].pending
            if not (pending is None or pending.done or to_the_end or self._is_full):
                return
            entry = waiting.popleft()
            self._weight -= entry.weight
            file = settle(entry)
            if file is not None:
                yield file
        if to_the_end:
            self.log.extend(self._notes)
            self._notes = []

    @property
    def _is_full(self) -> bool:
        return len(self._waiting) > _WAITING or self._weight > _WAITING_BYTES

    def checkpoint(self) -> ScanCheckpoint:
        """Valid for exactly the files yielded so far. Costs a copy of the Problems."""
        return self._settler.checkpoint()

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
        elif kind is MemberKind.LABEL:
            path = ""
        elif path and kind is not MemberKind.DIRECTORY:
            path, special = "", path
            self._report(problems.SPECIAL_SKIPPED.about(special, entry=with_article(kind.value)))
        self._await_turn(member, path, role, pending, special)

    def _admit_large(self, member: Member, digester: Digester) -> Iterator[None]:
        """A large file, in steps."""
        path = self._place(member)
        role = role_of(path)
        self._file_members += 1
        pending = None
        if path:
            self._note_sparse(member, path)
            sink = self._sink(path, role, member.size)
            pieces = self._reader.pieces()
            pending = yield from digester.large_in_steps(
                pieces if sink is None else _shared(pieces, sink),
                0 if member.is_sparse else member.size,
            )
            if sink is not None:
                sink.close()
        self._await_turn(member, path, role, pending, "")

    def _await_turn(
        self, member: Member, path: str, role: Role, pending: Pending | None, special: str
    ) -> None:
        notes, self._notes = self._notes, []
        weight = 4 * (len(member.name) + len(member.link) + len(path))
        weight += 160 * len(member.stretches) + 400 * len(self._reader.pax_globals)
        entry = Entry(
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
            weight,
        )
        self._weight += entry.weight
        self._waiting.append(entry)

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
        if "\\" in name and member.kind is not MemberKind.LABEL:
            if name != self._top:
                self._report(problems.BACKSLASHES.about(name))
        elif member.kind is MemberKind.DIRECTORY:
            if not self._top:
                self._top = name
            elif name and name != self._top:
                self._stray(name)
        elif member.kind is not MemberKind.LABEL:
            if name in MAIN_TAG_FILES or manifest_algorithm(name):
                raise BagRejected([problems.NO_TOP_DIRECTORY.about(name)])
            self._report(problems.OUTSIDE_TOP_DIRECTORY.about(name))
        return ""

    def _stray(self, top: str) -> None:
        problem = problems.SEVERAL_TOP_DIRECTORIES.about(top, top=self._top)
        if problem.subject not in self._strays:
            if len(self._strays) < problems.LISTED_PER_KIND:
                self._strays.add(problem.subject)
            self._report(problem)

    def _read(self, member: Member, path: str, role: Role, digester: Digester) -> Pending:
        """Hash a small file's bytes, and let the tap have them."""
        self._note_sparse(member, path)
        sink = self._sink(path, role, member.size)
        view = self._reader.take()
        if view is None:
            view = memoryview(b"".join(self._reader.pieces()))
        if sink is not None:
            sink.write(view)
            sink.close()
        return digester.small(view)

    def _note_sparse(self, member: Member, path: str) -> None:
        if member.is_sparse:
            self._sparse_bytes += member.size
            self._bound_sparse(path)

    def _sink(self, path: str, role: Role, size: int) -> ByteSink | None:
        if self._tap is None:
            return None
        if role is not Role.PAYLOAD and (
            path in self._tapped or self._settler.index.find(path) is not None
        ):
            return None
        sink = self._tap(path, role, size)
        if sink is not None and role is not Role.PAYLOAD:
            self._tapped.add(path)
        return sink

    def _bound_sparse(self, path: str) -> None:
        expanded = self._sparse_bytes + self._settler.link_bytes
        limit = self._expanded_limit()
        if expanded > limit:
            problem = problems.EXPANDS_TOO_FAR.about(path, size=expanded, limit=limit)
            raise BagRejected([problem])

    def _expanded_limit(self) -> int:
        return self._limits.expanded(
            self._reader.stream.offset if self._length is None else self._length
        )


def _shared(pieces: Iterator[memoryview], sink: ByteSink) -> Iterator[memoryview]:
    for piece in pieces:
        sink.write(piece)
        yield piece
