"""What befalls a running `bagline up`: kills, stops and restarts, sixty of them from one seed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack

import psutil

from support.commands import Bagline, kill_family, until, workers_of
from support.family import engine_pids

DECK = {
    "kill a worker": 10,
    "kill every worker": 5,
    "terminate a worker": 4,
    "stop a worker for a moment": 4,
    "stop a worker for longer than its lease": 2,
    "kill valkey": 6,
    "kill seaweedfs": 6,
    "kill both engines": 3,
    "terminate an engine": 3,
    "stop valkey for a moment": 2,
    "stop seaweedfs for a moment": 2,
    "kill up": 4,
    "kill up and its workers": 3,
    "kill the whole tree": 3,
    "terminate up": 3,
}
LEASE_SECONDS = 6
MOMENT_SECONDS = (0.3, 2.0)
ENDING_SECONDS = 60.0


class Havoc:
    """Runs `up` and plays the deck on it. Use as a context manager."""

    def __init__(self, bagline: Bagline, chance: random.Random, *argv: str) -> None:
        self._bagline = bagline
        self._chance = chance
        self._argv = argv
        self._running = ExitStack()
        self._up: subprocess.Popen[bytes] | None = None
        self._began = time.monotonic()
        self.played: list[str] = []
        """What happened, in its order, with the seconds since the beginning."""

    def __enter__(self) -> Havoc:
        self._start_up()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    @property
    def up(self) -> subprocess.Popen[bytes]:
        """`up`, which nothing but we may end."""
        assert self._up is not None
        code = self._up.poll()
        assert code is None, f"up ended by itself with {code} after: {self.played[-3:]}"
        return self._up

    def deck(self) -> list[str]:
        cards = [card for card, times in DECK.items() for _ in range(times)]
        self._chance.shuffle(cards)
        return cards

    def play(self, card: str) -> None:
        """One fault. Waits until there is somebody whom it can befall."""
        acts: dict[str, Callable[[], object]] = {
            "kill a worker": lambda: self._signal(signal.SIGKILL, self._workers()[:1]),
            "kill every worker": lambda: self._signal(signal.SIGKILL, self._workers()),
            "terminate a worker": lambda: self._signal(signal.SIGTERM, self._workers()[:1]),
            "stop a worker for a moment": lambda: self._stop(self._workers()[0]),
            "stop a worker for longer than its lease": lambda: self._stop(
                self._workers()[0], LEASE_SECONDS + 2
            ),
            "kill valkey": lambda: self._signal(signal.SIGKILL, self._engines("valkey")),
            "kill seaweedfs": lambda: self._signal(signal.SIGKILL, self._engines("seaweedfs")),
            "kill both engines": lambda: self._signal(signal.SIGKILL, self._engines()),
            "terminate an engine": lambda: self._signal(signal.SIGTERM, self._engines()[:1]),
            "stop valkey for a moment": lambda: self._stop(self._engines("valkey")[0]),
            "stop seaweedfs for a moment": lambda: self._stop(self._engines("seaweedfs")[0]),
            "kill up": self._kill_up,
            "kill up and its workers": self._kill_family,
            "kill the whole tree": self._kill_tree,
            "terminate up": self._terminate_up,
        }
        self._note(card)
        acts[card]()

    def _note(self, what: str) -> None:
        self.played.append(f"{time.monotonic() - self._began:.2f} {what}")

    # -- up

    def _start_up(self) -> None:
        self._up = self._running.enter_context(self._bagline.running("up", *self._argv))

    def _kill_up(self) -> None:
        """Its workers end by themselves, while the next one starts."""
        self._signal(signal.SIGKILL, [self.up.pid])
        self._next_up()

    def _kill_family(self) -> None:
        kill_family(self.up.pid)
        self._next_up()

    def _kill_tree(self) -> None:
        """A power cut, as far as processes go."""
        engines = self._engines()
        kill_family(self.up.pid)
        self._signal(signal.SIGKILL, engines)
        self._next_up()

    def _terminate_up(self) -> None:
        """Before it can be asked to end well, it must have come up."""
        up = self.up
        self._workers()
        up.terminate()
        code = up.wait(timeout=ENDING_SECONDS)
        assert code == 0, f"up ended with {code} when it was asked to"
        self._next_up()

    def _next_up(self) -> None:
        assert self._up is not None
        self._up.wait(timeout=ENDING_SECONDS)
        time.sleep(self._chance.choice((0.0, 0.0, 0.5)))
        self._start_up()

    # -- whom it befalls

    def _workers(self) -> list[int]:
        found = until(lambda: _pids(workers_of(self.up.pid)), "a worker", seconds=90)
        self._chance.shuffle(found)
        return list(found)

    def _engines(self, *names: str) -> list[int]:
        """Pids of those that live; waits until one of them does."""
        wanted = names or ("valkey", "seaweedfs")

        def alive() -> list[int]:
            assert self.up.pid
            pids = engine_pids(self._bagline.data_dir)
            return [pids[name] for name in wanted if _is_engine(pids.get(name, 0), name)]

        found = until(alive, f"{wanted} to live", seconds=90)
        self._chance.shuffle(found)
        return list(found)

    def _signal(self, number: int, pids: list[int]) -> None:
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                self._note("  it was gone already")

    def _stop(self, pid: int, seconds: float = 0.0) -> None:
        self._signal(signal.SIGSTOP, [pid])
        time.sleep(seconds or self._chance.uniform(*MOMENT_SECONDS))
        self._signal(signal.SIGCONT, [pid])


def _pids(processes: list[psutil.Process]) -> list[int]:
    return [process.pid for process in processes if process.status() != psutil.STATUS_ZOMBIE]


def _is_engine(pid: int, name: str) -> bool:
    """Whether that pid is such an engine's, and not used again by another process."""
    try:
        process = psutil.Process(pid)
        known = process.name().startswith("weed" if name == "seaweedfs" else name)
        return bool(pid) and known and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
