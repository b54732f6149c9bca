"""How soon the engines are up, and how long a tiny bag takes from its first publish."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bagline.app import App
from bagline.config import load_settings
from bagline.embedded import Engines
from bagline.logs import configure_logs
from bench.figures import Figure, median_of
from bench.making import tiny_bag

STARTS = 3
BAGS = 7


def run(*, long: bool = False) -> Iterator[Figure]:  # noqa: ARG001 (nothing is longer)
    configure_logs(level="error")
    with tempfile.TemporaryDirectory(prefix="bagline-bench-") as folder:
        yield Figure("engines up", median_of(list(_starts(Path(folder)))), "s", goal="3 s")
        yield from _tiny_bags(Path(folder))


def _starts(folder: Path) -> Iterator[float]:
    for number in range(STARTS):
        engines = Engines(folder / f"start-{number}")
        began = time.perf_counter()
        engines.start()
        yield time.perf_counter() - began
        engines.stop()


def _tiny_bags(folder: Path) -> Iterator[Figure]:
    """One after another; the first warms buckets and PRONOM and is not counted."""
    with App.open(load_settings(data_dir=folder / "line")) as app:
        worker = app.worker(list(app.ingest_line))
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            took = [_one(app, folder, number) for number in range(BAGS + 1)][1:]
        finally:
            worker.stop()
            thread.join()
    yield Figure("a tiny bag through nine stages, median", median_of(took), "s", goal="2 s")
    yield Figure("a tiny bag through nine stages, worst", max(took), "s", goal="2 s")


def _one(app: App, folder: Path, number: int) -> float:
    depositor = app.ensure_institution("test.edu")
    path = folder / f"tiny{number}.tar"
    path.write_bytes(tiny_bag(f"tiny{number}"))
    item = app.ingest(path, depositor.identifier)
    began = time.perf_counter()
    while time.perf_counter() - began < 60:
        found = app.services.registry.work_item(item.id)
        if found is not None and found.is_completed:
            return time.perf_counter() - began
        time.sleep(0.005)
    raise RuntimeError(f"the tiny bag did not arrive: {found}")
