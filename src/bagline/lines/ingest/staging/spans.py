"""Where the files of a bag lie in its tar: from their records, or from the tar's headers; which
of them are read at once, and how the bytes of a sparse one are made of its stretches.

Bagline's pre-fetch leaves each file's span beside its record. An older service leaves
none: then the headers are walked, by small ranged reads that skip the payloads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

from bagline.bagit.tar import Member, MemberKind, TarReader
from bagline.errors import BrokenState, Unreachable
from bagline.lines.ingest.job import IngestJob
from bagline.model.ingest import TarSpan
from bagline.services.state.base import BATCH_FILES, FileEntry
from bagline.units import MIB

LEAST_BYTES = 64 * 1024
"""Of the first read after a payload that was skipped."""
MOST_BYTES = 4 * MIB
"""Reads double until here while headers stand so close that nothing is skipped."""

WINDOW_FILES = 200
WINDOWS = 2
"""Windows whose files are put at once: a crash leaves at most these stored and not marked."""
GAP_BYTES = 64 * 1024
"""Bytes that are read along with a window rather than beginning another one."""
_ZEROS = bytes(MIB)

Read = Callable[[int, int], bytes]
"""(start, length) → that many bytes of the tar."""


def span_of(entry: FileEntry) -> TarSpan:
    """Raises BrokenState where it is not known."""
    if entry.span is None:
        raise BrokenState(f"the byte range of {entry.file.identifier!r} in the tar is not known")
    return entry.span


def is_sparse(entry: FileEntry) -> bool:
    """Whether the tar holds other bytes than the file's: its stretches, or none of a file that
    is one hole."""
    span = span_of(entry)
    return bool(span.stretches) or span.stored_bytes != entry.file.size


def placed_files(job: IngestJob) -> Iterator[list[FileEntry]]:
    """Every file of the bag with its span, in tar order, in batches, in bounded memory.

    Raises what reading the tar raises; Unreachable where Redis has no record of a file
    that the tar holds; BagRejected where the tar's framing is broken.
    """
    batches = job.iter_files()
    first = next(batches, [])
    if any(entry.file.was_read and entry.span is None for entry in first):
        return _walked(job)
    return chain([first], batches)


def _walked(job: IngestJob) -> Iterator[list[FileEntry]]:
    """Files as older services see them: all regular ones, by their name below its first part.

    They know neither hard links nor sparse files of old GNU tars: those have no record.
    """
    bag = job.object

    def read(start: int, length: int) -> bytes:
        job.progress.moved()
        job.pause_point()
        return job.services.objects.read(
            bag.s3_bucket, bag.s3_key, start=start, length=length, etag=bag.etag
        )

    members = (m for m in walk_headers(read, bag.size) if m.kind is MemberKind.FILE)
    while some := list(islice(members, BATCH_FILES)):
        paths = [member.name.partition("/")[2] for member in some]
        found = job.services.state.load_files(job.item.id, bag.identifier, paths, spans=False)
        entries = []
        for member, path in zip(some, paths, strict=True):
            entry = found.get(path)
            if entry is not None and entry.file.was_read:
                entries.append(FileEntry(entry.file, _span(member)))
            elif not member.is_sparse:
                raise Unreachable(f"Redis has no record of {member.name!r}, which the tar holds")
        yield entries


def _span(member: Member) -> TarSpan:
    return TarSpan(member.header_offset, member.data_offset, member.stored, tuple(member.stretches))


def walk_headers(read: Read, length: int) -> Iterator[Member]:
    """The members of a tar of `length` bytes, payloads skipped.

    Where a payload reaches far beyond what was read, a new TarReader begins behind it.
    Raises BagRejected where the framing is broken.
    """
    reads = _Reads(read, 0, length)
    reader = TarReader(reads, length=length)
    while (member := reader.next_member()) is not None:
        yield member
        behind = member.end_offset
        if reads.at + LEAST_BYTES < behind <= length:
            reads = _Reads(read, behind, length)
            reader = TarReader(
                reads,
                length=length,
                offset=behind,
                pax_globals=reader.pax_globals,
                count=reader.count,
            )


class _Reads:
    """The tar's bytes from `at` on, in reads that grow. `at` moves along."""

    def __init__(self, read: Read, at: int, end: int) -> None:
        self._read = read
        self.at = at
        self._end = end

    def __iter__(self) -> Iterator[bytes]:
        length = LEAST_BYTES
        while self.at < self._end:
            some = min(length, self._end - self.at)
            chunk = self._read(self.at, some)
            self.at += some
            yield chunk
            length = min(2 * length, MOST_BYTES)


def windows_of(entries: Iterable[FileEntry], window_bytes: int) -> Iterator[list[FileEntry]]:
    """Neighbours in the tar: at most WINDOW_FILES, and their bytes within one window."""
    group: list[FileEntry] = []
    first = last = 0
    for entry in entries:
        begin = span_of(entry).data_offset
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


def expanded(job: IngestJob, entry: FileEntry) -> Iterator[bytes]:
    """All of them, in order. The stage may be stopped between two chunks."""
    bag, span = job.object, span_of(entry)
    source, at = span.data_offset, 0
    for offset, length in span.stretches:
        yield from _zeros(job, offset - at)
        if length:
            for chunk in job.services.objects.stream(
                bag.s3_bucket, bag.s3_key, start=source, length=length, etag=bag.etag
            ):
                job.progress.moved()
                yield chunk
        source, at = source + length, offset + length
    yield from _zeros(job, entry.file.size - at)


def _zeros(job: IngestJob, count: int) -> Iterator[bytes]:
    while count > 0:
        job.progress.moved()
        job.pause_point()
        yield _ZEROS[:count]
        count -= len(_ZEROS)
