"""Producing: the bytes of a laid-out tar, from any place on, and where those of files come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bagline.bagit.digests import KNOWN_LENGTHS, Hash, new_hash
from bagline.bagit.paths import BAGIT_TXT
from bagline.bagit.writing.declaration import bagit_txt
from bagline.bagit.writing.layout import (
    BagFile,
    Layout,
    ManifestPlace,
    PagesFrom,
    is_of_the_list,
    manifest_path,
)
from bagline.bagit.writing.tar_headers import file_header, padded
from bagline.errors import ListChanged
from bagline.units import MIB

TEXT_BYTES = MIB
"""Manifests come in pieces of about so many bytes."""

DigestOf = Callable[[BagFile, str], str]
"""(file, algorithm) → the digest that the list lacks, in hex: it was calculated on the way."""


class Generated(NamedTuple):
    """Bytes of the tar from `offset` on."""

    offset: int
    data: bytes

    @property
    def length(self) -> int:
        return len(self.data)


class FileBytes(NamedTuple):
    """At `offset` of the tar stand `length` bytes of the file, from its byte `start` on."""

    offset: int
    file: BagFile
    start: int
    length: int


Segment = Generated | FileBytes


def segments(
    layout: Layout, pages_from: PagesFrom, digest_of: DigestOf, *, offset: int = 0
) -> Iterator[Segment]:
    """The tar in order, each segment beginning where the one before ended; together with what
    stands before, the same bytes whatever the offset. May be repeated.

    It begins at `layout.mark(offset)`, at or before the offset: a file across a part's start comes
    whole, to be digested. One pass over the list from there, then one for each manifest and each
    tag manifest; and one more before tag manifests where manifests were not made from their
    beginnings. `digest_of` is asked only for what the list lacks, when all files have gone by or
    stand before the mark. Raises ListChanged where the list is not the one that was measured
    (which only `measure` sees for certain: its `list_digest` at the end must be the layout's),
    and what `pages_from` and `digest_of` raise.
    """
    begin, after = layout.mark(offset)
    if begin < layout.files_end:
        yield from _files(layout, pages_from, begin, after)
        begin, after = layout.files_end, ""
    yield from _manifests(_Texts(layout, pages_from, digest_of), begin, after)
    yield Generated(layout.end, bytes(layout.size - layout.end))


def cut(parts: Iterable[Segment], start: int, end: int) -> Iterator[Segment]:
    """Of segments those bytes that stand in the tar from `start` up to `end`."""
    for segment in parts:
        low = max(start - segment.offset, 0)
        high = min(end - segment.offset, segment.length)
        if low < high:
            yield _slice(segment, low, high)
        if segment.offset + segment.length >= end:
            return


def _slice(segment: Segment, low: int, high: int) -> Segment:
    offset = segment.offset + low
    if isinstance(segment, Generated):
        return Generated(offset, segment.data[low:high])
    return FileBytes(offset, segment.file, segment.start + low, high - low)


def _files(layout: Layout, pages_from: PagesFrom, begin: int, after: str) -> Iterator[Segment]:
    bag, at = layout.bag, begin
    if not begin:
        yield Generated(0, bag.head)
        at = len(bag.head)
    for page in pages_from(after):
        for file in page:
            if not is_of_the_list(file.path):
                continue
            size = bag.size(file)
            header = bag.header(file)
            data = at + len(header)
            if data + padded(size) > layout.files_end:
                raise _changed()
            yield Generated(at, header)
            new = bag.replaced.get(file.path)
            if new is not None:
                yield Generated(data, new)
            elif size:
                yield FileBytes(data, file, 0, size)
            at = data + padded(size)
            if at > data + size:
                yield Generated(data + size, bytes(at - data - size))
    if at != layout.files_end:
        raise _changed()


def _changed() -> ListChanged:
    return ListChanged("the list of the bag's files changed while its tar was being made")


def _manifests(texts: _Texts, begin: int, after: str) -> Iterator[Segment]:
    layout = texts.layout
    if begin >= layout.end:
        return
    for place in layout.manifests[layout.manifest_at(begin) :]:
        if place.of_tags:
            texts.sum_up()
        if begin <= place.start:
            name = f"{layout.bag.name}/{place.path}"
            yield Generated(place.start, file_header(name, place.length, layout.bag.made_at))
            begin, after = place.text, ""
        yield from texts.text(place, begin, after)
        end = place.text + place.length
        if end < place.end:
            yield Generated(end, bytes(place.end - end))
        begin, after = place.end, ""


@dataclass
class _Sums:
    """Digests of a manifest, by algorithm, while it is made."""

    hashes: dict[str, Hash]

    def update(self, data: bytes) -> None:
        for each in self.hashes.values():
            each.update(memoryview(data))


class _Texts:
    """The texts of manifests, and their digests for tag manifests."""

    def __init__(self, layout: Layout, pages_from: PagesFrom, digest_of: DigestOf) -> None:
        self.layout = layout
        self._pages_from = pages_from
        self._digest_of = digest_of
        self._sums: dict[str, _Sums] = {}
        """Of the manifests that were made whole, by algorithm."""
        self._replaced = {BAGIT_TXT: bagit_txt(layout.bag.form), **layout.bag.replaced}

    def text(self, place: ManifestPlace, begin: int, after: str) -> Iterator[Generated]:
        """The text from byte `begin` of the tar on, whose lines are of files after that path."""
        is_whole = begin == place.text
        sums = self._new_sums() if is_whole and not place.of_tags else None
        at, end = begin, place.text + place.length
        for piece in _joined(self._lines(place, after, is_whole=is_whole)):
            if at + len(piece) > end:
                raise _changed()
            if sums is not None:
                sums.update(piece)
            yield Generated(at, piece)
            at += len(piece)
        if at != end:
            raise _changed()
        if sums is not None:
            self._sums[place.algorithm] = sums

    def sum_up(self) -> None:
        """Digest the manifests that were not made whole, all of them in one pass."""
        places = [
            place
            for place in self.layout.manifests
            if not place.of_tags and place.algorithm not in self._sums
        ]
        if not places:
            return
        sums = {place.algorithm: self._new_sums() for place in places}
        lengths = dict.fromkeys(sums, 0)
        for file in self._listed("", of_tags=False):
            for algorithm, each in sums.items():
                line = self._line(file, algorithm, of_tags=False)
                each.update(line)
                lengths[algorithm] += len(line)
        if any(lengths[place.algorithm] != place.length for place in places):
            raise _changed()
        self._sums |= sums

    def _new_sums(self) -> _Sums:
        return _Sums({name: new_hash(name) for name in self.layout.bag.form.tag_manifests})

    def _lines(self, place: ManifestPlace, after: str, *, is_whole: bool) -> Iterator[bytes]:
        algorithm, of_tags = place.algorithm, place.of_tags
        lines = self.layout.bag.tag_lines
        if of_tags and is_whole:
            digest = self._digest_of_replaced(BAGIT_TXT, algorithm)
            yield lines.line(digest, BAGIT_TXT)
        for file in self._listed(after, of_tags=of_tags):
            yield self._line(file, algorithm, of_tags=of_tags)
        if of_tags:
            for name, sums in self._in_order():
                yield lines.line(sums.hashes[algorithm].digest().hex(), manifest_path(name))

    def _in_order(self) -> Iterator[tuple[str, _Sums]]:
        for place in self.layout.manifests:
            if not place.of_tags:
                yield place.algorithm, self._sums[place.algorithm]

    def _listed(self, after: str, *, of_tags: bool) -> Iterator[BagFile]:
        """The files whose lines stand in the manifests of that kind."""
        bag = self.layout.bag
        for page in self._pages_from(after):
            for file in page:
                is_payload = file.path.startswith("data/")
                if is_payload is of_tags or not is_of_the_list(file.path):
                    continue
                if is_payload or bag.is_listed(file):
                    yield file

    def _line(self, file: BagFile, algorithm: str, *, of_tags: bool) -> bytes:
        bag = self.layout.bag
        if file.path in bag.replaced:
            digest = self._digest_of_replaced(file.path, algorithm)
        else:
            digest = file.digests.get(algorithm) or self._digest_of(file, algorithm)
        if len(digest) != 2 * KNOWN_LENGTHS[algorithm]:
            raise ValueError(f"{digest!r} is no {algorithm} digest")
        return (bag.tag_lines if of_tags else bag.payload_lines).line(digest.lower(), file.path)

    def _digest_of_replaced(self, path: str, algorithm: str) -> str:
        calculated = new_hash(algorithm)
        calculated.update(memoryview(self._replaced[path]))
        return calculated.digest().hex()


def _joined(lines: Iterable[bytes]) -> Iterator[bytes]:
    """In pieces of about TEXT_BYTES."""
    waiting, held = [], 0
    for line in lines:
        waiting.append(line)
        held += len(line)
        if held >= TEXT_BYTES:
            yield b"".join(waiting)
            waiting, held = [], 0
    if waiting:
        yield b"".join(waiting)
