"""Two administrators, and what they agree to delete."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bagline.lines.deletion.deletion_job import DeletionJob
from bagline.model.deletion import DeletionPolicy, DeletionRequest, NewDeletion
from bagline.model.named_uuids import named_uuid
from bagline.model.registry import (
    Checksum,
    GenericFile,
    IntellectualObject,
    RegistryStorageRecord,
)
from bagline.model.subject import item_subject
from bagline.model.times import now
from bagline.model.workitem import WorkItem
from bagline.services.objects.base import Body, Objects, Target
from bagline.services.registry.database import Database
from bagline.services.registry.deletion_requests import DeletionRequests
from bagline.services.registry.users import INST_ADMIN, ApiUser
from bagline.wiring import build_users, open_database
from bagline.worker.progress import Progress
from support.line import LineUnderTest

ASKER, APPROVER = "ann@test.edu", "bob@test.edu"
BYTES = b"abc"
SHA256 = hashlib.sha256(BYTES).hexdigest()
REASON = "The depositor has withdrawn it, ticket 12"


@dataclass
class Consent:
    """The people of a line's institution."""

    line: LineUnderTest
    policy: DeletionPolicy = DeletionPolicy()  # noqa: RUF009 (never changed)
    database: Database = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.database is None:
            self.database = open_database(self.line.settings)
        for email in (ASKER, APPROVER):
            build_users(self.database).add(email, INST_ADMIN, self.line.institution.id)

    @property
    def requests(self) -> DeletionRequests:
        return DeletionRequests(self.database, self.policy)

    def user(self, email: str) -> ApiUser:
        return next(user for user in build_users(self.database).all() if user.email == email)

    def ask(self, *, objects: Sequence[str] = (), files: Sequence[str] = ()) -> DeletionRequest:
        wanted = NewDeletion(reason=REASON, objects=list(objects), files=list(files))
        return self.requests.ask(self.user(ASKER), wanted)

    def approve(self, request: DeletionRequest) -> list[WorkItem]:
        who = self.user(APPROVER)
        token = self.requests.review(who, request.id).token
        return self.requests.approve(who, request.id, token)[1]

    def agreed(self, *, objects: Sequence[str] = (), files: Sequence[str] = ()) -> list[WorkItem]:
        """Items of what both agreed to, published."""
        items = self.approve(self.ask(objects=objects, files=files))
        for item in items:
            self.line.services.queue.publish("delete_item", item.id)
        return items

    def close(self) -> None:
        self.database.close()


def preserve(line: LineUnderTest, name: str, files: int) -> IntellectualObject:
    """An object with small files, each in both buckets, as an ingest would leave it."""
    registry, option = line.services.registry, line.settings.storage_option("Standard")
    made = registry.save_intellectual_object(
        IntellectualObject(
            identifier=f"test.edu/{name}",
            bag_name=name,
            institution_id=line.institution.id,
            title="A bag",
            etag="e" * 32,
        )
    )
    uuids = [named_uuid(name, number) for number in range(files)]
    registry.create_files(
        [
            GenericFile(
                identifier=f"{made.identifier}/data/{number}",
                institution_id=made.institution_id,
                intellectual_object_id=made.id,
                uuid=uuid,
                size=3,
                checksums=[Checksum(algorithm="sha256", digest=SHA256, datetime=now())],
                storage_records=[
                    RegistryStorageRecord(url=target.url(uuid)) for target in option.targets
                ],
            )
            for number, uuid in enumerate(uuids)
        ]
    )
    for target in option.targets:
        bodies = [Body(Target(target.bucket, uuid), BYTES) for uuid in uuids]
        line.services.objects.put_many(bodies)
    return made


def files_of(line: LineUnderTest, kept: IntellectualObject) -> list[GenericFile]:
    registry = line.services.registry
    return [f for some in registry.iter_object_files(kept.id, with_deleted=True) for f in some]


def assert_true(line: LineUnderTest, kept: IntellectualObject, item: WorkItem) -> None:
    """What says active has all its copies, or is listed as doomed; what says deleted has none."""
    book = line.services.registry.deletions
    assert book is not None
    doomed = {file.generic_file_id for file in book.doomed(item.id)}
    standing = {bucket: set(line.keys(bucket)) for bucket in line.preservation_buckets()}
    for file in files_of(line, kept):
        there = [file.uuid in keys for keys in standing.values()]
        if file.state == "D":
            assert not any(there), file.identifier
            assert file.storage_records == []
        elif file.id not in doomed:
            assert all(there), file.identifier
            assert len(file.storage_records) == len(there)


@contextmanager
def deletion_job(
    line: LineUnderTest, item: WorkItem, objects: Objects | None = None
) -> Iterator[DeletionJob]:
    """Of an item that has begun. Its lease is gone afterwards, as a dead worker's is after a
    while."""
    services = line.services if objects is None else replace(line.services, objects=objects)
    lease = services.state.take_lease(item_subject(item.id), owner="test", seconds=60)
    assert lease is not None
    try:
        yield DeletionJob(
            record=item,
            lease=lease,
            services=services,
            settings=line.settings,
            progress=Progress("deletion"),
        )
    finally:
        services.state.drop_lease(lease)
