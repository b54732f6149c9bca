"""Bag restorer (contract J2): a whole object, as one valid bag, into its institution's bucket.

Reads: the Registry, preservation. Writes: `<institution>/<bag>.tar` in the restoration bucket,
which stands there when all of it is proven, and not before.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import ClassVar

import msgspec
import structlog
from msgspec import Struct

from bagline.bagit.writing import Layout
from bagline.errors import BagRejected, Gone, ListChanged, Refused
from bagline.lines.restoration.held_copies import HeldCopies
from bagline.lines.restoration.laying_out import algorithms_of, check_unchanged, laid_out
from bagline.lines.restoration.restore_job import RESTORED_AT, RestoreJob
from bagline.lines.restoration.sending import Sending
from bagline.lines.restoration.tar_bytes import TarBytes
from bagline.model.times import Timestamp
from bagline.problems import Problem
from bagline.services.objects.base import Target
from bagline.services.objects.parts import Upload
from bagline.services.registry.open_changes import does
from bagline.worker.stage import Done, Halt, Outcome, Retry, Stage

log = structlog.get_logger(__name__)

MARK = "bagline-restoration"
"""Metadata of a restored bag: of which item, and of which list of files. It is how a worker knows
what one before it had completed when it died, whatever records that one left."""
ATTEMPTS_A_RUN = 3
"""So often the list of files may change meanwhile before it is left to later."""


class Plan(Struct, frozen=True):
    """What is the same in every run of one attempt, kept with the item. `generated` is the digest
    of what does not come from the list: another release may make it otherwise."""

    bucket: str
    key: str
    token: str
    upload: str
    made_at: Timestamp
    list_digest: str
    generated: str
    size: int
    part_bytes: int
    bad: dict[str, list[tuple[str, str]]] = {}


class BagRestorer(Stage[RestoreJob]):
    name: ClassVar[str] = "bag restoration"

    def run(self, job: RestoreJob) -> Outcome:
        if job.is_discard:
            _take_away(job)
            return Done()
        for _ in range(ATTEMPTS_A_RUN):
            restoration = BagRestoration(job)
            try:
                return restoration.run()
            except ListChanged as change:
                log.warning("restoration_begins_anew", item=job.item.id, reason=str(change))
                _take_away(job)
            except BagRejected:
                changing = job.kept.changing_item()
                if changing is None:
                    raise
                _take_away(job)  # with what it took for bad copies
                reason = does(changing, job.object.identifier)
                return Retry(f"Meanwhile {reason}", uses_patience=False)
        return Halt(
            f"the files of {job.object.identifier} change whenever it is restored: wait for the "
            "ingests of the object to end"
        )


class BagRestoration:
    """One run of it."""

    def __init__(self, job: RestoreJob) -> None:
        self._job = job
        self._registry = job.services.registry
        self._store = job.services.objects
        self._kept = job.kept
        self._form = self._kept.form()
        self._copies = HeldCopies(self._kept, algorithms_of(self._form))
        self._problems: list[Problem] = []

    def run(self) -> Outcome:
        job = self._job
        plan = self._known_plan()
        made_at = plan.made_at if plan else job.clock()
        layout, self._problems = laid_out(self._kept, self._form, self._copies, made_at)
        if not layout.files:
            return Halt(f"{job.object.identifier} has no active files: nothing can be restored")
        job.progress.expect(files=layout.files, bytes=layout.size)
        if plan is not None and not _is_of(plan, layout):
            raise ListChanged("the object's bag is another than when the restoration began")
        target = self._target(layout)
        upload = self._upload(plan, target, layout)
        if upload is not None:
            self._send(upload, layout)
        return self._done(target, layout)

    # -- what it will be

    def _known_plan(self) -> Plan | None:
        raw = self._job.load()
        if raw is None:
            return None
        plan = msgspec.json.decode(raw, type=Plan)
        self._copies.bad.update(plan.bad)
        return plan

    def _target(self, layout: Layout) -> Target:
        job = self._job
        token = f"{job.item.id}-{layout.list_digest}"
        bucket, key = job.institution.restore_bucket, _key_of(job)
        if job.settings.is_embedded:
            self._store.ensure_bucket(bucket)
        return Target(bucket, key, "application/x-tar", {MARK: token})

    # -- on its way

    def _upload(self, plan: Plan | None, target: Target, layout: Layout) -> Upload | None:
        """The upload to go on with, begun where there is none; None where it is completed."""
        if plan is not None and (plan.bucket, plan.key) == (target.bucket, target.key):
            upload = Upload(target, plan.upload)
            with suppress(Gone):
                self._store.uploaded_parts(upload)
                return upload
        if self._is_completed(target, layout):
            return None
        upload = self._store.begin_upload(target)
        self._save(upload, layout)
        return upload

    def _is_completed(self, target: Target, layout: Layout) -> bool:
        with suppress(Gone):
            found = self._store.head(target.bucket, target.key)
            return found.size == layout.size and dict(found.metadata) == dict(target.metadata)
        return False

    def _save(self, upload: Upload, layout: Layout) -> None:
        plan = Plan(
            bucket=upload.target.bucket,
            key=upload.target.key,
            token=upload.target.metadata[MARK],
            upload=upload.id,
            made_at=layout.bag.made_at,
            list_digest=layout.list_digest,
            generated=_generated(layout),
            size=layout.size,
            part_bytes=layout.part_bytes,
            bad=dict(self._copies.bad),
        )
        self._job.save(msgspec.json.encode(plan))

    def _send(self, upload: Upload, layout: Layout) -> None:
        job, store = self._job, self._store
        tar = TarBytes(layout, self._copies)
        sending = Sending(job, layout, tar, store, upload, store.uploaded_parts(upload))
        try:
            sending.run()
        except BagRejected:
            check_unchanged(self._kept, layout)
            raise
        finally:
            self._save(upload, layout)  # with the copies that were bad
        check_unchanged(self._kept, layout)
        job.pause_point()  # a person may have cancelled it while the last parts went
        job.services.state.check_lease(job.lease)
        store.complete_upload(upload, list(sending.parts.values()))
        log.info("bag_restored", item=job.item.id, parts=layout.parts, sent=sending.sent)

    # -- done

    def _done(self, target: Target, layout: Layout) -> Outcome:
        job = self._job
        self._problems += self._copies.problems()
        self._registry.save_report(
            job.item.id,
            {
                "restored_to": f"s3://{target.bucket}/{target.key}",
                "object": job.object.identifier,
                "files": layout.files,
                "payload_files": layout.payload_files,
                "payload_bytes": layout.payload_bytes,
                "bytes": layout.size,
                "left_out": list(layout.left_out),
            },
        )
        job.end_uploads(target.key)
        job.services.state.delete_item(job.lease)
        job.is_restored = True
        url = f"{RESTORED_AT}/{target.bucket}/{target.key}"
        return Done(f"Object {job.object.identifier} restored to {url}.", warnings=self._problems)


def _key_of(job: RestoreJob) -> str:
    return f"{job.object.identifier}.tar"


def _is_of(plan: Plan, layout: Layout) -> bool:
    return (plan.list_digest, plan.generated, plan.size, plan.part_bytes) == (
        layout.list_digest,
        _generated(layout),
        layout.size,
        layout.part_bytes,
    )


def _generated(layout: Layout) -> str:
    bag = layout.bag
    hasher = hashlib.sha256(bag.head + msgspec.json.encode(bag.form))
    for data in bag.replaced.values():
        hasher.update(data)
    return hasher.hexdigest()


def _take_away(job: RestoreJob) -> None:
    """What an attempt left: its upload, and its records."""
    raw = job.load()
    if raw is not None:
        plan = msgspec.json.decode(raw, type=Plan)
        target = Target(plan.bucket, plan.key, metadata={MARK: plan.token})
        with suppress(Refused):
            job.services.objects.abort_upload(Upload(target, plan.upload))
    if job.object.identifier:
        job.end_uploads(_key_of(job))
    job.services.state.delete_item(job.lease)
