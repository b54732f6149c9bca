"""`bagline up` and `bagline down`: the whole line on one machine, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from bagline.cli.common import ConfigFile, DataDir, err, safe, settings_for
from bagline.cli.worker import keep_reading_buckets, keep_reconciling
from bagline.config import Settings
from bagline.embedded import stop_engines
from bagline.errors import Misconfigured
from bagline.logs import configure_logs
from bagline.wiring import House, open_house
from bagline.worker.owner import is_dead
from bagline.worker.processes import WorkerProcesses, WorkersRunElsewhere, line_runner
from bagline.worker.stopping import stop_on_signals

DOWN_SECONDS = 30.0


def up(
    processes: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Worker processes; each works on every stage."),
    ] = None,
    institution: Annotated[
        list[str] | None,
        typer.Option(help="An institution to receive bags for (repeat for more)."),
    ] = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Engines, workers, reconciler and bucket reader, until Ctrl-C."""
    configure_logs()
    settings = settings_for(data_dir, config)
    stop = stop_on_signals()
    try:
        with open_house(settings) as house:
            for name in institution or []:
                house.ensure_institution(name)
            with running_line(house, settings, config, processes=processes):
                _announce(house)
                _serve(house, stop)
                err.print("Stopping: items in work are handed back.")
    except WorkersRunElsewhere:
        raise Misconfigured(
            f"process {line_runner(settings.data_dir)} already runs the line of "
            f"{settings.data_dir}: use it, stop it with `bagline down`, "
            "or choose another --data-dir"
        ) from None


@contextmanager
def running_line(
    house: House, settings: Settings, config: Path | None, *, processes: int | None = None
) -> Iterator[WorkerProcesses]:
    """Worker processes for every stage, and a reconciler; what dead workers held is freed
    first. Raises WorkersRunElsewhere.
    """
    reconciler = house.reconciler()
    argv = ["worker", "all", "--watch-parent", "--data-dir", str(settings.data_dir)]
    if config is not None:
        argv += ["--config", str(config.absolute())]
    workers = WorkerProcesses(
        settings.data_dir,
        argv,
        count=processes or settings.work.processes,
        on_death=lambda: reconciler.bury_the_dead(is_dead),
        health_port=settings.health.port,
    )
    stop = threading.Event()
    reconciling = threading.Thread(target=keep_reconciling, args=(house, stop), name="reconciler")
    with workers:
        reconciler.bury_the_dead(is_dead)
        reconciler.look(min_age_seconds=0.0)
        reconciling.start()
        try:
            yield workers
        finally:
            stop.set()
            reconciling.join()


def _serve(house: House, stop: threading.Event) -> None:
    reading = threading.Thread(target=keep_reading_buckets, args=(house, stop), name="reader")
    reading.start()
    stop.wait()
    reading.join()


def _announce(house: House) -> None:
    err.print(f"Bagline is up in {safe(house.settings.data_dir)}. Ctrl-C stops it.")
    s3 = house.settings.s3
    for known in house.services.registry.institutions():
        err.print(f"  {safe(known.identifier)}: bags go to s3://{safe(known.receiving_bucket)}")
    if house.settings.is_embedded:
        err.print(f"  S3 at {s3.endpoint}; its key is in the data directory, readable by you only")


def down(data_dir: DataDir = None, config: ConfigFile = None) -> None:
    """Stop a running `bagline up` (items in work are handed back) and the engines."""
    settings = settings_for(data_dir, config)
    runner = line_runner(settings.data_dir)
    if runner is not None:
        os.kill(runner, signal.SIGTERM)
        deadline = time.monotonic() + DOWN_SECONDS
        while line_runner(settings.data_dir) is not None:
            if time.monotonic() > deadline:
                raise Misconfigured(
                    f"process {runner} did not stop within {DOWN_SECONDS:.0f} s; "
                    "look at what it is doing before you kill it: nothing is lost either way"
                )
            time.sleep(0.1)
    stopped = stop_engines(settings.data_dir)
    what = "was running" if runner is not None or stopped else "was not running"
    err.print(f"Bagline {what} in {safe(settings.data_dir)}; now nothing is.")
