"""fetch.txt (RFC 8493, section 2.2.3), judged though nothing is fetched.

Bounded memory whatever its size: one line and one chunk, and some 100 bytes each of
LINES_COMPARED files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from bagline import problems
from bagline.bagit.manifests import LINE_BYTES, ManifestEntry, ManifestParser, canonical
from bagline.bagit.paths import FETCH_TXT, Role, unsafe_reason
from bagline.bagit.tar import Chunk
from bagline.units import path_text

LINES_COMPARED = 100_000
"""Of so many files it is found out which manifests list them."""

_LINE = re.compile(rb"[ \t]*([^ \t]+)[ \t]+([^ \t]+)[ \t]+([^ \t].*)")
_LENGTH = re.compile(rb"[0-9]+|-")
# An absolute URI (RFC 3986, section 4.3); where it names a server, there is one.
_URL = re.compile(rb"(?:(?:https?|ftp)://[^/?#]+|(?!https?:|ftp:)[a-z][a-z0-9+.-]*:.).*", re.I)


class FetchParser(ManifestParser):
    """Reads fetch.txt as a manifest is read; its entries have no digest."""

    def __init__(self, *, encoding: str, version: str) -> None:
        super().__init__(FETCH_TXT, encoding=encoding, version=version)

    def _entry(self, line: bytes) -> ManifestEntry | None:
        match = _LINE.fullmatch(line)
        if match is None or len(line) > LINE_BYTES:
            few, long = "it has fewer than three fields", f"it is longer than {LINE_BYTES} bytes"
            if line.strip():
                self._bad_line(self._line, few if match is None else long)
            return None
        url, length, raw = match.groups()
        path = path_text(raw)
        if reason := _wrong_field(url, length) or _out_of_scope(path):
            self._bad_line(self._line, reason)
            return None
        return ManifestEntry(path, "", (path,), self._line)

    def _bad_line(self, line: int, reason: str) -> None:
        self.log.add(problems.BAD_FETCH_LINE.about(self.path, line=line, reason=reason))


class FetchList:
    """The files that fetch.txt lists, beside those that the payload manifests list.

    `chunks_of` gives its bytes, each time anew; none where a bag has no fetch.txt that can be
    read. `log` is complete when `compare` has been called.
    """

    def __init__(
        self, chunks_of: Callable[[], Iterable[Chunk]], *, encoding: str, version: str
    ) -> None:
        self._chunks_of = chunks_of
        self._encoding, self._version = encoding, version
        self._manifests: list[str] = []
        self._seen: dict[int, int] = {}  # file → which manifests list it, a bit each
        parser = self._parser()
        for entry in parser.entries(chunks_of()):
            if len(self._seen) < LINES_COMPARED:
                self._seen[_key(entry)] = 0
        self.log = parser.log

    def watching(
        self, parser: ManifestParser, entries: Iterator[ManifestEntry]
    ) -> Iterator[ManifestEntry]:
        """The entries of a manifest, as they are; those of listed files are remembered."""
        if not self._seen or parser.role is not Role.MANIFEST:
            return entries
        name = f"manifest-{parser.algorithm}.txt"
        if name not in self._manifests:
            self._manifests.append(name)
        return self._watched(entries, 1 << self._manifests.index(name))

    def _watched(self, entries: Iterator[ManifestEntry], bit: int) -> Iterator[ManifestEntry]:
        seen = self._seen
        for entry in entries:
            key = _key(entry)
            if key in seen:
                seen[key] |= bit
            yield entry

    def compare(self) -> None:
        """When all manifests were read: log the files that do not stand in every one.

        Before 1.0 a payload file stands in one at least (as `judge` has it).
        """
        every = (1 << len(self._manifests)) - 1
        is_draft = self._version.startswith("0.")
        if all(bits == every or (bits and is_draft) for bits in self._seen.values()):
            return
        for entry in self._parser().entries(self._chunks_of()):
            bits = self._seen.get(_key(entry), every)
            if bits == every or (bits and is_draft):
                continue
            lacking = [name for n, name in enumerate(self._manifests) if not bits >> n & 1]
            self.log.add(
                problems.FETCH_NOT_LISTED.about(
                    FETCH_TXT, line=entry.line, path=entry.raw_path, manifest=", ".join(lacking)
                )
            )

    def _parser(self) -> FetchParser:
        return FetchParser(encoding=self._encoding, version=self._version)


def _wrong_field(url: bytes, length: bytes) -> str:
    if not _URL.fullmatch(url):
        return f"'{path_text(url)}' is no URL such as https://example.org/file"
    if not _LENGTH.fullmatch(length):
        return f"the length '{path_text(length)}' is neither a number of bytes nor `-`"
    return ""


def _out_of_scope(path: str) -> str:
    plain = canonical(path)
    if reason := unsafe_reason(plain):
        return f"the path {path} may not be used: {reason}"
    if not plain.startswith("data/") or plain == "data/":
        return f"the path {path} is none of the payload, and nothing else may be fetched"
    return ""


def _key(entry: ManifestEntry) -> int:
    return hash(canonical(entry.raw_path))
