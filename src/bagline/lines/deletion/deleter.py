"""Deleter (contract J3, mended): everything is checked before the first byte goes.

Our Registry: its book begins the deletion in one transaction and knows every file that may still
have copies, so that a death at any instant is gone on from there. Another's: `asked_deletion`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from bagline.lines.deletion.asked_deletion import AskedDeletion
from bagline.lines.deletion.deletion_job import DeletionJob
from bagline.lines.deletion.taking_away import FileCopies, TakingAway
from bagline.model.deletion import Against
from bagline.model.registry import GenericFile
from bagline.services.registry.base import Conflict
from bagline.services.registry.deletion_book import Deletions
from bagline.worker.stage import Cancel, Done, Halt, Later, Outcome, Stage

BUSY_SECONDS = 60.0
"""Between looks at an object that something else is open for."""


class Deleter(Stage[DeletionJob]):
    name: ClassVar[str] = "deletion"

    def run(self, job: DeletionJob) -> Outcome:
        if job.is_discard:
            job.services.state.delete_item(job.lease)
            return Done()
        book = job.services.registry.deletions
        try:
            ended = AskedDeletion(job).run() if book is None else _run(job, book)
        except Conflict as fault:
            return Halt(f"The Registry does not agree: {fault}")
        if isinstance(ended, Done):
            job.services.state.delete_item(job.lease)
            job.is_deleted = True
        return ended


def _run(job: DeletionJob, book: Deletions) -> Outcome:
    taking = TakingAway(job.services, job.settings)
    if not job.has_begun:
        refused = _begin(job, book, taking)
        if refused is not None:
            return refused
    gone = 0
    while doomed := book.doomed(job.item.id):
        job.pause_point()
        job.services.state.check_lease(job.lease)  # a worker that was held up takes nothing away
        by_uuid = {file.uuid: file.generic_file_id for file in doomed}
        taken = taking.take(
            [FileCopies(identifier=f.identifier, uuid=f.uuid, urls=f.urls) for f in doomed]
        )
        book.are_gone(job.item.id, [by_uuid[copies.uuid] for copies in taken])
        gone += len(taken)
        job.progress.add(files=len(taken))
        job.got_to(gone)
        taking.check()
    book.conclude(job.item.id)
    return Done(
        f"Deletion completed at the request of {job.item.user}, approved by "
        f"{job.item.inst_approver}."
    )


def _begin(job: DeletionJob, book: Deletions, taking: TakingAway) -> Outcome | None:
    """Condemn what is to go, or say why not."""
    found = book.against(job.item.id)
    if not found:
        hindrances = taking.hindrances(_copies_of(job))
        if hindrances:
            return Halt(f"Nothing was deleted: {'; '.join(hindrances)}")
        found = book.condemn(job.item.id)
    if not found:
        job.begins()
        return None
    return _outcome(found)


def _outcome(found: Against) -> Outcome:
    if found.withdrawn:
        return Cancel(f"{'; '.join(found.withdrawn)}. Nothing was deleted: ask for it anew")
    if found.held:
        return Halt(f"Nothing was deleted: {'; '.join(found.held)}")
    return Later(BUSY_SECONDS, f"Waiting: {'; '.join(found.busy)}.")


def _copies_of(job: DeletionJob) -> Iterator[Sequence[FileCopies]]:
    """Of all files that would go, as they are on record now."""
    registry, item = job.services.registry, job.item
    if item.generic_file_id:
        file = registry.file(item.generic_file_id)
        yield [_copies(file)] if file is not None else []
        return
    for files in registry.iter_object_files(item.intellectual_object_id):
        job.pause_point()
        yield [_copies(file) for file in files]


def _copies(file: GenericFile) -> FileCopies:
    urls = [record.url for record in file.storage_records]
    return FileCopies(identifier=file.identifier, uuid=file.uuid, urls=urls)
