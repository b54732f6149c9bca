"""Staging: every file of the bag becomes an object at `{work_item_id}/{uuid}`.

Nothing is unpacked. A file is a range of the tar: a large one is copied by the store
itself and proven by the store's digest; small ones that lie side by side come in one
ranged read, are hashed again, and are put side by side. A file is marked only after
its proof, in batches, so a crash repeats at most one batch.

Reads: the tar by byte range (pinned to its ETag), file records and spans. Writes: staging
objects, `copied_to_staging_at` of each file, and of the object last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from bagline.errors import BrokenState
from bagline.model.ingest import IngestFile, TarSpan
from bagline.model.storage import user_metadata
from bagline.services.objects.base import RangeCopy, Relay, RelayPart, Target
from bagline.services.state.base import FileEntry
from bagline.stages.base import Done, Job, Outcome, Stage, expect_count

WINDOW_FILES = 50
"""Files of one window. Four windows are in hand, so a crash repeats at most 200 files."""
WINDOWS = 4
GAP_BYTES = 64 * 1024
"""Bytes that are read along with a window rather than beginning another one."""


@dataclass
class _Pass:
    """What the first pass over the records met."""

    counted: int = 0
    large: int = 0
    sparse: int = 0


class StagingUploader(Stage):
    name = "staging"

    def run(self, job: Job) -> Outcome:
        bag = job.object
        job.progress.expect(files=bag.file_count, bytes=bag.size)
        job.services.objects.abort_uploads(job.settings.buckets.staging, job.staging_key(""))
        met = _Pass()
        self._relay_small(job, met)
        expect_count(met.counted, bag.file_count, "staging")
        if met.large:
            self._copy_large(job)
        if met.sparse:
            self._put_sparse(job)
        bag.copied_to_staging_at = job.clock()
        job.commit(object=bag)
        return Done()

    def _relay_small(self, job: Job, met: _Pass) -> None:
        """Neighbours come in one ranged read and are put side by side, window after window."""
        in_hand: deque[list[FileEntry]] = deque()
        work = job.settings.work

        def relays() -> Iterator[Relay]:
            for window in _windows(self._small(job, met), work.window_bytes):
                in_hand.append(window)
                yield self._relay(job, window)

        done = job.services.objects.relay_many(
            relays(),
            windows=WINDOWS,
            puts_in_flight=work.puts_in_flight,
            budget_bytes=work.bytes_in_flight,
        )
        with closing(done):
            for _ in done:
                self._mark(job, in_hand.popleft())

    def _small(self, job: Job, met: _Pass) -> Iterator[FileEntry]:
        """Files that wait and are small; the others are counted."""
        for batch in job.iter_files():
            for entry in batch:
                if not entry.file.was_read:
                    continue
                met.counted += 1
                if entry.file.is_staged:
                    job.progress.add(files=1, bytes=entry.file.size)
                elif _span(entry).stretches:
                    met.sparse += 1
                elif _is_large(job, entry):
                    met.large += 1
                else:
                    yield entry

    def _relay(self, job: Job, window: Sequence[FileEntry]) -> Relay:
        filled = [entry for entry in window if entry.file.size]
        start = min((_span(e).data_offset for e in filled), default=0)
        end = max((_span(e).data_offset + e.file.size for e in filled), default=0)
        bag = job.object
        return Relay(
            source_bucket=bag.s3_bucket,
            source_key=bag.s3_key,
            etag=bag.etag,
            start=start,
            length=end - start,
            parts=[
                RelayPart(
                    offset=_span(entry).data_offset - start if entry.file.size else 0,
                    length=entry.file.size,
                    target=self._target(job, entry.file),
                    sha256=entry.file.calculated("sha256"),
                )
                for entry in window
            ],
        )

    def _copy_large(self, job: Job) -> None:
        """The store copies by itself, some at a time; each group is marked when it is proven."""
        some = job.settings.work.copies_in_flight
        waiting = (e for e in self._waiting(job) if not _span(e).stretches and _is_large(job, e))
        while group := list(islice(waiting, some)):
            copies = [self._copy(job, entry) for entry in group]
            job.services.objects.copy_many(copies, in_flight=some)
            self._mark(job, group)

    def _put_sparse(self, job: Job) -> None:
        """Sparse files go in expanded, as their digests were taken."""
        for entry in self._waiting(job):
            if _span(entry).stretches:
                job.services.objects.put_stream(
                    self._target(job, entry.file),
                    _expanded(job, entry),
                    size=entry.file.size,
                    sha256=entry.file.calculated("sha256"),
                )
                self._mark(job, [entry])

    def _waiting(self, job: Job) -> Iterator[FileEntry]:
        for batch in job.iter_files():
            for entry in batch:
                if entry.file.was_read and not entry.file.is_staged:
                    yield entry

    def _copy(self, job: Job, entry: FileEntry) -> RangeCopy:
        bag = job.object
        return RangeCopy(
            source_bucket=bag.s3_bucket,
            source_key=bag.s3_key,
            etag=bag.etag,
            start=_span(entry).data_offset,
            length=entry.file.size,
            target=self._target(job, entry.file),
            sha256=entry.file.calculated("sha256"),
            md5=entry.file.calculated("md5"),
            part_sha256=_span(entry).part_sha256,
        )

    def _target(self, job: Job, file: IngestFile) -> Target:
        return Target(
            bucket=job.settings.buckets.staging,
            key=job.staging_key(file.uuid),
            content_type=file.file_format or "application/octet-stream",
            metadata=user_metadata(file, job.institution.identifier),
        )

    def _mark(self, job: Job, entries: Sequence[FileEntry]) -> None:
        moment = job.clock()
        for entry in entries:
            entry.file.copied_to_staging_at = moment
        job.commit(files=[entry.file for entry in entries])
        job.progress.add(files=len(entries), bytes=sum(e.file.size for e in entries))


def _span(entry: FileEntry) -> TarSpan:
    if entry.span is None:
        raise BrokenState(f"the byte range of {entry.file.identifier!r} in the tar is not known")
    return entry.span


def _is_large(job: Job, entry: FileEntry) -> bool:
    return entry.file.size >= job.settings.work.copy_from_bytes


def _windows(entries: Iterable[FileEntry], window_bytes: int) -> Iterator[list[FileEntry]]:
    """Neighbours in the tar: at most WINDOW_FILES, and their bytes within one window."""
    group: list[FileEntry] = []
    first = last = 0
    for entry in entries:
        begin = _span(entry).data_offset
        end = begin + entry.file.size
        is_neighbour = last <= begin <= last + GAP_BYTES and end - first <= window_bytes
        if group and (not is_neighbour or len(group) == WINDOW_FILES):
            yield group
            group = []
        if not group:
            first = begin
        group.append(entry)
        last = end
    if group:
        yield group


ZEROS = bytes(1024 * 1024)


def _expanded(job: Job, entry: FileEntry) -> Iterator[bytes]:
    """The bytes of a sparse file: its stretches from the tar, zeros between them."""
    bag, span = job.object, _span(entry)
    source, at = span.data_offset, 0
    for offset, length in span.stretches:
        yield from _zeros(offset - at)
        if length:
            yield from job.services.objects.stream(
                bag.s3_bucket, bag.s3_key, start=source, length=length, etag=bag.etag
            )
        source, at = source + length, offset + length
        job.progress.moved()
    yield from _zeros(entry.file.size - at)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield ZEROS[:count]
        count -= len(ZEROS)
