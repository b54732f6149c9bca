"""Reingest check: what the Registry already knows of this bag (contract G), and whether it is so.

A row in the Registry is no copy. Of each file that the bag brings unchanged every recorded
copy is asked for; what is missing or holds other bytes is stored anew from this bag, with an
event that says so.

Reads: file records; the Registry's object and files; preservation objects. Writes: UUIDs,
ids, what must be saved; a StorageRecord for each copy that was proven.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from bagline.errors import Gone, Misconfigured, ProofFailed, ServiceFault, Unreadable
from bagline.lines.ingest.copies import (
    Copy,
    Ledger,
    copies_of,
    is_proven,
    prove,
    raise_unreadable,
    record_of,
    stored_anew_event,
    unknown_copies,
)
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.preserved import is_preserved
from bagline.lines.ingest.registered import with_rows
from bagline.model.ingest import IngestFile, IngestObject
from bagline.model.registry import STATE_ACTIVE, STATE_DELETED, GenericFile, IntellectualObject
from bagline.model.workitem import STAGE_REINGEST_CHECK
from bagline.problems import shown
from bagline.services.objects.base import Proof
from bagline.services.state.base import FileEntry
from bagline.worker.stage import Done, Halt, Outcome, Stage

COMPARED = ("sha512", "sha256", "md5")
"""The first of these that the Registry has decides whether a file changed."""
SHOWN = 5
"""Of many faults of a kind, so many stand in the note."""


class ReingestManager(Stage[IngestJob]):
    name = "reingest check"
    begins_anew = True

    def run(self, job: IngestJob) -> Outcome:
        known = job.services.registry.intellectual_object(job.object.identifier)
        if known is not None:
            self._mark_object(job.object, known)
        # From here on bytes move: what has no place to go to must not set out.
        lacking = _no_room_for(job, job.object.storage_option)
        if known is None or lacking:
            return lacking or Done()
        if job.is_rerun:  # whoever asks again wants to know what the copies hold now
            job.services.state.forget_proofs(job.lease)
            job.begun_anew()
        job.progress.expect(files=job.object.file_count, bytes=job.object.size)
        strange: list[str] = []
        options = {job.object.storage_option}
        # What was deleted comes back under a key of its own: no deleter that was held up can
        # reach it. Another's Registry wants the key that it knows (contract J3).
        keeps_keys = job.services.registry.deletions is None
        for batch, stored in with_rows(job, known.id):
            changed = [
                entry
                for entry in batch
                if self._mark(entry.file, stored, known, keeps_keys=keeps_keys)
            ]
            strange += [u for e in changed for u in unknown_copies(job.settings, e.file)]
            for option in {entry.file.storage_option for entry in changed} - options:
                lacking = lacking or _no_room_for(job, option)
                options.add(option)
            if not strange and not lacking:
                self._ask_copies(job, changed)
            job.progress.add(files=len(batch), bytes=sum(e.file.size for e in batch))
        if lacking or strange:
            return lacking or _no_such_place(strange)
        job.commit(object=job.object)
        return Done()

    def _mark_object(self, bag: IngestObject, known: IntellectualObject) -> None:
        bag.id = known.id
        bag.is_reingest = True
        if known.state == STATE_ACTIVE:
            bag.storage_option = known.storage_option

    def _mark(
        self,
        file: IngestFile,
        stored: Mapping[str, GenericFile],
        known: IntellectualObject,
        *,
        keeps_keys: bool,
    ) -> bool:
        """What the Registry knows of the file, written into its record; False for nothing."""
        before = stored.get(file.identifier)
        if before is not None:
            self._mark_file(file, before, known, keeps_keys=keeps_keys)
            return True
        if known.state == STATE_ACTIVE:
            file.storage_option = known.storage_option
            return True
        return False

    def _mark_file(
        self,
        file: IngestFile,
        before: GenericFile,
        known: IntellectualObject,
        *,
        keeps_keys: bool,
    ) -> None:
        file.id = before.id
        file.intellectual_object_id = known.id
        if before.state == STATE_ACTIVE or keeps_keys:
            file.uuid = before.uuid
        file.is_reingest = True
        file.registry_urls = [copy.url for copy in before.storage_records]
        if before.state == STATE_ACTIVE:
            file.storage_option = before.storage_option
        file.premis_events = []
        file.needs_save = before.state == STATE_DELETED or _is_changed(file, before)

    def _ask_copies(self, job: IngestJob, entries: Sequence[FileEntry]) -> None:
        """Save the records, of unchanged files with what their copies were found to be."""
        unchanged = [e for e in entries if not e.file.needs_save and is_preserved(e.file)]
        ledger = Ledger(job, [entry.file for entry in unchanged])
        waiting = [copy for entry in unchanged for copy in _unproven(job, entry, ledger)]
        answered = prove(job, waiting)
        moment = job.clock()
        for copy, answer in answered:
            if isinstance(answer, Proof):
                ledger.enter(copy, answer, moment)
            elif not isinstance(answer, Unreadable):
                _store_anew(job, copy, answer)
        job.commit(files=[entry.file for entry in entries], proofs=ledger.changed)
        raise_unreadable(answered)


def _unproven(job: IngestJob, entry: FileEntry, ledger: Ledger) -> list[Copy]:
    """The file's copies that no attempt before this one proved; its record is left with the
    proven ones alone."""
    file = entry.file
    copies = copies_of(job.settings, entry)
    proven = [copy for copy in copies if is_proven(copy, ledger.of(file))]
    records = [record_of(copy) for copy in proven]
    file.storage_records = [record for record in records if record is not None]
    return [copy for copy in copies if copy not in proven]


def _store_anew(job: IngestJob, copy: Copy, answer: Gone | ProofFailed) -> None:
    """The uploader puts what has no StorageRecord, under the same UUID; the recorder sends the
    event along once that is done."""
    copy.file.needs_save = True
    copy.file.premis_events.append(stored_anew_event(job, copy, str(answer)))


def _is_changed(file: IngestFile, before: GenericFile) -> bool:
    for algorithm in COMPARED:
        digest = before.newest_digest(algorithm)
        if digest:
            return digest != file.calculated(algorithm)
    return True


def _no_room_for(job: IngestJob, option: str) -> Halt | None:
    """The option in force, where this installation has no bucket for it: its fault, not the
    bag's. A store that does not tell of its buckets is believed to have them."""
    try:
        targets = job.settings.storage_option(option).targets
    except Misconfigured:
        targets = ()
    missing = []
    for target in targets:
        with suppress(ServiceFault):
            if not job.services.store_of(target).has_bucket(target.bucket):
                missing.append(f"{target.bucket} at {target.provider}, region {target.region}")
    if targets and not missing:
        return None
    remedy = "add the option to [[storage_options]]"
    if missing:
        remedy = f"make the bucket {', and the bucket '.join(missing)}"
    return Halt(
        f"this installation has no bucket for the storage option {shown(option)!r}, which the bag "
        f"is to be kept under: {remedy}, then requeue",
        requeue_at=STAGE_REINGEST_CHECK,
    )


def _no_such_place(urls: Sequence[str]) -> Halt:
    shown = ", ".join(urls[:SHOWN]) + (", …" if len(urls) > SHOWN else "")
    return Halt(
        f"the Registry has {len(urls)} copies of this object's files on record in places that are "
        f"no bucket of this installation: {shown}. Add their buckets to [[storage_options]], or "
        "mend the records; until then nothing of the bag is stored and its tar stays",
        requeue_at=STAGE_REINGEST_CHECK,
    )
