"""Watches items travel, until they are at their end or a person presses Ctrl-C."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import ClassVar

import msgspec

from bagline.app import App
from bagline.cli.common import err, safe
from bagline.cli.journey import Journey
from bagline.cli.tellers import Bars, Teller
from bagline.errors import Unreachable
from bagline.model.subject import item_subject
from bagline.model.workitem import (
    NOTE_CHARACTERS,
    STATUS_CANCELLED,
    STATUS_FAILED,
    STATUS_SUSPENDED,
    WorkItem,
)
from bagline.services.state.base import State
from bagline.worker.progress import ProgressReport

LOOK_SECONDS = 0.1
CLEANUP_SECONDS = 30.0
AWAY_SECONDS = 30.0
"""How long the Registry may not answer before watching ends."""
FULL_LOOK_SECONDS = 2.0
STOPPING = (
    "Stopping: items in work are handed back, and stay on the line. To go on: the same command "
    "again, or `bagline up`."
)
STILL_STOPPING = "Still stopping: items in work are being handed back."


def watch(
    app: App,
    items: list[WorkItem],
    is_served: Callable[[], bool],
    *,
    journeys: Sequence[Journey] | None = None,
    teller: Teller | None = None,
) -> list[WorkItem]:
    """Until each item is finished, or waits for an operator; returns them as they ended.

    Rejected and cancelled ones count as finished when their clean-up is done too. `journeys`: of
    the items, in their order, where they began before; `teller`: one that is entered already.
    Raises Unreachable when nobody is left to work on them (`is_served`), KeyboardInterrupt at
    Ctrl-C.
    """
    showing = nullcontext(teller) if teller is not None else Bars()
    with CtrlC() as ctrl_c, showing as told:
        travelling = list(journeys or (_journey(app, item) for item in items))
        ended = _watch(app, items, is_served, ctrl_c, travelling, told)
    _await_cleanup(app, ended)
    return ended


def _journey(app: App, item: WorkItem) -> Journey:
    return Journey(item.name, item.size, app.lines.of(item) or app.ingest_line, is_uploaded=True)


class CtrlC:
    """Remembers that it was pressed: its KeyboardInterrupt is lost where it meets a library that
    is just cleaning up. What it means is said at once, and again to who presses it again. Use on
    the main thread, as a context; one within another leaves it to that."""

    _inside: ClassVar[CtrlC | None] = None

    def __init__(self) -> None:
        self._came = False
        self.says = STOPPING
        """What goes on, and how to go on."""

    def __enter__(self) -> CtrlC:
        if CtrlC._inside is not None:
            return CtrlC._inside
        CtrlC._inside = self
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if CtrlC._inside is self:
            CtrlC._inside = None
            signal.signal(signal.SIGINT, self._before)

    def _note(self, *_: object) -> None:
        """Straight to the terminal: whatever was interrupted may hold the console."""
        is_first, self._came = not self._came, True
        said = self.says if is_first else STILL_STOPPING
        with suppress(OSError):
            os.write(2, f"\n{said}\n".encode())
        if is_first:
            raise KeyboardInterrupt

    def look(self) -> None:
        """Raises KeyboardInterrupt where it was pressed."""
        if self._came:
            raise KeyboardInterrupt


def _watch(
    app: App,
    items: list[WorkItem],
    is_served: Callable[[], bool],
    ctrl_c: CtrlC,
    journeys: list[Journey],
    teller: Teller,
) -> list[WorkItem]:
    by_item = dict(zip((item.id for item in items), journeys, strict=True))
    for number, journey in by_item.items():
        journey.number = number
    ended: dict[int, WorkItem] = {}
    patience = _Patience(app)
    while len(ended) < len(by_item):
        time.sleep(LOOK_SECONDS)
        ctrl_c.look()
        if not is_served():
            raise Unreachable(
                "no worker is left; the items stay on the line. Look at "
                f"{app.settings.data_dir / 'logs'}, then start `bagline up`"
            )
        for item_id in [item_id for item_id in by_item if item_id not in ended]:
            item = patience.ask(item_id)
            if item is None:
                continue
            by_item[item_id].come_to(item.stage)
            if item.is_completed or item.status == STATUS_SUSPENDED:
                ended[item_id] = item
                by_item[item_id].end(item.status)
        _hear(app.services.state, by_item)
        teller.show(journeys)
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


def _hear(state: State, journeys: Mapping[int, Journey]) -> None:
    """What the stages tell of themselves."""
    waiting = [number for number, journey in journeys.items() if not journey.status]
    try:
        reports = state.load_progress([item_subject(number) for number in waiting])
    except Unreachable:
        return
    for about, raw in reports.items():
        journeys[about.number].at(msgspec.json.decode(raw, type=ProgressReport))


def _await_cleanup(app: App, items: list[WorkItem]) -> None:
    """Rejected and cancelled items leave nothing behind; give that a moment."""
    deadline = time.monotonic() + CLEANUP_SECONDS
    waiting = [i.id for i in items if i.status in (STATUS_FAILED, STATUS_CANCELLED)]
    while waiting and time.monotonic() < deadline:
        waiting = [item_id for item_id in waiting if app.services.state.has_item(item_id)]
        if waiting:
            time.sleep(LOOK_SECONDS)
