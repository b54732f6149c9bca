"""Who tells how far bags are: bars for people, a JSON line an event for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

import msgspec
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from bagline.cli.common import err, safe, size_text
from bagline.cli.journey import SHARES, Journey, left_of, share_of_all
from bagline.model.times import now

NAME_CHARACTERS = 24
PROGRESS_SECONDS = 5.0
"""Between lines of one bag's progress, at least."""
SHOW_SECONDS = 0.1
ALL = "all bags"


class Teller(Protocol):
    """Is shown the journeys again and again; use as a context."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def show(self, journeys: Sequence[Journey]) -> None:
        """Cheap to call often."""


class Bars:
    """One bar a bag, from its first byte, and one for all of them; nothing where standard error is
    no terminal."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[what]}"),
            console=err,
            disable=not err.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._clock = clock
        self._began_at = clock()
        self._shown_at = float("-inf")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, journeys: Sequence[Journey]) -> None:
        at = self._clock()
        is_over = all(journey.status for journey in journeys)
        if at - self._shown_at < SHOW_SECONDS and not is_over:
            return
        self._shown_at = at
        for journey in journeys:
            self._update(journey.name, journey.share, what_of(journey))
        if len(journeys) > 1:
            share = share_of_all(journeys)
            left = None if is_over else left_of(share, at - self._began_at)
            self._update(ALL, share, left_text(left))

    def _update(self, name: str, share: float, what: str) -> None:
        if name not in self._tasks:
            shown = safe(name, NAME_CHARACTERS)
            self._tasks[name] = self._bars.add_task(shown, total=1.0, what="")
        self._bars.update(self._tasks[name], completed=share, what=what)


class JsonLines:
    """A line an event on standard output: start, stage, progress; the last one is the caller's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stages: dict[str, str] = {}
        self._told_at: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, journeys: Sequence[Journey]) -> None:
        if not self._stages:
            bags = [{"bag": each.name, "bytes": each.size} for each in journeys]
            tell("start", bags=bags)
        for journey in journeys:
            stage = journey.status or journey.stage
            at = self._clock()
            if self._stages.get(journey.name) != stage:
                self._stages[journey.name] = stage
                self._told_at[journey.name] = at
                tell("stage", bag=journey.name, work_item=journey.number, stage=stage)
            elif not journey.status and at - self._told_at[journey.name] >= PROGRESS_SECONDS:
                self._told_at[journey.name] = at
                tell("progress", **_numbers(journey))


def tell(event: str, **fields: Any) -> None:
    """One line, with the moment in UTC."""
    document = {"event": event, "at": now(), **fields}
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
    sys.stdout.flush()


def _numbers(journey: Journey) -> dict[str, Any]:
    report, left = journey.report, journey.seconds_left
    return {
        "bag": journey.name,
        "work_item": journey.number,
        "stage": journey.stage,
        "bytes": report.bytes,
        "of_bytes": report.of_bytes,
        "files": report.files,
        "of_files": report.of_files,
        "share": round(journey.share, 4),
        "bytes_a_second": round(journey.rate),
        "seconds_left": None if left is None else round(left),
    }


def what_of(journey: Journey) -> str:
    """`staging, 1.2 GiB of 4.0 GiB, 80.0 MiB/s, 2:10 left`."""
    if journey.status:
        return journey.status
    report, parts = journey.report, [journey.stage]
    if report.of_bytes:
        parts.append(f"{size_text(report.bytes)} of {size_text(report.of_bytes)}")
    elif journey.stage in SHARES:  # nothing is told before something was done
        parts.append(f"{size_text(0)} of {size_text(journey.size)}")
    elif report.of_files:
        parts.append(f"{report.files:,} of {report.of_files:,} files")
    if journey.rate:
        parts.append(f"{size_text(journey.rate)}/s")
    if left := left_text(journey.seconds_left):
        parts.append(left)
    return ", ".join(parts)


def left_text(seconds: float | None) -> str:
    """`2:10 left`; "" where it is not known."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"
