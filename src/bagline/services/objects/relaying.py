"""Relays: windows of one object become many small objects, in a pipeline.

While the bodies of one window are put, the next ones are read; windows come out in
order, each when every one of its bodies is proven. In hand at any time: so many
windows, and no more of them than fit into the budget of bytes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field

from bagline.errors import ProofFailed
from bagline.services.objects.base import Body, Objects, Proof, Relay
from bagline.services.objects.fan import Fan, gathered

Read = Callable[[Relay], bytes]
Put = Callable[[Body], Proof]


def reads_of(objects: Objects) -> Read:
    """How a window is read from that store."""
    return lambda relay: objects.read(
        relay.source_bucket,
        relay.source_key,
        start=relay.start,
        length=relay.length,
        etag=relay.etag,
    )


@dataclass
class _Flow:
    """One window on its way: read, then put, each in threads of the fan."""

    relay: Relay
    puts: list[Future[Proof]] = field(default_factory=list)
    reading: Future[None] | None = None

    def proofs(self) -> list[Proof]:
        """Waits for all of it. Raises the gravest fault."""
        assert self.reading is not None
        self.reading.result()
        return gathered(self.puts)

    def settle(self) -> None:
        """Waits until nothing of it runs any more, however it ended."""
        assert self.reading is not None
        wait([self.reading])
        wait(self.puts)


def relayed(
    relays: Iterable[Relay],
    *,
    read: Read,
    put: Put,
    fan: Fan,
    windows: int,
    puts_in_flight: int,
    budget_bytes: int,
) -> Generator[list[Proof]]:
    """The proofs of each window, in order. Nothing runs on after it ends or raises."""
    places = threading.Semaphore(puts_in_flight)
    flows: deque[_Flow] = deque()
    held = 0
    try:
        for relay in relays:
            while flows and (len(flows) >= windows or held + relay.length > budget_bytes):
                done = flows[0].proofs()
                held -= flows.popleft().relay.length
                yield done
            flows.append(_begin(relay, read, put, fan, places))
            held += relay.length
        while flows:
            done = flows[0].proofs()
            flows.popleft()
            yield done
    finally:
        for flow in flows:
            flow.settle()


def _begin(relay: Relay, read: Read, put: Put, fan: Fan, places: threading.Semaphore) -> _Flow:
    flow = _Flow(relay)

    def bring() -> None:
        data = memoryview(read(relay) if relay.length else b"")
        if data.nbytes != relay.length:
            raise ProofFailed(f"a window of {relay.length} bytes came with {data.nbytes}")
        bodies = (
            Body(part.target, data[part.offset : part.offset + part.length], part.sha256)
            for part in relay.parts
        )
        flow.puts = fan.limited(put, bodies, places)

    flow.reading = fan.submit(bring)
    return flow
