"""What a stage of the ingest line is given: one bag's work item, and its working records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bagline.bagit.profiles import Profile, profile_named
from bagline.errors import BrokenState
from bagline.model.ingest import IngestFile, IngestObject
from bagline.model.registry import Institution
from bagline.model.workitem import WorkItem
from bagline.services.objects.base import ObjectInfo
from bagline.services.state.base import CopyProofs, FileEntry
from bagline.worker.stage import Job


@dataclass(kw_only=True)
class IngestJob(Job):
    """One bag in one stage. `institution` and `bag` are there when the stage runs."""

    record: WorkItem
    institution: Institution = Institution()  # noqa: RUF009 (never changed)
    bag: IngestObject | None = None
    found: ObjectInfo | None = None
    """The bag as it lies in receiving, where the step reads it."""
    checkpoint: bytes | None = None
    """The last that this stage saved."""
    object_id: int = 0
    """The Registry's id of the object, once the last stage knows it."""

    @property
    def item(self) -> WorkItem:
        return self.record

    @property
    def object(self) -> IngestObject:
        """The bag's working record. Raises BrokenState when there is none."""
        if self.bag is None:
            raise BrokenState(
                f"work item {self.item.id} has no working record in Redis at stage "
                f"{self.item.stage}"
            )
        return self.bag

    def commit(
        self,
        *,
        files: Sequence[IngestFile | FileEntry] = (),
        object: IngestObject | None = None,
        checkpoint: bytes | None = None,
        tally: Mapping[str, int] | None = None,
        proofs: Mapping[str, CopyProofs] | None = None,
    ) -> None:
        """Save in one fenced step; then a place where the stage can be asked to stop.

        Raises LeaseLost (nothing was saved) or Draining (everything was).
        """
        done, _ = self.progress.done
        self.save(
            files=files,
            object=object,
            checkpoint=checkpoint,
            tally=tally,
            proofs=proofs,
            done=done,
        )
        self.pause_point()

    def save(
        self,
        *,
        files: Sequence[IngestFile | FileEntry] = (),
        object: IngestObject | None = None,
        checkpoint: bytes | None = None,
        tally: Mapping[str, int] | None = None,
        proofs: Mapping[str, CopyProofs] | None = None,
        done: int,
    ) -> None:
        """The same where the stage cannot stop. `done`: files that a repeat need not do again."""
        advance = self.reach.advance(done)
        self.checkpoint = checkpoint if checkpoint is not None else self.checkpoint
        self.services.state.commit(
            self.lease,
            files=files,
            object=object,
            checkpoint=checkpoint,
            tally={**(tally or {}), **advance.tally},
            result=advance.result,
            proofs=proofs,
        )
        self.reach.saved(advance)
        self.progress.moved()

    def leave(self, *, object: IngestObject, checkpoint: bytes | None = None) -> None:
        """Save it in one step with the stage's result: a repeat makes it again."""
        self.checkpoint = checkpoint if checkpoint is not None else self.checkpoint
        self.left = {"object": object, "checkpoint": checkpoint}

    def load_bag(self) -> IngestObject | None:
        """The bag's working record, as it stood when the lease was taken. Raises BrokenState."""
        if self.taken is not None and (self.taken.is_new or self.taken.raw_object is not None):
            return self.taken.object()
        return self.services.state.load_object(self.item.id)

    def load_checkpoint(self) -> bytes | None:
        """What this stage saved, else what was left before the lease was taken."""
        if self.checkpoint is not None:
            return self.checkpoint
        if self.taken is not None:
            return self.taken.checkpoint
        return self.services.state.load_checkpoint(self.item.id)

    def iter_files(self) -> Iterator[list[FileEntry]]:
        """Every file record once, in tar order, in batches."""
        return self.services.state.iter_files(self.item.id)

    def staging_key(self, name: str) -> str:
        """Where in the staging bucket this item keeps `name` (a UUID, or a tag file's name)."""
        return f"{self.item.id}/{name}"


def profile_of(job: IngestJob) -> Profile:
    """The profile that the bag is held to by its tags. Raises what is raised where it stands at an
    address: Unreachable, Refused or Misconfigured."""
    return profile_named(job.object.tags, job.services.profile_at)
