"""Worker processes on one machine: started, watched, restarted, stopped; never left behind.

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
from pathlib import Path
from typing import IO

import structlog

log = structlog.get_logger(__name__)

WATCH_SECONDS = 0.5
RESTARTS_PER_CHILD = 20
STOP_SECONDS = 20.0
HEALTH_PORT = "BAGLINE_HEALTH_PORT"
LOG_BYTES = 16 * 1024 * 1024


class WorkersRunElsewhere(Exception):
    """Another process already runs the line of this data directory."""


class WorkerProcesses:
    """`count` processes that run `argv`; use as a context manager.

    Raises WorkersRunElsewhere on entering when the data directory's line is taken.
    `health_port` (0: none) is the first one's; the others count up from it.
    `on_death` is called after a child died, before it is started anew.
    """

    def __init__(
        self,
        data_dir: Path,
        argv: list[str],
        *,
        count: int,
        environ: Mapping[str, str] = os.environ,
        on_death: Callable[[], object] = lambda: None,
        health_port: int = 0,
    ) -> None:
        self._data_dir = data_dir
        self._argv = argv
        self._count = count
        self._environ = dict(environ)
        self._health_port = health_port
        self._on_death = on_death
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._restarts = 0
        self.has_given_up = False
        """Whether the children died so often that they are not started any more."""
        self._lock: IO[str] | None = None
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="worker-watch", daemon=True)

    def __enter__(self) -> WorkerProcesses:
        self._lock = take_line(self._data_dir)
        for number in range(self._count):
            self._children[number] = self._spawn(number)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask the children to drain, wait, then insist."""
        self._stop.set()
        if self._watcher.is_alive():
            self._watcher.join(timeout=WATCH_SECONDS * 4)
        for child in self._children.values():
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._children.values():
            try:
                child.wait(timeout=max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                log.warning("worker_killed", pid=child.pid)
                child.kill()
                child.wait()
            if child.stdin is not None:
                child.stdin.close()
        self._children.clear()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _spawn(self, number: int) -> subprocess.Popen[bytes]:
        folder = self._data_dir / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"worker-{number}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        with path.open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "bagline", *self._argv],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env=self._environ_of(number),
                start_new_session=True,  # Ctrl-C is ours to pass on, as SIGTERM
            )

    def _environ_of(self, number: int) -> dict[str, str]:
        """Each process tells its health at a port of its own: the first at the one given."""
        if not self._health_port:
            return self._environ
        return self._environ | {HEALTH_PORT: str(self._health_port + number)}

    def _watch(self) -> None:
        while not self._stop.wait(WATCH_SECONDS):
            for number, child in list(self._children.items()):
                code = child.poll()
                if code is None or self._stop.is_set():
                    continue
                self._restarts += 1
                log.error("worker_died", pid=child.pid, code=code)
                if self._restarts > RESTARTS_PER_CHILD * self._count:
                    log.error("workers_keep_dying", logs=str(self._data_dir / "logs"))
                    self.has_given_up = True
                    return
                self._on_death()
                if child.stdin is not None:
                    child.stdin.close()
                self._children[number] = self._spawn(number)


def take_line(data_dir: Path) -> IO[str]:
    """The lock on running this data directory's line, with our pid in it; close to release.

    Raises WorkersRunElsewhere.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    handle = (data_dir / "line.lock").open("a+", encoding="ascii")
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
