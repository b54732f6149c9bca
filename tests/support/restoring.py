"""Restorations for tests: asked for, worked on, and what stands there read back."""

from __future__ import annotations

import io
import tarfile

from msgspec import structs

from bagline.bagit.check import CheckReport, check_bag
from bagline.bagit.profiles import load_profile
from bagline.model.workitem import (
    ACTION_RESTORE_FILE,
    ACTION_RESTORE_OBJECT,
    ACTION_THAW,
    STAGE_REQUESTED,
    STATUS_PENDING,
    WorkItem,
)
from support.bags import chunked
from support.line import LineUnderTest

RESTORERS = ("bag-restorer", "file-restorer")
TOPICS = {
    ACTION_RESTORE_FILE: "restore_file",
    ACTION_RESTORE_OBJECT: "restore_object",
    ACTION_THAW: "restore_glacier",
}


def give_restore_bucket(line: LineUnderTest) -> str:
    bucket = line.institution.receiving_bucket.replace("receiving", "restore")
    line.institution = line.services.registry.save_institution(
        structs.replace(line.institution, restore_bucket=bucket)
    )
    line.services.objects.ensure_bucket(bucket)
    return bucket


def ask(line: LineUnderTest, identifier: str, *, file: str = "", frozen: bool = False) -> WorkItem:
    """A request for the object, or for one of its files by identifier; `frozen`: to be thawed."""
    action = ACTION_RESTORE_FILE if file else ACTION_RESTORE_OBJECT
    if frozen:
        action = ACTION_THAW
    found = line.services.registry.intellectual_object(identifier)
    assert found is not None
    item = line.services.registry.save_work_item(
        WorkItem(
            action=action,
            name=f"{found.bag_name}.tar",
            institution_id=found.institution_id,
            intellectual_object_id=found.id,
            object_identifier=found.identifier,
            generic_file_identifier=file,
            stage=STAGE_REQUESTED,
            status=STATUS_PENDING,
            user="someone@test.edu",
            note="Not started",
            outcome="Not started",
        )
    )
    line.services.queue.publish(TOPICS[action], item.id)
    return item


def restored_tar(line: LineUnderTest, identifier: str) -> bytes:
    bucket = line.institution.restore_bucket
    return line.services.objects.read(bucket, f"{identifier}.tar")


def verdict(tar: bytes, name: str, profile: str = "none") -> CheckReport:
    return check_bag(chunked(tar), len(tar), load_profile(profile), bag_name=name)


def contents(tar: bytes) -> dict[str, bytes]:
    """Path in the bag → bytes, of all files."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            source = archive.extractfile(member) if member.isfile() else None
            if source is not None:
                found[member.name.partition("/")[2]] = source.read()
    return found
