"""Paths inside a bag: from a tar's names to (top directory, path), and what a path is for.

Paths are text with surrogateescape where the tar's bytes are not UTF-8.
"""

from __future__ import annotations

import re
from enum import StrEnum

from bagline.units import path_bytes

BAGIT_TXT = "bagit.txt"
BAG_INFO = "bag-info.txt"
APTRUST_INFO = "aptrust-info.txt"
FETCH_TXT = "fetch.txt"

PACKAGE_INFO = "package-info.txt"
"""What bag-info.txt was called before BagIt 0.96."""

MAIN_TAG_FILES = (BAGIT_TXT, BAG_INFO, APTRUST_INFO)
JUDGED_TAG_FILES = (*MAIN_TAG_FILES, PACKAGE_INFO)
"""The tag files that a bag is judged by."""

# Names of algorithms are letters and digits (RFC 8493, section 2.4); some write sha-256.
_MANIFEST = re.compile(r"(tag)?manifest-([A-Za-z0-9][A-Za-z0-9_-]{0,63})\.txt")
_DRIVE = re.compile(r"[A-Za-z]:")
_LONGEST_PART_BYTES = 255


class Role(StrEnum):
    """What a file is for, decided by its path alone (RFC 8493, section 2)."""

    PAYLOAD = "payload"
    TAG = "tag"
    MANIFEST = "manifest"
    TAG_MANIFEST = "tag_manifest"


class UnsafePath(Exception):
    """A name that points, or may point, outside the bag; the text says why."""


def role_of(path: str) -> Role:
    """Manifests stand at the bag's top level only; elsewhere such a name is a tag file.

    So is a name whose algorithm can be none: copies of manifests are stored by name.
    """
    if path.startswith("data/"):
        return Role.PAYLOAD
    match = _MANIFEST.fullmatch(path)
    if match is None:
        return Role.TAG
    return Role.TAG_MANIFEST if match[1] else Role.MANIFEST


def manifest_algorithm(path: str) -> str:
    """`sha256` of `manifest-SHA256.txt` or `tagmanifest-sha256.txt`; "" of other paths."""
    match = _MANIFEST.fullmatch(path)
    return match[2].lower() if match else ""


def split_name(name: str) -> tuple[str, str]:
    """A tar entry's name as (top directory, path below it).

    `./` and doubled slashes are taken out; the path is "" for the top directory itself,
    and the top directory is "" for an entry that lies in none. Raises UnsafePath.
    """
    if "/." in name or "//" in name or name[:1] in ("", ".", "/"):
        name = _tidied(name)
    if "\0" in name:
        raise UnsafePath("a NUL byte stands in it, which no path can have")
    first, slash, rest = name.partition("/")
    if first[1:2] == ":" and _DRIVE.match(first) and (slash or len(first) > 2):
        raise UnsafePath("it begins with a drive letter")
    if not slash:
        return "", first
    if rest[1:2] == ":" and rest[2:3] in ("/", "\\") and _DRIVE.match(rest):
        raise UnsafePath("below its top directory it begins with a drive letter")
    return first, rest.removesuffix("/")


def _tidied(name: str) -> str:
    if not name:
        raise UnsafePath("it has no name")
    if name.startswith("/"):
        raise UnsafePath("it is an absolute path")
    parts = name.split("/")
    if ".." in parts:
        raise UnsafePath("`..` leads out of its directory")
    is_directory = parts[-1] in ("", ".")
    kept = [part for part in parts if part not in ("", ".")]
    return "/".join(kept) + ("/" if is_directory and kept else "")


def unsafe_reason(path: str) -> str:
    """Why a path listed in a manifest may not be used; "" if it may."""
    if not path:
        return "it is empty"
    if path.startswith("/"):
        return "it is absolute"
    if _DRIVE.match(path) and path[2:3] in ("/", "\\"):
        return "it begins with a drive letter"
    if ".." in path.split("/"):
        return "`..` leads out of its directory"
    return ""


def is_utf8(path: str) -> bool:
    """Whether the path's bytes are UTF-8."""
    if path.isascii():
        return True
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def has_long_part(path: str) -> bool:
    """Whether a part of the path is longer than most file systems can hold."""
    return len(raw := path_bytes(path)) > _LONGEST_PART_BYTES and any(
        len(part) > _LONGEST_PART_BYTES for part in raw.split(b"/")
    )
