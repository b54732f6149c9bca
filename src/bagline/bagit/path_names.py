"""Names of files as profiles list them, in which only asterisks are special (Profiles 1.4)."""

from __future__ import annotations

from collections.abc import Iterable

MOST_WITH_ASTERISKS = 1_000


class PathNames:
    """Tells whether a path is among the names, in time that grows with the path's length alone
    for each name that has asterisks. Raises ValueError for too many of these."""

    def __init__(self, names: Iterable[str]) -> None:
        every = list(names)
        self._plain = frozenset(name for name in every if "*" not in name)
        self._parts = [name.split("*") for name in every if "*" in name]
        if len(self._parts) > MOST_WITH_ASTERISKS:
            raise ValueError(f"more than {MOST_WITH_ASTERISKS:,} names of files have asterisks")

    def __contains__(self, path: str) -> bool:
        return path in self._plain or any(_fits(path, parts) for parts in self._parts)


def _fits(path: str, parts: list[str]) -> bool:
    """Whether the parts stand in the path one after another, the outer ones at its ends."""
    first, *middle, last = parts
    at, end = len(first), len(path) - len(last)
    if at > end or not path.startswith(first) or not path.endswith(last):
        return False
    for part in middle:
        found = path.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
