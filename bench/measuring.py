"""Runs what is measured in processes of its own, and watches all of their memory."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

from bench.figures import median_of

SAMPLE_SECONDS = 0.02
MIB = 1024 * 1024


@dataclass(frozen=True)
class Measured:
    """What a child process told of its run, and the peak of its and its children's memory."""

    facts: dict[str, Any]
    peak_bytes: int

    @property
    def seconds(self) -> float:
        return float(self.facts["seconds"])


@dataclass
class MemoryWatch:
    """The peak resident memory of a process and all that it starts, added up.

    Of each process the high-water mark that the kernel keeps, so nothing between two
    samples is missed; the sum is at or above what they held at one moment.
    """

    pid: int
    peaks: dict[int, int] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> MemoryWatch:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def peak_bytes(self) -> int:
        return sum(self.peaks.values())

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            with contextlib.suppress(psutil.Error):
                root = psutil.Process(self.pid)
                for process in (root, *root.children(recursive=True)):
                    seen = high_water(process)
                    self.peaks[process.pid] = max(seen, self.peaks.get(process.pid, 0))


def high_water(process: psutil.Process) -> int:
    """The most memory the process ever held; where no kernel tells, what it holds now."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        with contextlib.suppress(psutil.Error):
            return int(process.memory_info().rss)
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def child(name: str, *args: object) -> Measured:
    """Run a function of `bench.children` in a fresh process."""
    argv = [sys.executable, "-m", "bench.children", name, *map(str, args)]
    return measured(argv)


def measured(argv: Sequence[str], stdin: IO[bytes] | None = None) -> Measured:
    """Run the command, which ends with a line of JSON. Raises RuntimeError when it fails."""
    process = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE)
    with MemoryWatch(process.pid) as memory:
        out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{argv}: exit {process.returncode}: {out[-2000:]!r}")
    return Measured(json.loads(out), memory.peak_bytes)


def alternate(runs: Mapping[str, Callable[[], Measured]], rounds: int) -> dict[str, list[Measured]]:
    """Each of them in turn, `rounds` times, so that the machine's drift meets all alike."""
    found: dict[str, list[Measured]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
    return found


def median_seconds(runs: Sequence[Measured]) -> float:
    return median_of([run.seconds for run in runs])


def median_ratio(ours: Sequence[Measured], theirs: Sequence[Measured]) -> float:
    """How many times as fast ours is: the median over runs that followed one another."""
    pairs = zip(ours, theirs, strict=False)
    return median_of([their.seconds / our.seconds for our, their in pairs])


def peak_mib(runs: Sequence[Measured]) -> float:
    return max(run.peak_bytes for run in runs) / MIB
