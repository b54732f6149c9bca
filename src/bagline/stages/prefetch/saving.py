"""Saves behind the stage's back: while one commit is on its way, the next is prepared."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from bagline.errors import BaglineError
from bagline.model.ingest import IngestFile, IngestObject
from bagline.services.state.base import FileEntry
from bagline.stages.base import Job


class Saver:
    """Commits of one job, one after another, on a thread of its own. Use as a context.

    What a commit raises (LeaseLost, Unreachable …) comes out of the next call, or of
    leaving the context. Leaving waits for what was handed over, also when the stage fails
    meanwhile: then the stage's fault counts.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch-save")
        self._last: Future[None] | None = None

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
        """Save in one fenced step, soon. What is handed over must not be changed again."""
        self.wait()
        self._last = self._pool.submit(self._save, files, object, checkpoint)

    def wait(self) -> None:
        """Until everything handed over is saved. Raises what became of it."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def _save(
        self,
        files: list[IngestFile | FileEntry],
        object: IngestObject | None,
        checkpoint: bytes | None,
    ) -> None:
        job = self._job
        job.services.state.commit(job.lease, files=files, object=object, checkpoint=checkpoint)
        job.progress.moved()
