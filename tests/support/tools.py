"""Servers that no wheel ships: found in .tools/ (`make tools`) or on PATH, run on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / ".tools"
START_SECONDS = 60.0
STOP_SECONDS = 10.0


def tool(name: str, *, get: str = "`make tools` builds it (needs Go), or put it on PATH") -> str:
    """Its path. Without it the test is skipped, and says how to get it; in CI it fails."""
    found = shutil.which(name, path=f"{TOOLS}{os.pathsep}{os.environ.get('PATH', '')}")
    if found:
        return found
    reason = f"{name} is missing: {get}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


class Server:
    """One process, which `is_up` tells to be ready. Its output is kept in `log`."""

    def __init__(
        self,
        argv: list[str],
        folder: Path,
        is_up: Callable[[], bool],
        *,
        user: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.argv = argv
        self.folder = folder
        self.log = folder / "output.log"
        self._is_up = is_up
        self._user = user
        self._environ = {**os.environ, **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.folder,
                user=self._user,
                env=self._environ,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._is_up():
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"{self.argv[0]} did not start:\n{self.output()[-2000:]}")
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def output(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that does not help."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL, now."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
