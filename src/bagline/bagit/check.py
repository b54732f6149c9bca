"""Everything there is to say about a bag from its bytes alone: no engine, no network."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, NamedTuple

from bagline import problems
from bagline.bagit.digests import LENGTHS
from bagline.bagit.inventory import Listings, TagFileNames
from bagline.bagit.manifests import ManifestParser, case_key, case_problem, match_warning
from bagline.bagit.paths import (
    BAGIT_TXT,
    FETCH_TXT,
    Role,
    manifest_algorithm,
)
from bagline.bagit.profiles import Profile, profile_for, profile_identifier
from bagline.bagit.scan.one_pass import BagScan, ByteSink, ScannedFile
from bagline.bagit.tar.stream import Chunk
from bagline.bagit.tagfiles import (
    READ_FIRST,
    TAG_FILE_BYTES,
    TagReading,
    looks_like_tag_file,
    parse_bagit_txt,
)
from bagline.bagit.judge import BagFacts, bag_problems, file_problems
from bagline.errors import BagRejected
from bagline.model.ingest import SOURCE_MANIFEST, SOURCE_TAG_MANIFEST, Tag
from bagline.problems import Problem, ProblemLog, has_errors

KIB = 1024
MIB = 1024 * KIB

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
) -> CheckReport:
    """Read and judge the bag whose tar is in `chunks`.

    `length` is the tar's, or None when only the source's end tells. `profile` None: the
    one that the bag names, APTrust if none. `bag_name`: to be compared with the top
    directory. Needs some 330 bytes of memory a file, and room for the manifests in the
    temporary directory. A bad bag is a report; raises Unreachable when the source ends
    early, OSError when the temporary directory is full.
    """
    check = _Check(profile, bag_name, format_of, on_progress or (lambda _: None))
    try:
        check.read(chunks, length)
        check.judge()
    except BagRejected as fault:
        check.report.complete = False
        check.report.problems = list(fault.problems)
    finally:
        check.close()
    return check.report


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
    """One check: first everything is read, then it is judged."""

    def __init__(
        self,
        profile: Profile | None,
        bag_name: str,
        format_of: Callable[[str], str] | None,
        tell: OnProgress,
    ) -> None:
        self.report = CheckReport()
        self._tell = tell
        self._profile = profile
        self._bag_name = bag_name
        self._format_of = format_of
        self._listings = Listings()
        self._log = ProblemLog()
        self._manifests: dict[str, _Kept] = {}
        self._bodies: dict[str, _Kept] = {}
        self._reading = TagReading()
        self._all_manifests: dict[str, Role] = {}
        self._has_fetch_txt = False
        self._special: dict[str, str] = {}

    def close(self) -> None:
        for kept in (*self._manifests.values(), *self._bodies.values()):
            kept.file.close()

    # Reading

    def read(self, chunks: Iterable[Chunk], length: int | None) -> None:
        chunks = self._telling(chunks, READING, length)
        scan = BagScan(chunks, length=length, tap=self._tap, index=self._listings.index)
        for file in scan.files():
            self._count(file)
        self._log.extend(scan.problems)
        self._special = dict(scan.special_entries)
        self.report.top_directory = scan.top_directory or ""

    def _telling(
        self, chunks: Iterable[Chunk], phase: str, total: int | None, done: int = 0
    ) -> Iterator[Chunk]:
        for chunk in chunks:
            yield chunk
            done += len(chunk)
            self._tell(Where(phase, done, total, self.report.files))

    def _tap(self, path: str, role: Role, size: int) -> ByteSink | None:
        if role is Role.PAYLOAD:
            return None
        if role is not Role.TAG:
            if manifest_algorithm(path) not in LENGTHS:
                return None
            kept = self._manifests[path] = _Kept()
            return kept
        if path == FETCH_TXT or not self._reading.wants(path, size):
            if path in READ_FIRST:
                limit = TAG_FILE_BYTES
                self._log.add(problems.TAG_FILE_TOO_LARGE.about(path, size=size, limit=limit))
            return None
        kept = self._bodies[path] = _Kept()
        return kept

    def _count(self, file: ScannedFile) -> None:
        report = self.report
        self._listings.add_file(file.path, file.role)
        report.files += 1
        report.bytes += file.size
        if file.role is Role.PAYLOAD:
            report.payload_files += 1
            report.payload_bytes += file.size
        elif file.role is not Role.TAG:
            self._all_manifests[file.path] = file.role
        elif file.path == FETCH_TXT:
            self._has_fetch_txt = True
        if self._format_of is not None:
            counts = report.formats.setdefault(self._format_of(file.path), [0, 0])
            counts[0] += 1
            counts[1] += file.size

    # Judging

    def judge(self) -> None:
        """Fill the report's problems: of the tar, the tag files, the bag, the files."""
        if self.report.files:
            facts = self._facts()
            self.report.version = facts.version
            self.report.tags = list(facts.tags)
            self.report.manifests = sorted(facts.manifests)
            profile = self._profile or profile_for(profile_identifier(facts.tags))
            self.report.profile = profile.name
            self._merge_manifests(facts)
            self._log.extend(bag_problems(facts, profile))
            usual = [name.lower() for name in facts.manifests]
            for number, file in enumerate(self._listings.facts(usual=usual)):
                if number % TOLD_FILES == 0:
                    self._tell(Where(JUDGING, number, self.report.files, self.report.files))
                self._log.extend(file_problems(file, facts, profile))
            self._log.extend(self._case_problems())
        for kind, count in self._listings.unkept.items():
            self._log.count_unlisted(kind, count)
        self.report.problems = self._log.all()

    def _facts(self) -> BagFacts:
        declared = parse_bagit_txt(self._body(BAGIT_TXT))
        self._log.extend(declared.problems)
        tags = list(declared.tags)
        others = [path for path in self._bodies if path not in READ_FIRST]
        for path in [*READ_FIRST[1:], *others]:
            body = self._body(path)
            if body and (path in READ_FIRST or looks_like_tag_file(path, body)):
                found, faults = self._reading.read(path, body, declared.encoding or "UTF-8")
                tags += found
                self._log.extend(faults)
        self._log.extend(self._reading.problems())
        return BagFacts(
            version=declared.version,
            encoding=declared.encoding,
            manifests=self._algorithms(Role.MANIFEST),
            tag_manifests=self._algorithms(Role.TAG_MANIFEST),
            tags=tags,
            has_fetch_txt=self._has_fetch_txt,
            payload_files=self.report.payload_files,
            payload_bytes=self.report.payload_bytes,
            tag_files=TagFileNames(self._listings),
            special_entries=self._special,
            bag_name=self._bag_name,
            top_directory=self.report.top_directory,
        )

    def _body(self, path: str) -> bytes:
        kept = self._bodies.get(path)
        return kept.whole() if kept is not None else b""

    def _algorithms(self, role: Role) -> list[str]:
        return [manifest_algorithm(p) for p, found in self._all_manifests.items() if found is role]

    def _merge_manifests(self, facts: BagFacts) -> None:
        total = sum(kept.size for kept in self._manifests.values())
        done = 0
        for path, kept in self._manifests.items():
            parser = ManifestParser(path, encoding=facts.encoding or "UTF-8", version=facts.version)
            source = SOURCE_MANIFEST if parser.role is Role.MANIFEST else SOURCE_TAG_MANIFEST
            column = self._listings.open_manifest(parser.algorithm, source)
            for entry in parser.entries(self._telling(kept.chunks(), MANIFESTS, total, done)):
                found = self._listings.add_entry(column, entry)
                if found is not None and found != entry.raw_path:
                    self._log.extend(match_warning(path, entry, found))
            self._log.extend(parser.problems)
            done += kept.size

    def _case_problems(self) -> Iterator[Problem]:
        """Of missing files: which ones are there under a name in another case."""
        wanted = {case_key(path): path for path in self._listings.missing()}
        if not wanted:
            return
        for path in self._listings.paths():
            missing = wanted.get(case_key(path))
            problem = case_problem(missing, path) if missing is not None else None
            if problem is not None:
                yield problem
