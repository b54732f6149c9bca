"""`bagline worker STAGE…`: one process that works on some stages, until it is asked to stop."""

from __future__ import annotations

import os
import select
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bagline.app import App
from bagline.cli import guesses
from bagline.cli.common import ConfigFile, DataDir, settings_for
from bagline.cli.exits import OUR_FAULT
from bagline.duty import Duty
from bagline.errors import WrongCall
from bagline.lines.deletion.line import DELETION
from bagline.lines.ingest.line import INGEST_LINE
from bagline.lines.restoration.line import FILE_RESTORATION, OBJECT_RESTORATION, THAWING
from bagline.logs import configure_logs
from bagline.wiring import LINES
from bagline.worker.line import Line, Lines, Step
from bagline.worker.memory import hold_little
from bagline.worker.processes import LOG_FILE
from bagline.worker.run import ROLES
from bagline.worker.stopping import stop_on_signals

ALL = "all"
LINE_NAMES: dict[str, tuple[Line, ...]] = {
    "ingest": (INGEST_LINE,),
    "restoration": (OBJECT_RESTORATION, FILE_RESTORATION, THAWING),
    "deletion": (DELETION,),
}
"""What people call one line, with all of its stages; `fixity` is a role, and called so anyhow."""


def worker(
    stages: Annotated[
        list[str],
        typer.Argument(
            help="all: every stage of every line. One line: ingest, restoration, fixity, deletion. "
            "Duties, which `all` has not: fixity, bucket-reader, reconciler, spot-tester. Stages: "
            + ", ".join(step.name for step in LINES.steps()),
            autocompletion=guesses.steps,
        ),
    ],
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Items at once, a stage [default: work.items_at_once]."),
    ] = None,
    watch_parent: Annotated[
        bool, typer.Option("--watch-parent", hidden=True, help="Stop when standard input closes.")
    ] = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Work on every line, on one, or on the named stages. SIGTERM hands everything back and exits.

    bagline worker ingest · bagline worker restoration deletion · bagline worker all
    """
    named = os.environ.get(LOG_FILE)
    configure_logs(json=True, file=Path(named) if named else None)
    steps, roles = _chosen(LINES, stages)
    hold_little()
    stop = stop_on_signals()
    if watch_parent:
        Duty("parent", partial(_watch_parent, stop)).start()
    with App.open(settings_for(data_dir, config), makes_buckets=not watch_parent) as app:
        if not app.serve(steps, roles, stop, threads_each=threads):
            # A stage or role is inside one long request; a lease runs out, or is broken, by itself.
            # Closing politely would wait for it.
            os._exit(OUR_FAULT)


def _chosen(lines: Lines, names: list[str]) -> tuple[list[Step], list[str]]:
    """Steps and roles by name. Raises Misconfigured for a name nobody knows."""
    steps: list[Step] = []
    roles: list[str] = []
    for name in dict.fromkeys(names):
        step = lines.by_name(name)
        if step is not None:
            steps.append(step)
        elif name == ALL:
            steps += lines.steps()
        elif name in LINE_NAMES:
            steps += [step for line in LINE_NAMES[name] for step in line]
        elif name in ROLES:
            roles.append(name)
        else:
            known = ", ".join([*(s.name for s in lines.steps()), *LINE_NAMES, *ROLES, ALL])
            raise WrongCall(f"there is no stage {name!r}; there are: {known}")
    return list(dict.fromkeys(steps)), roles


def _watch_parent(stop: threading.Event) -> None:
    """Standard input is a pipe that our parent holds open while it lives."""
    source = sys.stdin.fileno()
    while True:
        select.select([source], [], [])
        if not os.read(source, 1024):
            break
    stop.set()
