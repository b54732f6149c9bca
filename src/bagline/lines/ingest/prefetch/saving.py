"""Saves behind the stage's back: while commits are on their way, the next is prepared."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from bagline.bagit.further import FurtherDigests
from bagline.errors import BaglineError
from bagline.lines.ingest.job import IngestJob
from bagline.model.ingest import IngestChecksum, IngestFile, IngestObject
from bagline.services.state.base import FileEntry

COMMITS_WAITING = 2
"""So many commits may be handed over and not saved yet."""


class Saver:
    """Commits of one job, one after another, on a thread of its own. Use as a context.

    What a commit raises (LeaseLost, Unreachable …) comes out of the next call, or of
    leaving the context. Leaving waits for what was handed over, also when the stage fails
    meanwhile: then the stage's fault counts. After a commit that failed no other is tried:
    its checkpoint would cover files that are not there.
    """

    def __init__(self, job: IngestJob) -> None:
        self._job = job
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch-save")
        self._handed_over: deque[Future[list[str]]] = deque()
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.wait()
        except BaglineError:
            if fault is None:
                raise
        finally:
            self._pool.shutdown()

    def commit(
        self,
        files: list[IngestFile | FileEntry],
        *,
        object: IngestObject | None = None,
        checkpoint: bytes | None = None,
    ) -> None:
        """Save in one fenced step, soon; waits while COMMITS_WAITING are not saved yet.
        What is handed over must not be changed again."""

        job = self._job
        done = job.object.file_count  # files of the tar that are recorded when this is saved

        def save() -> list[str]:
            job.save(files=files, object=object, checkpoint=checkpoint, done=done)
            return []

        self._hand_over(save)

    def add_checksums(self, checksums: dict[str, list[IngestChecksum]]) -> Future[list[str]]:
        """The same for checksums that are appended; tells the paths left alone
        (`State.add_checksums`). The answer is there when `wait` returns."""

        def save() -> list[str]:
            job = self._job
            return job.services.state.add_checksums(job.lease, job.object.identifier, checksums)

        return self._hand_over(save)

    def save_digests(self, digests: dict[str, FurtherDigests]) -> None:
        """The same for further digests: before the checkpoint that covers their files."""

        def save() -> list[str]:
            self._job.services.state.save_digests(self._job.lease, digests)
            return []

        self._hand_over(save)

    def wait(self) -> None:
        """Until everything handed over is saved. Raises what became of it."""
        while self._handed_over:
            self._handed_over.popleft().result()

    def _hand_over(self, save: Callable[[], list[str]]) -> Future[list[str]]:
        while len(self._handed_over) >= COMMITS_WAITING:
            self._handed_over.popleft().result()
        future = self._pool.submit(self._run, save)
        self._handed_over.append(future)
        return future

    def _run(self, save: Callable[[], list[str]]) -> list[str]:
        if self._failed:
            return []
        try:
            left = save()
        except BaseException:
            self._failed = True
            raise
        self._job.progress.moved()
        return left
