"""What the Registry keeps: institutions, objects, files, checksums, copies (contract D)."""

from __future__ import annotations

import re

from msgspec import Struct

from bagline.model.bag_form import BagForm
from bagline.model.premis import PremisEvent
from bagline.model.times import NEVER, Timestamp
from bagline.model.wire import kept, kept_list
from bagline.units import path_from_raw

STATE_ACTIVE = "A"
STATE_DELETED = "D"
INSTITUTION_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]|\.(?!\.)){0,38}[a-z0-9]")
"""It becomes part of bucket names, and of every identifier of the institution's objects."""


class Institution(Struct, kw_only=True, omit_defaults=True):
    """A depositor: where its bags arrive and where restored ones go."""

    id: int = 0
    identifier: str = kept("")
    name: str = kept("")
    state: str = kept(STATE_ACTIVE)
    type: str = kept("MemberInstitution")
    receiving_bucket: str = kept("")
    restore_bucket: str = kept("")
    otp_enabled: bool = kept(False)
    created_at: Timestamp = kept(NEVER)
    updated_at: Timestamp = kept(NEVER)


class IntellectualObject(Struct, kw_only=True, omit_defaults=True):
    """A preserved bag. Counts and sizes (bytes) are computed by the Registry.

    `bag_form` is Bagline's own: how its newest bag came in; None where nobody said, and in lists.
    """

    access: str = kept("institution")
    alt_identifier: str = kept("")
    bag_group_identifier: str = kept("")
    bagit_profile_identifier: str = kept("")
    bag_name: str = kept("")
    created_at: Timestamp = kept(NEVER)
    description: str = kept("")
    etag: str = kept("")
    file_count: int = kept(0)
    size: int = kept(0)
    id: int = kept(0)
    identifier: str = kept("")
    internal_sender_description: str = kept("")
    internal_sender_identifier: str = kept("")
    institution_identifier: str = kept("")
    institution_id: int = kept(0)
    payload_file_count: int = kept(0)
    payload_size: int = kept(0)
    source_organization: str = kept("")
    state: str = kept(STATE_ACTIVE)
    storage_option: str = kept("Standard")
    title: str = kept("")
    updated_at: Timestamp = kept(NEVER)
    bag_form: BagForm | None = None


class Checksum(Struct, kw_only=True, omit_defaults=True):
    """A digest of a preserved file, lower-case hex."""

    id: int = 0
    algorithm: str = kept("")
    digest: str = kept("")
    datetime: Timestamp = kept(NEVER)
    generic_file_id: int = kept(0)
    created_at: Timestamp = kept(NEVER)
    updated_at: Timestamp = kept(NEVER)


class RegistryStorageRecord(Struct, kw_only=True, omit_defaults=True):
    """Where one copy of a preserved file is, and by what it was last known to be sound.

    `proven_by` (a `ProofMethod`) and `proven_at` are Bagline's own: "" where nobody proved it,
    or another's worker did, in a way it does not tell.
    """

    generic_file_id: int = kept(0)
    id: int = 0
    url: str = kept("")
    proven_by: str = ""
    proven_at: Timestamp = NEVER


class GenericFile(Struct, kw_only=True, omit_defaults=True):
    """A preserved file. `size` in bytes; `uuid` is its key in preservation buckets.

    `raw_path` is Bagline's own (`units.raw_path`): the path in the bag, where the identifier does
    not say it byte for byte; "" where it does, or nobody said.
    """

    checksums: list[Checksum] = kept_list()
    created_at: Timestamp = kept(NEVER)
    file_format: str = kept("")
    file_modified: Timestamp = kept(NEVER)
    id: int = kept(0)
    identifier: str = kept("")
    institution_id: int = kept(0)
    intellectual_object_id: int = kept(0)
    last_fixity_check: Timestamp = kept(NEVER)
    mtime: Timestamp = kept(NEVER)
    premis_events: list[PremisEvent] = kept_list()
    size: int = kept(0)
    state: str = kept(STATE_ACTIVE)
    storage_option: str = kept("Standard")
    storage_records: list[RegistryStorageRecord] = kept_list()
    updated_at: Timestamp = kept(NEVER)
    uuid: str = kept("")
    raw_path: str = ""

    def path_in(self, object: IntellectualObject) -> str:
        """The path in the object's bag; bytes that are not UTF-8 are lone surrogates in it."""
        if self.raw_path:
            return path_from_raw(self.raw_path)
        return self.identifier.removeprefix(f"{object.identifier}/")

    def newest_digest(self, algorithm: str) -> str:
        """The newest digest of that algorithm; "" if there is none."""
        newest = max(
            (c for c in self.checksums if c.algorithm == algorithm),
            key=lambda c: (c.datetime, c.id),
            default=None,
        )
        return newest.digest if newest else ""
