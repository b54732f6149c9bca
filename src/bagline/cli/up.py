"""`bagline up` and `bagline down`: the whole line on one machine, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Annotated

import structlog
import typer

from bagline.cli.common import (
    ConfigFile,
    DataDir,
    close_data_directory,
    err,
    safe,
    settings_for,
)
from bagline.cli.worker import RECONCILER, bucket_reading, have_ended
from bagline.config import Settings
from bagline.duty import Duty
from bagline.embedded import stop_engines
from bagline.embedded.processes import birth
from bagline.errors import BaglineError, Misconfigured, Unreachable
from bagline.logs import configure_logs
from bagline.wiring import House, open_house
from bagline.worker.owner import is_dead
from bagline.worker.processes import WorkerProcesses, WorkersRunElsewhere, line_runner
from bagline.worker.roll_call import CALL_SECONDS, RollBook
from bagline.worker.stopping import stop_on_signals

log = structlog.get_logger(__name__)

DOWN_SECONDS = 30.0
ENDING_SECONDS = 4.0
"""How long a look under way may keep the end waiting; then it is left behind."""
BURIAL_SECONDS = 0.2


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
    close_data_directory(settings, config)
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
    upkeep = Upkeep(house)
    argv = ["worker", "all", "--watch-parent", "--data-dir", str(settings.data_dir)]
    if config is not None:
        argv += ["--config", str(config.absolute())]
    workers = WorkerProcesses(
        settings.data_dir,
        argv,
        count=processes or settings.work.processes,
        on_death=upkeep.somebody_died,
        health_port=settings.health.port,
    )
    stop = threading.Event()
    with workers, closing(RollBook(settings.data_dir)) as book:
        duties = [
            Duty("burial", upkeep.bury, stop=stop, every=BURIAL_SECONDS, at_once=True),
            Duty(RECONCILER, upkeep.look, stop=stop, every=settings.work.reconcile_seconds),
            Duty(
                "roll-call", lambda: book.call(workers), stop=stop, every=CALL_SECONDS, at_once=True
            ),
            Duty("disk-watch", DiskWatch(house).look, stop=stop, every=CALL_SECONDS, at_once=True),
        ]
        upkeep.begin()
        for duty in duties:
            duty.start()
        try:
            yield workers
        finally:
            stop.set()
            have_ended(duties, ENDING_SECONDS)


class Upkeep:
    """What is done for the workers: the dead are buried, what is due is published."""

    def __init__(self, house: House) -> None:
        self._reconciler = house.reconciler()
        self._is_embedded = house.settings.is_embedded
        self._unburied = threading.Event()
        self._is_behind = True

    def somebody_died(self) -> None:
        self._unburied.set()

    def begin(self) -> None:
        """What earlier processes left. On this machine's engines, which may still be starting
        again, it waits; elsewhere raises Unreachable."""
        self._unburied.set()
        try:
            self.bury()
            self.look()
        except Unreachable as fault:
            if not self._is_embedded:
                raise
            log.warning("line_begins_later", reason=str(fault))

    def bury(self) -> None:
        """Free what dead workers held. Repeated until it is done."""
        if self._unburied.is_set():
            self._unburied.clear()
            try:
                self._reconciler.bury_the_dead(is_dead)
            except BaseException:
                self._unburied.set()
                raise

    def look(self) -> None:
        """The first time everything that is due, whatever its age."""
        self._reconciler.look(min_age_seconds=0.0 if self._is_behind else None)
        self._is_behind = False


class DiskWatch:
    """Says when the disk is full, and when it is not any more."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._is_full = False

    def look(self) -> None:
        why = self._house.shortage()
        if bool(why) == self._is_full:
            return
        self._is_full = bool(why)
        if why:
            log.error("disk_full", reason=why)
        else:
            log.warning("disk_has_room_again", data_dir=str(self._house.settings.data_dir))


def _serve(house: House, stop: threading.Event) -> None:
    reading = bucket_reading(house, stop).start()
    stop.wait()
    have_ended([reading], ENDING_SECONDS)


def _announce(house: House) -> None:
    err.print(f"Bagline is up in {safe(house.settings.data_dir)}. Ctrl-C stops it.")
    s3 = house.settings.s3
    with suppress(BaglineError):  # no reason not to be up
        for known in house.services.registry.institutions():
            err.print(f"  {safe(known.identifier)}: bags go to s3://{safe(known.receiving_bucket)}")
    if house.settings.is_embedded:
        err.print(f"  S3 at {s3.endpoint}; its key is in the data directory, readable by you only")


def down(data_dir: DataDir = None, config: ConfigFile = None) -> None:
    """Stop a running `bagline up` (items in work are handed back) and the engines."""
    settings = settings_for(data_dir, config)
    runner = line_runner(settings.data_dir)
    if runner is not None:
        born = birth(runner)
        os.kill(runner, signal.SIGTERM)
        deadline = time.monotonic() + DOWN_SECONDS
        # To its end: it lets the line go first, and the engines last.
        while line_runner(settings.data_dir) is not None or (born and birth(runner) == born):
            if time.monotonic() > deadline:
                raise Misconfigured(
                    f"process {runner} did not stop within {DOWN_SECONDS:.0f} s; "
                    "look at what it is doing before you kill it: nothing is lost either way"
                )
            time.sleep(0.1)
    stopped = stop_engines(settings.data_dir)
    what = "was running" if runner is not None or stopped else "was not running"
    err.print(f"Bagline {what} in {safe(settings.data_dir)}; now nothing is.")
