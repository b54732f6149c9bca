"""Format identification: what each file is, by PRONOM, from ranges of its staged bytes.

Reads: files up to 1 MiB by one request; of larger ones the first and last 64 KiB, and the rest
where PRONOM needs it (containers, PDF, WAV) and it is not too large. Writes: format, how it was
found, when. What PRONOM does not know, or dies of, keeps the format of its extension.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bagline.errors import Gone
from bagline.formats.judging import CONTAINERS, FormatJudge
from bagline.formats.pronom import FormatMatch, Sample
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.preserved import must_be_kept
from bagline.model.ingest import FORMAT_BY_SIEGFRIED, IngestFile
from bagline.model.workitem import STAGE_RECEIVE
from bagline.services.objects.base import Piece
from bagline.services.objects.places import carried
from bagline.units import KIB, MIB
from bagline.worker.stage import Done, Halt, Outcome, Stage

WINDOW_BYTES = 64 * KIB
"""How much of each end of a large file is read."""
WHOLE_BYTES = 1 * MIB
"""Any file up to this size is read whole."""
WHOLE_IF_NEEDED_BYTES = 32 * MIB
"""Kinds that ends alone do not tell apart are read whole up to this size."""
BATCH_BYTES = 4 * MIB
BATCH_FILES = 256

NEEDS_WHOLE = (*CONTAINERS, b"%PDF", b"RIFF", b"RF64")
"""How ZIP, OLE2, PDF and WAV files begin."""


@dataclass(frozen=True, slots=True)
class _Body:
    """What was read of a file: all of it, or both ends joined."""

    file: IngestFile
    data: bytes

    @property
    def is_window(self) -> bool:
        return len(self.data) < self.file.size

    @property
    def lacks(self) -> bool:
        """Whether the rest is worth reading."""
        return (
            self.is_window
            and self.file.size <= WHOLE_IF_NEEDED_BYTES
            and self.data.startswith(NEEDS_WHOLE)
        )


@dataclass(frozen=True, slots=True)
class _Batch:
    """Files that are read and judged together; with them so many are `passed`, others too."""

    files: Sequence[IngestFile]
    passed: int


class FormatIdentifier(Stage[IngestJob]):
    name = "format identification"

    def __init__(self, judge: FormatJudge | None = None) -> None:
        self._judge = judge or FormatJudge()

    def warm_up(self) -> None:
        self._judge.warm_up()

    def close(self) -> None:
        self._judge.close()

    def run(self, job: IngestJob) -> Outcome:
        bag = job.object
        job.progress.expect(files=bag.file_count)
        try:
            for batch, bodies in _read_ahead(job):
                self._mark(job, [body for body in bodies if not body.lacks])
                for body in bodies:
                    if body.lacks:
                        self._mark(job, [_completed(job, body)])
                job.progress.add(files=batch.passed)
        except Gone as fault:
            return Halt(f"a staged file is gone ({fault})", requeue_at=STAGE_RECEIVE)
        return Done()

    def _mark(self, job: IngestJob, bodies: Sequence[_Body]) -> None:
        if not bodies:
            return
        samples = [Sample(body.file.path_in_bag.lower(), body.data) for body in bodies]
        matches = self._judge.judge(samples)
        moment = job.clock()
        changed = []
        for body, match in zip(bodies, matches, strict=True):
            if match is not None:
                _set_format(body, match)
                body.file.format_identified_at = moment
                changed.append(body.file)
        job.commit(files=changed)


def _read_ahead(job: IngestJob) -> Iterator[tuple[_Batch, list[_Body]]]:
    """Each batch with what was read of it; the next is read meanwhile."""
    reader = ThreadPoolExecutor(1, thread_name_prefix="format-reader")
    batches = _batches(job)
    try:
        batch = next(batches, None)
        reading = batch and reader.submit(carried(_read), job, batch.files)
        while batch and reading:
            bodies = reading.result()
            following = next(batches, None)
            reading = following and reader.submit(carried(_read), job, following.files)
            yield batch, bodies
            batch = following
    finally:
        reader.shutdown(wait=False, cancel_futures=True)


def _batches(job: IngestJob) -> Iterator[_Batch]:
    for entries in job.iter_files():
        waiting = [entry.file for entry in entries if _is_waiting(entry.file)]
        groups = list(_groups(waiting)) or [[]]
        for group in groups[:-1]:
            yield _Batch(group, 0)
        yield _Batch(groups[-1], len(entries))


def _groups(files: Iterable[IngestFile]) -> Iterator[list[IngestFile]]:
    """In order, each within BATCH_FILES, and within BATCH_BYTES that are read of it."""
    group: list[IngestFile] = []
    held = 0
    for file in files:
        some = sum(piece.length or 0 for piece in _pieces("", file))
        if group and (held + some > BATCH_BYTES or len(group) == BATCH_FILES):
            yield group
            group, held = [], 0
        group.append(file)
        held += some
    if group:
        yield group


def _pieces(key: str, file: IngestFile) -> list[Piece]:
    """What is read of it first. One request for all costs no more than two for the ends."""
    if file.size <= WHOLE_BYTES:
        return [Piece(key, 0, file.size)]
    return [Piece(key, 0, WINDOW_BYTES), Piece(key, file.size - WINDOW_BYTES, WINDOW_BYTES)]


def _read(job: IngestJob, files: Sequence[IngestFile]) -> list[_Body]:
    pieces = [_pieces(job.staging_key(file.uuid), file) for file in files]
    bucket = job.settings.buckets.staging
    bodies = iter(
        job.services.objects.read_many(bucket, [each for some in pieces for each in some])
    )
    return [
        _Body(file, b"".join(next(bodies) for _ in some))
        for file, some in zip(files, pieces, strict=True)
    ]


def _completed(job: IngestJob, body: _Body) -> _Body:
    """With what lies between its ends."""
    file, ends = body.file, body.data
    between = job.services.objects.read(
        job.settings.buckets.staging,
        job.staging_key(file.uuid),
        start=WINDOW_BYTES,
        length=file.size - 2 * WINDOW_BYTES,
    )
    return _Body(file, b"".join((ends[:WINDOW_BYTES], between, ends[WINDOW_BYTES:])))


def _is_waiting(file: IngestFile) -> bool:
    return must_be_kept(file) and file.size > 0 and file.format_identified_by != FORMAT_BY_SIEGFRIED


def _set_format(body: _Body, match: FormatMatch) -> None:
    judged = match.end_bytes or (WINDOW_BYTES if body.is_window else 0)
    body.file.file_format = match.mime
    body.file.format_identified_by = FORMAT_BY_SIEGFRIED
    body.file.format_match_type = match.basis + (_remark(judged) if judged else "")


def _remark(end_bytes: int) -> str:
    """That places in the words before it are places in both ends joined."""
    return f"; judged from the first and last {end_bytes // KIB} KiB"
