"""One tar, three readers: Python's `tarfile`, libarchive, and ours; each tells the same things."""

from __future__ import annotations

import ctypes
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from bagline.bagit.tar import Member, MemberKind, TarReader
from bagline.errors import BagRejected
from bagline.problems import Problem

HASHED_BYTES = 1 << 20
"""Larger files (sparse ones, mostly) are compared by their sizes alone."""

FILE, FOLDER, HARD_LINK, SYMLINK, OTHER = "file", "directory", "hard link", "symlink", "other"


@dataclass(frozen=True)
class Entry:
    """What a reader says of one entry. `link` and `digest` are "" where there are none."""

    name: str
    kind: str
    size: int
    digest: str
    link: str = ""


@dataclass
class Reading:
    """The entries (no volume labels) up to the end, or to where a reader gave up: `fault` says why.

    `members` are ours, and `problems`.
    """

    entries: list[Entry] = field(default_factory=list)
    fault: str = ""
    members: list[Member] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


# -- ours
_OURS = {
    MemberKind.FILE: FILE,
    MemberKind.DIRECTORY: FOLDER,
    MemberKind.HARD_LINK: HARD_LINK,
    MemberKind.SYMLINK: SYMLINK,
}


def ours(raw: bytes) -> Reading:
    found = Reading()
    reader = TarReader([raw], length=len(raw), report=found.problems.append)
    try:
        while (member := reader.next_member()) is not None:
            kind = _OURS.get(member.kind, OTHER)
            digest = ""
            if kind == FILE and member.size <= HASHED_BYTES:
                digest = _digest(reader.pieces())
            if member.kind is MemberKind.LABEL:
                continue
            found.members.append(member)
            found.entries.append(_entry(member.name, kind, member.size, digest, member.link))
    except BagRejected as fault:
        found.problems += fault.problems
        found.fault = fault.problems[-1].message
    return found


def _entry(name: str, kind: str, size: int, digest: str, link: str) -> Entry:
    """Sizes and digests are of files; links of links; a directory may have a slash or none."""
    return Entry(
        name.rstrip("/") if kind == FOLDER else name,
        kind,
        size if kind == FILE else 0,
        digest,
        link if kind in (HARD_LINK, SYMLINK) else "",
    )


def _digest(pieces: Iterator[Any]) -> str:
    made = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        made.update(piece)
    return made.hexdigest()


# -- tarfile
def by_tarfile(raw: bytes) -> Reading:
    """It takes a header that it cannot read for the end: that is a fault here."""
    found = Reading()
    try:
        with tarfile.open(mode="r:", fileobj=io.BytesIO(raw), errors="surrogateescape") as tar:
            for member in tar:
                if member.type != b"V":
                    found.entries.append(_of_tarfile(tar, member))
            end = tar.offset
    except (tarfile.TarError, ValueError, OverflowError, KeyError, IndexError, OSError) as fault:
        found.fault = str(fault) or repr(fault)
    except (RecursionError, AttributeError, TypeError, MemoryError) as fault:  # faults of its own
        found.fault = repr(fault)
    else:
        if raw[end : end + 512].strip(b"\0") or 0 < len(raw) - end < 512:
            found.fault = f"no header at {end}"
    return found


def _of_tarfile(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    kind = OTHER
    if member.isdir():
        kind = FOLDER
    elif member.islnk():
        kind = HARD_LINK
    elif member.issym():
        kind = SYMLINK
    elif member.isreg():
        kind = FILE
    digest = ""
    if kind == FILE and member.size <= HASHED_BYTES:
        source = tar.extractfile(member)
        assert source is not None
        digest = _digest(iter([source.read()]))
    return _entry(member.name, kind, member.size, digest, member.linkname)


# -- libarchive
_MODES = {0o100000: FILE, 0o040000: FOLDER, 0o120000: SYMLINK}


def needs_libarchive() -> Any:
    """Its functions. Without the library the test is skipped, and says how to get it; in CI it
    fails."""
    try:
        from libarchive import ffi
    except (ImportError, OSError, AttributeError, TypeError) as fault:
        reason = f"libarchive is missing (Debian: apt-get install libarchive13): {fault}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return ffi


class _Backwards(Exception):
    """A sparse map is not in order, and libarchive follows it all the same."""


def by_libarchive(ffi: Any, raw: bytes) -> Reading:
    found = Reading()
    archive = ffi.read_new()
    try:
        ffi.get_read_filter_function("none")(archive)
        ffi.get_read_format_function("tar")(archive)
        ffi.read_open_memory(archive, ctypes.cast(raw, ctypes.c_void_p), len(raw))
        entry = ffi.entry_new()
        try:
            while ffi.read_next_header2(archive, entry) != ffi.ARCHIVE_EOF:
                found.entries.append(_of_libarchive(ffi, archive, entry))
        finally:
            ffi.entry_free(entry)
    except (ffi.ArchiveError, _Backwards) as fault:
        found.fault = str(fault)
    finally:
        ffi.read_free(archive)
    return found


def _of_libarchive(ffi: Any, archive: Any, entry: Any) -> Entry:
    name = _text(ffi.entry_pathname(entry))
    hard, soft = ffi.entry_hardlink(entry), ffi.entry_symlink(entry)
    kind, size = _MODES.get(ffi.entry_filetype(entry), OTHER), ffi.entry_size(entry)
    link = _text(hard if hard is not None else soft)
    if hard is not None and not size:
        kind = HARD_LINK
    digest = ""
    if kind == FILE and size <= HASHED_BYTES:
        digest = _digest(_blocks(ffi, archive, size))
    return _entry(name, kind, size, digest, link)


def _text(raw: bytes | None) -> str:
    return "" if raw is None else raw.decode("utf-8", "surrogateescape")


def _blocks(ffi: Any, archive: Any, size: int) -> Iterator[bytes]:
    """The bytes of the entry, holes as zeros."""
    buffer, count, offset = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_longlong()
    at = 0
    while (
        ffi.read_data_block(
            archive, ctypes.byref(buffer), ctypes.byref(count), ctypes.byref(offset)
        )
        != ffi.ARCHIVE_EOF
    ):
        if offset.value < at:
            raise _Backwards(f"bytes of offset {offset.value} after those of {at}")
        yield bytes(offset.value - at)
        if count.value:
            yield ctypes.string_at(buffer, count.value)
        at = offset.value + count.value
    yield bytes(max(size - at, 0))
