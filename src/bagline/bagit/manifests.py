"""Manifests (RFC 8493, sections 2.1.3 and 2.2.1), read as they stream by.

Bounded memory whatever the manifest's size: one line and one chunk.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from unicodedata import normalize

from msgspec import Struct

from bagline import problems
from bagline.bagit.digests import KNOWN_LENGTHS, judged
from bagline.bagit.encodings import UTF_8, effective_encoding
from bagline.bagit.manifest_names import manifest_meant
from bagline.bagit.paths import (
    Role,
    manifest_algorithm,
    role_of,
    unsafe_reason,
)
from bagline.bagit.tar import Chunk
from bagline.model.ingest import SOURCE_MANIFEST, SOURCE_TAG_MANIFEST
from bagline.problems import WARNING, Problem, ProblemLog
from bagline.units import MIB, path_text

LINE_BYTES = 1 * MIB
"""Longest line that is read."""

TAKEN = "It was read as that one."
BLANKS = " \t"

_PERCENT = re.compile("%(0[AaDd]|25)")
_DECODED = {"0a": "\n", "0d": "\r", "25": "%"}
# What nearly every line of a payload manifest looks like; nothing in it needs a second look.
_USUAL = rb"([0-9a-f]{%d})  (data(?:/[\w-][\w. -]*)+)"
_LINE = rb"[ \t]*([^ \t]+)[ \t]+([^ \t].*)"
_HEX = re.compile(rb"[0-9A-Fa-f]+")
_GNU_ESCAPED = re.compile(rb"\\[0-9A-Fa-f]{32,}[ \t]")
_BSD_FORM = re.compile(rb"[A-Za-z0-9-]+ ?\(.+\) ?= ?[0-9A-Fa-f]+[ \t]*")


def parsers_of(paths: Iterable[str], *, encoding: str, version: str) -> list[ManifestParser]:
    """How a bag's manifests are read that stand at these paths: those of one kind, which may
    be spelled in several ways, one after another. Of unknown algorithms only a few are."""
    kinds: dict[tuple[str, str], list[ManifestParser]] = {}
    for path in paths:
        parser = ManifestParser(path, encoding=encoding, version=version)
        kinds.setdefault((parser.source, parser.algorithm), []).append(parser)
    read = {
        source: set(judged(algorithm for where, algorithm in kinds if where == source))
        for source, _ in kinds
    }
    return [p for (where, name), some in kinds.items() for p in some if name in read[where]]


class ManifestEntry(Struct, frozen=True, gc=False):
    """One line of a manifest.

    `raw_path` as it stands there (surrogateescape), `digest` in lower-case hex,
    `candidates` the spellings under which to look for the file, likeliest first.
    """

    raw_path: str
    digest: str
    candidates: tuple[str, ...]
    line: int


class ManifestParser:
    """Reads the manifest that stands at `path` in the bag.

    `algorithm`: the path's name gives it when left out. `encoding` is what bagit.txt
    declares; `version` the bag's BagIt version: from 1.0 on `%0A %0D %25` in a path are
    escapes first and literal second, before 1.0 the reverse. `log` grows as lines are read.
    """

    def __init__(
        self, path: str, algorithm: str = "", *, encoding: str = UTF_8, version: str = "1.0"
    ) -> None:
        self.path = path
        self.algorithm = algorithm.lower() or manifest_algorithm(path)
        self.role = role_of(path)
        self._declared = encoding
        self._decode_first = not version.startswith("0.")
        self._line_pattern = re.compile(_LINE)
        self._digest_hex = 2 * KNOWN_LENGTHS.get(self.algorithm, 0)
        self._usual: re.Pattern[bytes] | None = None
        if self._digest_hex and self.role is Role.MANIFEST:
            self._usual = re.compile(_USUAL % self._digest_hex)
        self.log = ProblemLog()
        if path != path.lower() and manifest_meant(path) == path.lower():
            self.log.add(
                problems.MANIFEST_MISNAMED.about(path, WARNING, right=path.lower(), taken=TAKEN)
            )
        self._line = 0
        self._rest = b""
        self._started = False
        self._skipping = False
        self._is_tools_form = False
        self._stopped = False
        self._decoder: codecs.IncrementalDecoder | None = None
        self._encoding = UTF_8

    @property
    def source(self) -> str:
        """What the checksums of its lines are said to come from."""
        return SOURCE_MANIFEST if self.role is Role.MANIFEST else SOURCE_TAG_MANIFEST

    @property
    def problems(self) -> list[Problem]:
        return self.log.all()

    def entries(self, chunks: Iterable[Chunk]) -> Iterator[ManifestEntry]:
        """The entries of the whole manifest. Problems are complete when it ends."""
        for chunk in chunks:
            yield from self.feed(bytes(chunk))
        yield from self.finish()

    def feed(self, chunk: bytes) -> list[ManifestEntry]:
        """The entries of the lines that this chunk completes."""
        if self._stopped:
            return []
        if not self._started:
            # Enough bytes to see a byte order mark, unless the manifest is that short.
            self._rest += chunk
            if len(self._rest) < 4:
                return []
            chunk, self._rest = self._start(self._rest), b""
        return self._lines(self._rest + self._decoded(chunk, final=False), final=False)

    def finish(self) -> list[ManifestEntry]:
        """The entry of a last line without a line end."""
        if self._stopped:
            return []
        chunk, rest = b"", self._rest
        if not self._started:
            chunk, rest = self._start(rest), b""
        data = rest + self._decoded(chunk, final=True)
        return self._lines(data, final=not self._stopped)

    def _start(self, first: bytes) -> bytes:
        self._started = True
        self._encoding, mark = effective_encoding(self._declared, first)
        if self._encoding != UTF_8:
            self._decoder = codecs.getincrementaldecoder(self._encoding)()
        return first[mark:]

    def _decoded(self, chunk: bytes, *, final: bool) -> bytes:
        """The chunk as UTF-8, whatever the manifest's encoding; up to what does not fit."""
        if self._decoder is None:
            return chunk
        before = self._decoder.getstate()
        try:
            return self._decoder.decode(chunk, final).encode()
        except (UnicodeDecodeError, UnicodeEncodeError):
            self._stopped = True
            self._decoder.setstate(before)
            return b"".join(_encodable(self._decoder, chunk))

    def _lines(self, data: bytes, *, final: bool) -> list[ManifestEntry]:
        """Entries of the whole lines in `data`; what follows them is kept for later."""
        lines = data.splitlines()
        self._rest = b""
        # The last line is whole only if its end is there, and a CR may yet become CRLF.
        if not final and lines and not data.endswith(b"\n"):
            self._rest = lines.pop()
            if data.endswith(b"\r"):
                self._rest += b"\r"
        entries = []
        for line in lines:
            self._line += 1
            if self._skipping:
                self._skipping = False
            elif line:
                entry = self._entry(line)
                if entry is not None:
                    entries.append(entry)
        if self._stopped:
            self.log.add(
                problems.MANIFEST_UNDECODABLE.about(
                    self.path, encoding=self._declared, line=self._line + 1
                )
            )
        elif len(self._rest) > LINE_BYTES:
            self._overlong()
        return entries

    def _overlong(self) -> None:
        if not self._skipping:
            self._bad_line(self._line + 1, f"it is longer than {LINE_BYTES} bytes")
        self._skipping = True
        self._rest = b"\r" if self._rest.endswith(b"\r") else b"x"

    def _entry(self, line: bytes) -> ManifestEntry | None:
        if len(line) > LINE_BYTES:
            self._bad_line(self._line, f"it is longer than {LINE_BYTES} bytes")
            return None
        if self._usual is not None and (usual := self._usual.fullmatch(line)):
            path = usual[2].decode()
            return ManifestEntry(path, usual[1].decode(), (path,), self._line)
        match = self._line_pattern.fullmatch(line)
        digest, raw = match.groups() if match is not None else (b"", b"")
        if len(digest) != (self._digest_hex or len(digest)) or not _HEX.fullmatch(digest):
            reason = _other_form(line)
            if match is not None:
                self._bad_digest(digest, reason)
            elif line.strip():
                self._bad_line(self._line, reason or "it has no path")
            return None
        path = path_text(raw)
        plain = _plain(path)
        if not self._is_allowed(path, plain):
            return None
        if path[0] in "*." and not self._is_tools_form and path.startswith(("*", "./")):
            self._is_tools_form = True
            self.log.add(problems.CHECKSUM_TOOL_FORM.about(self.path, line=self._line, listed=path))
        return ManifestEntry(
            path, digest.decode().lower(), self._candidates(path, plain), self._line
        )

    def _is_allowed(self, path: str, plain: str) -> bool:
        reason = unsafe_reason(plain)
        if reason:
            problem = problems.UNSAFE_LISTED_PATH.about(
                self.path, line=self._line, path=path, reason=reason
            )
            self.log.add(problem)
            return False
        reason = self._wrong_manifest(plain)
        if reason:
            problem = problems.WRONG_MANIFEST.about(
                self.path, line=self._line, path=path, reason=reason
            )
            self.log.add(problem)
        return not reason

    def _wrong_manifest(self, plain: str) -> str:
        if plain == self.path:
            return "a manifest cannot list itself"
        is_payload = plain.startswith("data/")
        if self.role is Role.MANIFEST and not is_payload:
            return "it is not payload"
        if self.role is Role.TAG_MANIFEST and is_payload:
            return "it is payload"
        if self.role is Role.TAG_MANIFEST and role_of(plain) is Role.TAG_MANIFEST:
            return "it is a tag manifest"
        return ""

    def _candidates(self, path: str, plain: str) -> tuple[str, ...]:
        if path is plain and path.isascii() and "%" not in path:
            return (path,)
        spellings = [path, plain]
        if "%" in path:
            decoded = [_percent_decoded(path), _percent_decoded(plain)]
            spellings = decoded + spellings if self._decode_first else spellings + decoded
        if not path.isascii():
            for form in ("NFC", "NFD"):
                spellings += [_normal(s, form) for s in spellings]
            if self._encoding != UTF_8:  # the tar may hold the name in the same encoding
                spellings += [_as_raw_bytes(s, self._encoding) for s in spellings]
        return tuple(dict.fromkeys(spellings))

    def _bad_line(self, line: int, reason: str) -> None:
        self.log.add(problems.BAD_MANIFEST_LINE.about(self.path, line=line, reason=reason))

    def _bad_digest(self, digest: bytes, reason: str) -> None:
        if _HEX.fullmatch(digest):
            reason = f"it has {len(digest)}"
        reason = reason or "it has other characters than 0-9 and a-f"
        problem = problems.BAD_DIGEST.about(
            self.path,
            line=self._line,
            digest=path_text(digest),
            algorithm=self.algorithm,
            reason=reason,
            length=self._digest_hex or "an even number of",
        )
        self.log.add(problem)


def _other_form(line: bytes) -> str:
    """What a line is that has no digest at its beginning; "" where it looks like nothing known."""
    start = line.lstrip()
    if start.startswith((b"#", b";")):
        sign = start[:1].decode()
        return f"the line begins with `{sign}`, and manifests have no comments: take it out"
    if _GNU_ESCAPED.match(start):
        return (
            "a checksum tool put `\\` before the digest, for a `\\` or a line feed in the name:"
            " take it out, and write the name with `\\` as it is and `%0A` for a line feed"
        )
    if _BSD_FORM.fullmatch(start):
        return (
            "the line has the form of BSD's checksum tools: the digest comes first, then the path"
        )
    return ""


def _encodable(decoder: codecs.IncrementalDecoder, chunk: bytes) -> Iterator[bytes]:
    """What is before the first byte that does not fit, as UTF-8."""
    for place in range(len(chunk)):
        try:
            yield decoder.decode(chunk[place : place + 1]).encode()
        except (UnicodeDecodeError, UnicodeEncodeError):
            return


def _plain(path: str) -> str:
    """The path without md5sum's `*`, a leading `./` and `\\` as separator."""
    if path[0] in "*./" or "\\" in path or "//" in path or "/." in path:
        plain = path.removeprefix("*").replace("\\", "/")
        is_absolute = plain.startswith("/")
        kept = [part for part in plain.split("/") if part not in ("", ".")]
        plain = ("/" if is_absolute else "") + "/".join(kept)
        return path if plain == path else plain
    return path


def canonical(path: str) -> str:
    """The same for all spellings of a listed path that may find one file."""
    plain = _plain(path)
    plain = _percent_decoded(plain) if "%" in plain else plain
    return plain if plain.isascii() else normalize("NFC", plain)


def _percent_decoded(path: str) -> str:
    return _PERCENT.sub(lambda match: _DECODED[match[1].lower()], path)


def _normal(path: str, form: str) -> str:
    return normalize("NFC" if form == "NFC" else "NFD", path)


def _as_raw_bytes(path: str, encoding: str) -> str:
    """The path as its bytes in the encoding stand in a tar; itself if they cannot."""
    try:
        raw = path.encode(encoding)
    except UnicodeEncodeError:
        return path
    spelling = path_text(raw)
    # UTF-16 and the like have zeros, slashes and dots inside other characters.
    return path if "\0" in spelling or unsafe_reason(spelling) else spelling


def match_warning(manifest: str, entry: ManifestEntry, found: str) -> list[Problem]:
    """What to say when a file was found under another spelling than the manifest's.

    Nothing for percent escapes, which are usual, and for md5sum's `*` and a leading `./`,
    of which the parser speaks once a manifest.
    """
    raw = entry.raw_path
    if found == raw:
        return []
    spelled = {raw, _plain(raw)}
    spelled |= {_percent_decoded(path) for path in spelled}
    kind = problems.SPELLED_DIFFERENTLY
    if found in spelled:
        if "\\" not in raw or "\\" in found:
            return []
    elif normalize("NFC", found) in {normalize("NFC", path) for path in spelled}:
        kind = problems.MATCHED_BY_NORMALISATION
    return [kind.about(found, manifest=manifest, listed=raw)]


def case_key(path: str) -> str:
    """Equal for paths that differ only in upper and lower case or normal form."""
    if path.isascii():
        return path.lower()
    return normalize("NFC", normalize("NFC", path).casefold())


def difference(one: str, other: str) -> str:
    """In what two paths of one `case_key` differ, in words."""
    is_form = normalize("NFC", one) == normalize("NFC", other)
    return "their Unicode normal form" if is_form else "upper and lower case"


def case_problem(missing: str, found: str) -> Problem | None:
    """The warning that a missing file, and one that is there, differ only in case, or in blanks
    at the end of the listed name."""
    bare = missing.rstrip(BLANKS)
    if missing == found or case_key(bare) != case_key(found):
        return None
    if bare != missing:
        return problems.ENDS_IN_BLANKS.about(missing, found=found)
    return problems.DIFFERS_IN_CASE.about(missing, found=found, how=difference(missing, found))
