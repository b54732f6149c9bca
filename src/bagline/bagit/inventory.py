"""What a check remembers of files and manifests: columns of bytes instead of objects."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from bagline import problems
from bagline.bagit.digests import SLICES
from bagline.bagit.scan.index import FileIndex
from bagline.bagit.manifests import ManifestEntry
from bagline.bagit.paths import FETCH_TXT, Role, role_of
from bagline.bagit.judge import FileFacts
from bagline.model.ingest import SOURCE_MANIFEST
from bagline.problems import LISTED_PER_KIND, Kind, shown

_ROLES = tuple(Role)
_PAYLOAD = _ROLES.index(Role.PAYLOAD)
_ROLE_NUMBERS = {role: number for number, role in enumerate(_ROLES)}
_PLAIN_NAME = re.compile(rb"[ -\[\]-~]+").fullmatch

Listing = tuple[str, str, str]
"""(algorithm, hex digest, source), as in FileFacts."""


ABSENT, RIGHT, WRONG = 0, 1, 2
"""What a manifest says of a file: nothing, its digest, another digest."""
UNKEPT = "(another)"
"""Stands for a wrong digest that was one too many to keep."""
LONGEST_KEPT = 4_096
"""Characters of a listed path that is kept as it is; of a longer one its ends are."""


class ManifestColumn:
    """What manifests of one algorithm say of each row: a byte a row, and the digests that are
    not the file's, LISTED_PER_KIND of them."""

    __slots__ = ("algorithm", "following", "place", "said", "source", "wrong")

    def __init__(self, algorithm: str, source: str, rows: int) -> None:
        self.algorithm = algorithm
        self.source = source
        self.following = 0
        self.place = SLICES[algorithm]
        self.said = bytearray(rows)
        self.wrong: dict[int, str] = {}


class Listings:
    """Files as the scan yields them, then manifest lines, then FileFacts of both.

    A file costs its path, 10 bytes, and a byte for each algorithm's manifests, beside
    FileIndex's 190. Of files that are listed and missing, of wrong digests and of repeated
    lines LISTED_PER_KIND are kept; `unkept` counts the others, by kind of Problem.
    """

    def __init__(self) -> None:
        self.index = FileIndex()
        self.unkept: Counter[Kind] = Counter()
        self._paths = bytearray()
        self._ends = array("Q")
        self._roles = bytearray()
        self._columns: list[ManifestColumn] = []
        self._missing: dict[str, list[Listing]] = {}
        self._repeats: dict[int, list[Listing]] = {}
        self._same = self._different = 0

    def add_file(self, path: str, role: Role) -> None:
        """The next file of the scan that fills `index`."""
        self._paths += path.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._paths))
        self._roles.append(_ROLE_NUMBERS[role])

    def __len__(self) -> int:
        return len(self._ends)

    def path(self, row: int) -> str:
        start = self._ends[row - 1] if row else 0
        return self._paths[start : self._ends[row]].decode("utf-8", "surrogateescape")

    def open_manifest(self, algorithm: str, source: str) -> ManifestColumn:
        """The column for a manifest whose entries follow; all files must have been added."""
        for column in self._columns:
            if (column.algorithm, column.source) == (algorithm, source):
                column.following = 0
                return column
        column = ManifestColumn(algorithm, source, len(self))
        self._columns.append(column)
        return column

    def add_entry(self, column: ManifestColumn, entry: ManifestEntry) -> str | None:
        """Put a manifest line to its file. Returns the path it was found under, or None."""
        following = column.following  # manifests mostly list files in the order of the tar
        if following < len(self._ends) and self._is_at(following, entry.candidates[0]):
            self._list(column, following, entry)
            return entry.candidates[0]
        for candidate in entry.candidates:
            row = self.index.find(candidate)
            if row is not None:
                self._list(column, row, entry)
                return candidate
        self._add_missing(column, entry)
        return None

    def _is_at(self, row: int, path: str) -> bool:
        start = self._ends[row - 1] if row else 0
        return self._paths[start : self._ends[row]] == path.encode("utf-8", "surrogateescape")

    def _list(self, column: ManifestColumn, row: int, entry: ManifestEntry) -> None:
        column.following = row + 1
        before = column.said[row]
        right = self.index.digests(row)[column.place].hex() == entry.digest
        if before == ABSENT:
            column.said[row] = RIGHT if right else WRONG
            if not right:
                self._keep_wrong(column, row, entry.digest)
            return
        # A second line with the same digest is a warning, of which some are enough; one
        # with another digest rejects the bag and may not be lost among those.
        is_same = right if before == RIGHT else column.wrong.get(row) == entry.digest
        if is_same:
            self._same += 1
            is_kept = self._same <= LISTED_PER_KIND
        else:
            self._different += 1
            is_kept = self._different <= LISTED_PER_KIND
            if not is_kept:
                self.unkept[problems.LISTED_TWICE_DIFFERENTLY] += 1
        if is_kept:
            self._repeats.setdefault(row, []).append(
                (column.algorithm, entry.digest, column.source)
            )

    def _keep_wrong(self, column: ManifestColumn, row: int, digest: str) -> None:
        if len(column.wrong) < LISTED_PER_KIND:
            column.wrong[row] = digest

    def _add_missing(self, column: ManifestColumn, entry: ManifestEntry) -> None:
        path = entry.candidates[0]
        if len(path) > LONGEST_KEPT:
            path = shown(path, LONGEST_KEPT)
        known = self._missing.get(path)
        if known is None:
            if len(self._missing) >= LISTED_PER_KIND:
                self.unkept[problems.FILE_MISSING] += 1
                return
            known = self._missing[path] = []
        if len(known) < 2 * len(self._columns):
            known.append((column.algorithm, entry.digest, column.source))

    def missing(self) -> list[str]:
        """The kept paths that manifests list and the bag lacks."""
        return list(self._missing)

    def paths(self) -> Iterator[str]:
        """The paths of all files, in the order of the tar."""
        return (self.path(row) for row in range(len(self)))

    def facts(self, *, usual: Sequence[str] = ()) -> Iterator[FileFacts]:
        """Every file in the order of the tar, then those that are only listed.

        `calculated` holds the algorithms that a manifest of the bag needs. With `usual`,
        the algorithms of the payload manifests, those are left out that no rule has
        anything to say of: see `_is_usual`.
        """
        columns = self._payload_columns(usual)
        for row in range(len(self)):
            if columns and self._is_usual(row, columns):
                continue
            listed = self._listed(row)
            raw = self.index.digests(row)
            wanted = {algorithm for algorithm, _, _ in listed} or {"sha256"}
            calculated = {algorithm: raw[SLICES[algorithm]].hex() for algorithm in wanted}
            role = _ROLES[self._roles[row]]
            yield FileFacts(self.path(row), role, self.index.size(row), calculated, listed)
        for path, listed in self._missing.items():
            yield FileFacts(path, role_of(path), 0, {}, listed)

    def _payload_columns(self, algorithms: Sequence[str]) -> list[ManifestColumn]:
        """The columns of these algorithms; none unless each has exactly one."""
        columns = [c for c in self._columns if c.source == SOURCE_MANIFEST]
        fits = sorted(c.algorithm for c in columns) == sorted(set(algorithms))
        return columns if fits else []

    def _is_usual(self, row: int, columns: Sequence[ManifestColumn]) -> bool:
        """A payload file with a plain name, once in every payload manifest, rightly."""
        if self._roles[row] != _PAYLOAD or row in self._repeats:
            return False
        start, end = self._ends[row - 1] if row else 0, self._ends[row]
        if not _PLAIN_NAME(self._paths, start, end):
            return False
        return all(column.said[row] == RIGHT for column in columns)

    def _listed(self, row: int) -> list[Listing]:
        listed: list[Listing] = []
        for column in self._columns:
            if column.said[row] == RIGHT:
                digest = self.index.digests(row)[column.place].hex()
                listed.append((column.algorithm, digest, column.source))
            elif column.said[row] == WRONG:
                digest = column.wrong.get(row, UNKEPT)
                listed.append((column.algorithm, digest, column.source))
        return listed + self._repeats.get(row, []) if self._repeats else listed

    def role(self, row: int) -> Role:
        return _ROLES[self._roles[row]]


class TagFileNames(Collection[str]):
    """The paths of a bag's tag files; fetch.txt is none of them."""

    def __init__(self, listings: Listings) -> None:
        self._listings = listings

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, str) or path == FETCH_TXT:
            return False
        row = self._listings.index.find(path)
        return row is not None and self._listings.role(row) is Role.TAG

    def __iter__(self) -> Iterator[str]:
        listings = self._listings
        for row in range(len(listings)):
            if listings.role(row) is Role.TAG and (path := listings.path(row)) != FETCH_TXT:
                yield path

    def __len__(self) -> int:
        return sum(1 for _ in self)
