"""Where the files of a bag lie in its tar: from their records, or from the tar's headers; which
of them are read at once, and how the bytes of a sparse one are made of its stretches.

Bagline's pre-fetch leaves each file's span beside its record. An older service leaves
none: then the headers are walked, by small ranged reads that skip the payloads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

from bagline.bagit.tar import Member
from bagline.errors import BrokenState, Unreachable
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.received_tar import is_kept_elsewhere, path_digest, walked_files
from bagline.model.ingest import TarSpan
from bagline.services.state.base import BATCH_FILES, FileEntry

WINDOW_FILES = 200
WINDOWS = 2
"""Windows whose files are put at once: a crash leaves at most these stored and not marked."""
GAP_BYTES = 64 * 1024
"""Bytes that are read along with a window rather than beginning another one."""


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

    Each path once; a digest of each is kept. They know neither hard links nor sparse files of
    old GNU tars, nor other types of files: those have no record.
    """
    bag, members, seen = job.object, walked_files(job), set[bytes]()
    while some := list(islice(members, BATCH_FILES)):
        paths = [member.name.partition("/")[2] for member in some]
        found = job.services.state.load_files(job.item.id, bag.identifier, paths, spans=False)
        entries = []
        for member, path in zip(some, paths, strict=True):
            entry, name = found.get(path), path_digest(path)
            if entry is not None and entry.file.was_read:
                # Of two entries of one name it keeps one record: the validator compared them.
                if name not in seen and (member.size == entry.file.size or member.is_sparse):
                    seen.add(name)
                    entries.append(FileEntry(entry.file, _span(member)))
            elif is_kept_elsewhere(job, member):
                raise Unreachable(f"Redis has no record of {member.name!r}, which the tar holds")
        yield entries


def _span(member: Member) -> TarSpan:
    return TarSpan(member.header_offset, member.data_offset, member.stored, tuple(member.stretches))


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
