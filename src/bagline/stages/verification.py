"""Verification: each copy in preservation storage is asked for its digest, not only its size.

Reads: preservation objects (by HEAD where the store tells a checksum, else whole). Writes:
etag, size and `verified_at` of each StorageRecord; a tally of how copies were proven.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from bagline.model.ingest import IngestFile, StorageRecord
from bagline.model.storage import StorageTarget
from bagline.model.times import is_set
from bagline.model.workitem import STAGE_STORE
from bagline.services.objects.base import Check, Proof
from bagline.services.state.base import FileEntry
from bagline.stages.base import Done, Halt, Job, Outcome, Stage, expect_count
from bagline.stages.rules import TALLY_PREFIX, must_be_kept


class Copy(NamedTuple):
    """One copy of a file. `part_sha256`: see TarSpan; a copy above 5 GiB has the same parts."""

    file: IngestFile
    record: StorageRecord
    target: StorageTarget
    part_sha256: Sequence[str]


class PreservationVerifier(Stage):
    name = "verification"

    def run(self, job: Job) -> Outcome:
        bag = job.object
        job.progress.expect(files=bag.file_count, bytes=bag.size)
        faults: list[str] = []
        for batch in job.iter_files():
            kept = (entry for entry in batch if must_be_kept(entry.file))
            waiting = [copy for entry in kept for copy in self._waiting(job, entry)]
            tally = self._verify(job, waiting, faults)
            changed = {copy.file.path_in_bag: copy.file for copy in waiting}
            job.commit(files=list(changed.values()), tally=tally)
            job.progress.add(files=len(batch), bytes=sum(e.file.size for e in batch))
        if faults:
            shown = "; ".join(faults[:5])
            return Halt(
                f"{len(faults)} copies in preservation storage are not what was stored: {shown}. "
                "Keep the bag and look at the store",
                requeue_at=STAGE_STORE,
            )
        return Done()

    def _waiting(self, job: Job, entry: FileEntry) -> list[Copy]:
        """The file's copies that are not proven yet. Raises BrokenState unless all are there."""
        file, parts = entry.file, entry.span.part_sha256 if entry.span else ()
        option = job.settings.storage_option(file.storage_option)
        targets = {(t.provider, t.bucket): t for t in option.targets}
        records = [r for r in file.storage_records if (r.provider, r.bucket) in targets]
        expect_count(len(records), len(targets), f"copies of {file.identifier!r}")
        return [
            Copy(file, record, targets[record.provider, record.bucket], parts)
            for record in records
            if not is_set(record.verified_at)
        ]

    def _verify(self, job: Job, copies: Sequence[Copy], faults: list[str]) -> Counter[str]:
        """Ask each bucket for its copies, many at once; returns how they were proven."""
        by_target: dict[StorageTarget, list[Copy]] = defaultdict(list)
        for copy in copies:
            by_target[copy.target].append(copy)
        tally: Counter[str] = Counter()
        for target, group in by_target.items():
            checks = [_check(copy) for copy in group]
            answers = job.services.store_of(target).verify_many(target.bucket, checks)
            job.progress.moved()
            for (file, record, _, _), answer in zip(group, answers, strict=True):
                if isinstance(answer, Proof):
                    record.etag, record.size = answer.etag, answer.size
                    record.error, record.verified_at = "", job.clock()
                    tally[TALLY_PREFIX + answer.how] += 1
                else:  # stored again when the item is requeued at Store
                    file.storage_records.remove(record)
                    faults.append(f"{record.url}: {answer}")
        return tally


def _check(copy: Copy) -> Check:
    file = copy.file
    return Check(
        key=file.uuid,
        size=file.size,
        sha256=file.calculated("sha256"),
        md5=file.calculated("md5"),
        part_sha256=copy.part_sha256,
    )
