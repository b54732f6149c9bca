"""Everything there is to say about a bag from its bytes alone: no engine, no network."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, NamedTuple

from bagline.bagit.alike import Alike
from bagline.bagit.columns import Columns, TagFileNames
from bagline.bagit.fetch import FetchList
from bagline.bagit.further import Again, Named, OnTheWay, Summing, Wanted, read_again
from bagline.bagit.inventory import BagFacts, FileFacts
from bagline.bagit.judge import Policy, judge
from bagline.bagit.manifests import match_warning, parsers_of
from bagline.bagit.paths import FETCH_TXT, Role, manifest_algorithm, role_of
from bagline.bagit.profiles import Profile, ProfileAt, profile_for, profile_named
from bagline.bagit.scan import BagScan, ByteSink, ScannedFile
from bagline.bagit.tagfiles import TagChoice, read_tags
from bagline.bagit.tar import Chunk
from bagline.errors import BagRejected, ReadOnce
from bagline.model.ingest import Tag
from bagline.problems import Problem, ProblemLog, has_errors
from bagline.units import KIB

SPOOL_BYTES = 256 * KIB
"""A manifest or tag file above this size waits in a temporary file until the scan has ended."""

_READ_BYTES = 256 * KIB
TOLD_FILES = 1_000


class Where(NamedTuple):
    """How far a check is in one of its PHASES: `done` of `total` (None: not known),
    counted in bytes, but in files for the last phase; `files` met so far."""

    phase: str
    done: int
    total: int | None
    files: int


READING, MANIFESTS, JUDGING = PHASES = ("reading", "comparing manifests", "judging files")

OnProgress = Callable[[Where], None]
"""Called after every chunk, or every some files, on the caller's thread."""


@dataclass(slots=True)
class CheckReport:
    """What a check found. `bytes` is the sum of the files' sizes.

    `complete` is False when reading had to stop before the bag's end; then counts and
    problems are those until there. `formats`: MIME type → [files, bytes].
    """

    files: int = 0
    bytes: int = 0
    payload_files: int = 0
    payload_bytes: int = 0
    complete: bool = True
    profile: str = ""
    version: str = ""
    top_directory: str = ""
    manifests: list[str] = field(default_factory=list)
    tags: list[Tag] = field(default_factory=list)
    formats: dict[str, list[int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """No error among the problems; warnings do not count."""
        return not has_errors(self.problems)


def check_bag(
    chunks: Iterable[Chunk],
    length: int | None,
    profile: Profile | None = None,
    on_progress: OnProgress | None = None,
    *,
    bag_name: str = "",
    format_of: Callable[[str], str] | None = None,
    policy: Policy | None = None,
    again: Again | None = None,
    profile_at: ProfileAt = lambda _: None,
) -> CheckReport:
    """Read and judge the bag whose tar is in `chunks`.

    `length` is the tar's, or None when only the source's end tells. `profile` None: the
    one that the bag names, built in or at an address that `profile_at` knows, APTrust if none.
    `bag_name`: to be compared with the top
    directory. `again`: for bytes of the tar that are needed a second time, where files stand
    before a manifest of a further algorithm (`bagit.further`) that lists them; `chunks` that can
    be gone through twice, such as a list, do as well. Needs some 330
    bytes of memory a file, and room for the manifests in the temporary directory. A bad bag is
    a report; raises Unreachable when the source ends early, ReadOnce where `again` is missed,
    OSError when the temporary directory is full.
    """
    if again is None and iter(chunks) is not chunks:
        again = _from_start(chunks)
    tell = on_progress or (lambda _: None)
    check = _Check(profile, profile_at, bag_name, format_of, tell, policy, again)
    try:
        check.read(chunks, length)
        check.judge()
    except BagRejected as fault:
        check.report.complete = False
        check.report.problems = list(fault.problems)
    finally:
        check.close()
    return check.report


def _from_start(chunks: Iterable[Chunk]) -> Again:
    def again(offset: int, length: int) -> Iterator[Chunk]:  # noqa: ARG001 - it takes what it needs
        for chunk in chunks:
            if offset < len(chunk):
                yield memoryview(chunk)[offset:]
            offset = max(0, offset - len(chunk))

    return again


class _Kept:
    """A sink whose bytes can be read after it was closed."""

    __slots__ = ("file", "size")

    def __init__(self) -> None:
        self.size = 0
        self.file: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115

    def write(self, data: memoryview, /) -> None:
        self.file.write(data)
        self.size += len(data)

    def close(self) -> None:
        self.file.seek(0)

    def whole(self) -> bytes:
        self.file.seek(0)
        return self.file.read()

    def chunks(self) -> Iterator[bytes]:
        self.file.seek(0)
        while chunk := self.file.read(_READ_BYTES):
            yield chunk


class _Check:
    """One check, and its Inventory: first everything is read, then it is judged."""

    def __init__(
        self,
        profile: Profile | None,
        profile_at: ProfileAt,
        bag_name: str,
        format_of: Callable[[str], str] | None,
        tell: OnProgress,
        policy: Policy | None,
        again: Again | None,
    ) -> None:
        self.report = CheckReport()
        self.log = ProblemLog()
        self.facts = BagFacts(version="", encoding="", manifests=[], tag_manifests=[], tags=[])
        self._tell = tell
        self._profile = profile
        self._profile_at = profile_at
        self._policy = policy
        self._bag_name = bag_name
        self._format_of = format_of
        self._again = again
        self._columns = Columns(self.log)
        self._further = OnTheWay(Named(), self._columns.index)
        self._choice = TagChoice()
        self._bodies: dict[str, _Kept] = {}
        self._manifests: dict[str, bool] = {}
        """Path → whether it can be read: a hard link cannot."""

    def close(self) -> None:
        self._columns.further.close()
        for kept in self._bodies.values():
            kept.file.close()

    # Reading

    def read(self, chunks: Iterable[Chunk], length: int | None) -> None:
        """Fill the inventory: files, then tags, then manifest lines."""
        chunks = self._telling(chunks, READING, length)
        scan = BagScan(chunks, length=length, tap=self._tap, index=self._columns.index)
        for file in scan.files():
            self._count(file)
        self.log.merge(scan.log)
        report, names = self.report, TagFileNames(self._columns, linked=False)
        report.top_directory = scan.top_directory or ""
        found = read_tags(names, self._size, self._body)
        self.log.merge(found.problems)
        self.facts = BagFacts(
            version=found.version,
            encoding=found.encoding,
            manifests=self._algorithms(Role.MANIFEST),
            tag_manifests=self._algorithms(Role.TAG_MANIFEST),
            tags=found.tags,
            has_fetch_txt=self._columns.index.find(FETCH_TXT) is not None,
            files=report.files,
            payload_files=report.payload_files,
            payload_bytes=report.payload_bytes,
            tag_files=TagFileNames(self._columns),
            special_entries=dict(scan.special_entries),
            bag_name=self._bag_name,
            top_directory=report.top_directory,
        )
        self._calculate_further()
        self._read_manifests()

    def _telling(
        self, chunks: Iterable[Chunk], phase: str, total: int | None, done: int = 0
    ) -> Iterator[Chunk]:
        for chunk in chunks:
            yield chunk
            done += len(chunk)
            self._tell(Where(phase, done, total, self.report.files))

    def _tap(self, path: str, role: Role, size: int) -> ByteSink | None:
        is_tag_file = role is Role.TAG and path != FETCH_TXT
        kept = None
        if role is not Role.PAYLOAD and (not is_tag_file or self._choice.wants(path, size)):
            kept = self._bodies[path] = _Kept()
        return self._further.tap(path, role, kept)

    def _count(self, file: ScannedFile) -> None:
        report = self.report
        if further := self._further.take(file.path):
            self._columns.further.put(report.files, further)
        self._columns.add_file(file.path, file.role, is_linked=file.is_linked)
        report.files += 1
        report.bytes += file.size
        if file.role is Role.PAYLOAD:
            report.payload_files += 1
            report.payload_bytes += file.size
        elif file.role is not Role.TAG:
            self._manifests[file.path] = not file.is_linked
        if self._format_of is not None:
            counts = report.formats.setdefault(self._format_of(file.path), [0, 0])
            counts[0] += 1
            counts[1] += file.size

    def _size(self, path: str) -> int:
        row = self._columns.index.find(path)
        return self._columns.index.size(row) if row is not None else 0

    def _body(self, path: str) -> bytes:
        kept = self._bodies.get(path)
        return kept.whole() if kept is not None else b""

    def _algorithms(self, role: Role) -> list[str]:
        return [manifest_algorithm(path) for path in self._manifests if role_of(path) is role]

    def _calculate_further(self) -> None:
        """What manifests name that stand behind files which they list."""
        columns = self._columns
        for file, digests in read_again(self._lacking(), self._read_twice):
            columns.further.put(file.what, digests)

    def _lacking(self) -> Iterator[Wanted[int]]:
        """Files by row whose further digests are not all calculated yet."""
        columns, named = self._columns, self._further.named
        for row in range(len(columns)) if named.all() else ():
            algorithms = named.of(columns.role(row))
            lacking = tuple(a for a in algorithms if columns.further.get(row, a) is None)
            kept = self._bodies.get(columns.path(row)) if lacking else None
            if kept is not None and not columns.is_linked(row):
                summing = Summing(lacking)
                for chunk in kept.chunks():
                    summing.write(memoryview(chunk))
                columns.further.put(row, summing.digests())
            elif lacking:
                index = columns.index
                yield Wanted(row, index.size(row), index.span(row), lacking)

    def _read_twice(self, offset: int, length: int) -> Iterable[Chunk]:
        if self._again is None:
            raise ReadOnce(
                "files stand before a manifest that asks for "
                f"{', '.join(self._further.named.all())}, and must be read a second time:"
                " give the file, not a pipe"
            )
        return self._telling(self._again(offset, length), READING, None)

    def _read_manifests(self) -> None:
        facts = self.facts
        fetch = FetchList(self._fetch_txt, encoding=facts.encoding, version=facts.version)
        paths = [path for path, can_be_read in self._manifests.items() if can_be_read]
        total, done = sum(self._bodies[path].size for path in paths), 0
        for parser in parsers_of(paths, encoding=facts.encoding, version=facts.version):
            kept = self._bodies[parser.path]
            self._columns.open_manifest(parser.algorithm, parser.source)
            chunks = self._telling(kept.chunks(), MANIFESTS, total, done)
            for entry in fetch.watching(parser, parser.entries(chunks)):
                found = self._columns.add_entry(entry)
                if found is not None and found != entry.raw_path:
                    self.log.extend(match_warning(parser.path, entry, found))
            self.log.merge(parser.log)
            done += kept.size
        fetch.compare()
        self.log.merge(fetch.log)

    def _fetch_txt(self) -> Iterable[bytes]:
        kept = self._bodies.get(FETCH_TXT)
        return kept.chunks() if kept is not None else ()

    # Judging

    def judge(self) -> None:
        """Fill the report."""
        report, facts = self.report, self.facts
        if report.files:
            report.version = facts.version
            report.tags = list(facts.tags)
            report.manifests = sorted(facts.manifests)
            self._profile = self._profile or profile_named(facts.tags, self._profile_at)
            report.profile = self._profile.name
        report.problems = judge(self, self._profile or profile_for(""), self._policy)

    def files(self) -> Iterator[FileFacts]:
        """What the columns tell."""
        report = self.report
        for number, file in enumerate(self._columns.files(self.facts.manifests)):
            if number % TOLD_FILES == 0:
                self._tell(Where(JUDGING, number, report.files, report.files))
            yield file

    def paths(self) -> Iterator[str]:
        return self._columns.paths()

    @property
    def names(self) -> Alike:
        return self._columns.names
