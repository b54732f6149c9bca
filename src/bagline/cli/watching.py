"""Watches items travel: a bar a bag, with stage, bytes, files and rate."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Self

import msgspec
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from bagline.app import App
from bagline.cli.common import err, safe
from bagline.errors import Unreachable
from bagline.model.subject import item_subject
from bagline.model.workitem import (
    STATUS_CANCELLED,
    STATUS_FAILED,
    STATUS_SUSPENDED,
    WorkItem,
)
from bagline.services.state.base import State
from bagline.worker.progress import ProgressReport
from bagline.worker.settlement import NOTE_CHARACTERS

LOOK_SECONDS = 0.1
CLEANUP_SECONDS = 30.0
AWAY_SECONDS = 30.0
"""How long the Registry may not answer before watching ends."""
FULL_LOOK_SECONDS = 2.0


def watch(
    app: App, items: list[WorkItem], is_served: Callable[[], bool], *, quiet: bool = False
) -> list[WorkItem]:
    """Until each item is finished, or waits for an operator; returns them as they ended.

    Rejected and cancelled ones count as finished when their clean-up is done too. Raises
    Unreachable when nobody is left to work on them (`is_served`), KeyboardInterrupt at Ctrl-C.
    """
    with _CtrlC() as ctrl_c:
        return _watch(app, items, is_served, ctrl_c, quiet=quiet)


class _CtrlC:
    """Remembers that it was pressed: its KeyboardInterrupt is lost where it meets a library that
    is just cleaning up. Use on the main thread, as a context."""

    def __enter__(self) -> Self:
        self._came = False
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _note(self, *_: object) -> None:
        self._came = True
        raise KeyboardInterrupt

    def look(self) -> None:
        """Raises KeyboardInterrupt where it was pressed."""
        if self._came:
            raise KeyboardInterrupt


def _watch(
    app: App,
    items: list[WorkItem],
    is_served: Callable[[], bool],
    ctrl_c: _CtrlC,
    *,
    quiet: bool,
) -> list[WorkItem]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[stage]:<22}"),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TextColumn("{task.fields[files]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, disable=quiet or not err.is_terminal) as bars:
        tasks = {
            item.id: bars.add_task(safe(item.name), total=None, stage="waiting", files="")
            for item in items
        }
        ended: dict[int, WorkItem] = {}
        patience = _Patience(app)
        while len(ended) < len(items):
            time.sleep(LOOK_SECONDS)
            ctrl_c.look()
            if not is_served():
                raise Unreachable(
                    "no worker is left; the items stay on the line. Look at "
                    f"{app.settings.data_dir / 'logs'}, then start `bagline up`"
                )
            waiting = [item.id for item in items if item.id not in ended]
            _show_progress(app.services.state, bars, tasks, waiting)
            for item_id in waiting:
                item = patience.ask(item_id)
                if item is not None and (item.is_completed or item.status == STATUS_SUSPENDED):
                    ended[item_id] = item
                    size = max(item.size, 1)
                    bars.update(tasks[item_id], stage=item.status, total=size, completed=size)
    _await_cleanup(app, list(ended.values()))
    return [ended[item.id] for item in items]


class _Patience:
    """Asks the Registry for items; waits with a sentence while the disk is full, and through
    what passes."""

    def __init__(self, app: App) -> None:
        self._house = app
        self._answered_at = time.monotonic()
        self._told = ""
        self._look_at = 0.0

    def ask(self, item_id: int) -> WorkItem | None:
        """The item; None also while that cannot be told. Raises Unreachable when it takes long."""
        self._tell()
        try:
            item = self._house.services.registry.work_item(item_id)
        except Unreachable:
            if time.monotonic() - self._answered_at > AWAY_SECONDS and not self._told:
                raise
            return None
        self._answered_at = time.monotonic()
        return item

    def _tell(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + FULL_LOOK_SECONDS
        why = self._house.shortage()
        if why and not self._told:
            err.print(f"Waiting: {safe(why, NOTE_CHARACTERS)}.")
        elif self._told and not why:
            err.print("There is room again; the work goes on.")
            self._answered_at = now
        self._told = why


def _show_progress(
    state: State, bars: Progress, tasks: dict[int, TaskID], waiting: list[int]
) -> None:
    try:
        reports = state.load_progress([item_subject(item_id) for item_id in waiting])
    except Unreachable:
        return
    for about, raw in reports.items():
        report = msgspec.json.decode(raw, type=ProgressReport)
        files = f"{report.files:,} files" if report.files else ""
        bars.update(
            tasks[about.number],
            stage=report.stage,
            total=report.of_bytes or None,
            completed=report.bytes,
            files=files,
        )


def _await_cleanup(app: App, items: list[WorkItem]) -> None:
    """Rejected and cancelled items leave nothing behind; give that a moment."""
    deadline = time.monotonic() + CLEANUP_SECONDS
    waiting = [i.id for i in items if i.status in (STATUS_FAILED, STATUS_CANCELLED)]
    while waiting and time.monotonic() < deadline:
        waiting = [item_id for item_id in waiting if app.services.state.has_item(item_id)]
        if waiting:
            time.sleep(LOOK_SECONDS)
