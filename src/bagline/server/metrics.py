"""The Registry's counts for Prometheus. Names of routes and roles only: nothing that was sent."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

from bagline.listening.connections import Connections

SECONDS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60)


class ServerMeter:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "bagline_registry_requests",
            "Requests to the Registry's API.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "bagline_registry_request_seconds",
            "From the head of a request to the end of its answer.",
            ("method",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._failures = Counter(
            "bagline_registry_sign_in_failures",
            "Requests with no key or a wrong one; too-many: above the limit of their address.",
            ("reason",),
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def watch(self, connections: Connections) -> None:
        """Show how many there are, and how many had to give way."""
        Gauge(
            "bagline_registry_connections", "Connections now.", registry=self.registry
        ).set_function(lambda: len(connections))
        Gauge(
            "bagline_registry_connections_cut_off",
            "Connections without a key that were ended for others to have room.",
            registry=self.registry,
        ).set_function(lambda: connections.cut_off)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(method).observe(seconds)

    def sign_in_failed(self, reason: str) -> None:
        self._failures.labels(reason).inc()
