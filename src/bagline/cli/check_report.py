"""How `bagline check` speaks: a bar while it reads, a table and a verdict, or JSON."""

from __future__ import annotations

import json
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from bagline.bagit.check import JUDGING, CheckReport, Where
from bagline.cli.sizes import size_text
from bagline.problems import ERROR, Problem, shown

QUIET_SECONDS = 1.0
"""The bar appears when reading takes longer than this."""

UPDATE_SECONDS = 0.2
LINE_SECONDS = 60.0
"""So often a line is written where no terminal shows a bar."""
FORMATS_SHOWN = 15
PROBLEMS_SHOWN = 100


class _Rate(ProgressColumn):
    """Bytes a second, in the unit of all sizes."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{size_text(speed)}/s" if speed else "", style="progress.data.speed")


class ProgressBar:
    """Where a check is, on standard error: on a terminal a bar with rate and time left
    (time gone, where the length is not known); elsewhere a line a minute."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._next = time.monotonic() + QUIET_SECONDS
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._phase = ""

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def at(self, where: Where) -> None:
        """So far has the check come. Cheap to call often."""
        now = time.monotonic()
        if now < self._next:
            return
        if not self._console.is_terminal:
            if self._phase:  # the first time comes after QUIET_SECONDS: nothing to say yet
                self._console.print(_line(where), highlight=False, soft_wrap=True)
            self._phase, self._next = where.phase, now + LINE_SECONDS
            return
        self._next = now + UPDATE_SECONDS
        if self._progress is None or where.phase != self._phase:
            self._begin(where)
        assert self._progress is not None
        what = f"{where.phase}, {where.files:,} files"
        self._progress.update(self._task, completed=where.done, description=what)

    def _begin(self, where: Where) -> None:
        self._stop()
        self._phase = where.phase
        amounts = [DownloadColumn(binary_units=True), _Rate()]
        if where.phase == JUDGING:
            amounts = [TextColumn("{task.completed:,.0f} of {task.total:,.0f} files")]
        last = TimeElapsedColumn() if where.total is None else TimeRemainingColumn()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            *amounts,
            last,
            console=self._console,
            transient=True,
        )
        self._task = self._progress.add_task("", total=where.total)
        self._progress.start()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _line(where: Where) -> str:
    if where.phase == JUDGING:
        return f"{where.phase}: {where.done:,} of {where.total:,}"
    of = f" of {size_text(where.total)}" if where.total is not None else ""
    return f"{where.phase}: {size_text(where.done)}{of}, {where.files:,} files"


def json_report(bag: str, report: CheckReport) -> str:
    """The stable JSON of `--json`; documented in docs/problems.md."""
    document = {
        "bag": bag,
        "valid": report.valid,
        "complete": report.complete,
        "profile": report.profile,
        "files": report.files,
        "payload_files": report.payload_files,
        "bytes": report.bytes,
        "formats": {
            name: {"files": files, "bytes": size}
            for name, (files, size) in sorted(report.formats.items())
        },
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
        table.add_row(Text(name), f"{files:,}", size_text(size))
    rest = [counts for _, counts in ranked[FORMATS_SHOWN:]]
    if rest:
        files, size = (sum(column) for column in zip(*rest, strict=True))
        table.add_row(f"{len(rest)} other formats", f"{files:,}", size_text(size))
    table.add_row("All", f"{report.files:,}", size_text(report.bytes), style="bold")
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
        own = report.files - report.payload_files
        what = f"{report.payload_files:,} payload, {own:,} of the bag's own"
        held = f"{_count(report.files, 'file')}: {what}; {size_text(report.bytes)}"
        text = f"{name} is valid ({held}; profile {report.profile}){noted}."
        return Text(text, style="green")
    what = _count(errors, "problem")
    if not report.complete:
        return Text(f"{name} is rejected: it could not be read on ({what}{noted}).", style="red")
    return Text(f"{name} is rejected: {what} must be mended{noted}.", style="red")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
