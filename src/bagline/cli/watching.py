"""Watches items travel: a bar a bag, with stage, bytes, files and rate."""

from __future__ import annotations

import time
from collections.abc import Callable

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

from bagline.cli.common import err, safe
from bagline.errors import Unreachable
from bagline.model.workitem import (
    STATUS_CANCELLED,
    STATUS_FAILED,
    STATUS_SUSPENDED,
    WorkItem,
)
from bagline.services.state.base import State
from bagline.stages.progress import ProgressReport
from bagline.wiring import House

LOOK_SECONDS = 0.1
CLEANUP_SECONDS = 30.0


def watch(
    house: House, items: list[WorkItem], is_served: Callable[[], bool], *, quiet: bool = False
) -> list[WorkItem]:
    """Until each item is finished, or waits for an operator; returns them as they ended.

    Rejected and cancelled ones count as finished when their clean-up is done too. Raises
    Unreachable when nobody is left to work on them (`is_served`).
    """
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
        while len(ended) < len(items):
            time.sleep(LOOK_SECONDS)
            if not is_served():
                raise Unreachable(
                    "no worker is left; the items stay on the line. Look at "
                    f"{house.settings.data_dir / 'logs'}, then start `bagline up`"
                )
            waiting = [item.id for item in items if item.id not in ended]
            _show_progress(house.services.state, bars, tasks, waiting)
            for item_id in waiting:
                item = house.services.registry.work_item(item_id)
                if item is not None and (item.is_completed or item.status == STATUS_SUSPENDED):
                    ended[item_id] = item
                    size = max(item.size, 1)
                    bars.update(tasks[item_id], stage=item.status, total=size, completed=size)
    _await_cleanup(house, list(ended.values()))
    return [ended[item.id] for item in items]


def _show_progress(
    state: State, bars: Progress, tasks: dict[int, TaskID], waiting: list[int]
) -> None:
    try:
        reports = state.load_progress(waiting)
    except Unreachable:
        return
    for item_id, raw in reports.items():
        report = msgspec.json.decode(raw, type=ProgressReport)
        files = f"{report.files:,} files" if report.files else ""
        bars.update(
            tasks[item_id],
            stage=report.stage,
            total=report.of_bytes or None,
            completed=report.bytes,
            files=files,
        )


def _await_cleanup(house: House, items: list[WorkItem]) -> None:
    """Rejected and cancelled items leave nothing behind; give that a moment."""
    deadline = time.monotonic() + CLEANUP_SECONDS
    waiting = [i.id for i in items if i.status in (STATUS_FAILED, STATUS_CANCELLED)]
    while waiting and time.monotonic() < deadline:
        waiting = [item_id for item_id in waiting if house.services.state.has_item(item_id)]
        time.sleep(LOOK_SECONDS if waiting else 0)
