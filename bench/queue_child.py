"""A worker process on pre-fetch and validator, with stopwatches: `… DATA_DIR`, until SIGTERM.

Prints one line of JSON: seconds inside stages (`inside`) and from receiving a delivery to its
settlement (`held`), both added up over its threads, and what was asked of others.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bagline.app import App
from bagline.config import load_settings
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.line import INGEST_LINE, IngestLine
from bagline.lines.ingest.prefetch import PreFetch
from bagline.lines.ingest.validator import Validator
from bagline.logs import configure_logs
from bagline.services.queue.base import Delivery
from bagline.worker.line import Step
from bagline.worker.owner import this_process
from bagline.worker.stage import Outcome, Stage
from bagline.worker.stopping import stop_on_signals
from bagline.worker.threads import Worker
from bench.stage_child import CountedRegistry, RoundTrips

TIMED = ("pre-fetch", "validator")


class Watch:
    """Seconds, added up over threads; when the first began and the last ended."""

    inside = 0.0
    held = 0.0
    began = 0.0
    ended = 0.0
    lock = threading.Lock()

    @classmethod
    def add(cls, name: str, began: float) -> None:
        seconds = time.time() - began
        with cls.lock:
            setattr(cls, name, getattr(cls, name) + seconds)
            cls.began = cls.began or began
            cls.ended = time.time()


class TimedPreFetch(PreFetch):
    def run(self, job: IngestJob) -> Outcome:
        began = time.time()
        try:
            return super().run(job)
        finally:
            Watch.add("inside", began)


class TimedValidator(Validator):
    def run(self, job: IngestJob) -> Outcome:
        began = time.time()
        try:
            return super().run(job)
        finally:
            Watch.add("inside", began)


class TimedWorker(Worker):
    def handle(self, step: Step, stage: Stage, delivery: Delivery) -> None:
        began = time.time()
        try:
            super().handle(step, stage, delivery)
        finally:
            Watch.add("held", began)


def timed_line() -> IngestLine:
    stages: dict[str, Any] = {"pre-fetch": TimedPreFetch, "validator": TimedValidator}
    return IngestLine(
        tuple(replace(s, stage=stages[s.name]) if s.name in stages else s for s in INGEST_LINE)
    )


def main(data_dir: str) -> None:
    configure_logs(level="error")
    RoundTrips.watch()
    stop = stop_on_signals()
    line = timed_line()
    steps = [step for step in line if step.name in TIMED]
    with App.open_running(load_settings(data_dir=Path(data_dir))) as app:
        assert app is not None
        registry = CountedRegistry(app.services.registry)
        services: Any = replace(app.services, registry=registry)
        work(App(app.settings, services, [line]), steps, stop)
        facts = {
            "inside": Watch.inside,
            "held": Watch.held,
            "began": Watch.began,
            "ended": Watch.ended,
            "threads": len(steps) * app.settings.work.items_at_once,
            "registry_calls": sum(registry.calls.values()),
            "round_trips": RoundTrips.count,
            "cpu": 1_000 * time.process_time(),
        }
    print(json.dumps(facts))


def work(app: App, steps: list[Step], stop: threading.Event) -> None:
    worker = TimedWorker(
        app.lines,
        steps,
        app.services,
        app.settings,
        owner=this_process(),
        threads_each=app.settings.work.items_at_once,
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    stop.wait()
    worker.stop()
    thread.join()


if __name__ == "__main__":
    main(sys.argv[1])
