"""Recording: the Registry learns of the object, its files, checksums, copies and events.

Reads: Redis. Writes: Registry, in batches that may be sent again (events and files are
known by their UUIDs), then `saved_to_registry_at` marks; the object's last.
"""

from __future__ import annotations

from collections import Counter

from bagline.errors import BrokenState
from bagline.lines.ingest.copies import Ledger
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.preserved import is_preserved, must_be_kept
from bagline.lines.ingest.recording.events import object_events
from bagline.lines.ingest.recording.registry_records import generic_file, intellectual_object
from bagline.model.ingest import IngestFile, IngestObject
from bagline.model.registry import GenericFile, IntellectualObject
from bagline.model.times import is_set
from bagline.model.workitem import (
    ACTION_INGEST,
    STAGE_REINGEST_CHECK,
    STAGE_STORE,
    STATUS_SUCCESS,
)
from bagline.services.state.base import CopyProofs
from bagline.worker.stage import Done, Halt, Outcome, Stage

PAYLOAD = "data/"
NAMED = 20
"""So many of the earlier version's files that a bag lacks are named."""
UNTOLD = "another worker, in a way it does not tell"


class Recorder(Stage[IngestJob]):
    name = "recording"

    def run(self, job: IngestJob) -> Outcome:
        bag = job.object
        job.progress.expect(files=bag.file_count)
        known = self._save_object(job, bag)
        summary = _Summary()
        for batch in job.iter_files():
            preserved = [entry.file for entry in batch if is_preserved(entry.file)]
            ledger = Ledger(job, preserved)
            for file in preserved:
                summary.add(file, ledger.of(file))
            files = [file for file in preserved if must_be_kept(file) and not _is_saved(file)]
            fault = self._save_files(job, known, files, ledger)
            if fault:
                return Halt(fault, requeue_at=STAGE_REINGEST_CHECK)
            job.progress.add(files=len(batch))
        self._save_events(job, bag, known, summary.files)
        report = summary.report(bag)
        if bag.is_reingest:
            report |= _earlier(job, known, summary.total)
        job.services.registry.save_report(job.item.id, report)
        bag.should_delete_from_receiving = True
        job.leave(object=bag)
        return Done()

    def _save_object(self, job: IngestJob, bag: IngestObject) -> IntellectualObject:
        registry = job.services.registry
        if not is_set(bag.saved_to_registry_at):
            job.services.state.check_lease(job.lease)
            known = registry.save_intellectual_object(intellectual_object(bag))
            bag.id = known.id
            bag.saved_to_registry_at = job.clock()
            job.commit(object=bag)
            return known
        found = registry.intellectual_object(bag.identifier)
        if found is None:
            raise BrokenState(f"the Registry lost object {bag.identifier!r} during its ingest")
        return found

    def _save_files(
        self, job: IngestJob, known: IntellectualObject, files: list[IngestFile], ledger: Ledger
    ) -> str | None:
        """Save a batch; returns what an operator must know, or None."""
        if not files:
            return None
        for file in files:
            if not all(is_set(record.verified_at) for record in file.storage_records):
                raise BrokenState(
                    f"a copy of {file.identifier!r} is not verified", requeue_at=STAGE_STORE
                )
        job.services.state.check_lease(job.lease)
        moment = job.clock()

        def row_of(file: IngestFile) -> GenericFile:
            return generic_file(job, file, known, moment, ledger.of(file))

        new = [row_of(file) for file in files if not file.id]
        created = job.services.registry.create_files(new) if new else []
        ids = {file.identifier: file for file in created}
        for file in files:
            if file.id:
                job.services.registry.update_file(row_of(file), recorded_urls=file.registry_urls)
            else:
                saved = ids[file.identifier]
                if saved.uuid != file.uuid:
                    return (
                        f"the Registry knows {file.identifier!r} under another UUID: another "
                        "ingest recorded it meanwhile"
                    )
                file.id = saved.id
            file.intellectual_object_id = known.id
            file.saved_to_registry_at = moment
        job.commit(files=files)
        return None

    def _save_events(
        self, job: IngestJob, bag: IngestObject, known: IntellectualObject, saved_files: int
    ) -> None:
        """Object events are made once and kept in Redis until the Registry has them."""
        if not bag.premis_events:
            # Not by `is_reingest`: an ingest that was cut off here, and began anew, finds
            # its own object in the Registry.
            stored = job.services.registry.events(object_id=known.id)
            is_first = not any(event.event_type == "creation" for event in stored)
            bag.premis_events = object_events(job, known, saved_files, is_first=is_first)
        job.commit(object=bag)
        new = [event for event in bag.premis_events if not event.id]
        if new:
            told = job.services.registry.create_events(new)
            for event, known_event in zip(new, told, strict=True):
                event.id = known_event.id


def _is_saved(file: IngestFile) -> bool:
    return is_set(file.saved_to_registry_at)


def _earlier(job: IngestJob, known: IntellectualObject, kept: int) -> dict[str, object]:
    """When the bag was ingested before, and what of that version this one lacks."""
    registry = job.services.registry
    before = registry.items_of_bag(job.item.institution_id, job.item.name, action=ACTION_INGEST)
    done = [i for i in before if i.status == STATUS_SUCCESS and i.id != job.item.id]
    now_known = registry.intellectual_object(known.identifier)
    count = max(now_known.file_count - kept, 0) if now_known else 0
    return {
        "preserved_before": done[0].date_processed if done else "",
        "lacking_files": count,
        "lacking": _lacking(job, known, min(count, NAMED)) if count else [],
    }


def _lacking(job: IngestJob, known: IntellectualObject, most: int) -> list[str]:
    """The first paths that the Registry has of the object, and this bag has not."""
    prefix = f"{known.identifier}/"
    names: list[str] = []
    for page in job.services.registry.iter_object_files(known.id):
        paths = [row.identifier.removeprefix(prefix) for row in page]
        here = job.services.state.load_files(job.item.id, job.object.identifier, paths, spans=False)
        names += [path for path in paths if path not in here]
        if len(names) >= most:
            break
        job.progress.moved()
    return names[:most]


class _Summary:
    """What the end of an ingest tells a person."""

    def __init__(self) -> None:
        self.files = 0
        self.bytes = 0
        self.unchanged = 0
        self.changed = 0
        self.payload = 0
        self.stored_anew = 0
        self.formats: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        self.proven: Counter[str] = Counter()
        self.matched: Counter[str] = Counter()

    def add(self, file: IngestFile, proofs: CopyProofs) -> None:
        if file.needs_save and not file.premis_events:
            self.files += 1
            self.bytes += file.size
            self.changed += file.is_reingest
            self.payload += file.path_in_bag.startswith(PAYLOAD)
        else:
            self.unchanged += 1
            self.stored_anew += len(file.premis_events)
        self.formats[file.file_format] += 1
        for record in file.storage_records:
            self.copies[f"{record.provider} {record.bucket}"] += 1
            proof = proofs.get(record.bucket)
            is_ours = proof is not None and proof.at == record.verified_at
            self.proven[proof.how if proof and is_ours else UNTOLD] += 1
        for checksum in file.checksums:
            if checksum.source != "ingest":
                self.matched[f"{checksum.source} {checksum.algorithm}"] += 1

    @property
    def total(self) -> int:
        """Files of this bag that are preserved."""
        return self.files + self.unchanged

    def report(self, bag: IngestObject) -> dict[str, object]:
        """JSON-able: counts by format, bucket, manifest, and way of proof. `files` and `bytes`
        are what came new or changed (`changed_files`, `payload_files`: of these); `stored_anew`
        counts copies of unchanged files. `bag_files`: those that are made anew at a restoration
        too."""
        return {
            "object": bag.identifier,
            "object_id": bag.id,
            "storage_option": bag.storage_option,
            "is_reingest": bag.is_reingest,
            "files": self.files,
            "bytes": self.bytes,
            "changed_files": self.changed,
            "payload_files": self.payload,
            "bag_files": bag.file_count,
            "unchanged_files": self.unchanged,
            "copies_stored_anew": self.stored_anew,
            "formats": dict(self.formats.most_common()),
            "copies": dict(self.copies),
            "digests_matched": dict(self.matched),
            "copies_verified": dict(self.proven),
        }
