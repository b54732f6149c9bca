"""Worker processes on one machine: started, watched, restarted, stopped; never left behind.

A worker that dies is started anew, after pauses that grow, for as long as this process lives.

Each child holds the reading end of a pipe whose writing end is ours: when this process
dies, however it dies, the pipe closes and the children hand their items back and exit.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import structlog

from bagline.duty import Duty, Pauses
from bagline.embedded import make_private, private_file
from bagline.listening.place import try_ports
from bagline.problems import shown

log = structlog.get_logger(__name__)

WATCH_SECONDS = 0.5
KEEPS_DYING = 6
"""So many deaths of one worker without minutes of peace between them are told as an error."""
STOP_SECONDS = 20.0
SAID_BYTES = 4_096
"""Of a dead worker's log so much is looked through for its last sentence."""
HEALTH_PORT = "BAGLINE_HEALTH_PORT"
LOG_FILE = "BAGLINE_WORKER_LOG"
"""Where a worker process finds the file that it shall log to."""


class WorkersRunElsewhere(Exception):
    """Another process already runs the line of this data directory."""


@dataclass
class Seat:
    """One worker's place: who sits there, or when the next one is started."""

    child: subprocess.Popen[bytes] | None = None
    log: Path | None = None
    log_from: int = 0
    """Where in the log this child's own lines begin, in bytes."""
    pauses: Pauses = field(default_factory=Pauses)
    start_at: float = 0.0


class WorkerProcesses:
    """`count` processes that run `argv`; use as a context manager.

    Raises WorkersRunElsewhere on entering when the data directory's line is taken, Misconfigured
    when a port is. `health_port` (0: none) is the first one's; the others count up from it.
    `on_death` is called when a child was found dead; it may not wait for anything, and may be
    set later.
    """

    def __init__(
        self,
        data_dir: Path,
        argv: list[str],
        *,
        count: int,
        environ: Mapping[str, str] = os.environ,
        on_death: Callable[[], object] = lambda: None,
        health_host: str = "",
        health_port: int = 0,
    ) -> None:
        self._data_dir = data_dir
        self._argv = argv
        self.count = count
        self._environ = dict(environ)
        self._health_host, self._health_port = health_host, health_port
        self.on_death = on_death
        self._seats = [Seat() for _ in range(count)]
        self._lock: IO[str] | None = None
        self._stop = threading.Event()
        self._watcher = Duty(
            "worker-watch", self._watch, stop=self._stop, every=WATCH_SECONDS, at_once=True
        )

    def __enter__(self) -> WorkerProcesses:
        """May be repeated: what runs stays."""
        if self._lock is None:
            self._lock = take_line(self._data_dir)
            try:
                self._try_ports()
            except BaseException:
                self._lock.close()
                self._lock = None
                raise
            self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ask_to_stop(self) -> None:
        """Ask the children to drain, and start no others. May be repeated."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._watcher.join(WATCH_SECONDS * 4)
        for child in self._children():
            if child.poll() is None:
                child.terminate()

    def stop(self) -> None:
        """Ask them, wait, then insist. May be repeated."""
        self.ask_to_stop()
        children = self._children()
        deadline = time.monotonic() + STOP_SECONDS
        for child in children:
            try:
                child.wait(timeout=max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                log.warning("worker_killed", pid=child.pid)
                child.kill()
                child.wait()
            if child.stdin is not None:
                child.stdin.close()
        self._seats = [Seat() for _ in self._seats]
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _children(self) -> list[subprocess.Popen[bytes]]:
        return [seat.child for seat in self._seats if seat.child is not None]

    def pids(self) -> list[int]:
        """The living workers."""
        return [child.pid for child in self._children() if child.poll() is None]

    @property
    def keep_dying(self) -> bool:
        """Whether no worker lives, and each died again and again. They are started all the same."""
        return not self.pids() and all(s.pauses.in_a_row >= KEEPS_DYING for s in self._seats)

    def _spawn(self, number: int, seat: Seat) -> subprocess.Popen[bytes]:
        folder = self._data_dir / "logs"
        make_private(folder)
        path = folder / f"worker-{number}.log"
        with open(path, "ab", opener=private_file) as out:
            seat.log, seat.log_from = path, out.tell()
            return subprocess.Popen(
                [sys.executable, "-m", "bagline", *self._argv],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env=self._environ_of(number) | {LOG_FILE: str(path)},
                umask=0o077,
                start_new_session=True,  # Ctrl-C is ours to pass on, as SIGTERM
            )

    def _try_ports(self) -> None:
        """Before anybody is told that the line runs. Raises Misconfigured."""
        if self._health_port:
            try_ports(self._health_host, self._health_port, self.count, "health.port")

    def _environ_of(self, number: int) -> dict[str, str]:
        """Each process tells its health at a port of its own: the first at the one given."""
        if not self._health_port:
            return self._environ
        return self._environ | {HEALTH_PORT: str(self._health_port + number)}

    def _watch(self) -> None:
        """One look at every seat. One that cannot be filled keeps nobody else from theirs."""
        faults = []
        for number, seat in enumerate(self._seats):
            if self._stop.is_set():
                return
            try:
                self._look_at(number, seat)
            except Exception as fault:  # noqa: BLE001 (told below, by the duty)
                seat.start_at = time.monotonic() + seat.pauses.next()
                faults.append(fault)
        if faults:
            raise faults[0]

    def _look_at(self, number: int, seat: Seat) -> None:
        if seat.child is not None:
            code = seat.child.poll()
            if code is None:
                return
            self._bury(seat.child, code, seat)
        if time.monotonic() >= seat.start_at:
            seat.child = self._spawn(number, seat)

    def _bury(self, child: subprocess.Popen[bytes], code: int, seat: Seat) -> None:
        seat.child = None
        pause = seat.pauses.next()
        seat.start_at = time.monotonic() + pause
        if child.stdin is not None:
            child.stdin.close()
        log.error(
            "worker_died",
            pid=child.pid,
            code=code,
            restart_in_seconds=round(pause, 1),
            said=last_sentence(seat.log, seat.log_from),
        )
        if seat.pauses.in_a_row >= KEEPS_DYING:
            log.error(
                "workers_keep_dying",
                in_a_row=seat.pauses.in_a_row,
                logs=str(self._data_dir / "logs"),
            )
        self.on_death()


def last_sentence(log: Path | None, start: int) -> str:
    """The last line that was written after `start`; "" where there is none to be read."""
    try:
        if log is None:
            return ""
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            start = start if start <= end else 0  # it was rotated meanwhile
            file.seek(max(start, end - SAID_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return shown(said[-1]) if said else ""


def take_line(data_dir: Path) -> IO[str]:
    """The lock on running this data directory's line, with our pid in it; close to release.

    Raises WorkersRunElsewhere.
    """
    make_private(data_dir)
    handle = open(data_dir / "line.lock", "a+", encoding="ascii", opener=private_file)  # noqa: SIM115
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise WorkersRunElsewhere(str(data_dir)) from None
    handle.seek(0)
    handle.truncate()
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def line_runner(data_dir: Path) -> int | None:
    """The pid of the process that runs the line; None when nobody does."""
    try:
        handle = (data_dir / "line.lock").open("r+", encoding="ascii")
    except FileNotFoundError:
        return None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            text = handle.read().strip()
            return int(text) if text.isdigit() else None
    return None
