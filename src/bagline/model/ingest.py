"""Working state of a bag and of its files while they travel the line (contract B).

Kept in Redis, shared with other implementations of the same workers: names, order
and emptiness of the JSON fields are theirs as much as ours.
"""

from __future__ import annotations

from msgspec import Struct

from bagline.model.premis import PremisEvent
from bagline.model.times import NEVER, Timestamp, is_set
from bagline.model.wire import kept, kept_list
from bagline.units import spelled_path

SOURCE_INGEST = "ingest"
SOURCE_MANIFEST = "manifest"
SOURCE_TAG_MANIFEST = "tag_manifest"
SOURCE_REGISTRY = "registry"

DIGEST_ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
"""Calculated for every file, in this order."""

FORMAT_BY_EXTENSION = "ext map"
FORMAT_BY_SIEGFRIED = "siegfried"


class Tag(Struct, kw_only=True, frozen=True, gc=False):
    """One tag of a tag file, in the order it stands there; names may repeat."""

    tag_file: str = kept("")
    tag_name: str = kept("")
    value: str = kept("")


class IngestChecksum(Struct, kw_only=True, omit_defaults=True, gc=False):
    """A digest in lower-case hex, and where it came from (a SOURCE_ constant)."""

    algorithm: str = kept("")
    datetime: Timestamp = kept(NEVER)
    digest: str = kept("")
    source: str = kept("")


class StorageRecord(Struct, kw_only=True, omit_defaults=True, gc=False):
    """One copy of a file in a preservation bucket. `size` in bytes."""

    bucket: str = kept("")
    error: str = kept("")
    etag: str = kept("")
    provider: str = kept("")
    size: int = kept(0)
    stored_at: Timestamp = kept(NEVER)
    url: str = kept("")
    verified_at: Timestamp = kept(NEVER)


class IngestFile(Struct, kw_only=True, omit_defaults=True, gc=False):
    """One file of a bag. `size` in bytes.

    `path_in_bag` may hold lone surrogates where the tar's bytes are not UTF-8
    (surrogateescape); on the wire they become U+FFFD, while the hash field that
    the record stands under keeps the raw bytes.
    """

    checksums: list[IngestChecksum] = kept_list()
    copied_to_staging_at: Timestamp = kept(NEVER)
    error_message: str = ""
    file_format: str = ""
    file_modified: Timestamp = kept(NEVER)
    format_identified_at: Timestamp = kept(NEVER)
    format_identified_by: str = ""
    format_match_type: str = ""
    id: int = 0
    institution_id: int = 0
    intellectual_object_id: int = 0
    is_reingest: bool = kept(False)
    mtime: Timestamp = kept(NEVER)
    needs_save: bool = kept(True)
    object_identifier: str = kept("")
    path_in_bag: str = kept("")
    premis_events: list[PremisEvent] = []
    registry_urls: list[str] = kept_list()
    saved_to_registry_at: Timestamp = kept(NEVER)
    size: int = kept(0)
    storage_option: str = kept("Standard")
    storage_records: list[StorageRecord] = kept_list()
    uuid: str = kept("")

    @property
    def identifier(self) -> str:
        """`institution/bag/path`, the name the Registry knows the file by.

        Bytes of the path that are not UTF-8 stand there as `\\xNN`.
        """
        return f"{self.object_identifier}/{spelled_path(self.path_in_bag)}"

    @property
    def was_read(self) -> bool:
        """Whether the tar holds the file (a manifest may list one that it lacks)."""
        return any(c.source == SOURCE_INGEST for c in self.checksums)

    def checksum(self, source: str, algorithm: str) -> IngestChecksum | None:
        """The newest checksum of that source and algorithm; None if there is none."""
        found = None
        for checksum in self.checksums:
            if checksum.source == source and checksum.algorithm == algorithm:
                found = checksum
        return found

    def calculated(self, algorithm: str) -> str:
        """The digest this line calculated while reading the tar; "" if it has none."""
        checksum = self.checksum(SOURCE_INGEST, algorithm)
        return checksum.digest if checksum else ""

    @property
    def is_staged(self) -> bool:
        return is_set(self.copied_to_staging_at)


class IngestObject(Struct, kw_only=True, omit_defaults=True):
    """One bag. `size` is the tar's, in bytes; `file_count` counts what pre-fetch kept."""

    copied_to_staging_at: Timestamp = kept(NEVER)
    deleted_from_receiving_at: Timestamp = kept(NEVER)
    error_message: str = ""
    etag: str = ""
    file_count: int = kept(0)
    has_fetch_txt: bool = kept(False)
    id: int = 0
    institution: str = ""
    institution_id: int = 0
    is_reingest: bool = kept(False)
    manifests: list[str] = kept_list()
    parsable_tag_files: list[str] = kept_list()
    premis_events: list[PremisEvent] = []
    recheck_registry_identifiers: bool = kept(False)
    s3_bucket: str = ""
    s3_key: str = ""
    saved_to_registry_at: Timestamp = kept(NEVER)
    serialization: str = ""
    should_delete_from_receiving: bool = kept(False)
    size: int = 0
    storage_option: str = kept("Standard")
    tag_files: list[str] = kept_list()
    tag_manifests: list[str] = kept_list()
    tags: list[Tag] = kept_list()

    @property
    def identifier(self) -> str:
        """`institution/bag`, the name the Registry knows the object by."""
        return object_identifier(self.institution, self.s3_key)

    def tag(self, tag_file: str, name: str) -> str:
        """First value of the tag (name without regard to case); "" if absent."""
        wanted = name.lower()
        for tag in self.tags:
            if tag.tag_file == tag_file and tag.tag_name.lower() == wanted:
                return tag.value
        return ""


class TarSpan(Struct, frozen=True, omit_defaults=True, array_like=True, gc=False):
    """Where a file's bytes lie in the tar of the receiving bucket, in bytes.

    `stretches` is non-empty only for sparse files: (offset in the expanded file, length)
    of each stretch that is stored; the stretches lie one after another from
    `data_offset`. A hard link carries the span of its target. `part_sha256` and `part_md5`
    are non-empty only for files above the part size of the store's copies: hex, one digest a
    part (spans that an earlier release left have no `part_md5`).
    """

    header_offset: int
    data_offset: int
    stored_bytes: int
    stretches: tuple[tuple[int, int], ...] = ()
    part_sha256: tuple[str, ...] = ()
    part_md5: tuple[str, ...] = ()


def object_identifier(institution: str, key: str) -> str:
    """The name the Registry knows an institution's bag by."""
    return f"{institution}/{bag_name(key)}"


def bag_name(key: str) -> str:
    """The bag's name: the key without `.tar` and without `.b01.of02` (decisions)."""
    name = key.removesuffix(".tar")
    stem, dot, last = name.rpartition(".of")
    if dot and last.isdigit():
        base, dot, number = stem.rpartition(".b")
        if dot and number.isdigit():
            return base
    return name


def tar_key(name: str) -> str:
    """The key for a bag of this file name: it ends in `.tar`, as the wire strips no `.TAR`."""
    stem = name[: -len(".tar")] if name.lower().endswith(".tar") else name
    return f"{stem}.tar"
