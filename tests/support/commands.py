"""The `bagline` command as anybody runs it: processes of their own, on a data directory."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil

from bagline.config import load_settings
from bagline.wiring import build_registry, new_institution

COMMAND = [sys.executable, "-m", "bagline"]
FINDING = ("ingest", "doctor")
"""Commands that want a Registry that is there."""


class Bagline:
    """Runs subcommands with one `--data-dir`; `FINDING` ones find `test.edu` there."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def found(
        self, *institutions: str, first: str = "test.edu", config: Path | None = None
    ) -> None:
        """Make the Registry of the data directory, or that the settings name, with these
        institutions in it; the `first` one where none are named, and there is none."""
        settings = load_settings(data_dir=self.data_dir, file=config)
        registry = build_registry(settings)
        names = institutions or (() if registry.institutions() else (first,))
        for name in names:
            if registry.institution(name) is None:
                registry.save_institution(new_institution(name, settings.buckets))
        registry.close()

    def run(self, *argv: object, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """To its end, with what it printed."""
        return subprocess.run(
            self._argv(*argv),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def json(self, *argv: object, expect: int = 0) -> Any:
        """What it printed, decoded (of an ingest, whose lines are events, the last one); its exit
        code must be `expect`."""
        ended = self.run(*argv, "--json")
        assert ended.returncode == expect, ended.stdout + ended.stderr
        return json.loads(ended.stdout.splitlines()[-1] if argv[0] == "ingest" else ended.stdout)

    @contextmanager
    def running(self, *argv: object) -> Iterator[subprocess.Popen[bytes]]:
        """In the background; killed with its children at the end, if it still runs."""
        log = (self.data_dir.parent / f"{self.data_dir.name}-{argv[0]}.log").open("ab")
        process = self.start(*argv, out=log)
        try:
            yield process
        finally:
            kill_family(process.pid)
            process.wait(timeout=30)
            log.close()

    def start(self, *argv: object, out: IO[bytes]) -> subprocess.Popen[bytes]:
        """In the background, what it prints in `out`: whoever starts it ends it."""
        return subprocess.Popen(self._argv(*argv), stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def _argv(self, *argv: object) -> list[str]:
        if argv[0] == "ingest":
            given = dict(itertools.pairwise(map(str, argv)))
            config = given.get("--config")
            self.found(
                first=given.get("--institution", "test.edu"),
                config=Path(config) if config else None,
            )
        elif argv[0] in FINDING and not (self.data_dir / "registry.db").exists():
            self.found()
        return [*COMMAND, *map(str, argv), "--data-dir", str(self.data_dir)]


def kill_family(pid: int) -> None:
    """kill -9 of the process and of the worker processes it started, at one instant.

    Engines are left alone: they have been handed to the init process' care.
    """
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        if not _is_engine(member):
            _signal(member.pid, signal.SIGKILL)


def workers_of(pid: int) -> list[psutil.Process]:
    """The worker processes under that process."""
    return [
        child
        for child in psutil.Process(pid).children(recursive=True)
        if not _is_engine(child) and "worker" in " ".join(_command(child))
    ]


def _command(process: psutil.Process) -> list[str]:
    """Its arguments; none of one that ended, or that nobody has asked after since."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _is_engine(process: psutil.Process) -> bool:
    try:
        name = process.name()
    except psutil.Error:
        return False
    return name.startswith(("valkey", "weed"))


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def until(ask: Any, what: str, *, seconds: float = 150.0) -> Any:
    """The first true answer; an AssertionError when none comes in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for {what}")
