"""One stage on one item in a process of its own: `-m bench.stages_child DATA_DIR STEP ITEM`.

Prints one line of JSON: seconds and CPU seconds inside the stage, its children's CPU included,
and what the process holds then (PSS: its share of what it shares with others).
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import psutil

from bagline.app import App
from bagline.config import load_settings
from bagline.logs import configure_logs
from bagline.model.subject import item_subject
from bagline.worker.stage import Job, Outcome, Stage
from bench.stage_child import CountedRegistry, RoundTrips

PATIENCE_SECONDS = 1800.0
MIB = 1024 * 1024


class Watched(Stage[Any]):
    """A stage with a stopwatch around `run`."""

    name = "watched"
    facts: ClassVar[dict[str, Any]] = {}

    def __init__(self, stage: Stage[Any]) -> None:
        self._stage = stage
        self.begins_anew = stage.begins_anew  # type: ignore[misc]

    def run(self, job: Job) -> Outcome:
        wall, cpu, trips = time.perf_counter(), cpu_seconds(), RoundTrips.count
        try:
            return self._stage.run(job)
        finally:
            Watched.facts = {
                "seconds": time.perf_counter() - wall,
                "cpu": cpu_seconds() - cpu,
                "round_trips": RoundTrips.count - trips,
                "own_mib": pss_bytes(os.getpid()) / MIB,
                "children_mib": sum(pss_bytes(c.pid) for c in psutil.Process().children()) / MIB,
            }

    def warm_up(self) -> None:
        self._stage.warm_up()

    def close(self) -> None:
        self._stage.close()


def cpu_seconds() -> float:
    """Of this process and its children."""
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children())]
    return sum(each.user + each.system for each in times)


def pss_bytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return (
        next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024
    )


def main(data_dir: str, name: str, item_id: str) -> None:
    configure_logs(level="error")
    RoundTrips.watch()
    number = int(item_id)
    with App.open_running(load_settings(data_dir=Path(data_dir))) as app:
        assert app is not None
        registry = CountedRegistry(app.services.registry)
        services: Any = replace(app.services, registry=registry)
        (step,) = (step for step in app.ingest_line if step.name == name)
        watched = replace(step, stage=lambda: Watched(step.stage()))
        line = type(app.ingest_line)(
            tuple(watched if each is step else each for each in app.ingest_line)
        )
        worker = App(app.settings, services, [line]).worker([watched])
        thread = threading.Thread(target=worker.run)
        thread.start()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if Watched.facts and not app.services.state.lease_owner(item_subject(number)):
                break
            time.sleep(0.02)
        worker.stop()
        thread.join()
        item = app.services.registry.work_item(number)
    assert item is not None
    if item.stage == step.work_stage and item.status != "Success":
        raise RuntimeError(f"{name} did not succeed: {item.note}")
    print(json.dumps(Watched.facts | {"registry_calls": sum(registry.calls.values())}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
