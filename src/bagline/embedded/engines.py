"""Start, share, supervise and stop the engines of one data directory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import structlog

from bagline.duty import Duty, Pauses
from bagline.embedded.corner import Credentials, EngineAddresses, House, Running, faults_of
from bagline.embedded.engine import Answer, Engine
from bagline.embedded.pids import birth, end_processes
from bagline.embedded.ports import free_ports
from bagline.embedded.privacy import close_what_the_store_opened
from bagline.embedded.room import shortage
from bagline.embedded.seaweedfs import SeaweedFS
from bagline.embedded.valkey import Valkey
from bagline.embedded.wounds import Wounds
from bagline.errors import Misconfigured, Refused, Unreachable

START_SECONDS = 60.0
"""How long an engine may take to answer; a large data directory loads for a while."""
ADOPT_SECONDS = 3.0
"""How long a living engine may stay silent before it is taken for half-dead."""
HALF_DEAD_TERM_SECONDS = 1.0
LAST_TERM_SECONDS = 0.5
"""How long an engine may take to end when nobody uses it any more. Valkey takes 0.1 s; SeaweedFS
waits up to 30 s for its own connections. What they acknowledged stands whatever ends them."""
POLL_SECONDS = 0.01
START_TRIES = 3
SUPERVISE_SECONDS = 0.1
TRIM_SECONDS = 30.0
RESTART_PAUSE_SECONDS = 0.1
"""Before the first restart; the pauses grow while an engine dies again and again."""


class Engines:
    """A use of the engines by this process. Several processes may use them at once.

    Whoever leaves last stops them. A killed process leaves them running; the next
    start takes them over. While in use, an engine that dies is started again on the
    same ports, after pauses that grow, without an end.
    """

    def __init__(self, data_dir: Path, *, log: Any = None) -> None:
        self._house = House(data_dir)
        self._log = log or structlog.get_logger("bagline.embedded")
        self._use: int | None = None
        self._engines: list[Engine] = []
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()
        self._supervisor: Duty | None = None
        self._pauses = Pauses(RESTART_PAUSE_SECONDS)
        self._restart_at: float | None = None
        self._trim_at = 0.0
        self._wounds = Wounds(self._house.log_path(SeaweedFS.name), lambda: shortage(data_dir))

    def __enter__(self) -> EngineAddresses:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> EngineAddresses:
        """Start the engines, or join those that run; returns when both answer.

        Raises Misconfigured (not installed, no such directory) or Unreachable (an engine
        did not come up; the message names its log).
        """
        if self._use is not None:
            raise Misconfigured("these engines are in use already: one start, one stop")
        self._house.build()
        with faults_of(self._house.root), self._house.startup_lock():
            credentials = self._house.credentials()
            self._engines = [Valkey(self._house, credentials), SeaweedFS(self._house, credentials)]
            shared = self._house.is_used()
            use = self._house.join_users()
            try:
                running = self._bring_up(keep_ports=shared)
            except BaseException:
                os.close(use)
                if not self._house.is_used():
                    _end_all(self._engines, self._house)
                raise
            self._use = use
        self._stopping.clear()
        self._supervisor = Duty(
            "engine-supervisor", self._supervise, stop=self._stopping, every=SUPERVISE_SECONDS
        ).start()
        return addresses(credentials, running)

    def stop(self) -> None:
        """Leave; the last user out stops the engines. May be repeated."""
        if self._use is None:
            return
        self._stopping.set()
        if self._supervisor:
            self._supervisor.join()
        with self._house.startup_lock():
            os.close(self._use)
            self._use = None
            if not self._house.is_used():
                _end_all(self._engines, self._house)
                self._log.info("engines_stopped", data_dir=str(self._house.root.parent))
        self._reap()

    # -- bringing up
    def _bring_up(self, *, keep_ports: bool) -> dict[str, Running]:
        """Adopt what answers, start what does not. Call under the startup lock.

        With `keep_ports` an engine comes up where its other users know it, or not at all.
        """
        running = self._house.running()
        down = [e for e in self._engines if not self._adopt(e, running.get(e.name))]
        for _ in range(START_TRIES):
            for engine in down:
                last = running.get(engine.name)
                self._spawn(engine, running, last.ports if last else {}, insist=keep_ports)
            down = self._wait_for(down, running)
            if not down:
                return running
            if not keep_ports:  # perhaps somebody took one between the look and the start
                running |= {engine.name: Running(0, "", {}) for engine in down}
        logs = ", ".join(str(self._house.log_path(engine.name)) for engine in down)
        names = " and ".join(engine.name for engine in down)
        raise Unreachable(f"{names} did not start; see {logs}")

    def _adopt(self, engine: Engine, running: Running | None) -> bool:
        """Whether the engine runs and answers. Afterwards it does, or is dead."""
        is_alive = running is not None and engine.is_alive(running)
        if running is not None and is_alive and running.terms != engine.terms():
            self._log.warning("engine_on_other_terms", engine=engine.name, pid=running.pid)
            end_processes([(running.pid, running.birth)])
        elif running is not None and is_alive:
            deadline = time.monotonic() + ADOPT_SECONDS
            while time.monotonic() < deadline:
                answer = engine.ask(running.ports)
                if answer is Answer.READY:
                    return True
                if answer is Answer.BUSY and not self._wait_for([engine], {engine.name: running}):
                    return True
                time.sleep(POLL_SECONDS)
            self._log.warning("engine_half_dead", engine=engine.name, pid=running.pid)
            end_processes([(running.pid, running.birth)], term_seconds=HALF_DEAD_TERM_SECONDS)
        stray = engine.stray()
        if stray:
            self._log.warning("engine_stray", engine=engine.name, pid=stray[0])
            end_processes([stray])
        return False

    def _spawn(
        self, engine: Engine, running: dict[str, Running], ports: dict[str, int], *, insist: bool
    ) -> None:
        others = {
            p for name in running if name != engine.name for p in running[name].ports.values()
        }
        chosen = free_ports(engine.port_names, ports, insist=insist, avoid=others)
        running[engine.name] = Running(0, "", chosen)
        self._house.write_running(running)  # should we die before the next line but one
        process, running[engine.name] = engine.start(chosen)
        self._children[process.pid] = process
        self._house.write_running(running)

    def _wait_for(self, engines: list[Engine], running: dict[str, Running]) -> list[Engine]:
        """Wait until each answers; returns those that died or stayed silent (ended then)."""
        deadline = time.monotonic() + START_SECONDS
        waiting, failed = list(engines), []
        while waiting:
            for engine in list(waiting):
                now = running[engine.name]
                if engine.ask(now.ports) is Answer.READY:
                    waiting.remove(engine)
                elif not engine.is_alive(now) or time.monotonic() > deadline:
                    end_processes([(now.pid, now.birth)])
                    waiting.remove(engine)
                    failed.append(engine)
            if waiting:
                time.sleep(POLL_SECONDS)
        return failed

    # -- supervising
    def _supervise(self) -> None:
        """One look. What it raises is told by its duty, which looks again."""
        now = time.monotonic()
        if now > self._trim_at:
            self._house.trim_logs()
            close_what_the_store_opened(self._house.volumes)
            self._trim_at = now + TRIM_SECONDS
        self._end_wounded()
        dead = [engine.name for engine in self._dead()]
        if not dead:
            self._restart_at = None
            return
        if self._restart_at is None:
            pause = self._pauses.next()
            self._restart_at = now + pause
            self._log.warning(
                "engines_died",
                engines=dead,
                in_a_row=self._pauses.in_a_row,
                restart_in_seconds=round(pause, 1),
                logs=self._logs(),
            )
        if now >= self._restart_at:
            self._restart_at = None  # should the restart fail, the next pause is longer
            self._restart_dead()

    def _end_wounded(self) -> None:
        """End SeaweedFS when it met a full disk that has room again; then it is started anew."""
        now = self._house.running().get(SeaweedFS.name)
        if now is None or not birth(now.pid) or not self._wounds.need_a_new_start(now.pid):
            return
        with self._house.startup_lock():
            if self._house.running().get(SeaweedFS.name) == now:
                self._log.warning("engine_wounded", engine=SeaweedFS.name, pid=now.pid)
                end_processes([(now.pid, now.birth)])

    def _dead(self) -> list[Engine]:
        self._reap()
        running = self._house.running()
        if not running:  # somebody removed the record; what runs under it still runs
            return []
        return [e for e in self._engines if not e.is_alive(running.get(e.name))]

    def _restart_dead(self) -> None:
        """Start what is dead, unless another user of the engines did so meanwhile."""
        with faults_of(self._house.root), self._house.startup_lock():
            names = [engine.name for engine in self._dead()]
            if names and not self._stopping.is_set():
                self._bring_up(keep_ports=True)
                self._log.info("engines_restarted", engines=names)

    def _logs(self) -> str:
        return str(self._house.root / "logs")

    def _reap(self) -> None:
        for pid, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[pid]


def running_engines(data_dir: Path) -> EngineAddresses | None:
    """The addresses of engines that run and answer; None otherwise. Starts nothing."""
    house = House(data_dir)
    credentials, running = house.known_credentials(), house.running()
    if credentials is None:
        return None
    for engine in (Valkey(house, credentials), SeaweedFS(house, credentials)):
        now = running.get(engine.name)
        if now is None or not engine.is_alive(now) or engine.ask(now.ports) is not Answer.READY:
            return None
    return addresses(credentials, running)


def stop_engines(data_dir: Path) -> bool:
    """Stop engines that nobody uses (their user was killed). Returns whether any ran.

    Raises Refused while a process uses them: that one stops them when it leaves.
    """
    house = House(data_dir)
    credentials = house.known_credentials()
    if credentials is None:
        return False
    with house.startup_lock():
        if house.is_used():
            raise Refused(
                f"the engines of {data_dir} are in use by a running bagline; "
                "end that process (Ctrl-C, or SIGTERM), and it stops them"
            )
        return _end_all([Valkey(house, credentials), SeaweedFS(house, credentials)], house)


def addresses(credentials: Credentials, running: dict[str, Running]) -> EngineAddresses:
    return EngineAddresses(
        s3_endpoint=f"http://127.0.0.1:{running['seaweedfs'].ports['s3']}",
        s3_access_key=credentials.s3_access_key,
        s3_secret_key=credentials.s3_secret_key,
        redis_url=credentials.redis_url(running["valkey"].ports["valkey"]),
    )


def _end_all(engines: list[Engine], house: House) -> bool:
    """End every engine, recorded or stray. Their records stay, for their ports."""
    running = house.running()
    living = {
        (now.pid, now.birth) for e in engines if e.is_alive(now := running.get(e.name)) and now
    }
    living |= {stray for e in engines if (stray := e.stray())}
    end_processes(living, term_seconds=LAST_TERM_SECONDS)
    close_what_the_store_opened(house.volumes)
    for engine in engines:
        with contextlib.suppress(KeyError):
            engine.tidy(running[engine.name].ports)
    return bool(living) and all(birth(pid) != when for pid, when in living)
