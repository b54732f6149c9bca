"""Processes by pid and birth, so that a pid used again is never taken for ours."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

TERM_SECONDS = 4.0
"""How long a process may take to end after SIGTERM; then SIGKILL."""
KILL_SECONDS = 5.0
POLL_SECONDS = 0.01


def birth(pid: int) -> str:
    """What tells this process from any other that had or will have its pid.

    "" when there is no such process, or only its zombie. Independent of the clock
    where the system tells start times in ticks since boot.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return _ticks(pid) or repr(process.create_time())
    except (psutil.Error, ValueError, OverflowError):
        return ""


def _ticks(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    fields = stat.rpartition(b")")[2].split()
    return f"{boot}:{fields[19].decode()}"


def find_by_argument(argument: str) -> int:
    """The pid of a living process one of whose arguments is just this; 0 if there is none."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and argument in process.cmdline()[1:]:
                return int(process.pid)
    return 0


def end_processes(born: Iterable[tuple[int, str]], *, term_seconds: float = TERM_SECONDS) -> None:
    """End each process (pid, birth): SIGTERM to all, then SIGKILL to what is left.

    A pid whose birth is another is left alone. Returns when all are gone, or after a
    bounded while.
    """
    waiting = [(pid, when) for pid, when in born if when and birth(pid) == when]
    for sign, seconds in ((signal.SIGTERM, term_seconds), (signal.SIGKILL, KILL_SECONDS)):
        for pid, _ in waiting:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        deadline = time.monotonic() + seconds
        while waiting and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            waiting = [(pid, when) for pid, when in waiting if birth(pid) == when]
        if not waiting:
            return
