"""Marks: places in a long row of entries at which its making can begin.

There are few of them however long the row is: where they become too many, each second one is
dropped.
"""

from __future__ import annotations

from typing import NamedTuple

CURSOR_BYTES = 4 * 1024 * 1024
"""So many bytes of paths the marks of one row remember."""


class Mark(NamedTuple):
    """An entry begins at byte `begin`; the files of it and of what follows come after the path
    `after` in the list of files ("" where they are all)."""

    begin: int
    after: str


class Marks:
    """For each multiple of `step` the entry that lies across it, or begins there.

    `step` doubles whenever there are more than `most` of them, or their paths too long. Entries
    follow one upon another from 0 on.
    """

    def __init__(self, step: int, most: int, cursor_bytes: int = CURSOR_BYTES) -> None:
        self.step = step
        self._most = most
        self._cursor_bytes = cursor_bytes
        self._marks: list[Mark] = []
        self._next = 0
        self._held = 0

    def entry(self, begin: int, end: int, after: str) -> None:
        """The next entry."""
        while self._next < end:
            mark = Mark(begin, after)
            self._held += _weight(mark, self._marks[-1] if self._marks else None)
            self._marks.append(mark)
            self._next += self.step
            if len(self._marks) > self._most or self._held > self._cursor_bytes:
                self.thin()

    def at(self, offset: int) -> Mark:
        """The entry of the last multiple that is not behind the offset. There must be one."""
        return self._marks[offset // self.step]

    def thin(self) -> None:
        """Double the step."""
        self._marks = self._marks[::2]
        self.step *= 2
        self._next = len(self._marks) * self.step
        marks = self._marks
        self._held = sum(_weight(mark, marks[n - 1] if n else None) for n, mark in enumerate(marks))


def _weight(mark: Mark, before: Mark | None) -> int:
    """Marks of one entry share its path."""
    is_shared = before is not None and before.begin == mark.begin
    return 0 if is_shared else len(mark.after)
