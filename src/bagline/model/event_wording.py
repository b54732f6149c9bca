"""What PREMIS events call the agents and tools of an ingest: ours, or the older system's.

Facts, digests, times and outcomes are the same in both (docs/decisions/event-wording.md).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from bagline.model.premis import our_agent


class Tool(NamedTuple):
    """An event's `object` and `agent`."""

    object: str
    agent: str


class Wording(NamedTuple):
    """Who did what: `intake` made the object and its rights, `path_names` its files' identifiers,
    `url_names` the copies' URLs, `copier` and `file_copier` the copies. `copied` is the detail of
    the object's ingestion, `how` and `file_how` the information about it and about a file's."""

    intake: Tool
    path_names: Tool
    url_names: Tool
    copier: Tool
    file_copier: Tool
    digests: Tool
    """With `{algorithm}`."""
    copied: str
    how: str
    file_how: str
    counts_all: bool = False
    """Whether "N files copied" counts every file of the tar, not only those preserved anew."""

    def digest_tool(self, algorithm: str) -> Tool:
        return Tool(*(text.format(algorithm=algorithm) for text in self.digests))


_LINE = "https://github.com/APTrust/preservation-services"
_S3_CLIENT = "https://github.com/minio/minio-go v7"
_UUIDS = "http://github.com/google/uuid"

OLDER = Wording(
    intake=Tool("APTrust preservation services", _LINE),
    path_names=Tool("APTrust exchange/ingest processor", _LINE),
    url_names=Tool("Go uuid library + Minio S3 library", _UUIDS),
    copier=Tool("Minio S3 client", _S3_CLIENT),
    file_copier=Tool("preservation-services + Minio S3 client", _S3_CLIENT),
    digests=Tool("Go language crypto/{algorithm}", "http://golang.org/pkg/crypto/{algorithm}/"),
    copied="Copied files to perservation storage",
    how="Multipart put using s3 etags",
    file_how="Put using md5 checksum",
    counts_all=True,
)
"""Letter by letter as other tools of that system read it."""


@cache
def own_wording() -> Wording:
    """Ours; the agent is this release."""
    agent = our_agent()
    copier = Tool("Bagline preservation uploader", agent)
    return Wording(
        intake=Tool("Bagline recorder", agent),
        path_names=Tool("Bagline recorder", agent),
        url_names=Tool("Bagline preservation uploader, UUIDs of RFC 9562", agent),
        copier=copier,
        file_copier=copier,
        digests=Tool("Bagline pre-fetch, {algorithm} of OpenSSL", agent),
        copied="Copied files to preservation storage",
        how="Copied by the store, or put, each proven by SHA-256",
        file_how="Copied by the store, or put; proven by SHA-256",
    )
