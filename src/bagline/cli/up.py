"""`bagline up` and `bagline down`: the whole line on one machine, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from typing import Annotated

import typer

from bagline.app import App, line_processes
from bagline.cli import guesses
from bagline.cli.common import (
    ConfigFile,
    DataDir,
    close_data_directory,
    err,
    safe,
    settings_for,
)
from bagline.cli.operating_user import acting_here
from bagline.embedded import stop_engines
from bagline.embedded.pids import birth
from bagline.errors import BaglineError, Misconfigured
from bagline.logs import configure_logs
from bagline.worker.processes import WorkersRunElsewhere, line_runner
from bagline.worker.run import BUCKET_READER, ENDING_SECONDS, FIXITY, SPOT_TESTER, have_ended
from bagline.worker.stopping import stop_on_signals

DOWN_SECONDS = 30.0


def up(
    processes: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Worker processes; each works on every stage."),
    ] = None,
    institution: Annotated[
        list[str] | None,
        typer.Option(
            help="An institution to receive bags for, made unless it is there (repeat for more).",
            autocompletion=guesses.institutions,
        ),
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
        with App.open(settings) as app:
            _prepare_institutions(app, institution or [])
            with app.running_line(line_processes(settings, config, processes=processes)):
                _announce(app)
                _serve(app, stop)
                err.print("Stopping: items in work are handed back.")
    except WorkersRunElsewhere:
        raise Misconfigured(
            f"process {line_runner(settings.data_dir)} already runs the line of "
            f"{settings.data_dir}: use it, stop it with `bagline down`, "
            "or choose another --data-dir"
        ) from None


def _prepare_institutions(app: App, named: list[str]) -> None:
    """Those that are named are there."""
    known = {each.identifier for each in app.services.registry.institutions()}
    for name in named:
        if name not in known:
            with acting_here("institution saved"):
                app.ensure_institution(name)
            err.print(f"{safe(name)} is a new institution.")


def _serve(app: App, stop: threading.Event) -> None:
    roles = [BUCKET_READER]
    if app.services.registry.spot_tests is not None:
        roles += [SPOT_TESTER, FIXITY]
    duties = [app.role(name, stop).start() for name in roles]
    stop.wait()
    have_ended(duties, ENDING_SECONDS)


def _announce(app: App) -> None:
    err.print(f"Bagline is up in {safe(app.settings.data_dir)}. Ctrl-C stops it.")
    s3 = app.settings.s3
    with suppress(BaglineError):  # no reason not to be up
        known_ones = app.services.registry.institutions()
        if not known_ones:
            err.print("  No bag can come in yet: `bagline registry institution add DOMAIN`")
        for known in known_ones:
            err.print(f"  {safe(known.identifier)}: bags go to s3://{safe(known.receiving_bucket)}")
    if app.settings.is_embedded:
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
