"""What a file is that is no tar, in words its sender can act on."""

from __future__ import annotations

from bagline import problems
from bagline.problems import Problem

_FORMATS = (
    (b"\x1f\x8b", "gzip"),
    (b"\x1f\x9d", "compress (.Z)"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"LZIP", "lzip"),
    (b"PK\x03\x04", "ZIP"),
    (b"PK\x05\x06", "ZIP"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!", "RAR"),
)


def not_a_tar(first: bytes) -> Problem:
    """The Problem of a file that begins with these bytes (512, or all that it has)."""
    if not first:
        return problems.EMPTY_FILE.about()
    for magic, name in _FORMATS:
        if first.startswith(magic):
            return problems.COMPRESSED.about(format=name)
    if len(first) < 512:
        return problems.TOO_SHORT.about(size=len(first))
    printable = sum(byte in b"\t\n\r\f" or 32 <= byte < 127 or byte > 159 for byte in first)
    if printable > 0.97 * len(first):
        return problems.NOT_A_TAR.about(reason="it begins like a text")
    return problems.NOT_A_TAR.about(reason="its first 512 bytes are no tar header")
