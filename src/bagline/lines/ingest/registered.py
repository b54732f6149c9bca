"""A bag's files beside what the Registry has of them, in batches, never one request a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.received_tar import path_digest
from bagline.model.registry import GenericFile
from bagline.services.state.base import FileEntry

ODD = "\\x"


class Registered(NamedTuple):
    """Files of the bag, and by identifier the rows of those that have one."""

    entries: list[FileEntry]
    rows: Mapping[str, GenericFile]


def with_rows(job: IngestJob, object_id: int) -> Iterator[Registered]:
    """Every file record of the bag once. Raises what State and Registry raise.

    In tar order where the Registry finds files by many names in one request; else along its
    pages of the object's files, and the files without a row after them. There a digest of each
    file with a row is kept, some 70 bytes a file.
    """
    registry = job.services.registry
    if registry.finds_files():
        for batch in job.iter_files():
            names = [entry.file.identifier for entry in batch]
            yield Registered(batch, registry.files(names, with_events=False))
        return
    seen: set[bytes] = set()
    odd: dict[str, GenericFile] = {}  # an identifier spells bytes that are no UTF-8
    prefix = f"{job.object.identifier}/"
    for page in registry.iter_object_files(object_id, with_deleted=True):
        rows = {row.identifier: row for row in page}
        paths = [name.removeprefix(prefix) for name in rows if name.startswith(prefix)]
        found = job.services.state.load_files(job.item.id, job.object.identifier, paths)
        seen.update(path_digest(path) for path in found)
        odd |= {n: row for n, row in rows.items() if ODD in n and n[len(prefix) :] not in found}
        if found:
            yield Registered(list(found.values()), rows)
    for batch in job.iter_files():
        new = [entry for entry in batch if path_digest(entry.file.path_in_bag) not in seen]
        if new:
            yield Registered(new, odd)
