"""Digests that will be there: of small files hashed together, or of one large file."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bagline.bagit.digests import Digests, digests_of


class PartDigests(NamedTuple):
    """Hex digests of a large file's parts, in order; none of a file that was not hashed so."""

    sha256: tuple[str, ...] = ()
    md5: tuple[str, ...] = ()


class Batch:
    """Files whose digests come together. `await_` is called when somebody needs them now."""

    __slots__ = ("_await", "bytes", "fault", "finished", "items", "parts", "results")

    def __init__(self, await_: Callable[[Batch], None]) -> None:
        self._await = await_
        self.items: list[memoryview] = []
        self.results: list[Digests] = []
        self.parts = PartDigests()
        self.bytes = 0
        self.finished = False
        self.fault: BaseException | None = None

    def run(self) -> None:
        """Hash the items here and now."""
        try:
            self.results = [digests_of(item) for item in self.items]
        except BaseException as fault:  # noqa: BLE001 - raised again by whoever waits
            self.fault = fault
        self.finish()

    def finish(self) -> None:
        """Results or fault are there."""
        self.items = []
        self.finished = True

    def wait(self) -> None:
        """Until it is finished. Raises what went wrong."""
        if not self.finished:
            self._await(self)
        if self.fault is not None:
            raise self.fault


class Pending:
    """One file's digests that will be there: `done` says whether, `result()` waits."""

    __slots__ = ("_batch", "_place")

    def __init__(self, batch: Batch, place: int) -> None:
        self._batch = batch
        self._place = place

    @property
    def done(self) -> bool:
        return self._batch.finished

    def result(self) -> Digests:
        self._batch.wait()
        return self._batch.results[self._place]

    def parts(self) -> PartDigests:
        """Of each part, where the file was to be hashed by parts too."""
        self._batch.wait()
        return self._batch.parts
