"""Staging killed again and again: what the store has is not copied again, and nothing is left."""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path

from bagline.embedded import EngineAddresses
from bagline.model.workitem import WorkItem
from bagline.services.objects.base import Piece
from bagline.worker.owner import is_dead
from support.bags import BagBuilder
from support.commands import COMMAND
from support.line import LineUnderTest, line_under_test
from support.proxy import Proxy, proxy_before

FILES = 3_000
KILLS = 20
LARGE_BYTES = 64 * 1024
COPIES_IN_FLIGHT = 8
PUTS_IN_FLIGHT = 32
REPEATS = PUTS_IN_FLIGHT + COPIES_IN_FLIGHT
"""Requests that may be under way when a worker dies: only what they carried is sent again."""
PROBES = "bagline-probe/"
"""What a worker that dies while it asks the store leaves there; a later one removes it."""
ANY, WRITES = ("",), ("PUT", "POST")
STAGED = "Format Identification"


def a_bag(chance: random.Random) -> BagBuilder:
    """Small files, and among them some that the store copies by itself."""
    bag = BagBuilder()
    for number in range(FILES):
        size = LARGE_BYTES + number if number % 50 == 7 else chance.randrange(1_500)
        bag.payload(f"{number:04d}.bin", chance.randbytes(size))
    return bag


def worker(line: LineUnderTest, proxy: Proxy, folder: Path) -> subprocess.Popen[bytes]:
    """A process of its own, as `bagline worker` starts one, on the line's services."""
    settings, s3 = line.settings, line.settings.s3
    environ = {
        "BAGLINE_S3_ENDPOINT": proxy.url,
        "BAGLINE_S3_ACCESS_KEY": s3.access_key.reveal(),
        "BAGLINE_S3_SECRET_KEY": s3.secret_key.reveal(),
        "BAGLINE_S3_ALLOW_HTTP": "true",
        "BAGLINE_REDIS_URL": settings.redis_url.reveal(),
        "BAGLINE_BUCKETS_STAGING": settings.buckets.staging,
        "BAGLINE_WORK_COPY_FROM_BYTES": str(LARGE_BYTES),
        "BAGLINE_WORK_COPIES_IN_FLIGHT": str(COPIES_IN_FLIGHT),
        "BAGLINE_WORK_PUTS_IN_FLIGHT": str(PUTS_IN_FLIGHT),
    }
    argv = [*COMMAND, "worker", "staging-uploader", "--data-dir", str(settings.data_dir)]
    with (folder / "worker.log").open("ab") as log:
        return subprocess.Popen(
            argv,
            env=os.environ | environ,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )


def kill_after(
    line: LineUnderTest, proxy: Proxy, folder: Path, requests: int, methods: tuple[str, ...]
) -> None:
    """Let a worker make so many requests of these kinds; then kill -9, and free what it held."""
    process = worker(line, proxy, folder)
    at, deadline = proxy.requests, time.monotonic() + 30
    while requests > 0 and time.monotonic() < deadline:
        assert process.poll() is None, (folder / "worker.log").read_text()[-2000:]
        time.sleep(0.001)
        come = proxy.lines[at:]
        at += len(come)
        requests -= sum(asked.startswith(methods) for asked in come)
    assert requests <= 0
    process.kill()
    process.wait()
    line.app.reconciler().reap(is_dead)


def test_killed_at_twenty_instants_every_file_is_staged_once(
    engines: EngineAddresses, tmp_path: Path
) -> None:
    """More often than the stage's patience: it moves on."""
    chance = random.Random(20)
    bag = a_bag(chance)
    with (
        line_under_test(engines, tmp_path) as line,
        proxy_before(engines.s3_endpoint) as proxy,
    ):
        item = line.deposit("bag.tar", bag.tar())
        with line.working(only=("pre-fetch", "validator", "reingest-manager")):
            line.until(lambda: line.item(item.id).stage == "Copy To Staging", "it", item=item.id)
        runs = []
        for number in range(KILLS):
            before = proxy.requests
            if number % 2:  # also while it asks after what the one before left
                kill_after(line, proxy, tmp_path, chance.randint(5, 500), ANY)
            else:
                kill_after(line, proxy, tmp_path, chance.randint(1, 250), WRITES)
            assert line.item(item.id).stage == "Copy To Staging"
            runs.append(written(proxy.lines[before:], item))
        before = proxy.requests
        last = worker(line, proxy, tmp_path)
        line.until(lambda: line.item(item.id).stage == STAGED, "the end", seconds=60, item=item.id)
        last.terminate()
        last.wait(20)
        runs.append(written(proxy.lines[before:], item))
        assert_staged_once(line, item, bag)
        assert_repeats_are_bounded(runs)


def written(lines: list[str], item: WorkItem) -> set[str]:
    """Keys of the item's files that the request lines put, or begin to copy."""
    keys = set()
    for line in lines:
        method, target, *_ = line.split(" ")
        path, _, query = target.partition("?")
        if method == "PUT" or (method == "POST" and "uploads" in query):
            _, found, key = path.partition(f"/{item.id}/")
            if found:
                keys.add(key)
    return keys


def assert_repeats_are_bounded(runs: list[set[str]]) -> None:
    before: set[str] = set()
    for run in runs:
        assert len(run & before) <= REPEATS
        before |= run
    assert len(before) >= FILES


def assert_staged_once(line: LineUnderTest, item: WorkItem, bag: BagBuilder) -> None:
    records = line.files(item.id)
    bodies = bag.files()
    assert set(records) == set(bodies)
    assert all(record.is_staged for record in records.values())
    staging = line.settings.buckets.staging
    keys = {f"{item.id}/{record.uuid}": bodies[path] for path, record in records.items()}
    assert len(keys) == len(bodies)
    copies = {f"{item.id}/{path}" for path in bodies if "/" not in path}  # pre-fetch's, by name
    stored = {key for key in line.keys(staging) if not key.startswith(PROBES)}
    assert stored == set(keys) | copies
    found = line.services.objects.read_many(staging, [Piece(key) for key in keys])
    assert found == list(keys.values())
    assert line.services.objects.abort_uploads(staging, f"{item.id}/") == 0
