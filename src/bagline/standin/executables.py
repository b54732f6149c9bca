"""One executable a worker, named as the older system names them.

`-bufsize`, `-workers` and `-max-attempts` win over `<PREFIX>_BUFFER_SIZE`, `_WORKERS` and
`_MAX_ATTEMPTS` when they are above 0. Bagline's workers keep no list of messages beside the
ones in work, so the buffer's size changes nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from bagline.app import App
from bagline.cli.common import complain
from bagline.duty import Duty
from bagline.errors import BaglineError, Misconfigured
from bagline.lines.ingest.line import INGEST_LINE, IngestLine, IngestStep
from bagline.lines.restoration.line import FILE_RESTORATION, OBJECT_RESTORATION, THAWING, Thawing
from bagline.logs import configure_logs
from bagline.standin.environment import duration, older_settings, with_file
from bagline.standin.queueing import RequestQueuer
from bagline.worker.line import Lines, Step
from bagline.worker.run import BUCKET_READER
from bagline.worker.stopping import stop_on_signals

QUEUER = "request-queuer"
EXECUTABLES = {step.executable: step.name for step in INGEST_LINE.rows if step.executable}
EXECUTABLES["ingest_bucket_reader"] = BUCKET_READER
EXECUTABLES |= {
    "bag_restorer": OBJECT_RESTORATION.first.name,
    "file_restorer": FILE_RESTORATION.first.name,
    "glacier_restorer": THAWING.first.name,
    "apt_queue": QUEUER,
}
"""The older executable → Bagline's name of the worker."""

QUEUE_SECONDS = 20.0
AnyStep = TypeVar("AnyStep", bound=Step)

WORKERS = 2
AFTER_INGEST = ("e2e_ingest_post_test", "e2e_reingest_post_test")
"""Where the last worker tells the end-to-end tests of a first ingest, and of a reingest."""
AFTER_RESTORATION = ("e2e_restoration_post_test",)


def run(name: str = "", argv: Sequence[str] | None = None) -> None:
    """The console scripts; the executable's own name says which worker it is."""
    name = name or Path(sys.argv[0]).name
    try:
        sys.exit(work(name, sys.argv[1:] if argv is None else argv, os.environ))
    except Misconfigured as fault:
        complain(f"{name}: settings: {fault}")
    except BaglineError as fault:
        complain(f"{name}: {fault}")
    sys.exit(1)


def work(name: str, argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Work until SIGTERM or SIGINT; the exit code. Raises what the services raise."""
    worker = EXECUTABLES[name]
    asked = _parser(name).parse_args(argv)
    environ = with_file(environ, Path.cwd())
    configure_logs(json=True, level=_level(environ.get("LOG_LEVEL", "")))
    prefix = name.upper()
    threads = asked.workers or _number(environ, f"{prefix}_WORKERS") or WORKERS
    attempts = asked.max_attempts or _number(environ, f"{prefix}_MAX_ATTEMPTS")
    is_end_to_end = environ.get("APT_E2E", "").lower() == "true"
    lines = older_lines(attempts, end_to_end=is_end_to_end)
    stop = stop_on_signals()
    with App.open(older_settings(environ), lines) as app:
        if worker == BUCKET_READER:
            if asked.run_once:
                app.bucket_reader().poll()
                return 0
            has_ended = app.serve([], [BUCKET_READER], stop)
        elif worker == QUEUER:
            queuer = RequestQueuer(app.services.registry, app.services.queue, is_end_to_end)
            if asked.run_once:
                queuer.look()
                return 0
            seconds = duration(environ.get("APT_QUEUE_INTERVAL") or f"{QUEUE_SECONDS}s")
            duty = Duty(QUEUER, queuer.look, stop=stop, every=seconds, at_once=True)
            has_ended = app.serve([], [], stop, others=[duty])
        else:
            step = lines.by_name(worker)
            assert step is not None
            has_ended = app.serve([step], [], stop, threads_each=threads)
        if not has_ended:
            os._exit(1)  # as `bagline worker`: it is inside one long request
    return 0


def older_lines(attempts: int = 0, *, end_to_end: bool = False) -> Lines:
    """The lines with another patience (0: Bagline's own), and with the end-to-end hooks."""
    return Lines(
        (
            older_line(attempts, end_to_end=end_to_end),
            *(
                type(line)(
                    [_patient(step, attempts) for step in line],
                    tells=AFTER_RESTORATION if end_to_end else (),
                )
                for line in (OBJECT_RESTORATION, FILE_RESTORATION)
            ),
            Thawing([_patient(step, attempts) for step in THAWING]),
        )
    )


def _patient(step: AnyStep, attempts: int) -> AnyStep:
    return replace(step, retry=replace(step.retry, attempts=attempts)) if attempts else step


def older_line(attempts: int = 0, *, end_to_end: bool = False) -> IngestLine:
    """The ingest line with another patience (0: Bagline's own), and with the end-to-end hook."""

    def changed(step: IngestStep) -> IngestStep:
        step = _patient(step, attempts)
        if end_to_end and step.topic == INGEST_LINE.cleanup.topic:
            step = replace(step, tell_when_done=AFTER_INGEST)
        return step

    return IngestLine([changed(step) for step in INGEST_LINE.rows])


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description=f"Bagline as {name}.")
    for flag, what in (
        ("bufsize", "taken and not used: nothing waits in memory"),
        ("workers", "items at once"),
        ("max-attempts", "how often an item may begin the stage"),
    ):
        parser.add_argument(f"-{flag}", f"--{flag}", type=int, default=0, help=what)
    parser.add_argument(
        "-run-once",
        "--run-once",
        action="store_true",
        help="bucket reader and apt_queue: look once, and end",
    )
    return parser


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    if not text:
        return 0
    if not text.isascii() or not text.isdigit():
        raise Misconfigured(f"{name} is {text!r}: it must be a whole number")
    return int(text)


def _level(text: str) -> str:
    """A level of ours for one of theirs; `info` for none."""
    lowered = text.lower()
    return lowered if lowered in ("debug", "info", "warning", "error", "critical") else "info"
