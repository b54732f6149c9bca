"""Lines of all manifests brought together, file by file, and put to the records of the files."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice

from bagline.bagit.alike import OddForms
from bagline.bagit.fetch import FetchList
from bagline.bagit.manifests import ManifestEntry, ManifestParser, match_warning, parsers_of
from bagline.bagit.paths import FETCH_TXT
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.notes import PreFetchNotes
from bagline.lines.ingest.prefetch.metadata import Bodies
from bagline.lines.ingest.prefetch.saving import COMMITS_WAITING, Saver
from bagline.model.ingest import (
    SOURCE_INGEST,
    IngestChecksum,
    IngestFile,
)
from bagline.model.named_uuids import named_uuid
from bagline.problems import ProblemLog
from bagline.services.state.base import COMMIT_FILES, FileEntry


def merge_manifests(job: IngestJob, notes: PreFetchNotes, bodies: Bodies) -> ProblemLog:
    """Give every listed file its manifest checksums; returns what was wrong on the way.

    May be repeated: checksums of an earlier pass are replaced. A file that a manifest
    lists and the tar lacks gets a record of its own, without ingest checksums.
    """
    linked = set(notes.linked)
    parsers = parsers_of(
        (path for path in notes.listings if path not in linked),
        encoding=notes.encoding,
        version=notes.version,
    )

    def fetch_txt() -> Iterable[bytes]:
        has_one = job.object.has_fetch_txt and FETCH_TXT not in linked
        return bodies.chunks(FETCH_TXT) if has_one else ()

    fetch = FetchList(fetch_txt, encoding=notes.encoding, version=notes.version)
    manifests = [
        (parser, fetch.watching(parser, parser.entries(bodies.chunks(parser.path))))
        for parser in parsers
    ]
    with Saver(job) as saver:
        merger = _Merger(job, parsers, saver)
        for lines in gathered(batches(manifests, COMMIT_FILES), COMMIT_FILES):
            merger.merge(lines)
            job.pause_point()
        merger.finish()
    for parser in parsers:
        merger.problems.merge(parser.log)
    fetch.compare()
    merger.problems.merge(fetch.log)
    if job.object.storage_option != IngestFile().storage_option:
        _set_option(job)
    return merger.problems


class _Merger:
    """Puts manifest lines to the records of their files.

    Most are appended where the records lie. Lines without a record under their own
    spelling, and records that have other manifests' checksums, are looked at closely.
    """

    def __init__(self, job: IngestJob, parsers: Sequence[ManifestParser], saver: Saver) -> None:
        self.problems = ProblemLog()
        self._job = job
        self._saver = saver
        self._moment = job.clock()
        self._odd: OddForms | None = None
        self._kinds = {parser.path: (parser.source, parser.algorithm) for parser in parsers}
        self._ranks = {kind: rank for rank, kind in enumerate(self._kinds.values())}
        self._appending: deque[tuple[dict[str, list[Line]], Future[list[str]]]] = deque()

    def merge(self, lines: Sequence[Line]) -> None:
        """Give the lines' files their checksums, soon."""
        usual: dict[str, list[Line]] = {}
        unusual: list[Line] = []
        for line in lines:
            entry = line[1]
            if entry.raw_path == entry.candidates[0]:
                usual.setdefault(entry.raw_path, []).append(line)
            else:
                unusual.append(line)
        paths = list(usual)
        for start in range(0, len(paths), COMMIT_FILES):
            self._append({path: usual[path] for path in paths[start : start + COMMIT_FILES]})
        if unusual:
            self._look_closely(unusual)

    def finish(self) -> None:
        """After the last lines."""
        while self._appending:
            self._look_at_first()

    def _append(self, lines: dict[str, list[Line]]) -> None:
        moment, kinds = self._moment, self._kinds
        checksums: dict[str, list[IngestChecksum]] = {}
        for path, some in lines.items():
            added = checksums[path] = []
            for parser, entry in some:
                source, algorithm = kinds[parser.path]
                added.append(
                    IngestChecksum(
                        algorithm=algorithm, datetime=moment, digest=entry.digest, source=source
                    )
                )
        self._appending.append((lines, self._saver.add_checksums(checksums)))
        while len(self._appending) > COMMITS_WAITING:
            self._look_at_first()

    def _look_at_first(self) -> None:
        lines, left = self._appending.popleft()
        unusual = [line for path in left.result() for line in lines[path]]
        if unusual:
            self._look_closely(unusual)

    def _look_closely(self, lines: Sequence[Line]) -> None:
        """Load the lines' records, change them, and save them."""
        self._saver.wait()  # what was merged a moment ago must be seen here
        known = self._load(lines)
        changed: dict[str, IngestFile | FileEntry] = {}
        for parser, entry in lines:
            spelling = entry.candidates[0]
            if spelling not in known:
                spelling = next((path for path in entry.candidates if path in known), spelling)
            if spelling not in known and (odd := self._odd_form(entry)):
                spelling = odd
                known |= {} if odd in known else self._ask({odd})
            if spelling not in known:
                known[spelling] = FileEntry(_listed_only(self._job, spelling), None)
                changed[spelling] = known[spelling]
            elif spelling != entry.raw_path:
                self.problems.extend(match_warning(parser.path, entry, spelling))
            file = known[spelling].file
            self._add_checksum(file, self._kinds[parser.path], entry.digest)
            changed.setdefault(spelling, file)
        records = list(changed.values())
        for start in range(0, len(records), COMMIT_FILES):
            self._saver.commit(records[start : start + COMMIT_FILES])

    def _load(self, lines: Sequence[Line]) -> dict[str, FileEntry]:
        """Records by path; other spellings are asked for only where the first finds nothing."""
        known = self._ask({entry.candidates[0] for _, entry in lines})
        others = {
            path
            for _, entry in lines
            if len(entry.candidates) > 1 and entry.candidates[0] not in known
            for path in entry.candidates[1:]
        }
        if others:
            known |= self._ask(others)
        return known

    def _odd_form(self, entry: ManifestEntry) -> str | None:
        """The file of the line under a name in a mixture of normal forms. All records are gone
        through once, where a name that is not ASCII is not found."""
        if entry.candidates[0].isascii():
            return None
        if self._odd is None:
            self._odd = OddForms()
            for batch in self._job.iter_files():
                self._job.progress.moved()
                for file, _ in batch:
                    if file.was_read:
                        self._odd.add(file.path_in_bag)
        return self._odd.find(entry.candidates)

    def _ask(self, paths: set[str]) -> dict[str, FileEntry]:
        job = self._job
        return job.services.state.load_files(
            job.item.id, job.object.identifier, list(paths), spans=False
        )

    def _add_checksum(self, file: IngestFile, kind: tuple[str, str], digest: str) -> None:
        """Beside those of this pass (a manifest may list a file twice), instead of earlier
        ones; in the order of the manifests, whichever of them came first to the file."""
        moment, ranks = self._moment, self._ranks
        source, algorithm = kind
        checksums = [
            old
            for old in file.checksums
            if old.algorithm != algorithm or old.source != source or old.datetime == moment
        ]
        checksums.append(
            IngestChecksum(algorithm=algorithm, datetime=moment, digest=digest, source=source)
        )
        if len(checksums) > 1:
            last = checksums[-2]
            if (
                last.source != SOURCE_INGEST
                and ranks.get((last.source, last.algorithm), -1) > ranks[kind]
            ):
                checksums.sort(key=lambda c: ranks.get((c.source, c.algorithm), -1))
        file.checksums = checksums


def _listed_only(job: IngestJob, path: str) -> IngestFile:
    bag = job.object
    return IngestFile(
        institution_id=bag.institution_id,
        object_identifier=bag.identifier,
        path_in_bag=path,
        uuid=named_uuid("file", bag.identifier, job.item.id, bag.etag, path),
    )


def _set_option(job: IngestJob) -> None:
    """Every file goes where the bag goes."""
    option = job.object.storage_option
    for batch in job.iter_files():
        changed = [e.file for e in batch if e.file.storage_option != option]
        for file in changed:
            file.storage_option = option
        if changed:
            job.commit(files=changed)


HELD_LINES = 20_000
"""So many lines of a manifest wait for the other manifests to come to the same file."""


Line = tuple[ManifestParser, ManifestEntry]
"""One manifest line, and before it which manifest it stands in."""


class _Source:
    """One manifest: lines not read yet, and lines that were read ahead of their turn."""

    def __init__(self, parser: ManifestParser, entries: Iterator[ManifestEntry]) -> None:
        self._parser = parser
        self._entries = entries
        self._ahead: dict[str, list[ManifestEntry]] = {}
        self._held = 0

    def next_lines(self, count: int) -> list[Line]:
        """About `count` lines, those read ahead first; none when there are no more."""
        lines: list[Line] = []
        while self._ahead and len(lines) < count:
            path = next(iter(self._ahead))
            lines += self._let_go(path)
        lines += [(self._parser, e) for e in islice(self._entries, count - len(lines))]
        return lines

    def lines_of(self, paths: set[str], count: int) -> list[Line]:
        """The lines of those paths, as far as `count` more lines of the manifest tell."""
        lines = [line for path in paths & self._ahead.keys() for line in self._let_go(path)]
        for entry in islice(self._entries, count):
            if entry.candidates[0] in paths:
                lines.append((self._parser, entry))
            else:
                self._ahead.setdefault(entry.candidates[0], []).append(entry)
                self._held += 1
        return lines

    @property
    def holds_too_much(self) -> bool:
        return self._held > HELD_LINES

    def _let_go(self, path: str) -> list[Line]:
        entries = self._ahead.pop(path)
        self._held -= len(entries)
        return [(self._parser, entry) for entry in entries]


def gathered(some: Iterable[list[Line]], count: int) -> Iterator[list[Line]]:
    """The same lines, in batches of at least `count` but for the last: small manifests together."""
    held: list[Line] = []
    for lines in some:
        held += lines
        if len(held) >= count:
            yield held
            held = []
    if held:
        yield held


def batches(
    manifests: Sequence[tuple[ManifestParser, Iterator[ManifestEntry]]], count: int
) -> Iterator[list[Line]]:
    """Every line once, some `count` files at a time.

    Lines of a file come in one batch when the manifests list files in about the same
    order; otherwise in several, each manifest's in its order.
    """
    sources = [_Source(parser, entries) for parser, entries in manifests]
    for place, source in enumerate(sources):
        others = sources[place + 1 :]
        while lines := source.next_lines(count):
            paths = {entry.candidates[0] for _, entry in lines}
            for other in others:
                lines += other.lines_of(paths, count)
            yield lines
            for other in others:
                while other.holds_too_much:
                    yield other.next_lines(count)
