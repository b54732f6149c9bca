"""The Registry's view of a bag and of a file, from the working records (contract G)."""

from __future__ import annotations

from collections.abc import Iterator

from bagline.bagit.paths import BAG_INFO, BAGIT_TXT
from bagline.bagit.profiles import effective_identifier
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.recording.events import file_events
from bagline.model.bag_form import BagForm
from bagline.model.ingest import SOURCE_INGEST, IngestFile, IngestObject, StorageRecord, bag_name
from bagline.model.registry import (
    Checksum,
    GenericFile,
    IntellectualObject,
    RegistryStorageRecord,
)
from bagline.model.times import Timestamp
from bagline.services.state.base import CopyProofs
from bagline.units import raw_path

APTRUST_INFO = "aptrust-info.txt"


def intellectual_object(bag: IngestObject) -> IntellectualObject:
    """Titles, access and the rest, from the bag's tags in the order of contract G."""
    access = bag.tag(APTRUST_INFO, "Access").strip().lower()
    sender = bag.tag(BAG_INFO, "Internal-Sender-Identifier")
    return IntellectualObject(
        id=bag.id,
        identifier=bag.identifier,
        institution_id=bag.institution_id,
        bag_name=bag_name(bag.s3_key),
        access=access if access in {"consortia", "institution", "restricted"} else "institution",
        alt_identifier=sender,
        internal_sender_identifier=sender,
        internal_sender_description=bag.tag(BAG_INFO, "Internal-Sender-Description"),
        bag_group_identifier=bag.tag(BAG_INFO, "Bag-Group-Identifier"),
        bagit_profile_identifier=effective_identifier(
            bag.tag(BAG_INFO, "BagIt-Profile-Identifier")
        ),
        description=_first(
            bag.tag(APTRUST_INFO, "Description"),
            bag.tag(BAG_INFO, "Internal-Sender-Description"),
            bag.tag(BAG_INFO, "External-Description"),
        ),
        title=_first(
            bag.tag(APTRUST_INFO, "Title"),
            bag.tag(BAG_INFO, "Internal-Identifier"),
            bag.tag(BAG_INFO, "External-Identifier"),
            bag_name(bag.s3_key),
        ),
        source_organization=bag.tag(BAG_INFO, "Source-Organization"),
        etag=bag.etag,
        storage_option=bag.storage_option,
        bag_form=bag_form(bag),
    )


def bag_form(bag: IngestObject) -> BagForm:
    """What a restored bag must say of itself, and which manifests it must have."""
    usual = BagForm()
    return BagForm(
        version=bag.tag(BAGIT_TXT, "BagIt-Version").strip() or usual.version,
        encoding=bag.tag(BAGIT_TXT, "Tag-File-Character-Encoding").strip() or usual.encoding,
        manifests=tuple(dict.fromkeys(bag.manifests)),
        tag_manifests=tuple(dict.fromkeys(bag.tag_manifests)),
    )


def generic_file(
    job: IngestJob,
    file: IngestFile,
    known: IntellectualObject,
    moment: Timestamp,
    proofs: CopyProofs,
) -> GenericFile:
    """The file with the four calculated checksums, its copies and how they were proven, and its
    events. A file that was unchanged, and only got copies anew, has its checksums on record."""
    checksums = list(_checksums(file))
    return GenericFile(
        id=file.id,
        identifier=file.identifier,
        institution_id=known.institution_id,
        intellectual_object_id=known.id,
        file_format=file.file_format or "application/binary",
        file_modified=file.file_modified,
        mtime=file.mtime,
        size=file.size,
        uuid=file.uuid,
        raw_path=raw_path(file.path_in_bag),
        storage_option=known.storage_option,
        last_fixity_check=max((c.datetime for c in checksums), default=moment),
        checksums=[] if file.premis_events else checksums,
        storage_records=[_copy(record, proofs) for record in file.storage_records],
        premis_events=file_events(job, file, moment),
    )


def _copy(record: StorageRecord, proofs: CopyProofs) -> RegistryStorageRecord:
    proof = proofs.get(record.bucket)
    if proof is None or proof.at != record.verified_at:
        return RegistryStorageRecord(url=record.url)
    return RegistryStorageRecord(url=record.url, proven_by=proof.how, proven_at=proof.at)


def _checksums(file: IngestFile) -> Iterator[Checksum]:
    for checksum in file.checksums:
        if checksum.source == SOURCE_INGEST:
            yield Checksum(
                algorithm=checksum.algorithm, digest=checksum.digest, datetime=checksum.datetime
            )


def _first(*values: str) -> str:
    return next((value for value in values if value), "")
