"""`bagline worker STAGE…`: one process that works on some stages, until it is asked to stop."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from bagline.cli.common import EXIT_OUR_FAULT, ConfigFile, DataDir, settings_for
from bagline.duty import Duty, failing_duties, idle_duties
from bagline.errors import Misconfigured
from bagline.logs import configure_logs, listen
from bagline.lines.ingest.line import INGEST_LINE, Line, Step
from bagline.wiring import House, open_house
from bagline.worker.stopping import stop_on_signals

if TYPE_CHECKING:
    from bagline.worker.metrics import PrometheusMeter

log = structlog.get_logger(__name__)

ALL = "all"
BUCKET_READER = "bucket-reader"
RECONCILER = "reconciler"
DUTY_SECONDS = 1.0
"""How long a look at buckets or queue may still take when the stages have drained."""


def worker(
    stages: Annotated[
        list[str],
        typer.Argument(
            help="Stage names, or: all, bucket-reader, reconciler. Stages: "
            + ", ".join(step.name for step in INGEST_LINE)
        ),
    ],
    threads: Annotated[int, typer.Option(min=1, max=64, help="Items at once, a stage.")] = 1,
    watch_parent: Annotated[
        bool, typer.Option("--watch-parent", hidden=True, help="Stop when standard input closes.")
    ] = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Work on items of the named stages. SIGTERM hands everything back and exits."""
    configure_logs(json=True)
    steps, duties = _chosen(INGEST_LINE, stages)
    stop = stop_on_signals()
    if watch_parent:
        Duty("parent", partial(_watch_parent, stop)).start()
    with open_house(settings_for(data_dir, config)) as house:
        if not serve(house, steps, duties, stop, threads_each=threads):
            # A stage or duty is inside one long request; a lease runs out, or is broken, by itself.
            # Closing politely would wait for it.
            os._exit(EXIT_OUR_FAULT)


def serve(
    house: House,
    steps: list[Step],
    duties: list[str],
    stop: threading.Event,
    *,
    threads_each: int = 1,
) -> bool:
    """Run the steps and duties until `stop`; whether everything drained in time."""
    started = [DUTIES[duty](house, stop).start() for duty in duties]
    with ExitStack() as stack:
        if not steps:
            stack.enter_context(telling_health(house, [], idle_duties))
            stop.wait()
            return have_ended(started, house.settings.work.drain_seconds)
        meter = new_meter() if house.settings.health.port else None
        running = house.worker(steps, threads_each=threads_each, meter=meter)
        topics = [step.topic for step in steps]
        faults = lambda: running.faults() + idle_duties()  # noqa: E731
        stack.enter_context(telling_health(house, topics, faults, meter))

        def pass_on() -> None:
            stop.wait()
            running.stop()

        Duty("stopper", pass_on).start()
        drained = running.run()
        return have_ended(started, DUTY_SECONDS) and drained


def have_ended(duties: list[Duty], seconds: float) -> bool:
    """Whether they all end within so long."""
    deadline = time.monotonic() + seconds
    late = [duty for duty in duties if not duty.join(max(deadline - time.monotonic(), 0.0))]
    return not late


def new_meter() -> PrometheusMeter:
    """Its library is imported only where somebody asks for numbers."""
    from bagline.worker.metrics import PrometheusMeter

    return PrometheusMeter()


@contextmanager
def telling_health(
    house: House,
    topics: list[str],
    alive: Callable[[], list[str]],
    meter: PrometheusMeter | None = None,
) -> Iterator[None]:
    """Serve health and metrics meanwhile, where the settings name a port."""
    place = house.settings.health
    if not place.port:
        yield
        return
    from bagline.worker.health import HealthServer, Readiness

    meter = meter or new_meter()
    meter.watch_queue(house.services.queue, topics or [step.topic for step in house.line])
    listen(meter.event_logged)
    ready = Readiness(house.services, topics)

    def not_ready() -> list[str]:
        failing = [f"duty {name} fails" for name, _ in failing_duties()]
        full = ["the disk of the data directory is full"] if house.shortage() else []
        return ready.faults() + failing + full

    with HealthServer(
        place.host, place.port, meter.registry, alive=alive, ready=not_ready
    ) as server:
        log.info("health_served", host=place.host, port=server.port)
        yield


def bucket_reading(house: House, stop: threading.Event) -> Duty:
    """Looks for new bags every few seconds until `stop`."""
    seconds = house.settings.work.poll_seconds
    return Duty(BUCKET_READER, house.bucket_reader().poll, stop=stop, every=seconds, at_once=True)


def reconciling(house: House, stop: threading.Event) -> Duty:
    """Compares Registry, queue and leases every few seconds until `stop`."""
    seconds = house.settings.work.reconcile_seconds
    return Duty(RECONCILER, house.reconciler().look, stop=stop, every=seconds)


DUTIES = {BUCKET_READER: bucket_reading, RECONCILER: reconciling}


def _chosen(line: Line, names: list[str]) -> tuple[list[Step], list[str]]:
    """Steps and duties by name. Raises Misconfigured for a name nobody knows."""
    if ALL in names:
        return list(line), []
    steps, duties = [], []
    for name in dict.fromkeys(names):
        step = line.by_name(name)
        if step is not None:
            steps.append(step)
        elif name in DUTIES:
            duties.append(name)
        else:
            known = ", ".join([*(s.name for s in line), *DUTIES, ALL])
            raise Misconfigured(f"there is no stage {name!r}; there are: {known}")
    return steps, duties


def _watch_parent(stop: threading.Event) -> None:
    """Standard input is a pipe that our parent holds open while it lives."""
    source = sys.stdin.fileno()
    while True:
        select.select([source], [], [])
        if not os.read(source, 1024):
            break
    stop.set()
