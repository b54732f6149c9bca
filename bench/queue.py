"""The queue and the worker loop: tiny bags through pre-fetch and validator, in two processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from bagline.app import App
from bagline.config import QueueSettings, load_settings
from bagline.logs import configure_logs
from bagline.model.registry import Institution
from bagline.services.objects.base import Body, Target
from bagline.services.queue.base import Queue
from bagline.services.registry.base import WorkItemFilter
from bagline.wiring import build_queue
from bench.figures import Figure
from bench.making import tiny_bag

BAGS = 2_000
PROCESSES = 2
PATIENCE_SECONDS = 900.0
LOOK_SECONDS = 2.0
"""Between looks at all the items: they cost what would be measured."""
TOPIC = "bench"
TOOLS = Path(__file__).parents[1] / ".tools"


def run(*, long: bool = False) -> Iterator[Figure]:  # noqa: ARG001
    configure_logs(level="error")
    with tempfile.TemporaryDirectory(prefix="bagline-bench-") as place:
        with nsqd_running(Path(place) / "nsqd") as queue:
            bare = bare_rate(queue)
            over_nsq = through_the_line(Path(place) / "nsq", queue)
        over_redis = through_the_line(Path(place) / "redis", QueueSettings())
    yield Figure(
        f"{BAGS:,} one-file bags over NSQ, {PROCESSES} processes",
        over_nsq["rate"],
        "items/s",
        {"the same over Redis": over_redis["rate"], "bare NSQ messages": bare},
    )
    for name, found in (("NSQ", over_nsq), ("Redis", over_redis)):
        yield Figure(f"  {name}: of an item's time, outside its stages", found["outside"], "%")
        yield Figure(f"  {name}: of the threads' time, outside stages", found["idle"], "%")
        yield Figure(f"  {name}: Registry calls an item", found["registry_calls"], "")
        yield Figure(f"  {name}: Redis round trips an item", found["round_trips"], "")
        yield Figure(f"  {name}: CPU of the workers an item", found["cpu"], "ms")
        yield Figure(f"  {name}: CPU of the engines an item", found["engines"], "ms")


def through_the_line(folder: Path, queue: QueueSettings) -> dict[str, float]:
    """Rate of the bags, each an item that goes through two stages; shares in per cent, the rest
    for each item."""
    settings = load_settings(data_dir=folder)
    settings.queue = queue
    with App.open(settings) as app:
        deposit(app, app.ensure_institution("test.edu"))
        engines = psutil.Process().children(recursive=True)
        before = _cpu_seconds(engines)
        children = [_child(folder, queue) for _ in range(PROCESSES)]
        try:
            wait_until_validated(app)
        finally:
            for child in children:
                child.send_signal(signal.SIGTERM)
            found = [json.loads(child.communicate(timeout=60)[0]) for child in children]
        spent = _cpu_seconds(engines) - before
    return _added_up(found) | {"engines": 1_000 * spent / BAGS}


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return float(sum(each.user + each.system for each in times))


def _added_up(found: list[dict[str, Any]]) -> dict[str, float]:
    wall = max(f["ended"] for f in found) - min(f["began"] for f in found)
    held, inside, threads = (sum(f[name] for f in found) for name in ("held", "inside", "threads"))
    return {
        "rate": BAGS / wall,
        "outside": 100 * (1 - inside / held),
        "idle": 100 * (1 - inside / (threads * wall)),
        **{
            name: sum(f[name] for f in found) / BAGS
            for name in ("registry_calls", "round_trips", "cpu")
        },
    }


def deposit(app: App, institution: Institution) -> None:
    """Every bag in receiving, and its item at the first topic."""
    bucket = institution.receiving_bucket
    names = [f"tiny{number:04d}" for number in range(BAGS)]
    bodies = (Body(Target(bucket, f"{name}.tar"), tiny_bag(name)) for name in names)
    app.services.objects.put_many(bodies, in_flight=32)
    reader = app.bucket_reader()
    for received in app.services.objects.list(bucket):
        reader.make_item(institution, received)


def wait_until_validated(app: App) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    wanted = WorkItemFilter(stage="Reingest Check")
    while time.monotonic() < deadline:
        if len(app.services.registry.work_items(wanted, limit=BAGS)) == BAGS:
            return
        time.sleep(LOOK_SECONDS)
    raise RuntimeError("the bags did not come through")


def _child(folder: Path, queue: QueueSettings) -> subprocess.Popen[bytes]:
    environ = os.environ | {
        "BAGLINE_QUEUE_KIND": queue.kind,
        "BAGLINE_QUEUE_NSQD_TCP": queue.nsqd_tcp,
        "BAGLINE_QUEUE_NSQD_HTTP": queue.nsqd_http,
    }
    argv = [sys.executable, "-m", "bench.queue_child", str(folder)]
    return subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE)


def bare_rate(settings: QueueSettings) -> float:
    """Messages a second: published one by one, received and ended one by one, no work done."""
    asked = load_settings(environ={})
    asked.queue = settings
    queue = build_queue(asked)
    try:
        _pass_on(queue, 100)  # the topic and its channel are made
        began = time.perf_counter()
        _pass_on(queue, BAGS)
        return BAGS / (time.perf_counter() - began)
    finally:
        queue.close()


def _pass_on(queue: Queue, count: int) -> None:
    for number in range(1, count + 1):
        queue.publish(TOPIC, number)
    subscription = queue.subscribe(TOPIC, owner="bench/1")
    for _ in range(count):
        delivery = subscription.receive(10)
        if delivery is None:
            raise RuntimeError("nsqd gave back less than was published")
        delivery.ack()
    subscription.close()


@contextmanager
def nsqd_running(folder: Path) -> Iterator[QueueSettings]:
    """One nsqd on loopback, as settings. Raises RuntimeError where there is none."""
    path = shutil.which("nsqd", path=f"{TOOLS}{os.pathsep}{os.environ.get('PATH', '')}")
    if path is None:
        raise RuntimeError("nsqd is missing: `make tools` builds it")
    folder.mkdir(parents=True)
    tcp, http = f"127.0.0.1:{_free_port()}", f"127.0.0.1:{_free_port()}"
    argv = [path, f"-tcp-address={tcp}", f"-http-address={http}", f"-data-path={folder}"]
    process = subprocess.Popen([*argv, "-log-level=error"])
    try:
        _wait_for(f"http://{http}/ping")
        yield QueueSettings(kind="nsq", nsqd_tcp=tcp, nsqd_http=http)
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{url} does not answer")
