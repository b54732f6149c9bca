"""An Inventory in memory: columns of bytes instead of objects."""

from __future__ import annotations

import re
from array import array
from collections.abc import Collection, Iterator, Sequence
from heapq import heappush, heappushpop
from typing import Generic, TypeVar

from bagline.bagit.alike import Alike, OddForms
from bagline.bagit.digests import KNOWN_LENGTHS, SLICES, judged
from bagline.bagit.further import FurtherColumns
from bagline.bagit.inventory import FileFacts, Listing, Repeat, kept_path, repeats
from bagline.bagit.manifests import ManifestEntry
from bagline.bagit.paths import FETCH_TXT, Role, role_of
from bagline.bagit.scan import FileIndex
from bagline.model.ingest import SOURCE_MANIFEST
from bagline.problems import (
    DIGEST_DIFFERS,
    FILE_MISSING,
    LISTED_PER_KIND,
    LISTED_TWICE,
    LISTED_TWICE_DIFFERENTLY,
    ProblemLog,
)
from bagline.units import path_bytes, path_text

_ROLES = tuple(Role)
_PAYLOAD = _ROLES.index(Role.PAYLOAD)
_ROLE_NUMBERS = {role: number for number, role in enumerate(_ROLES)}
_LINKED = 0x80
_PLAIN_NAME = re.compile(rb"[ -\[\]-~]+").fullmatch

ABSENT, FOUND, WRONG, TWICE, DIFFERENTLY = 0, 1, 2, 4, 8
"""What manifests of one kind say of a file: nothing; or something, its first line a digest
that is not the file's, further lines, one of them with another digest than the first."""
UNKEPT = "(another)"
"""Stands for a wrong digest that was one too many to keep."""
MISSING_KNOWN = 100_000
"""So many missing files are known apart; of more, each counts once a manifest."""

Thing = TypeVar("Thing")


class _Lowest(Generic[Thing]):
    """Of what is put at rows, what is at the lowest ones, LISTED_PER_KIND of it: so much is
    listed, in the order of the rows."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Thing]] = []
        self._added = 0

    def add(self, row: int, thing: Thing) -> Thing | None:
        """Returns what had no room, if anything."""
        self._added += 1
        placed = (-row, -self._added, thing)
        if len(self._heap) < LISTED_PER_KIND:
            heappush(self._heap, placed)
            return None
        return heappushpop(self._heap, placed)[2]

    def by_row(self) -> dict[int, list[Thing]]:
        """In each row in the order in which it came."""
        found: dict[int, list[Thing]] = {}
        for row, _, thing in sorted(self._heap, key=lambda placed: placed[:2], reverse=True):
            found.setdefault(-row, []).append(thing)
        return found


class _Column:
    """What manifests of one kind say of each row: a byte a row, and, while they are being
    read, 8 bytes a row where a first line has a digest that the row does not tell."""

    __slots__ = ("algorithm", "first", "following", "has_repeats", "is_known", "said", "source")

    def __init__(self, algorithm: str, source: str, rows: int) -> None:
        self.algorithm = algorithm
        self.source = source
        self.following = 0
        self.is_known = algorithm in KNOWN_LENGTHS
        self.said = bytearray(rows)
        self.first: array[int] | None = None
        self.has_repeats = False

    def remember(self, row: int, digest: str) -> None:
        """The digest of a row's first line, to be told from those of further ones."""
        if self.first is None:
            self.first = array("q", bytes(8 * len(self.said)))
        self.first[row] = hash(digest)

    def is_first(self, row: int, digest: str) -> bool:
        return self.first is not None and self.first[row] == hash(digest)


class Columns:
    """Files as the scan yields them, then manifest lines, then FileFacts of both.

    A file costs its path, 18 bytes, and a byte for the manifests of each algorithm, beside
    FileIndex's 190; 9 bytes more while a manifest is read. `further` holds the digests of further
    algorithms. Of missing
    files, wrong digests and repeated lines those are kept that can be listed; `log`, that of
    the whole reading, counts the others.
    """

    def __init__(self, log: ProblemLog) -> None:
        self.index = FileIndex()
        self.names = Alike()
        self._log = log
        self._paths = bytearray()
        self._ends = array("Q")
        self._odd = OddForms()
        self._roles = bytearray()
        self._columns: list[_Column] = []
        self._open: _Column | None = None
        self.further = FurtherColumns()
        self._wrong: _Lowest[tuple[_Column, str, bool]] = _Lowest()
        self._twice: _Lowest[Repeat] = _Lowest()
        self._differently: _Lowest[Repeat] = _Lowest()
        self._missing: dict[str, list[Listing]] = {}
        self._more_missing: set[int] = set()

    def add_file(self, path: str, role: Role, *, is_linked: bool = False) -> None:
        """The next file of the scan that fills `index`."""
        self._paths += path_bytes(path)
        self._ends.append(len(self._paths))
        self.names.add(path)
        self._odd.add(path)
        number = _ROLE_NUMBERS[role]
        self._roles.append(number | _LINKED if is_linked and number != _PAYLOAD else number)

    def __len__(self) -> int:
        return len(self._ends)

    def path(self, row: int) -> str:
        return path_text(self._raw(row))

    def _raw(self, row: int) -> bytearray:
        return self._paths[self._ends[row - 1] if row else 0 : self._ends[row]]

    # Manifest lines

    def open_manifest(self, algorithm: str, source: str) -> None:
        """A manifest whose lines follow; all files must have been added, and manifests of
        one kind come one after another."""
        column = self._open
        if column is not None and (column.algorithm, column.source) == (algorithm, source):
            column.following = 0
            return
        self._close()
        self._open = column = _Column(algorithm, source, len(self))
        self._columns.append(column)

    def add_entry(self, entry: ManifestEntry) -> str | None:
        """Put a line of the open manifest to its file. Returns the path it was found under,
        also where that is one that another line lists and the bag lacks; or None."""
        column = self._open
        assert column is not None
        following = column.following  # manifests mostly list files in the order of the tar
        first = entry.candidates[0]
        if following < len(self._ends) and self._raw(following) == path_bytes(first):
            self._list(column, following, entry.digest)
            return first
        for candidate in entry.candidates:
            row = self.index.find(candidate)
            if row is not None:
                self._list(column, row, entry.digest)
                return candidate
        odd = None if first.isascii() else self._odd.find(entry.candidates)
        if odd is not None and (row := self.index.find(odd)) is not None:
            self._list(column, row, entry.digest)
            return odd
        return self._add_missing(column, entry)

    def _list(self, column: _Column, row: int, digest: str) -> None:
        column.following = row + 1
        said, calculated = column.said[row], self._digest(row, column.algorithm)
        is_right = calculated is None or calculated.hex() == digest
        if said == ABSENT:
            column.said[row] = FOUND if is_right else FOUND | WRONG
            if calculated is None or not is_right:
                column.remember(row, digest)
        else:
            column.has_repeats = True
            tells = calculated is not None and not said & WRONG
            is_same = is_right if tells else column.is_first(row, digest)
            column.said[row] |= TWICE if is_same else TWICE | DIFFERENTLY
        if not is_right:
            dropped = self._wrong.add(row, (column, digest, said != ABSENT))
            if dropped is not None and dropped[2]:
                self._log.count_unlisted(DIGEST_DIFFERS, 1)

    def _digest(self, row: int, algorithm: str) -> bytes | None:
        """The row's; None where it is not calculated."""
        place = SLICES.get(algorithm)
        if place is None:
            return self.further.get(row, algorithm)
        return self.index.digests(row)[place]

    def _close(self) -> None:
        """Note the rows that the manifests of one kind list more than once."""
        column, self._open = self._open, None
        if column is None:
            return
        column.first = None
        for row in range(len(self)) if column.has_repeats else ():
            said = column.said[row]
            if said & TWICE:
                differs = bool(said & DIFFERENTLY)
                kind = LISTED_TWICE_DIFFERENTLY if differs else LISTED_TWICE
                kept = self._differently if differs else self._twice
                if kept.add(row, (column.algorithm, column.source, differs)) is not None:
                    self._log.count_unlisted(kind, 1)

    def _add_missing(self, column: _Column, entry: ManifestEntry) -> str | None:
        known = next((path for path in entry.candidates if self._is_missing(path)), None)
        path = kept_path(known or entry.candidates[0])
        if known is None and len(self._missing) < LISTED_PER_KIND:
            self._missing[path] = []
        elif known is None:
            self._log.count_unlisted(FILE_MISSING, 1)
            if len(self._more_missing) < MISSING_KNOWN:
                self._more_missing.add(hash(path))
        listed = self._missing.get(path)
        if listed is not None:
            digest = entry.digest if column.is_known else str(hash(entry.digest))
            _add_line(listed, (column.algorithm, digest, column.source))
        return known

    def _is_missing(self, path: str) -> bool:
        path = kept_path(path)
        return path in self._missing or (
            bool(self._more_missing) and hash(path) in self._more_missing
        )

    # What was found

    def files(self, manifests: Sequence[str]) -> Iterator[FileFacts]:
        """Every file in the order of the tar, then those that are only listed; of payload
        whose name is plain, and which all `manifests` (algorithms) list rightly, none.

        `calculated` holds the algorithms that a manifest of the bag needs.
        """
        self._close()
        wrong = self._wrong.by_row()
        repeated = self._twice.by_row()
        for row, some in self._differently.by_row().items():
            repeated.setdefault(row, []).extend(some)
        columns = self._payload_columns(manifests)
        for row in range(len(self)):
            if columns and self._is_usual(row, columns) and row not in repeated:
                continue
            listed = self._listed(row, wrong.get(row, ()))
            wanted = dict.fromkeys(algorithm for algorithm, _, _ in listed) | {"sha256": None}
            digests = ((algorithm, self._digest(row, algorithm)) for algorithm in wanted)
            calculated = {algorithm: raw.hex() for algorithm, raw in digests if raw is not None}
            yield FileFacts(
                self.path(row), self.role(row), calculated, listed, repeated.get(row, ())
            )
        for path, listed in self._missing.items():
            yield FileFacts(path, role_of(path), {}, listed, repeats(listed))

    def paths(self) -> Iterator[str]:
        """The paths of all files, in the order of the tar."""
        return (self.path(row) for row in range(len(self)))

    def role(self, row: int) -> Role:
        return _ROLES[self._roles[row] & ~_LINKED]

    def is_linked(self, row: int) -> bool:
        """Whether the row's tag file or manifest is a hard link."""
        return bool(self._roles[row] & _LINKED)

    def _payload_columns(self, manifests: Sequence[str]) -> list[_Column]:
        """The columns of the payload manifests; none unless each was read."""
        columns = [c for c in self._columns if c.source == SOURCE_MANIFEST]
        return columns if {c.algorithm for c in columns} == set(judged(manifests)) else []

    def _is_usual(self, row: int, columns: Sequence[_Column]) -> bool:
        """A payload file with a plain name, in every payload manifest, rightly and once."""
        if self._roles[row] != _PAYLOAD:
            return False
        start, end = self._ends[row - 1] if row else 0, self._ends[row]
        if not _PLAIN_NAME(self._paths, start, end):
            return False
        return all(column.said[row] == FOUND for column in columns)

    def _listed(self, row: int, wrong: Sequence[tuple[_Column, str, bool]]) -> list[Listing]:
        listed: list[Listing] = []
        for column in self._columns:
            said = column.said[row]
            if said == ABSENT:
                continue
            digests = [digest for where, digest, _ in wrong if where is column]
            calculated = self._digest(row, column.algorithm)
            if calculated is not None and not said & WRONG:
                digests.insert(0, calculated.hex())
            listed += [(column.algorithm, d, column.source) for d in digests or [UNKEPT]]
        return listed


def _add_line(listed: list[Listing], line: Listing) -> None:
    """Keep a missing file's line as far as it says more than those before: a second one of
    a kind, and one with another digest."""
    digests = [digest for algorithm, digest, source in listed if (algorithm, source) == line[::2]]
    if len(digests) < 2 or (len(set(digests)) < 2 and line[1] != digests[0]):
        listed.append(line)


class TagFileNames(Collection[str]):
    """The paths of a bag's tag files; fetch.txt is none of them."""

    def __init__(self, columns: Columns, *, linked: bool = True) -> None:
        """`linked`: those that are hard links too."""
        self._columns = columns
        self._linked = linked

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, str) or path == FETCH_TXT:
            return False
        row = self._columns.index.find(path)
        return row is not None and self._is_one(row)

    def __iter__(self) -> Iterator[str]:
        columns = self._columns
        for row in range(len(columns)):
            if self._is_one(row) and (path := columns.path(row)) != FETCH_TXT:
                yield path

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _is_one(self, row: int) -> bool:
        columns = self._columns
        return columns.role(row) is Role.TAG and (self._linked or not columns.is_linked(row))
