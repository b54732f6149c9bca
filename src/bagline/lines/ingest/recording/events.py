"""PREMIS events of an ingest (the tables of contract G).

Wording is the wire's: other tools read it. Each event's UUID follows from the item and
what the event is about, so sending it again adds nothing.
"""

from __future__ import annotations

from msgspec import structs

from bagline.model.ingest import (
    SOURCE_INGEST,
    SOURCE_MANIFEST,
    IngestChecksum,
    IngestFile,
)
from bagline.model.premis import PremisEvent
from bagline.model.registry import IntellectualObject
from bagline.model.times import Timestamp
from bagline.worker.stage import Job
from bagline.lines.ingest.preserved import named_uuid

LINE = "https://github.com/APTrust/preservation-services"
S3_CLIENT = "https://github.com/minio/minio-go v7"
UUID_LIBRARY = "http://github.com/google/uuid"


def object_events(
    job: Job, known: IntellectualObject, files: int, *, is_first: bool
) -> list[PremisEvent]:
    """Creation and identifier (first ingest only), ingestion, access."""
    make = _ObjectMaker(job, known)
    first = [
        make.event(
            "creation",
            "Object created",
            "APTrust preservation services",
            "Intellectual object created",
            "Object created, files copied to preservation storage",
            LINE,
        ),
        make.event(
            "identifier assignment",
            f"Assigned object identifier {known.identifier}",
            "APTrust preservation services",
            known.identifier,
            "Institution domain + tar file name",
            LINE,
        ),
    ]
    always = [
        make.event(
            "ingestion",
            "Copied files to perservation storage",
            "Minio S3 client",
            f"{files} files copied",
            "Multipart put using s3 etags",
            S3_CLIENT,
        ),
        make.event(
            "access assignment",
            "Assigned object access rights",
            "APTrust preservation services",
            known.access,
            f"Set access to {known.access}",
            LINE,
        ),
    ]
    return first + always if is_first else always


def file_events(job: Job, file: IngestFile, moment: Timestamp) -> list[PremisEvent]:
    """Fixity checks, digests, ingestion, replication, identifiers; in that order. Of a file that
    came unchanged, and whose copies were not sound: fixity checks, and each copy stored anew."""
    made = _Maker(job, file)
    events = [made.digest_event(c, "fixity check") for c in _of(file, SOURCE_MANIFEST)]
    if file.premis_events:
        return events + [_dated(event, file) for event in file.premis_events]
    events += [made.digest_event(c, "message digest calculation") for c in _of(file, SOURCE_INGEST)]
    stored = sorted(file.storage_records, key=lambda r: r.stored_at)
    events.append(
        made.event(
            "ingestion",
            stored[0].stored_at,
            f"Completed copy to preservation storage ({file.uuid})",
            "preservation-services + Minio S3 client",
            f"md5:{file.calculated('md5')}",
            "Put using md5 checksum",
            S3_CLIENT,
        )
    )
    for record in stored[1:2]:
        events.append(
            made.event(
                "replication",
                record.stored_at,
                "Copied to replication storage and assigned replication URL identifier",
                "Go uuid library + Minio S3 library",
                record.url,
                "Replicated to secondary storage",
                UUID_LIBRARY,
            )
        )
    if not file.is_reingest:
        events.append(
            made.event(
                "identifier assignment",
                moment,
                "Assigned new institution.bag/path identifier",
                "APTrust exchange/ingest processor",
                file.identifier,
                "Assigned bag/filepath identifier",
                LINE,
                about="path",
            )
        )
        events.append(
            made.event(
                "identifier assignment",
                moment,
                "Assigned new storage URL identifier",
                "Go uuid library + Minio S3 library",
                stored[0].url,
                "Assigned url identifier",
                UUID_LIBRARY,
                about="url",
            )
        )
    return events


def _dated(event: PremisEvent, file: IngestFile) -> PremisEvent:
    """The event of a copy stored anew, with the time at which that was done."""
    stored = (r.stored_at for r in file.storage_records if r.url == event.outcome_detail)
    return structs.replace(event, date_time=next(stored, event.date_time))


def _of(file: IngestFile, source: str) -> list[IngestChecksum]:
    return [checksum for checksum in file.checksums if checksum.source == source]


class _ObjectMaker:
    """Makes the events of one object, all of one moment."""

    def __init__(self, job: Job, known: IntellectualObject) -> None:
        self._item_id = job.item.id
        self._known = known
        self._moment = job.clock()

    def event(
        self, kind: str, detail: str, object: str, outcome: str, information: str, agent: str
    ) -> PremisEvent:
        known = self._known
        return PremisEvent(
            identifier=named_uuid("object event", self._item_id, known.identifier, kind),
            event_type=kind,
            date_time=self._moment,
            detail=detail,
            object=object,
            outcome_detail=outcome,
            outcome_information=information,
            agent=agent,
            institution_id=known.institution_id,
            intellectual_object_id=known.id,
            intellectual_object_identifier=known.identifier,
        )


class _Maker:
    """Makes the events of one file."""

    def __init__(self, job: Job, file: IngestFile) -> None:
        self._item_id = job.item.id
        self._file = file

    def event(
        self,
        kind: str,
        moment: Timestamp,
        detail: str,
        object: str,
        outcome: str,
        information: str,
        agent: str,
        *,
        about: str = "",
    ) -> PremisEvent:
        return PremisEvent(
            identifier=named_uuid("file event", self._item_id, self._file.uuid, kind, about),
            event_type=kind,
            date_time=moment,
            detail=detail,
            object=object,
            outcome_detail=outcome,
            outcome_information=information,
            agent=agent,
            institution_id=self._file.institution_id,
            intellectual_object_id=self._file.intellectual_object_id,
            generic_file_identifier=self._file.identifier,
        )

    def digest_event(self, checksum: IngestChecksum, kind: str) -> PremisEvent:
        is_check = kind == "fixity check"
        package = "sha256" if checksum.algorithm == "sha256" else "md5"
        return self.event(
            kind,
            checksum.datetime,
            "Fixity check against registered hash" if is_check else "Calculated fixity value",
            f"Go language crypto/{package}",
            f"{checksum.algorithm}:{checksum.digest}",
            "Fixity matches" if is_check else "Calculated fixity value",
            f"http://golang.org/pkg/crypto/{package}/",
            about=checksum.algorithm,
        )
