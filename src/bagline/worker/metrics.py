"""A worker's counts for Prometheus. Names of stages and events only: nothing out of bags."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from bagline.errors import ServiceFault
from bagline.services.queue.base import Queue, TopicDepth
from bagline.worker.meter import Meter

SECONDS = (0.05, 0.2, 1, 5, 20, 60, 300, 1_800, 7_200, 43_200, 172_800, 604_800)
DEPTH_AGE_SECONDS = 5.0
COUNTED_LEVELS = ("warning", "error", "critical")


class PrometheusMeter(Meter):
    """Counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        both = ("stage", "outcome")
        self._items = Counter(
            "bagline_items", "Items whose stage ended.", both, registry=self.registry
        )
        self._files = Counter("bagline_files", "Files of these.", both, registry=self.registry)
        self._bytes = Counter("bagline_bytes", "Bytes of these.", both, registry=self.registry)
        self._seconds = Histogram(
            "bagline_stage_seconds",
            "How long a stage had an item.",
            both,
            buckets=SECONDS,
            registry=self.registry,
        )
        self._in_work = Gauge(
            "bagline_items_in_work", "Items in work now.", ("stage",), registry=self.registry
        )
        self._events = Counter(
            "bagline_log_events",
            "Warnings and errors in the log, by event: retries, lost leases, services away.",
            ("event", "level"),
            registry=self.registry,
        )
        self._unread = Gauge(
            "bagline_receiving_buckets_unread",
            "Receiving buckets that could not be listed at the last look.",
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def stage_began(self, stage: str) -> None:
        self._in_work.labels(stage).inc()

    def stage_ended(
        self, stage: str, outcome: str, *, seconds: float, files: int, bytes: int
    ) -> None:
        self._in_work.labels(stage).dec()
        self._items.labels(stage, outcome).inc()
        self._files.labels(stage, outcome).inc(files)
        self._bytes.labels(stage, outcome).inc(bytes)
        self._seconds.labels(stage, outcome).observe(seconds)

    def buckets_unread(self, count: int) -> None:
        self._unread.set(count)

    def event_logged(self, event: str, level: str) -> None:
        if level in COUNTED_LEVELS:
            self._events.labels(event, level).inc()

    def watch_queue(self, queue: Queue, topics: Sequence[str]) -> None:
        """Also tell how much waits at these topics, for scaling each stage alone."""
        self.registry.register(QueueDepths(queue, topics))


class QueueDepths(Collector):
    """Asks the queue when it is asked, at most every DEPTH_AGE_SECONDS. Thread-safe."""

    def __init__(self, queue: Queue, topics: Sequence[str]) -> None:
        self._queue = queue
        self._topics = list(topics)
        self._lock = threading.Lock()
        self._known: list[TopicDepth] = []
        self._asked_at = float("-inf")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        depth = GaugeMetricFamily(
            "bagline_queue_depth",
            "Items at a topic: due now, delayed, in flight.",
            labels=("topic", "state"),
        )
        for found in self._depths():
            for state in ("due", "delayed", "in_flight"):
                depth.add_metric((found.topic, state), getattr(found, state))
        yield depth

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Without asking the queue, which may be away when a worker starts."""
        yield GaugeMetricFamily("bagline_queue_depth", "", labels=("topic", "state"))

    def _depths(self) -> list[TopicDepth]:
        with self._lock:
            if time.monotonic() - self._asked_at >= DEPTH_AGE_SECONDS:
                self._asked_at = time.monotonic()
                try:
                    self._known = self._queue.depth(self._topics)
                except ServiceFault:  # a gauge that is missing says so
                    self._known = []
            return self._known
