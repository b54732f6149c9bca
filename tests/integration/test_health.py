"""A worker's health and numbers over HTTP, while it works and when something is wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from bagline.config import HealthSettings
from bagline.embedded import EngineAddresses
from bagline.errors import Misconfigured
from bagline.worker.health import HealthServer
from bagline.worker.metrics import PrometheusMeter
from support.bags import valid_bag
from support.line import LineUnderTest, line_under_test
from support.tools import free_port

pytestmark = pytest.mark.engines


@pytest.fixture
def line(engines: EngineAddresses, tmp_path: Path) -> Iterator[LineUnderTest]:
    with line_under_test(engines, tmp_path) as line:
        yield line


def ask(port: int, path: str) -> tuple[int, bytes]:
    answer = urllib3.request("GET", f"http://127.0.0.1:{port}{path}", retries=3, timeout=10)
    return answer.status, answer.data


LABELS = ("stage", "topic", "outcome", "state", "event", "level")


def key(sample: Sample) -> tuple[str, ...]:
    return sample.name, *(sample.labels[name] for name in LABELS if name in sample.labels)


def numbers(port: int) -> dict[tuple[str, ...], float]:
    """Name and label values → value."""
    status, text = ask(port, "/metrics")
    assert status == 200
    return {
        key(sample): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_a_worker_tells_what_it_did_and_what_waits(line: LineUnderTest) -> None:
    line.settings.health = HealthSettings(port=free_port())
    port = line.settings.health.port
    stop = threading.Event()
    steps = list(line.app.ingest_line)
    worker = threading.Thread(target=line.app.serve, args=(steps, [], stop))
    worker.start()
    try:
        line.until(lambda: threading.active_count() > 5, "the worker to start")
        bag = valid_bag("counted")
        good = line.deposit("counted.tar", bag.tar())
        bad = line.deposit("bad.tar", b"no tar at all, but long enough" * 40)
        line.until_ended(good.id)
        line.until_ended(bad.id)
        last = ("bagline_items_total", "cleanup", "done")  # counted when the item has ended
        line.until(lambda: numbers(port).get(last) == 2, "both clean-ups to be counted")
        found = numbers(port)
        for step in steps[:-1]:
            assert found["bagline_items_total", step.name, "done"] == 1, step.name
        assert found["bagline_items_total", "pre-fetch", "reject"] == 1
        assert found["bagline_files_total", "staging-uploader", "done"] == len(bag.files())
        assert found["bagline_bytes_total", "pre-fetch", "done"] == good.size
        assert found["bagline_stage_seconds_count", "recorder", "done"] == 1
        assert found["bagline_items_in_work", "recorder"] == 0
        assert found["bagline_queue_depth", "ingest01_prefetch", "due"] == 0
        assert ask(port, "/healthz") == (200, b'{"ok": true, "faults": []}')
        assert ask(port, "/readyz")[0] == 200
        assert ask(port, "/")[0] == 404
        for path in ("/metrics", "/readyz", "/healthz"):
            assert b"counted" not in ask(port, path)[1]
    finally:
        stop.set()
        worker.join(timeout=30)
    assert not worker.is_alive()


def test_what_is_wrong_is_said_and_is_a_503() -> None:
    meter = PrometheusMeter()
    wrong: list[str] = []
    with HealthServer(
        "127.0.0.1",
        0,
        meter.registry,
        alive=lambda: wrong,
        ready=lambda: ["registry does not answer"],
    ) as server:
        assert ask(server.port, "/healthz")[0] == 200
        wrong.append("leases are not renewed")
        status, said = ask(server.port, "/healthz")
        assert (status, json.loads(said)["faults"]) == (503, ["leases are not renewed"])
        status, said = ask(server.port, "/readyz")
        assert (status, json.loads(said)["faults"]) == (503, ["registry does not answer"])
        with pytest.raises(Misconfigured, match="health.port"):  # noqa: RUF043
            HealthServer("127.0.0.1", server.port, meter.registry, alive=list, ready=list)


def test_warnings_are_counted_by_event_and_nothing_else_of_them() -> None:
    meter = PrometheusMeter()
    meter.event_logged("objects_retry", "warning")
    meter.event_logged("stage_begins", "info")
    found = {
        key(sample): sample.value
        for family in meter.registry.collect()
        for sample in family.samples
    }
    assert found["bagline_log_events_total", "objects_retry", "warning"] == 1
    assert ("bagline_log_events_total", "stage_begins", "info") not in found


def test_a_worker_whose_heartbeat_stopped_is_not_alive(line: LineUnderTest) -> None:
    worker = line.app.worker(list(line.app.ingest_line)[:1])
    assert worker.faults() == []
    worker._heartbeat.beaten_at -= line.settings.work.lease_seconds + 1
    assert worker.faults() == ["leases are not renewed"]
