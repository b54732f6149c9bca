"""Bags through the whole line: with one command, eight at once on one `worker all`, far away.

The workers are those of `bagline worker all`, one process of them unless told otherwise.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil

from bagline.logs import configure_logs
from bagline.model.workitem import STATUS_SUCCESS, WorkItem
from bench.figures import Figure
from bench.making import BenchBag
from bench.slow_link import link_to
from bench.stages import House, house_over
from bench.stages_child import pss_bytes

MIB = 1024 * 1024
ONE = BenchBag("one", 1_000, 200_000)
EIGHT = [BenchBag(f"eighth-{number}", 125, 200_000) for number in range(8)]
AWAY = BenchBag("away", 1_000, 200_000)
MILLION = BenchBag("million", 1_000_000, 16, storage_option="Wasabi-OR")
"""Into one preservation bucket: two add to preservation and verification alone."""
ROUND_TRIP_SECONDS = 0.020
LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 900.0
LONG_PATIENCE_SECONDS = 6 * 3600.0
SETTLED_SECONDS = 8.0
"""After the start of a worker that has nothing to do."""


def run(*, long: bool = False) -> Iterator[Figure]:
    configure_logs(level="error")
    yield from _one_command()
    yield from _eight()
    yield from _away()
    if long:
        yield from _million()


def _one_command() -> Iterator[Figure]:
    """`bagline ingest` of one bag on a machine where nothing runs yet, engines and all."""
    with tempfile.TemporaryDirectory(prefix="bagline-bench-") as folder:
        tar = Path(folder) / f"{ONE.name}.tar"
        tar.write_bytes(b"".join(ONE.chunks()))
        before = _children_cpu()
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "bagline", "ingest", str(tar), "--json"],
            env=os.environ | {"BAGLINE_DATA_DIR": str(Path(folder) / "line")},
            stdout=subprocess.PIPE,
            check=True,
        )
        seconds = time.perf_counter() - began
        (bag,) = json.loads(done.stdout)["bags"]
        if bag["status"] != STATUS_SUCCESS:
            raise RuntimeError(f"the bag did not arrive: {bag['note']}")
    about = f"bagline ingest, {ONE.files:,} x {ONE.file_bytes / 1000:.0f} kB"
    yield Figure(about, seconds, "s", goal="12 s")
    spent = _children_cpu() - before
    cores = os.cpu_count() or 1
    yield Figure("  CPU of all, start to end", spent, "s", {"a core's": seconds * cores})


def _eight() -> Iterator[Figure]:
    with house_over("SeaweedFS") as house:
        in_turn, not_busy = _through(house, [[bag] for bag in EIGHT])
        renamed = [BenchBag(f"{bag.name}-again", bag.files, bag.file_bytes) for bag in EIGHT]
        at_once, busy = _through(house, [renamed])
    yield Figure("eight bags at once on one `worker all`", at_once, "s", {"in turn": in_turn})
    yield Figure("  of the cores' time, workers and engines", busy, "", {"in turn": not_busy})


def _away() -> Iterator[Figure]:
    seconds = []
    for round_trip in (None, ROUND_TRIP_SECONDS):
        with house_over("SeaweedFS", round_trip) as house, _redis_away(house, round_trip) as away:
            seconds.append(_through(away, [[AWAY]])[0])
    here, there = seconds
    about = f"{AWAY.files:,} x {AWAY.file_bytes / 1000:.0f} kB, S3 and Redis 20 ms away"
    yield Figure(about, there, "s", {"beside it": here})


def _million() -> Iterator[Figure]:
    with house_over("SeaweedFS") as house:
        seconds, _ = _through(house, [[MILLION]], patience=LONG_PATIENCE_SECONDS, tells=True)
    yield Figure("a bag of 1,000,000 files", MILLION.files / seconds, "files/s")


@contextmanager
def _redis_away(house: House, round_trip: float | None) -> Iterator[House]:
    if round_trip is None:
        yield house
        return
    parts = urlsplit(house.redis_url)
    with link_to(house.redis_url, round_trip) as link:
        login = parts.netloc.rpartition("@")[0]
        place = urlsplit(link.url).netloc
        netloc = f"{login}@{place}" if login else place
        url = urlunsplit(parts._replace(netloc=netloc))
        yield House(
            house.bench, house.environ | {"BAGLINE_REDIS_URL": url}, house.engines, url, house.link
        )


def _through(
    house: House,
    groups: Sequence[Sequence[BenchBag]],
    *,
    patience: float = PATIENCE_SECONDS,
    tells: bool = False,
) -> tuple[float, float]:
    """Seconds for all groups, the bags of each at once; and the share of the machine's cores that
    workers and engines used meanwhile."""
    bench = house.bench
    received = [[bench.receive(bag) for bag in group] for group in groups]
    argv = [sys.executable, "-m", "bagline", "worker", "all", "--data-dir", str(bench.folder)]
    worker = subprocess.Popen(argv, env=os.environ | house.environ, stderr=subprocess.DEVNULL)
    try:
        time.sleep(SETTLED_SECONDS)
        cpu, began = _cpu(house, worker.pid), time.perf_counter()
        for group in received:
            items = [bench.item(each) for each in group]
            _wait(house, items, patience, worker.pid if tells else 0)
        seconds = time.perf_counter() - began
        spent = _cpu(house, worker.pid) - cpu
    finally:
        worker.terminate()
        worker.wait(60)
    return seconds, spent / seconds / (os.cpu_count() or 1)


def _wait(house: House, items: Sequence[WorkItem], patience: float, told_pid: int) -> None:
    registry = house.bench.app.services.registry
    deadline = time.monotonic() + patience
    stage, since = "", time.monotonic()
    left = {item.id for item in items}
    while left and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        for number in list(left):
            item = registry.work_item(number)
            assert item is not None
            if told_pid and item.stage != stage:
                _tell(stage, since, told_pid)
                stage, since = item.stage, time.monotonic()
            if item.is_completed:
                if item.status != STATUS_SUCCESS:
                    raise RuntimeError(f"{item.name} did not arrive: {item.note}")
                left.remove(number)
    if left:
        raise RuntimeError(f"work items {sorted(left)} did not end in {patience:.0f} s")


def _tell(stage: str, since: float, pid: int) -> None:
    if stage:
        held, seconds = pss_bytes(pid) / MIB, time.monotonic() - since
        print(f"  {stage}: {seconds:,.0f} s; worker {held:.0f} MiB then", flush=True)


def _cpu(house: House, pid: int) -> float:
    worker = psutil.Process(pid)
    with ExitStack() as stack:
        every = [worker, *worker.children(recursive=True), *house.engines]
        for each in every:
            stack.enter_context(each.oneshot())
        times = [each.cpu_times() for each in every]
    return sum(each.user + each.system for each in times)


def _children_cpu() -> float:
    """Of processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
