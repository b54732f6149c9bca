"""The format identification stage alone, beside PRONOM's own matching of the bytes it judges."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from msgspec import structs

from bagline.app import App
from bagline.config import load_settings
from bagline.formats.deep_signatures import END_BYTES
from bagline.logs import configure_logs
from bagline.model.workitem import WorkItem
from bagline.services.objects.base import Target
from bagline.wiring import build_services
from bench.figures import Figure
from bench.making import BenchBag, gathered
from bench.measuring import child
from bench.slow_link import link_to

FILES = 1_000
FILE_BYTES = 200_000
ROUND_TRIP_SECONDS = 0.02
PATIENCE_SECONDS = 600.0
BEFORE = ("pre-fetch", "validator", "reingest-manager", "staging-uploader")
JPEG = (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00", b"\xff\xd9")


class JpegBag(BenchBag):
    """Of files that begin and end as a JPEG does."""

    def _body(self, number: int, block: bytes) -> Iterator[bytes]:
        (body,) = super()._body(number, block)
        begin, end = JPEG
        yield begin + number.to_bytes(8, "little") + body[len(begin) + 8 : -len(end)] + end


@dataclass(frozen=True)
class Run:
    """CPU seconds of the worker and of its judging child, and what passed."""

    seconds: float
    worker: float
    judging: float

    @property
    def cpu_ms(self) -> float:
        """A file, both of them."""
        return (self.worker + self.judging) / FILES * 1e3


def run(*, long: bool = False) -> Iterator[Figure]:  # noqa: ARG001 (nothing is longer)
    configure_logs(level="error")
    for name, kind in (("noise", BenchBag), ("JPEG", JpegBag)):
        floor = child("pronom_ends", FILES, END_BYTES).seconds / FILES * 1e3
        with _staged(kind) as (app, item):
            found = _identified(app, item)
        yield Figure(f"{name}: CPU a file", found.cpu_ms, "ms", against={"PRONOM alone": floor})
        yield Figure(f"{name}: of it the judging child", found.judging / FILES * 1e3, "ms")
        yield Figure(f"{name}: {FILES:,} × {FILE_BYTES:,} bytes", found.seconds, "s")
    with _staged(BenchBag) as (app, item), _far(app) as (far, carried):
        found = _identified(far, item)
        yield Figure("noise, store 20 ms away", found.seconds, "s")
        yield Figure("noise, store 20 ms away: bytes over the link", carried() / 1e6, "MB")


@contextmanager
def _staged(kind: type[BenchBag]) -> Iterator[tuple[App, WorkItem]]:
    """A bag that lies in staging."""
    bag = kind("formats", FILES, FILE_BYTES)
    with (
        tempfile.TemporaryDirectory(prefix="bagline-bench-") as folder,
        App.open(load_settings(data_dir=Path(folder))) as app,
    ):
        depositor = app.ensure_institution("test.edu")
        target = Target(bucket=depositor.receiving_bucket, key="formats.tar")
        objects = app.services.objects
        objects.put_stream(target, gathered(bag.chunks()), size=bag.tar_bytes, sha256="")
        found = objects.head(target.bucket, target.key)
        item = app.bucket_reader().make_item(depositor, found)
        _work(app, item, BEFORE, "Format Identification", lambda: None)
        yield app, item


@contextmanager
def _far(app: App):  # type: ignore[no-untyped-def]
    with link_to(app.settings.s3.endpoint, ROUND_TRIP_SECONDS) as link:
        s3 = structs.replace(app.settings.s3, endpoint=link.url)
        settings = structs.replace(app.settings, s3=s3)
        services = replace(app.services, objects=build_services(settings).objects)
        before = link.carried()
        yield App(settings, services), lambda: link.carried() - before


def _identified(app: App, item: WorkItem) -> Run:
    judging: list[float] = []
    cpu, began = time.process_time(), time.perf_counter()
    _work(app, item, ("format-identifier",), "Store", lambda: judging.append(_cpu_of_child()))
    return Run(time.perf_counter() - began, time.process_time() - cpu, judging[0])


def _work(app: App, item: WorkItem, names: tuple[str, ...], until: str, then) -> None:  # type: ignore[no-untyped-def]
    worker = app.worker([step for step in app.lines.steps() if step.name in names])
    thread = threading.Thread(target=worker.run)
    thread.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while app.services.registry.work_item(item.id).stage != until:  # type: ignore[union-attr]
            if time.monotonic() > deadline:
                raise RuntimeError(f"the bag did not come to {until}")
            time.sleep(0.02)
        then()
    finally:
        worker.stop()
        thread.join()


def _cpu_of_child() -> float:
    """Of the PRONOM child, its start with it."""
    return sum(
        sum(process.cpu_times()[:2])
        for process in psutil.Process().children(recursive=True)
        if any("pronom_child" in word for word in process.cmdline())
    )
