"""Preservation: every file that must be saved goes from staging to each bucket of its option.

Inside a provider the store copies and proves; between providers the bytes are streamed
with their checksum in the request. Bag plumbing (bagit.txt, fetch.txt, manifests) stays
behind (contract G).

Reads: staging objects, file records. Writes: preservation objects keyed by UUID, a
StorageRecord for each copy, after its proof.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing

from bagline.errors import Gone
from bagline.model.ingest import IngestFile, StorageRecord
from bagline.model.storage import StorageTarget, user_metadata
from bagline.model.times import is_set
from bagline.model.workitem import STAGE_RECEIVE
from bagline.services.objects.base import Objects, Proof, RangeCopy, Relay, RelayPart, Target
from bagline.stages.base import Done, Halt, Job, Outcome, Stage
from bagline.stages.rules import must_be_kept

Wanted = tuple[IngestFile, StorageTarget]

FILES_IN_HAND = 48
"""Small files that are read and put at once."""


class PreservationUploader(Stage):
    name = "preservation"

    def run(self, job: Job) -> Outcome:
        bag = job.object
        job.progress.expect(files=bag.file_count, bytes=bag.size)
        for batch in job.iter_files():
            files = [entry.file for entry in batch]
            wanted = [w for file in files if must_be_kept(file) for w in self._missing(job, file)]
            try:
                self._store(job, wanted)
            except Gone as fault:
                return Halt(f"a staged file is gone ({fault})", requeue_at=STAGE_RECEIVE)
            job.progress.add(files=len(files), bytes=sum(f.size for f in files))
        return Done()

    def _missing(self, job: Job, file: IngestFile) -> list[Wanted]:
        option = job.settings.storage_option(file.storage_option)
        stored = {(r.provider, r.bucket) for r in file.storage_records if is_set(r.stored_at)}
        return [(file, t) for t in option.targets if (t.provider, t.bucket) not in stored]

    def _store(self, job: Job, wanted: Sequence[Wanted]) -> None:
        """Copy, prove, record; each provider by the way that moves fewest bytes."""
        by_provider: dict[str, list[Wanted]] = defaultdict(list)
        for file, target in wanted:
            by_provider[target.provider].append((file, target))
        threshold = job.settings.work.copy_from_bytes
        for provider, group in by_provider.items():
            store = job.services.provider(provider)
            small = [w for w in group if w[0].size < threshold]
            large = [w for w in group if w[0].size >= threshold]
            self._relay_small(job, store, small)
            if store is job.services.objects:
                self._copy_large(job, store, large)
            else:
                self._stream_large(job, store, large)

    def _relay_small(self, job: Job, store: Objects, small: Sequence[Wanted]) -> None:
        """Each staged body is read once and put for all its targets, many files at once."""
        by_file: dict[str, list[Wanted]] = defaultdict(list)
        for file, target in small:
            by_file[file.uuid].append((file, target))
        work = job.settings.work
        done = store.relay_many(
            [self._relay(job, group) for group in by_file.values()],
            source=job.services.objects,
            windows=FILES_IN_HAND,
            puts_in_flight=work.puts_in_flight,
            budget_bytes=work.bytes_in_flight,
        )
        with closing(done):
            proofs = list(done)
        together = [wanted for group in by_file.values() for wanted in group]
        self._record(job, together, [proof for some in proofs for proof in some])

    def _relay(self, job: Job, group: Sequence[Wanted]) -> Relay:
        file = group[0][0]
        return Relay(
            source_bucket=job.settings.buckets.staging,
            source_key=job.staging_key(file.uuid),
            etag="",
            start=0,
            length=file.size,
            parts=[
                RelayPart(0, file.size, self._target(job, file, target), file.calculated("sha256"))
                for file, target in group
            ],
        )

    def _copy_large(self, job: Job, store: Objects, large: Sequence[Wanted]) -> None:
        some = job.settings.work.copies_in_flight
        for start in range(0, len(large), some):
            group = large[start : start + some]
            copies = [self._copy(job, file, target) for file, target in group]
            self._record(job, group, store.copy_many(copies, in_flight=some))

    def _stream_large(self, job: Job, store: Objects, large: Sequence[Wanted]) -> None:
        for file, target in large:
            chunks = job.services.objects.stream(
                job.settings.buckets.staging, job.staging_key(file.uuid), length=file.size
            )
            proof = store.put_stream(
                self._target(job, file, target),
                chunks,
                size=file.size,
                sha256=file.calculated("sha256"),
            )
            self._record(job, [(file, target)], [proof])

    def _copy(self, job: Job, file: IngestFile, target: StorageTarget) -> RangeCopy:
        return RangeCopy(
            source_bucket=job.settings.buckets.staging,
            source_key=job.staging_key(file.uuid),
            etag="",
            start=0,
            length=file.size,
            target=self._target(job, file, target),
            sha256=file.calculated("sha256"),
            md5=file.calculated("md5"),
        )

    def _target(self, job: Job, file: IngestFile, target: StorageTarget) -> Target:
        return Target(
            bucket=target.bucket,
            key=file.uuid,
            content_type=file.file_format or "application/octet-stream",
            metadata=user_metadata(file, job.institution.identifier, target.provider),
        )

    def _record(self, job: Job, some: Sequence[Wanted], proofs: Sequence[Proof]) -> None:
        moment = job.clock()
        changed: dict[str, IngestFile] = {}
        for (file, target), proof in zip(some, proofs, strict=True):
            file.storage_records.append(
                StorageRecord(
                    bucket=target.bucket,
                    provider=target.provider,
                    etag=proof.etag,
                    size=proof.size,
                    stored_at=moment,
                    url=target.url(file.uuid),
                )
            )
            changed[file.path_in_bag] = file
        job.commit(files=list(changed.values()))
