"""Tag files: `Name: value` lines as RFC 8493 has them (sections 2.1.1, 2.2.2 and 5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from bagline import problems
from bagline.bagit.encodings import UTF_8, effective_encoding, known_encoding, marked_encoding
from bagline.bagit.paths import (
    BAG_INFO,
    BAGIT_TXT,
    FETCH_TXT,
    JUDGED_TAG_FILES,
    MAIN_TAG_FILES,
    PACKAGE_INFO,
    is_utf8,
)
from bagline.model.ingest import Tag
from bagline.problems import ERROR, WARNING, Problem, ProblemLog
from bagline.units import MIB

TAG_FILE_BYTES = 4 * MIB
"""Tags are read from files up to this size, and of a bag from at most so many lines, tags, other
tag files than the main ones, and bytes of these."""
TAG_LINES = 10_000
TAGS = 20_000
OTHER_TAG_FILES = 1_000
OTHER_TAG_BYTES = 16 * MIB

FIRST_BYTES = 4096
"""So many of a file's first bytes are enough for `looks_like_tag_file`."""

VERSION_TAG = "BagIt-Version"
ENCODING_TAG = "Tag-File-Character-Encoding"

_LINE_END = re.compile("\r\n|\r|\n")
_TAG_LINE = re.compile(r"[^\s:][^:\r\n]{0,200}:(\s|$)")
# Labels of more words than one, and those single words that profiles ask for.
_LABEL = re.compile(r"[A-Za-z]+(-[A-Za-z]+)+|Title|Access|Description")
_AS_END = "taken as the end of the tag before it"
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f]")
_FORM = (rf"{VERSION_TAG}: \d+\.\d+", rf"{ENCODING_TAG}: \S+")
_MORE_LINES = "it has more lines than these two"
_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})")


class Declaration(NamedTuple):
    """What bagit.txt says. `version` and `encoding` are "" where it does not say.

    `encoding` is as written there; unknown ones are among the problems.
    """

    version: str
    encoding: str
    tags: list[Tag]
    problems: list[Problem]


class TagsRead(NamedTuple):
    """What a bag's tag files say, and what is wrong with them. `version`: see Declaration;
    `encoding` is that of the other tag files and of manifests, as declared, or UTF-8."""

    version: str
    encoding: str
    tags: list[Tag]
    problems: ProblemLog


def read_tags(
    paths: Iterable[str], size_of: Callable[[str], int], body_of: Callable[[str], bytes]
) -> TagsRead:
    """The tags of a bag whose tag files (but hard links) are `paths`, in tar order.

    Those of the main files first, in tar order, then of the others. Sizes and bodies are
    asked for only where they matter, bodies only of files that TagChoice wants.
    """
    choice, log = TagChoice(), ProblemLog()
    wanted = []
    for path in paths:
        if not choice.may_want(path):
            continue
        size = size_of(path)
        if choice.wants(path, size):
            wanted.append(path)
        elif path in JUDGED_TAG_FILES:
            log.add(problems.TAG_FILE_TOO_LARGE.about(path, size=size, limit=TAG_FILE_BYTES))
    declared = parse_bagit_txt(body_of(BAGIT_TXT) if BAGIT_TXT in wanted else b"")
    log.extend(declared.problems)
    encoding = declared.encoding or "UTF-8"
    tags: list[Tag] = []
    for path in sorted(wanted, key=lambda path: path not in MAIN_TAG_FILES):
        body = body_of(path) if path != BAGIT_TXT else b""
        if path == BAGIT_TXT:
            some = declared.tags
        elif path in JUDGED_TAG_FILES or looks_like_tag_file(path, body):
            some, found = parse_tags(body, path, encoding)
            log.extend(found)
        else:
            continue
        if choice.has_room(path, len(some)):
            tags += some
    if choice.left_out:
        limit = f"{TAGS:,} tags of other files"
        log.add(problems.TAGS_LEFT_OUT.about(choice.left_out, limit=limit))
    return TagsRead(declared.version, encoding, tags, log)


class TagChoice:
    """Which tag files of a bag are read for their tags, asked in the order of the tar.

    So that what a bag costs does not follow from what stands in it: tags of other files than
    JUDGED_TAG_FILES are wanted where there are few, and left out whole where there are many.
    """

    def __init__(self) -> None:
        self._files = self._bytes = self._tags = 0
        self.left_out = ""
        """The first file that was left out though its name is that of a tag file."""

    def may_want(self, path: str) -> bool:
        """Whether the file's size decides. A name must be UTF-8: records keep no other."""
        if path in JUDGED_TAG_FILES:
            return True
        is_full = self._files >= OTHER_TAG_FILES and self.left_out
        is_one = path.lower().endswith(".txt") and path != FETCH_TXT
        return is_one and not is_full and is_utf8(path) and "\ufffd" not in path

    def wants(self, path: str, size: int) -> bool:
        """Whether to read the file for tags."""
        if path in JUDGED_TAG_FILES:
            return size <= TAG_FILE_BYTES
        if not self.may_want(path):
            return False
        is_small = size <= TAG_FILE_BYTES and self._bytes + size <= OTHER_TAG_BYTES
        if not is_small or self._files >= OTHER_TAG_FILES:
            self.left_out = self.left_out or path
            return False
        self._files += 1
        self._bytes += size
        return True

    def has_room(self, path: str, tags: int) -> bool:
        """Whether so many tags of a file that was read are kept."""
        if path not in JUDGED_TAG_FILES and self._tags + tags > TAGS:
            self.left_out = self.left_out or path
            return False
        self._tags += tags
        return True


def parse_tags(data: bytes, path: str, encoding: str = UTF_8) -> tuple[list[Tag], list[Problem]]:
    """The tags of a file in order, and what was wrong with its lines.

    A line splits at its first colon; a line that begins with a space or tab goes on
    from the one before, joined with one space; names may repeat; values may be empty.
    `encoding` is what bagit.txt declares; a byte order mark wins over it. A file of more than
    TAG_LINES lines has no tags.
    """
    text, found = _decoded(data, path, encoding)
    lines = _LINE_END.split(text, maxsplit=TAG_LINES)
    if len(lines) > TAG_LINES and lines[-1]:
        severity = ERROR if path in MAIN_TAG_FILES else WARNING
        many = problems.TOO_MANY_TAG_LINES.about(path, severity, limit=f"{TAG_LINES:,}")
        return [], [*found, many]
    tags: list[tuple[str, list[str]]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        if line[0] in " \t" and tags:
            tags[-1][1].append(line.strip())
            if colon and _LABEL.fullmatch(name.strip()):
                reason = f"it is indented, though it looks like the tag {name.strip()}"
                found.append(
                    problems.BAD_TAG_LINE.about(path, line=number, reason=reason, taken=_AS_END)
                )
        elif colon and name.strip():
            tags.append((name.strip(), [value.strip()]))
        else:
            found.append(_bad_line(path, number, line, follows_tag=bool(tags)))
            if tags:
                tags[-1][1].append(line.strip())
    return [
        Tag(tag_file=path, tag_name=name, value=" ".join(part for part in parts if part))
        for name, parts in tags
    ], found


def _bad_line(path: str, number: int, line: str, *, follows_tag: bool) -> Problem:
    reason = "it begins with a colon" if line.lstrip().startswith(":") else "it has no colon"
    taken = _AS_END if follows_tag else "left out"
    return problems.BAD_TAG_LINE.about(path, line=number, reason=reason, taken=taken)


def _decoded(data: bytes, path: str, declared: str) -> tuple[str, list[Problem]]:
    encoding, mark = effective_encoding(declared, data[:4])
    body = data[mark:]
    try:
        text = body.decode(encoding)
        text.encode()  # UTF-7 can say half a character, which no record can hold
        return text, []
    except UnicodeError as fault:
        # Other tag files are only guessed to be such; a guess must not reject a bag.
        severity = ERROR if path in MAIN_TAG_FILES else WARNING
        offset = fault.start if isinstance(fault, UnicodeDecodeError) else 0
        problem = problems.TAG_FILE_UNDECODABLE.about(
            path, severity, encoding=encoding.upper(), offset=mark + offset
        )
        text = body.decode(encoding, "replace")
        return text.encode("utf-8", "replace").decode(), [problem]


def parse_bagit_txt(data: bytes) -> Declaration:
    """bagit.txt, which is always UTF-8 and says how to read the rest (section 2.1.1)."""
    found: list[Problem] = []
    if marked_encoding(data[:4])[1]:
        found.append(problems.BAGIT_TXT_BOM.about(BAGIT_TXT))
    tags, faults = parse_tags(data, BAGIT_TXT)
    found += faults
    version = _single(tags, VERSION_TAG, found)
    encoding = _single(tags, ENCODING_TAG, found)
    if version and not _VERSION.fullmatch(version):
        found.append(_malformed(f"'{version}' is no version such as 1.0"))
    if encoding and known_encoding(encoding) is None:
        found.append(problems.ENCODING_UNKNOWN.about(BAGIT_TXT, encoding=encoding))
    is_told = bool(encoding) and _VERSION.fullmatch(version) is not None
    fault = _form_fault(data) if is_told else _MORE_LINES if len(tags) > 2 else ""
    if fault:
        # A MUST since 1.0, which had left blanks and the order open before.
        is_strict = is_told and version_number(version) >= (1, 0)
        found.append(_malformed(fault, ERROR if is_strict else WARNING))
    return Declaration(version, encoding, tags, found)


def _form_fault(data: bytes) -> str:
    """In what a bagit.txt with both tags differs from the two lines that it must be (RFC 8493,
    section 2.1.1); "" where in nothing."""
    text, _ = _decoded(data, BAGIT_TXT, UTF_8)
    lines = _LINE_END.split(text)
    if not lines[-1]:
        lines.pop()
    if _is_form(lines):
        return ""
    if not all(line.strip() for line in lines):
        return "it has a blank line"
    if len(lines) > 2:
        return _MORE_LINES
    if _is_form(lines[::-1]):
        return "its lines stand the other way round"
    if _is_form(lines, re.IGNORECASE):
        return "its labels are written in upper and lower case otherwise than here"
    return "a line has blanks where none belong, or other ones than the single one after the colon"


def _is_form(lines: list[str], flags: int = 0) -> bool:
    return len(lines) == len(_FORM) and all(
        re.fullmatch(form, line, flags) for form, line in zip(_FORM, lines, strict=True)
    )


def declared_encoding(bagit_txt: bytes) -> str:
    """The encoding to read the bag's other tag files with; UTF-8 if none is declared."""
    return parse_bagit_txt(bagit_txt).encoding or "UTF-8"


def _single(tags: list[Tag], name: str, found: list[Problem]) -> str:
    values = [tag.value for tag in tags if tag.tag_name.lower() == name.lower()]
    if len(set(values)) > 1:
        found.append(_malformed(f"{name} stands there {len(values)} times"))
    return values[0] if values else ""


def _malformed(reason: str, severity: str = "") -> Problem:
    return problems.BAGIT_TXT_MALFORMED.about(BAGIT_TXT, severity, reason=reason)


def version_number(version: str) -> tuple[int, int]:
    """`0.97` → (0, 97); (0, 0) of what is no version."""
    match = _VERSION.fullmatch(version)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def info_names(version: str) -> tuple[str, ...]:
    """The files in which a bag of that version tells of itself: before 0.96 one more."""
    return (BAG_INFO,) if version_number(version) >= (0, 96) else (BAG_INFO, PACKAGE_INFO)


def looks_like_tag_file(path: str, first_bytes: bytes) -> bool:
    """Whether a file outside the payload is text in tag form, to be parsed for its tags.

    Judged by its name (.txt) and its first bytes (up to FIRST_BYTES are looked at).
    """
    if not path.lower().endswith(".txt"):
        return False
    encoding, mark = effective_encoding(UTF_8, first_bytes[:4])
    text = first_bytes[mark:FIRST_BYTES].decode(encoding, "ignore")
    if _CONTROLS.search(text):
        return False
    lines = [line for line in _LINE_END.split(text) if line.strip()]
    return bool(lines) and _TAG_LINE.match(lines[0]) is not None
