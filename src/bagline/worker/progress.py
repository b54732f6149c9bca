"""How far a stage is: published for people a few times a second, and watched for stalls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct, structs

PUBLISH_SECONDS = 0.25


class ProgressReport(Struct, kw_only=True):
    """What `bagline ingest` and the dashboard show of one item. Bytes and files."""

    stage: str
    files: int = 0
    of_files: int = 0
    bytes: int = 0
    of_bytes: int = 0


class Progress:
    """Counts of one stage's run on one item. Thread-safe."""

    def __init__(
        self,
        stage: str,
        publish: Callable[[bytes], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = ProgressReport(stage=stage)
        self._publish = publish
        self._monotonic = monotonic
        self._published_at = monotonic()  # what is over at once need not be shown
        self._lock = threading.Lock()
        self._partly: dict[str, int] = {}
        self.moved_at = monotonic()
        """When anything last moved, on the monotonic clock: a hung stage stops here."""

    @property
    def done(self) -> tuple[int, int]:
        """Files and bytes so far."""
        with self._lock:
            return self._report.files, self._report.bytes

    def expect(self, *, files: int = 0, bytes: int = 0) -> None:
        """How much there is to do in all."""
        with self._lock:
            self._report.of_files = files
            self._report.of_bytes = bytes
        self._show()

    def add(self, *, files: int = 0, bytes: int = 0) -> None:
        """So much more is done."""
        with self._lock:
            self._report.files += files
            self._report.bytes += bytes
        self._show()

    def at(self, *, files: int, bytes: int) -> None:
        """So much is done in all."""
        with self._lock:
            self._report.files = files
            self._report.bytes = bytes
        self._show()

    def partly(self, what: str, bytes: int, of_bytes: int) -> None:
        """So many more bytes of something are done that is not done as a whole yet: they are
        shown, and `settled` takes them back before the whole is added."""
        with self._lock:
            self._partly[what] = min(self._partly.get(what, 0) + bytes, of_bytes)
        self._show()

    def settled(self, whats: Iterable[str]) -> None:
        """These are done as a whole: their parts count no more."""
        with self._lock:
            for what in whats:
                self._partly.pop(what, None)

    def moved(self) -> None:
        """Something moved that counts for nothing else."""
        self.moved_at = self._monotonic()

    def _show(self) -> None:
        moment = self._monotonic()
        self.moved_at = moment
        with self._lock:
            if moment - self._published_at < PUBLISH_SECONDS:
                return
            self._published_at = moment
            done = self._report.bytes + sum(self._partly.values())
            report = msgspec.json.encode(structs.replace(self._report, bytes=done))
        self._publish(report)
