"""Records for a Registry, as tests need them."""

from __future__ import annotations

from bagline.model.premis import PremisEvent
from bagline.model.registry import (
    Checksum,
    GenericFile,
    Institution,
    IntellectualObject,
    RegistryStorageRecord,
)
from bagline.model.times import Timestamp
from bagline.model.workitem import WorkItem
from bagline.services.registry.base import Registry
from support.registry import ADMIN

MOMENT = Timestamp("2026-01-02T03:04:05.123456Z")


def save_institution(registry: Registry) -> Institution:
    return registry.save_institution(
        Institution(identifier="test.edu", name="Test", receiving_bucket="receiving.test.edu")
    )


def save_object(registry: Registry, institution: Institution) -> IntellectualObject:
    return registry.save_intellectual_object(
        IntellectualObject(
            identifier="test.edu/bag",
            institution_id=institution.id,
            title="A bag",
            access="consortia",
        )
    )


def an_item(institution: Institution, name: str = "b.tar", **other: object) -> WorkItem:
    given = {
        "name": name,
        "etag": "e" * 32,
        "bucket": "receiving.test.edu",
        "institution_id": institution.id,
        "user": ADMIN,
        "bag_date": MOMENT,
        "date_processed": MOMENT,
    }
    return WorkItem(**(given | other))  # type: ignore[arg-type]


def an_event(number: int, event_type: str = "ingestion", **other: object) -> PremisEvent:
    given = {
        "identifier": f"22222222-0000-5000-8000-{number:012d}",
        "event_type": event_type,
        "date_time": MOMENT,
        "agent": "https://bagline.example",
        "detail": "Done",
        "object": "Bagline",
        "outcome_detail": "md5:" + "d" * 32,
        "outcome_information": "As it should be",
    }
    return PremisEvent(**(given | other))  # type: ignore[arg-type]


def a_file(kept: IntellectualObject, path: str, *, size: int = 5) -> GenericFile:
    number = sum(path.encode())
    return GenericFile(
        identifier=f"{kept.identifier}/{path}",
        institution_id=kept.institution_id,
        intellectual_object_id=kept.id,
        file_format="text/plain",
        size=size,
        uuid=f"00000000-0000-5000-8000-{number:012d}",
        checksums=[Checksum(algorithm="md5", digest="d" * 32, datetime=MOMENT)],
        storage_records=[RegistryStorageRecord(url=f"https://s3.example/{path}")],
        premis_events=[
            an_event(0, identifier=f"11111111-0000-5000-8000-{number:012d}"),
        ],
    )
