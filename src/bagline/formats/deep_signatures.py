"""PRONOM's signatures that may match bytes far from both ends of a file: could one, here?

PRONOM matches some 28 MB a second, so the ends alone are judged. That answer is the whole file's
unless a signature with parts further in has something to say. For each of those the table holds
what any match of it meets (runs of bytes, and where they may lie), which is looked for in all
bytes at a hundred times that speed. Nearly always something is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

END_BYTES = 8 * 1024
"""How much of each end is judged. The table is made for it."""
TABLE = Path(__file__).with_suffix(".json")
_LITERAL = re.compile(r"(\\x[0-9a-f]{2})+")


class _Table(Struct):
    made_from: str
    rows: list[tuple[str, list[tuple[str, int, int, str]]]]
    above: dict[str, frozenset[str]]


class DeepSignatures:
    """The table, for bytes that are all of a file, or its ends joined."""

    def __init__(
        self,
        rows: Sequence[tuple[str, list[tuple[str, int, int, str]]]],
        above: Mapping[str, frozenset[str]],
        made_from: str,
    ) -> None:
        self.made_from = made_from
        """The version of PRONOM, as Siegfried names it."""
        self.rows = rows
        self._above = above
        self._puids = frozenset(puid for puid, _ in rows)
        tests: dict[tuple[str, int, int, str], int] = {}
        self._rows = [
            (puid, [tests.setdefault(each, len(tests)) for each in sorted(conditions, key=_cost)])
            for puid, conditions in rows
        ]
        self._tests = [_test(*each) for each in tests]

    def possible(self, data: bytes) -> set[str]:
        """The formats (PUIDs) that may have such a match in `data`; none is left out."""
        known: dict[int, bool] = {}
        found = set[str]()
        for puid, conditions in self._rows:
            for number in conditions:
                met = known.get(number)
                if met is None:
                    met = known[number] = self._tests[number](data)
                if not met:
                    break
            else:
                found.add(puid)
        return found

    def may_change(self, answer: Collection[str], data: bytes) -> bool:
        """Whether judging all of `data` may give other formats (PUIDs) than its ends did.

        Not while nothing may match that has no lesser rank than the answer, and while what matched
        in the ends holds also where these are not next to each other.
        """
        possible = self.possible(data)
        if any(puid in self._puids and puid not in possible for puid in answer):
            return True
        return any(puid not in answer and self._above[puid].isdisjoint(answer) for puid in possible)


def read_deep_signatures() -> DeepSignatures:
    """The table that is part of the package."""
    table = msgspec.json.decode(TABLE.read_bytes(), type=_Table)
    return DeepSignatures(table.rows, table.above, table.made_from)


def _cost(condition: tuple[str, int, int, str]) -> tuple[bool, int, int]:
    """What is looked for in few bytes comes first, then what is longest."""
    origin, start, end, run = condition
    return origin == "*", end - start, -len(run)


def _test(origin: str, start: int, end: int, run: str) -> Callable[[bytes], bool]:
    """Each is asked of every file, so it is one call and no more."""
    if not _LITERAL.fullmatch(run):
        search = re.compile(run.encode("ascii"), re.DOTALL).search
        if origin == "B":
            return lambda data: search(data, start, end) is not None
        if origin == "E":
            return lambda data: search(data, *_from_end(data, start, end)) is not None
        return lambda data: search(data) is not None
    literal = bytes.fromhex(run.replace("\\x", ""))
    if origin == "B" and end - start == len(literal):
        return lambda data: data.startswith(literal, start)
    if origin == "B":
        return lambda data: data.find(literal, start, end) >= 0
    if origin == "E":
        return lambda data: data.find(literal, *_from_end(data, start, end)) >= 0
    return lambda data: literal in data


def _from_end(data: bytes, start: int, end: int) -> tuple[int, int]:
    return max(0, len(data) - end), max(0, len(data) - start)
