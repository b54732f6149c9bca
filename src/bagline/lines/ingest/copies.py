"""Copies of preserved files: where they must be, and the proof that they are what they should be.

Records say where a copy is; only the store says what it holds. Reingest check, verification
and clean-up all ask through here, by the share of `verify.read_back`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bagline.config import READ_ONE_COPY, Settings
from bagline.errors import Gone, ProofFailed, Unreadable
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.stored_file import StoredFile
from bagline.model.ingest import IngestFile, StorageRecord, TarSpan
from bagline.model.named_uuids import named_uuid
from bagline.model.premis import PremisEvent, our_agent
from bagline.model.storage import StorageTarget
from bagline.model.times import Timestamp, is_set
from bagline.services.objects.base import Proof
from bagline.services.state.base import CopyProof, CopyProofs, FileEntry

UNREADABLE_ATTEMPTS = 3
"""After so many attempts of the stage a copy that the store does not give is taken for lost."""

Answer = Proof | Gone | ProofFailed | Unreadable


class Copy(NamedTuple):
    """One copy of a file. `span`: see StoredFile."""

    file: IngestFile
    target: StorageTarget
    span: TarSpan | None


def targets_of(settings: Settings, file: IngestFile) -> list[StorageTarget]:
    """The buckets that must hold the file: those of its option, in order, then those in which
    the Registry has a copy on record. Raises Misconfigured for an option nobody knows."""
    wanted = settings.storage_option(file.storage_option).targets
    recorded = (settings.target_at(url, file.uuid) for url in file.registry_urls)
    places = {(t.provider, t.bucket): t for t in (*wanted, *recorded) if t is not None}
    return list(places.values())


def unknown_copies(settings: Settings, file: IngestFile) -> list[str]:
    """Recorded URLs of copies that lie in no bucket of this installation."""
    return [url for url in file.registry_urls if settings.target_at(url, file.uuid) is None]


def copies_of(settings: Settings, entry: FileEntry) -> list[Copy]:
    """Every copy that the file must have."""
    return [Copy(entry.file, target, entry.span) for target in targets_of(settings, entry.file)]


def stored_at(job: IngestJob, copy: Copy) -> StoredFile:
    """The copy at its place."""
    file, target, span = copy
    return StoredFile(job, file, target.bucket, file.uuid, target.provider, span)


def is_stored(settings: Settings, file: IngestFile) -> bool:
    """Whether every copy that the file must have is on its working record."""
    return all(record_of(copy) is not None for copy in copies_of(settings, FileEntry(file, None)))


def record_of(copy: Copy) -> StorageRecord | None:
    """What the working record says of the copy: one that was stored, or None."""
    place = (copy.target.provider, copy.target.bucket)
    found = (r for r in copy.file.storage_records if (r.provider, r.bucket) == place)
    return next((record for record in found if is_set(record.stored_at)), None)


def is_proven(copy: Copy, proofs: CopyProofs) -> bool:
    """Whether this line proved the copy, in this run of the item, as it stands there now."""
    record, proof = record_of(copy), proofs.get(copy.target.bucket)
    return (
        record is not None
        and is_set(record.verified_at)
        and proof is not None
        and proof.at == record.verified_at
    )


def prove(job: IngestJob, copies: Iterable[Copy]) -> list[tuple[Copy, Answer]]:
    """Ask each bucket for its copies, many at once, and read back what the settings say.

    A copy that cannot be read stays Unreadable for the first attempts, and the caller tries
    again once it saved the rest; after them it is ProofFailed. Raises what stores raise.
    """
    by_target: dict[StorageTarget, list[Copy]] = defaultdict(list)
    for copy in copies:
        by_target[copy.target].append(copy)
    answered: list[tuple[Copy, Answer]] = []
    for target, group in by_target.items():
        checks = [stored_at(job, copy).check(must_read=_must_read(job, copy)) for copy in group]
        answers = job.services.store_of(target).verify_many(target.bucket, checks)
        job.progress.moved()
        answered += zip(group, (_final(job, answer) for answer in answers), strict=True)
    return answered


def raise_unreadable(answered: Iterable[tuple[Copy, Answer]]) -> None:
    """Raises Unreadable for the first copy that may be readable yet."""
    for _, answer in answered:
        if isinstance(answer, Unreadable):
            raise answer


class Ledger:
    """How the copies of a batch of files were proven: what is known, and what comes to it."""

    def __init__(self, job: IngestJob, files: Sequence[IngestFile]) -> None:
        uuids = [f.uuid for f in files if any(is_set(r.verified_at) for r in f.storage_records)]
        self._known = job.services.state.load_proofs(job.item.id, uuids)
        self.changed: dict[str, CopyProofs] = {}
        """By file UUID; for `IngestJob.commit`."""

    def of(self, file: IngestFile) -> CopyProofs:
        return self.changed.get(file.uuid) or self._known.get(file.uuid, {})

    def enter(self, copy: Copy, proof: Proof, moment: Timestamp) -> None:
        """The copy is proven: its storage record says so, and the ledger says how."""
        file, target = copy.file, copy.target
        record = record_of(copy)
        if record is None:
            record = StorageRecord(
                bucket=target.bucket,
                provider=target.provider,
                stored_at=proof.stored_at if is_set(proof.stored_at) else moment,
                url=_recorded_url(copy),
            )
            file.storage_records.append(record)
        record.etag, record.size = proof.etag, proof.size
        record.error, record.verified_at = "", moment
        entry = {target.bucket: CopyProof(proof.how.value, moment)}
        self.changed[file.uuid] = self.of(file) | entry


def stored_anew_event(job: IngestJob, copy: Copy, reason: str) -> PremisEvent:
    """What the Registry is told of a copy on record that this bag's bytes had to replace."""
    file = copy.file
    return PremisEvent(
        identifier=named_uuid("stored anew", job.item.id, file.uuid, copy.target.bucket),
        event_type="replication",
        date_time=job.clock(),
        detail="Stored a copy anew from the depositor's bag",
        object="Bagline preservation uploader",
        outcome_detail=_recorded_url(copy),
        outcome_information=f"The copy on record was not sound: {reason}",
        agent=our_agent(),
        institution_id=file.institution_id,
        intellectual_object_id=file.intellectual_object_id,
        generic_file_identifier=file.identifier,
    )


def _recorded_url(copy: Copy) -> str:
    """As the Registry has it, where it has it."""
    known = (u for u in copy.file.registry_urls if copy.target.is_at(u, copy.file.uuid))
    return next(known, copy.target.url(copy.file.uuid))


def _must_read(job: IngestJob, copy: Copy) -> bool:
    """By `verify.read_back`. The share falls on other copies in each item, and on the same
    ones in each run of it."""
    verify = job.settings.verify
    if verify.read_back == READ_ONE_COPY:
        return copy.target == targets_of(job.settings, copy.file)[0]
    name = f"{job.item.id} {copy.file.uuid} {copy.target.bucket}"
    number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())
    return number % verify.every == 0


def _final(job: IngestJob, answer: Answer) -> Answer:
    if isinstance(answer, Unreadable) and job.reach.result.attempt >= UNREADABLE_ATTEMPTS:
        return ProofFailed(str(answer))
    return answer
