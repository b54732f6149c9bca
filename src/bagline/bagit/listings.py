"""What a check remembers of files and manifests: columns of bytes instead of objects."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence

from bagline.bagit.digests import LENGTHS, SLICES
from bagline.bagit.index import FileIndex
from bagline.bagit.manifests import ManifestEntry
from bagline.bagit.paths import Role, role_of
from bagline.bagit.validation import FileFacts
from bagline.model.ingest import SOURCE_MANIFEST
from bagline.problems import LISTED_PER_KIND

_ROLES = tuple(Role)
_PAYLOAD = _ROLES.index(Role.PAYLOAD)
_ROLE_NUMBERS = {role: number for number, role in enumerate(_ROLES)}
_PLAIN_NAME = re.compile(rb"[ -\[\]-~]+").fullmatch

Listing = tuple[str, str, str]
"""(algorithm, hex digest, source), as in FileFacts."""


class ManifestColumn:
    """The digests of one manifest by row, and whether a row has one."""

    __slots__ = ("algorithm", "digests", "following", "length", "place", "present", "source")

    def __init__(self, algorithm: str, source: str, rows: int) -> None:
        self.algorithm = algorithm
        self.source = source
        self.following = 0
        self.length = LENGTHS[algorithm]
        self.place = SLICES[algorithm]
        self.digests = bytearray(rows * self.length)
        self.present = bytearray(rows)

    def get(self, row: int) -> bytes | None:
        if not self.present[row]:
            return None
        return bytes(self.digests[row * self.length : (row + 1) * self.length])

    def set(self, row: int, digest: bytes) -> None:
        self.present[row] = 1
        self.digests[row * self.length : (row + 1) * self.length] = digest


class Listings:
    """Files as the scan yields them, then manifest lines, then FileFacts of both.

    A file costs its path, 10 bytes, and the digest and a byte for each manifest, beside
    FileIndex's 190: some 330 bytes with paths of 60 bytes and two manifests. Of files
    that are listed and missing, and of repeated lines, LISTED_PER_KIND are kept.
    """

    def __init__(self) -> None:
        self.index = FileIndex()
        self.unkept_missing = 0
        self._paths = bytearray()
        self._ends = array("Q")
        self._roles = bytearray()
        self._columns: list[ManifestColumn] = []
        self._missing: dict[str, list[Listing]] = {}
        self._repeats: dict[int, list[Listing]] = {}
        self._same = 0

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
        """A column for a manifest whose entries follow; all files must have been added."""
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
        digest = bytes.fromhex(entry.digest)
        first = column.get(row)
        if first is None:
            column.set(row, digest)
            return
        # A second line with the same digest is a warning, of which some are enough; one
        # with another digest rejects the bag and may not be lost among those.
        if first == digest:
            self._same += 1
        if first != digest or self._same <= LISTED_PER_KIND:
            known = self._repeats.setdefault(row, [])
            if len(known) < 2 or (first != digest and len(known) < 4):
                known.append((column.algorithm, entry.digest, column.source))

    def _add_missing(self, column: ManifestColumn, entry: ManifestEntry) -> None:
        path = entry.candidates[0]
        known = self._missing.get(path)
        if known is None:
            if len(self._missing) >= LISTED_PER_KIND:
                self.unkept_missing += 1
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
        digests = self.index.digests(row)
        return all(column.get(row) == digests[column.place] for column in columns)

    def _listed(self, row: int) -> list[Listing]:
        listed: list[Listing] = []
        for column in self._columns:
            digest = column.get(row)
            if digest is not None:
                listed.append((column.algorithm, digest.hex(), column.source))
        return listed + self._repeats.get(row, []) if self._repeats else listed
