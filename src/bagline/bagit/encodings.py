"""The encoding that bagit.txt declares, and the byte order marks that say more."""

from __future__ import annotations

import codecs

UTF_8 = "utf-8"

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Known to Python, and no encodings of text files.
_NOT_FOR_TEXT = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
)


def known_encoding(declared: str) -> str | None:
    """Python's name of a declared encoding (`ISO-8859-1` → `iso8859-1`); None if unknown."""
    if not declared.isascii():  # Python takes other hyphens for one
        return None
    try:
        found = codecs.lookup(declared.strip())
    except (LookupError, ValueError):
        return None
    is_text: bool = getattr(found, "_is_text_encoding", True)
    return found.name if is_text and found.name not in _NOT_FOR_TEXT else None


def marked_encoding(first: bytes) -> tuple[str | None, int]:
    """The encoding that a byte order mark at the start shows, and the mark's length."""
    for mark, name in _MARKS:
        if first.startswith(mark):
            return name, len(mark)
    return None, 0


def effective_encoding(declared: str, first: bytes) -> tuple[str, int]:
    """The encoding to read a file with, and how many bytes of mark to leave out.

    A byte order mark wins over the declaration; an unknown declaration means UTF-8;
    UTF-16 and UTF-32 without a mark are big-endian (RFC 2781, section 4.3).
    """
    marked, length = marked_encoding(first)
    if marked:
        return marked, length
    name = known_encoding(declared) or UTF_8
    if name in ("utf-16", "utf-32"):
        return f"{name}-be", 0
    return (UTF_8 if name == "utf-8-sig" else name), 0
