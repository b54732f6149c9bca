"""How `bagline check` speaks: a bar while it reads, a table and a verdict, or JSON."""

from __future__ import annotations

import json
import time
from types import TracebackType

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from bagline.bagit.check import CheckReport
from bagline.problems import ERROR, Problem, shown

QUIET_SECONDS = 1.0
"""The bar appears when reading takes longer than this."""

UPDATE_SECONDS = 0.2
FORMATS_SHOWN = 15
PROBLEMS_SHOWN = 100


class ProgressBar:
    """A bar with rate and time left on standard error, if that is a terminal."""

    def __init__(self, length: int | None, console: Console | None = None) -> None:
        self._length = length
        self._console = console or Console(stderr=True)
        self._next = time.monotonic() + QUIET_SECONDS
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def at(self, bytes_read: int, files: int) -> None:
        """So far has the reading come."""
        now = time.monotonic()
        if now < self._next or not self._console.is_terminal:
            return
        self._next = now + UPDATE_SECONDS
        if self._progress is None:
            self._progress = self._started()
        self._progress.update(self._task, completed=bytes_read, description=f"{files:,} files")

    def _started(self) -> Progress:
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = progress.add_task("", total=self._length)
        progress.start()
        return progress


def json_report(bag: str, report: CheckReport) -> str:
    """The stable JSON of `--json`; documented in docs/problems.md and the README."""
    document = {
        "bag": bag,
        "valid": report.valid,
        "files": report.files,
        "bytes": report.bytes,
        "problems": [
            {"code": p.code, "severity": p.severity, "subject": p.subject, "message": p.message}
            for p in report.problems
        ],
    }
    return json.dumps(document, indent=2)


def print_report(bag: str, report: CheckReport, console: Console | None = None) -> None:
    """Formats, problems, and the verdict in one sentence."""
    console = console or Console(highlight=False)
    if report.formats:
        console.print(_formats(report))
    if report.problems:
        console.print(_problems(report.problems))
    left = len(report.problems) - PROBLEMS_SHOWN
    if left > 0:
        console.print(f"… and {left:,} more problems: --json lists them all.")
    console.print(_verdict(bag, report), soft_wrap=True)


def _formats(report: CheckReport) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("Format")
    table.add_column("Files", justify="right")
    table.add_column("Size", justify="right")
    ranked = sorted(report.formats.items(), key=lambda item: -item[1][1])
    for name, (files, size) in ranked[:FORMATS_SHOWN]:
        table.add_row(Text(name), f"{files:,}", decimal(size))
    rest = [counts for _, counts in ranked[FORMATS_SHOWN:]]
    if rest:
        files, size = (sum(column) for column in zip(*rest, strict=True))
        table.add_row(f"{len(rest)} other formats", f"{files:,}", decimal(size))
    table.add_row("All", f"{report.files:,}", decimal(report.bytes), style="bold")
    return table


def _problems(problems: list[Problem]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for problem in problems[:PROBLEMS_SHOWN]:
        style = "red" if problem.severity == ERROR else "yellow"
        message = Text(problem.message)
        if problem.subject and problem.subject not in problem.message:
            message = Text(f"{problem.subject}: {problem.message}")
        table.add_row(problem.code, Text(problem.severity, style=style), message)
    return table


def _verdict(bag: str, report: CheckReport) -> Text:
    name = shown("standard input" if bag == "-" else bag)
    errors = sum(p.severity == ERROR for p in report.problems)
    warnings = len(report.problems) - errors
    noted = f", with {_count(warnings, 'warning')}" if warnings else ""
    if report.valid:
        held = f"{_count(report.files, 'file')}, {decimal(report.bytes)}"
        text = f"{name} is valid ({held}; profile {report.profile}){noted}."
        return Text(text, style="green")
    what = _count(errors, "problem")
    if not report.complete:
        return Text(f"{name} is rejected: it could not be read on ({what}{noted}).", style="red")
    return Text(f"{name} is rejected: {what} must be mended{noted}.", style="red")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
