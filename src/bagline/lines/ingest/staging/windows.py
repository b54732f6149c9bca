"""Windows: small files that lie side by side in the tar, to be read at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bagline.lines.ingest.staging.places import span_of
from bagline.services.state.base import FileEntry

WINDOW_FILES = 200
WINDOWS = 2
"""Windows whose files are put at once: a crash leaves at most these stored and not marked."""
GAP_BYTES = 64 * 1024
"""Bytes that are read along with a window rather than beginning another one."""


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
