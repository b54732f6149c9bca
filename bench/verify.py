"""What reading copies back costs before the tar goes, beside the store's word and plain GETs."""

from __future__ import annotations

import hashlib
import resource
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from bagline.app import App
from bagline.config import VerifySettings
from bagline.logs import configure_logs
from bagline.model.subject import item_subject
from bagline.model.workitem import STAGE_RECORD, STAGE_STORAGE_VALIDATION, STATUS_PENDING, WorkItem
from bench.figures import Figure
from bench.making import BenchBag
from bench.prefetch import Bench, bench_house

BAGS = (BenchBag("small", 5_000, 4096), BenchBag("large", 4, 256 * 1024**2))
WAYS = ("1/100000", "one_copy", "all")
AT_ONCE = 16
VERIFIER = "preservation-verifier"
TOPIC = "ingest07_storage_validation"


def run(*, long: bool = False) -> Iterator[Figure]:  # noqa: ARG001 (nothing is longer)
    configure_logs(level="error")
    for bag in BAGS:
        with bench_house() as bench:
            yield from _of_bag(bench, bag)


def _of_bag(bench: Bench, bag: BenchBag) -> Iterator[Figure]:
    app, item = bench.app, bench.item(bench.receive(bag))
    names = [step.name for step in app.ingest_line]
    with _working(app, names[: names.index(VERIFIER)]):
        _wait(app, item, STAGE_STORAGE_VALIDATION)
    app.services.queue.discard(TOPIC, item.id)
    took = {way: _verified(app, item, way) for way in WAYS}
    plain = _plain_gets(app, item)
    word, _ = took[WAYS[0]]
    for way, (seconds, cpu) in took.items():
        against = {"plain GETs of all, with SHA-256": plain, "the store's word": word}
        name = f"{2 * bag.files:,} copies, {bag.name} files, read back: {way}"
        yield Figure(name, seconds, "s", against=against)
        yield Figure("  CPU of the worker", cpu, "s")


def _verified(app: App, item: WorkItem, way: str) -> tuple[float, float]:
    """Seconds and CPU seconds of the stage, done all over again."""
    services = app.services
    app.settings.verify = VerifySettings(read_back=way)
    lease = services.state.take_lease(item_subject(item.id), owner="bench", seconds=60)
    assert lease is not None
    services.state.forget_proofs(lease)
    services.state.drop_lease(lease)
    now = services.registry.work_item(item.id)
    assert now is not None
    now.stage, now.status = STAGE_STORAGE_VALIDATION, STATUS_PENDING
    services.registry.save_work_item(now)
    services.queue.publish(TOPIC, item.id)
    began, cpu = time.perf_counter(), _cpu()
    with _working(app, [VERIFIER]):
        _wait(app, item, STAGE_RECORD)
        return time.perf_counter() - began, _cpu() - cpu


def _plain_gets(app: App, item: WorkItem) -> float:
    """The same bytes, by so many GETs at once and one SHA-256 each: nothing else."""
    objects = app.services.objects
    wanted = [
        (target.bucket, entry.file.uuid, entry.file.size)
        for batch in app.services.state.iter_files(item.id)
        for entry in batch
        if entry.file.storage_records
        for target in app.settings.storage_option("Standard").targets
    ]

    def one(copy: tuple[str, str, int]) -> None:
        bucket, key, size = copy
        hasher = hashlib.sha256()
        if size <= 1024**2:
            hasher.update(objects.read(bucket, key, length=size))
            return
        for chunk in objects.stream(bucket, key, length=size):
            hasher.update(chunk)

    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, wanted))
    return time.perf_counter() - began


@contextmanager
def _working(app: App, names: list[str]) -> Iterator[None]:
    worker = app.worker([step for step in app.ingest_line if step.name in names])
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


def _wait(app: App, item: WorkItem, stage: str) -> None:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        now = app.services.registry.work_item(item.id)
        if now is not None and now.stage == stage:
            return
        time.sleep(0.01)
    raise TimeoutError(f"{item.name} did not come to {stage}")


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
