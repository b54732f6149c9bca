"""Facts about files that more than one stage goes by."""

from __future__ import annotations

from bagline.bagit.paths import Role, role_of
from bagline.model.ingest import IngestFile

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
