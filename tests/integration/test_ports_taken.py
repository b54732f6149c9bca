"""A port that somebody else has is told of before anything is said to be up; and why a worker
died is told where its death is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from bagline.errors import Misconfigured
from bagline.worker.processes import WorkerProcesses, last_sentence, line_runner
from support.calls import call
from support.registry import temporary_registry


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_workers_are_not_started_where_a_health_port_is_taken(tmp_path: Path, taken: int) -> None:
    before = taken - 1  # the second worker's port is the one that is taken
    workers = WorkerProcesses(
        tmp_path, ["worker", "all"], count=2, health_host="127.0.0.1", health_port=before
    )
    with pytest.raises(Misconfigured, match=rf"health\.port {taken} at 127\.0\.0\.1"), workers:
        pass
    assert workers.pids() == []
    assert line_runner(tmp_path) is None


def test_up_ends_with_a_sentence_where_the_health_port_is_taken(
    tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAGLINE_HEALTH_PORT", str(taken))
    ended = call("up", "--processes", "1", "--data-dir", tmp_path / "data")
    assert ended.code == 1
    assert f"health.port {taken} at 127.0.0.1 cannot be listened at" in ended.err
    assert "Bagline is up" not in ended.err


def test_the_registrys_server_ends_with_a_sentence_where_its_port_is_taken(
    tmp_path: Path, taken: int
) -> None:
    ended = call("registry", "serve", "--port", taken, "--data-dir", tmp_path / "data")
    assert ended.code == 1
    assert f"port {taken} at 127.0.0.1 cannot be listened at: Address already in use" in ended.err
    assert not (tmp_path / "data").exists()


def test_the_registrys_server_says_where_it_serves() -> None:
    with temporary_registry() as server:
        assert server.url
        assert '"event": "api_served"' in server.output()
        assert f'"url": "{server.url}' in server.output()


def test_a_dead_workers_last_sentence_is_told(tmp_path: Path) -> None:
    died = threading.Event()
    missing = tmp_path / "no_such_bag.tar"
    workers = WorkerProcesses(tmp_path, ["check", str(missing)], count=1, on_death=died.set)
    with structlog.testing.capture_logs() as told, workers:
        assert died.wait(30)
    (first, *_) = [event for event in told if event["event"] == "worker_died"]
    assert first["code"] == 4
    assert first["said"] == f"bagline check: {missing}: No such file or directory"


def test_the_last_sentence_is_the_childs_own(tmp_path: Path) -> None:
    log = tmp_path / "worker-0.log"
    log.write_text("somebody else said this\n")
    start = log.stat().st_size
    assert last_sentence(log, start) == ""
    with log.open("a") as out:
        out.write("first\nlast \x1b[31m\n\n")
    assert last_sentence(log, start) == "last \\x1b[31m"
    log.write_text("after a rotation\n")
    assert last_sentence(log, 10_000) == "after a rotation"
    assert last_sentence(tmp_path / "none", 0) == ""
