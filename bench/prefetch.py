"""The pre-fetch stage over the embedded engines: rates, memory, round trips, kills."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bagline.app import App
from bagline.config import load_settings
from bagline.lines.ingest.notes import read_notes
from bagline.logs import configure_logs
from bagline.model.registry import Institution
from bagline.model.subject import item_subject
from bagline.model.workitem import WorkItem
from bagline.services.objects.base import ObjectInfo, Target
from bench.check import LARGE, MILLION, SMALL
from bench.figures import Figure, median_of
from bench.making import BenchBag, gathered
from bench.measuring import MIB, Measured, alternate, child, median_ratio, median_seconds, peak_mib

ROUNDS = 3
KILLS = 3
KILLED = BenchBag("killed", 32, 64 * MIB)
ONE_LARGE = BenchBag("one-large", 1, 4 * 1024 * MIB)
SPARE_BYTES = 20 * 1024 * MIB


@dataclass(frozen=True)
class Bench:
    """A app on engines of its own, and bags in its receiving bucket."""

    app: App
    folder: Path
    institution: Institution

    def receive(self, bag: BenchBag) -> ObjectInfo:
        """Put the bag where depositors put theirs."""
        target = Target(self.institution.receiving_bucket, f"{bag.name}.tar")
        self.app.services.objects.put_stream(
            target, gathered(bag.chunks()), size=bag.tar_bytes, sha256=""
        )
        os.sync()  # in life a bag has been on its disk for a while when its turn comes
        return self.app.services.objects.head(target.bucket, target.key)

    def item(self, received: ObjectInfo) -> WorkItem:
        return self.app.bucket_reader().make_item(self.institution, received)

    def stage(self, received: ObjectInfo) -> Measured:
        """Pre-fetch a new item of the bag in a process of its own; forget it afterwards."""
        item = self.item(received)
        found = child("stage", self.folder, item.id)
        self.forget(item)
        return found

    def get(self, received: ObjectInfo) -> Measured:
        return child("get_and_digest", self.folder, received.bucket, received.key)

    def forget(self, item: WorkItem) -> None:
        """As if the item had never been: the next one of its name finds a free line."""
        services = self.app.services
        lease = services.state.take_lease(item_subject(item.id), owner="bench", seconds=60)
        assert lease is not None
        services.state.delete_item(lease)
        services.state.drop_lease(lease)
        services.queue.discard("ingest02_bag_validation", item.id)
        now = services.registry.work_item(item.id)
        assert now is not None
        now.status, now.retry = "Failed", False
        services.registry.save_work_item(now)

    def remove(self, received: ObjectInfo) -> None:
        self.app.services.objects.delete(received.bucket, received.key)


@contextmanager
def bench_house() -> Iterator[Bench]:
    with (
        tempfile.TemporaryDirectory(prefix="bagline-bench-") as folder,
        App.open(load_settings(data_dir=Path(folder))) as app,
    ):
        yield Bench(app, Path(folder), app.ensure_institution("test.edu"))


def run(*, long: bool = False) -> Iterator[Figure]:
    configure_logs(level="error")
    with bench_house() as bench:
        yield from _large(bench)
        yield from _small(bench)
        yield from _kills(bench)
    if long:
        yield from _long()


def _large(bench: Bench) -> Iterator[Figure]:
    received = bench.receive(LARGE)
    found = alternate(
        {"ours": lambda: bench.stage(received), "get": lambda: bench.get(received)}, ROUNDS
    )
    bench.remove(received)
    megabytes = received.size / 1e6
    yield Figure(
        "pre-fetch, 4 files of 512 MiB",
        megabytes / median_seconds(found["ours"]),
        "MB/s",
        {"GET plus four digests": megabytes / median_seconds(found["get"])},
        "0.90 of GET plus four digests",
        {"GET plus four digests": median_ratio(found["ours"], found["get"])},
    )
    yield from _asked(found["ours"])


def _small(bench: Bench) -> Iterator[Figure]:
    received = bench.receive(SMALL)
    found = alternate(
        {"ours": lambda: bench.stage(received), "get": lambda: bench.get(received)}, ROUNDS
    )
    bench.remove(received)
    rate = SMALL.files / median_seconds(found["ours"])
    yield Figure("pre-fetch, 50,000 files of 4 KiB", rate, "files/s", goal="8,000")
    yield from _asked(found["ours"])


def _asked(runs: list[Measured], memory: str = "200") -> Iterator[Figure]:
    """Memory, Redis round trips and Registry calls of the stage."""
    facts = runs[-1].facts
    trips, files = facts["round_trips"], facts["files"]
    yield Figure("  peak memory", peak_mib(runs), "MiB", goal=memory)
    yield Figure("  Redis round trips of the stage", trips, "")
    if files > 1000:
        yield Figure("  files a Redis round trip", files / trips, "files", goal="200")
    yield Figure("  Registry calls of worker and stage", facts["registry_calls"], "", goal="5")


def _kills(bench: Bench) -> Iterator[Figure]:
    """kill -9 somewhere in a 2 GiB bag; the next worker goes on from the checkpoint."""
    received = bench.receive(KILLED)
    whole = bench.stage(received).seconds
    dice = random.Random(3)
    twice = [_killed(bench, received, whole * dice.uniform(0.2, 0.9), n) for n in range(KILLS)]
    bench.remove(received)
    goal = "64 MiB (the file it was in) and a window"
    yield Figure("killed: bytes read twice, median", median_of(twice) / MIB, "MiB", goal=goal)
    yield Figure("killed: bytes read twice, most", max(twice) / MIB, "MiB", goal=goal)


def _killed(bench: Bench, received: ObjectInfo, after: float, number: int) -> float:
    """Bytes that two workers read of the bag beyond its length."""
    item = bench.item(received)
    counter = bench.folder / f"counter-{number}"
    argv = [sys.executable, "-m", "bench.children", "stage", str(bench.folder), str(item.id)]
    first = subprocess.Popen([*argv, str(counter)])
    _until_reading(bench, item)
    time.sleep(after)
    first.kill()
    first.wait()
    notes = read_notes(bench.app.services.state.load_checkpoint(item.id))
    if notes is None or notes.finished or notes.scan is None:
        raise RuntimeError("the worker was killed too early or too late for a figure")
    bench.app.services.state.break_leases(lambda _: True)
    bench.app.services.queue.publish("ingest01_prefetch", item.id)
    subprocess.run([*argv, str(counter)], check=True, stdout=subprocess.DEVNULL)
    bench.forget(item)
    return int.from_bytes(counter.read_bytes(), "little") - received.size


def _until_reading(bench: Bench, item: WorkItem) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if bench.app.services.state.load_checkpoint(item.id):
            return
        time.sleep(0.01)
    raise RuntimeError("the worker did not begin")


def _long() -> Iterator[Figure]:
    """One file of 4 GiB, then a million files: each on engines of its own."""
    if shutil.disk_usage(tempfile.gettempdir()).free < SPARE_BYTES:
        raise RuntimeError("the long benches need 20 GiB of room in the temporary directory")
    for bag, memory in ((ONE_LARGE, "200"), (MILLION, "400")):
        with bench_house() as bench:
            received = bench.receive(bag)
            found = bench.stage(received)
            name = f"pre-fetch, {bag.files:,} of {bag.file_bytes:,} bytes"
            yield Figure(name, received.size / 1e6 / found.seconds, "MB/s")
            yield Figure("  files", found.facts["files"] / found.seconds, "files/s")
            yield from _asked([found], memory)
