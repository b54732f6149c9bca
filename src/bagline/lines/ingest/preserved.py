"""Facts about files that more than one stage goes by."""

from __future__ import annotations

import hashlib

from bagline.bagit.paths import Role, role_of
from bagline.model.ingest import IngestFile
from bagline.units import path_bytes

PLUMBING = frozenset({"bagit.txt", "fetch.txt"})


def is_preserved(file: IngestFile) -> bool:
    """Whether preservation storage must hold the file once this bag is ingested (contract G).

    Not: bag plumbing (bagit.txt, fetch.txt, manifests), files that only a manifest lists.
    """
    return file.was_read and not is_plumbing(file.path_in_bag)


def must_be_kept(file: IngestFile) -> bool:
    """Whether the file goes into preservation storage in this ingest: not where a reingest
    brought it unchanged, and every copy of it was found sound."""
    return file.needs_save and is_preserved(file)


def is_plumbing(path: str) -> bool:
    """Whether the file only serves the bag's transport: bagit.txt, fetch.txt, manifests."""
    return path in PLUMBING or role_of(path) in (Role.MANIFEST, Role.TAG_MANIFEST)


def named_uuid(*parts: object) -> str:
    """A UUID (RFC 9562, version 5) that the same parts always give.

    File keys and events get theirs from it, so that a stage that runs again after a
    crash names the same things by the same names.
    """
    return NamedUuids(*parts[:-1]).of(str(parts[-1]))


class NamedUuids:
    """What `named_uuid` gives for these parts and one last part, for many last parts."""

    def __init__(self, *parts: object) -> None:
        text = "".join(f"{part}\x1f" for part in parts)
        self._first = hashlib.sha1(path_bytes(text), usedforsecurity=False)

    def of(self, last: str) -> str:
        digest = self._first.copy()
        digest.update(path_bytes(last))
        text = digest.hexdigest()
        variant = "89ab"[int(text[16], 16) & 3]
        return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"
