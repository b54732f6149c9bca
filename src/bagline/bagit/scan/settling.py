"""Settling: what a member that was read is worth, in tar order, once its digests are there.

Hard links find their targets here, second entries of a path are compared with the
first, and Problems take their order. What is settled is what a checkpoint covers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import structs

from bagline import problems
from bagline.bagit.digests import Digests
from bagline.bagit.paths import MAIN_TAG_FILES, Role, UnsafePath, split_name
from bagline.bagit.scan.directories import FILE, Directories
from bagline.bagit.scan.index import FileIndex
from bagline.bagit.scan.scanned import Entry, ScanCheckpoint, ScannedFile
from bagline.bagit.tar import Limits, MemberKind
from bagline.errors import BagRejected
from bagline.model.ingest import TarSpan
from bagline.model.times import Timestamp, from_nanoseconds
from bagline.problems import ProblemLog, with_article
from bagline.units import path_bytes, path_text

SPECIAL_ENTRIES = 1_000
"""So many symlinks, devices and FIFOs are remembered by name, if it has at most so many
characters."""
LONGEST_SPECIAL = 4_096
DIVIDE = "Divide the bag into several bags."
BELONGS_IN_DATA = "Files that are to be preserved belong under data/: bag them as payload."
ONE_EACH = "One manifest and one tag manifest an algorithm are enough: leave the others out."
PLAIN = "Make the tar without --sparse."
DATA = "data"


class Settler:
    """Turns entries into files, from where `start` stands.

    `expanded_limit` tells how many bytes sparse files and hard links may expand to.
    """

    def __init__(
        self,
        start: ScanCheckpoint,
        index: FileIndex,
        expanded_limit: Callable[[], int],
        limits: Limits,
    ) -> None:
        self._limits = limits
        self.log = ProblemLog()
        self.log.restore(start.problems, start.problem_counts)
        self.index = index
        self.special = {path_text(path): kind for path, kind in start.special}
        empty = [path_text(path) for path in start.empty_directories]
        self._directories = Directories(self._kind_at, empty)
        self.link_bytes = start.link_bytes
        self._names_bytes = start.names_bytes
        self._tag_files = start.tag_files
        self._manifests = start.manifests
        self._stretches = start.stretches
        self._expanded_limit = expanded_limit
        self._start = start
        self._files = start.files
        self._last: Entry | None = None
        self._time: tuple[int, Timestamp] = (0, from_nanoseconds(0))

    def recall(self, known: Iterable[ScannedFile] | None) -> None:
        """Put into the index what was yielded before the start. Raises ValueError."""
        if self._start.files and known is None:
            raise ValueError("a resumed scan needs the files that were yielded before")
        for file in known or ():
            if file.span.header_offset < self._start.next_offset:
                self.index.add(file.path, file.raw_digests, file.size, file.span)
                self._directories.of_file(file.path)  # what is wrong was said before

    def checkpoint(self) -> ScanCheckpoint:
        """Where things stand after the last entry that was settled."""
        last, start = self._last, self._start
        progress: dict[str, Any] = {
            "files": self._files,
            "link_bytes": self.link_bytes,
            "names_bytes": self._names_bytes,
            "tag_files": self._tag_files,
            "manifests": self._manifests,
            "stretches": self._stretches,
            "problems": list(self.log.listed),
            "problem_counts": self.log.counts,
            "special": [(path_bytes(path), kind) for path, kind in self.special.items()],
            "empty_directories": [path_bytes(path) for path in self._directories.empty],
        }
        if last is None:
            return structs.replace(start, **progress)
        return ScanCheckpoint(
            next_offset=last.member.end_offset,
            members=last.members,
            file_members=last.file_members,
            sparse_bytes=last.sparse_bytes,
            top_directory=path_bytes(last.top),
            pax_globals=dict(last.pax_globals),
            **progress,
        )

    def settle(self, entry: Entry) -> ScannedFile | None:
        """The file the entry is, when its digests are there; None if it is none."""
        digests = entry.pending.result() if entry.pending is not None else b""
        if entry.notes:
            self.log.extend(entry.notes)
        if entry.special:
            self._settle_special(entry.special, entry.member.kind.value)
        self._last = entry
        if not entry.path:
            return None
        member = entry.member
        if member.kind is MemberKind.DIRECTORY:
            self.log.extend(self._directories.named(entry.path))
            return None
        if member.kind is MemberKind.HARD_LINK:
            return self._settle_link(entry)
        parts = entry.pending.parts() if entry.pending is not None else ()
        span = TarSpan(
            member.header_offset, member.data_offset, member.stored, member.stretches, *parts
        )
        if member.link:
            self._compare_with_target(entry, digests)
        return self._settle_file(entry, digests, member.size, span)

    def _settle_special(self, path: str, kind: str) -> None:
        """What is neither file nor directory is remembered by name only."""
        if len(path) <= LONGEST_SPECIAL and len(self.special) < SPECIAL_ENTRIES:
            self.special[path] = kind
        self.log.extend(self._directories.at(path, kind))
        if path == DATA:
            self.log.add(problems.DATA_NO_DIRECTORY.about(path, entry=kind))

    def _kind_at(self, path: str) -> str:
        return FILE if self.index.find(path) is not None else self.special.get(path, "")

    def _compare_with_target(self, entry: Entry, digests: Digests) -> None:
        """A hard link with bytes of its own has those of its target, where that is there."""
        row, _ = self._link_target(entry.member.link, entry.top)
        if row is not None and self.index.digests(row) != digests:
            self.log.add(problems.LINK_DIFFERS.about(entry.path, target=entry.member.link))

    def _settle_link(self, entry: Entry) -> ScannedFile | None:
        """A hard link takes digests, size and span of its target in the same tar."""
        target = entry.member.link
        row, reason = self._link_target(target, entry.top)
        if row is None:
            self.log.add(
                problems.LINK_TARGET_MISSING.about(entry.path, target=target, reason=reason)
            )
            return None
        size = self.index.size(row)
        self.link_bytes += size
        limit = self._expanded_limit()
        if self.link_bytes + entry.sparse_bytes > limit:
            expanded = self.link_bytes + entry.sparse_bytes
            self.log.add(problems.EXPANDS_TOO_FAR.about(entry.path, size=expanded, limit=limit))
            return None
        if entry.role in (Role.MANIFEST, Role.TAG_MANIFEST) or entry.path in MAIN_TAG_FILES:
            self.log.add(problems.LINKED_TAG_FILE.about(entry.path, target=target))
        return self._settle_file(entry, self.index.digests(row), size, self.index.span(row))

    def _link_target(self, target: str, top: str) -> tuple[int | None, str]:
        """The row of a link's target; None with the reason why there is none."""
        try:
            target_top, path = split_name(target)
        except UnsafePath as reason:
            return None, str(reason)
        if target_top != top:
            return None, "that is outside the bag"
        if path in self.special:
            return None, f"that is {with_article(self.special[path])}"
        return self.index.find(path), "no such file stands before it in the tar"

    def _settle_file(
        self, entry: Entry, digests: Digests, size: int, span: TarSpan
    ) -> ScannedFile | None:
        path = entry.path
        row = self.index.add(path, digests, size, span)
        if row is not None:
            self._duplicate(entry, row, digests)
            return None
        if found := self._directories.of_file(path):
            self.log.extend(found)
        if entry.role is Role.TAG and path.startswith(DATA):
            self._look_at_data(path)
        self._files += 1
        self._bound(entry, span)
        modified = self._timestamp(entry.member.mtime)
        is_linked = entry.member.kind is MemberKind.HARD_LINK
        return ScannedFile(path, entry.role, size, modified, digests, span, is_linked)

    def _look_at_data(self, path: str) -> None:
        """Names that look like the payload's, and are no payload."""
        if path == DATA:
            self.log.add(problems.DATA_NO_DIRECTORY.about(path, entry=FILE))
        elif path.startswith(f"{DATA}\\"):
            self.log.add(problems.BACKSLASHES.about(path))

    def _bound(self, entry: Entry, span: TarSpan) -> None:
        """Raises BagRejected where the bag has more than can be remembered of it."""
        limits = self._limits
        self._names_bytes += len(path_bytes(entry.path))
        self._stretches += len(span.stretches)
        self._tag_files += entry.role is Role.TAG
        self._manifests += entry.role in (Role.MANIFEST, Role.TAG_MANIFEST)
        for count, limit, what, hint in (
            (self._names_bytes, limits.names_bytes, "bytes of file names", DIVIDE),
            (self._tag_files, limits.tag_files, "tag files (files outside data/)", BELONGS_IN_DATA),
            (self._manifests, limits.manifests, "manifests and tag manifests", ONE_EACH),
            (self._stretches, limits.sparse_stretches_in_all, "stretches of sparse files", PLAIN),
        ):
            if count > limit:
                problem = problems.TOO_MANY_OF_A_KIND.about(
                    entry.path, limit=f"{limit:,}", what=what, hint=hint
                )
                raise BagRejected([problem])

    def _duplicate(self, entry: Entry, row: int, digests: Digests) -> None:
        if self.index.digests(row) == digests:
            self.log.add(problems.DUPLICATE_SAME.about(entry.path))
            return
        first, second = self.index.span(row).header_offset, entry.member.header_offset
        self.log.add(problems.DUPLICATE_DIFFERS.about(entry.path, first=first, second=second))

    def _timestamp(self, nanoseconds: int) -> Timestamp:
        if self._time[0] != nanoseconds:
            self._time = (nanoseconds, from_nanoseconds(nanoseconds))
        return self._time[1]
