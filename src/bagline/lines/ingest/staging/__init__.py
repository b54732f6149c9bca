"""Staging: every file of the bag becomes an object at `{work_item_id}/{uuid}`.

Nothing is unpacked. A file is a range of the tar: a large one is copied by the store
itself and proven by the store's digest; small ones that lie side by side come in one
ranged read, are hashed again, and are put side by side. A file is marked only after
its proof, in batches. What a crash left stored and unmarked is asked after by HEAD: where
the store proves it, it is marked; else it is staged again.

Reads: the tar by byte range (pinned to its ETag), file records and spans. Writes: staging
objects, `copied_to_staging_at` of each file, and of the object last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, islice

from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.notes import notes_of
from bagline.lines.ingest.received_tar import expanded
from bagline.lines.ingest.staging.spans import (
    WINDOW_FILES,
    WINDOWS,
    is_sparse,
    placed_files,
    span_of,
    windows_of,
)
from bagline.lines.ingest.stored_file import StoredFile, part_name, staged
from bagline.model.times import is_set
from bagline.services.objects.base import Proof, RangeCopy, Relay
from bagline.services.state.base import FileEntry
from bagline.worker.stage import Done, Outcome, Stage, expect_count

SMALL, LARGE, SPARSE = "small", "large", "sparse"


class StagingUploader(Stage[IngestJob]):
    name = "staging"

    def run(self, job: IngestJob) -> Outcome:
        bag = job.object
        job.progress.expect(files=bag.file_count, bytes=bag.size)
        _check_room(job)
        counted = _Pass(job).run()
        expect_count(counted, _expected(job), "staging")
        bag.copied_to_staging_at = job.clock()
        job.leave(object=bag)
        return Done()


def _expected(job: IngestJob) -> int:
    """How many files of the tar are to be staged. Another's pre-fetch counts entries, of which two
    may have one name: there the records that it read are counted."""
    if notes_of(job) is not None:
        return job.object.file_count
    return sum(entry.file.was_read for batch in job.iter_files() for entry in batch)


def _check_room(job: IngestJob) -> None:
    """Hard links and sparse files are stored whole: a small tar may ask for a large disk. Raises
    Refused before the first of them is stored."""
    if job.check_room is None or is_set(job.object.copied_to_staging_at):
        return
    waiting = sum(
        entry.file.size
        for batch in job.iter_files()
        for entry in batch
        if entry.file.was_read and not entry.file.is_staged
    )
    if waiting > job.object.size:
        job.check_room(waiting)


class _Pass:
    """One pass over the files of a bag: each is staged, and marked when it is proven."""

    def __init__(self, job: IngestJob) -> None:
        self._job = job
        self._counted = 0
        self._large: list[FileEntry] = []
        self._is_swept = False
        self._to_ask = {SMALL, LARGE, SPARSE} if job.began_before else set[str]()
        """Kinds whose first unmarked files an attempt before may have stored."""

    def run(self) -> int:
        """Returns how many files the bag has, those staged before included."""
        in_hand: deque[list[FileEntry]] = deque()
        work = self._job.settings.work

        def relays() -> Iterator[Relay]:
            for window in windows_of(self._small_to_put(), work.window_bytes):
                in_hand.append(window)
                yield self._relay(window)

        done = self._job.services.objects.relay_many(
            relays(),
            windows=WINDOWS,
            puts_in_flight=work.puts_in_flight,
            budget=self._job.bytes_in_flight,
        )
        with closing(done):
            for _ in done:
                self._mark(in_hand.popleft())
        return self._counted

    def _small_to_put(self) -> Iterable[FileEntry]:
        """An attempt that died had at most WINDOWS windows in hand: the first that wait."""
        small = self._small()
        if not self._job.began_before:
            return small
        in_hand = list(islice(small, WINDOWS * WINDOW_FILES))
        return chain(self._unproven(SMALL, in_hand), small)

    def _small(self) -> Iterator[FileEntry]:
        """The small files that wait. Those of other kinds are staged here, on the way."""
        job = self._job
        some = job.settings.work.copies_in_flight
        for batch in placed_files(job):
            for entry in batch:
                if not entry.file.was_read:
                    continue
                self._counted += 1
                if entry.file.is_staged:
                    job.progress.add(files=1, bytes=entry.file.size)
                elif is_sparse(entry):
                    self._put_sparse(entry)
                elif entry.file.size >= job.settings.work.copy_from_bytes:
                    self._large.append(entry)
                    if len(self._large) == some:
                        self._copy_large()
                else:
                    yield entry
        self._copy_large()

    def _relay(self, window: Sequence[FileEntry]) -> Relay:
        filled = [entry for entry in window if entry.file.size]
        start = min((span_of(e).data_offset for e in filled), default=0)
        end = max((span_of(e).data_offset + e.file.size for e in filled), default=0)
        bag = self._job.object
        return Relay(
            source_bucket=bag.s3_bucket,
            source_key=bag.s3_key,
            etag=bag.etag,
            start=start,
            length=end - start,
            parts=[
                staged(self._job, entry.file).relayed(
                    span_of(entry).data_offset - start if entry.file.size else 0
                )
                for entry in window
            ],
        )

    def _copy_large(self) -> None:
        """The store copies these by itself, all at once; each is marked when it is proven."""
        waiting, self._large = self._large, []
        group = {e.file.uuid: e for e in self._unproven(LARGE, waiting)}
        if not group:
            return
        self._sweep()
        objects, copies = self._job.services.objects, [self._copy(e) for e in group.values()]
        for proof in objects.copy_many(copies, in_flight=len(group)):
            self._mark([group[proof.key.rpartition("/")[2]]])

    def _copy(self, entry: FileEntry) -> RangeCopy:
        bag, span = self._job.object, span_of(entry)
        return self._staged(entry).copied_from(
            bag.s3_bucket, bag.s3_key, etag=bag.etag, start=span.data_offset
        )

    def _put_sparse(self, entry: FileEntry) -> None:
        """Sparse files go in expanded, as their digests were taken."""
        if not self._unproven(SPARSE, [entry]):
            return
        self._sweep()
        self._job.services.objects.put_stream(
            self._staged(entry).target,
            expanded(self._job, span_of(entry), entry.file.size),
            size=entry.file.size,
            sha256=entry.file.calculated("sha256"),
        )
        self._mark([entry])

    def _unproven(self, kind: str, first: list[FileEntry]) -> list[FileEntry]:
        """Those of the first files of that kind which must be stored (again). After an attempt
        that died the store is asked for its digests; what they prove is marked."""
        if not first or kind not in self._to_ask:
            return first
        self._to_ask.remove(kind)
        job = self._job
        checks = [self._staged(entry).check() for entry in first]
        answers = job.services.objects.verify_many(
            job.settings.buckets.staging, checks, read_back=False
        )
        asked = list(zip(first, answers, strict=True))
        self._mark([entry for entry, answer in asked if isinstance(answer, Proof)])
        return [entry for entry, answer in asked if not isinstance(answer, Proof)]

    def _staged(self, entry: FileEntry) -> StoredFile:
        return staged(self._job, entry.file, span_of(entry))

    def _sweep(self) -> None:
        """Before the first upload in parts: what an earlier run left unfinished is aborted."""
        job = self._job
        if not self._is_swept:
            job.services.objects.abort_uploads(job.settings.buckets.staging, job.staging_key(""))
            self._is_swept = True

    def _mark(self, entries: Sequence[FileEntry]) -> None:
        job, moment = self._job, self._job.clock()
        for entry in entries:
            entry.file.copied_to_staging_at = moment
        job.commit(files=[entry.file for entry in entries])
        staging = job.settings.buckets.staging
        job.progress.settled(part_name(staging, entry.file) for entry in entries)
        job.progress.add(files=len(entries), bytes=sum(e.file.size for e in entries))
