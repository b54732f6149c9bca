"""PRONOM identification (Siegfried's, by pygfried) in a process that may die alone.

A damaged Office file has crashed and hung such readers before; so a child process judges,
batches go to it over a pipe, and when it dies or stays silent the culprit is found by
asking file by file. The child is started anew, never forked (a fork after the library's
first use hangs).
"""

from __future__ import annotations

import os
import select
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from bagline.duty import Duty

log = structlog.get_logger(__name__)

BATCH_SECONDS = 120.0
SAMPLE_SECONDS = 30.0
IDLE_SECONDS = 60.0
"""After so long without work the child is let go, and its memory with it."""
GARBAGE_PERCENT = "50"
"""GOGC of the child, in Go's default 100: 30 MiB less, 2 % more CPU."""
LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Sample:
    """What is judged: a name (its extension counts) and bytes."""

    name: str
    data: bytes


class FormatMatch(Struct, frozen=True, kw_only=True):
    """PRONOM's answer: `puid` like `fmt/18`, `basis` in Siegfried's words.

    `end_bytes`: how much of each end of the sample was judged; 0 for all of it.
    """

    puid: str
    name: str
    mime: str
    basis: str
    warning: str = ""
    end_bytes: int = 0


class Verdict(Struct, frozen=True):
    """What PRONOM says of a sample: the match that is recorded, and the PUIDs of all matches.

    `is_missing`: the judge died of it, and would again.
    """

    match: FormatMatch | None = None
    puids: tuple[str, ...] = ()
    is_missing: bool = False


class Verdicts(Struct, frozen=True):
    """Of a batch, and the version of PRONOM that they are by."""

    pronom: str
    verdicts: list[Verdict]


class ChildDied(Exception):
    """The judging process ended or stayed silent."""


class PronomIdentifier:
    """Judges samples in one child process, started at first use and let go when it idles.

    Thread-safe.
    """

    def __init__(self, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._used_at = 0.0
        self._idling: Duty | None = None
        self._closed = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._samples: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()
        self.version = ""
        """Of PRONOM, as Siegfried names it; known once something was judged."""

    def warm_up(self) -> None:
        """Start the child now, so that the first bag need not wait for it."""
        with self._lock:
            self._start()
            self._watch()

    def identify_many(self, samples: Sequence[Sample]) -> list[Verdict]:
        """A verdict for each sample; one without a match where PRONOM knows none."""
        if not samples:
            return []
        try:
            with self._lock:
                self._watch()
                return self._ask(samples, BATCH_SECONDS)
        except ChildDied as fault:
            log.warning("pronom_child_died", samples=len(samples), reason=str(fault))
        # Others' batches come in between: each of these may take long.
        return [self._ask_one(sample) for sample in samples]

    def close(self) -> None:
        """End the child. May be repeated."""
        with self._lock:
            self._closed.set()
            self._idling = None
            self._end()

    def _watch(self) -> None:
        """End the child once it has idled."""
        self._used_at = time.monotonic()
        if self._idling is None:
            self._closed.clear()
            self._idling = Duty(
                "pronom-idle", self._look, stop=self._closed, every=self._idle_seconds / 4
            ).start()

    def _look(self) -> None:
        with self._lock:
            if self._child and time.monotonic() - self._used_at >= self._idle_seconds:
                self._end()

    def _ask_one(self, sample: Sample) -> Verdict:
        try:
            with self._lock:
                self._watch()
                return self._ask([sample], SAMPLE_SECONDS)[0]
        except ChildDied as fault:
            log.warning("pronom_sample_unjudged", name=ascii(sample.name), reason=str(fault))
            return Verdict(is_missing=True)

    def _ask(self, samples: Sequence[Sample], seconds: float) -> list[Verdict]:
        child = self._start()
        # A name in raw bytes cannot be sent; of names only the extension counts.
        named = [(s.name.encode("utf-8", "replace").decode(), s.data) for s in samples]
        message = msgspec.msgpack.encode(named)
        try:
            assert child.stdin is not None
            child.stdin.write(LENGTH.pack(len(message)))
            child.stdin.write(message)
            child.stdin.flush()
            answer = self._receive(child, seconds)
        except (OSError, ChildDied) as fault:
            self._end()
            raise ChildDied(str(fault)) from None
        told = msgspec.msgpack.decode(answer, type=Verdicts)
        self.version = told.pronom
        return told.verdicts

    def _receive(self, child: subprocess.Popen[bytes], seconds: float) -> bytes:
        assert child.stdout is not None
        head = self._read(child, LENGTH.size, seconds)
        return self._read(child, LENGTH.unpack(head)[0], seconds)

    def _read(self, child: subprocess.Popen[bytes], count: int, seconds: float) -> bytes:
        assert child.stdout is not None
        parts: list[bytes] = []
        answers = select.poll()  # `select` knows no file beyond the 1,024th
        answers.register(child.stdout, select.POLLIN)
        while count:
            if not answers.poll(seconds * 1000):
                raise ChildDied(f"silent for {seconds:.0f} s")
            part = child.stdout.read1(count)  # type: ignore[attr-defined]
            if not part:
                raise ChildDied("ended")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _start(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self._end()
            self._child = subprocess.Popen(
                [sys.executable, "-m", "bagline.formats.pronom_child", str(self._folder())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"GOGC": GARBAGE_PERCENT} | os.environ,
            )
        return self._child

    def _folder(self) -> Path:
        """Where the child keeps the samples it judges; gone with it, however it ends."""
        self._samples = tempfile.TemporaryDirectory(prefix="bagline-formats-")
        return Path(self._samples.name)

    def _end(self) -> None:
        child, self._child = self._child, None
        samples, self._samples = self._samples, None
        if child is None:
            return
        child.kill()
        child.wait()
        if samples is not None:
            samples.cleanup()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    log.debug("pronom_pipe_already_closed")
