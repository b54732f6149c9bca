"""Digests of further algorithms than the four: of FURTHER_LENGTHS, where a manifest names them.

RFC 8493, section 3: every checksum of every manifest is verified. A manifest that stands in the
tar before the files that it lists costs nothing but their digests; of the files before it the
bytes are read a second time.
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Generic, NamedTuple, TypeVar

from bagline.bagit.digests import FURTHER_LENGTHS, Hash, new_hash
from bagline.bagit.paths import Role, manifest_algorithm, role_of
from bagline.bagit.scan import ByteSink, FileIndex
from bagline.bagit.tar import Chunk
from bagline.errors import Unreachable
from bagline.model.ingest import TarSpan
from bagline.units import KIB, MIB

Again = Callable[[int, int], Iterable[Chunk]]
"""(offset, length) → those bytes of the tar, once more. What it raises is raised on."""

FurtherDigests = Mapping[str, bytes]
"""Algorithm → digest."""

RUN_BYTES = 64 * MIB
GAP_BYTES = MIB
"""Files are read again together that span so much of the tar, with gaps of so much at most."""
REMEMBERED = 10_000
SPOOL_BYTES = 256 * KIB
_ZEROS = bytes(MIB)

Thing = TypeVar("Thing")


class Named:
    """Which further algorithms the manifests of a bag name, as far as they were met."""

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._of_payload: dict[str, None] = {}
        self._of_tags: dict[str, None] = {}
        for path in paths:
            self.note(path)

    def note(self, path: str) -> None:
        """A file of the bag; others than manifests say nothing."""
        algorithm = manifest_algorithm(path)
        if algorithm in FURTHER_LENGTHS:
            is_payload = role_of(path) is Role.MANIFEST
            (self._of_payload if is_payload else self._of_tags)[algorithm] = None

    def of(self, role: Role) -> tuple[str, ...]:
        """What is to be calculated of such a file."""
        return tuple(self._of_payload if role is Role.PAYLOAD else self._of_tags)

    def all(self) -> list[str]:
        return sorted(self._of_payload | self._of_tags)


class Summing:
    """A sink that calculates some digests, and hands the bytes on to another, if any."""

    def __init__(self, algorithms: Iterable[str], then: ByteSink | None = None) -> None:
        self._hashes: dict[str, Hash] = {name: new_hash(name) for name in algorithms}
        self._then = then

    def write(self, data: memoryview, /) -> None:
        for each in self._hashes.values():
            each.update(data)
        if self._then is not None:
            self._then.write(data)

    def close(self) -> None:
        if self._then is not None:
            self._then.close()

    def digests(self) -> FurtherDigests:
        return {name: each.digest() for name, each in self._hashes.items()}


class OnTheWay:
    """Further digests of the files of one pass: calculated while they are read, and asked for
    once when each file is told of. Holds those of the files in between. `index`: the scan's."""

    def __init__(self, named: Named, index: FileIndex) -> None:
        self.named = named
        self._index = index
        self._sums: dict[str, Summing] = {}

    def tap(self, path: str, role: Role, then: ByteSink | None) -> ByteSink | None:
        """The sink for a file whose bytes follow (scan.Tap); of a path's entries the first counts.
        `then`: who else wants the bytes."""
        if role is Role.MANIFEST or role is Role.TAG_MANIFEST:
            self.named.note(path)
        algorithms = self.named.of(role)
        if not algorithms or path in self._sums or self._index.find(path) is not None:
            return then
        self._sums[path] = summing = Summing(algorithms, then)
        return summing

    def take(self, path: str) -> FurtherDigests:
        """Those of the file that is told of; none where nothing was known yet."""
        summing = self._sums.pop(path, None) if self._sums else None
        return summing.digests() if summing is not None else {}


class FurtherColumns:
    """Further digests of files by row, outside memory beyond a few KiB."""

    def __init__(self) -> None:
        self._columns: dict[str, IO[bytes]] = {}

    def put(self, row: int, digests: FurtherDigests) -> None:
        """Raises OSError where the temporary directory is full."""
        for algorithm, digest in digests.items():
            column = self._columns.get(algorithm)
            if column is None:
                column = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115
                self._columns[algorithm] = column
            column.seek(row * (1 + len(digest)))
            column.write(b"\1" + digest)

    def get(self, row: int, algorithm: str) -> bytes | None:
        column = self._columns.get(algorithm)
        if column is None:
            return None
        length = 1 + FURTHER_LENGTHS[algorithm]
        column.seek(row * length)
        found = column.read(length)
        return found[1:] if found[:1] == b"\1" else None

    def close(self) -> None:
        for column in self._columns.values():
            column.close()


class Wanted(NamedTuple, Generic[Thing]):
    """A file whose bytes are to be read again, and what of them is wanted."""

    what: Thing
    size: int
    span: TarSpan
    algorithms: tuple[str, ...]

    @property
    def end(self) -> int:
        return self.span.data_offset + self.span.stored_bytes


def read_again(
    wanted: Iterable[Wanted[Thing]], again: Again
) -> Iterator[tuple[Wanted[Thing], FurtherDigests]]:
    """The digests of files by their place in the tar, in the order of `wanted`, which is that of
    the tar; each is told as soon as it is read. Files that lie side by side are read in one go.

    A hard link's bytes lie before it: they are read once more only where its target was not
    among the last REMEMBERED. Raises what `again` raises, and Unreachable where that ends early.
    """
    remembered: OrderedDict[int, FurtherDigests] = OrderedDict()
    for run in _runs(wanted):
        start, end = run[0].span.data_offset, run[-1].end
        known = remembered.get(run[0].span.header_offset, {}) if len(run) == 1 else {}
        if known and known.keys() >= set(run[0].algorithms):
            yield run[0], {name: known[name] for name in run[0].algorithms}
            continue
        place = _Place(again(start, end - start) if end > start else (), start)
        for file in run:
            summing = Summing(file.algorithms)
            place.skip_to(file.span.data_offset)
            for view in _expanded(place, file):
                summing.write(view)
            digests = remembered[file.span.header_offset] = summing.digests()
            if len(remembered) > REMEMBERED:
                remembered.popitem(last=False)
            yield file, digests


def _runs(wanted: Iterable[Wanted[Thing]]) -> Iterator[list[Wanted[Thing]]]:
    """The files that are read in one go."""
    run: list[Wanted[Thing]] = []
    for file in wanted:
        if run:
            start, end, at = run[0].span.data_offset, run[-1].end, file.span.data_offset
            if not end <= at <= end + GAP_BYTES or file.end - start > RUN_BYTES:
                yield run
                run = []
        run.append(file)
    if run:
        yield run


class _Place:
    """Bytes of the tar from one place on."""

    def __init__(self, chunks: Iterable[Chunk], offset: int) -> None:
        self._chunks = iter(chunks)
        self._view = memoryview(b"")
        self._offset = offset

    def take(self, length: int) -> Iterator[memoryview]:
        while length:
            if not self._view:
                chunk = next(self._chunks, None)
                if chunk is None:
                    raise Unreachable(f"the bag, read again, ends at byte {self._offset}")
                self._view = memoryview(chunk)
            some, self._view = self._view[:length], self._view[length:]
            self._offset += len(some)
            length -= len(some)
            yield some

    def skip_to(self, offset: int) -> None:
        for _ in self.take(max(0, offset - self._offset)):
            pass


def _expanded(place: _Place, file: Wanted[Thing]) -> Iterator[memoryview]:
    """A file's bytes; of a sparse one its holes too."""
    if not file.span.stretches and file.size == file.span.stored_bytes:
        yield from place.take(file.span.stored_bytes)
        return
    at = 0
    for offset, length in file.span.stretches:
        yield from _zeros(offset - at)
        yield from place.take(length)
        at = offset + length
    yield from _zeros(file.size - at)


def _zeros(length: int) -> Iterator[memoryview]:
    while length > 0:
        yield memoryview(_ZEROS)[:length]
        length -= len(_ZEROS)
