"""The layout of a restored bag's tar: where everything stands, known before its first byte.

    bag/  bag/bagit.txt  bag/data/  every file in the order of the list
    bag/manifest-….txt  bag/tagmanifest-….txt  (in the form's order)  the end

Directories have no entries but these two: what the list tells of a file's directories is its
path, programs that unpack a tar make them from it, and it costs no memory of which were met.
`bag/data/` is there for bags without payload (RFC 8493, section 2.1.2).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from msgspec import Struct

from bagline.bagit.paths import BAGIT_TXT, FETCH_TXT, Role, role_of
from bagline.bagit.writing.declaration import bagit_txt
from bagline.bagit.writing.manifest_lines import ManifestLines
from bagline.bagit.writing.marks import Mark, Marks
from bagline.bagit.writing.tar_headers import (
    directory_header,
    file_header,
    file_header_length,
    padded,
)
from bagline.model.bag_form import BagForm
from bagline.model.times import Timestamp, is_set
from bagline.units import MIB


class BagFile(Struct, frozen=True, gc=False):
    """A file of the list: path in the bag (lone surrogates for bytes that are not UTF-8), size in
    bytes, when it was last changed (unset: not known), algorithm → digest in lower-case hex, as
    far as they are known."""

    path: str
    size: int
    mtime: Timestamp
    digests: Mapping[str, str]


PagesFrom = Callable[[str], Iterable[Sequence[BagFile]]]
"""The files that follow a path in the list, "" for all, in pages; asked anew for each pass. The
order is the list's own, each time the same, and every path stands there once."""


@dataclass(frozen=True, slots=True)
class LayoutLimits:
    """What a store takes, and how closely manifests are marked. In bytes, but for the counts."""

    least_part_bytes: int = 8 * MIB
    parts: int = 9_000
    tar_bytes: int = 5 * 1024**2 * MIB
    text_step_bytes: int = MIB
    text_marks: int = 1_000


LAYOUT_LIMITS = LayoutLimits()


@dataclass(frozen=True)
class RestoredBag:
    """What of a restored bag does not come from the list. `made_at` is the time of everything that
    is made anew and of files without one; `replaced`: path → bytes that stand for the stored ones,
    such as those of bag-info.txt, where the list has the path.
    """

    name: str
    form: BagForm
    made_at: Timestamp
    replaced: Mapping[str, bytes] = field(default_factory=dict)

    def size(self, file: BagFile) -> int:
        new = self.replaced.get(file.path)
        return file.size if new is None else len(new)

    def moment(self, file: BagFile) -> Timestamp:
        is_kept = is_set(file.mtime) and file.path not in self.replaced
        return file.mtime if is_kept else self.made_at

    def header(self, file: BagFile) -> bytes:
        return file_header(f"{self.name}/{file.path}", self.size(file), self.moment(file))

    def header_length(self, file: BagFile) -> int:
        return file_header_length(f"{self.name}/{file.path}", self.size(file), self.moment(file))

    @cached_property
    def head(self) -> bytes:
        """What stands before the files of the list."""
        declaration = bagit_txt(self.form)
        return b"".join(
            (
                directory_header(self.name, self.made_at),
                file_header(f"{self.name}/{BAGIT_TXT}", len(declaration), self.made_at),
                declaration.ljust(padded(len(declaration)), b"\0"),
                directory_header(f"{self.name}/data", self.made_at),
            )
        )

    @cached_property
    def payload_lines(self) -> ManifestLines:
        return ManifestLines(self.form)

    @cached_property
    def tag_lines(self) -> ManifestLines:
        return ManifestLines(self.form, of_tags=True)

    def is_listed(self, file: BagFile) -> bool:
        """Whether tag manifests list this tag file. They need not list any (RFC 8493, 2.2.1), and
        do not where a reader might take the line for another file's."""
        return self.tag_lines.misreadings(file.path) == ()


@dataclass(frozen=True, slots=True)
class ManifestPlace:
    """Where a manifest stands: its header at `start`, `length` bytes of text from `text`."""

    path: str
    algorithm: str
    of_tags: bool
    start: int
    text: int
    length: int
    marks: Marks

    @property
    def end(self) -> int:
        return self.text + padded(self.length)


@dataclass(frozen=True)
class Layout:
    """Of a whole tar. In bytes: `size`, and `part_bytes` of every part but the last.

    `files` counts what is taken from the list; `list_count` and `list_digest` are the list's, with
    sizes, times and digests: while they stay the same, so does all that is made by this layout.
    `lacking` counts files of which a digest is not known yet. `left_out` names the first few files
    of the list that belong to the form of an earlier bag and have no place in this one: its
    manifests and fetch.txt (bagit.txt is made anew).
    """

    bag: RestoredBag
    size: int
    part_bytes: int
    files: int
    payload_files: int
    payload_bytes: int
    list_count: int
    list_digest: str
    lacking: int
    left_out: tuple[str, ...]
    files_end: int
    manifests: tuple[ManifestPlace, ...]
    marks: Marks

    @property
    def parts(self) -> int:
        return -(-self.size // self.part_bytes)

    def part(self, number: int) -> tuple[int, int]:
        """Where the part of that number, from 0 on, begins and ends."""
        start = number * self.part_bytes
        return start, min(start + self.part_bytes, self.size)

    @property
    def end(self) -> int:
        """Where nothing but zeros follows."""
        return self.manifests[-1].end if self.manifests else self.files_end

    def mark(self, offset: int) -> Mark:
        """Where making begins to get at the bytes from there on. At a part's start that is the
        entry that lies across it, or begins there."""
        if offset < self.files_end:
            return self.marks.at(offset)
        if offset >= self.end:
            return Mark(self.end, "")
        place = self.manifests[self.manifest_at(offset)]
        if offset < place.text or not place.length:
            return Mark(place.start, "")
        mark = place.marks.at(min(offset - place.text, place.length - 1))
        return Mark(place.text + mark.begin, mark.after)

    def manifest_at(self, offset: int) -> int:
        """Which of `manifests` the byte belongs to."""
        return bisect_right(self.manifests, offset, key=lambda place: place.start) - 1


def is_of_the_list(path: str) -> bool:
    """Whether a file of the list has a place in the bag: not what is made anew."""
    if path in (BAGIT_TXT, FETCH_TXT):
        return False
    return role_of(path) in (Role.PAYLOAD, Role.TAG)


def manifest_path(algorithm: str, *, of_tags: bool = False) -> str:
    return f"{'tag' if of_tags else ''}manifest-{algorithm}.txt"
