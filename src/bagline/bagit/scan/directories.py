"""Which paths of a bag are directories: a path that is a file, too, cannot be unpacked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bagline import problems
from bagline.bagit.scan.index import PathTable
from bagline.problems import Problem

DEEPEST = 200
"""Directories of so many parts are known; those below them are not."""
MOST_DIRECTORIES = 2_000_000
"""So many directories are known, in some 60 MB; of further ones nothing is said."""
EMPTY_MOST = 1_000
"""So many directories that the tar names and no file lies in, of at most so many characters."""
EMPTY_LONGEST = 4_096
FILE = "file"


class Directories:
    """Learns directories from the paths of files, and from what the tar names as such.

    `other_kind` tells of a path what else the tar has there, in words ("file"); "" if nothing.
    22 to 28 bytes a directory. What must outlast a checkpoint is `empty`: the rest follows from
    the paths of the files.
    """

    def __init__(self, other_kind: Callable[[str], str], empty: Iterable[str] = ()) -> None:
        self.empty = dict.fromkeys(empty)
        self._other_kind = other_kind
        self._known = PathTable()
        self._lengths = {len(path) for path in self.empty}
        self._last = ""

    def of_file(self, path: str) -> Iterable[Problem]:
        """Another file: what its path, or a directory it lies in, is besides."""
        above = path.rpartition("/")[0]
        if above == self._last and len(path) not in self._lengths:
            return ()
        self._last = above
        return [*self.at(path, FILE), *self._above(above)]

    def at(self, path: str, entry: str) -> Iterator[Problem]:
        """Whether the path, at which the tar has such an entry, is a directory, too."""
        if path in self.empty or self._known.find(path) is not None:
            yield problems.FILE_AND_DIRECTORY.about(path, entry=entry)

    def named(self, path: str) -> Iterator[Problem]:
        """A directory that the tar names as such."""
        if other := self._other_kind(path):
            yield problems.FILE_AND_DIRECTORY.about(path, entry=other)
        is_short = len(path) <= EMPTY_LONGEST
        if is_short and len(self.empty) < EMPTY_MOST and self._known.find(path) is None:
            self.empty[path] = None
            self._lengths.add(len(path))

    def _above(self, path: str) -> Iterator[Problem]:
        """That directory and those above it, up to the first one that is known."""
        if path.count("/") >= DEEPEST:
            path = "/".join(path.split("/", DEEPEST)[:DEEPEST])
        while path and len(self._known) < MOST_DIRECTORIES and self._known.insert(path) is None:
            self._lengths.add(len(path))
            self.empty.pop(path, None)
            if other := self._other_kind(path):
                yield problems.FILE_AND_DIRECTORY.about(path, entry=other)
            path = path.rpartition("/")[0]
