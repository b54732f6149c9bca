"""Bags that are written: names as hostile as a tar can hold them, and lists of files in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from hypothesis import strategies as st

from bagline.bagit.digests import KNOWN_LENGTHS, new_hash
from bagline.bagit.paths import UnsafePath, split_name
from bagline.bagit.writing import BagFile, FileBytes, Generated, Segment
from bagline.model.times import NEVER, Timestamp
from bagline.units import path_text, spelled_path

_LETTERS = st.one_of(
    st.sampled_from("ab.~*%\\ \t\n\r'\"{}:;|\x01\x7f"),
    st.sampled_from(
        ["%0A", "%0a", "%25", "%2", "é", "e\u0301", "\u0301\u0323", "ﬁ", "\u2028", "\x85", "𝄞"]
    ),
    st.binary(min_size=1, max_size=3).map(path_text),
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]),
)
_parts = st.one_of(
    st.lists(_LETTERS, min_size=1, max_size=8).map("".join),
    st.sampled_from(["n" * 99, "n" * 256, "é" * 60, " ", ".a", "..a", "..\\b", "\\", "*", "C:"]),
    st.sampled_from(["manifest-md5.txt", "bagit.txt", "data", "con", "tagmanifest-old.txt"]),
)


def _is_kept(path: str) -> bool:
    """Whether a reader of tars takes it as a path, and as this one."""
    try:
        return "\0" not in path and split_name(f"bag/{path}") == ("bag", path)
    except UnsafePath:
        return False


paths = (
    st.lists(_parts, min_size=1, max_size=4)
    .map("/".join)
    .map(lambda path: path_text(path.encode("utf-8", "surrogateescape")))
    .filter(_is_kept)
)
"""Paths in a bag."""


def digest(data: bytes, algorithm: str) -> str:
    calculated = new_hash(algorithm)
    calculated.update(memoryview(data))
    return calculated.digest().hex()


class FileList:
    """Files in the order in which the Registry lists them, in pages, and where their bytes are.

    `known`: the algorithms whose digests it tells; others are calculated when they are asked for.
    """

    def __init__(
        self,
        contents: Mapping[str, bytes],
        known: Iterable[str] = tuple(KNOWN_LENGTHS),
        *,
        page: int = 3,
        mtime: Timestamp = NEVER,
    ) -> None:
        self.contents = dict(sorted(contents.items(), key=lambda item: spelled_path(item[0])))
        self.files = [
            BagFile(path, len(data), mtime, {name: digest(data, name) for name in known})
            for path, data in self.contents.items()
        ]
        self.asked: list[str] = []
        """After which paths it was asked for pages."""
        self.pages_given = 0
        self._page = page

    def pages_from(self, after: str) -> Iterator[Sequence[BagFile]]:
        self.asked.append(after)
        paths = list(self.contents)
        start = paths.index(after) + 1 if after else 0
        for at in range(start, len(self.files), self._page):
            self.pages_given += 1
            yield self.files[at : at + self._page]

    def digest_of(self, file: BagFile, algorithm: str) -> str:
        assert algorithm not in file.digests, "only what the list lacks is asked for"
        return digest(self.contents[file.path], algorithm)

    def bytes_of(self, made: Iterable[Segment]) -> bytes:
        """The segments joined; each must begin where the one before ended."""
        pieces: list[bytes] = []
        at = None
        for segment in made:
            assert segment.length
            assert at in (None, segment.offset)
            at = segment.offset + segment.length
            match segment:
                case Generated(_, data):
                    pieces.append(data)
                case FileBytes(_, file, start, length):
                    pieces.append(self.contents[file.path][start : start + length])
        return b"".join(pieces)
