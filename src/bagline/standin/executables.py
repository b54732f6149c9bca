"""One executable a worker, named as the older system names them.

`-bufsize`, `-workers` and `-max-attempts` win over `<PREFIX>_BUFFER_SIZE`, `_WORKERS` and
`_MAX_ATTEMPTS` when they are above 0. Bagline's workers keep no list of messages beside the
ones in work, so the buffer's size changes nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from bagline.app import App
from bagline.cli.common import complain
from bagline.duty import Duty
from bagline.errors import BaglineError, Misconfigured
from bagline.lines.deletion.line import DELETION, DeletionLine
from bagline.lines.fixity.line import FIXITY_CHECK, FixityLine
from bagline.lines.ingest.line import INGEST_LINE, IngestLine, IngestStep
from bagline.lines.restoration.line import FILE_RESTORATION, OBJECT_RESTORATION, THAWING, Thawing
from bagline.logs import configure_logs
from bagline.model.storage import is_archive
from bagline.standin.environment import duration, older_settings, with_file
from bagline.standin.fixity_queueing import FixityQueuer
from bagline.standin.queueing import RequestQueuer
from bagline.worker.line import Lines, Step
from bagline.worker.run import BUCKET_READER
from bagline.worker.stopping import stop_on_signals

QUEUER, FIXITY_QUEUER = "request-queuer", "fixity-queuer"
EXECUTABLES = {step.executable: step.name for step in INGEST_LINE.rows if step.executable}
EXECUTABLES["ingest_bucket_reader"] = BUCKET_READER
EXECUTABLES |= {
    "bag_restorer": OBJECT_RESTORATION.first.name,
    "file_restorer": FILE_RESTORATION.first.name,
    "glacier_restorer": THAWING.first.name,
    "apt_delete": DELETION.first.name,
    "apt_queue": QUEUER,
    "apt_fixity": FIXITY_CHECK.first.name,
    "apt_queue_fixity": FIXITY_QUEUER,
}
"""The older executable → Bagline's name of the worker."""

QUEUE_SECONDS, QUEUE_FIXITY_SECONDS = 20.0, 3600.0
FIXITY_FILES = 2500
"""So many may wait to be checked, if MAX_FIXITY_ITEMS_PER_RUN says nothing."""
AnyStep = TypeVar("AnyStep", bound=Step)

WORKERS = 2
AFTER_INGEST = ("e2e_ingest_post_test", "e2e_reingest_post_test")
"""Where the last worker tells the end-to-end tests of a first ingest, and of a reingest."""
AFTER_RESTORATION = ("e2e_restoration_post_test",)
AFTER_DELETION = ("e2e_deletion_post_test",)
AFTER_FIXITY = ("e2e_fixity_post_test",)


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
        step = lines.by_name(worker)
        if step is not None:
            has_ended = app.serve([step], [], stop, threads_each=threads)
        elif worker == FIXITY_QUEUER and asked.identifier:
            fixity_queuer(app, environ).publish(asked.identifier)
            return 0
        elif worker == BUCKET_READER and not asked.run_once:
            has_ended = app.serve([], [BUCKET_READER], stop)
        else:
            producer = _producer(worker, app, environ, is_end_to_end=is_end_to_end)
            if asked.run_once:
                producer.look()
                return 0
            every = producer.seconds
            duty = Duty(producer.name, producer.look, stop=stop, every=every, at_once=True)
            has_ended = app.serve([], [], stop, others=[duty])
        if not has_ended:
            os._exit(1)  # as `bagline worker`: it is inside one long request
    return 0


class _Producer(NamedTuple):
    """What it does, and how many seconds later again."""

    name: str
    look: Callable[[], object]
    seconds: float


def _producer(
    worker: str, app: App, environ: Mapping[str, str], *, is_end_to_end: bool
) -> _Producer:
    if worker == BUCKET_READER:
        return _Producer(worker, app.bucket_reader().poll, app.settings.work.poll_seconds)
    if worker == QUEUER:
        requests = RequestQueuer(app.services.registry, app.services.queue, is_end_to_end)
        seconds = _interval(environ, "APT_QUEUE_INTERVAL", QUEUE_SECONDS)
        return _Producer(worker, requests.look, seconds)
    seconds = _interval(environ, "QUEUE_FIXITY_INTERVAL", QUEUE_FIXITY_SECONDS)
    return _Producer(worker, fixity_queuer(app, environ).look, seconds)


def _interval(environ: Mapping[str, str], name: str, usual: float) -> float:
    seconds = duration(environ.get(name) or f"{usual}s")
    if seconds <= 0:
        raise Misconfigured(f"{name} is {environ[name]!r}: it must be more than 0")
    return seconds


def fixity_queuer(app: App, environ: Mapping[str, str]) -> FixityQueuer:
    """As the environment wants it."""
    names = [option.name for option in app.settings.storage_options]
    return FixityQueuer(
        app.services.registry,
        app.services.queue,
        FIXITY_CHECK.first.topic,
        FIXITY_CHECK.kind,
        [name for name in names if not is_archive(name)],
        app.settings.fixity.days,
        _number(environ, "MAX_FIXITY_ITEMS_PER_RUN") or FIXITY_FILES,
    )


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
            DeletionLine(
                [_patient(step, attempts) for step in DELETION],
                tells=AFTER_DELETION if end_to_end else (),
            ),
            FixityLine(
                [_patient(step, attempts) for step in FIXITY_CHECK],
                tells=AFTER_FIXITY if end_to_end else (),
                looks_always=end_to_end,
            ),
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
        help="bucket reader, apt_queue and apt_queue_fixity: look once, and end",
    )
    if EXECUTABLES[name] == FIXITY_QUEUER:
        what = "a file's identifier: publish that one, and end"
        parser.add_argument("identifier", nargs="?", default="", help=what)
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
