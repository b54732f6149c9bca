"""Deletion over another's Registry: it is asked first, and the bytes go after it agreed.

The addresses of a batch's copies are written into the item's hash, then the Registry is asked to
call each file deleted: it checks people, retention and state, and forgets the copies. Only then
they are taken away. A death in between is gone on from the hash; where Redis lost that too, copies
stand that no record names, and nobody lists them: that takes the Registry's own database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from bagline.errors import Refused
from bagline.lines.deletion.deletion_job import DeletionJob
from bagline.lines.deletion.taking_away import FileCopies, TakingAway
from bagline.model.registry import STATE_ACTIVE, GenericFile
from bagline.model.workitem import NOT_STARTED, STATUS_CANCELLED
from bagline.services.registry.open_changes import first_against
from bagline.worker.stage import Cancel, Done, Halt, Later, Outcome

AT_ONCE = 100
"""Files, whose copies' addresses are kept at a time."""
BUSY_SECONDS = 60.0


class Forgotten(Struct, frozen=True, kw_only=True):
    """A file whose copies the Registry forgets, or has forgotten: its id, and where they are."""

    file_id: int
    identifier: str
    uuid: str
    urls: list[str]


class AskedDeletion:
    def __init__(self, job: DeletionJob) -> None:
        self._job = job
        self._registry = job.services.registry
        self._taking = TakingAway(job.services, job.settings)
        self._has_forgotten = job.has_begun
        """Whether a file of it may be gone."""

    def run(self) -> Outcome:
        job, item = self._job, self._job.item
        if not item.user or not item.inst_approver:
            return Halt(
                "Nothing was deleted: the item does not name who asked for the deletion and who "
                "approved it"
            )
        if not job.has_begun:
            refused = self._may_not_begin()
            if refused is None:
                refused = self._begin()
            if refused is not None:
                return refused
        try:
            self._delete()
        except Refused as fault:
            if self._has_forgotten:
                raise
            # Its Registry does not agree: nothing of it has begun.
            self._remember([])
            item.outcome = NOT_STARTED
            return Halt(f"Nothing was deleted: {fault}")
        whole = f" APTrust approver: {item.aptrust_approver}." if item.aptrust_approver else ""
        return Done(
            f"Deletion completed at the request of {item.user}, approved by {item.inst_approver}."
            f"{whole}"
        )

    def _delete(self) -> None:
        self._finish(self._remembered())
        for files in self._batches():
            self._job.pause_point()
            batch = [_forgotten(file) for file in files]
            self._remember(batch)
            self._finish(batch)
        if not self._job.item.generic_file_id:
            self._forget_object()

    def _may_not_begin(self) -> Outcome | None:
        item = self._job.item
        others = self._registry.items_of_bag(item.institution_id, item.name)
        standing = first_against(item, others, 0)
        if standing is not None:
            return Later(
                BUSY_SECONDS,
                f"Waiting: work item {standing.id} ({standing.action}) is open for it.",
            )
        copies = ([_copies(_forgotten(file)) for file in files] for files in self._batches())
        hindrances = self._taking.hindrances(copies)
        return Halt(f"Nothing was deleted: {'; '.join(hindrances)}") if hindrances else None

    def _begin(self) -> Outcome | None:
        """Say in the Registry that it only goes forward now, unless a person ended it."""
        self._job.begins()
        saved = self._registry.save_work_item(self._job.item, unless_status=[STATUS_CANCELLED])
        return Cancel("an operator cancelled it") if saved.status == STATUS_CANCELLED else None

    def _finish(self, batch: Sequence[Forgotten]) -> None:
        """Have the Registry forget them, then take their copies away."""
        if not batch:
            return
        for each in batch:
            known = self._registry.file(each.file_id)
            if known is not None and known.state == STATE_ACTIVE:
                self._registry.delete_file(each.file_id)
            self._has_forgotten = True
        self._job.services.state.check_lease(self._job.lease)
        self._taking.take([_copies(each) for each in batch])
        self._taking.check()
        self._job.progress.add(files=len(batch))
        self._remember([])

    def _forget_object(self) -> None:
        identifier = self._job.item.object_identifier
        known = self._registry.intellectual_object(identifier)
        if known is None:
            raise Refused(f"the Registry has no object {identifier}")
        if known.state == STATE_ACTIVE:
            self._registry.delete_object(known.id)

    def _batches(self) -> Iterator[Sequence[GenericFile]]:
        """What is active now."""
        item = self._job.item
        if item.generic_file_id:
            file = self._registry.file(item.generic_file_id)
            if file is not None and file.state == STATE_ACTIVE:
                yield [file]
            return
        # The whole list first: what is deleted moves the pages of what is not.
        files = [
            file
            for batch in self._registry.iter_object_files(item.intellectual_object_id)
            for file in batch
        ]
        for start in range(0, len(files), AT_ONCE):
            yield files[start : start + AT_ONCE]

    def _remember(self, batch: Sequence[Forgotten]) -> None:
        self._job.save(msgspec.json.encode(batch))

    def _remembered(self) -> list[Forgotten]:
        raw = self._job.load()
        return msgspec.json.decode(raw, type=list[Forgotten]) if raw else []


def _forgotten(file: GenericFile) -> Forgotten:
    return Forgotten(
        file_id=file.id,
        identifier=file.identifier,
        uuid=file.uuid,
        urls=[record.url for record in file.storage_records],
    )


def _copies(file: Forgotten) -> FileCopies:
    return FileCopies(identifier=file.identifier, uuid=file.uuid, urls=file.urls)
