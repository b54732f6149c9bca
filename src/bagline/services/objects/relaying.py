"""Relays: windows of one object become many small objects, in a pipeline.

While the bodies of some windows are put, the next ones are read; windows come out in
order, each when every one of its bodies is proven. Bodies are put in order of windows,
and all windows in hand fit into the budget of bytes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, wait
from queue import SimpleQueue

from bagline.errors import ProofFailed
from bagline.services.objects.base import Body, Objects, Proof, Relay
from bagline.services.objects.fan import Fan, gathered

READ_AHEAD = 2
"""So many windows are read while those before them are put."""

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


class _Closed(Exception):
    """The pipeline was closed: what was not put yet stays so."""


class _Flow:
    """One window on its way: read in a thread of the fan, then put in many."""

    def __init__(self, relay: Relay, reading: Future[bytes] | None) -> None:
        self.relay = relay
        self._reading = reading
        self.puts: Future[list[Future[Proof]]] = Future()

    def bodies(self) -> Iterator[Body]:
        """Waits until it is read. Raises what reading raised. It holds the bytes no longer."""
        reading, self._reading = self._reading, None
        data = memoryview(reading.result() if reading else b"")
        if data.nbytes != self.relay.length:
            raise ProofFailed(f"a window of {self.relay.length} bytes came with {data.nbytes}")
        for part in self.relay.parts:
            body = data[part.offset : part.offset + part.length]
            yield Body(part.target, body, part.sha256)

    def proofs(self) -> list[Proof]:
        """Waits for all of it. Raises the gravest fault."""
        return gathered(self.puts.result())

    def settle(self) -> None:
        """Waits until nothing of it runs any more, however it ended."""
        wait(self.puts.result())


class _Feeder:
    """A thread that puts the bodies of one window after another, so many at once."""

    def __init__(self, put: Put, fan: Fan, windows: int, puts_in_flight: int) -> None:
        self._put = put
        self._fan = fan
        self._windows = threading.Semaphore(windows)
        self._places = threading.Semaphore(puts_in_flight)
        self._waiting: SimpleQueue[_Flow | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._feed, name="objects-relay", daemon=True)
        self._thread.start()

    def add(self, flow: _Flow) -> None:
        self._waiting.put(flow)

    def next(self) -> None:
        """A window is done with: one more may be put."""
        self._windows.release()

    def close(self) -> None:
        """Begin nothing more; flows that were added settle soon."""
        self._closed = True
        self._waiting.put(None)
        self._windows.release()

    def _feed(self) -> None:
        while (flow := self._waiting.get()) is not None:
            if not self._closed:
                self._windows.acquire()
            bodies = self._until_closed(flow)
            flow.puts.set_result(self._fan.limited(self._put, bodies, self._places))

    def _until_closed(self, flow: _Flow) -> Iterator[Body]:
        for body in flow.bodies():
            if self._closed:
                raise _Closed
            yield body


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
    flows: deque[_Flow] = deque()
    held = 0
    feeder = _Feeder(put, fan, windows, puts_in_flight)
    try:
        for relay in relays:
            while flows and (
                len(flows) >= windows + READ_AHEAD or held + relay.length > budget_bytes
            ):
                yield flows[0].proofs()
                held -= flows.popleft().relay.length
                feeder.next()
            flow = _Flow(relay, fan.submit(read, relay) if relay.length else None)
            flows.append(flow)
            feeder.add(flow)
            held += relay.length
        while flows:
            yield flows[0].proofs()
            flows.popleft()
            feeder.next()
    finally:
        feeder.close()
        for flow in flows:
            flow.settle()
