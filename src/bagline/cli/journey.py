"""How far bags are on their way: from the first byte read to the last record, in one number."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from bagline.worker.line import Line
from bagline.worker.progress import ProgressReport

UPLOAD = "upload"
BRIEF_SHARE = 0.05
SHARES = {"pre-fetch": 1.0, "staging": 1.0, "preservation": 1.0, "verification": 1.0}
"""Of the way, by a stage's name: those that move a bag's worth of bytes; others are brief."""
RATE_SECONDS = 5.0
"""A rate is of the last seconds, or there is none."""
TRUSTED_SHARE = 0.02
"""Before so much of the way no time left is told."""


class Journey:
    """One bag's way. `size` in bytes; `line`: the stages after the upload, in their order."""

    def __init__(
        self,
        name: str,
        size: int,
        line: Line,
        *,
        is_uploaded: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.size = name, size
        self.number = 0
        """The work item's, once there is one."""
        self.stage, self.status = UPLOAD, ""
        self.report = ProgressReport(stage=UPLOAD, of_bytes=size)
        self._begins, self._whole = _beginnings(line, 0.0 if is_uploaded else 1.0)
        self._names = {step.work_stage: step.stage().name for step in line}
        self._clock = clock
        self._began_at = clock()
        self._seen: deque[tuple[float, int]] = deque([(self._began_at, 0)])

    def sent(self, count: int) -> None:
        """So many more bytes are uploaded."""
        done = min(self.report.bytes + count, self.size)
        self.at(ProgressReport(stage=UPLOAD, bytes=done, of_bytes=self.size))

    def at(self, report: ProgressReport) -> None:
        """What the stage it is in tells of itself; an earlier one's last word is passed over."""
        if report.stage != self.stage:
            return
        if report.bytes != self.report.bytes:
            self._seen.append((self._clock(), report.bytes))
        self.report = report

    def come_to(self, work_stage: str) -> None:
        """It is in this stage, by its work item."""
        stage = self._names.get(work_stage, work_stage)
        if stage != self.stage:
            self.stage, self.report = stage, ProgressReport(stage=stage)
            self._seen = deque([(self._clock(), 0)])

    def end(self, status: str) -> None:
        self.status = status

    @property
    def share(self) -> float:
        """Of the whole way, 0 to 1. It never goes back by itself: a stage that begins anew does."""
        if self.status:
            return 1.0
        begins, whole = self._begins.get(self.stage, (0.0, 0.0))
        return (begins + whole * self._share_of_stage) / self._whole

    @property
    def _share_of_stage(self) -> float:
        report = self.report
        done, of = (
            (report.bytes, report.of_bytes) if report.of_bytes else (report.files, report.of_files)
        )
        return min(done / of, 1.0) if of else 0.0

    @property
    def rate(self) -> float:
        """Bytes a second of the last seconds; 0 where nothing moved in them."""
        now = self._clock()
        while len(self._seen) > 1 and now - self._seen[1][0] > RATE_SECONDS:
            self._seen.popleft()
        (since, before), (last, after) = self._seen[0], self._seen[-1]
        if now - last > RATE_SECONDS or after <= before:
            return 0.0
        return (after - before) / max(now - max(since, now - 2 * RATE_SECONDS), 0.1)

    @property
    def seconds_left(self) -> float | None:
        """By the pace so far; None while that says nothing."""
        return None if self.status else left_of(self.share, self._clock() - self._began_at)


def left_of(share: float, gone_seconds: float) -> float | None:
    """Seconds left of a way of which that share took so long; None where that says nothing."""
    if share < TRUSTED_SHARE or gone_seconds < 1.0:
        return None
    return gone_seconds * (1.0 - share) / share


def share_of_all(journeys: Sequence[Journey]) -> float:
    """Of all bags, by their sizes."""
    whole = sum(max(journey.size, 1) for journey in journeys)
    return sum(journey.share * max(journey.size, 1) for journey in journeys) / whole


def _beginnings(line: Line, upload: float) -> tuple[Mapping[str, tuple[float, float]], float]:
    """By stage, as it tells its name: where it begins, and how much of the way it is; the whole."""
    begins, at = {UPLOAD: (0.0, upload)}, upload
    for step in line:
        name = step.stage().name
        share = SHARES.get(name, BRIEF_SHARE)
        begins[name] = (at, share)
        at += share
    return begins, at
