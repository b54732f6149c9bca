"""Every stage of the line beside its floor: wall and CPU, of the engines too, store by store.

Each stage works in a process of its own, as `bagline worker STEP` does, on a bag that nothing
else shares the machine with; then its floor (`bench.floors`) does the same with bare clients.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psutil

from bagline.app import App
from bagline.config import load_settings
from bagline.logs import configure_logs
from bagline.model.registry import Institution
from bagline.model.workitem import WorkItem
from bench.figures import Figure, median_of
from bench.floors import FLOORS, Given
from bench.making import BenchBag
from bench.prefetch import Bench
from bench.slow_link import Link, link_to

TOOLS = Path(__file__).parents[1] / ".tools"
MIDDLE = BenchBag("middle", 1_000, 200_000)
SMALL = BenchBag("small", 20_000, 4 * 1024)
ROUNDS = {MIDDLE: 3, SMALL: 1}
GOAL = 1.5
"""Of the floor, at most: a stage, in wall and CPU."""
GOAL_IN_ALL = 1.4
UP_SECONDS = 20.0
MINIO_KEYS = ("bench-access", "bench-secret")
STORES = ("SeaweedFS", "MinIO")


@dataclass
class Spent:
    """Seconds of one stage or floor: by the clock, of its process, of the engines."""

    wall: float
    cpu: float
    engines: float
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class House:
    """A line over one store; `environ` tells its processes where all is."""

    bench: Bench
    environ: dict[str, str]
    engines: Sequence[psutil.Process]
    redis_url: str
    link: Link | None = None

    def run(self, argv: Sequence[str], given: bytes = b"", *, under: Sequence[str] = ()) -> Spent:
        """A module and its arguments, in a process of its own, or `under` another's."""
        before = self._engines_cpu()
        done = subprocess.run(
            [*under, sys.executable, "-m", *argv],
            input=given,
            stdout=subprocess.PIPE,
            env=os.environ | self.environ,
            check=True,
        )
        facts = json.loads(next(line for line in done.stdout.splitlines() if line[:1] == b"{"))
        spent = self._engines_cpu() - before
        return Spent(facts["seconds"], facts["cpu"], spent, facts)

    def _engines_cpu(self) -> float:
        times = [process.cpu_times() for process in self.engines]
        return sum(each.user + each.system for each in times)


def run(*, long: bool = False) -> Iterator[Figure]:  # noqa: ARG001 (nothing is longer)
    configure_logs(level="error")
    for store in STORES:
        if store == "MinIO" and not (TOOLS / "minio").exists():
            print("  MinIO is missing: `make tools` builds it", flush=True)
            continue
        for bag, rounds in ROUNDS.items():
            with house_over(store) as house:
                found = [_through(house, bag, number) for number in range(rounds)]
            yield from _figures(store, bag, found)


def _through(house: House, bag: BenchBag, number: int) -> dict[str, tuple[Spent, Spent | None]]:
    """By step: what it spent, and its floor."""
    bench = house.bench
    received = bench.receive(BenchBag(f"{bag.name}-{number}", bag.files, bag.file_bytes))
    item = bench.item(received)
    given: Given | None = None
    found: dict[str, tuple[Spent, Spent | None]] = {}
    for step in bench.app.ingest_line:
        ours = house.run(["bench.stages_child", str(bench.folder), step.name, str(item.id)])
        given = given or _given(house, item, received.key)
        floor = None
        if step.name in FLOORS:
            floor = house.run(["bench.floors", step.name], msgspec.json.encode(given))
        found[step.name] = ours, floor
    _sweep(house)
    return found


def _given(house: House, item: WorkItem, tar: str) -> Given:
    """What the floors work on: known once pre-fetch has read the bag."""
    app = house.bench.app
    s3, buckets = app.settings.s3, app.settings.buckets
    entries = [
        entry
        for batch in app.services.state.iter_files(item.id)
        for entry in batch
        if entry.span is not None and entry.file.path_in_bag.startswith("data/")
    ]
    return Given(
        endpoint=s3.endpoint,
        access_key=s3.access_key.reveal(),
        secret_key=s3.secret_key.reveal(),
        redis_url=house.redis_url,
        receiving=item.bucket,
        tar=tar,
        staging=buckets.staging,
        preservation=[t.bucket for t in app.settings.storage_option("Standard").targets],
        prefix=f"{item.id}/",
        keys=[entry.file.uuid for entry in entries],
        spans=[(e.span.data_offset, e.file.size) for e in entries if e.span is not None],
        database=str(house.bench.folder / "registry.db"),
    )


def _sweep(house: House) -> None:
    """What floors left in preservation."""
    app = house.bench.app
    for target in app.settings.storage_option("Standard").targets:
        objects = app.services.store_of(target)
        objects.delete_many(target.bucket, [f.key for f in objects.list(target.bucket, "floor/")])


def _figures(
    store: str, bag: BenchBag, found: Sequence[dict[str, tuple[Spent, Spent | None]]]
) -> Iterator[Figure]:
    about = f"{store}, {bag.files:,} x {bag.file_bytes / 1000:.0f} kB"
    sums = {"ours": 0.0, "floor": 0.0, "all of ours": 0.0, "all of the floor": 0.0, "wall": 0.0}
    for name in found[0]:
        ours = _median([each[name][0] for each in found])
        floors = [floor for each in found if (floor := each[name][1]) is not None]
        sums["wall"] += ours.wall
        sums["ours"] += ours.cpu
        sums["all of ours"] += ours.cpu + ours.engines
        floor = _median(floors) if floors else None
        walls = {"its floor": floor.wall} if floor else {}
        cpus = {"its floor": floor.cpu} if floor else {}
        goal = f"{GOAL}" if floor else ""
        yield Figure(f"{about}: {name}", ours.wall, "s", walls, goal)
        yield Figure("  CPU of its process", ours.cpu, "s", cpus, goal)
        engines = {"its floor's": floor.engines} if floor and floor.engines else {}
        yield Figure("  CPU of the engines", ours.engines, "s", engines)
        own, children = ours.facts["own_mib"], ours.facts["children_mib"]
        yield Figure("  memory of its own, PSS", own, "MiB")
        if children > 1:
            yield Figure("  memory of its children, PSS", children, "MiB")
        if floor:
            sums["floor"] += floor.cpu
            sums["all of the floor"] += floor.cpu + floor.engines
    yield Figure(f"{about}: all stages", bag.files / sums["wall"], "files/s")
    yield Figure("  CPU of their processes", sums["ours"], "s", {"the floors": sums["floor"]})
    yield Figure(
        "  with the engines'",
        sums["all of ours"],
        "s",
        {"the floors": sums["all of the floor"]},
        f"{GOAL_IN_ALL}",
    )


def _median(runs: Sequence[Spent]) -> Spent:
    return Spent(
        median_of([run.wall for run in runs]),
        median_of([run.cpu for run in runs]),
        median_of([run.engines for run in runs]),
        runs[-1].facts,
    )


@contextmanager
def house_over(store: str, round_trip: float | None = None) -> Iterator[House]:
    """The embedded engines, and in SeaweedFS' place, if so named, MinIO. With `round_trip` the
    store is that many seconds away, behind a link that counts."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bagline-bench-")))
        app = stack.enter_context(App.open(load_settings(data_dir=folder, environ={})))
        engines = psutil.Process().children(recursive=True)
        s3 = app.settings.s3
        endpoint, keys = s3.endpoint, (s3.access_key.reveal(), s3.secret_key.reveal())
        if store == "MinIO":
            endpoint, process = stack.enter_context(_minio(folder / "minio"))
            keys = MINIO_KEYS
            engines = [each for each in engines if "weed" not in each.name()]
            engines.append(psutil.Process(process.pid))
        link = None
        if round_trip is not None:
            link = stack.enter_context(link_to(endpoint, round_trip))
            endpoint = link.url
        redis_url = app.settings.redis_url.reveal()
        environ = {
            "BAGLINE_S3_ENDPOINT": endpoint,
            "BAGLINE_S3_ACCESS_KEY": keys[0],
            "BAGLINE_S3_SECRET_KEY": keys[1],
            "BAGLINE_S3_ALLOW_HTTP": "true",
            "BAGLINE_REDIS_URL": redis_url,
        }
        folder = folder / "line"
        app = stack.enter_context(App.open(load_settings(data_dir=folder, environ=environ)))
        _make_buckets(app)
        registry = app.services.registry
        institution = registry.institution("test.edu") or registry.save_institution(
            Institution(identifier="test.edu", name="Test", receiving_bucket="receiving.test.edu")
        )
        app.services.objects.ensure_bucket(institution.receiving_bucket)
        yield House(Bench(app, folder, institution), environ, engines, redis_url, link)


def _make_buckets(app: App) -> None:
    targets = app.settings.storage_option("Standard").targets
    for bucket in (app.settings.buckets.staging, *(target.bucket for target in targets)):
        app.services.objects.ensure_bucket(bucket)


@contextmanager
def _minio(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    endpoint = f"http://127.0.0.1:{_free_port()}"
    argv = [
        str(TOOLS / "minio"), "server", "--quiet", "--address", endpoint.removeprefix("http://"),
        "--console-address", f"127.0.0.1:{_free_port()}", str(folder / "data"),
    ]  # fmt: skip
    environ = os.environ | {
        "MINIO_ROOT_USER": MINIO_KEYS[0],
        "MINIO_ROOT_PASSWORD": MINIO_KEYS[1],
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    (folder / "data").mkdir(parents=True)
    process = subprocess.Popen(argv, env=environ, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + UP_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError), urllib.request.urlopen(f"{endpoint}/minio/health/live"):
                break
            time.sleep(0.05)
        yield endpoint, process
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port
