"""`bagline up` outlives what dies under it: workers and engines, one or two at a time."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bagline.worker import roll_call
from bagline.worker.processes import line_runner
from support.bags import BagBuilder
from support.commands import Bagline, until, workers_of
from support.family import engine_pids
from support.tools import free_port


def pids_of(up: int) -> set[int]:
    return {worker.pid for worker in workers_of(up)}


def replace_one(up: int) -> None:
    """Kill one of two workers, and wait for the next."""
    victim = min(pids_of(up))
    kill(victim)
    until(lambda: len(pids_of(up) - {victim}) == 2, "another worker")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """It answers nothing meanwhile, and is not dead."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def running(bagline: Bagline, *argv: object) -> Iterator[subprocess.Popen[bytes]]:
    """`bagline up`, ended by `bagline down`: at every instant a new worker may be on its way."""
    with bagline.running("up", *argv) as up:
        yield up
        assert up.poll() is None
        down = bagline.run("down")
        assert down.returncode == 0, down.stderr
        assert up.wait(timeout=60) == 0


def remedies(bagline: Bagline, what: str) -> list[str]:
    found = bagline.run("doctor", "--json")
    return [
        said
        for part in json.loads(found.stdout)
        if part["what"] == what
        for said in part["remedies"]
    ]


def test_workers_that_die_while_redis_does_not_answer_are_replaced_then_and_later(
    bagline: Bagline, tmp_path: Path
) -> None:
    with running(bagline, "--processes", "2") as up:
        until(lambda: len(pids_of(up.pid)) == 2, "both workers")
        until(lambda: bagline.run("doctor").returncode == 0, "all to be well")
        for _ in range(2):  # the first of these ended supervision; the second was never replaced
            with stopped(engine_pids(bagline.data_dir)["valkey"]):
                replace_one(up.pid)
                time.sleep(1)
        replace_one(up.pid)
        bag = BagBuilder("after").payload("a.txt", b"still here").write(tmp_path / "after.tar")
        assert bagline.json("ingest", bag)["bags"][0]["status"] == "Success"
        until(lambda: bagline.run("doctor").returncode == 0, "all to be well again")


def test_up_without_a_living_worker_goes_on_and_doctor_says_so(bagline: Bagline) -> None:
    """The first one dies, and every other ends at its start, for its health port is taken then."""
    port = free_port()
    config = bagline.data_dir.parent / "bagline.toml"
    config.write_text(f"[health]\nport = {port}\n")
    with running(bagline, "--processes", "1", "--config", config) as up:
        until(lambda: line_runner(bagline.data_dir), "the line to run")
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            until(lambda: takes(taken, port, up.pid), "the port to be free")
            until(
                lambda: any("no worker lives" in told for told in remedies(bagline, "line")),
                "doctor to tell",
            )
            assert up.poll() is None
        until(lambda: not remedies(bagline, "line"), "a worker that lives")


def takes(taken: socket.socket, port: int, up: int) -> bool:
    """Kill the workers, and take their port before the next one does."""
    for pid in pids_of(up):
        with suppress(ProcessLookupError):
            kill(pid)
    try:
        taken.bind(("127.0.0.1", port))
        taken.listen()
    except OSError:
        return False
    return True


def test_a_supervisor_that_hangs_is_told_by_doctor(
    bagline: Bagline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roll_call, "LATE_SECONDS", 5.0)
    with running(bagline, "--processes", "1") as up:
        until(lambda: roll_call.last_roll_call(bagline.data_dir), "the first roll call")
        with stopped(up.pid):
            until(
                lambda: roll_call.missing(
                    roll_call.last_roll_call(bagline.data_dir), up.pid, time.time()
                ),
                "the roll call to be late",
            )


@pytest.mark.parametrize("name", ["valkey", "seaweedfs"])
def test_up_outlives_an_engine_that_dies_in_its_first_second(
    bagline: Bagline, tmp_path: Path, name: str
) -> None:
    """Killed as soon as it is known; once more when it came back."""
    done = threading.Event()
    killed: set[int] = set()

    def assassin() -> None:
        while not done.wait(0.005) and len(killed) < 3:
            pid = engine_pids(bagline.data_dir).get(name, 0)
            if pid and pid not in killed and line_runner(bagline.data_dir) is not None:
                killed.add(pid)
                kill(pid)

    hunting = threading.Thread(target=assassin)
    hunting.start()
    try:
        with running(bagline, "--institution", "test.edu") as up:
            until(lambda: len(killed) == 3, "three deaths")
            done.set()
            bag = BagBuilder("b").payload("a.txt", b"still here").write(tmp_path / "b.tar")
            until(lambda: bagline.run("doctor").returncode == 0, "all to be well")
            assert bagline.json("ingest", bag)["bags"][0]["status"] == "Success"
            assert up.poll() is None
    finally:
        done.set()
        hunting.join()
