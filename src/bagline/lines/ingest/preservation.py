"""Preservation: every file that must be saved goes from staging to each bucket of its option.

Small files are read once and put into every store. Of large ones the store makes copies inside a
provider, also between its regions, and proves them; between providers the bytes are streamed with
their checksum in the request, a few files at once. Bag plumbing
(bagit.txt, fetch.txt, manifests) stays behind (contract G).

Reads: staging objects, file records. Writes: preservation objects keyed by UUID, a
StorageRecord for each copy, after its proof; of a copy that only reading back could prove, the
proof as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from bagline.errors import BaglineError, Gone
from bagline.lines.ingest.copies import (
    Copy,
    Ledger,
    copies_of,
    is_stored,
    record_of,
    stored_at,
    targets_of,
)
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.preserved import must_be_kept
from bagline.lines.ingest.stored_file import part_name, staged
from bagline.model.ingest import IngestFile, StorageRecord
from bagline.model.times import Timestamp, is_set
from bagline.model.workitem import STAGE_RECEIVE
from bagline.services.objects.base import Objects, Proof, ProofMethod, RangeCopy, Relay
from bagline.services.state.base import FileEntry
from bagline.worker.stage import Done, Halt, Later, Outcome, Stage

FILES_IN_HAND = 48
"""Small files that are read and put at once."""
REPAIR_SECONDS = 60.0
"""It is looked at again after so long."""


class PreservationUploader(Stage[IngestJob]):
    name = "preservation"

    def run(self, job: IngestJob) -> Outcome:
        bag = job.object
        if waits := _wait_for_repair(job):
            return waits
        job.progress.expect(files=bag.file_count, bytes=bag.size)
        for batch in job.iter_files():
            kept = (entry for entry in batch if must_be_kept(entry.file))
            wanted = [one for entry in kept for one in _missing(job, entry)]
            waiting = {one.file.uuid for one in wanted}
            _add_done(job, [entry.file for entry in batch if entry.file.uuid not in waiting])
            try:
                self._store(job, wanted)
            except Gone as fault:
                return Halt(f"a staged file is gone ({fault})", requeue_at=STAGE_RECEIVE)
        return Done()

    def _store(self, job: IngestJob, wanted: Sequence[Copy]) -> None:
        """Copy, prove, record; each file by the way that moves fewest bytes."""
        threshold = job.settings.work.copy_from_bytes
        ledger = Ledger(job, list({one.file.uuid: one.file for one in wanted}.values()))
        self._relay_small(job, ledger, [one for one in wanted if one.file.size < threshold])
        by_store: dict[Objects, list[Copy]] = defaultdict(list)
        for one in wanted:
            if one.file.size >= threshold:
                by_store[job.services.store_of(one.target)].append(one)
        for store, large in by_store.items():
            self._copy_large(job, ledger, store, large)

    def _relay_small(self, job: IngestJob, ledger: Ledger, small: Sequence[Copy]) -> None:
        """Each staged body is read once and put for all its targets, in whatever store they are;
        many files at once."""
        by_file: dict[str, list[Copy]] = defaultdict(list)
        for one in small:
            by_file[one.file.uuid].append(one)
        work = job.settings.work
        done = job.services.objects.relay_many(
            [self._relay(job, group) for group in by_file.values()],
            windows=FILES_IN_HAND,
            puts_in_flight=work.puts_in_flight,
            budget=job.bytes_in_flight,
        )
        groups, stored = iter(by_file.values()), list[tuple[Copy, Proof]]()
        try:
            with closing(done):
                for proofs in done:
                    stored += zip(next(groups), proofs, strict=True)
        except BaglineError:  # one store failed; what all have of the files before it is kept
            self._record(job, ledger, stored)
            raise
        self._record(job, ledger, stored)

    def _relay(self, job: IngestJob, group: Sequence[Copy]) -> Relay:
        source = staged(job, group[0].file)
        return Relay(
            source_bucket=source.bucket,
            source_key=source.key,
            etag="",
            start=0,
            length=source.file.size,
            parts=[
                stored_at(job, one).relayed(store=job.services.store_of(one.target))
                for one in group
            ],
        )

    def _copy_large(
        self, job: IngestJob, ledger: Ledger, store: Objects, large: Sequence[Copy]
    ) -> None:
        """The store copies by itself from staging; another provider's gets the bytes from here."""
        staging = job.services.objects
        wanted = {(one.target.bucket, one.file.uuid): one for one in large}
        done = store.copy_many(
            [self._copy(job, one) for one in large],
            source=None if store is staging else staging,
            in_flight=job.settings.work.copies_in_flight,
        )
        for proof in done:
            self._record(job, ledger, [(wanted[proof.bucket, proof.key], proof)])

    def _copy(self, job: IngestJob, one: Copy) -> RangeCopy:
        source = staged(job, one.file)
        copies = len(targets_of(job.settings, one.file))
        stored = replace(stored_at(job, one), copies=copies)
        return stored.copied_from(source.bucket, source.key)

    def _record(self, job: IngestJob, ledger: Ledger, stored: Sequence[tuple[Copy, Proof]]) -> None:
        """What was read back after it was stored is verified with that, and not read again."""
        if not stored:
            return
        moment = job.clock()
        for copy, proof in stored:
            if proof.how is ProofMethod.READ_BACK:
                ledger.enter(copy, proof, moment)
            else:
                copy.file.storage_records.append(_stored(copy, proof, moment))
        changed = {copy.file.uuid: copy.file for copy, _ in stored}
        proofs = {uuid: ledger.changed[uuid] for uuid in changed if uuid in ledger.changed}
        job.commit(files=list(changed.values()), proofs=proofs)
        done = [file for file in changed.values() if is_stored(job.settings, file)]
        for file in done:
            buckets = (target.bucket for target in targets_of(job.settings, file))
            job.progress.settled(part_name(bucket, file) for bucket in buckets)
        _add_done(job, done)


def _wait_for_repair(job: IngestJob) -> Later | None:
    """Asked before anything is written over the copies of a known object: a repair that has begun
    would write old bytes over the new ones. It looks for this item, in turn, after it has said
    that it begins (docs/decisions/every-copy.md)."""
    bag = job.object
    if not bag.is_reingest:
        return None
    until = job.services.registry.repaired_until(bag.identifier)
    if not is_set(until):
        return None
    return Later(REPAIR_SECONDS, f"A copy of {bag.identifier} is being repaired, until {until}")


def _stored(copy: Copy, proof: Proof, moment: Timestamp) -> StorageRecord:
    return StorageRecord(
        bucket=copy.target.bucket,
        provider=copy.target.provider,
        etag=proof.etag,
        size=proof.size,
        stored_at=moment,
        url=copy.target.url(copy.file.uuid),
    )


def _missing(job: IngestJob, entry: FileEntry) -> list[Copy]:
    """The copies that must be made, and are not on record."""
    return [copy for copy in copies_of(job.settings, entry) if record_of(copy) is None]


def _add_done(job: IngestJob, files: Sequence[IngestFile]) -> None:
    job.progress.add(files=len(files), bytes=sum(file.size for file in files))
