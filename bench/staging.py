"""The staging stage over the embedded engines: bytes, files and memory, against plain clients."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bagline.logs import configure_logs
from bagline.model.subject import item_subject
from bagline.model.times import NEVER
from bagline.model.workitem import WorkItem, WorkResult
from bagline.services.objects.base import ObjectInfo
from bench.figures import Figure, median_of
from bench.making import TAGS, BenchBag
from bench.measuring import MIB, Measured, alternate, measured, median_ratio, peak_mib
from bench.prefetch import Bench, bench_house
from bench.slow_link import Link, link_to

LARGE = BenchBag("staged-large", 8, 512 * MIB)
SMALL = BenchBag("staged-small", 5_000, 4 * 1024)
MIDDLE = BenchBag("staged-middle", 1_000, MIB)
TINY = BenchBag("staged-tiny", 100_000, 1024)
ROUND_TRIP_SECONDS = 0.020
SAMPLE_FILES = 300
"""So many files the baseline stages over the slow link: all of them would take minutes."""
SAMPLE_LARGE = 2
TAG_FILES = len(TAGS)
PUTS_IN_FLIGHT = 128
SETTLE_SECONDS_A_FILE = 0.0005
BEFORE = ("pre-fetch", "validator", "reingest-manager")
STAGE, TOPIC = "Copy To Staging", "ingest04_staging"


@dataclass(frozen=True)
class Staged:
    """A bag whose item waits at staging, and a link to the store."""

    bench: Bench
    bag: BenchBag
    received: ObjectInfo
    item: WorkItem
    link: Link

    @property
    def files(self) -> int:
        found = self.bench.app.services.state.load_object(self.item.id)
        assert found is not None
        return found.file_count

    def stage(self) -> Measured:
        """Our stage, in a process of its own, from nothing staged."""
        self._begin_anew()
        self._empty_staging()
        self.bench.app.services.queue.publish(TOPIC, self.item.id)
        return self._child("stage", self.item.id)

    def one_after_another(self, files: int) -> Measured:
        staging = self.bench.app.settings.buckets.staging
        bucket, key = self.received.bucket, self.received.key
        return self._child("one_after_another", bucket, key, staging, files)

    def plain_puts(self) -> Measured:
        staging = self.bench.app.settings.buckets.staging
        size = self.bag.file_bytes
        self._empty_staging()
        return self._child("plain_puts", staging, self.files, size, PUTS_IN_FLIGHT)

    def _child(self, name: str, *arguments: object) -> Measured:
        where = (self.bench.folder, self.link.url)
        argv = [sys.executable, "-m", "bench.staging_children", name, *map(str, where)]
        return measured([*argv, *map(str, arguments)])

    def _begin_anew(self) -> None:
        """As the stages before staging left the item."""
        services, item_id = self.bench.app.services, self.item.id
        lease = services.state.take_lease(item_subject(item_id), owner="bench", seconds=600)
        assert lease is not None
        for batch in services.state.iter_files(item_id, batch=1_000):
            for entry in batch:
                entry.file.copied_to_staging_at = NEVER
            services.state.commit(lease, files=[entry.file for entry in batch])
        services.state.commit(lease, result=WorkResult(operation=TOPIC))
        services.state.drop_lease(lease)
        item = services.registry.work_item(item_id)
        assert item is not None
        item.stage, item.status = STAGE, "Pending"
        services.registry.save_work_item(item)
        services.queue.discard("ingest05_format_identification", item_id)

    def _empty_staging(self) -> None:
        """Nothing is left; the store, which removes bytes behind its answers, may finish that."""
        objects, staging = self.bench.app.services.objects, self.bench.app.settings.buckets
        keys = [found.key for found in objects.list(staging.staging)]
        objects.delete_many(staging.staging, keys)
        time.sleep(len(keys) * SETTLE_SECONDS_A_FILE)


@contextmanager
def _at_staging(bag: BenchBag, round_trip: float) -> Iterator[Staged]:
    """Engines of its own, the bag received and brought to staging, and a link to the store."""
    with bench_house() as bench:
        received = bench.receive(bag)
        item = bench.item(received)
        _bring(bench, item)
        with link_to(bench.app.settings.s3.endpoint, round_trip) as link:
            yield Staged(bench, bag, received, item, link)


def _bring(bench: Bench, item: WorkItem) -> None:
    app = bench.app
    worker = app.worker([step for step in app.ingest_line if step.name in BEFORE])
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        deadline = time.monotonic() + 1800
        while time.monotonic() < deadline:
            found = app.services.registry.work_item(item.id)
            if found is not None and found.stage == STAGE:
                app.services.queue.discard(TOPIC, item.id)
                return
            time.sleep(0.1)
        raise RuntimeError("the bag did not come to staging")
    finally:
        worker.stop()
        thread.join()


def run(*, long: bool = False) -> Iterator[Figure]:  # noqa: ARG001 (nothing is longer)
    configure_logs(level="error")
    yield from _large()
    yield from _small()
    yield from _middle()
    yield from _tiny()


def _large() -> Iterator[Figure]:
    """The store copies; what the worker sends and gets is counted on the link."""
    with _at_staging(LARGE, 0.0) as staged:
        before = staged.link.carried()
        ours = staged.stage()
        through = staged.link.carried() - before
        theirs = staged.one_after_another(TAG_FILES + SAMPLE_LARGE)
    size = LARGE.files * LARGE.file_bytes
    sample = SAMPLE_LARGE * LARGE.file_bytes
    yield Figure(
        "staging, 8 files of 512 MiB, copied by the store",
        size / 1e6 / ours.seconds,
        "MB/s",
        {f"one after another, {SAMPLE_LARGE} of them": sample / 1e6 / theirs.seconds},
    )
    yield Figure("  bytes through the worker", through / size * 100, "%", goal="1 %")
    yield Figure("  peak memory", peak_mib([ours]), "MiB", goal="150 MiB")


def _small() -> Iterator[Figure]:
    with _at_staging(SMALL, ROUND_TRIP_SECONDS) as staged:
        yield from _rates(
            staged, "staging, 5,000 files of 4 KiB at 20 ms", 3, "30 times one after another"
        )


def _middle() -> Iterator[Figure]:
    with _at_staging(MIDDLE, ROUND_TRIP_SECONDS) as staged:
        yield from _rates(
            staged,
            "staging, 1,000 files of 1 MiB at 20 ms",
            2,
            "3 times one after another, 0.80 of plain puts",
        )


def _tiny() -> Iterator[Figure]:
    with _at_staging(TINY, 0.0) as staged:
        yield from _rates(
            staged, "staging, 100,000 files of 1 KiB, no delay", 1, "0.80 of plain puts"
        )


def _rates(staged: Staged, name: str, rounds: int, goal: str) -> Iterator[Figure]:
    """Files a second beside the baseline (a sample of the files) and plain concurrent puts."""
    found = alternate(
        {
            "ours": staged.stage,
            "plain": staged.plain_puts,
            "baseline": lambda: staged.one_after_another(SAMPLE_FILES),
        },
        rounds,
    )
    files, ours = staged.files, found["ours"]
    baseline = f"one after another, {SAMPLE_FILES} of them"
    plain = f"plain puts, {PUTS_IN_FLIGHT} in flight"
    yield Figure(
        name,
        _rate(files, ours),
        "files/s",
        {
            baseline: _rate(SAMPLE_FILES, found["baseline"]),
            plain: _rate(files, found["plain"]),
        },
        goal,
        {plain: median_ratio(ours, found["plain"])},
    )
    yield Figure("  peak memory", peak_mib(ours), "MiB", goal="250 MiB")


def _rate(files: int, runs: Sequence[Measured]) -> float:
    return files / median_of([run.seconds for run in runs])
