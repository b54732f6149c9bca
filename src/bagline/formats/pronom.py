"""PRONOM identification (Siegfried's, by pygfried) in a process that may die alone.

A damaged Office file has crashed and hung such readers before; so a child process judges,
batches go to it over a pipe, and when it dies or stays silent the culprit is found by
asking file by file. The child is started anew, never forked (a fork after the library's
first use hangs).
"""

from __future__ import annotations

import select
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

log = structlog.get_logger(__name__)

BATCH_SECONDS = 120.0
SAMPLE_SECONDS = 30.0
LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Sample:
    """What is judged: a name (its extension counts) and the bytes, or both ends joined."""

    name: str
    data: bytes


class FormatMatch(Struct, frozen=True, kw_only=True):
    """PRONOM's answer: `puid` like `fmt/18`, `basis` in Siegfried's words."""

    puid: str
    name: str
    mime: str
    basis: str
    warning: str = ""


class ChildDied(Exception):
    """The judging process ended or stayed silent."""


class PronomIdentifier:
    """Judges samples in one child process, started at first use. Thread-safe."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._samples: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Start the child now, so that the first bag need not wait for it."""
        with self._lock:
            self._start()

    def identify_many(self, samples: Sequence[Sample]) -> list[FormatMatch | None]:
        """A match for each sample, None where PRONOM knows none or the judge died of it."""
        if not samples:
            return []
        with self._lock:
            try:
                return self._ask(samples, BATCH_SECONDS)
            except ChildDied as fault:
                log.warning("pronom_child_died", samples=len(samples), reason=str(fault))
            return [self._ask_one(sample) for sample in samples]

    def close(self) -> None:
        """End the child. May be repeated."""
        with self._lock:
            self._end()

    def _ask_one(self, sample: Sample) -> FormatMatch | None:
        try:
            return self._ask([sample], SAMPLE_SECONDS)[0]
        except ChildDied as fault:
            log.warning("pronom_sample_unjudged", name=ascii(sample.name), reason=str(fault))
            return None

    def _ask(self, samples: Sequence[Sample], seconds: float) -> list[FormatMatch | None]:
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
        return msgspec.msgpack.decode(answer, type=list[FormatMatch | None])

    def _receive(self, child: subprocess.Popen[bytes], seconds: float) -> bytes:
        assert child.stdout is not None
        head = self._read(child, LENGTH.size, seconds)
        return self._read(child, LENGTH.unpack(head)[0], seconds)

    def _read(self, child: subprocess.Popen[bytes], count: int, seconds: float) -> bytes:
        assert child.stdout is not None
        parts: list[bytes] = []
        while count:
            ready, _, _ = select.select([child.stdout], [], [], seconds)
            if not ready:
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
