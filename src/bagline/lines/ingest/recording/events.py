"""PREMIS events of an ingest (the tables of contract G).

Each event's UUID follows from the item and what the event is about, so sending it again
adds nothing.
"""

from __future__ import annotations

from msgspec import structs

from bagline.lines.ingest.job import IngestJob
from bagline.model.event_wording import OLDER, Tool, Wording, own_wording
from bagline.model.ingest import (
    SOURCE_INGEST,
    SOURCE_MANIFEST,
    IngestChecksum,
    IngestFile,
)
from bagline.model.named_uuids import named_uuid
from bagline.model.premis import PremisEvent
from bagline.model.registry import IntellectualObject
from bagline.model.times import Timestamp


def wording_of(job: IngestJob) -> Wording:
    """The wording that the settings ask for."""
    return OLDER if job.settings.work.older_event_wording else own_wording()


def object_events(
    job: IngestJob, known: IntellectualObject, stored_files: int, *, is_first: bool
) -> list[PremisEvent]:
    """Creation and identifier (first ingest only), ingestion, access. `stored_files`: those that
    came new or changed."""
    make, words = _ObjectMaker(job, known), wording_of(job)
    files = job.object.file_count if words.counts_all else stored_files
    first = [
        make.event(
            "creation",
            "Object created",
            words.intake,
            "Intellectual object created",
            "Object created, files copied to preservation storage",
        ),
        make.event(
            "identifier assignment",
            f"Assigned object identifier {known.identifier}",
            words.intake,
            known.identifier,
            "Institution domain + tar file name",
        ),
    ]
    always = [
        make.event(
            "ingestion",
            words.copied,
            words.copier,
            f"{files} files copied",
            words.how,
        ),
        make.event(
            "access assignment",
            "Assigned object access rights",
            words.intake,
            known.access,
            f"Set access to {known.access}",
        ),
    ]
    return first + always if is_first else always


def file_events(job: IngestJob, file: IngestFile, moment: Timestamp) -> list[PremisEvent]:
    """Fixity checks, digests, ingestion, replication, identifiers; in that order. Of a file that
    came unchanged, and whose copies were not sound: fixity checks, and each copy stored anew."""
    made, words = _Maker(job, file), wording_of(job)
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
            words.file_copier,
            f"md5:{file.calculated('md5')}",
            words.file_how,
        )
    )
    for record in stored[1:2]:
        events.append(
            made.event(
                "replication",
                record.stored_at,
                "Copied to replication storage and assigned replication URL identifier",
                words.url_names,
                record.url,
                "Replicated to secondary storage",
            )
        )
    if not file.is_reingest:
        events.append(
            made.event(
                "identifier assignment",
                moment,
                "Assigned new institution.bag/path identifier",
                words.path_names,
                file.identifier,
                "Assigned bag/filepath identifier",
                about="path",
            )
        )
        events.append(
            made.event(
                "identifier assignment",
                moment,
                "Assigned new storage URL identifier",
                words.url_names,
                stored[0].url,
                "Assigned url identifier",
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

    def __init__(self, job: IngestJob, known: IntellectualObject) -> None:
        self._item_id = job.item.id
        self._known = known
        self._moment = job.clock()

    def event(
        self, kind: str, detail: str, tool: Tool, outcome: str, information: str
    ) -> PremisEvent:
        known = self._known
        return PremisEvent(
            identifier=named_uuid("object event", self._item_id, known.identifier, kind),
            event_type=kind,
            date_time=self._moment,
            detail=detail,
            object=tool.object,
            outcome_detail=outcome,
            outcome_information=information,
            agent=tool.agent,
            institution_id=known.institution_id,
            intellectual_object_id=known.id,
            intellectual_object_identifier=known.identifier,
        )


class _Maker:
    """Makes the events of one file."""

    def __init__(self, job: IngestJob, file: IngestFile) -> None:
        self._item_id = job.item.id
        self._file = file
        self._words = wording_of(job)

    def event(
        self,
        kind: str,
        moment: Timestamp,
        detail: str,
        tool: Tool,
        outcome: str,
        information: str,
        *,
        about: str = "",
    ) -> PremisEvent:
        return PremisEvent(
            identifier=named_uuid("file event", self._item_id, self._file.uuid, kind, about),
            event_type=kind,
            date_time=moment,
            detail=detail,
            object=tool.object,
            outcome_detail=outcome,
            outcome_information=information,
            agent=tool.agent,
            institution_id=self._file.institution_id,
            intellectual_object_id=self._file.intellectual_object_id,
            generic_file_identifier=self._file.identifier,
        )

    def digest_event(self, checksum: IngestChecksum, kind: str) -> PremisEvent:
        is_check = kind == "fixity check"
        # The older system names no other two packages.
        named = "sha256" if checksum.algorithm == "sha256" else "md5"
        return self.event(
            kind,
            checksum.datetime,
            "Fixity check against registered hash" if is_check else "Calculated fixity value",
            self._words.digest_tool(named if self._words is OLDER else checksum.algorithm),
            f"{checksum.algorithm}:{checksum.digest}",
            "Fixity matches" if is_check else "Calculated fixity value",
            about=checksum.algorithm,
        )
