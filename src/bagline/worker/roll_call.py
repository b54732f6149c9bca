"""Who is at work on this machine's line: written down every few seconds by the process that
runs it, read by `bagline doctor`.

The file keeps its length and is written over in place: that takes no room on a full disk.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
from msgspec import Struct, field

from bagline.duty import failing_duties, idle_duties
from bagline.worker.processes import WorkerProcesses

CALL_SECONDS = 2.0
LATE_SECONDS = 30.0
"""A roll call older than this says that nobody calls any more."""
FILE_BYTES = 8192
REASON_CHARACTERS = 300


class RollCall(Struct, kw_only=True):
    """How the line was at a moment (seconds since the epoch)."""

    pid: int
    called_at: float
    wanted: int = 0
    """Worker processes that should live;"""
    workers: list[int] = field(default_factory=list)
    """and those that do."""
    keep_dying: bool = False
    idle: list[str] = field(default_factory=list)
    """Duties that do not run, in words."""
    failing: list[tuple[str, str]] = field(default_factory=list)
    """Duties whose last act failed, and why."""


class RollBook:
    """The file; made at once, so that later calls need no room."""

    def __init__(self, data_dir: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(_path(data_dir), flags, 0o600)

    def call(self, workers: WorkerProcesses) -> None:
        """Write down how things are."""
        failing = [(name, reason[:REASON_CHARACTERS]) for name, reason in failing_duties()]
        call = RollCall(
            pid=os.getpid(),
            called_at=time.time(),
            wanted=workers.count,
            workers=workers.pids(),
            keep_dying=workers.keep_dying,
            idle=idle_duties(),
            failing=failing[:8],
        )
        os.pwrite(self._file, msgspec.json.encode(call)[:FILE_BYTES].ljust(FILE_BYTES), 0)

    def close(self) -> None:
        os.close(self._file)


def last_roll_call(data_dir: Path) -> RollCall | None:
    """The last one written; None where there is none that can be read."""
    try:
        return msgspec.json.decode(_path(data_dir).read_bytes(), type=RollCall)
    except (OSError, msgspec.MsgspecError):
        return None


def missing(call: RollCall | None, runner: int, now: float) -> list[str]:
    """What to do about the line that process `runner` runs; nothing when all is well."""
    anew = "`bagline down`, then `bagline up`"
    if call is None or call.pid != runner or now - call.called_at > LATE_SECONDS:
        return [f"process {runner} holds the line and does not say how it is: {anew}"]
    found = [f"{what}: {anew}" for what in call.idle]
    found += [f"duty {name} fails, and is tried again: {reason}" for name, reason in call.failing]
    if not call.workers:
        often = " (they die again and again)" if call.keep_dying else ""
        found.append(
            f"no worker lives{often}: new ones are started by themselves; the end of "
            "logs/worker-0.log in the data directory says why they died"
        )
    elif len(call.workers) < call.wanted:
        found.append(
            f"{len(call.workers)} of {call.wanted} workers live: the others are started "
            "again by themselves; logs/ in the data directory says why they died"
        )
    return found


def _path(data_dir: Path) -> Path:
    return data_dir / "line.json"
