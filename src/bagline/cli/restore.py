"""`bagline restore OBJECT [FILE…]`: what was preserved, out again, whole and proven."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from bagline.app import App, line_processes
from bagline.cli.common import (
    ConfigFile,
    DataDir,
    complain,
    err,
    out,
    safe,
    size_text,
    standing_settings,
)
from bagline.cli.exits import DONE, OUR_FAULT
from bagline.cli.ingest import started
from bagline.cli.items import show_problems
from bagline.cli.operating_user import Reason, acting_here
from bagline.cli.watching import watch
from bagline.errors import BagRejected, WrongCall
from bagline.lines.restoration.by_hand import HandRestoration
from bagline.logs import configure_logs
from bagline.model.workitem import NOTE_CHARACTERS, STATUS_FAILED, STATUS_SUCCESS, WorkItem
from bagline.problems import Problem
from bagline.worker.processes import line_runner
from bagline.worker.progress import Progress, ProgressReport

STREAM = "-"


def restore(
    identifier: Annotated[
        str, typer.Argument(metavar="OBJECT", help="Its identifier, such as test.edu/letters.")
    ],
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE…]", help="Only these files, by their paths in the bag."),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="A .tar, a directory, - for standard output, or s3:// for the institution's "
            "restoration bucket. [default: the bag's name in this directory]",
        ),
    ] = "",
    reason: Reason = "",
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Restore a preserved object as a valid bag, or some of its files.

    Every byte is compared with its digest on the way; where a copy is bad, the next one is used.
    """
    configure_logs(level="error")
    if output == STREAM and (sys.stdout.isatty() or files):
        raise WrongCall("a whole bag goes to standard output, into a pipe or a file")
    settings = standing_settings(data_dir, config)
    with ExitStack() as stack:
        if output.startswith("s3://"):
            workers = started(stack, line_processes(settings, config, processes=1))
        else:
            workers = None
        app = stack.enter_context(App.open(settings))
        if not output.startswith("s3://"):
            code = _by_hand(app, identifier, files or [], output)
            raise typer.Exit(code)
        _check_bucket(app, identifier, output)
        if workers is not None:
            stack.enter_context(app.running_line(workers))
        with acting_here("restoration asked", reason):
            asked = [app.ask_for_restoration(identifier, path) for path in files or [""]]

        def is_served() -> bool:
            if workers is not None:
                return not workers.keep_dying or bool(app.shortage())
            return line_runner(settings.data_dir) is not None

        code = _told(app, watch(app, asked, is_served))
    raise typer.Exit(code)


def _check_bucket(app: App, identifier: str, output: str) -> None:
    name = output.removeprefix("s3://").strip("/")
    whose = identifier.partition("/")[0]
    depositor = app.services.registry.institution(whose)
    bucket = depositor.restore_bucket if depositor else ""
    if name not in ("", bucket):
        raise WrongCall(
            f"objects of {whose} are restored into s3://{bucket}: give that, or just s3://"
        )


def _by_hand(app: App, identifier: str, files: list[str], output: str) -> int:
    with _Bar(identifier) as bar:
        restoration = app.restoring(identifier, bar.progress)
        try:
            where, size = _written(restoration, identifier, files, output)
        except BagRejected as fault:
            told = fault.problems
            where, size = "", 0
        else:
            told = restoration.problems
    if where:
        what = f"{len(files)} files" if files else safe(identifier)
        err.print(f"Restored {what}, {size_text(size)}, to {safe(where)}")
    else:
        err.print("Not restored.")
    show_problems(told, to=err)
    return DONE if where else OUR_FAULT


def _written(
    restoration: HandRestoration, identifier: str, files: list[str], output: str
) -> tuple[str, int]:
    """Where it stands now, and its bytes."""
    if files:
        folder = Path(output or ".")
        return str(folder), restoration.files(files, folder)
    if output == STREAM:
        size = restoration.to_stream(sys.stdout.buffer).size
        sys.stdout.buffer.flush()
        return "standard output", size
    name = identifier.rpartition("/")[2]
    path = Path(output or f"{name}.tar")
    if path.suffix.lower() == ".tar" and not path.is_dir():
        return str(path), restoration.to_tar(path).size
    return str(path / name), restoration.to_directory(path).size


class _Bar:
    """Bytes and files of one restoration, where standard error is a terminal."""

    def __init__(self, name: str) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            DownloadColumn(binary_units=True),
            TimeElapsedColumn(),
        )
        self._bars = Bars(*columns, console=err, disable=not err.is_terminal)
        self._task = self._bars.add_task(safe(name), total=None)
        self.progress = Progress("restoration", self._show)

    def __enter__(self) -> _Bar:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def _show(self, raw: bytes) -> None:
        report = msgspec.json.decode(raw, type=ProgressReport)
        self._bars.update(self._task, total=report.of_bytes or None, completed=report.bytes)


def _told(app: App, items: list[WorkItem]) -> int:
    problems: list[Problem] = []
    for item in items:
        out.print(safe(item.note, NOTE_CHARACTERS))
        problems += app.services.registry.problems(item.id)
    show_problems(problems)
    statuses = {item.status for item in items}
    if statuses == {STATUS_SUCCESS}:
        return DONE
    if STATUS_FAILED not in statuses:
        complain("An operator must look at the items that are not finished: bagline items")
    return OUR_FAULT
