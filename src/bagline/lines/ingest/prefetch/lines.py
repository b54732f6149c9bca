"""The lines of several manifests, brought together file by file in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from bagline.bagit.manifests import ManifestEntry, ManifestParser

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
