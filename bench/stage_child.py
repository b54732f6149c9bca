"""A worker process with the pre-fetch step alone, and counters on what it asks of others."""

from __future__ import annotations

import mmap
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import valkey.connection

from bagline.app import App
from bagline.config import load_settings
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.line import INGEST_LINE, IngestLine
from bagline.lines.ingest.prefetch import PreFetch
from bagline.logs import configure_logs
from bagline.model.subject import item_subject
from bagline.services.objects import reading
from bagline.worker.stage import Outcome

PATIENCE_SECONDS = 3600.0


class TimedPreFetch(PreFetch):
    """The stage, with a stopwatch around `run`."""

    seconds = 0.0
    round_trips = 0
    over = threading.Event()

    def run(self, job: IngestJob) -> Outcome:
        began, before = time.perf_counter(), RoundTrips.count
        try:
            outcome = super().run(job)
        finally:
            TimedPreFetch.seconds = time.perf_counter() - began
            TimedPreFetch.round_trips = RoundTrips.count - before
        return outcome


class RoundTrips:
    """Counts what this process sends to Redis: a pipeline is one."""

    count = 0

    @classmethod
    def watch(cls) -> None:
        kind = valkey.connection.AbstractConnection
        send = kind.send_packed_command

        def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
            cls.count += 1
            return send(self, *args, **kwargs)

        kind.send_packed_command = counted


class CountedRegistry:
    """A Registry that counts how often it is asked, by method."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.calls: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] = self.calls.get(name, 0) + 1
            return found(*args, **kwargs)

        return counted


class BytesRead:
    """Counts the bytes that come from the store, in a file that outlives a kill -9."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(8))
        with path.open("r+b") as handle:
            self._map = mmap.mmap(handle.fileno(), 8)
        self._lock = threading.Lock()

    def watch(self) -> None:
        body = reading.Reader._body
        counter = self

        def counted(self: Any, *args: Any) -> Iterator[bytes]:
            for chunk in body(self, *args):
                counter.add(len(chunk))
                yield chunk

        reading.Reader._body = counted  # type: ignore[method-assign]

    def add(self, count: int) -> None:
        with self._lock:
            (before,) = struct.unpack("<q", self._map[:8])
            self._map[:8] = struct.pack("<q", before + count)


def run_stage(data_dir: str, item_id: str, counter: str = "") -> dict[str, Any]:
    """Work as `bagline worker pre-fetch` does until the item is past the stage."""
    configure_logs(level="error")
    if counter:
        BytesRead(Path(counter)).watch()
    RoundTrips.watch()
    with App.open_running(load_settings(data_dir=Path(data_dir))) as app:
        assert app is not None
        registry = CountedRegistry(app.services.registry)
        services: Any = replace(app.services, registry=registry)
        line = IngestLine(
            tuple(
                replace(s, stage=TimedPreFetch) if s is INGEST_LINE.first else s
                for s in INGEST_LINE
            )
        )
        with _working(App(app.settings, services, [line])):
            _wait(app, int(item_id))
        item = app.services.registry.work_item(int(item_id))
        bag = app.services.state.load_object(int(item_id))
    assert item is not None
    if item.stage != "Validate" or bag is None:
        raise RuntimeError(f"pre-fetch did not succeed: {item.note}")
    return {
        "seconds": TimedPreFetch.seconds,
        "files": bag.file_count,
        "round_trips": TimedPreFetch.round_trips,
        "registry_calls": sum(registry.calls.values()),
    }


@contextmanager
def _working(app: App) -> Iterator[None]:
    worker = app.worker([app.ingest_line.first])
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


def _wait(app: App, item_id: int) -> None:
    """Until the item has left the stage and the worker has let go of it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if TimedPreFetch.seconds and not app.services.state.lease_owner(item_subject(item_id)):
            return
        time.sleep(0.05)
    raise RuntimeError("pre-fetch did not end")
