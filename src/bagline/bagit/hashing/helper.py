"""A second process that hashes small files, so that Python's one lock does not hold us up.

hashlib lets go of that lock for each digest and must win it back from a scan that is busy
framing; for files of a few KiB threads therefore bring nothing. A bare interpreter beside
the scan (some 10 MiB) does: batches go to it over a pipe.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import subprocess
import sys
from collections import deque
from pathlib import Path
from struct import pack

from bagline.bagit.digests import DIGESTS_BYTES
from bagline.bagit.hashing.pending import Batch
from bagline.units import MIB

CHILD = Path(__file__).with_name("helper_child.py")
PIPE_BYTES = MIB
BATCHES = 4
"""So many batches are with the helper at once: its answers to them fit into a pipe."""
WRITE_VIEWS = 512


class HelperGone(Exception):
    """The helper cannot be started, or has ended; what it had must be hashed here."""


class Helper:
    """One such process. Not for two threads."""

    def __init__(self) -> None:
        """Raises HelperGone where none can be started."""
        self._given: deque[Batch] = deque()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
            )
        except OSError as fault:
            raise HelperGone(str(fault)) from fault
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to = self._process.stdin.fileno()
        self._from = self._process.stdout.fileno()
        self._answers = select.poll()
        self._answers.register(self._from, select.POLLIN)
        _widen(self._to)

    @property
    def has_room(self) -> bool:
        return len(self._given) < BATCHES

    def give(self, batch: Batch) -> None:
        """Let it hash the batch. Raises HelperGone; the batch is then still unhashed."""
        lengths = [len(item) for item in batch.items]
        head = pack(f"<{len(lengths) + 1}I", len(lengths), *lengths)
        views = [memoryview(head), *batch.items]
        try:
            for start in range(0, len(views), WRITE_VIEWS):
                _write(self._to, views[start : start + WRITE_VIEWS])
        except OSError as fault:
            raise HelperGone(str(fault)) from fault
        self._given.append(batch)

    def finish_next(self) -> None:
        """Wait for the batch that was given first. Raises HelperGone."""
        batch = self._given[0]
        want = len(batch.items) * DIGESTS_BYTES
        answer = bytearray()
        while len(answer) < want:
            try:
                some = os.read(self._from, want - len(answer))
            except OSError as fault:
                raise HelperGone(str(fault)) from fault
            if not some:
                raise HelperGone("the helper ended")
            answer += some
        batch.results = [
            bytes(answer[at : at + DIGESTS_BYTES]) for at in range(0, want, DIGESTS_BYTES)
        ]
        self._given.popleft()
        batch.finish()

    def has_answer(self) -> bool:
        """Whether `finish_next` would hardly wait."""
        return bool(self._given) and bool(self._answers.poll(0))

    def holds(self, batch: Batch) -> bool:
        return batch in self._given

    def close(self) -> list[Batch]:
        """End the process; the batches that it did not answer."""
        left = list(self._given)
        self._given.clear()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.kill()  # it holds nothing but copies
        self._process.wait()
        return left


def _write(handle: int, views: list[memoryview]) -> None:
    """All of the views; a pipe may take them in several bites."""
    left = sum(map(len, views))
    while left:
        written = os.writev(handle, views)
        left -= written
        while left and written >= len(views[0]):
            written -= len(views.pop(0))
        if left:
            views[0] = views[0][written:]


def _widen(pipe: int) -> None:
    """Linux lets a pipe hold more than 64 KiB; elsewhere a write waits a little instead."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
